package record

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRawRecordsMoveToAnotherPlaceUnchanged(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 5000 {
		key, value, headers := someBytes(r, r.IntN(100)), someBytes(r, r.IntN(300)), someHeaders(r)
		offset, timestamp := int32(someDelta(r)>>32), someDelta(r)
		encoded := append(AppendRecord(nil, offset, timestamp, key, value, headers), "rest"...)

		raw, rest, err := NextRaw(encoded)
		require.NoError(t, err)
		require.Equal(t, "rest", string(rest))
		require.Equal(t, offset, raw.OffsetDelta)
		require.Equal(t, timestamp, raw.TimestampDelta)

		offset, timestamp = int32(someDelta(r)>>32), someDelta(r)
		require.Equal(t, AppendRecord(nil, offset, timestamp, key, value, headers),
			AppendRaw(nil, offset, timestamp, raw.Body))
	}
}

func TestRecordsAreRenumberedInPlace(t *testing.T) {
	var records, want []byte
	for i := range int32(300) {
		value := noise[i : i+i%90]
		records = AppendRecord(records, i, int64(i), nil, value, nil)
		if i%3 != 0 {
			want = AppendRecord(want, i-i/3-1, int64(i), nil, value, nil)
		}
	}
	src, dst := records, records[:0]
	for i, kept := int32(0), int32(0); len(src) > 0; i++ {
		raw, rest, err := NextRaw(src)
		require.NoError(t, err)
		src = rest
		if i%3 != 0 {
			dst = AppendRaw(dst, kept, raw.TimestampDelta, raw.Body)
			kept++
		}
	}
	require.Equal(t, want, dst)
}

func TestRawRecordsCostNoAllocation(t *testing.T) {
	encoded := AppendRecord(nil, 1000, 100000, noise[:10], noise[:1000], nil)
	dst := make([]byte, 0, 2*len(encoded))
	require.Zero(t, testing.AllocsPerRun(100, func() {
		raw, _, err := NextRaw(encoded)
		if err != nil {
			t.Error(err)
		}
		_ = AppendRaw(dst, 5, 5, raw.Body)
	}))
}

// varints writes zig-zag varints one behind the other.
func varints(vs ...int64) []byte {
	var b []byte
	for _, v := range vs {
		b = binary.AppendVarint(b, v)
	}
	return b
}

func TestBytesThatAreNoRecordAreRefusedWithTheReason(t *testing.T) {
	tooLong := []byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x01}
	for _, c := range []struct {
		name string
		in   []byte
		want string
	}{
		{"nothing", nil, "record length: the bytes end inside a varint"},
		{"half a length", []byte{0x80}, "record length: the bytes end inside a varint"},
		{"a length of six bytes", tooLong, "record length: a varint is longer than its type allows"},
		{"a length of 33 bits", []byte{0xff, 0xff, 0xff, 0xff, 0x1f},
			"record length: a varint is longer than its type allows"},
		{"length -1", varints(-1), "record length -1 is less than any record's"},
		{"length 0", varints(0), "record length 0 is less than any record's"},
		{"length 5", append(varints(5), 0, 0, 0, 1, 1), "record length 5 is less than any record's"},
		{"a length beyond the end", append(varints(7), 0, 0, 0, 1, 1, 0), "record length 7, but 6 bytes remain"},
		{"the greatest length", varints(math.MaxInt32), "record length 2147483647, but 0 bytes remain"},
		{"the smallest length", varints(math.MinInt32), "record length -2147483648 is less than any record's"},
		{"attributes", append(varints(6), 1, 0, 0, 1, 1, 0), "record attributes 0x01, but none are defined"},
		{"half a timestamp", append(varints(6), 0, 0x80, 0x80, 0x80, 0x80, 0x80),
			"timestamp delta: the bytes end inside a varint"},
		{"a timestamp of eleven bytes", append(append(varints(13), 0), 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
			0x80, 0x80, 0x01, 0),
			"timestamp delta: a varint is longer than its type allows"},
		{"a timestamp of 65 bits", append(append(varints(13), 0), 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
			0x02, 0, 0),
			"timestamp delta: a varint is longer than its type allows"},
		{"half an offset", append(varints(6), 0, 0, 0x80, 0x80, 0x80, 0x80),
			"offset delta: the bytes end inside a varint"},
		{"an offset of six bytes", append(append(varints(8), 0, 0), tooLong...),
			"offset delta: a varint is longer than its type allows"},
		{"no room for key, value and headers", []byte{12, 0, 0, 0x80, 0x00, 1, 1},
			"2 bytes where key, value and headers should be"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := NextRaw(c.in)
			require.ErrorIs(t, err, ErrMalformed)
			require.EqualError(t, err, "malformed record batch: "+c.want)
		})
	}
}

func TestVarintsLongerThanNeededAreRead(t *testing.T) {
	// Length 8 in two bytes, offset delta 1 in three.
	raw, rest, err := NextRaw([]byte{0x90, 0x00, 0, 0, 0x82, 0x80, 0x00, 1, 1, 0})
	require.NoError(t, err)
	require.Empty(t, rest)
	require.Equal(t, RawRecord{OffsetDelta: 1, Body: []byte{1, 1, 0}}, raw)
}
