package compress

import (
	"bytes"
	"fmt"
	"math"
	"runtime/debug"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

var (
	// sizes lie around the borders of the codecs' blocks and windows.
	sizes = []int{
		0, 1, 2, 3, 12, 13, 16, 100, 1000, 1<<15 - 1, 1 << 15, 1<<15 + 1, 1<<16 - 1, 1 << 16, 1<<16 + 1,
		1 << 17, 1<<17 + 1, 1<<18 + 1,
	}
	kinds = []struct {
		name string
		make func(n int) []byte
	}{{"text", text}, {"random", random}, {"mixed", mixed}, {"zeros", func(n int) []byte { return make([]byte, n) }}}
)

func TestCompressedBytesComeBack(t *testing.T) {
	forAll(t, func(t *testing.T, c *Compressor) {
		for _, kind := range kinds {
			for _, n := range append(sizes, 1<<20) {
				data := kind.make(n)
				packed, err := c.Compress(nil, data)
				require.NoError(t, err)
				require.LessOrEqual(t, len(packed), n+n/1000+64, "%s of %d bytes", kind.name, n)
				got, err := Decompress(nil, int8(c.Codec()), packed, n)
				require.NoError(t, err, "%s of %d bytes", kind.name, n)
				requireEqual(t, data, got)
			}
		}
	})
}

func TestEveryLevelIsReadBackAndHigherOnesAreNotMuchLarger(t *testing.T) {
	data := mixed(70000)
	for _, c := range []struct {
		codec  Codec
		levels []int
	}{
		{Gzip, []int{-1, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{LZ4, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17}},
		{Zstd, []int{-131072, -7, 0, 1, 2, 3, 4, 5, 6, 9, 10, 15, 22}},
	} {
		first, last := 0, 0
		for i, level := range c.levels {
			z, err := NewCompressor(c.codec, level)
			require.NoError(t, err)
			packed, err := z.Compress(nil, data)
			require.NoError(t, err)
			got, err := Decompress(nil, int8(c.codec), packed, len(data))
			require.NoError(t, err)
			requireEqual(t, data, got)
			last = len(packed)
			if i == 0 {
				first = last
			}
		}
		require.LessOrEqual(t, last, first+first/50, "%s", c.codec)
	}
}

func TestBothDirectionsAppend(t *testing.T) {
	forAll(t, func(t *testing.T, c *Compressor) {
		data := mixed(100000)
		plain, err := c.Compress(nil, data)
		require.NoError(t, err)
		for _, room := range []int{0, 1, 100, len(plain) - 1, len(plain), len(plain) + 1, 200000} {
			dst := append(make([]byte, 0, 8+room), "in front"...)
			packed, err := c.Compress(dst, data)
			require.NoError(t, err)
			requireEqual(t, append([]byte("in front"), plain...), packed)
			if room == 200000 {
				require.Same(t, &dst[0], &packed[0], "there was room")
			}
		}
		for _, room := range []int{0, 1, len(data) - 1, len(data), len(data) + 1, 200000} {
			dst := append(make([]byte, 0, 8+room), "in front"...)
			got, err := Decompress(dst, int8(c.Codec()), plain, len(data))
			require.NoError(t, err)
			requireEqual(t, append([]byte("in front"), data...), got)
			if room == 200000 {
				require.Same(t, &dst[0], &got[0], "there was room")
			}
		}
	})
}

func TestNoneCopies(t *testing.T) {
	got, err := Decompress([]byte("ab"), 0, []byte("cd"), 2)
	require.NoError(t, err)
	require.Equal(t, "abcd", string(got))
	_, err = Decompress(nil, 0, []byte("cd"), 1)
	require.ErrorIs(t, err, ErrTooLarge)
}

func TestAnUnknownCodecIsRefused(t *testing.T) {
	for _, codec := range []int8{-1, 5, 7, 127} {
		_, err := Decompress(nil, codec, nil, 1)
		require.ErrorIs(t, err, ErrUnknownCodec)
	}
}

func TestTheLimitIsExact(t *testing.T) {
	forAll(t, func(t *testing.T, c *Compressor) {
		for _, n := range []int{1, 1000, 1 << 15, 1 << 16, 200000} {
			packed, err := c.Compress(nil, text(n))
			require.NoError(t, err)
			for _, limit := range []int{math.MinInt, -1, 0, 1, n / 2, n - 1} {
				if limit >= n {
					continue
				}
				dst := append(make([]byte, 0, 10), "front"...)
				got, err := Decompress(dst, int8(c.Codec()), packed, limit)
				require.ErrorIs(t, err, ErrTooLarge, "%d bytes, limit %d", n, limit)
				require.ErrorContains(t, err, fmt.Sprintf("larger than allowed: %d bytes", max(limit, 0)))
				require.Equal(t, "front", string(got))
			}
			for _, limit := range []int{n, n + 1, math.MaxInt} {
				_, err := Decompress(nil, int8(c.Codec()), packed, limit)
				require.NoError(t, err, "%d bytes, limit %d", n, limit)
			}
		}
	})
}

func TestABombTakesNoMoreMemoryThanAllowed(t *testing.T) {
	forAll(t, func(t *testing.T, c *Compressor) {
		packed, err := c.Compress(nil, make([]byte, 16<<20))
		require.NoError(t, err)
		const limit = 1 << 20
		bytes := allocated(func() { _, err = Decompress(nil, int8(c.Codec()), packed, limit) })
		require.ErrorIs(t, err, ErrTooLarge)
		// The garbage of growing slices counts too.
		require.Less(t, bytes, uint64(8*limit+2*len(packed)), "%d bytes of input", len(packed))
	})
}

func TestEveryCutIsAnError(t *testing.T) {
	forAll(t, func(t *testing.T, c *Compressor) {
		packed, err := c.Compress(nil, mixed(70000))
		require.NoError(t, err)
		whole := 0
		for n := 0; n < len(packed); n += 1 + n/64 {
			if c.Codec() == Snappy && bytes.HasPrefix(packed, packed[:n]) && xerialEnds(packed[:n]) {
				whole++ // xerial's framing does not know how many blocks follow
				continue
			}
			_, err := Decompress(nil, int8(c.Codec()), packed[:n], 1<<20)
			require.ErrorIs(t, err, ErrCorrupt, "%d of %d bytes", n, len(packed))
		}
		require.LessOrEqual(t, whole, 3)
	})
}

// xerialEnds reports whether b ends with the end of a block.
func xerialEnds(b []byte) bool {
	if len(b) < len(xerialHeader) {
		return false
	}
	b = b[len(xerialHeader):]
	for len(b) >= 4 {
		n := int(b[0])<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3])
		if len(b) < 4+n {
			return false
		}
		b = b[4+n:]
	}
	return len(b) == 0
}

func TestNothingBehindTheDataIsTaken(t *testing.T) {
	forAll(t, func(t *testing.T, c *Compressor) {
		packed, err := c.Compress(nil, text(1000))
		require.NoError(t, err)
		_, err = Decompress(nil, int8(c.Codec()), append(packed, 1, 2, 3), 1<<20)
		require.ErrorIs(t, err, ErrCorrupt)
	})
}

func TestFlippedBitsNeverPassTheLimit(t *testing.T) {
	forAll(t, func(t *testing.T, c *Compressor) {
		packed, err := c.Compress(nil, text(1200))
		require.NoError(t, err)
		for i := range packed {
			for bit := range 8 {
				packed[i] ^= 1 << bit
				out, err := Decompress(nil, int8(c.Codec()), packed, 1200)
				require.LessOrEqual(t, len(out), 1200)
				if err != nil {
					require.Empty(t, out)
				}
				packed[i] ^= 1 << bit
			}
		}
	})
}

func TestGarbageIsCorrupt(t *testing.T) {
	for _, codec := range all {
		for _, n := range []int{1, 4, 20, 1000} {
			_, err := Decompress(nil, int8(codec), bytes.Repeat([]byte{0xff}, n), 1<<20)
			require.ErrorIs(t, err, ErrCorrupt, "%s, %d bytes", codec, n)
		}
		_, err := Decompress(nil, int8(codec), nil, 1<<20)
		require.ErrorIs(t, err, ErrCorrupt, "%s, nothing", codec)
	}
}

func TestCompressingDoesNotAllocateOnceItRuns(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection empties the pools
	forAll(t, func(t *testing.T, c *Compressor) {
		for _, data := range [][]byte{text(1000), text(16 << 10), mixed(140000), random(16 << 10)} {
			dst := make([]byte, 0, len(data)+len(data)/1000+64)
			runs := 20
			if raceEnabled {
				runs = 1
			}
			allocs := testing.AllocsPerRun(runs, func() {
				if _, err := c.Compress(dst, data); err != nil {
					t.Error(err)
				}
			})
			if !raceEnabled { // under the race detector pools forget on purpose
				require.Zero(t, allocs, "%d bytes", len(data))
			}
		}
	})
}

func TestOneCompressorServesManyGoroutines(t *testing.T) {
	forAll(t, func(t *testing.T, c *Compressor) {
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				data := mixed(20000 + 7777*i)
				var packed, got []byte
				for range 4 {
					var err error
					if packed, err = c.Compress(packed[:0], data); err != nil {
						t.Error(err)
						return
					}
					got, err = Decompress(got[:0], int8(c.Codec()), packed, len(data))
					if err != nil || !bytes.Equal(data, got) {
						t.Error("goroutines disturb each other", err)
						return
					}
				}
			})
		}
		all.Wait()
	})
}

func TestAFailureLeavesNothingBehind(t *testing.T) {
	forAll(t, func(t *testing.T, c *Compressor) {
		data := mixed(100000)
		packed, err := c.Compress(nil, data)
		require.NoError(t, err)
		broken := bytes.Clone(packed)
		for i := range broken[len(broken)/2:] {
			broken[len(broken)/2+i] ^= 0x55
		}
		for range 20 {
			_, _ = Decompress(nil, int8(c.Codec()), broken, 1<<20)
			got, err := Decompress(nil, int8(c.Codec()), packed, len(data))
			require.NoError(t, err)
			requireEqual(t, data, got)
		}
	})
}

// The producer runs in testing/synctest bubbles, one after the other in a process: nothing may wander from one to the
// next.
func TestWorksInOneBubbleAfterTheOther(t *testing.T) {
	for range 3 {
		synctest.Test(t, func(t *testing.T) {
			for _, codec := range all {
				c := newCompressor(t, codec)
				packed, err := c.Compress(nil, text(1000))
				require.NoError(t, err)
				_, err = Decompress(nil, int8(codec), packed, 1000)
				require.NoError(t, err)
			}
		})
	}
}
