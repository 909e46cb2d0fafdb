package itest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gosamsa/samsa/internal/itest/realkafka"
	"github.com/gosamsa/samsa/producer"
	"github.com/stretchr/testify/require"
)

// TestNoAcknowledgedRecordIsMissingWhenARealClusterIsReplaced discards a cluster and starts another one at the same
// addresses. The new cluster gives the first producer id to another producer, and would answer "duplicate" to a
// producer with an id of the former cluster.
func TestNoAcknowledgedRecordIsMissingWhenARealClusterIsReplaced(t *testing.T) {
	for _, test := range []struct {
		version string
		sameID  bool
	}{{realkafka.DefaultVersion, false}, {realkafka.DefaultVersion, true}, {"2.8.2", false}} {
		t.Run(fmt.Sprintf("%s, same cluster id %v", test.version, test.sameID), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			cluster := realkafka.Start(t, realkafka.Options{Version: test.version})
			topic := realkafka.Topic{Name: "t", Partitions: 2}
			require.NoError(t, cluster.CreateTopics(ctx, topic))
			p := newProducer(t, producer.DefaultConfig(cluster.Bootstrap()...))
			require.Len(t, sendEach(ctx, t, p, "before", 15).acked, 15)

			require.NoError(t, cluster.Replace(ctx, test.sameID))
			require.NoError(t, cluster.CreateTopics(ctx, topic))
			q := newProducer(t, producer.DefaultConfig(cluster.Bootstrap()...))
			var all outcomes
			all.add(sendEach(ctx, t, q, "new producer", 20))
			all.add(sendEach(ctx, t, p, "old producer", 25))
			all.add(sendEach(ctx, t, q, "new producer again", 20))

			records, err := cluster.ReadAll(ctx, "t")
			require.NoError(t, err)
			times := map[string]int{}
			for _, r := range records["t"] {
				times[string(r.Value)]++
			}
			for _, value := range all.acked {
				require.Equal(t, 1, times[value], "%s was acknowledged", value)
			}
			for _, value := range all.notWritten {
				require.Zero(t, times[value], "%s was reported as not written", value)
			}
			require.Greater(t, len(all.acked), 60)
		})
	}
}

// outcomes are the values of records by their reported outcome.
type outcomes struct{ acked, notWritten, maybe []string }

func (o *outcomes) add(more outcomes) {
	o.acked, o.notWritten, o.maybe = append(o.acked, more.acked...), append(o.notWritten, more.notWritten...),
		append(o.maybe, more.maybe...)
}

// sendEach sends n records to both partitions in turn, and waits for each.
func sendEach(ctx context.Context, t *testing.T, p *producer.Producer, who string, n int) (o outcomes) {
	t.Helper()
	for i := range n {
		value := fmt.Sprintf("%s %d", who, i)
		_, err := p.Send(ctx, &producer.Record{Topic: "t", Partition: producer.InPartition(int32(i % 2)),
			Value: []byte(value)}, nil).Get(ctx)
		switch {
		case err == nil:
			o.acked = append(o.acked, value)
		case producer.MaybeWritten(err):
			o.maybe = append(o.maybe, value)
			t.Logf("%s: %v", value, err)
		default:
			o.notWritten = append(o.notWritten, value)
			t.Logf("%s: %v", value, err)
		}
	}
	return o
}
