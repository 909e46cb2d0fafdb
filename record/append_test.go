package record

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// plainAppend writes a record by the letter of the format, with the standard library's varints and no shortcut.
func plainAppend(dst []byte, offsetDelta int32, timestampDelta int64, key, value []byte, headers []Header) []byte {
	nullable := func(b, v []byte) []byte {
		if v == nil {
			return binary.AppendVarint(b, -1)
		}
		return append(binary.AppendVarint(b, int64(len(v))), v...)
	}
	body := []byte{0}
	body = binary.AppendVarint(body, timestampDelta)
	body = binary.AppendVarint(body, int64(offsetDelta))
	body = nullable(body, key)
	body = nullable(body, value)
	body = binary.AppendVarint(body, int64(len(headers)))
	for _, h := range headers {
		body = append(binary.AppendVarint(body, int64(len(h.Key))), h.Key...)
		body = nullable(body, h.Value)
	}
	return append(binary.AppendVarint(dst, int64(len(body))), body...)
}

// noise is the source of contents: equal bytes would hide a copy to the wrong place.
var noise = func() []byte {
	b := make([]byte, 3<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}()

// someBytes returns nil, empty, or n bytes.
func someBytes(r *rand.Rand, n int) []byte {
	switch r.IntN(8) {
	case 0:
		return nil
	case 1:
		return []byte{}
	default:
		at := r.IntN(len(noise) - n)
		return noise[at : at+n : at+n]
	}
}

func someHeaders(r *rand.Rand) []Header {
	if r.IntN(3) > 0 {
		return nil
	}
	headers := make([]Header, r.IntN(5))
	if r.IntN(20) == 0 {
		headers = make([]Header, 60+r.IntN(10)) // the count's second byte
	}
	for i := range headers {
		headers[i] = Header{Key: string(someBytes(r, r.IntN(70))), Value: someBytes(r, r.IntN(200))}
	}
	return headers
}

// someLength prefers the lengths at the edges of a varint's sizes.
func someLength(r *rand.Rand) int {
	borders := [...]int{0, 63, 8191 - 60, 8191}
	n := r.IntN(300)
	switch dice := r.IntN(300); {
	case dice == 0:
		n = 1<<20 + r.IntN(5) - 2
	case dice < 50:
		n = borders[r.IntN(len(borders))] + r.IntN(5) - 2
	}
	return max(n, 0)
}

func someDelta(r *rand.Rand) int64 { return int64(r.Uint64()) >> r.IntN(64) }

// behind is a mark beyond the reach of every append.
const behind = 0xee

func checkAppend(t *testing.T, dst []byte, offset int32, timestamp int64, key, value []byte, headers []Header) {
	t.Helper()
	want := plainAppend([]byte("in front"), offset, timestamp, key, value, headers)
	dst = append(dst[:0], "in front"...)
	for i := range dst[len(dst):cap(dst)] {
		dst[len(dst):cap(dst)][i] = behind
	}
	got := AppendRecord(dst, offset, timestamp, key, value, headers)
	// bytes.Equal, because a difference of a mebibyte is not for reading.
	if !bytes.Equal(want, got) {
		t.Fatalf("offset %d, timestamp %d, key %d bytes, value %d, headers %d: the encodings differ (%d and %d bytes)",
			offset, timestamp, len(key), len(value), len(headers), len(want), len(got))
	}
	require.Equal(t, len(got)-len(dst), RecordSize(offset, timestamp, key, value, headers))
	if cap(got) == cap(dst) {
		untouched := bytes.Count(got[len(got):cap(got)], []byte{behind})
		require.Equal(t, cap(got)-len(got), untouched, "bytes behind the record were written")
	}
}

func TestRecordsAreEncodedByTheFormatAndSizedExactly(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		key, value, headers := someBytes(r, someLength(r)), someBytes(r, someLength(r)), someHeaders(r)
		offset, timestamp := int32(someDelta(r)>>32), someDelta(r)
		room := r.IntN(2) * (RecordSize(offset, timestamp, key, value, headers) + 8 + r.IntN(4))
		checkAppend(t, make([]byte, 0, room), offset, timestamp, key, value, headers)
	}
}

func TestRecordSizeIsExactWhereverAVarintGrows(t *testing.T) {
	var deltas []int64
	for shift := range 64 {
		for d := int64(-2); d <= 2; d++ {
			deltas = append(deltas, int64(1)<<shift+d, -(int64(1)<<shift)+d)
		}
	}
	deltas = append(deltas, 0, math.MaxInt64, math.MinInt64)
	dst := make([]byte, 0, 64)
	for _, d := range deltas {
		checkAppend(t, dst, 0, d, nil, []byte("v"), nil)
		checkAppend(t, dst, int32(d), 0, nil, []byte("v"), nil)
	}
	dst = make([]byte, 0, 20000)
	for n := range 300 {
		checkAppend(t, dst, 0, 0, noise[:n], nil, nil)
		checkAppend(t, dst, 0, 0, nil, noise[:n], nil)
		checkAppend(t, dst, 0, 0, nil, nil, []Header{{Key: string(noise[:n])}})
		checkAppend(t, dst, 0, 0, nil, nil, []Header{{Value: noise[:n]}})
		checkAppend(t, dst, 0, 0, nil, nil, make([]Header, n))
	}
	for n := 8100; n < 8300; n++ {
		checkAppend(t, dst, 0, 0, noise[:n], nil, nil)
		checkAppend(t, dst, 0, 0, nil, noise[:n], nil)
		checkAppend(t, dst, 1000, 1000, noise[:n/2], noise[:n-n/2], nil)
	}
}

func TestRecordsAppendWithAndWithoutExactlyEnoughRoom(t *testing.T) {
	size := RecordSize(5, 6, []byte("key"), noise[:100], nil)
	for room := range size + 5 {
		checkAppend(t, make([]byte, 0, len("in front")+room), 5, 6, []byte("key"), noise[:100], nil)
	}
}

func TestAppendingIntoRoomDoesNotAllocate(t *testing.T) {
	headers := []Header{{"trace", noise[:16]}, {"tenant", nil}}
	for _, n := range []int{0, 10, 1000, 100000} {
		dst := make([]byte, 0, RecordSize(1, 1, noise[:10], noise[:n], headers))
		require.Zero(t, testing.AllocsPerRun(100, func() {
			_ = AppendRecord(dst, 1, 1, noise[:10], noise[:n], headers)
			_ = RecordSize(1, 1, noise[:10], noise[:n], headers)
		}), "%d bytes", n)
	}
}

// Batch after batch, for AllocsPerRun rounds down: one run has many records.
func TestEncodingRecordsAllocatesNothing(t *testing.T) {
	const records = 10_000
	headers := []Header{{"trace", noise[:16]}, {"tenant", nil}}
	buf := make([]byte, 0, 16<<10)
	require.Less(t, testing.AllocsPerRun(1, func() {
		buf = buf[:BatchHeaderSize]
		for i := range int32(records) {
			if cap(buf)-len(buf) < RecordSize(i, int64(i), noise[:10], noise[:100], headers) {
				SetChecksum(buf)
				buf = buf[:BatchHeaderSize]
			}
			buf = AppendRecord(buf, i, int64(i), noise[:10], noise[:100], headers)
		}
	})/records, 0.001)
}

func TestNullAndEmptyAreEncodedDifferently(t *testing.T) {
	null := AppendRecord(nil, 0, 0, nil, nil, nil)
	empty := AppendRecord(nil, 0, 0, []byte{}, []byte{}, nil)
	require.Equal(t, []byte{12, 0, 0, 0, 1, 1, 0}, null)
	require.Equal(t, []byte{12, 0, 0, 0, 0, 0, 0}, empty)
	require.Equal(t, 7, RecordSize(0, 0, nil, nil, nil))
	require.Equal(t, 7, RecordSize(0, 0, []byte{}, []byte{}, nil))
}
