package sender

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestWithNothingOutstandingNoTimerRuns: neither one of 1,000 partitions nor one of their brokers.
func TestWithNothingOutstandingNoTimerRuns(t *testing.T) {
	const partitions, brokers = 1000, 3
	onRig(t, topicT(brokers, partitions), nil, func(r *rig) {
		var all []sent
		for p := range int32(partitions) {
			all = append(all, r.send(p, "x"))
		}
		for _, s := range all {
			s.acked()
		}
		time.Sleep(2 * suspectAfter) // one more look after a broker that has owed an answer

		used, running := 0, 0
		count := func(timer *time.Timer, armed bool) {
			if timer == nil {
				return
			}
			used++
			if timer.Stop() || armed { // it would have fired
				running++
			}
		}
		for p := range int32(partitions) {
			part := r.part(p).Drainer().(*partition)
			part.mu.Lock()
			count(part.timer, !part.due.IsZero())
			part.mu.Unlock()
		}
		r.s.mu.Lock()
		for _, b := range r.s.brokers {
			b.mu.Lock()
			count(b.silenceTimer, !b.silenceAt.IsZero())
			count(b.backoffTimer, false)
			b.mu.Unlock()
		}
		r.s.mu.Unlock()
		require.Equal(r.t, partitions+brokers, used, "each partition and each broker has had a timer")
		require.Zero(r.t, running)
	})
}
