package sender

import (
	"errors"
	"fmt"
	"math/rand"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/accumulator"
	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// TestFaultsNeitherDoubleNorReorder sends through brokers that fail, move, hang and close connections by chance, and
// compares every outcome with the log. The seed fixes the faults, not the goroutines' schedule.
func TestFaultsNeitherDoubleNorReorder(t *testing.T) {
	for seed := range int64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			brokers := topicT(3, 4)
			brokers.Settings = map[string]testbroker.TopicSettings{"t": {MessageMaxBytes: 1500}}
			onRig(t, brokers, func(c *Config) {
				c.Accumulator.BatchSize, c.Accumulator.Linger = 2000, time.Millisecond
				c.RequestTimeout, c.DeliveryTimeout = 3*time.Second, 15*time.Second
			}, func(r *rig) {
				f := &faulty{rig: r, rng: rand.New(rand.NewSource(seed))}
				r.c.Hook(f.decide)
				f.play()
				for _, v := range r.c.Violations() {
					// The broker cannot know of a hole that proves a doubtful batch unwritten and frees its sequence.
					require.Contains(t, v, "is used again for another batch")
				}
			})
		})
	}
}

// faulty draws the faults.
type faulty struct {
	*rig
	mu   sync.Mutex
	rng  *rand.Rand
	calm bool
}

func (f *faulty) draw(n int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rng.Intn(n)
}

func (f *faulty) decide(q *testbroker.Request) testbroker.Action {
	f.mu.Lock()
	calm := f.calm
	f.mu.Unlock()
	if q.Header.Key != protocol.Produce || calm {
		return testbroker.Pass()
	}
	switch f.draw(25) {
	case 0:
		return testbroker.Fail(protocol.NotEnoughReplicas)
	case 1:
		return writtenAnd(protocol.NotEnoughReplicasAfterAppend)
	case 2:
		return testbroker.DropRequest()
	case 3:
		return testbroker.DropAnswer().And(testbroker.WithReset())
	case 4:
		return testbroker.SwallowAnswer()
	case 5:
		return testbroker.Delay(time.Duration(f.draw(4000)) * time.Millisecond)
	case 6:
		return writtenAnd(protocol.RequestTimedOut)
	case 7:
		return testbroker.Reject(protocol.InvalidRecord, "bad", map[int32]string{int32(f.draw(3)): "bad"})
	case 8:
		return testbroker.DelayAnswer(time.Duration(f.draw(4000)) * time.Millisecond)
	case 9:
		return testbroker.Fail(protocol.TopicAuthorizationFailed)
	}
	return testbroker.Pass()
}

// writtenAnd makes an error of each success; a refusal stays one.
func writtenAnd(code protocol.ErrorCode) testbroker.Action {
	return testbroker.Edit(func(r *protocol.ProduceResponse) {
		for _, topic := range r.Topics {
			for i := range topic.Partitions {
				if topic.Partitions[i].ErrorCode == protocol.None {
					topic.Partitions[i].ErrorCode, topic.Partitions[i].BaseOffset = code, -1
				}
			}
		}
	})
}

func (f *faulty) play() {
	var all [4][]sent
	var numbers [4][]string
	for i := range 600 {
		p := int32(f.draw(4))
		rec := &record.Record{Topic: "t", Value: fmt.Appendf(nil, "%d-%0*d", p, 20+f.draw(200), i)}
		var a accumulator.AppendResult
		f.part(p).Append(rec, accumulator.Callback{}, nil, &a)
		require.Nil(f.t, a.Err)
		all[p] = append(all[p], sent{f.rig, a.Result, a.Index})
		numbers[p] = append(numbers[p], fmt.Sprintf("%04d", i))
		switch f.draw(60) {
		case 0:
			f.c.MoveLeader("t", int32(f.draw(4)), int32(1+f.draw(3)))
		case 1:
			f.c.Disconnect(int32(1 + f.draw(3)))
		case 2:
			f.c.Hang(int32(1 + f.draw(3)))
		case 3, 4, 5:
			for b := range int32(3) {
				f.c.Unhang(b + 1)
			}
		default:
			time.Sleep(time.Duration(f.draw(20)) * time.Millisecond)
		}
	}
	f.mu.Lock()
	f.calm = true
	f.mu.Unlock()
	for b := range int32(3) {
		f.c.Unhang(b + 1)
	}
	for p := range all {
		f.compare(int32(p), all[p], numbers[p])
	}
}

// compare holds a partition's log against the outcomes of its records.
func (f *faulty) compare(p int32, all []sent, numbers []string) {
	f.t.Helper()
	var outcomes []error
	var places []int64
	for _, s := range all {
		m, err := s.get()
		outcomes, places = append(outcomes, err), append(places, m.Offset)
	}
	where := map[string]int64{}
	last := ""
	for _, rec := range f.c.Log("t", p) {
		number := string(rec.Value[len(rec.Value)-4:])
		require.NotContains(f.t, where, number, "it is in the log twice")
		where[number] = rec.Offset
		require.Less(f.t, last, number, "the order is wrong")
		last = number
	}
	for i, err := range outcomes {
		offset, there := where[numbers[i]]
		var failure *record.Error
		if err == nil {
			require.True(f.t, there, "record %s was acknowledged and is not there", numbers[i])
			if places[i] >= 0 {
				require.Equal(f.t, offset, places[i])
			}
		} else {
			require.True(f.t, errors.As(err, &failure))
			require.False(f.t, there && record.FateOf(failure) != record.FateMaybeWritten,
				"record %s is there, and was told: %v", numbers[i], err)
		}
	}
}
