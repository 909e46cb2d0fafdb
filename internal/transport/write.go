package transport

import (
	"io"
	"net"
)

const (
	// packed is the largest size of a write that joins small buffers, if the stream has no vectored write.
	packed = 16 << 10
	// copied is the size of a frame up to which copying its buffers together is cheaper than a vectored write.
	copied = 2 << 10
	// smallestSendBuffer is the number of bytes that a socket of every operating system accepts before a write blocks.
	smallestSendBuffer = 16 << 10
)

// writer puts frames on the wire. It belongs to the goroutine that holds writeSem.
type writer struct {
	// vectored: one system call can write many buffers.
	vectored bool
	vector   [][]byte
	rest     net.Buffers
	scratch  []byte
}

// roomFor returns the number of unanswered bytes up to which a write to a connection cannot block. sendBuffer is the
// configured size of the socket's buffer, or less than 1 if there is none.
func roomFor(nc net.Conn, sendBuffer int) int64 {
	if tls, ok := nc.(interface{ NetConn() net.Conn }); ok {
		// TLS records are a little longer than the written bytes, and the package has not set the buffer of the inner
		// socket.
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
	// WriteTo empties its slice, so it gets a copy. The writer keeps the copy's memory to avoid an allocation.
	w.vector = append(w.vector[:0], buffers...)
	w.rest = w.vector
	n, err := w.rest.WriteTo(nc)
	clear(w.vector)
	w.rest = nil
	return n, err
}

// pack joins small buffers into one write, so that a header does not become a packet or a TLS record of its own.
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
