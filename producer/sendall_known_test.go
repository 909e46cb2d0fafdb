package producer_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
)

func TestSendAllLetsNoKnownTopicWaitForAnUnknownOne(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var at [3]time.Duration
		began := time.Now()
		records := []producer.Record{*to(0, "before"), {Topic: "nowhere", Value: []byte("x")}, *to(0, "after")}
		futures := p.SendAllFunc(ctx, records,
			func(i int, _ producer.RecordMetadata, _ error) { at[i] = time.Since(began) }, nil)
		for i, f := range futures {
			_, err := f.Get(t.Context())
			if i == 1 {
				require.ErrorIs(t, err, producer.ErrUnknownTopic)
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

// The topics exist, but the producer does not know them yet. One more topic is missing, and uses up MaxBlock.
func TestSendAllLetsNoNewTopicWaitForAnUnknownOne(t *testing.T) {
	many := testbroker.Config{Topics: map[string]int32{"a": 1, "b": 1, "c": 1}}
	bubble(t, many, func(t *testing.T, c *testbroker.Cluster) {
		p := start(t, c, func(cfg *producer.Config) {
			cfg.MaxBlock, cfg.TopicMetadataPropagationMax = 3*time.Second, -time.Millisecond
		})
		var records []producer.Record
		for range 100 { // more than one piece
			for _, topic := range []string{"nowhere", "a", "b", "c"} {
				records = append(records, producer.Record{Topic: topic})
			}
		}
		began := time.Now()
		futures := p.SendAll(t.Context(), records[:4])
		require.Equal(t, 3*time.Second, time.Since(began))
		for i, f := range futures {
			_, err := f.Get(t.Context())
			require.Equal(t, i == 0, errors.Is(err, producer.ErrUnknownTopic), "%d: %v", i, err)
			require.Equal(t, i != 0, err == nil, "%d: %v", i, err)
		}
		for i, f := range p.SendAll(t.Context(), records) {
			_, err := f.Get(t.Context())
			require.Equal(t, records[i].Topic != "nowhere", err == nil, "%d: %v", i, err)
		}
	})
}

func TestSendAllRequestsAllTopicsBeforeItWaits(t *testing.T) {
	topics := map[string]int32{}
	var records []producer.Record
	for i := range 300 {
		topics[fmt.Sprint("t", i)] = 1
		records = append(records, producer.Record{Topic: fmt.Sprint("t", i)})
	}
	bubble(t, testbroker.Config{Topics: topics}, func(t *testing.T, c *testbroker.Cluster) {
		p := start(t, c, nil)
		for _, f := range p.SendAll(t.Context(), records) {
			_, err := f.Get(t.Context())
			require.NoError(t, err)
		}
		// A request names all topics that are due at its write, so the number of requests depends on the scheduler.
		require.Less(t, len(c.RequestsOf(protocol.Metadata)), len(records)/10, "topics travel together")
	})
}
