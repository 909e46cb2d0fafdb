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
