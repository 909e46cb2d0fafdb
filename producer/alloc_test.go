//go:build !race

package producer_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/producer"
)

// The budgets of the whole way of a record, from Send to its outcome, whichever goroutine allocates. The race detector
// makes pools forget at random, so they are built without it.

// cheapest runs f several times; each run handles n records. It returns the allocations of the whole process for a
// record in the cheapest run: a collection empties the pools, and the other runs may have had to fill them.
func cheapest(records int, f func()) (allocations, bytes float64) {
	f()
	for i := range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		a := float64(after.Mallocs-before.Mallocs) / float64(records)
		b := float64(after.TotalAlloc-before.TotalAlloc) / float64(records)
		if i == 0 {
			allocations, bytes = a, b
		}
		allocations, bytes = min(allocations, a), min(bytes, b)
	}
	return allocations, bytes
}

// onSink is a producer on a sink over TCP.
func onSink(t *testing.T, linger time.Duration) *producer.Producer {
	t.Helper()
	cfg := producer.DefaultConfig(startSink(t).listener.Addr().String())
	cfg.Linger = linger
	p, err := producer.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close(context.Background())) })
	return p
}

// A record leaves nothing on the heap, and a batch little: 120 records share 2 to 4 allocations.
func TestARecordCostsAtMostATwentiethOfAnAllocation(t *testing.T) {
	const records = 10_000
	var delivered atomic.Int64
	callback := func(_ producer.RecordMetadata, err error) {
		if err == nil {
			delivered.Add(1)
		}
	}
	for _, c := range []struct {
		name        string
		callback    producer.Callback
		allocations float64
	}{{"without a callback", nil, 0.05}, {"with a callback", callback, 0.05}} {
		t.Run(c.name, func(t *testing.T) {
			p := onSink(t, time.Minute) // batches go when they are full, however slow the machine is
			r := &producer.Record{Topic: "t", Key: make([]byte, 10), Value: make([]byte, 100)}
			allocations, bytes := cheapest(records, func() {
				for range records {
					p.Send(t.Context(), r, c.callback)
				}
				if err := p.Flush(t.Context()); err != nil {
					t.Error(err)
				}
			})
			t.Logf("%.3f allocations and %.1f bytes a record", allocations, bytes)
			require.LessOrEqual(t, allocations, c.allocations)
			require.LessOrEqual(t, bytes, 20.0)
		})
	}
	require.EqualValues(t, 6*records, delivered.Load())
}

// A record with a waiting goroutine is a batch of its own, and pays for all of it.
func TestASynchronousSendCostsAtMostFourAllocations(t *testing.T) {
	const records = 1000
	p := onSink(t, 5*time.Millisecond)
	r := &producer.Record{Topic: "t", Key: make([]byte, 10), Value: make([]byte, 100)}
	allocations, bytes := cheapest(records, func() {
		for range records {
			if _, err := p.Send(t.Context(), r, nil).Get(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	t.Logf("%.2f allocations and %.0f bytes a record", allocations, bytes)
	require.LessOrEqual(t, allocations, 4.0)
	require.LessOrEqual(t, bytes, 1024.0)
}
