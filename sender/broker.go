package sender

import (
	"errors"
	"fmt"
	"time"

	"github.com/gosamsa/samsa/compress"
	"github.com/gosamsa/samsa/internal/cluster"
	"github.com/gosamsa/samsa/internal/fifo"
	"github.com/gosamsa/samsa/internal/lockrank"
	"github.com/gosamsa/samsa/internal/transport"
	"github.com/gosamsa/samsa/internal/weakly"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// broker sends to one broker. Partitions with something to send stand in its ready queue. Its goroutine makes requests
// of them while fewer than max.in.flight are unanswered. mu guards all below it.
type broker struct {
	s    *Sender
	id   int32
	wake chan struct{} // holds one token: there may be something to do

	leads    int  // partitions in use under its leadership; guarded by Sender.mu
	departed bool // the metadata does not name it; guarded by Sender.mu

	mu        lockrank.Mutex[lockrank.SenderBroker]
	ready     fifo.Queue[queueEntry]
	movedAway int      // partitions in ready with another leader since dropMoved
	handover  handover // the goroutine that makes the next request
	inFlight  int
	leaves    bool // its goroutine ends when no response is owed: see leave
	ended     bool // its goroutine has ended
	conn      *transport.Conn
	version   int16          // of Produce requests to conn
	cluster   string         // the cluster id of the server behind conn, see clusterOf; empty while it is unknown
	at        cluster.Broker // the broker's address at the dial of conn
	failures  int            // failed dials in a row
	connected time.Time      // when conn was made
	breaks    int            // broken connections in a row without an answer
	notUntil  time.Time      // no dial, or while throttled no request, before this
	lastErr   error          // why the last dial failed
	brokeWith error          // the end of the last connection, unless it was idle
	largest   int64          // bytes of the largest answered request
	strangers int            // dials in a row to another cluster
	// checksByTopic is for clusterOf, on the dialling goroutine.
	checksByTopic bool
	backoffTimer  *time.Timer
	alarmAt       time.Time // when backoffTimer fires; zero when it is not set
	lastReply     time.Time // when it last answered, or got a request while it owed none
	silenceTimer  *time.Timer
	silenceAt     time.Time // when silenceTimer fires; zero when it is not set
	free          []*request
	freeRoom      int // the sum of their room
}

// queueEntry is a partition's place in a ready queue. Only the partition's last place counts: if its leader moves away
// and back, an earlier place stays behind.
type queueEntry struct {
	part     *partition
	queueGen uint64
}

func newBroker(s *Sender, id int32) *broker {
	return &broker{s: s, id: id, wake: make(chan struct{}, 1), handover: newHandover()}
}

// push puts a partition at the end of the ready queue.
func (b *broker) push(p queueEntry) {
	b.mu.Lock()
	b.ready.Push(p)
	b.mu.Unlock()
}

// pushFront puts a partition at the head of the queue: its batch did not fit.
func (b *broker) pushFront(p queueEntry) {
	b.mu.Lock()
	b.ready.Unpop(p)
	b.mu.Unlock()
}

func (b *broker) pop() (p queueEntry, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ready.Len() == 0 {
		return queueEntry{}, false
	}
	return b.ready.Pop(), true
}

func (b *broker) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *broker) run() {
	defer b.s.wait.Done()
	defer b.s.left(b)
	for !b.hasLeft() {
		var closed <-chan struct{}
		conn := b.conn // only this goroutine sets it
		if conn != nil {
			closed = conn.Closed()
		}
		select {
		case <-b.wake:
			b.work()
		case <-closed:
			b.forget(conn)
		case <-b.s.ctx.Done():
			return
		}
	}
	b.close(errLeft)
}

var errLeft = errors.New("the broker has left the cluster")

// forget drops a connection after its end. Unless it was idle for too long, the broker may have gone, or with acks=0
// have refused a batch, without any other sign: so the client requests metadata. The backoff before the next dial
// counts from the start of the connection: it bounds the dials of a broker with short connections, and is over after a
// longer connection.
func (b *broker) forget(conn *transport.Conn) {
	idle := errors.Is(conn.Err(), transport.ErrIdle)
	b.mu.Lock()
	b.conn = nil
	if !idle {
		b.breaks++
		b.brokeWith = conn.Err()
		until := b.connected.Add(b.s.cfg.reconnect().Delay(b.breaks))
		if until.After(b.notUntil) {
			b.notUntil = until
		}
	}
	b.mu.Unlock()
	if b.s.ctx.Err() == nil && !idle {
		b.s.cfg.Cluster.Refresh()
	}
}

// work sends requests until nothing is ready, the connection has its fill, or the broker cannot be reached.
func (b *broker) work() {
	b.mu.Lock()
	mine := b.handover.startWork()
	b.mu.Unlock()
	if !mine {
		return // the requesting goroutine wakes the broker's goroutine again
	}
	for b.mayWork() {
		conn := b.connect()
		if conn == nil {
			continue // mayWork makes a pause
		}
		if r := b.fill(conn, 0); r != nil {
			b.write(conn, r, false)
		}
	}
}

// mayWork reports whether a request could be made now. If not, the broker's goroutine stops making requests. If only
// time is missing, a timer wakes it.
func (b *broker) mayWork() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mayWorkLocked() {
		return true
	}
	b.handover.stopWork()
	return false
}

func (b *broker) mayWorkLocked() bool {
	if b.ready.Len() == 0 || b.leaves || b.inFlight >= b.s.cfg.MaxInFlight || b.s.ctx.Err() != nil {
		return false
	}
	if time.Until(b.notUntil) > 0 {
		b.wakeAtLocked(b.notUntil)
		return false
	}
	return true
}

// wakeAtLocked lets the broker's goroutine look again at t.
func (b *broker) wakeAtLocked(t time.Time) {
	if b.alarmAt.Equal(t) {
		return
	}
	b.alarmAt = t
	if b.backoffTimer == nil {
		b.backoffTimer = time.AfterFunc(time.Until(t), weakly.Do(b, (*broker).signal))
		return
	}
	b.backoffTimer.Reset(time.Until(t))
}

// connect returns the connection, dialling if there is none. It returns nil after a failed dial, and if nothing is
// ready any more.
func (b *broker) connect() *transport.Conn {
	snapshot := b.s.cfg.Cluster.Snapshot()
	info, known := snapshot.Brokers[b.id]
	b.mu.Lock()
	conn, failures := b.conn, b.failures
	b.mu.Unlock()
	if conn != nil {
		select {
		case <-conn.Closed():
			b.forget(conn)
			return nil
		default:
			switch {
			case !protocol.SameCluster(b.cluster, snapshot.ClusterID):
				conn.Close(record.ErrClusterReplaced)
			case known && b.isElsewhere(&info):
				conn.Close(errors.New("the broker's address has changed"))
			default:
				return conn
			}
		}
	}
	if !b.isWanted() {
		return nil
	}
	if !known {
		b.dialFailed(errors.New("the metadata does not name its address"))
		return nil
	}
	timeouts := transport.Backoff{Initial: b.s.cfg.Transport.SetupTimeout, Max: b.s.cfg.SetupTimeoutMax}
	setup := timeouts.Delay(failures + 1)
	conn, err := b.dial(info.Address(), setup)
	if err != nil {
		b.dialFailed(b.s.cfg.Cluster.ExplainDial(info.Address(), err))
		return nil
	}
	version, err := b.produceVersion(conn)
	if err != nil {
		conn.Close(err)
		b.dialFailed(err)
		b.refuseAll(err)
		return nil
	}
	clusterID, err := b.clusterOf(conn, snapshot.ClusterID, setup)
	if err != nil {
		conn.Close(err)
		b.dialFailed(err)
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conn, b.version, b.at, b.connected, b.failures, b.lastErr = conn, version, info, time.Now(), 0, nil
	b.cluster, b.strangers = clusterID, 0
	if b.s.ctx.Err() != nil {
		conn.Close(record.ErrClosed)
	}
	return conn
}

// dial makes a connection within the setup timeout. It logs a warning if the dial takes long.
func (b *broker) dial(address string, setup time.Duration) (*transport.Conn, error) {
	options := *b.s.cfg.Transport
	options.SetupTimeout = setup
	slow := time.AfterFunc(slowConnection, func() {
		b.s.cfg.Logger.Warn("a connection takes long", "broker", b.id, "address", address, "after", slowConnection)
	})
	defer slow.Stop()
	return transport.Dial(b.s.ctx, &options, address)
}

// isElsewhere reports whether the broker's address has changed since the dial of conn.
func (b *broker) isElsewhere(now *cluster.Broker) bool {
	return b.at.Host != now.Host || b.at.Port != now.Port
}

// produceVersion returns the version of Produce requests, or why the broker is too old for them.
func (b *broker) produceVersion(conn *transport.Conn) (int16, error) {
	version, err := conn.Version(protocol.Produce)
	if err != nil {
		return 0, unsupported{fmt.Errorf("%w; Kafka 0.11 or newer is needed", err)}
	}
	codec := b.s.cfg.Accumulator.Compressor
	if !protocol.ProduceTakesZstd(version) && codec != nil && codec.Codec() == compress.Zstd {
		return 0, unsupported{fmt.Errorf(
			"broker %s takes no zstd, which needs Kafka 2.1 or newer; choose another compression.type", conn.Address())}
	}
	return version, nil
}

// unsupported is the error of a broker without support for this client. Its text names the needed version.
type unsupported struct{ error }

func (e unsupported) Unwrap() []error { return []error{record.ErrUnsupportedVersion, e.error} }

// slowConnection is the age at which the log names a connection during its setup.
const slowConnection = 750 * time.Millisecond

// dialFailed prevents another dial to the broker for reconnect.backoff.ms, and requests metadata.
func (b *broker) dialFailed(err error) {
	if b.s.ctx.Err() != nil {
		return
	}
	b.mu.Lock()
	b.failures++
	b.lastErr = err
	b.notUntil = time.Now().Add(b.s.cfg.reconnect().Delay(b.failures))
	b.mu.Unlock()
	b.s.cfg.Logger.Warn("cannot connect", "broker", b.id, "error", b.unreachable(err))
	b.s.cfg.Cluster.Refresh()
	b.dropMoved()
}

// isWanted reports whether a partition in the ready queue has something to send. It removes others from the head of the
// queue: they have moved away, or their records have expired or were canceled. Otherwise the client would dial the
// broker, and request metadata, without end.
func (b *broker) isWanted() bool {
	for {
		at, ok := b.pop()
		if !ok {
			return false
		}
		if at.part.keepsPlace(b, at.queueGen) {
			b.pushFront(at)
			return true
		}
	}
}

// moved notes another leader of a partition in the ready queue.
func (b *broker) moved() {
	b.mu.Lock()
	b.movedAway++
	b.mu.Unlock()
}

// dropMoved removes the places of moved partitions from the ready queue: a partition may move again and again while the
// queue stands still. It walks through the queue only if half of it may have moved.
func (b *broker) dropMoved() {
	b.mu.Lock()
	if b.movedAway == 0 || 2*b.movedAway < b.ready.Len() {
		b.mu.Unlock()
		return
	}
	b.movedAway = 0
	all := b.ready
	b.ready = fifo.Queue[queueEntry]{}
	b.mu.Unlock()
	var stay fifo.Queue[queueEntry]
	for all.Len() > 0 {
		at := all.Pop()
		at.part.mu.Lock()
		mine := at.part.standsAtLocked(b, at.queueGen)
		at.part.mu.Unlock()
		if mine {
			stay.Push(at)
		}
	}
	b.mu.Lock()
	for b.ready.Len() > 0 { // these came meanwhile
		stay.Push(b.ready.Pop())
	}
	b.ready = stay
	b.mu.Unlock()
}

// refuseAll fails the records for a broker without support for this client.
func (b *broker) refuseAll(err error) {
	b.mu.Lock()
	waiting := b.ready
	b.ready = fifo.Queue[queueEntry]{}
	b.mu.Unlock()
	for waiting.Len() > 0 {
		at := waiting.Pop()
		p := at.part
		p.mu.Lock()
		mine := p.standsAtLocked(b, at.queueGen)
		if mine {
			p.queued = false
		}
		p.mu.Unlock()
		if mine {
			p.refuse(&record.Error{Err: err})
		}
	}
}

// suspectAfter is the time of silence after which the client requests metadata: if the broker hangs, its partitions
// have new leaders long before its requests time out.
const suspectAfter = time.Second

// watchLocked lets checkSilence run at t, unless its timer is set. It runs once in suspectAfter while the broker
// responds, and never when nothing is in flight.
func (b *broker) watchLocked(t time.Time) {
	if !b.silenceAt.IsZero() || b.s.ctx.Err() != nil {
		return
	}
	b.silenceAt = t
	if b.silenceTimer == nil {
		b.silenceTimer = time.AfterFunc(time.Until(t), weakly.Do(b, (*broker).checkSilence))
		return
	}
	b.silenceTimer.Reset(time.Until(t))
}

func (b *broker) checkSilence() {
	b.mu.Lock()
	b.silenceAt = time.Time{}
	silent, overdue := false, b.handover.isReplyAwaited() && b.ready.Len() > 0
	if b.inFlight > 0 {
		since, now := b.lastReply, time.Now()
		if b.conn != nil {
			// A throttled broker owes no response before the end of the throttle.
			since = later(since, b.conn.ThrottledUntil())
		}
		next := since.Add(suspectAfter)
		if silent = !now.Before(next); silent {
			next = now.Add(suspectAfter)
		}
		b.watchLocked(next)
	}
	b.mu.Unlock()
	if silent {
		b.s.cfg.Cluster.Refresh()
	}
	if overdue {
		b.signal() // the awaited response of a goroutine in Get has not come
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (b *broker) isConnected() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.conn != nil
}

func (b *broker) close(cause error) {
	b.mu.Lock()
	conn := b.conn
	if b.backoffTimer != nil {
		b.backoffTimer.Stop()
	}
	if b.silenceTimer != nil {
		b.silenceTimer.Stop()
	}
	b.mu.Unlock()
	if conn != nil {
		conn.Close(cause)
	}
}
