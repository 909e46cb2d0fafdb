package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// The kinds of damage found by a reader; errors.Is tells them apart. The error itself gives the place and the details.
var (
	// ErrIncomplete: the bytes end before the batch does. A fetched log often ends so.
	ErrIncomplete = errors.New("incomplete record batch")
	// ErrMalformed: the bytes violate Kafka's batch format v2.
	ErrMalformed = errors.New("malformed record batch")
	// ErrChecksum: the batch's CRC-32C differs from the checksum of its bytes.
	ErrChecksum = errors.New("record batch with a wrong checksum")
	// ErrTooManyRecords: the batch has more records than the reader was told to take.
	ErrTooManyRecords = errors.New("record batch with too many records")
)

// MaxUncompressed is [ReadBatch]'s limit for the decompressed records of a batch: 128 MiB. For a lower limit, wrap the
// DecompressFunc.
const MaxUncompressed = 128 << 20

// DecompressFunc appends the data in src to dst, at most limit bytes, or fails. codec is the number in a batch's
// attributes. compress.Decompress is one.
type DecompressFunc func(dst []byte, codec int8, src []byte, limit int) ([]byte, error)

// Batch is a decoded batch.
type Batch struct {
	Header  BatchHeader
	Records []ParsedRecord
}

// ParsedRecord is a record as it lies in a log.
type ParsedRecord struct {
	// Offset is the batch's base offset plus the record's own.
	Offset int64
	// Timestamp is in milliseconds since 1970: the producer's, or the broker's if the batch says LogAppendTime.
	Timestamp int64
	// Key and Value are nil for null, different from empty. They point into the input, or into the decompressed bytes.
	Key, Value []byte
	// Headers are nil if there are none.
	Headers []Header
}

// Codec returns the codec's number: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
func (h *BatchHeader) Codec() int8 { return int8(h.Attributes & AttributeCodecMask) }

// ReadBatchHeader reads and checks the header at b[0:61]: length, magic, attributes and counts. It does not ask whether
// the whole batch is there. The error is [ErrIncomplete] when b is shorter than a header, else [ErrMalformed].
func ReadBatchHeader(b []byte) (BatchHeader, error) {
	h, err := readFrame(b)
	if err != nil {
		return BatchHeader{}, err
	}
	if err := h.check(); err != nil {
		return BatchHeader{}, err
	}
	return h, nil
}

// readFrame reads the header and checks the fields needed to find the batch's end.
func readFrame(b []byte) (BatchHeader, error) {
	// The older formats have their magic at the same place, and shorter headers.
	if len(b) > atMagic && b[atMagic] != Magic {
		return BatchHeader{}, fmt.Errorf("%w: magic %d where only %d is read", ErrMalformed, int8(b[atMagic]), Magic)
	}
	if len(b) < BatchHeaderSize {
		return BatchHeader{}, fmt.Errorf("%w: %d bytes of a header of %d", ErrIncomplete, len(b), BatchHeaderSize)
	}
	h := BatchHeader{
		BaseOffset:           int64(binary.BigEndian.Uint64(b[atBaseOffset:])),
		Length:               int32(binary.BigEndian.Uint32(b[atLength:])),
		PartitionLeaderEpoch: int32(binary.BigEndian.Uint32(b[atLeaderEpoch:])),
		Magic:                int8(b[atMagic]),
		CRC:                  binary.BigEndian.Uint32(b[atCRC:]),
		Attributes:           int16(binary.BigEndian.Uint16(b[atAttributes:])),
		LastOffsetDelta:      int32(binary.BigEndian.Uint32(b[atLastOffsetDelta:])),
		BaseTimestamp:        int64(binary.BigEndian.Uint64(b[atBaseTimestamp:])),
		MaxTimestamp:         int64(binary.BigEndian.Uint64(b[atMaxTimestamp:])),
		ProducerID:           int64(binary.BigEndian.Uint64(b[atProducerID:])),
		ProducerEpoch:        int16(binary.BigEndian.Uint16(b[atProducerEpoch:])),
		BaseSequence:         int32(binary.BigEndian.Uint32(b[atBaseSequence:])),
		Count:                int32(binary.BigEndian.Uint32(b[atCount:])),
	}
	if h.Length < BatchHeaderSize-BatchLengthOverhead {
		return BatchHeader{}, fmt.Errorf("%w: length %d does not cover the header", ErrMalformed, h.Length)
	}
	return h, nil
}

// check looks at the fields covered by the checksum.
func (h *BatchHeader) check() error {
	switch {
	case h.Attributes&^attributesKnown != 0:
		return fmt.Errorf("%w: attributes 0x%04x with unknown bits", ErrMalformed, uint16(h.Attributes))
	case h.Codec() > maxCodec:
		return fmt.Errorf("%w: attributes 0x%04x with unknown codec %d", ErrMalformed, uint16(h.Attributes), h.Codec())
	case h.Count < 0:
		return fmt.Errorf("%w: record count %d", ErrMalformed, h.Count)
	case h.LastOffsetDelta < 0:
		return fmt.Errorf("%w: last offset delta %d", ErrMalformed, h.LastOffsetDelta)
	case int64(h.Count) > int64(h.LastOffsetDelta)+1:
		return fmt.Errorf("%w: %d records cannot end at offset delta %d", ErrMalformed, h.Count, h.LastOffsetDelta)
	case h.BaseOffset < 0 || h.BaseOffset > math.MaxInt64-int64(h.LastOffsetDelta):
		return fmt.Errorf("%w: base offset %d with last offset delta %d", ErrMalformed, h.BaseOffset, h.LastOffsetDelta)
	}
	return nil
}

// ReadBatch reads and checks the batch at the beginning of b and returns it with the bytes behind it. Everything is
// checked: magic, length, checksum, attributes, counts, every record's bounds and deltas, the greatest timestamp, and
// the end of the bytes. It accepts gaps between offsets, as compaction leaves them; [Batch.ValidateProduced] asks for
// more.
//
// maxRecords bounds the number of records; 0 and less leave it to the bytes. ReadBatch calls decompress for compressed
// batches, with a bound of [MaxUncompressed], and passes its error on; for uncompressed batches decompress may be nil.
// The other errors are [ErrIncomplete], [ErrChecksum], [ErrTooManyRecords] and [ErrMalformed]; they name the record and
// the byte. b may come from anywhere: ReadBatch never panics, and its memory depends on the bytes present, not on their
// claims.
//
// Keys and values of an uncompressed batch point into b.
func ReadBatch(b []byte, decompress DecompressFunc, maxRecords int) (Batch, []byte, error) {
	h, err := readFrame(b)
	if err != nil {
		return Batch{}, nil, err
	}
	size := int64(h.Length) + BatchLengthOverhead
	if size > int64(len(b)) {
		return Batch{}, nil, fmt.Errorf("%w: %d of %d bytes", ErrIncomplete, len(b), size)
	}
	batch, rest := b[:size:size], b[size:]
	if crc := Checksum(batch); crc != h.CRC {
		return Batch{}, nil, fmt.Errorf("%w: 0x%08x in the header, 0x%08x of the bytes", ErrChecksum, h.CRC, crc)
	}
	if err := h.check(); err != nil {
		return Batch{}, nil, err
	}
	if maxRecords > 0 && int64(h.Count) > int64(maxRecords) {
		return Batch{}, nil, fmt.Errorf("%w: %d, at most %d are taken", ErrTooManyRecords, h.Count, maxRecords)
	}
	data := batch[BatchHeaderSize:]
	if codec := h.Codec(); codec != 0 {
		if decompress == nil {
			return Batch{}, nil, fmt.Errorf("record batch is compressed with codec %d and there is no decompressor",
				codec)
		}
		if data, err = decompress(nil, codec, data, MaxUncompressed); err != nil {
			return Batch{}, nil, fmt.Errorf("record batch with codec %d: %w", codec, err)
		}
	}
	records, err := readRecords(&h, data)
	if err != nil {
		return Batch{}, nil, err
	}
	return Batch{Header: h, Records: records}, rest, nil
}

// readRecords reads all of a batch's uncompressed records.
func readRecords(h *BatchHeader, data []byte) ([]ParsedRecord, error) {
	if most := len(data) / minRecordSize; int64(h.Count) > int64(most) {
		return nil, fmt.Errorf("%w: count %d, but %d bytes hold at most %d records", ErrMalformed, h.Count, len(data),
			most)
	}
	records := make([]ParsedRecord, h.Count)
	rest := data
	last, newest := int32(-1), int64(math.MinInt64)
	for i := range records {
		at := len(data) - len(rest)
		var delta int32
		var err error
		delta, rest, err = records[i].read(h, last, rest)
		if err != nil {
			return nil, fmt.Errorf("%w: record %d of %d, at byte %d of %d: %w", ErrMalformed, i, len(records), at,
				len(data), err)
		}
		last = delta
		newest = max(newest, records[i].Timestamp)
	}
	if len(rest) != 0 {
		return nil, fmt.Errorf("%w: %d bytes behind the last of %d records", ErrMalformed, len(rest), len(records))
	}
	if len(records) > 0 && newest != h.MaxTimestamp {
		return nil, fmt.Errorf("%w: greatest timestamp %d in the header, %d in the records", ErrMalformed,
			h.MaxTimestamp, newest)
	}
	return records, nil
}

// read reads one record and returns its offset delta. The delta must be greater than last.
func (r *ParsedRecord) read(h *BatchHeader, last int32, b []byte) (int32, []byte, error) {
	raw, rest, err := nextRaw(b)
	if err != nil {
		return 0, nil, err
	}
	if raw.OffsetDelta <= last || raw.OffsetDelta > h.LastOffsetDelta {
		return 0, nil, fmt.Errorf("offset delta %d is not between %d and %d", raw.OffsetDelta, int64(last)+1,
			h.LastOffsetDelta)
	}
	r.Offset = h.BaseOffset + int64(raw.OffsetDelta)
	r.Timestamp = h.BaseTimestamp + raw.TimestampDelta
	if (r.Timestamp < h.BaseTimestamp) != (raw.TimestampDelta < 0) {
		return 0, nil, fmt.Errorf("timestamp delta %d overflows from %d", raw.TimestampDelta, h.BaseTimestamp)
	}
	if h.Attributes&AttributeLogAppendTime != 0 {
		r.Timestamp = h.MaxTimestamp
	}
	return raw.OffsetDelta, rest, r.readBody(raw.Body)
}

// readBody reads key, value and headers; together they must fill b.
func (r *ParsedRecord) readBody(b []byte) error {
	var err error
	if r.Key, b, err = readBytes(b); err != nil {
		return fmt.Errorf("key: %w", err)
	}
	if r.Value, b, err = readBytes(b); err != nil {
		return fmt.Errorf("value: %w", err)
	}
	if r.Headers, b, err = readHeaders(b); err != nil {
		return err
	}
	if len(b) != 0 {
		return fmt.Errorf("%d bytes behind the headers", len(b))
	}
	return nil
}

// readBytes reads nullable bytes with their length.
func readBytes(b []byte) (v, rest []byte, err error) {
	length, n, err := readVarint(b)
	if err != nil {
		return nil, nil, fmt.Errorf("length: %w", err)
	}
	b = b[n:]
	switch {
	case length == -1:
		return nil, b, nil
	case length < -1:
		return nil, nil, fmt.Errorf("length %d", length)
	case int64(length) > int64(len(b)):
		return nil, nil, fmt.Errorf("length %d, but %d bytes remain", length, len(b))
	}
	return b[:length:length], b[length:], nil
}

func readHeaders(b []byte) ([]Header, []byte, error) {
	count, n, err := readVarint(b)
	if err != nil {
		return nil, nil, fmt.Errorf("header count: %w", err)
	}
	b = b[n:]
	// A header takes two bytes at least: two lengths.
	if count < 0 || int64(count) > int64(len(b)/2) {
		return nil, nil, fmt.Errorf("header count %d, but %d bytes remain", count, len(b))
	}
	if count == 0 {
		return nil, b, nil
	}
	headers := make([]Header, count)
	for i := range headers {
		var key []byte
		if key, b, err = readBytes(b); err != nil {
			return nil, nil, fmt.Errorf("header %d of %d, key: %w", i, count, err)
		}
		if key == nil {
			return nil, nil, fmt.Errorf("header %d of %d: key is null", i, count)
		}
		headers[i].Key = string(key)
		if headers[i].Value, b, err = readBytes(b); err != nil {
			return nil, nil, fmt.Errorf("header %d of %d, value: %w", i, count, err)
		}
	}
	return headers, b, nil
}

// ValidateProduced checks a broker's demands on a producer's batch beyond the checks of [ReadBatch]: at least one
// record, offsets from 0 on without gaps, the producer's own timestamps, no control records, no broker's bits, and an
// epoch and a sequence wherever there is a producer id. The error is an [ErrMalformed].
func (b *Batch) ValidateProduced() error {
	h := &b.Header
	const brokers = AttributeLogAppendTime | AttributeControl | AttributeDeleteHorizon
	switch {
	case h.Count == 0:
		return fmt.Errorf("%w: no records", ErrMalformed)
	case h.BaseOffset != 0:
		return fmt.Errorf("%w: base offset %d from a producer", ErrMalformed, h.BaseOffset)
	case h.LastOffsetDelta != h.Count-1:
		return fmt.Errorf("%w: last offset delta %d with %d records", ErrMalformed, h.LastOffsetDelta, h.Count)
	case h.Attributes&brokers != 0:
		return fmt.Errorf("%w: attributes 0x%04x that are not a producer's", ErrMalformed, uint16(h.Attributes))
	case h.ProducerID < -1:
		return fmt.Errorf("%w: producer id %d", ErrMalformed, h.ProducerID)
	case h.ProducerID == -1 && (h.ProducerEpoch != -1 || h.BaseSequence != -1),
		h.ProducerID >= 0 && (h.ProducerEpoch < 0 || h.BaseSequence < 0):
		return fmt.Errorf("%w: producer id %d with epoch %d and sequence %d", ErrMalformed, h.ProducerID,
			h.ProducerEpoch, h.BaseSequence)
	}
	return nil
}
