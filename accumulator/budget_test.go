package accumulator

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/record"
)

// settler is an owner that takes and settles on the goroutine that makes a batch ready.
type settler struct{ p *Partition }

func (s *settler) BatchReady() { settleAll(s.p) }

func settleAll(p *Partition) {
	for b := p.Take(); b != nil; b = p.Take() {
		p.Settle(b, acked(0))
	}
}

// newSettling returns an accumulator whose batches are settled as soon as they are full.
func newSettling(cfg Config) *Accumulator {
	cfg.Linger = time.Hour
	cfg.NewOwner = func(p *Partition) Owner { return &settler{p: p} }
	return newTest(cfg)
}

// Nothing of a record stays on the heap, and of a batch little: averaged over the records of 16 KiB batches it must not count.
func TestAppendTakeAndSettleKeepToTheirAllocationBudget(t *testing.T) {
	const records = 10_000
	a := newSettling(Config{})
	p := a.Topic("t").Partition(0)
	r := &record.Record{Key: make([]byte, 10), Value: make([]byte, 100)}
	now := time.Now()
	appended := 0
	run := func() {
		for range records {
			if p.Append(now, r, Hook{}, nil).Result != nil {
				appended++
			}
		}
		a.expediteAll()
	}

	var before, after runtime.MemStats
	run()
	runtime.ReadMemStats(&before)
	run()
	runtime.ReadMemStats(&after)
	bytes := float64(after.TotalAlloc-before.TotalAlloc) / records
	allocations := testing.AllocsPerRun(1, run) / records
	t.Logf("%.4f allocations and %.2f bytes a record", allocations, bytes)
	if !raceEnabled { // the detector makes the pools forget at random
		require.LessOrEqual(t, allocations, 0.05)
		require.LessOrEqual(t, bytes, 20.0)
	}
	require.Equal(t, 4*records, appended)
	requireEmpty(t, a)
}
