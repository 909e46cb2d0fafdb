package record

import (
	"slices"

	"github.com/gosamsa/samsa/protocol"
)

// RecordSize returns the exact number of bytes appended by [AppendRecord] for the same arguments.
//
//nolint:revive // its counterpart is AppendRecord: the two names belong together
func RecordSize(offsetDelta int32, timestampDelta int64, key, value []byte, headers []Header) int {
	// The same sum as bodySize. It stands here once more because a call would cost a fifth: every append asks for the
	// size first.
	n := 2 + protocol.UvarintSize(zigzag(timestampDelta)) + protocol.UvarintSize(zigzag(int64(offsetDelta)))
	n += protocol.UvarintSize(uint64(len(key))<<1) + len(key)
	n += protocol.UvarintSize(uint64(len(value))<<1) + len(value)
	if len(headers) != 0 {
		n += headersSize(headers) - 1
	}
	return n + protocol.UvarintSize(uint64(n)<<1)
}

// bodySize is the size of a record without the length in front of it.
func bodySize(timestamp, offset uint64, key, value []byte, headers []Header) int {
	// Attributes and header count take one byte each; a larger size of the count is in headersSize.
	n := 2 + protocol.UvarintSize(timestamp) + protocol.UvarintSize(offset)
	// The length -1 of null takes one byte, as the length 0 does.
	n += protocol.UvarintSize(uint64(len(key))<<1) + len(key)
	n += protocol.UvarintSize(uint64(len(value))<<1) + len(value)
	if len(headers) != 0 {
		n += headersSize(headers) - 1
	}
	return n
}

// headersSize is the size of the headers with their count.
func headersSize(headers []Header) int {
	n := protocol.UvarintSize(uint64(len(headers)) << 1)
	for i := range headers {
		h := &headers[i]
		n += protocol.UvarintSize(uint64(len(h.Key))<<1) + len(h.Key)
		n += protocol.UvarintSize(uint64(len(h.Value))<<1) + len(h.Value)
	}
	return n
}

// MaxRecordOverhead is how many bytes a record without headers takes beside its key and value, at the most: five
// lengths and counts, attributes, and the timestamp.
const MaxRecordOverhead = 5*5 + 1 + 10

// AppendRecord appends one record as Kafka's batches hold it and returns the longer slice. Nil key, value and header
// values are null, different from empty ones. It keeps none of its arguments, and allocates only when dst has no room
// for [RecordSize] more bytes.
//
// timestampDelta is the record's distance to the batch's BaseTimestamp in milliseconds, offsetDelta its number in the
// batch, from 0. A record of 2 GiB and more cannot be represented; the caller's limits keep far away from it.
func AppendRecord(dst []byte, offsetDelta int32, timestampDelta int64, key, value []byte, headers []Header) []byte {
	// Every record of every producer passes here. Nearly all have lengths and deltas of one or two bytes; for those the
	// whole record is sized and written without a loop and without a call but the copies. It measures a third faster
	// than the general way.
	timestamp, offset := zigzag(timestampDelta), zigzag(int64(offsetDelta))
	keyLen, valueLen := uint64(len(key))<<1, uint64(len(value))<<1
	n := 6 + len(key) + len(value)
	if timestamp >= 1<<7 {
		n++
	}
	if offset >= 1<<7 {
		n++
	}
	if keyLen >= 1<<7 {
		n++
	}
	if valueLen >= 1<<7 {
		n++
	}
	if len(headers) != 0 {
		n += headersSize(headers) - 1
	}
	length := uint64(n) << 1
	if timestamp|offset|keyLen|valueLen|length >= 1<<14 || cap(dst)-len(dst) < n+2 {
		return appendAny(dst, timestamp, offset, key, value, headers)
	}

	at := len(dst)
	b := dst[at : at+n+2]
	i := putShort(b, 0, length)
	b[i] = 0 // attributes: none are defined
	i = putShort(b, i+1, timestamp)
	i = putShort(b, i, offset)
	if key == nil {
		b[i] = nullLength
		i++
	} else {
		i = putShort(b, i, keyLen)
		i += copy(b[i:], key)
	}
	if value == nil {
		b[i] = nullLength
		i++
	} else {
		i = putShort(b, i, valueLen)
		i += copy(b[i:], value)
	}
	if len(headers) != 0 {
		return dst[:at+putHeaders(b, i, headers)]
	}
	b[i] = 0
	return dst[:at+i+1]
}

// appendAny appends a record of any size, and makes room if dst has too little.
func appendAny(dst []byte, timestamp, offset uint64, key, value []byte, headers []Header) []byte {
	n := bodySize(timestamp, offset, key, value, headers)
	length := uint64(n) << 1
	n += protocol.UvarintSize(length)
	at := len(dst)
	dst = slices.Grow(dst, n)[:at+n]

	b := dst[at:]
	i := putUvarint(b, 0, length)
	b[i] = 0
	i = putUvarint(b, i+1, timestamp)
	i = putUvarint(b, i, offset)
	i = putBytes(b, i, key)
	i = putBytes(b, i, value)
	putHeaders(b, i, headers)
	return dst
}

// nullLength is the length -1 as a varint.
const nullLength = 1

// putBytes writes nullable bytes with their length at b[i] and returns their end.
func putBytes(b []byte, i int, v []byte) int {
	if v == nil {
		b[i] = nullLength
		return i + 1
	}
	i = putUvarint(b, i, uint64(len(v))<<1)
	return i + copy(b[i:], v)
}

// putHeaders writes the headers with their count at b[i] and returns their end.
func putHeaders(b []byte, i int, headers []Header) int {
	i = putUvarint(b, i, uint64(len(headers))<<1)
	for j := range headers {
		h := &headers[j]
		i = putUvarint(b, i, uint64(len(h.Key))<<1)
		i += copy(b[i:], h.Key)
		i = putBytes(b, i, h.Value)
	}
	return i
}
