package compress

import (
	stdgzip "compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// orders is JSON as services send it: the same names in each record, a few words, identifiers without repetition.
func orders(n int) []byte {
	r := rand.New(rand.NewPCG(1, 1))
	words := []string{"order", "customer", "shipping", "address", "product", "warehouse", "invoice", "pending",
		"delivered", "returned"}
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

// batches are the default length of a batch, and a length chosen for throughput.
var batches = []struct {
	name string
	size int
}{{"16KiB", 16 << 10}, {"1MiB", 1 << 20}}

func BenchmarkCompress(b *testing.B) {
	for _, l := range []struct {
		codec Codec
		level int
	}{
		{Gzip, -1}, {Gzip, 1}, {Gzip, 9}, {Snappy, 0}, {LZ4, 9}, {LZ4, 1}, {LZ4, 12}, {Zstd, 1}, {Zstd, 3}, {Zstd, 6},
		{Zstd, 10},
	} {
		for _, batch := range batches {
			b.Run(fmt.Sprintf("%s/level=%d/%s", l.codec, l.level, batch.name), func(b *testing.B) {
				c, err := NewCompressor(l.codec, l.level)
				if err != nil {
					b.Fatal(err)
				}
				dst := make([]byte, 0, batch.size+batch.size/1000+64)
				benchEncoder(b, orders(4*batch.size), batch.size, func(src []byte) (int, error) {
					out, err := c.Compress(dst, src)
					return len(out), err
				})
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

// BenchmarkSnappyEncoders is the reason for the one library's encoder, BenchmarkSnappyDecoders for the other library's
// decoder. The input changes from one round to the next: the processor's branch prediction would learn a constant input
// by heart.
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
				benchEncoder(b, data.data, data.size, func(src []byte) (int, error) {
					return len(e.encode(dst, src)),
						nil
				})
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

// gzipWriter is the common interface of both libraries' encoders.
type gzipWriter interface {
	io.WriteCloser
	Reset(w io.Writer)
}

// BenchmarkGzipEncoders is why klauspost's encoder was chosen and not the standard library's.
func BenchmarkGzipEncoders(b *testing.B) {
	for _, e := range []struct {
		name string
		open func(w io.Writer, level int) (gzipWriter, error)
	}{
		{"standard", func(w io.Writer, level int) (gzipWriter, error) { return stdgzip.NewWriterLevel(w, level) }},
		{"klauspost", func(w io.Writer, level int) (gzipWriter, error) { return gzip.NewWriterLevel(w, level) }},
	} {
		for _, level := range []int{1, -1, 9} {
			for _, batch := range batches {
				b.Run(fmt.Sprintf("%s/level=%d/%s", e.name, level, batch.name), func(b *testing.B) {
					out := appender{b: make([]byte, 0, batch.size)}
					w, err := e.open(&out, level)
					if err != nil {
						b.Fatal(err)
					}
					benchEncoder(b, orders(4*batch.size), batch.size, func(src []byte) (n int, err error) {
						out.b = out.b[:0]
						w.Reset(&out)
						if _, err := w.Write(src); err != nil {
							return 0, err
						}
						err = w.Close()
						return len(out.b), err
					})
				})
			}
		}
	}
}

// BenchmarkZstdWindows is why the window has 256 KiB.
func BenchmarkZstdWindows(b *testing.B) {
	for _, window := range []int{64 << 10, zstdWindow, 1 << 20} {
		for _, batch := range batches {
			b.Run(fmt.Sprintf("%dKiB/%s", window>>10, batch.name), func(b *testing.B) {
				e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window),
					zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
				if err != nil {
					b.Fatal(err)
				}
				out := make([]byte, 0, batch.size)
				benchEncoder(b, orders(4*batch.size), batch.size,
					func(src []byte) (int, error) { return len(e.EncodeAll(src, out)), nil })
			})
		}
	}
}

// BenchmarkLZ4Blocks is how much a block of another size than 64 KiB would change.
func BenchmarkLZ4Blocks(b *testing.B) {
	for _, block := range []int{16 << 10, lz4BlockSize, 256 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB/1MiB", block>>10), func(b *testing.B) {
			c := new(lz4.Compressor)
			out := make([]byte, lz4.CompressBlockBound(block))
			benchEncoder(b, orders(4<<20), 1<<20, func(src []byte) (n int, err error) {
				for len(src) > 0 {
					k, err := c.CompressBlock(src[:min(block, len(src))], out)
					if err != nil {
						return 0, err
					}
					n, src = n+lz4Length+k, src[min(block, len(src)):]
				}
				return n, nil
			})
		})
	}
}

// benchEncoder gives encode pieces of data of the given size, another one in each round, and reports the ratio of
// compressed to uncompressed bytes.
func benchEncoder(b *testing.B, data []byte, size int, encode func(src []byte) (int, error)) {
	b.SetBytes(int64(size))
	b.ReportAllocs()
	packed, i := 0, 0
	for b.Loop() {
		n, err := encode(data[i*size%len(data):][:size])
		if err != nil {
			b.Fatal(err)
		}
		packed += n
		i++
	}
	b.ReportMetric(float64(packed)/float64(i*size), "ratio")
}
