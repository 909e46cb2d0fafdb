package record

import (
	"fmt"
	"slices"

	"github.com/gosamsa/samsa/protocol"
)

// minRecordSize is the size of the shortest record: length, attributes, two deltas, two nulls, no headers.
const minRecordSize = 7

// minBodySize is its part in a RawRecord's body.
const minBodySize = 3

// RawRecord is an encoded record without its place in the batch. It can get another place without decoding and encoding
// the rest.
type RawRecord struct {
	TimestampDelta int64
	OffsetDelta    int32
	// Body is everything from the key's length on. It points into the input of [NextRaw]. Its contents are unchecked.
	Body []byte
}

// NextRaw reads the first of a batch's uncompressed records and returns it with the bytes behind it. Other bytes than a
// record give an [ErrMalformed]; it never panics.
func NextRaw(b []byte) (RawRecord, []byte, error) {
	r, rest, err := nextRaw(b)
	if err != nil {
		return RawRecord{}, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return r, rest, nil
}

func nextRaw(b []byte) (RawRecord, []byte, error) {
	length, n, err := readVarint(b)
	if err != nil {
		return RawRecord{}, nil, fmt.Errorf("record length: %w", err)
	}
	rest := b[n:]
	if length < minRecordSize-1 {
		return RawRecord{}, nil, fmt.Errorf("record length %d is less than any record's", length)
	}
	if int64(length) > int64(len(rest)) {
		return RawRecord{}, nil, fmt.Errorf("record length %d, but %d bytes remain", length, len(rest))
	}
	rec, rest := rest[:length:length], rest[length:]
	if rec[0] != 0 {
		return RawRecord{}, nil, fmt.Errorf("record attributes 0x%02x, but none are defined", rec[0])
	}
	rec = rec[1:]
	timestamp, n, err := readVarlong(rec)
	if err != nil {
		return RawRecord{}, nil, fmt.Errorf("timestamp delta: %w", err)
	}
	rec = rec[n:]
	offset, n, err := readVarint(rec)
	if err != nil {
		return RawRecord{}, nil, fmt.Errorf("offset delta: %w", err)
	}
	body := rec[n:]
	if len(body) < minBodySize {
		return RawRecord{}, nil, fmt.Errorf("%d bytes where key, value and headers should be", len(body))
	}
	return RawRecord{TimestampDelta: timestamp, OffsetDelta: offset, Body: body}, rest, nil
}

// AppendRaw appends a record with a body from [NextRaw], at another place of a batch. It may overwrite the batch under
// its reader: a caller can rewrite records in place if they only move towards the front and their deltas do not grow.
func AppendRaw(dst []byte, offsetDelta int32, timestampDelta int64, body []byte) []byte {
	timestamp, offset := zigzag(timestampDelta), zigzag(int64(offsetDelta))
	n := 1 + protocol.UvarintSize(timestamp) + protocol.UvarintSize(offset) + len(body)
	length := uint64(n) << 1
	n += protocol.UvarintSize(length)
	at := len(dst)
	dst = slices.Grow(dst, n)[:at+n]

	b := dst[at:]
	i := putUvarint(b, 0, length)
	b[i] = 0
	i = putUvarint(b, i+1, timestamp)
	i = putUvarint(b, i, offset)
	copy(b[i:], body)
	return dst
}
