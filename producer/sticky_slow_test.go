package producer_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
)

// inTurn is a partitioner that chooses the partitions in turn.
type inTurn struct{ next atomic.Int32 }

func (p *inTurn) Partition(_ *producer.Record, topic producer.TopicView) int32 {
	return p.next.Add(1) % topic.Partitions()
}

// TestASlowProducerStaysInOnePartitionUntilBatchSize shows the README's statement about records without a key, and how
// to spread them.
func TestASlowProducerStaysInOnePartitionUntilBatchSize(t *testing.T) {
	const records = 300
	// partitions sends one record of 100 bytes a second, and returns the partitions of the records.
	partitions := func(t *testing.T, p *producer.Producer, edit func(i int, r *producer.Record)) (all []int32) {
		t.Helper()
		for i := range records {
			r := producer.Record{Topic: "t", Value: make([]byte, 100)}
			if edit != nil {
				edit(i, &r)
			}
			md, err := p.Send(t.Context(), &r, nil).Get(t.Context())
			require.NoError(t, err)
			all = append(all, md.Partition)
			time.Sleep(time.Second)
		}
		return all
	}
	// changes counts the records with another partition than the record before.
	changes := func(all []int32) (n int) {
		for i := 1; i < len(all); i++ {
			if all[i] != all[i-1] {
				n++
			}
		}
		return n
	}
	spreads := func(t *testing.T, all []int32) {
		t.Helper()
		counts := map[int32]int{}
		for _, p := range all {
			counts[p]++
		}
		require.Len(t, counts, 8)
		for p, n := range counts {
			require.InDelta(t, records/8, n, 25, "partition %d", p)
		}
	}
	scene(t, "without a key", topics(1, 8), func(t *testing.T, c *testbroker.Cluster) {
		all := partitions(t, start(t, c, nil), nil)
		require.LessOrEqual(t, changes(all), 4, "%v", all)
		require.Zero(t, changes(all[:60]), "a minute in one partition")
	})
	scene(t, "a key", topics(1, 8), func(t *testing.T, c *testbroker.Cluster) {
		spreads(t, partitions(t, start(t, c, nil), func(i int, r *producer.Record) { r.Key = fmt.Append(nil, i) }))
	})
	scene(t, "a named partition", topics(1, 8), func(t *testing.T, c *testbroker.Cluster) {
		spreads(t, partitions(t, start(t, c, nil),
			func(i int, r *producer.Record) { r.Partition = producer.InPartition(int32(i % 8)) }))
	})
	scene(t, "a partitioner", topics(1, 8), func(t *testing.T, c *testbroker.Cluster) {
		spreads(t, partitions(t, start(t, c, func(cfg *producer.Config) { cfg.Partitioner = new(inTurn) }), nil))
	})
	scene(t, "a batch.size of 0", topics(1, 8), func(t *testing.T, c *testbroker.Cluster) {
		spreads(t, partitions(t, start(t, c, func(cfg *producer.Config) { cfg.BatchSize = 0 }), nil))
	})
}
