package compress

import (
	"bytes"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// all are the codecs without None.
var all = []Codec{Gzip, Snappy, LZ4, Zstd}

// forAll runs a test for each codec at its default level.
func forAll(t *testing.T, test func(t *testing.T, c *Compressor)) {
	for _, codec := range all {
		t.Run(codec.String(), func(t *testing.T) { test(t, newCompressor(t, codec)) })
	}
}

func newCompressor(t testing.TB, codec Codec) *Compressor {
	c, err := NewCompressor(codec, codec.DefaultLevel())
	require.NoError(t, err)
	return c
}

// random cannot be compressed.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

// text repeats itself with one byte of noise in about sixty-four; testdata/Payloads.java writes the same.
func text(n int) []byte {
	b := make([]byte, n)
	x := int32(1)
	for i := range b {
		x = x*1103515245 + 12345
		r := uint32(x) >> 16
		b[i] = "samsa awoke one morning "[i%24]
		if r&63 == 0 {
			b[i] = 'A' + byte(r>>4%26)
		}
	}
	return b
}

// javaRandom is the random payload of testdata/Payloads.java.
func javaRandom(n int) []byte {
	b := make([]byte, n)
	x := int32(7)
	for i := range b {
		x = x*1103515245 + 12345
		b[i] = byte(x >> 16)
	}
	return b
}

// mixed has compressible blocks and incompressible ones.
func mixed(n int) []byte {
	b, noise := text(n), random(n)
	for i := 0; i < n; i += 40000 {
		copy(b[i:min(n, i+13000)], noise[i:])
	}
	return b
}

// requireEqual compares without printing a mebibyte.
func requireEqual(t testing.TB, want, got []byte) {
	t.Helper()
	if !bytes.Equal(want, got) {
		i := 0
		for i < len(want) && i < len(got) && want[i] == got[i] {
			i++
		}
		t.Fatalf("%d bytes where %d are expected, the first difference at %d", len(got), len(want), i)
	}
}

func testdata(t testing.TB, name string) []byte {
	b, err := os.ReadFile("testdata/" + name)
	require.NoError(t, err)
	return b
}

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
