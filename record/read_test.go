package record

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// testBatch is a batch of three records at 5000, 5001 and 4999 ms.
func testBatch() []byte {
	b := make([]byte, BatchHeaderSize)
	b = AppendRecord(b, 0, 0, []byte("k"), []byte("v"), nil)
	b = AppendRecord(b, 1, 1, nil, nil, []Header{{"h", nil}, {"h", []byte{}}, {"", []byte("x")}})
	b = AppendRecord(b, 2, -1, []byte{}, []byte{}, nil)
	h := testHeader(b)
	h.Put(b)
	SetChecksum(b)
	return b
}

func testHeader(b []byte) BatchHeader {
	return BatchHeader{
		Length: int32(len(b) - BatchLengthOverhead), PartitionLeaderEpoch: -1, Magic: Magic, LastOffsetDelta: 2,
		BaseTimestamp: 5000, MaxTimestamp: 5001, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, Count: 3,
	}
}

// readGzip is a DecompressFunc of the standard library's.
func readGzip(dst []byte, codec int8, src []byte, limit int) ([]byte, error) {
	if codec != 1 {
		return nil, fmt.Errorf("codec %d", codec)
	}
	r, err := gzip.NewReader(bytes.NewReader(src))
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(io.LimitReader(r, int64(limit)))
	return append(dst, out...), err
}

func TestBatchHeaderComesBackAsItWasPut(t *testing.T) {
	want := BatchHeader{
		BaseOffset: 1<<40 + 1, Length: 1 << 20, PartitionLeaderEpoch: 77, Magic: Magic, CRC: 0xdeadbeef,
		Attributes:      0x14,
		LastOffsetDelta: 1000, BaseTimestamp: -1, MaxTimestamp: 1 << 50, ProducerID: 1 << 60, ProducerEpoch: 32767,
		BaseSequence: math.MaxInt32, Count: 1001,
	}
	b := make([]byte, BatchHeaderSize+1)
	want.Put(b)
	require.Zero(t, b[BatchHeaderSize], "Put writes the header only")
	got, err := ReadBatchHeader(b)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, int8(4), got.Codec())
}

func TestSettingTheProducerChangesNothingElse(t *testing.T) {
	b := testBatch()
	h, err := ReadBatchHeader(b)
	require.NoError(t, err)
	SetProducer(b, 1<<50, 12, 345)
	_, _, err = ReadBatch(b, nil, 0)
	require.ErrorIs(t, err, ErrChecksum)
	SetChecksum(b)
	got, _, err := ReadBatch(b, nil, 0)
	require.NoError(t, err)
	h.ProducerID, h.ProducerEpoch, h.BaseSequence, h.CRC = 1<<50, 12, 345, Checksum(b)
	require.Equal(t, h, got.Header)
}

func TestBatchesAreReadBackAsTheyWereWritten(t *testing.T) {
	b := testBatch()
	two := append(bytes.Clone(b), b...)
	got, rest, err := ReadBatch(two, nil, 3)
	require.NoError(t, err)
	require.Equal(t, b, rest)
	require.Equal(t, []ParsedRecord{
		{Offset: 0, Timestamp: 5000, Key: []byte("k"), Value: []byte("v")},
		{Offset: 1, Timestamp: 5001, Headers: []Header{{"h", nil}, {"h", []byte{}}, {"", []byte("x")}}},
		{Offset: 2, Timestamp: 4999, Key: []byte{}, Value: []byte{}},
	}, got.Records)
	require.NoError(t, got.ValidateProduced())
}

func TestBatchesOfTheJavaClientAreReadAndWrittenByteForByte(t *testing.T) {
	const base = 1700000000000
	want := []ParsedRecord{
		{Timestamp: base, Key: []byte("key"), Value: []byte("value")},
		{Timestamp: base},
		{Timestamp: base + 1, Key: []byte{}, Value: []byte{},
			Headers: []Header{{"", nil}, {"h", []byte{}}, {"h", []byte("v")}}},
		{Timestamp: base - 1000, Key: []byte("earlier"), Value: javaText(63)},
		{Timestamp: base + 100000, Key: javaText(64), Value: javaText(1000)},
		{Timestamp: base + 5, Value: javaText(3000), Headers: []Header{{"grüß", javaText(300)}}},
	}
	for i := range 64 {
		want = append(want, ParsedRecord{Timestamp: base + 6 + int64(i), Value: fmt.Appendf(nil, "record %d", i)})
	}
	for i := range want {
		want[i].Offset = int64(i)
	}
	for codec, name := range []string{"none", "gzip"} {
		file, err := os.ReadFile("testdata/batch-" + name + ".bin")
		require.NoError(t, err)
		got, rest, err := ReadBatch(file, readGzip, 0)
		require.NoError(t, err)
		require.Empty(t, rest)
		require.Equal(t, want, got.Records)
		require.NoError(t, got.ValidateProduced())
		require.Equal(t, BatchHeader{
			Length: int32(len(file) - BatchLengthOverhead), PartitionLeaderEpoch: -1, Magic: Magic, CRC: Checksum(file),
			Attributes: int16(codec), LastOffsetDelta: int32(len(want) - 1), BaseTimestamp: base, MaxTimestamp: base +
				100000,
			ProducerID: 4242, ProducerEpoch: 7, BaseSequence: 99, Count: int32(len(want)),
		}, got.Header)
		if codec == 0 {
			require.Equal(t, file, encode(got))
		}
	}
}

// javaText is the text written by testdata/Batches.java.
func javaText(n int) []byte {
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

// encode writes a batch anew, uncompressed.
func encode(b Batch) []byte {
	out := make([]byte, BatchHeaderSize)
	for _, r := range b.Records {
		out = AppendRecord(out, int32(r.Offset-b.Header.BaseOffset), r.Timestamp-b.Header.BaseTimestamp, r.Key, r.Value,
			r.Headers)
	}
	h := b.Header
	h.Length = int32(len(out) - BatchLengthOverhead)
	h.Attributes &^= AttributeCodecMask
	h.Put(out)
	SetChecksum(out)
	return out
}

func TestLogAppendTimeIsTheTimeOfEveryRecord(t *testing.T) {
	b := testBatch()
	h := testHeader(b)
	h.Attributes, h.MaxTimestamp = AttributeLogAppendTime, 9000
	h.Put(b)
	SetChecksum(b)
	got, _, err := ReadBatch(b, nil, 0)
	require.NoError(t, err)
	for _, r := range got.Records {
		require.Equal(t, int64(9000), r.Timestamp)
	}
	require.ErrorIs(t, got.ValidateProduced(), ErrMalformed)
}

func TestCompactedBatchesAreReadButNotTakenForAProducers(t *testing.T) {
	b := AppendRecord(make([]byte, BatchHeaderSize), 3, 0, nil, []byte("a"), nil)
	b = AppendRecord(b, 70, 1, nil, []byte("b"), nil)
	h := testHeader(b)
	h.BaseOffset, h.LastOffsetDelta, h.Count = 1000, 99, 2
	h.Put(b)
	SetChecksum(b)
	got, _, err := ReadBatch(b, nil, 0)
	require.NoError(t, err)
	require.Equal(t, int64(1003), got.Records[0].Offset)
	require.Equal(t, int64(1070), got.Records[1].Offset)
	require.ErrorIs(t, got.ValidateProduced(), ErrMalformed)

	b = b[:BatchHeaderSize] // the rest of a producer's last batch after compaction
	h.Length, h.Count = BatchHeaderSize-BatchLengthOverhead, 0
	h.Put(b)
	SetChecksum(b)
	got, _, err = ReadBatch(b, nil, 0)
	require.NoError(t, err)
	require.Empty(t, got.Records)
	require.ErrorIs(t, got.ValidateProduced(), ErrMalformed)
}

func TestEveryFlippedByteBehindTheFrameIsNoticed(t *testing.T) {
	b := testBatch()
	for i := atCRC; i < len(b); i++ {
		b[i] ^= 0x40
		_, _, err := ReadBatch(b, nil, 0)
		require.ErrorIs(t, err, ErrChecksum, "byte %d", i)
		b[i] ^= 0x40
	}
}

func TestEveryCutIsIncomplete(t *testing.T) {
	b := testBatch()
	for n := range len(b) {
		_, _, err := ReadBatch(b[:n], nil, 0)
		require.ErrorIs(t, err, ErrIncomplete, "%d bytes", n)
		_, err = ReadBatchHeader(b[:n])
		require.Equal(t, n < BatchHeaderSize, errors.Is(err, ErrIncomplete))
	}
}

func TestDamagedHeadersAreRefusedWithTheReason(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(h *BatchHeader)
		want   string
	}{
		{"magic 1", func(h *BatchHeader) { h.Magic = 1 }, "malformed record batch: magic 1 where only 2 is read"},
		{"magic -1", func(h *BatchHeader) { h.Magic = -1 }, "malformed record batch: magic -1 where only 2 is read"},
		{"length 48", func(h *BatchHeader) { h.Length = 48 },
			"malformed record batch: length 48 does not cover the header"},
		{"length 0", func(h *BatchHeader) { h.Length = 0 },
			"malformed record batch: length 0 does not cover the header"},
		{"length -1", func(h *BatchHeader) { h.Length = -1 },
			"malformed record batch: length -1 does not cover the header"},
		{"length too great", func(h *BatchHeader) { h.Length++ }, "incomplete record batch: 93 of 94 bytes"},
		{"greatest length", func(h *BatchHeader) { h.Length = math.MaxInt32 },
			"incomplete record batch: 93 of 2147483659 bytes"},
		{"unknown attributes", func(h *BatchHeader) { h.Attributes = 0x80 },
			"malformed record batch: attributes 0x0080 with unknown bits"},
		{"negative attributes", func(h *BatchHeader) { h.Attributes = math.MinInt16 },
			"malformed record batch: attributes 0x8000 with unknown bits"},
		{"unknown codec", func(h *BatchHeader) { h.Attributes = 5 },
			"malformed record batch: attributes 0x0005 with unknown codec 5"},
		{"count -1", func(h *BatchHeader) { h.Count = -1 }, "malformed record batch: record count -1"},
		{"count 4", func(h *BatchHeader) { h.Count = 4 },
			"malformed record batch: 4 records cannot end at offset delta 2"},
		{"greatest count", func(h *BatchHeader) { h.Count, h.LastOffsetDelta = math.MaxInt32, math.MaxInt32 },
			"malformed record batch: count 2147483647, but 32 bytes hold at most 4 records"},
		{"count too small", func(h *BatchHeader) { h.Count = 2 },
			"malformed record batch: 7 bytes behind the last of 2 records"},
		{"count too great", func(h *BatchHeader) { h.Count, h.LastOffsetDelta = 4, 3 },
			"malformed record batch: record 3 of 4, at byte 32 of 32: record length: the bytes end inside a varint"},
		{"last offset delta -1", func(h *BatchHeader) { h.LastOffsetDelta, h.Count = -1, 0 },
			"malformed record batch: last offset delta -1"},
		{"base offset -1", func(h *BatchHeader) { h.BaseOffset = -1 },
			"malformed record batch: base offset -1 with last offset delta 2"},
		{"greatest base offset", func(h *BatchHeader) { h.BaseOffset = math.MaxInt64 - 1 },
			"malformed record batch: base offset 9223372036854775806 with last offset delta 2"},
		{"timestamps beyond the end", func(h *BatchHeader) { h.BaseTimestamp = math.MaxInt64 },
			"malformed record batch: record 1 of 3, at byte 9 of 32: timestamp delta 1 overflows from 9223372036854775807"},
		{"timestamps before the beginning", func(h *BatchHeader) { h.BaseTimestamp = math.MinInt64 },
			"malformed record batch: record 2 of 3, at byte 25 of 32: timestamp delta -1 overflows from -9223372036854775808"},
		{"max timestamp too great", func(h *BatchHeader) { h.MaxTimestamp = 5002 },
			"malformed record batch: greatest timestamp 5002 in the header, 5001 in the records"},
		{"max timestamp too small", func(h *BatchHeader) { h.MaxTimestamp = 5000 },
			"malformed record batch: greatest timestamp 5000 in the header, 5001 in the records"},
		{"compressed", func(h *BatchHeader) { h.Attributes = 1 },
			"record batch is compressed with codec 1 and there is no decompressor"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := testBatch()
			h := testHeader(b)
			c.damage(&h)
			h.Put(b)
			SetChecksum(b)
			_, _, err := ReadBatch(b, nil, 0)
			require.EqualError(t, err, c.want)
		})
	}
}

func TestMoreRecordsThanAllowedAreRefused(t *testing.T) {
	_, _, err := ReadBatch(testBatch(), nil, 2)
	require.ErrorIs(t, err, ErrTooManyRecords)
	require.EqualError(t, err, "record batch with too many records: 3, at most 2 are taken")
}

func TestDamagedRecordsAreRefusedWithTheReason(t *testing.T) {
	record := func(fields ...int64) []byte {
		b := varints(fields...)
		return append(varints(int64(len(b)+1)), append([]byte{0}, b...)...)
	}
	for _, c := range []struct {
		name    string
		records []byte
		want    string
	}{
		{"offset delta again", append(record(0, 0, -1, -1, 0), record(0, 0, -1, -1, 0)...),
			"record 1 of 2, at byte 7 of 14: offset delta 0 is not between 1 and 9"},
		{"offset delta beyond the last", append(record(0, 0, -1, -1, 0), record(0, 10, -1, -1, 0)...),
			"record 1 of 2, at byte 7 of 14: offset delta 10 is not between 1 and 9"},
		{"offset delta -1", append(record(0, -1, -1, -1, 0), record(0, 1, -1, -1, 0)...),
			"record 0 of 2, at byte 0 of 14: offset delta -1 is not between 0 and 9"},
		{"key length -2", append(record(0, 0, -2, -1, 0), make([]byte, 7)...),
			"record 0 of 2, at byte 0 of 14: key: length -2"},
		{"key beyond the record", append(record(0, 0, 3, -1, 0), make([]byte, 7)...),
			"record 0 of 2, at byte 0 of 14: key: length 3, but 2 bytes remain"},
		{"greatest key", append(record(0, 0, math.MaxInt32), make([]byte, 7)...),
			"record 0 of 2, at byte 0 of 16: key: length 2147483647, but 0 bytes remain"},
		{"no value", append(record(0, 0, 2, 63, 63), make([]byte, 7)...),
			"record 0 of 2, at byte 0 of 14: value: length: the bytes end inside a varint"},
		{"value length -2", append(record(0, 0, -1, -2, 0), make([]byte, 7)...),
			"record 0 of 2, at byte 0 of 14: value: length -2"},
		{"no header count", append(record(0, 0, -1, 1, 63), make([]byte, 7)...),
			"record 0 of 2, at byte 0 of 14: header count: the bytes end inside a varint"},
		{"header count -1", append(record(0, 0, -1, -1, -1), make([]byte, 7)...),
			"record 0 of 2, at byte 0 of 14: header count -1, but 0 bytes remain"},
		{"header count 1 and no header", append(record(0, 0, -1, -1, 1), make([]byte, 7)...),
			"record 0 of 2, at byte 0 of 14: header count 1, but 0 bytes remain"},
		{"greatest header count", append(record(0, 0, -1, -1, math.MaxInt32), make([]byte, 7)...),
			"record 0 of 2, at byte 0 of 18: header count 2147483647, but 0 bytes remain"},
		{"null header key", append(record(0, 0, -1, -1, 1, -1, -1), make([]byte, 7)...),
			"record 0 of 2, at byte 0 of 16: header 0 of 1: key is null"},
		{"header key beyond the record", append(record(0, 0, -1, -1, 1, 2, -1), make([]byte, 7)...),
			"record 0 of 2, at byte 0 of 16: header 0 of 1, key: length 2, but 1 bytes remain"},
		{"header value beyond the record", append(record(0, 0, -1, -1, 1, 0, 1), make([]byte, 7)...),
			"record 0 of 2, at byte 0 of 16: header 0 of 1, value: length 1, but 0 bytes remain"},
		{"something behind the headers", append(record(0, 0, -1, -1, 0, 5), make([]byte, 7)...),
			"record 0 of 2, at byte 0 of 15: 1 bytes behind the headers"},
		{"length beyond the batch", append(record(0, 0, -1, -1, 0), 14, 0, 0, 2, 1, 1, 0),
			"record 1 of 2, at byte 7 of 14: record length 7, but 6 bytes remain"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := append(make([]byte, BatchHeaderSize), c.records...)
			h := testHeader(b)
			h.Count, h.LastOffsetDelta = 2, 9
			h.Put(b)
			SetChecksum(b)
			_, _, err := ReadBatch(b, nil, 0)
			require.ErrorIs(t, err, ErrMalformed)
			require.EqualError(t, err, "malformed record batch: "+c.want)
		})
	}
}

func TestTheDecompressorsErrorIsHandedOn(t *testing.T) {
	b := testBatch()
	h := testHeader(b)
	h.Attributes = 3
	h.Put(b)
	SetChecksum(b)
	cause := errors.New("cause")
	_, _, err := ReadBatch(b, func(_ []byte, codec int8, src []byte, limit int) ([]byte, error) {
		require.Equal(t, int8(3), codec)
		require.Equal(t, b[BatchHeaderSize:], src)
		require.Equal(t, MaxUncompressed, limit)
		return nil, cause
	}, 0)
	require.ErrorIs(t, err, cause)
}

func TestForbiddenRecordsAreNamed(t *testing.T) {
	for _, c := range []struct {
		damage func(h *BatchHeader)
		want   string
	}{
		{func(h *BatchHeader) { h.Count = 0 }, "no records"},
		{func(h *BatchHeader) { h.BaseOffset = 1 }, "base offset 1 from a producer"},
		{func(h *BatchHeader) { h.LastOffsetDelta = 3 }, "last offset delta 3 with 3 records"},
		{func(h *BatchHeader) { h.Attributes = AttributeControl }, "attributes 0x0020 that are not a producer's"},
		{func(h *BatchHeader) { h.ProducerID = -2 }, "producer id -2"},
		{func(h *BatchHeader) { h.ProducerEpoch = 0 }, "producer id -1 with epoch 0 and sequence -1"},
		{func(h *BatchHeader) { h.ProducerID = 1 }, "producer id 1 with epoch -1 and sequence -1"},
	} {
		b := Batch{Header: testHeader(testBatch())}
		require.NoError(t, b.ValidateProduced())
		c.damage(&b.Header)
		require.EqualError(t, b.ValidateProduced(), "malformed record batch: "+c.want)
	}
}

func TestClaimsAllocateNothing(t *testing.T) {
	b := append(make([]byte, BatchHeaderSize), bytes.Repeat([]byte{0xff}, 1000)...)
	h := testHeader(b)
	h.Count, h.LastOffsetDelta = math.MaxInt32, math.MaxInt32
	h.Put(b)
	SetChecksum(b)
	require.Less(t, testing.AllocsPerRun(10, func() { _, _, _ = ReadBatch(b, nil, 0) }), 20.0)

	h.Count = 1
	records := append(varints(20), 0)
	records = append(records, varints(0, 0, -1, -1, math.MaxInt32)...)
	copy(b[BatchHeaderSize:], records)
	h.Put(b)
	SetChecksum(b)
	_, _, err := ReadBatch(b, nil, 0)
	require.True(t, strings.Contains(err.Error(), "header count 2147483647"), err)
}
