package transport

import (
	"time"

	"github.com/gosamsa/samsa/internal/weakly"
)

// A goroutine that sends a record and waits for its outcome would wake the reader's goroutine, and that one would wake
// it. Each is a switch between goroutines, often between processors, and together they are a third of the cost of a
// synchronous send. So a goroutine that waits reads its response itself. The chart at parkedReader shows how the reader
// changes hands.
//
// The connection parks its reader only if nothing is in flight and no byte is unread. Only a reader sees that the
// broker has closed the connection, or that the connection was idle for too long. So a goroutine reads again after
// restFor.
//
// ReadUntil reads for no longer than patience: its caller may wait for an event without a response, such as a deadline
// or the end of a context. Where responses take longer, the connection parks no reader for a pause, which doubles while
// that goes on. The read deadline is the end of ReadUntil's patience. It may be too early for the next reader: see
// overdue.

const (
	// patience is how long ReadUntil reads, about.
	patience = 2 * time.Millisecond
	// restFor is how long a connection may have no reader.
	restFor = 10 * time.Millisecond
	// restlessFor is how long the connection parks no reader after a response that took longer than patience: at first,
	// for a single response may be late for any reason, and at the most, where responses are late again and again.
	restlessFor, restlessForLong = 4 * time.Millisecond, 128 * time.Millisecond
)

// parkedReader holds a connection's reader while no goroutine reads. Conn.mu guards it.
//
// The goroutine that has the connection's frameReader is the only one that reads. A column of the chart is a state of
// the connection, an arrow is the function that changes it, and @ is a function that keeps the state in another
// goroutine:
//
//	parked             reading             delivering             ended
//	   |                  |                    |                    |
//	   |                  |------ match ------>|                    |   a response has come, and its Done runs
//	   |                  |<----- resume ------|                    |   the Done has returned
//	   |<--------------- resume ---------------|                    |   so it has, of a ReadInline call: parks
//	   |                  |<-- keepReading ----|                    |   new goroutine: a Send during the Done may block
//	   |--- ReadUntil --->|                    |                    |   its caller's goroutine
//	   |--- register ---->|                    |                    |   new goroutine: Send of another call
//	   |--- restOver ---->|                    |                    |   the timer's goroutine, after restFor
//	   |<- releaseReader -|                    |                    |   ReadUntil ends: parks
//	   |                  @ releaseReader      |                    |   new goroutine: ReadUntil ends and cannot park
//	   |                  @ read               |                    |   new goroutine: ReadUntil's patience is over
//	   |                  |---------------- drain ----------------->|   the connection has ended, and its calls fail
//	   |------------------------ ReadUntil ------------------------>|   so it has, while the reader was parked
//
// A connection begins in reading, on a goroutine of its own (start). Where the chart says parks, restLocked has agreed.
// Two pointers are the state, and at most one is set: reader while parked, Conn.delivering while delivering. While a
// goroutine reads, only its own variable has the frameReader, so that no second goroutine can take it. After
// keepReading there are two: the goroutine inside the Done keeps that of its response, and the new goroutine has one
// with the unread bytes. The former goroutine ends in resume, and the state stays as it is.
//
// Conn.end changes no state: the reader finds the connection closed, and drains. A parked reader stays parked. Calls
// can be in flight then, but only those whose ReadUntil is still to come.
type parkedReader struct {
	reader *frameReader // not nil while parked
	since  time.Time
	timer  *time.Timer
	armed  bool          // timer will fire
	not    time.Time     // before this it does not rest
	pause  time.Duration // how long before not that was
}

// takeLocked gives the caller the parked reader, or nil if it is not parked.
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

// ReadUntil reads responses until awaited is closed, if no other goroutine reads. It may return before: the caller
// waits for awaited in any case.
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

// restLocked parks the reader if no response is due and none was late recently. It reports whether it did.
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

// restOver makes the timer's goroutine the reader if the reader was parked for restFor.
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

// releaseReader parks the reader at the end of ReadUntil, or gives it to a new goroutine.
func (c *Conn) releaseReader(r *frameReader) {
	c.mu.Lock()
	rests := c.restLocked(r)
	c.mu.Unlock()
	if !rests {
		go c.read(r, nil)
	}
}

// tooLong notes that a response took longer than ReadUntil's patience.
func (c *Conn) tooLong() {
	c.mu.Lock()
	w, now := &c.parkedReader, time.Now()
	if now.Sub(w.not) > restlessForLong {
		w.pause = 0 // the last late response was long ago
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
