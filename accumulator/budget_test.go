package accumulator

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/compress"
	"github.com/gosamsa/samsa/record"
)

// settler is an owner that takes and settles a batch on the goroutine that readies it.
type settler struct{ p *Partition }

func (s *settler) BatchReady(<-chan struct{}) { settleAll(s.p) }

func settleAll(p *Partition) {
	for b := p.Take(); b != nil; b = p.Take() {
		p.Settle(b, acked(0))
	}
}

// newSettling returns an accumulator that settles batches as soon as they are full.
func newSettling(cfg Config) *Accumulator {
	cfg.Linger = time.Hour
	cfg.NewDrainer = func(p *Partition) Drainer { return &settler{p: p} }
	return newTest(cfg)
}

// Nothing of a record stays on the heap, and of a batch little: averaged over the records of 16 KiB batches it must not
// count.
func TestAppendTakeAndSettleKeepToTheirAllocationBudget(t *testing.T) {
	const records = 10_000
	a := newSettling(Config{})
	p := a.Topic("t").Partition(0)
	r := &record.Record{Key: make([]byte, 10), Value: make([]byte, 100)}
	appended := 0
	run := func() {
		for range records {
			if add(p, r, Callback{}, nil).Result != nil {
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

func TestSealingAllocatesNothingOnceItRuns(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection empties the pools
	for _, codec := range sealed {
		t.Run(codec.String(), func(t *testing.T) {
			b, raw := fullBatch(t, codec)
			for range 10 {
				sealAgain(t, b, raw) // the codec learns its needs, and the pools fill
			}
			const rounds = 100
			allocations := testing.AllocsPerRun(1, func() {
				for range rounds {
					sealAgain(t, b, raw)
				}
			}) / rounds
			if !raceEnabled { // the detector makes the pools forget at random
				require.LessOrEqual(t, allocations, 0.05)
			}
			if codec != compress.None {
				require.Less(t, len(b.buf), len(raw))
			}
			require.Greater(t, len(parse(t, b).Records), 100)
			b.part.Settle(b, acked(0))
			b.part.acc.expediteAll() // the record too large for it has begun another batch
			settleAll(b.part)
			requireEmpty(t, b.part.acc)
		})
	}
}
