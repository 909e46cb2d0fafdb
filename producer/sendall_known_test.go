package producer_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
)

func TestSendAllLetsNoKnownTopicWaitForAnUnknownOne(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var at [3]time.Duration
		began := time.Now()
		records := []producer.Record{*to(0, "before"), {Topic: "nowhere", Value: []byte("x")}, *to(0, "after")}
		futures := p.SendAll(ctx, records, func(i int, _ producer.Metadata, _ error) { at[i] = time.Since(began) }, nil)
		for i, f := range futures {
			_, err := f.Get(t.Context())
			if i == 1 {
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.False(t, producer.MaybeWritten(err))
				continue
			}
			require.NoError(t, err)
		}
		require.NoError(t, p.Flush(t.Context()))
		require.Less(t, at[0], time.Second)
		require.Less(t, at[2], time.Second)
	})
}
