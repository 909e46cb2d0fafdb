package sender

import (
	"time"

	"github.com/gosamsa/samsa/internal/transport"
	"github.com/gosamsa/samsa/protocol"
)

// A goroutine that sends a record and waits for its outcome has nothing else to do. So if the broker is idle, that
// goroutine makes the request, writes it, and reads the response (see transport.Conn.ReadUntil). This saves two
// switches between goroutines. It does nothing that could take longer than the response: it does not dial, and it
// writes only as many bytes as fit into the socket's buffer.
//
// While a request is in flight, other goroutines in Get leave their batches open to each other: a broker processes the
// requests of a connection one after the other, so their requests would wait there. The goroutine that processes the
// response makes the next request from all of these batches. That holds for a broker that responds fast; a slow one
// gets each request at once. The type handover has the states.

// fastReply is how long a response may take if goroutines in Get are to wait for it before they send.
const fastReply = 2 * time.Millisecond

// sendInline sends the ready batches. If the caller waits until awaited is closed, and the broker is idle and
// connected, the caller's goroutine makes the request, and reads responses until awaited is closed; sendInline may
// return before. If awaited is nil, the broker's goroutine sends.
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

// sendNext makes the next request after an awaited response, on the goroutine that has read the response.
func (b *broker) sendNext() {
	if conn, room, _ := b.tryAcquire(); conn != nil {
		b.sendOne(conn, room, false)
	} else {
		b.signal()
	}
}

// sendOne makes one request of at most room bytes, and reports whether there was one. The caller has acquired the
// broker.
func (b *broker) sendOne(conn *transport.Conn, room int, awaited bool) bool {
	r := b.fill(conn, room)
	full := false
	if r != nil {
		full = r.full
		b.write(conn, r, awaited)
	}
	b.mu.Lock()
	woken := b.handover.release()
	// Small batches wait for the response; a larger batch than the room is worth a request of its own.
	more := b.ready.Len() > 0 && (full || b.inFlight == 0)
	b.mu.Unlock()
	if woken || more {
		b.signal()
	}
	return r != nil
}

// tryAcquire makes the caller's goroutine the maker of the next request, if a small one can be written at once. It
// returns the connection and the size of that write, or nil. later reports that no goroutine needs to be woken, because
// a response is due soon.
func (b *broker) tryAcquire() (conn *transport.Conn, room int, later bool) {
	snapshot := b.s.cfg.Cluster.Snapshot()
	info, known := snapshot.Brokers[b.id]
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.inFlight > 0 && b.handover.repliesFast() && time.Since(b.lastReply) < fastReply {
		b.handover.awaitReply()
		return nil, 0, true
	}
	if !b.handover.isIdle() || b.conn == nil || b.inFlight > 0 || b.s.cfg.Acks == 0 {
		return nil, 0, false
	}
	if known && b.isElsewhere(&info) || !b.mayWorkLocked() {
		return nil, 0, false
	}
	if !protocol.SameCluster(b.cluster, snapshot.ClusterID) {
		return nil, 0, false // the broker's goroutine replaces the connection
	}
	if room = b.conn.UnblockedWriteLimit(); room == 0 || b.conn.Err() != nil {
		return nil, 0, false
	}
	b.handover.acquire()
	return b.conn, room, false
}
