package transport

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/gosamsa/samsa/protocol"
)

// read reads answers from the stream and delivers them to their calls, until the connection ends or another goroutine
// becomes the reader. It runs on the reader's goroutine, or inside ReadUntil with the awaited channel. When the
// connection ends, read fails the remaining calls.
func (c *Conn) read(r *frameReader, awaited <-chan struct{}) {
	for {
		frame, err := r.next(c.nc, c.opts.MaxResponse)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if err = c.overdue(); err == nil {
				if awaited != nil {
					c.tooLong()
					go c.read(r, nil)
					return
				}
				continue
			}
		} else if err != nil {
			err = readError(err)
		}
		if err != nil {
			c.end(err)
			break
		}
		call, body, err := c.match(frame, r)
		if err != nil {
			c.end(err)
			break
		}
		mayRest := call.ReadInline // the caller may reuse the call after Done
		call.Done(body, nil)
		if !c.resume(r, mayRest) {
			return
		}
		if awaited != nil && isClosed(awaited) {
			c.releaseReader(r)
			return
		}
	}
	c.drain()
}

// match finds the call of an answer, and removes it from the queue. From here until resume the reader is in the state
// delivering.
func (c *Conn) match(frame []byte, r *frameReader) (*Call, []byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, nil, c.err
	}
	call := c.head
	if call == nil {
		return nil, nil, fmt.Errorf("%w: %d bytes that nothing was asked for", ErrMalformed, len(frame))
	}
	id, body, err := protocol.DecodeResponseHeader(frame, call.Key, call.Version)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if id != call.id {
		return nil, nil, fmt.Errorf("%w: correlation id %d where %d was due", ErrMalformed, id, call.id)
	}
	c.pop()
	c.throttled = time.Time{} // a muted connection gets no responses
	if c.writing == call {
		c.writing = nil
	}
	if c.head == nil {
		c.quietSince = time.Now()
	}
	c.delivering = r
	return call, body, nil
}

// resume makes the goroutine read again after a Done. It returns false if another goroutine has become the reader, or
// if it has parked the reader after an awaited call.
func (c *Conn) resume(r *frameReader, mayRest bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.delivering == r {
		c.delivering = nil
		return !mayRest || !c.restLocked(r)
	}
	c.spare = r
	return false
}

// keepReading makes sure that a goroutine reads while a write blocks; a caller calls it before such a write. A broker
// may accept no bytes until the client reads its answers. So if the reader's goroutine is inside a Done, a new
// goroutine becomes the reader, and the former reader ends when its Done returns. While all unanswered bytes fit into
// the socket's buffer, no write can block, and keepReading starts no goroutine.
func (c *Conn) keepReading() {
	c.mu.Lock()
	r := c.delivering
	crowded := c.unanswered > c.roomy || c.writing != nil && c.writing.NoResponse
	if r == nil || c.err != nil || !crowded {
		c.mu.Unlock()
		return
	}
	c.delivering = nil
	other := c.spare
	c.spare = nil
	if other == nil {
		other = new(frameReader)
	}
	// Done may still read its body in the buffer of r, so only the bytes after the body move.
	other.takeRest(r)
	c.mu.Unlock()
	go c.read(other, nil)
}

// The reader calls overdue after the read deadline. If no answer is late, overdue sets the next deadline; otherwise it
// returns the reason to end the connection. Most deadlines are set here instead of with each request: an early deadline
// costs only one wake-up.
func (c *Conn) overdue() error {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	due, busy := c.due()
	if due.IsZero() || now.Before(due) {
		c.arm(due)
		return nil
	}
	if busy {
		return ErrRequestTimeout
	}
	return ErrIdle
}

// due returns the time when the connection must end without an answer, zero for never, and whether a call awaits an
// answer. It needs mu.
func (c *Conn) due() (due time.Time, busy bool) {
	earlier := func(call *Call) {
		if !busy || call.deadline.Before(due) {
			due, busy = call.deadline, true
		}
	}
	for call := c.head; call != nil; call = call.next {
		earlier(call)
	}
	if c.writing != nil {
		earlier(c.writing)
	}
	if !busy && c.opts.MaxIdle > 0 {
		due = c.quietSince.Add(c.opts.MaxIdle)
	}
	return due, busy
}

// arm sets the read deadline, which does not block. It needs mu, so that the newest deadline stays in force.
func (c *Conn) arm(t time.Time) {
	c.armed = t
	// An error means that the connection is closed, and the reader notices that anyway.
	_ = c.nc.SetReadDeadline(t)
}

// armWrite sets the write deadline, as arm does the read deadline. It needs mu.
func (c *Conn) armWrite(t time.Time) {
	c.bound = t
	_ = c.nc.SetWriteDeadline(t)
}

// drain fails the calls in flight, in their order. A call in a write is failed by its Send, because only Send knows the
// number of written bytes.
func (c *Conn) drain() {
	c.mu.Lock()
	cause := c.err
	if c.writing != nil {
		c.remove(c.writing)
	}
	call := c.head
	c.head, c.tail, c.inFlight, c.unanswered = nil, nil, 0, 0
	c.mu.Unlock()
	for call != nil {
		// Done may reuse the call, so read its next first.
		next := call.next
		_ = c.finish(call, true, cause)
		call = next
	}
}
