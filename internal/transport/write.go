package transport

import (
	"io"
	"net"
)

const (
	// packed is how many bytes of small buffers go out in one piece if the stream does not write from several places.
	packed = 16 << 10
	// copied is up to how many bytes it is cheaper to copy them together than to write them from several places.
	copied = 2 << 10
	// smallestSendBuffer is the least number of bytes taken by a socket of every system before a write blocks.
	smallestSendBuffer = 16 << 10
)

// writer puts frames on the wire. It belongs to the goroutine that holds writeSem.
type writer struct {
	// vectored: the system writes many buffers in one call.
	vectored bool
	vector   [][]byte
	rest     net.Buffers
	scratch  []byte
}

// roomFor returns up to how many bytes under way a write to a connection cannot block. sendBuffer is the socket's
// buffer as it was set, or less than 1.
func roomFor(nc net.Conn, sendBuffer int) int64 {
	if tls, ok := nc.(interface{ NetConn() net.Conn }); ok {
		// Its records are a little longer than the written bytes, and its socket's buffer was not set.
		nc, sendBuffer = tls.NetConn(), 0
	}
	switch nc := nc.(type) {
	case *net.TCPConn:
		if sendBuffer <= 0 {
			return smallestSendBuffer
		}
		return int64(min(sendBuffer/2, 32<<10))
	case socketLike:
		return int64(nc.WriteBuffer())
	}
	return 0
}

// write writes the buffers, size bytes in all, and returns how many bytes the connection took.
func (w *writer) write(nc io.Writer, buffers [][]byte, size int64) (int64, error) {
	if len(buffers) == 1 {
		n, err := nc.Write(buffers[0])
		return int64(n), err
	}
	if !w.vectored || size <= copied {
		return w.pack(nc, buffers)
	}
	// WriteTo empties its slice, so it gets a copy, kept here to cost no allocation.
	w.vector = append(w.vector[:0], buffers...)
	w.rest = w.vector
	n, err := w.rest.WriteTo(nc)
	clear(w.vector)
	w.rest = nil
	return n, err
}

// pack writes small buffers together, to keep a header from becoming a packet or a TLS record of its own.
func (w *writer) pack(nc io.Writer, buffers [][]byte) (written int64, err error) {
	if w.scratch == nil {
		w.scratch = make([]byte, 0, packed)
	}
	flush := func(b []byte) error {
		if len(b) == 0 {
			return nil
		}
		n, err := nc.Write(b)
		written += int64(n)
		return err
	}
	pending := w.scratch[:0]
	for _, b := range buffers {
		if len(pending)+len(b) <= packed {
			pending = append(pending, b...)
			continue
		}
		if err := flush(pending); err != nil {
			return written, err
		}
		pending = pending[:0]
		if len(b) < packed {
			pending = append(pending, b...)
			continue
		}
		if err := flush(b); err != nil {
			return written, err
		}
	}
	return written, flush(pending)
}
