package compress

import (
	"bytes"
	"compress/gzip"
	"io"
	"runtime/metrics"
	"testing"

	"github.com/golang/snappy"
	"github.com/pierrec/lz4/v4"
	"github.com/stretchr/testify/require"
)

// fuzzLimit is small, so small inputs exceed it.
const fuzzLimit = 1 << 16

// codecMemory is a codec's own memory, for any input.
const codecMemory = 4 << 20

// allocatedByAll returns how many bytes were ever allocated. It is cheap, and right for large objects; small ones come
// late.
func allocatedByAll() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// fuzzDecompress feeds bytes from anywhere to one codec. The output must be within the limit, the same again behind
// other bytes, and the same through the reference; compressed, it must come back.
func fuzzDecompress(f *testing.F, codec Codec, reference func(src []byte) ([]byte, error)) {
	c := newCompressor(f, codec)
	// Small ones only: on large seeds the fuzzer spends its time with making them smaller.
	for _, data := range [][]byte{nil, []byte("a"), text(100), text(3000), random(300), make([]byte, 70000)} {
		packed, err := c.Compress(nil, data)
		require.NoError(f, err)
		f.Add(packed)
		f.Add(packed[:len(packed)/2])
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		before := allocatedByAll()
		got, err := Decompress(nil, int8(codec), src, fuzzLimit)
		require.LessOrEqual(t, allocatedByAll()-before, uint64(8*(len(src)+fuzzLimit)+codecMemory))
		require.LessOrEqual(t, len(got), fuzzLimit)
		if err != nil {
			require.Empty(t, got)
			return
		}
		again, err := Decompress([]byte("in front"), int8(codec), src, len(got))
		require.NoError(t, err)
		require.Equal(t, "in front", string(again[:8]))
		requireEqual(t, got, again[8:])
		if reference != nil {
			want, err := reference(src)
			require.NoError(t, err, "the reference refuses it")
			requireEqual(t, want, got)
		}
		packed, err := c.Compress(nil, got)
		require.NoError(t, err)
		back, err := Decompress(nil, int8(codec), packed, len(got))
		require.NoError(t, err)
		requireEqual(t, got, back)
	})
}

func FuzzDecompressGzip(f *testing.F) {
	fuzzDecompress(f, Gzip, func(src []byte) ([]byte, error) {
		r, err := gzip.NewReader(bytes.NewReader(src))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	})
}

func FuzzDecompressSnappy(f *testing.F) {
	f.Add(snappy.Encode(nil, text(1000)))
	fuzzDecompress(f, Snappy, func(src []byte) ([]byte, error) {
		if !bytes.HasPrefix(src, []byte(xerialMagic)) {
			return snappy.Decode(nil, src)
		}
		var got []byte
		for src = src[len(xerialHeader):]; len(src) > 0; {
			n := int(src[0])<<24 | int(src[1])<<16 | int(src[2])<<8 | int(src[3])
			part, err := snappy.Decode(nil, src[4:4+n])
			if err != nil {
				return nil, err
			}
			got, src = append(got, part...), src[4+n:]
		}
		return got, nil
	})
}

func FuzzDecompressLZ4(f *testing.F) {
	f.Add(lz4FrameOf(0x40, 0x40, nil, 4, 0, 0, 0x80, 'a', 'b', 'c', 'd', 9, 0, 0, 0, 0x04, 4, 0, 0x50, 'w', 'x', 'y',
		'z', '!', 0, 0, 0, 0))
	f.Add(lz4FrameOf(0x7c, 0x70, []byte{1, 0, 0, 0, 0, 0, 0, 0}, 1, 0, 0, 0x80, 'x'))
	fuzzDecompress(f, LZ4, func(src []byte) ([]byte, error) {
		return io.ReadAll(lz4.NewReader(bytes.NewReader(src)))
	})
}

func FuzzDecompressZstd(f *testing.F) {
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38, 0x03, 0x00, 0x10, 0})
	f.Add([]byte{0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 'x'})
	fuzzDecompress(f, Zstd, nil)
}

func FuzzRoundTrip(f *testing.F) {
	f.Add(uint8(0), uint8(0), uint16(0), []byte("samsa"))
	f.Add(uint8(1), uint8(9), uint16(2000), text(100))
	f.Add(uint8(2), uint8(17), uint16(300), random(300))
	f.Add(uint8(3), uint8(22), uint16(1), []byte{})
	f.Fuzz(func(t *testing.T, which, level uint8, repeat uint16, data []byte) {
		codec := all[which%4]
		l := int(level) % 23
		if codec.CheckLevel(l) != nil {
			l = codec.DefaultLevel()
		}
		c, err := NewCompressor(codec, l)
		require.NoError(t, err)
		data = bytes.Repeat(data, 1+int(repeat)%max(1, 300000/(len(data)+1)))
		packed, err := c.Compress([]byte("in front"), data)
		require.NoError(t, err)
		require.Equal(t, "in front", string(packed[:8]))
		got, err := Decompress(nil, int8(codec), packed[8:], len(data))
		require.NoError(t, err)
		requireEqual(t, data, got)
	})
}
