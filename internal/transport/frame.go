package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// initialBuffer is enough for the usual produce answer with dozens of partitions.
	initialBuffer = 4 << 10
	// keptBuffer is the largest read buffer kept by a connection for the next answer.
	keptBuffer = 1 << 20
	// shortestFrame is a correlation id and nothing else.
	shortestFrame = 4
	// emptyReads is the number of reads in a row without bytes or error after which a net.Conn counts as broken.
	emptyReads = 100
)

// frameReader cuts a byte stream into Kafka's frames: four bytes of length, then this number of bytes. After a failed
// read, for example at a deadline, no byte is lost: the next call continues at the same position. The buffer grows with
// the received bytes, never by a claimed length.
type frameReader struct {
	buf      []byte
	pos, end int  // buf[pos:end] is read and not yet returned
	known    bool // a whole frame came, so the server speaks Kafka's protocol
}

// next returns the next frame without its length. It is valid until the next call.
func (r *frameReader) next(src io.Reader, limit int) ([]byte, error) {
	for idle := 0; ; {
		need := 4
		if r.end-r.pos >= 4 {
			n, err := r.length(limit)
			if err != nil {
				return nil, err
			}
			need += n
			if r.end-r.pos >= need {
				frame := r.buf[r.pos+4 : r.pos+need : r.pos+need]
				r.pos += need
				r.known = true
				return frame, nil
			}
		}
		r.makeRoom(need)
		n, err := src.Read(r.buf[r.end:])
		r.end += n
		if n > 0 {
			idle = 0
			continue
		}
		if err != nil {
			return nil, r.interrupted(err, need)
		}
		if idle++; idle == emptyReads {
			return nil, io.ErrNoProgress
		}
	}
}

// length checks and returns the length of the frame at pos.
func (r *frameReader) length(limit int) (int, error) {
	head := r.buf[r.pos : r.pos+4]
	if !r.known {
		if err := foreign(head, r.buf[r.pos:r.end]); err != nil {
			return 0, err
		}
	}
	n := int32(binary.BigEndian.Uint32(head))
	switch {
	case n < shortestFrame:
		return 0, fmt.Errorf("%w: a length of %d bytes", ErrMalformed, n)
	case int64(n) > int64(limit):
		return 0, fmt.Errorf("%w: a length of %d bytes, the limit is %d", ErrMalformed, n, limit)
	}
	return int(n), nil
}

// makeRoom makes room in the buffer for at least one more byte of a frame of need bytes from pos on.
func (r *frameReader) makeRoom(need int) {
	if r.pos == r.end {
		r.pos, r.end = 0, 0
		if len(r.buf) > keptBuffer {
			r.buf = nil
		}
	}
	if r.buf == nil {
		r.buf = make([]byte, initialBuffer)
	}
	if len(r.buf)-r.pos < need && r.pos > 0 {
		r.end = copy(r.buf, r.buf[r.pos:r.end])
		r.pos = 0
	}
	if r.end == len(r.buf) {
		grown := make([]byte, max(initialBuffer, min(2*len(r.buf), need)))
		r.end = copy(grown, r.buf[:r.end])
		r.buf = grown
	}
}

// interrupted returns the error for the end of a stream, which depends on whether a frame is incomplete.
func (r *frameReader) interrupted(err error, need int) error {
	have := r.end - r.pos
	if !errors.Is(err, io.EOF) || have == 0 {
		return err
	}
	if have < 4 {
		return fmt.Errorf("%w: the stream ended after %d bytes of an answer", io.ErrUnexpectedEOF, have)
	}
	return fmt.Errorf("%w: the stream ended after %d of an answer's %d bytes", io.ErrUnexpectedEOF, have, need)
}

// takeRest moves the bytes that o has read beyond its current frame to r.
func (r *frameReader) takeRest(o *frameReader) {
	rest := o.buf[o.pos:o.end]
	if len(r.buf) < len(rest) || r.buf == nil {
		r.buf = make([]byte, max(initialBuffer, len(rest)))
	}
	r.pos, r.end = 0, copy(r.buf, rest)
	r.known = o.known
}

// foreign recognises other protocols by the first bytes of their answer to a Kafka request.
func foreign(head, all []byte) error {
	switch {
	case string(head) == "HTTP":
		return fmt.Errorf("%w: an HTTP server answered: use the port of a Kafka listener", ErrNotKafka)
	case (head[0] == 0x15 || head[0] == 0x16) && head[1] == 3:
		return fmt.Errorf("%w: the answer is TLS, and this connection is plaintext: use a plaintext listener, or a Dialer that makes TLS connections", ErrNotKafka)
	case printable(head):
		return fmt.Errorf("%w: it answered with text: %q", ErrNotKafka, all[:min(len(all), 60)])
	}
	return nil
}

// printable reports whether all of b is ASCII text. Read as a length, four such bytes are above 150 MB.
func printable(b []byte) bool {
	for _, c := range b {
		if (c < ' ' || c > '~') && c != '\r' && c != '\n' && c != '\t' {
			return false
		}
	}
	return true
}
