package testbroker

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipe is one end of an in-memory connection with the behaviour of TCP: writes go into a bounded buffer, a close lets
// the other end read the written bytes, a reset does not, deadlines work, and all of it is safe for concurrent use.
type pipe struct {
	in, out       *stream
	local, remote net.Addr
	closing       sync.Once
}

// address is the place of an end of an in-memory connection.
type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// Pipe returns the two ends of an in-memory connection, for tests without a broker.
func Pipe() (client, server net.Conn) {
	a, b := newPipe(address("client:1"), address("server:1"), rand.Uint64())
	return a, b
}

// newPipe returns the two ends of a connection. The seed decides about the pieces of the ends' reads.
func newPipe(client, server net.Addr, seed uint64) (*pipe, *pipe) {
	up, down := newStream(rand.NewPCG(seed, 0)), newStream(rand.NewPCG(seed, 1))
	return &pipe{in: down, out: up, local: client, remote: server},
		&pipe{in: up, out: down, local: server, remote: client}
}

// Read reads the bytes written by the other end, or a part of them; it returns io.EOF after the other end has closed
// and all is read.
func (p *pipe) Read(b []byte) (int, error) {
	n, err := p.in.read(b)
	return n, p.explain("read", err)
}

// Write returns when all of b is in the connection's buffer.
func (p *pipe) Write(b []byte) (int, error) {
	n, err := p.out.write(b)
	return n, p.explain("write", err)
}

// WriteBuffer returns up to how many bytes under way a Write cannot wait. A client may use it like its knowledge about
// sockets. It is less than the truth, so tests see both sides.
func (p *pipe) WriteBuffer() int { return socketBuffer / 32 }

// Close ends both directions. The other end reads the bytes written before, then io.EOF, or ECONNRESET if this end had
// unread bytes, as with TCP.
func (p *pipe) Close() error {
	p.closing.Do(func() {
		last := io.EOF
		if p.in.closeRead(net.ErrClosed, syscall.EPIPE) {
			last = syscall.ECONNRESET
		}
		p.out.closeWrite(net.ErrClosed, last)
	})
	return nil
}

// Reset breaks the connection: both ends fail at once, and the bytes under way are lost.
func (p *pipe) Reset() {
	p.in.reset(syscall.ECONNRESET)
	p.out.reset(syscall.ECONNRESET)
}

// LocalAddr returns this end's address.
func (p *pipe) LocalAddr() net.Addr { return p.local }

// RemoteAddr returns the other end's address.
func (p *pipe) RemoteAddr() net.Addr { return p.remote }

// SetDeadline sets both deadlines.
func (p *pipe) SetDeadline(t time.Time) error {
	p.in.setLimit(&p.in.readLimit, t)
	p.out.setLimit(&p.out.writeLimit, t)
	return nil
}

// SetReadDeadline bounds Read, also a waiting one.
func (p *pipe) SetReadDeadline(t time.Time) error {
	p.in.setLimit(&p.in.readLimit, t)
	return nil
}

// SetWriteDeadline bounds Write, also a waiting one.
func (p *pipe) SetWriteDeadline(t time.Time) error {
	p.out.setLimit(&p.out.writeLimit, t)
	return nil
}

// explain turns a stream's errors into package net's errors of a socket. io.EOF stays as it is.
func (p *pipe) explain(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	var number syscall.Errno
	if errors.As(err, &number) {
		err = os.NewSyscallError(op, number)
	}
	return &net.OpError{Op: op, Net: "tcp", Source: p.local, Addr: p.remote, Err: err}
}
