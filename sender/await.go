package sender

import (
	"time"

	"github.com/gosamsa/samsa/internal/transport"
	"github.com/gosamsa/samsa/protocol"
)

// Somebody who sends a record and waits for it has nothing else to do. So where the broker is idle, that goroutine makes the request,
// writes it, and reads the answer (see transport.Conn.Await), which spares it two switches to other goroutines. It does nothing that could
// take longer than what it waits for: it does not dial, and it writes only what fits into the socket's buffer.
//
// While a request is under way, others who wait leave their batches open to each other: a broker handles the requests of a connection one
// after the other, so theirs would wait there. Whoever handles the answer makes the next request of all that has come meanwhile. That holds
// for a broker that answers soon; a slow one gets requests as they come.

// fastReply is how long an answer may take for others to wait for it.
const fastReply = 2 * time.Millisecond

// sendInline sees to it that what is ready is sent. Where the caller waits until awaited is closed, and the broker is idle and connected, it
// does that itself, and reads answers until awaited is closed. It may return before. If awaited is nil, the broker's goroutine does it.
func (b *broker) sendInline(awaited <-chan struct{}) {
	if awaited == nil {
		b.signal()
		return
	}
	conn, room, later := b.tryAcquire()
	if conn == nil {
		if !later {
			b.signal()
		}
		return
	}
	if b.sendOne(conn, room, true) {
		conn.ReadUntil(awaited)
	}
}

// sendNext makes the next request after an answer that others have waited for, on whatever goroutine has read it.
func (b *broker) sendNext() {
	if conn, room, _ := b.tryAcquire(); conn != nil {
		b.sendOne(conn, room, false)
	} else {
		b.signal()
	}
}

// sendOne makes one request of at most room bytes, and reports whether there was one. The caller has acquired the broker.
func (b *broker) sendOne(conn *transport.Conn, room int, awaited bool) bool {
	r := b.fill(conn, room)
	full := false
	if r != nil {
		full = r.full
		b.write(conn, r, awaited)
	}
	b.mu.Lock()
	// What is small waits for the answer; what did not fit is worth a request of its own.
	more := b.wakePending || b.ready.Len() > 0 && (full || b.inFlight == 0)
	b.busy, b.wakePending = false, false
	b.mu.Unlock()
	if more {
		b.signal()
	}
	return r != nil
}

// tryAcquire makes the caller the one who makes requests, if a small one can be written at once. It returns the connection and how much may be
// written; nil if not. later says that nobody needs to be told, because the answer to what is under way will come soon.
func (b *broker) tryAcquire() (conn *transport.Conn, room int, later bool) {
	snapshot := b.s.cfg.Cluster.Snapshot()
	info, known := snapshot.Brokers[b.id]
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.inFlight > 0 && b.repliesFast && time.Since(b.lastReply) < fastReply {
		b.waiting = true
		return nil, 0, true
	}
	if b.busy || b.conn == nil || b.inFlight > 0 || b.s.cfg.Acks == 0 || known && b.isElsewhere(&info) || !b.mayWorkLocked() {
		return nil, 0, false
	}
	if !protocol.SameCluster(b.cluster, snapshot.ClusterID) {
		return nil, 0, false // the broker's goroutine replaces the connection
	}
	if room = b.conn.UnblockedWriteLimit(); room == 0 || b.conn.Err() != nil {
		return nil, 0, false
	}
	b.busy = true
	return b.conn, room, false
}
