package record

import (
	"errors"
	"fmt"
	"slices"
)

// The kinds of damage that reading finds; errors.Is tells them apart. The error itself says where and what.
var (
	// ErrIncomplete: the bytes end before the batch does. A fetched log often ends so.
	ErrIncomplete = errors.New("incomplete record batch")
	// ErrMalformed: the bytes are not what Kafka's batch format v2 says.
	ErrMalformed = errors.New("malformed record batch")
	// ErrChecksum: the batch's CRC-32C is not that of its bytes.
	ErrChecksum = errors.New("record batch has a wrong checksum")
	// ErrTooManyRecords: the batch has more records than the reader was told to take.
	ErrTooManyRecords = errors.New("record batch has too many records")
)

// minRecordSize is the size of the shortest record: length, attributes, two deltas, two nulls, no headers.
const minRecordSize = 7

// RawRecord is an encoded record whose place in the batch is taken off, so that it can be given another one without decoding
// and encoding the rest.
type RawRecord struct {
	TimestampDelta int64
	OffsetDelta    int32
	// Body is everything from the key's length on. It points into the bytes that were read, and is not checked.
	Body []byte
}

// NextRaw reads the first of a batch's uncompressed records and returns it with the bytes behind it. It never panics: bytes
// that are no record give an error that is [ErrMalformed].
func NextRaw(b []byte) (RawRecord, []byte, error) {
	length, n, err := readVarint(b)
	if err != nil {
		return RawRecord{}, nil, fmt.Errorf("%w: record length: %w", ErrMalformed, err)
	}
	rest := b[n:]
	if length < minRecordSize-1 {
		return RawRecord{}, nil, fmt.Errorf("%w: record length %d is less than any record's", ErrMalformed, length)
	}
	if int64(length) > int64(len(rest)) {
		return RawRecord{}, nil, fmt.Errorf("%w: record length %d, but %d bytes remain", ErrMalformed, length, len(rest))
	}
	rec, rest := rest[:length:length], rest[length:]
	if rec[0] != 0 {
		return RawRecord{}, nil, fmt.Errorf("%w: record attributes 0x%02x, but none are defined", ErrMalformed, rec[0])
	}
	rec = rec[1:]
	timestamp, n, err := readVarlong(rec)
	if err != nil {
		return RawRecord{}, nil, fmt.Errorf("%w: timestamp delta: %w", ErrMalformed, err)
	}
	rec = rec[n:]
	offset, n, err := readVarint(rec)
	if err != nil {
		return RawRecord{}, nil, fmt.Errorf("%w: offset delta: %w", ErrMalformed, err)
	}
	return RawRecord{TimestampDelta: timestamp, OffsetDelta: offset, Body: rec[n:]}, rest, nil
}

// AppendRaw appends a record whose body [NextRaw] gave, at another place of a batch.
func AppendRaw(dst []byte, offsetDelta int32, timestampDelta int64, body []byte) []byte {
	n := 1 + varintSize(timestampDelta) + varintSize(int64(offsetDelta)) + len(body)
	length := uint64(n) << 1
	at := len(dst)
	dst = slices.Grow(dst, uvarintSize(length)+n)
	dst = dst[:at+uvarintSize(length)+n]

	b := dst[at:]
	b = b[putUvarint(b, length):]
	b[0] = 0
	b = b[1:]
	b = b[putUvarint(b, zigzag(timestampDelta)):]
	b = b[putUvarint(b, zigzag(int64(offsetDelta))):]
	copy(b, body)
	return dst
}
