package producer_test

import (
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
)

// This file measures the cost of an idle producer. A test cannot list the timers, but it can read counters of the
// runtime: a timer with a function starts a goroutine when it fires, and every goroutine that wakes is scheduled.

// sentToAll is a producer with an acknowledged record in each of the partitions of topic t.
func sentToAll(t *testing.T, c *testbroker.Cluster, partitions int32,
	change func(*producer.Config)) *producer.Producer {
	t.Helper()
	p := start(t, c, change)
	for i := range partitions {
		p.Send(t.Context(), to(i, "x"), nil)
	}
	require.NoError(t, p.Flush(t.Context()))
	require.Equal(t, int(partitions), c.Records("t"))
	synctest.Wait()
	return p
}

// withoutCollector stops the garbage collector until the test ends: the counters would include its goroutines.
func withoutCollector(t *testing.T) {
	t.Helper()
	percent := debug.SetGCPercent(-1)
	t.Cleanup(func() { debug.SetGCPercent(percent) })
}

// started returns how many goroutines have been started in this process.
func started() uint64 {
	sample := []metrics.Sample{{Name: "/sched/goroutines-created:goroutines"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// scheduled returns how often goroutines of this process have begun to run after they had waited. The runtime counts
// every eighth time of each goroutine.
func scheduled() (n uint64) {
	sample := []metrics.Sample{{Name: "/sched/latencies:seconds"}}
	metrics.Read(sample)
	for _, count := range sample[0].Value.Float64Histogram().Counts {
		n += count
	}
	return 8 * n
}

// whenStarted lets time pass until d after began, and returns the seconds in which goroutines were started. It reads
// the counter in the middle between two full seconds.
func whenStarted(began time.Time, d time.Duration) (seconds []int) {
	before := started()
	for s := time.Since(began).Round(time.Second); s <= d; s += time.Second {
		time.Sleep(time.Until(began.Add(s + time.Second/2)))
		if now := started(); now != before {
			seconds = append(seconds, int(s/time.Second))
			before = now
		}
	}
	return seconds
}

// TestAnIdleProducerWakesOnlyForMetadataAndIdleConnections: the state of 1,000 partitions has no timer.
func TestAnIdleProducerWakesOnlyForMetadataAndIdleConnections(t *testing.T) {
	withoutCollector(t)
	bubble(t, topics(3, 1000), func(t *testing.T, c *testbroker.Cluster) {
		began := time.Now()
		sentToAll(t, c, 1000, func(cfg *producer.Config) { cfg.MetadataMaxIdle = 24 * time.Hour })
		require.Zero(t, time.Since(began), "the fake network takes no time")
		time.Sleep(1500 * time.Millisecond) // while a response is due, a timer checks the broker after a second
		before := len(c.Requests())
		ran := whenStarted(began, time.Hour)

		// A connection wakes once at the timeout of its last answer, and then sleeps until connections.max.idle.ms is
		// over. The timer of the write deadline fires after twice the timeout and wakes no goroutine; it belongs to the
		// fake network.
		want := []int{30, 60}
		for refresh := 300; refresh < 3600; refresh += 300 {
			want = append(want, refresh, refresh+30, refresh+60)
		}
		want = append(want, 540, 3600) // after 540 s the client closes the connections of the records
		slices.Sort(want)
		require.Equal(t, want, ran)

		refreshes := c.Requests()[before:]
		require.Len(t, refreshes, 12)
		for i, r := range refreshes {
			require.Equal(t, protocol.Metadata, r.Header.Key)
			require.Equal(t, time.Duration(i+1)*5*time.Minute, r.Time.Sub(began))
		}
		require.Equal(t, 1, c.Connections(1)+c.Connections(2)+c.Connections(3), "the one for metadata")
	})
}

// TestAnIdleProducerSleepsForYears: the test fails if anything wakes a goroutine more than twice a week, even a loop in
// a long-lived goroutine.
func TestAnIdleProducerSleepsForYears(t *testing.T) {
	const year, mostScheduled = 365 * 24 * time.Hour, 1000
	withoutCollector(t)
	scene(t, "and asks for its topic once a year", topics(3, 1000), func(t *testing.T, c *testbroker.Cluster) {
		sentToAll(t, c, 1000, func(cfg *producer.Config) { cfg.MetadataMaxAge, cfg.MetadataMaxIdle = year, 20*year })
		time.Sleep(time.Hour)
		requests, goroutines, runs := len(c.RequestsOf(protocol.Metadata)), started(), scheduled()
		time.Sleep(10 * year)
		require.Less(t, scheduled()-runs, uint64(mostScheduled))
		require.LessOrEqual(t, started()-goroutines, uint64(10*20), "a connection is made and closed for each answer")
		require.Len(t, c.RequestsOf(protocol.Metadata), requests+10)
	})
	scene(t, "and has forgotten its topic", topics(3, 1000), func(t *testing.T, c *testbroker.Cluster) {
		sentToAll(t, c, 1000, nil)
		time.Sleep(time.Hour)
		requests, goroutines, runs := len(c.Requests()), started(), scheduled()
		time.Sleep(10 * year)
		require.Less(t, scheduled()-runs, uint64(mostScheduled))
		require.Equal(t, goroutines, started())
		require.Len(t, c.Requests(), requests)
		require.Zero(t, c.Connections(1)+c.Connections(2)+c.Connections(3))
	})
}
