package producer_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

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

// sendTo sends a record and waits for its outcome.
func sendTo(t testing.TB, p *producer.Producer, topic string) {
	t.Helper()
	_, err := p.Send(t.Context(), &producer.Record{Topic: topic, Partition: producer.PartitionOf(0)}, nil).Get(t.Context())
	require.NoError(t, err)
}

// allocatedBy is how many bytes f allocates, by all goroutines.
func allocatedBy(f func()) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return float64(after.TotalAlloc - before.TotalAlloc)
}

// Work is counted as the bytes that it allocates, which do not depend on the machine. Both kinds of work copied all topics or all partitions.
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
		sendTo(t, p, "t")
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
