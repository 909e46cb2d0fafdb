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

// These tests limit the allocations of all goroutines for a record, from Send to its outcome. This file is built
// without the race detector, because the detector makes pools drop objects at random.

// cheapest runs f several times; each run handles n records. It returns the allocations per record in the cheapest run,
// counted in the whole process. In other runs a garbage collection may have emptied the pools.
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

// A record needs no allocation of its own, and a batch few: 120 records share 2 to 4 allocations.
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
			p := onSink(t, time.Minute) // only full batches are sent, even on a slow machine
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

// A record with a waiting goroutine is a batch of its own, so it needs all allocations of a batch.
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
