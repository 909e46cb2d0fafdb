//go:build !race

package producer_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/producer"
)

// Of a record nothing stays on the heap, and of a batch little: a fifth of an allocation a record is the budget of the whole
// way, from Send to the callback.
func TestARecordCostsAtMostAFifthOfAnAllocation(t *testing.T) {
	const records = 10_000
	s := startSink(t)
	cfg := producer.DefaultConfig(s.listener.Addr().String())
	cfg.Linger = time.Minute // batches go when they are full, however slow the machine is
	p, err := producer.New(cfg)
	require.NoError(t, err)
	var delivered atomic.Int64
	cb := func(_ producer.Metadata, err error) {
		if err == nil {
			delivered.Add(1)
		}
	}
	r := &producer.Record{Topic: "t", Key: make([]byte, 10), Value: make([]byte, 100)}
	run := func() {
		for range records {
			p.Send(t.Context(), r, cb)
		}
		if err := p.Flush(t.Context()); err != nil {
			t.Error(err)
		}
	}
	run()
	a := testing.AllocsPerRun(3, run) / records
	t.Logf("%.3f allocations a record", a)
	require.LessOrEqual(t, a, 0.2)
	require.EqualValues(t, 5*records, delivered.Load())
	require.NoError(t, p.Close(t.Context()))
}
