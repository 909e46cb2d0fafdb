package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"time"

	"github.com/gosamsa/samsa/internal/lockrank"
	"github.com/gosamsa/samsa/protocol"
)

// Call is one request on its way. The connection owns it from Send on until both have happened: Send has returned, and
// Done was called. Either can happen first, because the answer can arrive before the write returns. Before reusing a
// Call or its buffers, wait for both.
type Call struct {
	// Key and Version determine the format of the answer's header.
	Key     protocol.APIKey
	Version int16
	// Buffers is the whole frame. The first buffer starts with four bytes for the length and the request header, as
	// protocol.AppendRequestHeader wrote it after a hole of four bytes; Send fills in length and correlation id. The
	// connection reads the buffers until Send returns and changes nothing else in them.
	Buffers [][]byte
	// Timeout is how long the connection waits for the answer, from the start of the write. Zero means
	// Options.RequestTimeout. The broker's throttle time does not count: see Conn.Throttle.
	Timeout time.Duration
	// NoResponse: the broker sends no answer (acks=0). The call ends with the write of its last byte.
	NoResponse bool
	// ReadInline: the sender of the call waits for its answer, and calls Conn.ReadUntil as soon as Send has returned.
	ReadInline bool
	// The connection calls Done exactly once, with the outcome: the answer's body (without the response header), or an
	// *Error. The body is valid only during the call. Done runs on the connection's reading goroutine, inside
	// ReadUntil, or inside Send when the write failed or no answer is due. The connection holds no lock during Done.
	// Done must not block, except inside Send. The Dones of one connection start in the order of the requests, but
	// while one Done waits inside Send, the next may start.
	Done func(body []byte, err error)

	next     *Call
	id       int32
	size     int64
	deadline time.Time
}

// frameHead is the part of a frame read or written by Send: length, API key, version, correlation id.
const frameHead = 12

// Conn is one connection to a broker. The callers of Send write the requests, one at a time. One goroutine at a time
// reads the answers: the connection's own goroutine, or a goroutine waiting for an answer (see ReadUntil). The answers
// come in the order of the requests. A Conn is safe for many goroutines.
type Conn struct {
	nc      byteStream
	address string
	opts    *Options
	apis    map[protocol.APIKey]protocol.VersionRange
	log     *slog.Logger

	// writeSem holds one element while a goroutine writes. It is a channel, not a mutex, because it is held over the
	// write.
	writeSem chan struct{}
	// out belongs to the holder of writeSem.
	out writer
	// roomy is the number of unanswered bytes up to which a write cannot block, because all of them fit into the
	// socket's buffer.
	roomy int64

	closed chan struct{}

	mu lockrank.Mutex[lockrank.TransportConn]
	// head to tail are the calls that await an answer, in the order of writing.
	head, tail *Call
	inFlight   int
	// unanswered counts the bytes of those calls: up to this many bytes may still be in the socket's buffers.
	unanswered int64
	nextID     int32
	// writing is the call that a goroutine is writing, until the write returns or the call is completed.
	writing *Call
	// armed is the read deadline in force, zero for none. It may be earlier than needed: then the reader sets a new
	// one.
	armed time.Time
	// bound is the write deadline in force. It matters only without a reader, because the read deadline already limits
	// every call. So it may be late, and the connection sets it rarely.
	bound time.Time
	// throttled is the end of the throttle: until then, by its own response, the broker reads nothing from this
	// connection.
	throttled time.Time
	// quietSince is the time of the last answer or of the start of the last write.
	quietSince time.Time
	// delivering is the frameReader while its goroutine runs a Done instead of reading. A goroutine that sets it to nil
	// makes another goroutine the reader.
	delivering   *frameReader
	spare        *frameReader
	parkedReader parkedReader
	// err is the reason for the end of the connection. Once it is set, the connection accepts no call.
	err error
}

// Address returns the address given to Dial.
func (c *Conn) Address() string { return c.address }

// Closed is closed when the connection has ended.
func (c *Conn) Closed() <-chan struct{} { return c.closed }

// Err returns why the connection ended, and nil while it is open.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// InFlight returns the number of calls without an answer so far.
func (c *Conn) InFlight() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inFlight
}

// Version returns the newest common version of a request. The error is ErrUnsupported, with the versions of each side.
func (c *Conn) Version(key protocol.APIKey) (int16, error) {
	broker, ok := c.apis[key]
	if !ok {
		return 0, &Error{Address: c.address, Err: c.lacks(key)}
	}
	version, err := protocol.NegotiateVersion(key, broker)
	if err != nil {
		return 0, &Error{Address: c.address, Err: fmt.Errorf("%w: %w", ErrUnsupported, err)}
	}
	return version, nil
}

// Close ends the connection and fails all calls in flight with cause, or with ErrClosed if cause is nil. It returns at
// once: the Dones run on the reader's goroutine. Only the first Close counts.
func (c *Conn) Close(cause error) {
	if cause == nil {
		cause = ErrClosed
	}
	c.end(cause)
}

// end ends the connection with cause as the reason, unless it has ended already. The reader wakes up and fails the
// calls. If the reader is parked, the only calls in flight are calls before their ReadUntil, and ReadUntil fails these.
func (c *Conn) end(cause error) {
	c.mu.Lock()
	first := c.err == nil
	if first {
		c.err = cause
		c.parkedReader.stopLocked()
	}
	c.mu.Unlock()
	if !first {
		return
	}
	close(c.closed)
	cut(c.nc)
	c.log.Debug("connection ended", "address", c.address, "reason", cause)
}

// Send registers the call and writes it in one vectored write. It returns when the connection no longer needs the
// buffers. Done gets every error that Send returns, so a caller can rely on Done alone. A late answer ends the
// connection, because the answers after it cannot arrive either.
func (c *Conn) Send(call *Call) error { return c.send(call, nil) }

// send is Send, but fails the call if over is closed while the call waits for its turn to write.
func (c *Conn) send(call *Call, over <-chan struct{}) error {
	size, err := frameSize(call, int64(c.opts.MaxRequest))
	if err != nil {
		return c.finish(call, false, err)
	}
	timeout := call.Timeout
	if timeout <= 0 {
		timeout = c.opts.RequestTimeout
	}
	if err := c.takeTurn(over); err != nil {
		return c.finish(call, false, err)
	}
	now := time.Now()
	if err := c.register(call, size, now, timeout); err != nil {
		<-c.writeSem
		return c.finish(call, false, err)
	}
	n, err := c.out.write(c.nc, call.Buffers, size)
	if err != nil {
		c.end(writeError(err))
	}
	return c.written(call, n)
}

// takeTurn waits until no other goroutine writes. It returns an error if the connection ends or over is closed before.
func (c *Conn) takeTurn(over <-chan struct{}) error {
	select {
	case c.writeSem <- struct{}{}:
		return nil
	default:
	}
	c.keepReading()
	select {
	case c.writeSem <- struct{}{}:
		return nil
	case <-c.closed:
		return c.Err()
	case <-over:
		return errWaitOver
	}
}

// errWaitOver is the failure of a call after its caller has stopped waiting.
var errWaitOver = errors.New("the wait for the answer ended before the request was written")

// register appends the call to the calls without an answer, sets its correlation id, and sets the deadlines for it.
func (c *Conn) register(call *Call, size int64, now time.Time, timeout time.Duration) error {
	c.mu.Lock()
	if err := c.err; err != nil {
		c.mu.Unlock()
		return err
	}
	call.id, call.size, call.next = c.nextID, size, nil
	c.nextID = (c.nextID + 1) & math.MaxInt32
	start := now
	if c.throttled.After(now) {
		start = c.throttled
	}
	call.deadline = start.Add(timeout)
	if left := c.bound.Sub(start); left < timeout || left > 4*timeout {
		c.armWrite(start.Add(2 * timeout))
	}
	binary.BigEndian.PutUint32(call.Buffers[0], uint32(size-4))
	binary.BigEndian.PutUint32(call.Buffers[0][8:], uint32(call.id))
	c.writing = call
	c.quietSince = now
	if !call.NoResponse {
		c.push(call)
	}
	if c.armed.IsZero() || call.deadline.Before(c.armed) {
		c.arm(call.deadline)
	}
	var r *frameReader
	if !call.ReadInline {
		r = c.parkedReader.takeLocked()
	}
	c.mu.Unlock()
	if r != nil {
		go c.read(r, nil)
	}
	c.keepReading()
	return nil
}

// written ends the turn of a call after n written bytes. It also completes the call, unless the call awaits an answer.
func (c *Conn) written(call *Call, n int64) error {
	c.mu.Lock()
	// If the answer has already arrived, the caller may be reusing the call, so this goroutine must not touch it.
	mine := c.writing == call
	c.writing = nil
	cause := c.err
	if mine && cause != nil {
		c.remove(call)
	}
	// A call without an answer has succeeded if the connection took its last byte, even if the connection ends then.
	finished := mine && call.NoResponse && (cause == nil || n == call.size)
	c.mu.Unlock()
	<-c.writeSem
	switch {
	case finished:
		call.Done(nil, nil)
	case mine && cause != nil:
		return c.finish(call, n > 0, cause)
	}
	return nil
}

// finish fails the call.
func (c *Conn) finish(call *Call, sent bool, cause error) error {
	err := c.failure(sent, cause)
	call.Done(nil, err)
	return err
}

func (c *Conn) failure(sent bool, cause error) *Error {
	return &Error{Address: c.address, Sent: sent, Timeout: isTimeout(cause), Err: cause}
}

// frameSize checks that the call is within the size of a frame, and returns its size with the length field.
func frameSize(call *Call, most int64) (int64, error) {
	if len(call.Buffers) == 0 || len(call.Buffers[0]) < frameHead {
		return 0, fmt.Errorf("%w: its first buffer lacks the header", ErrBadCall)
	}
	size := int64(0)
	for _, b := range call.Buffers {
		size += int64(len(b))
	}
	if size > most {
		return 0, fmt.Errorf("%w: %w: it has %d bytes, a frame has at most %d", ErrBadCall, ErrRequestTooLarge, size,
			most)
	}
	return size, nil
}

// push, pop and remove keep the queue of calls and its sums. They need mu.
func (c *Conn) push(call *Call) {
	if c.tail == nil {
		c.head = call
	} else {
		c.tail.next = call
	}
	c.tail = call
	c.inFlight++
	c.unanswered += call.size
}

func (c *Conn) pop() {
	call := c.head
	c.head = call.next
	if c.head == nil {
		c.tail = nil
	}
	c.inFlight--
	c.unanswered -= call.size
}

func (c *Conn) remove(call *Call) {
	var before *Call
	for at := c.head; at != nil; before, at = at, at.next {
		if at != call {
			continue
		}
		if before == nil {
			c.pop()
			return
		}
		before.next = at.next
		if c.tail == at {
			c.tail = before
		}
		c.inFlight--
		c.unanswered -= at.size
		return
	}
}

// readError converts an error of a read: it distinguishes a broken connection from a malformed answer.
func readError(err error) error {
	if errors.Is(err, ErrMalformed) || errors.Is(err, ErrNotKafka) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrDisconnected, plain(err))
}

// writeError converts an error of a write: it distinguishes a broken connection from a broker that does not read.
func writeError(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%w: the broker takes no bytes", ErrRequestTimeout)
	}
	return fmt.Errorf("%w: %w", ErrDisconnected, plain(err))
}
