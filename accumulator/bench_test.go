package accumulator

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gosamsa/samsa/compress"
	"github.com/gosamsa/samsa/record"
)

// The cost of a record of 100 bytes from Append to its outcome, with its share of the batch.
func BenchmarkAppend(b *testing.B) {
	callback := func(record.RecordMetadata, error) {}
	for _, c := range []struct {
		name     string
		cfg      Config
		callback Callback
	}{
		{"16KiB", Config{}, Callback{}},
		{"1MB", Config{BatchSize: 1_000_000}, Callback{}},
		{"callback", Config{}, Callback{One: callback}},
	} {
		b.Run(c.name, func(b *testing.B) {
			a := newSettling(c.cfg)
			p := a.Topic("t").Partition(0)
			r := &record.Record{Value: make([]byte, 100)}
			b.ReportAllocs()
			for b.Loop() {
				for add(p, r, c.callback, nil).Result == nil {
					waitForRoom(b, p)
				}
			}
		})
	}
}

// waitForRoom waits as a Send does: for late callbacks.
func waitForRoom(b *testing.B, p *Partition) {
	if err := p.Reserve(b.Context(), 16384); err != nil {
		b.Error(err)
	}
	p.Unreserve(16384)
}

// All goroutines append to one partition; the goroutine that fills a batch settles it.
func BenchmarkAppendParallel(b *testing.B) {
	a := newSettling(Config{})
	p := a.Topic("t").Partition(0)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := &record.Record{Value: make([]byte, 100)}
		for pb.Next() {
			for add(p, r, Callback{}, nil).Result == nil {
				waitForRoom(b, p)
			}
		}
	})
}

// Each goroutine appends to a partition of its own: the remaining cost is that of shared state.
func BenchmarkAppendParallelOwnPartition(b *testing.B) {
	a := newSettling(Config{})
	var next atomic.Int32
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		p := a.Topic("t").Partition(next.Add(1))
		r := &record.Record{Value: make([]byte, 100)}
		for pb.Next() {
			for add(p, r, Callback{}, nil).Result == nil {
				waitForRoom(b, p)
			}
		}
	})
}

// One record alone: the cost of a synchronous send here.
func BenchmarkOneRecordBatch(b *testing.B) {
	a := newTest(Config{Linger: 5 * time.Millisecond})
	p := a.Topic("t").Partition(0)
	r := &record.Record{Value: make([]byte, 100)}
	b.ReportAllocs()
	for b.Loop() {
		f := add(p, r, Callback{}, nil)
		p.expedite(f.Result, nil)
		settleAll(p)
		_, _ = f.Result.Wait(b.Context(), f.Index)
	}
}

func BenchmarkAppendAll(b *testing.B) {
	const n = 100
	a := newSettling(Config{})
	p := a.Topic("t").Partition(0)
	r := &record.Record{Value: make([]byte, 100)}
	pick := func(int) (*record.Record, Callback) { return r, Callback{} }
	done := func(int, *AppendResult) {}
	b.ReportAllocs()
	for b.Loop() {
		p.AppendAll(n, pick, done)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/record")
}

// Sealing a full batch, per codec: a worker's task. The checksum comes later, with the sequence.
func BenchmarkSeal(b *testing.B) {
	for _, codec := range sealed {
		b.Run(codec.String(), func(b *testing.B) {
			batch, raw := fullBatch(b, codec)
			if codec != compress.None { // None looks at no record
				b.SetBytes(int64(len(raw)))
			}
			b.ReportAllocs()
			for b.Loop() {
				sealAgain(b, batch, raw)
			}
			b.ReportMetric(float64(len(batch.buf))/float64(len(raw)), "ratio")
			batch.part.Settle(batch, acked(0))
		})
	}
}

// sealed are the codecs for sealing a batch.
var sealed = []compress.Codec{compress.None, compress.Gzip, compress.Snappy, compress.LZ4, compress.Zstd}

// fullBatch returns a taken batch, and its bytes as they were before it is sealed and compressed.
func fullBatch(tb testing.TB, codec compress.Codec) (b *Batch, raw []byte) {
	tb.Helper()
	cfg := Config{Linger: time.Hour}
	if codec != compress.None {
		cfg.Compressor = compressorFor(tb, codec)
	}
	p := newTest(cfg).Topic("t").Partition(0)
	for i := 0; !p.HasFullBatch(); i++ {
		r := &record.Record{Value: fmt.Appendf(nil,
			`{"request":"payment","status":"accepted","latency":%d,"region":"eu-west","session":%d}`, i%90, i*7919)}
		add(p, r, Callback{}, nil)
	}
	b = take(tb, p)
	return b, bytes.Clone(b.buf)
}

// sealAgain seals and compresses a batch. A compressed batch first gets its raw records back: this copy is part of the
// measurement, and small beside a codec.
func sealAgain(tb testing.TB, b *Batch, raw []byte) {
	p := b.part
	if len(b.buf) != len(raw) {
		box := p.bufferOverLimit(p.acc.capacityFor(len(raw)))
		b.use(box, append(*box, raw...))
	}
	b.seal()
	if p.acc.cfg.Compressor == nil {
		return
	}
	if err := b.Compress(); err != nil {
		tb.Error(err)
	}
}
