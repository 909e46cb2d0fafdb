package producer_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
)

// The producer slows Sends down if the network falls behind. But it accepts a burst that fits into buffer.memory, even
// if the network has stopped.
func TestABurstThatFitsIntoTheBufferIsTakenAtOnce(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		for range 20_000 {
			p.Send(t.Context(), sized(1000), nil)
		}
		require.NoError(t, p.Flush(t.Context()))
		c.Hang(1)
		began := time.Now()
		var last producer.Future
		for range 25_000 {
			last = p.Send(t.Context(), sized(1000), nil)
		}
		require.LessOrEqual(t, time.Since(began), 10*time.Millisecond)
		c.Unhang(1)
		_, err := last.Get(t.Context())
		require.NoError(t, err)
	})
}
