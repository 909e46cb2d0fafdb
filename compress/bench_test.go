package compress

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/s2"
)

// orders is JSON as services send it: the same names in each record, a few words, identifiers that never repeat.
func orders(n int) []byte {
	r := rand.New(rand.NewPCG(1, 1))
	words := []string{"order", "customer", "shipping", "address", "product", "warehouse", "invoice", "pending", "delivered", "returned"}
	word := func() string { return words[r.IntN(len(words))] }
	var b []byte
	for len(b) < n {
		b = fmt.Appendf(b, `{"id":%d,"uuid":"%08x-%04x","created_at":"2024-05-%02dT%02d:%02d:%02d.%03dZ","items":[`,
			r.IntN(1e9), r.Uint32(), r.IntN(1<<16), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60), r.IntN(1000))
		for range 10 {
			b = fmt.Appendf(b, `{"sku":"%08x","name":"%s %s","qty":%d,"price":%d.%02d,"tag":"%s"},`,
				r.Uint32(), word(), word(), r.IntN(100), r.IntN(1000), r.IntN(100), word())
		}
		b = append(b, `]}`...)
	}
	return b[:n]
}

// batches are as long as a batch is by default, and as one that is made for throughput.
var batches = []struct {
	name string
	size int
}{{"16KiB", 16 << 10}, {"1MiB", 1 << 20}}

func BenchmarkCompress(b *testing.B) {
	for _, l := range []struct {
		codec Codec
		level int
	}{
		{Gzip, -1}, {Gzip, 1}, {Gzip, 9}, {Snappy, 0}, {LZ4, 9}, {LZ4, 1}, {LZ4, 12}, {Zstd, 1}, {Zstd, 3}, {Zstd, 6}, {Zstd, 10},
	} {
		for _, batch := range batches {
			b.Run(fmt.Sprintf("%s/level=%d/%s", l.codec, l.level, batch.name), func(b *testing.B) {
				c, err := NewCompressor(l.codec, l.level)
				if err != nil {
					b.Fatal(err)
				}
				data := orders(4 * batch.size)
				dst := make([]byte, 0, batch.size+batch.size/1000+64)
				b.SetBytes(int64(batch.size))
				b.ReportAllocs()
				packed, i := 0, 0
				for b.Loop() {
					src := data[i%4*batch.size:][:batch.size]
					out, err := c.Compress(dst, src)
					if err != nil {
						b.Fatal(err)
					}
					packed += len(out)
					i++
				}
				b.ReportMetric(float64(packed)/float64(i)/float64(batch.size), "ratio")
			})
		}
	}
}

func BenchmarkDecompress(b *testing.B) {
	for _, codec := range all {
		for _, batch := range batches {
			b.Run(fmt.Sprintf("%s/%s", codec, batch.name), func(b *testing.B) {
				packed, err := newCompressor(b, codec).Compress(nil, orders(batch.size))
				if err != nil {
					b.Fatal(err)
				}
				dst := make([]byte, 0, batch.size+1)
				b.SetBytes(int64(batch.size))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Decompress(dst, int8(codec), packed, batch.size); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkSnappyEncoders is why the one encoder was chosen, BenchmarkSnappyDecoders why the other decoder was. The input
// changes from one round to the next: on one that stays, the processor's branch prediction learns it by heart.
func BenchmarkSnappyEncoders(b *testing.B) {
	for _, e := range []struct {
		name   string
		encode func(dst, src []byte) []byte
	}{{"golang", snappy.Encode}, {"klauspost", s2.EncodeSnappy}} {
		for _, data := range []struct {
			name string
			data []byte
			size int
		}{
			{"orders=1KiB", orders(4 << 20), 1 << 10}, {"orders=16KiB", orders(4 << 20), 16 << 10},
			{"orders=32KiB", orders(4 << 20), 32 << 10}, {"text=32KiB", text(4 << 20), 32 << 10},
			{"random=32KiB", random(4 << 20), 32 << 10},
		} {
			b.Run(e.name+"/"+data.name, func(b *testing.B) {
				dst := make([]byte, snappy.MaxEncodedLen(data.size))
				b.SetBytes(int64(data.size))
				b.ReportAllocs()
				n, i := 0, 0
				for b.Loop() {
					at := i * data.size % len(data.data)
					n += len(e.encode(dst, data.data[at:at+data.size]))
					i++
				}
				b.ReportMetric(float64(n)/float64(i*data.size), "ratio")
			})
		}
	}
}

func BenchmarkSnappyDecoders(b *testing.B) {
	for _, d := range []struct {
		name   string
		decode func(dst, src []byte) ([]byte, error)
	}{{"golang", snappy.Decode}, {"klauspost", s2.Decode}} {
		b.Run(d.name, func(b *testing.B) {
			packed := snappy.Encode(nil, orders(32<<10))
			dst := make([]byte, 32<<10)
			b.SetBytes(32 << 10)
			for b.Loop() {
				if _, err := d.decode(dst, packed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
