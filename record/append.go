package record

import "slices"

// RecordSize returns the exact number of bytes that [AppendRecord] appends for the same arguments.
func RecordSize(offsetDelta int32, timestampDelta int64, key, value []byte, headers []Header) int {
	n := bodySize(offsetDelta, timestampDelta, key, value, headers)
	return varintSize(int64(n)) + n
}

// bodySize is the size of a record without the length in front of it.
func bodySize(offsetDelta int32, timestampDelta int64, key, value []byte, headers []Header) int {
	// One byte of attributes, and for the header count the one byte that it nearly always takes.
	n := 2 + varintSize(timestampDelta) + varintSize(int64(offsetDelta)) + bytesSize(key) + bytesSize(value)
	if len(headers) > 0 {
		n += headersSize(headers) - 1
	}
	return n
}

// bytesSize is the size of nullable bytes with their length: nil is the length -1, one byte.
func bytesSize(b []byte) int {
	if len(b) == 0 {
		return 1
	}
	return uvarintSize(uint64(len(b))<<1) + len(b)
}

// headersSize is the size of the headers with their count.
func headersSize(headers []Header) int {
	n := uvarintSize(uint64(len(headers)) << 1)
	for i := range headers {
		h := &headers[i]
		n += uvarintSize(uint64(len(h.Key))<<1) + len(h.Key) + bytesSize(h.Value)
	}
	return n
}

// AppendRecord appends one record as Kafka's batches hold it and returns the longer slice. Nil key, value and header values are
// null, which is different from empty. It keeps none of its arguments, and allocates only when dst has no room for
// [RecordSize] more bytes.
//
// timestampDelta is the record's distance to the batch's BaseTimestamp in milliseconds, offsetDelta its number in the batch,
// from 0. A record of 2 GiB and more cannot be represented; the caller's limits keep far away from it.
func AppendRecord(dst []byte, offsetDelta int32, timestampDelta int64, key, value []byte, headers []Header) []byte {
	body := bodySize(offsetDelta, timestampDelta, key, value, headers)
	length := uint64(body) << 1
	at := len(dst)
	dst = slices.Grow(dst, uvarintSize(length)+body)
	dst = dst[:at+uvarintSize(length)+body]

	b := dst[at:]
	b = b[putUvarint(b, length):]
	b[0] = 0 // attributes: none are defined
	b = b[1:]
	b = b[putUvarint(b, zigzag(timestampDelta)):]
	b = b[putUvarint(b, zigzag(int64(offsetDelta))):]
	b = putBytes(b, key)
	b = putBytes(b, value)
	if len(headers) == 0 {
		b[0] = 0
		return dst
	}
	putHeaders(b, headers)
	return dst
}

// putBytes writes nullable bytes with their length and returns what is behind them.
func putBytes(b, v []byte) []byte {
	if v == nil {
		b[0] = 1 // the length -1
		return b[1:]
	}
	b = b[putUvarint(b, uint64(len(v))<<1):]
	return b[copy(b, v):]
}

func putHeaders(b []byte, headers []Header) {
	b = b[putUvarint(b, uint64(len(headers))<<1):]
	for i := range headers {
		h := &headers[i]
		b = b[putUvarint(b, uint64(len(h.Key))<<1):]
		b = b[copy(b, h.Key):]
		b = putBytes(b, h.Value)
	}
}
