package protocol

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// maxString is the length of Kafka's longest string, compact or not.
const maxString = 1<<15 - 1

// reader takes the fields of a message one after the other. The first failure sticks: from then on every field is zero
// and every array empty, so decoders need not check after each field; finish returns the failure.
type reader struct {
	b        []byte
	off      int
	flexible bool
	key      APIKey
	version  int16
	err      error
}

// newReader starts to read a body. An unsupported version is the first failure.
func newReader(body []byte, key APIKey, version int16) reader {
	r := reader{b: body, flexible: key.flexible(version), key: key, version: version}
	if err := key.check(version); err != nil {
		r.err, r.off = err, len(body)
	}
	return r
}

// finish returns the first failure. Left-over bytes are a failure: the two sides read different schemas.
func (r *reader) finish(kind string) error {
	if r.err == nil && r.off != len(r.b) {
		r.fail("%d bytes are left over", len(r.b)-r.off)
	}
	if r.err == nil {
		return nil
	}
	return fmt.Errorf("%s %s version %d: %w", r.key, kind, r.version, r.err)
}

// fail notes a failure at the present byte, if it is the first, and ends the reading.
func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: at byte %d: %s", ErrMalformed, r.off, fmt.Sprintf(format, args...))
	}
	r.off = len(r.b)
}

// left returns how many bytes remain.
func (r *reader) left() int { return len(r.b) - r.off }

// take returns the next n bytes without a copy, or nil.
func (r *reader) take(n int) []byte {
	off := r.off
	if n > len(r.b)-off {
		r.short(n)
		return nil
	}
	r.off = off + n
	return r.b[off:r.off]
}

// short is take's failure, apart to keep take small.
//
//go:noinline
func (r *reader) short(n int) { r.fail("%d bytes are expected, %d remain", n, r.left()) }

func (r *reader) int8() int8 {
	if b := r.take(1); b != nil {
		return int8(b[0])
	}
	return 0
}

func (r *reader) bool() bool { return r.int8() != 0 }

func (r *reader) int16() int16 {
	if b := r.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *reader) int32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *reader) int64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (r *reader) errorCode() ErrorCode { return ErrorCode(r.int16()) }

func (r *reader) uuid() (id UUID) {
	copy(id[:], r.take(len(id)))
	return id
}

// uvarint reads an unsigned varint of at most 32 bits. Most take one byte.
func (r *reader) uvarint() uint32 {
	if r.off < len(r.b) && r.b[r.off] < 0x80 {
		r.off++
		return uint32(r.b[r.off-1])
	}
	return r.longUvarint()
}

func (r *reader) longUvarint() uint32 {
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		b := r.take(1)
		if b == nil {
			return 0
		}
		v |= uint64(b[0]&0x7f) << shift
		if b[0] < 0x80 {
			if v > 1<<32-1 {
				break
			}
			return uint32(v)
		}
	}
	r.fail("a varint is longer than 32 bits")
	return 0
}

// compactLen reads a compact length: one more than the length, zero for null, here -1.
func (r *reader) compactLen() int {
	n := int64(r.uvarint()) - 1
	if r.err == nil && n > int64(r.left()) {
		r.fail("a length of %d passes the %d bytes that remain", n, r.left())
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

// stringLen reads a string's length; -1 is null.
func (r *reader) stringLen() int {
	var n int
	if r.flexible {
		n = r.compactLen()
	} else {
		n = int(r.int16())
	}
	if n < -1 || n > maxString {
		r.fail("a string has the length %d", n)
		return 0
	}
	return n
}

// string reads a string other than null. When it equals old, string returns old without allocating.
func (r *reader) string(old string) string {
	n := r.stringLen()
	if n < 0 {
		r.fail("a string that must be there is null")
		return ""
	}
	b := r.take(n)
	if string(b) == old {
		return old
	}
	return string(b)
}

// nullableString reads a string or null. When it equals old, nullableString returns old.
func (r *reader) nullableString(old *string) *string {
	n := r.stringLen()
	if n < 0 {
		return nil
	}
	b := r.take(n)
	if r.err != nil {
		return nil
	}
	if old != nil && string(b) == *old {
		return old
	}
	s := string(b)
	return &s
}

// nullableBytes reads bytes or null, without copying them.
func (r *reader) nullableBytes() []byte {
	n := 0
	if r.flexible {
		n = r.compactLen()
	} else {
		n = int(r.int32())
	}
	switch {
	case n == -1:
		return nil
	case n < 0:
		r.fail("bytes have the length %d", n)
		return nil
	}
	return slices.Clip(r.take(n))
}

// nullableArrayLen reads an array's length, -1 for null. Every element takes at least size bytes, and a length too
// large for the remaining bytes is a failure: an array's memory stays within a small multiple of the received bytes.
func (r *reader) nullableArrayLen(size int) int {
	n := int64(0)
	if r.flexible {
		n = int64(r.uvarint()) - 1
	} else {
		n = int64(r.int32())
	}
	if n < -1 || n > int64(r.left()/size) {
		r.fail("an array of %d elements passes the %d bytes that remain", n, r.left())
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

// arrayLen reads the length of an array other than null.
func (r *reader) arrayLen(size int) int {
	n := r.nullableArrayLen(size)
	if n < 0 {
		r.fail("an array that must be there is null")
		return 0
	}
	return n
}

// limitedLen reads the length of an array other than null, and takes it from the rest of a limit. A longer array is a
// failure and gets no memory.
func (r *reader) limitedLen(size int, left *int, what string) int {
	n := r.arrayLen(size)
	if n > *left {
		r.fail("%d %s, where at most %d more can be", n, what, *left)
		return 0
	}
	*left -= n
	return n
}

// int32s reads an array of int32 into the memory of old.
func (r *reader) int32s(old []int32) []int32 {
	s := resize(old, r.arrayLen(4))
	for i := range s {
		s[i] = r.int32()
	}
	return s
}

// tagCount reads how many tagged fields follow: none unless the version is flexible. Each takes at least two bytes.
func (r *reader) tagCount() int {
	if !r.flexible {
		return 0
	}
	n := r.uvarint()
	if int64(n) > int64(r.left()/2) {
		r.fail("%d tagged fields pass the %d bytes that remain", n, r.left())
		return 0
	}
	return int(n)
}

// tag reads past one tagged field and returns its tag and a reader of its contents. For a known field, give this reader
// to done; an unknown field is skipped already.
func (r *reader) tag() (uint32, reader) {
	tag := r.uvarint()
	size := r.uvarint()
	if int64(size) > int64(r.left()) {
		r.fail("a tagged field of %d bytes passes the %d that remain", size, r.left())
	}
	field := *r
	if r.err == nil {
		r.off += int(size)
		field.b = r.b[:r.off]
	}
	return tag, field
}

// done takes over the failure of a tagged field's reader. The field must have been read to its end.
func (r *reader) done(field *reader) {
	if field.err == nil && field.off != len(field.b) {
		field.fail("%d bytes of a tagged field are left over", len(field.b)-field.off)
	}
	if r.err == nil && field.err != nil {
		r.err, r.off = field.err, len(r.b)
	}
}

// skipTags reads past unknown tagged fields.
func (r *reader) skipTags() {
	for n := r.tagCount(); n > 0; n-- {
		r.tag()
	}
}

// resize returns a slice of n elements, in the memory of s if s is large enough. Elements keep their contents, for the
// reuse of their own slices and strings.
func resize[T any](s []T, n int) []T {
	if n <= cap(s) {
		return s[:n]
	}
	grown := make([]T, n)
	copy(grown, s[:cap(s)])
	return grown
}
