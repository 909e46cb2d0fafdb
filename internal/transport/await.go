package transport

import (
	"time"

	"github.com/gosamsa/samsa/internal/weakly"
)

// In a synchronous send the response wakes the reader's goroutine, and the reader wakes the sending goroutine. Each
// wake-up is a switch between goroutines, often between processors, and both together are a third of the cost of the
// send. So a goroutine that waits reads its response itself. The chart at parkedReader shows how the reader changes
// hands.
//
// The connection parks its reader only if nothing is in flight and no byte is unread. Without a reader the connection
// does not notice that the broker has closed it, or that it was idle for too long. So after restFor a goroutine reads
// again.
//
// ReadUntil reads for no longer than patience: its caller may wait for an event without a response, such as a deadline
// or the end of a context. If a response takes longer, the connection keeps its reader for a pause instead of parking
// it. The pause doubles with each further late response. ReadUntil sets the read deadline to the end of its patience,
// which may be too early for the next reader: see overdue.

const (
	// patience is about how long ReadUntil reads.
	patience = 2 * time.Millisecond
	// restFor is how long a connection may have no reader.
	restFor = 10 * time.Millisecond
	// After a response that took longer than patience, the connection does not park its reader for a pause. restlessFor
	// is the first pause: it is short, because a single response may be late for any reason. restlessForLong is the
	// longest pause, after repeated late responses.
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
// Two pointers hold the state, and at most one of them is set: reader while parked, Conn.delivering while delivering.
// While a goroutine reads, only its own variable has the frameReader, so that no second goroutine can take it. After
// keepReading there are two frameReaders: the goroutine inside the Done keeps the one with its response, and the new
// goroutine has one with the unread bytes. The former goroutine ends in resume without changing the state.
//
// Conn.end changes no state: the reader finds the connection closed, and drains. A parked reader stays parked. Then the
// only calls in flight are calls before their ReadUntil.
type parkedReader struct {
	reader *frameReader // not nil while parked
	since  time.Time
	timer  *time.Timer
	armed  bool          // timer will fire
	not    time.Time     // until then the reader is not parked
	pause  time.Duration // the length of the pause that ends at not
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

// ReadUntil reads responses until awaited is closed, unless another goroutine reads. It may return earlier, so the
// caller must still wait for awaited.
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
	// Keep a deadline that is about right, because setting one costs more than reading an answer. quietSince is the
	// start of the write just now.
	if left := c.armed.Sub(c.quietSince); left < patience/2 || left > patience {
		c.arm(c.quietSince.Add(patience))
	}
	c.mu.Unlock()
	c.read(r, awaited)
}

// restLocked parks the reader if no response is due and no response was late recently. It reports whether it parked the
// reader.
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

// releaseReader parks the reader at the end of ReadUntil, or passes it to a new goroutine.
func (c *Conn) releaseReader(r *frameReader) {
	c.mu.Lock()
	rests := c.restLocked(r)
	c.mu.Unlock()
	if !rests {
		go c.read(r, nil)
	}
}

// tooLong records that a response took longer than ReadUntil's patience.
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
