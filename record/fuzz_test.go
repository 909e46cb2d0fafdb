package record

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"runtime/metrics"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzReadBatch(f *testing.F) {
	f.Add(testBatch(), true)
	f.Add(testBatch()[:BatchHeaderSize], true)
	file, err := os.ReadFile("testdata/batch-gzip.bin")
	require.NoError(f, err)
	f.Add(file, false)
	f.Fuzz(func(t *testing.T, b []byte, mend bool) {
		// Nearly every change breaks length and checksum: mended, the records behind them are reached.
		if mend && len(b) >= BatchHeaderSize {
			b = bytes.Clone(b)
			b[atMagic] = Magic
			binary.BigEndian.PutUint32(b[atLength:], uint32(len(b)-BatchLengthOverhead))
			SetChecksum(b)
		}
		before := allocated()
		got, rest, err := ReadBatch(b, readGzip, 10000)
		// Behind a codec stand up to 10,000 bytes of records.
		require.LessOrEqual(t, allocated()-before, uint64(40*(len(b)+10000)+1<<20))
		if err != nil {
			return
		}
		require.LessOrEqual(t, len(rest), len(b)-BatchHeaderSize)
		if got.Header.Attributes&AttributeLogAppendTime != 0 {
			return // the records' own timestamps are not to be seen
		}
		again, rest, err := ReadBatch(encode(got), nil, 0)
		require.NoError(t, err)
		require.Empty(t, rest)
		require.Equal(t, got.Records, again.Records)
	})
}

// allocated returns how many bytes were ever allocated. It is cheap, and right for large objects; small ones come late.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func FuzzNextRaw(f *testing.F) {
	f.Add(testBatch()[BatchHeaderSize:])
	f.Add(varints(math.MaxInt32))
	f.Add([]byte{0x90, 0x00, 0, 0, 0x82, 0x80, 0x00, 1, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		// Each record is taken off b, so there is an end.
		for len(b) > 0 {
			raw, rest, err := NextRaw(b)
			if err != nil {
				require.ErrorIs(t, err, ErrMalformed)
				return
			}
			require.Less(t, len(rest), len(b))
			written := AppendRaw(nil, raw.OffsetDelta, raw.TimestampDelta, raw.Body)
			require.LessOrEqual(t, len(written), len(b)-len(rest), "the shortest form is written")
			again, _, err := NextRaw(written)
			require.NoError(t, err)
			require.Equal(t, raw, again)
			b = rest
		}
	})
}

func FuzzRecordRoundTrip(f *testing.F) {
	f.Add(int32(0), int64(0), []byte("key"), []byte("value"), "h", []byte("v"), uint8(0))
	f.Add(int32(math.MinInt32), int64(math.MinInt64), []byte{}, []byte{}, "", []byte{}, uint8(7))
	f.Add(int32(math.MaxInt32), int64(math.MaxInt64), make([]byte, 64), make([]byte, 8192), "", []byte{}, uint8(3))
	f.Fuzz(func(
		t *testing.T, offset int32, timestamp int64, key, value []byte, name string, header []byte, nulls uint8,
	) {
		if nulls&1 != 0 {
			key = nil
		}
		if nulls&2 != 0 {
			value = nil
		}
		if nulls&4 != 0 {
			header = nil
		}
		headers := []Header{{name, header}, {name, value}}
		if nulls&8 != 0 {
			headers = nil
		}
		b := AppendRecord(nil, offset, timestamp, key, value, headers)
		require.Equal(t, plainAppend(nil, offset, timestamp, key, value, headers), b)
		require.Len(t, b, RecordSize(offset, timestamp, key, value, headers))
		raw, rest, err := NextRaw(b)
		require.NoError(t, err)
		require.Empty(t, rest)
		require.Equal(t, offset, raw.OffsetDelta)
		require.Equal(t, timestamp, raw.TimestampDelta)
		var got ParsedRecord
		require.NoError(t, got.readBody(raw.Body))
		require.Equal(t, ParsedRecord{Key: key, Value: value, Headers: headers}, got)
	})
}
