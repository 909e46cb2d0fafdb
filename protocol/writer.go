package protocol

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// writer appends the fields of a message one after the other. The first failure sticks; finish tells.
type writer struct {
	b        []byte
	start    int // length of b at the beginning
	flexible bool
	key      APIKey
	version  int16
	err      error

	// With vectored set, records go uncopied into bufs, and between them the pieces of b before them; sent counts the
	// bytes of b already in bufs.
	vectored bool
	sent     int
	bufs     [][]byte
}

// newWriter starts to append a body to dst. An unsupported version is the first failure.
func newWriter(dst []byte, key APIKey, version int16) writer {
	return writer{
		b: dst, start: len(dst), flexible: key.flexible(version), key: key, version: version, err: key.check(version),
	}
}

// finish returns the written bytes, or dst unchanged and the first failure.
func (w *writer) finish(kind string) ([]byte, error) {
	if w.err == nil {
		return w.b, nil
	}
	return w.b[:w.start], fmt.Errorf("%s %s version %d: %w", w.key, kind, w.version, w.err)
}

// fail notes a failure, if it is the first.
func (w *writer) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("%w: %s", ErrUnencodable, fmt.Sprintf(format, args...))
	}
}

func (w *writer) int16(v int16) { w.b = binary.BigEndian.AppendUint16(w.b, uint16(v)) }
func (w *writer) int32(v int32) { w.b = binary.BigEndian.AppendUint32(w.b, uint32(v)) }
func (w *writer) int64(v int64) { w.b = binary.BigEndian.AppendUint64(w.b, uint64(v)) }
func (w *writer) uuid(id UUID)  { w.b = append(w.b, id[:]...) }

func (w *writer) errorCode(c ErrorCode) { w.int16(int16(c)) }

func (w *writer) bool(v bool) {
	if v {
		w.b = append(w.b, 1)
	} else {
		w.b = append(w.b, 0)
	}
}

func (w *writer) uvarint(v uint32) { w.b = binary.AppendUvarint(w.b, uint64(v)) }

// UvarintSize returns how many bytes an unsigned varint takes: one for every seven bits begun.
func UvarintSize(u uint64) int {
	if u < 1<<7 {
		return 1
	}
	if u < 1<<14 {
		return 2
	}
	return uvarintSizeAny(u)
}

// uvarintSizeAny uses 9/64 for 1/7, exact for 1 to 64 bits. It stays a call so that UvarintSize can be inlined.
//
//go:noinline
func uvarintSizeAny(u uint64) int { return (bits.Len64(u|1)*9 + 64) >> 6 }

func (w *writer) string(s string) {
	if len(s) > maxString {
		w.fail("a string of %d bytes is longer than %d", len(s), maxString)
		return
	}
	if w.flexible {
		w.uvarint(uint32(len(s)) + 1)
	} else {
		w.int16(int16(len(s)))
	}
	w.b = append(w.b, s...)
}

func (w *writer) nullableString(s *string) {
	switch {
	case s != nil:
		w.string(*s)
	case w.flexible:
		w.uvarint(0)
	default:
		w.int16(-1)
	}
}

// arrayLen writes an array's length; -1 is null.
func (w *writer) arrayLen(n int) {
	if w.flexible {
		w.uvarint(uint32(n + 1))
	} else {
		w.int32(int32(n))
	}
}

func (w *writer) int32s(s []int32) {
	w.arrayLen(len(s))
	for _, v := range s {
		w.int32(v)
	}
}

// records writes a record batch, nil as null.
func (w *writer) records(b []byte) {
	if int64(len(b)) >= math.MaxInt32 {
		w.fail("records of %d bytes are longer than a request can be", len(b))
		return
	}
	switch {
	case w.flexible && b == nil:
		w.uvarint(0)
	case w.flexible:
		w.uvarint(uint32(len(b)) + 1)
	case b == nil:
		w.int32(-1)
	default:
		w.int32(int32(len(b)))
	}
	if !w.vectored {
		w.b = append(w.b, b...)
		return
	}
	if len(b) > 0 {
		w.cut()
		w.bufs = append(w.bufs, b)
	}
}

// cut puts the bytes written since the last cut into bufs.
func (w *writer) cut() {
	if len(w.b) > w.sent {
		w.bufs = append(w.bufs, w.b[w.sent:len(w.b):len(w.b)])
		w.sent = len(w.b)
	}
}

// noTags ends a struct without tagged fields.
func (w *writer) noTags() {
	if w.flexible {
		w.b = append(w.b, 0)
	}
}

// tag begins a tagged field and returns the start of its contents, for endTag.
func (w *writer) tag(tag uint32) int {
	w.uvarint(tag)
	return len(w.b)
}

// endTag puts the size of a tagged field's contents before them. Such fields are rare and short.
func (w *writer) endTag(begin int) {
	var size [binary.MaxVarintLen32]byte
	n := binary.PutUvarint(size[:], uint64(len(w.b)-begin))
	w.b = slices.Insert(w.b, begin, size[:n]...)
}
