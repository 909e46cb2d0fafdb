package producer_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
)

// longTopics is a cluster with n topics of one partition, with the longest names in Kafka.
func longTopics(release string, n int) (cfg testbroker.Config, names []string) {
	cfg = testbroker.Config{Topics: make(map[string]int32), Versions: testbroker.KafkaVersions(release)}
	for i := range n {
		name := fmt.Sprintf("%s-%d", strings.Repeat("t", 249-5), 1000+i)
		names = append(names, name)
		cfg.Topics[name] = 1
	}
	return cfg, names
}

// requireFramesWithin checks every Produce request as framed, and returns how many batches the fullest one had, and how
// large the largest one of several batches was.
func requireFramesWithin(t *testing.T, c *testbroker.Cluster, most int) (batches, largest int) {
	t.Helper()
	for _, r := range c.Produces() {
		framed := 4 + r.Size
		if len(r.Parts) > 1 {
			require.LessOrEqual(t, framed, most, "%d batches in one request", len(r.Parts))
			largest = max(largest, framed)
		}
		batches = max(batches, len(r.Parts))
	}
	return batches, largest
}

func TestARequestAsFramedStaysWithinMaxRequestSize(t *testing.T) {
	// The batches fill more than two requests, so the second request is full however many batches the first request
	// has.
	const most, n = 80_000, 2000
	for _, release := range []string{"4.3", "4.3 without topic ids", "3.9", "2.1"} {
		cfg, names := longTopics(strings.TrimSuffix(release, " without topic ids"), n)
		if strings.HasSuffix(release, "ids") {
			cfg.Versions[protocol.Metadata] = protocol.VersionRange{Min: 0, Max: 9}
		}
		scene(t, release, cfg, func(t *testing.T, c *testbroker.Cluster) {
			p := start(t, c, func(cfg *producer.Config) {
				cfg.MaxRequestSize, cfg.MaxInFlight, cfg.Linger, cfg.ClientID = most, 1, 0, "größe-日本語"
			})
			var running sync.WaitGroup
			for _, name := range names { // together, so that few Metadata requests suffice
				running.Go(func() {
					_, err := p.PartitionsFor(t.Context(), name)
					assert.NoError(t, err)
				})
			}
			running.Wait()
			release := make(chan struct{})
			c.On(protocol.Produce).Nth(1).Do(testbroker.Hold(release))
			futures := make([]producer.Future, n)
			for i, name := range names {
				futures[i] = p.Send(t.Context(), &producer.Record{Topic: name, Value: []byte("x")}, nil)
			}
			c.WaitProduces(t.Context(), 1)
			close(release)
			for _, f := range futures {
				_, err := f.Get(t.Context())
				require.NoError(t, err)
			}
			batches, largest := requireFramesWithin(t, c, most)
			require.Greater(t, batches, 200)
			require.Greater(t, largest, most-1000, "a request is much smaller than it may be")
		})
	}
}

// Requests of awaited batches have a bound of their own, and the configured bound may be smaller.
func TestAnAwaitedRequestAsFramedStaysWithinMaxRequestSize(t *testing.T) {
	const most, n = 2000, 40
	for _, release := range []string{"4.3", "3.9", "2.1"} {
		cfg, names := longTopics(release, n)
		scene(t, release, cfg, func(t *testing.T, c *testbroker.Cluster) {
			p := start(t, c, func(cfg *producer.Config) { cfg.MaxRequestSize, cfg.BatchSize = most, 1000 })
			// The answer takes a moment: meanwhile the other batches wait for it, and then share requests.
			c.On(protocol.Produce).Do(testbroker.DelayAnswer(time.Millisecond))
			for _, round := range []string{"warm", "x", "y"} {
				var running sync.WaitGroup
				for _, name := range names {
					running.Go(func() {
						_, err := p.Send(t.Context(), &producer.Record{Topic: name, Value: []byte(round)},
							nil).Get(t.Context())
						assert.NoError(t, err)
					})
				}
				running.Wait()
			}
			batches, _ := requireFramesWithin(t, c, most)
			require.Greater(t, batches, 3)
		})
	}
}

// A record of max.request.size is sent alone, though its request as framed is longer.
func TestARecordAsLargeAsARequestIsSentAlone(t *testing.T) {
	const most = 50_000
	bubble(t, topics(1, 2), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 2, func(cfg *producer.Config) { cfg.MaxRequestSize, cfg.MaxInFlight = most, 1 })
		release := make(chan struct{})
		c.On(protocol.Produce).Nth(1).Do(testbroker.Hold(release))
		first := p.Send(t.Context(), to(1, "first"), nil)
		c.WaitProduces(t.Context(), 3)
		large := p.Send(t.Context(), to(0, strings.Repeat("x", most-80)), nil)
		small := p.Send(t.Context(), to(1, "small"), nil)
		close(release)
		for _, f := range []producer.Future{first, large, small} {
			_, err := f.Get(t.Context())
			require.NoError(t, err)
		}
		requireFramesWithin(t, c, most)
		require.Greater(t, 4+c.Produces()[3].Size, most)
	})
}
