package transport

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gosamsa/samsa/internal/lockrank"
)

// byteStream has the methods that a Conn needs of its connection, a *net.TCPConn or a *userConn. It has no other
// method, so every call of the user's code passes the gate.
type byteStream interface {
	io.ReadWriter
	SetDeadline(t time.Time) error
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
}

// userConn is the gate of a dialer's connection other than a plain socket. During the setup its methods run on the
// goroutine of the dialer: there they may block, panic, or call runtime.Goexit. From start on they run on goroutines of
// their own:
//
//   - One goroutine reads and one writes. A Read ends at once when the connection is cut, though the user's Read may go
//     on. A Write ends only with the user's Write, because the user's Write reads the library's buffers until then.
//   - Another goroutine sets deadlines while there are new ones. Callers of SetReadDeadline and SetWriteDeadline do not
//     wait for this goroutine. The next Read waits until the read deadline is set.
//   - A further goroutine closes the connection. No other goroutine waits for it.
//
// A panic and runtime.Goexit end the connection. The errors of the user's methods are frozen.
//
// A socketLike connection has no goroutines of its own.
type userConn struct {
	nc  net.Conn
	log *slog.Logger

	// reads and writes are nil during the setup, and for a socketLike connection.
	reads, writes *userIO
	// broken ends the Conn. It is nil during the setup.
	broken func(error)
	// done is closed when the connection is cut.
	done chan struct{}

	mu        lockrank.Mutex[lockrank.TransportUserConn]
	isCut     bool
	failure   error // the first panic or Goexit
	read      deadline
	write     deadline
	setting   bool      // a goroutine sets deadlines
	deadlines sync.Cond // setting became false, or isCut true
}

// deadline is a deadline to set.
type deadline struct {
	at      time.Time
	pending bool
}

// guard wraps a dialer's connection in a userConn. It returns a *net.TCPConn unchanged: a socket needs no guard, and
// allows vectored writes.
func guard(nc net.Conn, log *slog.Logger) byteStream {
	if socket, ok := nc.(*net.TCPConn); ok {
		return socket
	}
	c := &userConn{nc: nc, log: log, done: make(chan struct{})}
	c.deadlines.L = &c.mu
	return c
}

// socketLike is a connection of a test with methods as a socket's: they neither block without a deadline nor call
// runtime.Goexit.
type socketLike interface {
	// WriteBuffer returns the number of unanswered bytes up to which a Write cannot block.
	WriteBuffer() int
}

// protect calls a method of the user's connection, and returns a panic as an error. If the method calls runtime.Goexit,
// protect stores the failure, but does not return.
func (c *userConn) protect(method string, call func() error) (err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		text, stack := "called runtime.Goexit", debug.Stack()
		if v := recover(); v != nil {
			text = "panicked: " + shorten(fmt.Sprint(v), 200)
		}
		err = fmt.Errorf("%w: %s of the dialer's connection %s", ErrUserCode, method, text)
		c.mu.Lock()
		if c.failure == nil {
			c.failure = err
		}
		c.mu.Unlock()
		c.log.Error("connection failed", "method", method, "reason", text, "stack", string(stack))
	}()
	if err = call(); err != nil {
		err = freeze(err)
	}
	returned = true
	return err
}

// failed returns the first panic or Goexit of the connection.
func (c *userConn) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}

// start ends the setup. The connection calls broken if the user's code fails to set a deadline.
func (c *userConn) start(broken func(error)) {
	if _, ok := c.nc.(socketLike); ok {
		return
	}
	c.broken = broken
	c.reads, c.writes = newUserIO(c.readOnce), newUserIO(c.writeOnce)
	c.writes.lost = 1
	go c.reads.run(c)
	go c.writes.run(c)
}

// Read reads from the user's connection.
func (c *userConn) Read(b []byte) (int, error) {
	if c.reads == nil {
		return c.readOnce(b)
	}
	if !c.reads.begin(b, c.done) {
		return 0, c.closedError()
	}
	select {
	case r := <-c.reads.out:
		return r.n, r.err
	case <-c.done:
		return 0, c.closedError()
	}
}

// Write writes to the user's connection.
func (c *userConn) Write(b []byte) (int, error) {
	if c.writes == nil {
		return c.writeOnce(b)
	}
	if !c.writes.begin(b, c.done) {
		return 0, c.closedError()
	}
	r := <-c.writes.out
	return r.n, r.err
}

// closedError returns why the connection cannot be used.
func (c *userConn) closedError() error {
	if err := c.failed(); err != nil {
		return err
	}
	return net.ErrClosed
}

func (c *userConn) readOnce(b []byte) (n int, err error) {
	if !c.awaitDeadlines() {
		return 0, c.closedError()
	}
	err = c.protect("Read", func() error {
		var err error
		n, err = c.nc.Read(b)
		return err
	})
	if n < 0 || n > len(b) {
		return 0, fmt.Errorf("%w: Read of the dialer's connection returned %d for %d bytes", ErrUserCode, n, len(b))
	}
	return n, err
}

// writeOnce counts a byte as written if the user's code fails: the number of sent bytes is unknown.
func (c *userConn) writeOnce(b []byte) (n int, err error) {
	if !c.awaitDeadlines() {
		return 0, c.closedError()
	}
	n = 1
	err = c.protect("Write", func() error {
		var err error
		n, err = c.nc.Write(b)
		return err
	})
	switch {
	case n < 0 || n > len(b):
		return 1, fmt.Errorf("%w: Write of the dialer's connection returned %d for %d bytes", ErrUserCode, n, len(b))
	case n < len(b) && err == nil:
		err = io.ErrShortWrite
	}
	return n, err
}

// SetDeadline sets both deadlines. It is for the setup.
func (c *userConn) SetDeadline(t time.Time) error {
	return c.protect("SetDeadline", func() error { return c.nc.SetDeadline(t) })
}

// SetReadDeadline sets the read deadline. After the setup it returns before the deadline is set, and the next Read
// waits for the deadline.
func (c *userConn) SetReadDeadline(t time.Time) error { return c.setDeadline(&c.read, t) }

// SetWriteDeadline sets the write deadline. After the setup it returns before the deadline is set.
func (c *userConn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.write, t) }

func (c *userConn) setDeadline(d *deadline, t time.Time) error {
	if c.reads == nil {
		return c.apply(d, t)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	d.at, d.pending = t, true
	if !c.setting && !c.isCut {
		c.setting = true
		go c.setDeadlines()
	}
	return nil
}

func (c *userConn) apply(d *deadline, t time.Time) error {
	if d == &c.read {
		return c.protect("SetReadDeadline", func() error { return c.nc.SetReadDeadline(t) })
	}
	return c.protect("SetWriteDeadline", func() error { return c.nc.SetWriteDeadline(t) })
}

// setDeadlines sets the pending deadlines. If a user's method returns an error, the connection is closed, and its
// reader notices that anyway.
func (c *userConn) setDeadlines() {
	failed := true
	defer func() {
		if failed {
			c.mu.Lock()
			c.setting = false
			c.deadlines.Broadcast()
			c.mu.Unlock()
			c.broken(c.closedError())
		}
	}()
	for {
		d, t := c.nextDeadline()
		if d == nil {
			break
		}
		if err := c.apply(d, t); errors.Is(err, ErrUserCode) {
			return
		}
	}
	failed = false
}

// nextDeadline returns a pending deadline, or nil if there is none; then the goroutine ends.
func (c *userConn) nextDeadline() (*deadline, time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range []*deadline{&c.read, &c.write} {
		if d.pending && !c.isCut {
			d.pending = false
			return d, d.at
		}
	}
	c.setting = false
	c.deadlines.Broadcast()
	return nil, time.Time{}
}

// awaitDeadlines waits until the pending deadlines are set: with an earlier deadline in force, a Read or Write could
// fail at once. It returns false if the connection is cut.
func (c *userConn) awaitDeadlines() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.setting && !c.isCut {
		c.deadlines.Wait()
	}
	return !c.isCut
}

// cut ends the connection. The user's Close may block, like the Close of a TLS connection while its peer reads nothing.
// Meanwhile a deadline in the past ends reads and writes.
func (c *userConn) cut() {
	c.mu.Lock()
	first := !c.isCut
	c.isCut = true
	c.deadlines.Broadcast()
	c.mu.Unlock()
	if !first {
		return
	}
	close(c.done)
	go func() {
		defer func() { _ = c.protect("Close", c.nc.Close) }()
		c.mu.Lock()
		for c.setting {
			c.deadlines.Wait()
		}
		c.mu.Unlock()
		_ = c.SetDeadline(longAgo)
	}()
}

// cut ends a stream without blocking. Closing a socket does not block.
func cut(stream byteStream) {
	switch stream := stream.(type) {
	case *net.TCPConn:
		_ = stream.Close()
	case *userConn:
		stream.cut()
	}
}

// userIO runs Read or Write of a user's connection.
type userIO struct {
	call  func(b []byte) (int, error)
	lost  int // the reported number of bytes after runtime.Goexit
	in    chan []byte
	out   chan ioResult // has room for an abandoned result
	ended chan struct{}
}

type ioResult struct {
	n   int
	err error
}

func newUserIO(call func(b []byte) (int, error)) *userIO {
	return &userIO{call: call, in: make(chan []byte), out: make(chan ioResult, 1), ended: make(chan struct{})}
}

// begin starts a call. It returns false if the connection is cut or the goroutine has ended.
func (w *userIO) begin(b []byte, done <-chan struct{}) bool {
	select {
	case w.in <- b:
		return true
	case <-w.ended:
	case <-done:
	}
	return false
}

// run is the goroutine of Read or Write.
func (w *userIO) run(c *userConn) {
	busy := false
	defer func() {
		close(w.ended)
		if busy { // runtime.Goexit
			w.out <- ioResult{w.lost, c.closedError()}
		}
	}()
	for {
		select {
		case b := <-w.in:
			busy = true
			n, err := w.call(b)
			busy = false
			w.out <- ioResult{n, err}
		case <-c.done:
			return
		}
	}
}
