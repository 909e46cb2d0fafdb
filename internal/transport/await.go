package transport

import (
	"time"

	"github.com/gosamsa/samsa/internal/weakly"
)

// A synchronous send with a separate reader costs two switches between goroutines, often between processors: the answer
// wakes the reader, and the reader wakes the sender. Together they are a third of the send's cost. So the waiting
// goroutine reads the answer inline:
//
//   - After the answer to an awaited call, or when ReadUntil ends, no goroutine reads if nothing is in flight: the
//     connection rests. The reader's state lies in parkedReader.reader; a goroutine that takes it away is the reader.
//   - The next awaited call finds it there. ReadUntil takes it, and reads until the awaited outcome is there. If
//     something is in flight then, a new goroutine goes on reading; else the connection rests again.
//   - Any other call, sent while the connection rests, starts a reading goroutine.
//   - After restFor of rest a goroutine reads the connection again: only a reader sees that the broker has closed it,
//     or that it was idle for too long.
//   - ReadUntil reads for at most patience. Then a goroutine goes on, for the wait can end without an answer: by a
//     deadline, or the end of a context. After a longer answer the connection does not rest for a while, doubled with
//     each further long answer.
//
// The read deadline ends ReadUntil's patience. It may be too early for the next reader, as any read deadline may be:
// see overdue.

const (
	// patience is how long Await reads, about.
	patience = 2 * time.Millisecond
	// restFor is how long a connection may have no reader.
	restFor = 10 * time.Millisecond
	// restlessFor is how long it does not rest after an answer beyond ReadUntil's patience: at first, for a single
	// answer may be late for any reason, and at the most, after many late answers.
	restlessFor, restlessForLong = 4 * time.Millisecond, 128 * time.Millisecond
)

// parkedReader is a connection's state of having no reader. Conn.mu guards it.
type parkedReader struct {
	reader *frameReader // not nil while nobody reads
	since  time.Time
	timer  *time.Timer
	armed  bool          // timer will fire
	not    time.Time     // before this it does not rest
	pause  time.Duration // how long before not the answer was late
}

// takeLocked makes the caller the reader if nobody is.
func (w *parkedReader) takeLocked() *frameReader {
	r := w.reader
	w.reader = nil
	return r
}

func (w *parkedReader) stopLocked() {
	if w.timer != nil {
		w.timer.Stop()
	}
}

// UnblockedWriteLimit returns the largest size in bytes of a request whose write cannot block while nothing is in
// flight.
func (c *Conn) UnblockedWriteLimit() int { return int(c.roomy) }

// ReadUntil reads answers until awaited is closed, if nobody else reads. It may return before: the caller waits for awaited in any case.
func (c *Conn) ReadUntil(awaited <-chan struct{}) {
	c.mu.Lock()
	r := c.parkedReader.takeLocked()
	if r == nil {
		c.mu.Unlock()
		return
	}
	if c.err != nil {
		c.mu.Unlock()
		c.drain()
		return
	}
	if c.head == nil || isClosed(awaited) {
		c.mu.Unlock()
		c.releaseReader(r)
		return
	}
	// Not for each answer: a deadline costs more than reading one. The write has begun just now.
	if left := c.armed.Sub(c.quietSince); left < patience/2 || left > patience {
		c.arm(c.quietSince.Add(patience))
	}
	c.mu.Unlock()
	c.read(r, awaited)
}

// restLocked leaves the connection without a reader, if nothing is to be read soon.
func (c *Conn) restLocked(r *frameReader) bool {
	if c.head != nil || c.err != nil || r.pos != r.end {
		return false
	}
	w := &c.parkedReader
	if c.quietSince.Before(w.not) {
		return false
	}
	w.reader, w.since = r, c.quietSince
	if !w.armed {
		w.armed = true
		if w.timer == nil {
			w.timer = time.AfterFunc(restFor, weakly.Do(c, (*Conn).restOver))
		} else {
			w.timer.Reset(restFor)
		}
	}
	return true
}

// restOver makes the timer's goroutine the reader of a connection after a long rest.
func (c *Conn) restOver() {
	c.mu.Lock()
	w := &c.parkedReader
	w.armed = false
	var r *frameReader
	if w.reader != nil && c.err == nil {
		if left := restFor - time.Since(w.since); left > 0 {
			w.armed = true
			w.timer.Reset(left)
		} else {
			r = w.takeLocked()
		}
	}
	c.mu.Unlock()
	if r != nil {
		c.read(r, nil)
	}
}

// releaseReader ends Await's turn as the reader.
func (c *Conn) releaseReader(r *frameReader) {
	c.mu.Lock()
	rests := c.restLocked(r)
	c.mu.Unlock()
	if !rests {
		go c.read(r, nil)
	}
}

// tooLong notes an answer beyond ReadUntil's patience.
func (c *Conn) tooLong() {
	c.mu.Lock()
	w, now := &c.parkedReader, time.Now()
	if now.Sub(w.not) > restlessForLong {
		w.pause = 0 // the last late answer was long ago
	}
	w.pause = min(max(restlessFor, 2*w.pause), restlessForLong)
	w.not = now.Add(w.pause)
	c.mu.Unlock()
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
