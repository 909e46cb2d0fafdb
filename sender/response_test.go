package sender

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
)

func TestAnOffsetThatNoLogHasIsAnUnknownOne(t *testing.T) {
	for _, offset := range []int64{math.MinInt64, -2, math.MaxInt64, math.MaxInt64 - 1} {
		onRig(t, topicT(1, 1), func(c *Config) { c.Accumulator.Linger = time.Hour }, func(r *rig) {
			r.c.On(protocol.Produce).Do(testbroker.Edit(func(a *protocol.ProduceResponse) {
				a.Topics[0].Partitions[0].BaseOffset = offset
			}))
			first, second := r.send(0, "a"), r.send(0, "b")
			require.Equal(t, int64(-1), first.acked())
			require.Equal(t, int64(-1), second.acked())
		})
	}
}

// Each part of an answer is looked for among the batches of the request. A broker does not get to decide how often.
func TestPartsThatNobodyAskedForAreNotLookedForWithoutEnd(t *testing.T) {
	onRig(t, topicT(1, 3), nil, func(r *rig) {
		stray := func(n int) testbroker.Action {
			return testbroker.Edit(func(a *protocol.ProduceResponse) {
				parts := &a.Topics[0].Partitions
				for i := range n {
					*parts = append([]protocol.ProducePartitionResponse{{Index: int32(100 + i)}}, *parts...)
				}
			})
		}
		r.send(0, "warm").acked()
		r.c.On(protocol.Produce).InTurn(stray(1), stray(50))
		require.Equal(t, int64(1), r.send(0, "behind one").acked())
		began := time.Now()
		require.Equal(t, int64(2), r.send(0, "behind many").acked(), "as if there were no answer for it")
		require.Positive(t, time.Since(began))
		require.Len(t, r.c.Produces(), 4)
	})
}
