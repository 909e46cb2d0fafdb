package producer_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/running"
	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
)

// goroutines counts the library's goroutines at one time, by purpose.
type goroutines struct {
	readers   int // serve a connection
	callbacks int // run the callbacks of a partition
	others    int
	all       string // their first functions, for the text of a failure
}

// goroutinesNow counts the goroutines of the caller's bubble. It leaves out the test's own goroutines and those of the
// fake brokers.
func goroutinesNow() (g goroutines) {
	for _, first := range running.Goroutines() {
		switch {
		case strings.HasPrefix(first, "producer_test."), strings.HasPrefix(first, "producer.TestMain"),
			strings.HasPrefix(first, "internal/testbroker."):
			continue
		case strings.HasPrefix(first, "internal/transport."):
			g.readers++
		case strings.HasPrefix(first, "accumulator.(*Partition).deliver"):
			g.callbacks++
		default:
			g.others++
		}
		g.all += first + "\n"
	}
	return g
}

// handful is the number of allowed goroutines beyond two for each connection: two workers for compression, and the
// request of a producer id.
const handful = 3

// requireTwoAConnection checks that the connections bound the number of the library's goroutines, whatever the number
// of partitions.
func requireTwoAConnection(t *testing.T, c *testbroker.Cluster, brokers int) {
	t.Helper()
	connections := 0
	for b := range brokers {
		connections += c.Connections(int32(b + 1))
	}
	require.Equal(t, brokers+1, connections, "one to each broker and one for metadata")
	g := goroutinesNow()
	require.Equal(t, connections, g.readers, g.all)
	require.LessOrEqual(t, g.readers+g.others, 2*connections+handful, g.all)
	require.Zero(t, g.callbacks, g.all)
}

// peak has the largest numbers of goroutines at one time.
type peak struct {
	requests atomic.Int64
	mu       sync.Mutex
	seen     goroutines
}

// look is a callback of the cluster, so it runs while the library works. It counts only at some requests, because
// counting takes long.
func (p *peak) look(*testbroker.Request) testbroker.Action {
	if p.requests.Add(1)%20 != 1 {
		return testbroker.Pass()
	}
	g := goroutinesNow()
	p.mu.Lock()
	defer p.mu.Unlock()
	if g.others > p.seen.others {
		p.seen.others, p.seen.all = g.others, g.all
	}
	p.seen.readers, p.seen.callbacks = max(p.seen.readers, g.readers), max(p.seen.callbacks, g.callbacks)
	return testbroker.Pass()
}

// TestAProducerHasTwoGoroutinesAConnection: a topic, a partition, a batch, a request and a record have none. While
// callbacks run, there is one more for each of their partitions.
func TestAProducerHasTwoGoroutinesAConnection(t *testing.T) {
	const partitions = 1000
	for _, brokers := range []int{3, 9} {
		scene(t, fmt.Sprintf("%d brokers", brokers), topics(brokers, partitions),
			func(t *testing.T, c *testbroker.Cluster) {
				p := sentToAll(t, c, partitions, func(cfg *producer.Config) {
					// linger.ms is 0, because the timers of lingering batches would fire at the same time, and each
					// starts a goroutine for a moment.
					cfg.Compression, cfg.CompressionWorkers, cfg.Linger = producer.CompressionSnappy, 2, 0
				})
				requireTwoAConnection(t, c, brokers)

				most := new(peak)
				c.Hook(most.look)
				release := make(chan struct{})
				held := c.On(protocol.Produce).Do(testbroker.HoldAnswer(release))
				for range 6 { // a request or more to each broker, until five are unanswered
					for i := range int32(partitions) {
						p.Send(t.Context(), to(i, strings.Repeat("x", 200)), nil)
					}
					synctest.Wait()
				}
				deepest := 0
				for _, r := range c.Produces() {
					deepest = max(deepest, r.InFlight)
				}
				require.Equal(t, 5, deepest, "it is as busy as it can be")
				requireTwoAConnection(t, c, brokers)
				held.End()
				close(release)
				require.NoError(t, p.Flush(t.Context()))
				synctest.Wait()
				requireTwoAConnection(t, c, brokers)

				// While one goroutine processes a response, another goroutine may read from the same connection.
				t.Logf("at most %d readers, %d others", most.seen.readers, most.seen.others)
				require.LessOrEqual(t, most.seen.others, brokers+1+handful, most.seen.all)
				require.Zero(t, most.seen.callbacks, "nobody wants to be called")
			})
	}
}

func TestCallbacksThatBlockHaveAGoroutineAPartition(t *testing.T) {
	const partitions = 100
	bubble(t, topics(3, partitions), func(t *testing.T, c *testbroker.Cluster) {
		p := sentToAll(t, c, partitions, nil)
		release := make(chan struct{})
		for range 10 {
			for i := range int32(partitions) {
				p.Send(t.Context(), to(i, "x"), func(producer.RecordMetadata, error) { <-release })
			}
			time.Sleep(time.Second)
		}
		g := goroutinesNow()
		require.Equal(t, partitions, g.callbacks, g.all)
		require.LessOrEqual(t, g.readers+g.others, 2*4+handful, g.all)
		close(release)
		require.NoError(t, p.Flush(t.Context()))
		synctest.Wait()
		requireTwoAConnection(t, c, 3)
	})
}
