package delivery

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
)

// TestTheBackoffOfARetryIsDrawnOnce: with a new jitter for each call of Next, a batch could be ready at one call and
// not at the next, and its broker would spin in between.
func TestTheBackoffOfARetryIsDrawnOnce(t *testing.T) {
	draws := 0
	p, b, now := firstTry(Config{Acks: -1, Idempotent: true, Retries: 9}, 10)
	p.cfg.Backoff = func(int) time.Duration {
		draws++
		return time.Duration(draws) * 100 * time.Millisecond
	}
	require.Empty(t, answer(p, b, Answer{Code: protocol.NotEnoughReplicas}, now))
	for range 10 {
		d := p.Next(now, Room{Bytes: 1000})
		require.Equal(t, Wait, d.Kind)
		require.Equal(t, now.Add(100*time.Millisecond), d.Until)
	}
	d := p.Next(now.Add(100*time.Millisecond), Room{Bytes: 1000})
	require.Equal(t, Send, d.Kind)
	require.Same(t, b, d.Batch)
	require.Equal(t, 1, draws)
}
