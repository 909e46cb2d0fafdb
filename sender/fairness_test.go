package sender

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// The permitted cost of one partition for the others of its broker: none.

// TestNoPartitionStarves: many partitions have more to send than fits into a request. All are served in turn.
func TestNoPartitionStarves(t *testing.T) {
	const partitions, batches = 12, 10
	onRig(t, topicT(1, partitions), func(c *Config) {
		c.Accumulator.BatchSize, c.MaxRequestSize, c.Accumulator.MaxRequestSize, c.MaxInFlight = 1000, 3500, 3500, 1
	}, func(r *rig) {
		for p := range int32(partitions) {
			r.send(p, "warm").acked() // from now on no partition has to wait for its first acknowledgement
		}
		warm := len(r.c.Produces())
		release := make(chan struct{})
		r.c.On(protocol.Produce).Nth(1).Do(testbroker.Hold(release))
		// Time between the answers: the client processes each before the next one comes.
		r.c.On(protocol.Produce).Do(testbroker.DelayAnswer(time.Millisecond))
		var all []sent
		for p := range int32(partitions) {
			for range batches {
				all = append(all, r.append(p, &record.Record{Topic: "t", Value: []byte(strings.Repeat("x", 900))}))
			}
		}
		synctest.Wait()
		close(release)
		for _, s := range all {
			s.acked()
		}
		served := make([]int, partitions)
		for _, q := range r.c.Produces()[warm:] {
			for _, part := range q.Parts {
				served[part.Partition]++
			}
			require.LessOrEqual(t, slices.Max(served)-slices.Min(served), 2, "%v", served)
		}
	})
}

// stuck is a way for a partition to get stuck, and its end.
var stuck = map[string]func(r *rig) (end func()){
	"it waits for retries": func(r *rig) func() {
		return r.c.On(protocol.Produce).Partition("t", 0).Do(testbroker.Fail(protocol.NotEnoughReplicas)).End
	},
	"its fate is doubtful": func(r *rig) func() {
		return r.c.On(protocol.Produce).Partition("t", 0).Do(testbroker.Fail(protocol.RequestTimedOut)).End
	},
	"its sequence is refused": func(r *rig) func() {
		return r.c.On(protocol.Produce).Partition("t", 0).Do(testbroker.Fail(protocol.OutOfOrderSequenceNumber)).End
	},
	"its leader is unknown": func(r *rig) func() {
		r.c.MoveLeader("t", 0, -1)
		r.client.Refresh()
		return func() { r.c.MoveLeader("t", 0, 1) }
	},
}

// TestAPartitionThatIsStuckHoldsUpNoOtherOfItsBroker: nor does it make the broker's goroutine look at it again and
// again.
func TestAPartitionThatIsStuckHoldsUpNoOtherOfItsBroker(t *testing.T) {
	for name, begin := range stuck {
		t.Run(name, func(t *testing.T) {
			onRig(t, topicT(1, 4), func(c *Config) { c.Accumulator.BatchSize = 0 }, func(r *rig) {
				for p := range int32(4) {
					r.send(p, "warm").acked()
				}
				end := begin(r)
				time.Sleep(time.Second)
				var waiting []sent
				for _, v := range numbered(20, "") {
					waiting = append(waiting, r.send(0, v))
				}
				for range 10 {
					began := time.Now()
					for p := int32(1); p < 4; p++ {
						for range 10 {
							r.send(p, "x").acked()
						}
					}
					require.Zero(t, time.Since(began))
					time.Sleep(time.Second)
				}
				fills := r.s.fills.Load()
				time.Sleep(10 * time.Second)
				require.Less(t, r.s.fills.Load()-fills, uint64(50), "requests are begun for nothing")
				end()
				for _, s := range waiting {
					s.acked()
				}
				require.Equal(t, append([]string{"warm"}, numbered(20, "")...), r.values(0))
			})
		})
	}
}

// TestAPartitionThatWaitsForAnIDHoldsUpNoOther: its epochs are used up and no new producer id is to be had; the others
// go on under the old one.
func TestAPartitionThatWaitsForAnIDHoldsUpNoOther(t *testing.T) {
	onRig(t, topicT(1, 2), nil, func(r *rig) {
		last := testbroker.Edit(func(a *protocol.InitProducerIDResponse) { a.ProducerEpoch = 1<<15 - 1 })
		r.c.On(protocol.InitProducerID).Nth(1).Do(last)
		r.send(0, "a").acked()
		r.send(1, "a").acked()
		silent := r.c.On(protocol.InitProducerID).Do(testbroker.SwallowAnswer())
		r.c.On(protocol.Produce).Partition("t", 0).Nth(1).Do(testbroker.Fail(protocol.UnknownProducerID))
		waits := r.send(0, "b")
		began := time.Now()
		for range 20 {
			r.send(1, "x").acked()
		}
		require.Zero(t, time.Since(began))
		time.Sleep(time.Minute)
		r.send(1, "y").acked()
		silent.End()
		require.Equal(t, int64(1), waits.acked())
		require.Less(t, time.Since(began), 2*time.Minute)
	})
}
