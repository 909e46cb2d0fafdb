package transport

import (
	"time"

	"github.com/gosamsa/samsa/internal/weakly"
)

// Who sends a record and waits for its outcome would wake the reader's goroutine twice: by its answer, and by being woken from there. Each
// is a switch between goroutines, often between processors, and together they are a third of what a synchronous send costs. So one that waits
// reads its answer by itself:
//
//   - After the answer to an awaited call, or when Await ends, nobody reads if nothing is in flight: the connection rests. The reader's
//     state lies in rest.reader, and whoever takes it away is the reader.
//   - The next awaited call finds it there. Await takes it, and reads until what it waits for has happened. If something is in flight
//     then, a new goroutine goes on reading; else the connection rests again.
//   - Any other call that is sent while the connection rests starts a goroutine that reads.
//   - A connection that has rested for restFor is read again by a goroutine: only a reader sees that the broker has closed it, or that it
//     was idle for too long.
//   - Await reads for no longer than patience. Then a goroutine goes on, for what is waited for can happen without an answer: a
//     deadline, or the end of a context. Where answers take longer, the connection does not rest for a while, which doubles while that goes on.
//
// The read deadline is what ends Await's patience. It may be too early for whoever reads next, as it may be anyway: see overdue.

const (
	// patience is how long Await reads, about.
	patience = 2 * time.Millisecond
	// restFor is how long a connection may have no reader.
	restFor = 10 * time.Millisecond
	// restlessFor is how long it does not rest after an answer that took longer than Await's patience: at first, for a single one may
	// be late for any reason, and at the most, where they are late again and again.
	restlessFor, restlessForLong = 4 * time.Millisecond, 128 * time.Millisecond
)

// parkedReader is a connection's state of having no reader. Conn.mu guards it.
type parkedReader struct {
	reader *frameReader // not nil while nobody reads
	since  time.Time
	timer  *time.Timer
	armed  bool          // timer will fire
	not    time.Time     // before this it does not rest
	pause  time.Duration // how long before not that was
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

// UnblockedWriteLimit tells up to how many bytes a request may have so that writing it cannot block while nothing is in flight.
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

// restOver makes the timer's goroutine the reader of a connection that has rested for long.
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

// tooLong notes that an answer took longer than Await's patience.
func (c *Conn) tooLong() {
	c.mu.Lock()
	w, now := &c.parkedReader, time.Now()
	if now.Sub(w.not) > restlessForLong {
		w.pause = 0 // that was another time
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
