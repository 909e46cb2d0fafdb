package producer_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/cluster"
	"github.com/gosamsa/samsa/internal/samecost"
	"github.com/gosamsa/samsa/producer"
)

func startOnCrowd(t testing.TB, c *crowd) *producer.Producer {
	t.Helper()
	cfg := producer.DefaultConfig("b1:9092")
	cfg.Dialer, cfg.Linger, cfg.BufferMemory = c.dial, 0, 1<<30
	p, err := producer.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close(context.Background())) })
	return p
}

// sendTo sends a record to one partition and waits for its outcome.
func sendTo(t testing.TB, p *producer.Producer, topic string) {
	t.Helper()
	_, err := p.Send(t.Context(), &producer.Record{Topic: topic, Partition: producer.InPartition(0)},
		nil).Get(t.Context())
	require.NoError(t, err)
}

// sendToAll sends a record to each of the first partitions of each topic, and waits for the outcomes.
func sendToAll(t testing.TB, p *producer.Producer, topics []string, partitions int32) {
	t.Helper()
	var failed atomic.Int64
	for _, topic := range topics {
		for i := range partitions {
			p.Send(t.Context(), &producer.Record{Topic: topic, Partition: producer.InPartition(i)},
				func(_ producer.RecordMetadata, err error) {
					if err != nil {
						failed.Add(1)
					}
				})
		}
	}
	require.NoError(t, p.Flush(t.Context()))
	require.Zero(t, failed.Load())
}

// allocatedBy returns how many bytes all goroutines allocate during f.
func allocatedBy(f func()) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return float64(after.TotalAlloc - before.TotalAlloc)
}

// These two tests measure work by allocated bytes, so the result does not depend on the machine. Both kinds of work
// once copied all topics or all partitions.
func TestAFirstSendCostsTheSameWithManyKnownTopics(t *testing.T) {
	const sends = 100
	p := startOnCrowd(t, newCrowd(1, 1))
	known := 0
	cost := func(topics int) float64 {
		var sent sync.WaitGroup
		for from := known; from < topics; from += topics / 10 {
			sent.Go(func() {
				for i := from; i < from+topics/10; i++ {
					sendTo(t, p, fmt.Sprint("known-", i))
				}
			})
		}
		sent.Wait()
		known = topics
		return allocatedBy(func() {
			for i := range sends {
				sendTo(t, p, fmt.Sprint("first-", topics, "-", i))
			}
		}) / sends
	}
	few := cost(10)
	many := cost(10_000)
	require.Less(t, many, 2*few, "bytes for a first send")
}

func TestALeaderHintCostsTheSameInATopicOfManyPartitions(t *testing.T) {
	const moves = 100
	cost := func(partitions int32) float64 {
		c := newCrowd(2, partitions)
		c.leaderless = 1
		p := startOnCrowd(t, c)
		sendToAll(t, p, []string{"t"}, partitions-c.leaderless)
		c.mu.Lock()
		asked := c.asked
		c.mu.Unlock()
		spent := allocatedBy(func() {
			for range moves {
				c.turnOver()
				sendTo(t, p, "t")
			}
		}) / moves
		c.mu.Lock()
		defer c.mu.Unlock()
		require.Equal(t, moves, c.refuses)
		require.Equal(t, asked, c.asked, "the hint makes a Metadata request needless")
		return spent
	}
	few := cost(100)
	many := cost(10_000)
	require.Less(t, many, 3*few, "bytes for a leader hint")
}

// hints returns a round of samecost.Check: the producer repeatedly learns of another leader of a partition. The work of
// the metadata client, the sender and the producer runs on this goroutine.
func hints(p *producer.Producer, topic string) func() {
	client := producer.ClusterOf(p)
	return func() {
		for range 50 {
			now := client.Snapshot().Topic(topic).Partition(0)
			client.ApplyLeaderHints("crowd",
				[]cluster.LeaderHint{{Topic: topic, Leader: 3 - now.Leader, LeaderEpoch: now.LeaderEpoch + 1}}, nil)
		}
	}
}

// Work without allocations, such as taking the lock of each partition, shows in the time.
func TestHintsAndFirstUsesTakeTheSameTimeWithMuchInUse(t *testing.T) {
	inUse := func(topics int, partitions int32) *producer.Producer {
		p := startOnCrowd(t, newCrowd(2, partitions))
		names := make([]string, topics)
		for i := range names {
			names[i] = fmt.Sprint("t", i)
			_, err := producer.ClusterOf(p).TryTopic(names[i]) // so that few requests contain all batches
			require.ErrorIs(t, err, cluster.ErrPending)
		}
		sendToAll(t, p, names, partitions)
		return p
	}
	t.Run("hint, many partitions",
		func(t *testing.T) { samecost.Check(t, hints(inUse(1, 100), "t0"), hints(inUse(1, 10_000), "t0")) })
	few, many := inUse(100, 1), inUse(10_000, 1)
	t.Run("hint, many topics", func(t *testing.T) { samecost.Check(t, hints(few, "t0"), hints(many, "t0")) })
	again := func(p *producer.Producer) func() {
		return func() {
			for range 50 {
				if !producer.UseAgain(p, "t0") {
					panic("the topic is in use")
				}
			}
		}
	}
	t.Run("first use", func(t *testing.T) { samecost.Check(t, again(few), again(many)) })
}
