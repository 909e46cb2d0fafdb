package sender

import (
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// state is where a sealed batch stands. Before the seal a batch is open or ready; the accumulator keeps those.
type state uint8

const (
	sealed     state = iota // has its records, was in no request yet
	inFlight                // in a request whose answer is missing
	retrying                // waits for its next try
	unresolved              // its records were told "maybe written", but its sequence still stands in the way of later ones
	settled                 // has its outcome and is forgotten
)

func (s state) String() string {
	return [...]string{"sealed", "in flight", "retrying", "unresolved", "settled"}[s]
}

// event is what can happen to a sealed batch.
type event uint8

const (
	evSent     event = iota // put into a request
	evUnsent                // the request never left: nothing was tried
	evRetry                 // the try failed in a way that another one can mend
	evSucceed               // acknowledged
	evFail                  // failed for good, and certainly not written
	evDoubt                 // failed for good, and maybe written
	evOverdue               // delivery.timeout.ms is over while the request is in flight
	evResolved              // an unresolved batch's fate is known, or does not matter any more
)

func (e event) String() string {
	return [...]string{"sent", "unsent", "retry", "succeed", "fail", "doubt", "overdue", "resolved"}[e]
}

// transitions is the one table of what may follow what. A pair that is not in it is a bug: nothing becomes sealed, the zero state.
var transitions = [settled + 1][evResolved + 1]state{
	sealed:     {evSent: inFlight, evFail: settled},
	inFlight:   {evUnsent: retrying, evRetry: retrying, evSucceed: settled, evFail: settled, evDoubt: unresolved, evOverdue: unresolved},
	retrying:   {evSent: inFlight, evFail: settled, evDoubt: unresolved},
	unresolved: {evResolved: settled},
}

// identity is a producer id with its epoch, and the cluster that gave it; the zero value is none. Clusters assign ids from the
// same start value, so the same numbers from two clusters are two identities.
type identity struct {
	id      int64
	epoch   int16
	valid   bool
	cluster string // the cluster id; empty where the servers do not report one
	grant   uint32 // counts the ids that servers gave to this producer; the client's own epochs keep it
}

// formerTopic is a topic that had the partition's topic name, with its life.
type formerTopic struct {
	id          protocol.UUID
	incarnation int
}

// maxFormerTopics bounds the topics that a delivery state remembers: a server may report any number of them.
const maxFormerTopics = 8

// maxFastRetries is how many tries in a row may go without a backoff because a newer leader is known. A partition whose leadership moves
// needs one, two if it moves again meanwhile; brokers that go on naming each other under newer epochs must not use up the
// retries in no time, nor keep this client and themselves busy.
const maxFastRetries = 2

// brokerDedupWindow is how many batches of a producer a partition's leader can tell from new ones. A batch that may have to be
// sent again must be among the last so many.
const brokerDedupWindow = 5

// noSequence is the sequence of a batch that has none: it was not sent yet, or it is certain that it was not written and
// its old sequence was taken back.
const noSequence int32 = -1

// batch is the core's view of one sealed batch.
type batchState struct {
	count              int32
	created            time.Time
	state              state
	id                 identity
	sequence           int32
	number             uint64 // counts the delivery state's sequenced batches
	tries              int    // requests it was in that may have left
	doubtful           bool   // some try's fate is unknown: it may have been written
	requestMayArrive   bool   // the answer to some try was lost: that request may still be on its way
	provenWritten      bool   // a later batch of its identity was acknowledged, so it is in the log
	incarnation        int    // the topic's life in which it got its sequence
	formerIncarnations []int  // the lives whose logs may have it, though the log of the topic's present life does not
	byName             bool   // a request with it can reach the topic when it is recreated: it named the topic by its name
	awaiting           bool   // an answer may still come for it
	corrupt            int    // attempts that the broker refused with CORRUPT_MESSAGE

	notBefore   time.Time   // when it may be tried again
	epochSeen   int32       // the leader epoch of its last try
	fastRetries int         // tries in a row that a newer leader has spared the backoff
	lastErr     error       // why its last try failed
	rebuilding  bool        // it is being replaced by other batches, which takes a worker's time
	nextPart    *batchState // the part of the same split batch that enters the window when this part is sent or ends
	owner       any         // what the glue knows of it; the core does not look at it
}

// maybeWritten reports whether some try of it may have been written, be it to a topic that is no more.
func (p *batchState) maybeWritten() bool { return p.doubtful || len(p.formerIncarnations) > 0 }

func (p *batchState) step(e event) {
	next := transitions[p.state][e]
	if next == sealed {
		panic(fmt.Sprintf("samsa: a batch that is %v cannot be %v", p.state, e))
	}
	p.state = next
}

// deliveryConfig is what decides, from the producer's configuration. Backoff gives the wait before try n+1, jitter included.
type deliveryConfig struct {
	topic           string
	partition       int32
	acks            int16
	idempotent      bool
	maxInFlight     int
	retries         int
	deliveryTimeout time.Duration
	backoff         func(try int) time.Duration
}

// deliveryState is how far the delivery of one partition has come: a pure state machine. Methods named after events change it and return
// what is to be done, in a slice that is good until the next event.
type deliveryState struct {
	cfg *deliveryConfig

	// window holds, in order, every batch that was in a request and is not settled, the unresolved ones among them. Of a split batch it
	// also holds the first part that was in no request. Further parts wait outside, linked by nextPart: a batch can be cut into thousands
	// of parts, and most events visit the whole window. A waiting part is equal to the part in front of it in all that events look at: it is
	// retrying, has no sequence and no doubt, and has the same age. So only an event that sends or ends the part in front concerns it.
	window       []*batchState
	waiting      int // parts outside the window
	inFlight     int // of these in flight
	id           identity
	next         int32 // the sequence of the next batch
	numbered     uint64
	acked        bool      // something was acknowledged under id: the broker holds state for it
	lastAck      time.Time // when that was last so
	gap          bool      // a batch failed for certain, and later ones carry sequences behind it: they must be numbered anew
	gapAt        int32
	leader       int32 // leader epoch as last told
	needBump     bool  // the identity is used up for this partition
	newID        bool  // and another epoch of the same producer id cannot replace it
	proven       bool  // some batch was acknowledged under id
	incarnation  int   // the present one of the topic's lives
	incarnations int   // the newest number of a life
	topics       []formerTopic

	cluster    string // the id of the cluster that leads the partition; empty while it is not known
	shared     bool   // another producer writes under id: its acknowledgements prove nothing
	hasOffset  bool   // the next three are known of this log
	growing    bool   // acknowledged offsets have grown; a server that discards records may answer with a constant
	lastOffset int64  // the offset of the last acknowledged record
	lastEpoch  int32  // the leader epoch under which its batch was sent

	one [1]action // what most answers give
}

// action tells the glue to give a batch its outcome.
type action struct {
	batch  *batchState
	kind   actionKind
	offset int64 // complete
	time   int64
	err    *record.Error           // fail, and split when it cannot be done
	blamed map[int32]*record.Error // reject
}

type actionKind uint8

const (
	actComplete actionKind = iota // acknowledged: offset and time
	actFail                       // failed: err
	actReject                     // settle the blamed records, and put the rest in the batch's place (see replace)
	actSplit                      // too large: put parts in the batch's place (see replace)
)

// addSequence adds n to a sequence, which goes from 2³¹−1 on to 0.
func addSequence(s, n int32) int32 { return int32((int64(s) + int64(n)) & 0x7fffffff) }

// comesBefore reports whether sequence a is before b, across the wrap.
func comesBefore(a, b int32) bool { return int32(uint32(a-b)<<1) < 0 }

// retryDue returns the batch that is to be tried again now, or nil. wait is when to look again, if time alone brings it.
// With idempotence only the lowest sequence is tried: what the broker would not take anyway stays here.
func (l *deliveryState) retryDue(now time.Time) (p *batchState, wait time.Time) {
	if l.inFlight >= l.cfg.maxInFlight {
		return nil, time.Time{}
	}
	behind := false
	for _, p := range l.window {
		switch p.state {
		case retrying:
			if p.rebuilding {
				return nil, time.Time{}
			}
			if behind && p.doubtful && p.incarnation != l.incarnation {
				return nil, now // tick ends it, see expireFromOldTopic
			}
			if l.needsSequence(p) && !l.canRenumber() {
				behind = true
				continue // those behind it that may have been written come first, under their old sequences
			}
			if now.Before(p.notBefore) {
				return nil, p.notBefore
			}
			if l.needsSequence(p) && !l.acked && l.inFlight > 0 {
				return nil, time.Time{} // one that has expired is still in flight: as for new ones, see canSendNew
			}
			return p, time.Time{}
		case inFlight:
			if l.cfg.idempotent {
				return nil, time.Time{}
			}
		}
	}
	return nil, time.Time{}
}

// hasRetrying reports whether a batch waits for another try.
func (l *deliveryState) hasRetrying() bool {
	for _, p := range l.window {
		if p.state == retrying && !p.rebuilding {
			return true
		}
	}
	return false
}

// admitNextPart takes the part that waits behind p out of its line, and returns it for the window; nil when there is none.
func (l *deliveryState) admitNextPart(p *batchState) *batchState {
	next := p.nextPart
	if next != nil {
		p.nextPart = nil
		l.waiting--
	}
	return next
}

// withWaitingParts yields p and the parts that wait behind it, in order. The loop may end the part that it has reached.
func (p *batchState) withWaitingParts() iter.Seq[*batchState] {
	return func(yield func(*batchState) bool) {
		for p != nil {
			next := p.nextPart
			if !yield(p) {
				return
			}
			p = next
		}
	}
}

// idle reports whether the delivery state has nothing under way.
func (l *deliveryState) idle() bool { return len(l.window) == 0 }

// isQuiet reports whether the delivery state has nothing under way and owes nothing to an expired batch, whose request may still be in flight.
func (l *deliveryState) isQuiet() bool { return l.idle() && l.inFlight == 0 }

// beingRebuilt returns how many records are in batches that are being replaced.
func (l *deliveryState) beingRebuilt() (records int) {
	for _, p := range l.window {
		if p.rebuilding {
			records += int(p.count)
		}
	}
	return records
}

// needsSequence reports whether p needs a new sequence before it can be sent.
func (l *deliveryState) needsSequence(p *batchState) bool {
	return l.cfg.idempotent && p.sequence == noSequence
}

// canRenumber reports whether new sequences may be given: no batch with an old one stands anywhere in the window.
func (l *deliveryState) canRenumber() bool {
	for _, p := range l.window {
		if p.sequence != noSequence && p.state != unresolved {
			// A batch in flight that got its new number already is fine: it is of the current numbering.
			if p.id == l.id && !l.needBump && !l.gap {
				continue
			}
			return false
		}
	}
	return !l.gap && !l.needBump
}

// producerStateTTL is after how much idleness a broker may hold no state for a producer any more. Kafka's default is a day;
// records may be deleted sooner, and the state with them.
const producerStateTTL = time.Minute

// canSendNew reports whether a batch that was never sent may go now.
func (l *deliveryState) canSendNew(now time.Time) bool {
	if len(l.window) == 0 && now.Sub(l.lastAck) > producerStateTTL {
		l.acked = false
	}
	if l.inFlight >= l.cfg.maxInFlight || l.needBump || l.gap {
		return false
	}
	if l.cfg.idempotent && !l.acked && l.inFlight > 0 {
		// The broker takes any first sequence: until it has acknowledged one, a lost first batch would leave a hole
		// that nobody notices.
		return false
	}
	for _, p := range l.window {
		if p.state == retrying || p.state == unresolved && l.cfg.idempotent {
			return false
		}
		if l.cfg.idempotent && l.numbered-p.number >= brokerDedupWindow-1 {
			return false
		}
	}
	return true
}

// sent puts p into a request: at its first time, or when its sequence was taken back, it gets its place under the delivery state's
// identity.
func (l *deliveryState) sent(p *batchState) {
	if p.state == sealed {
		l.window = append(l.window, p)
	} else if next := l.admitNextPart(p); next != nil {
		l.window = slices.Insert(l.window, slices.Index(l.window, p)+1, next)
	}
	if l.cfg.idempotent && p.sequence == noSequence {
		p.id, p.sequence = l.id, l.next
		l.next = addSequence(l.next, p.count)
		l.numbered++
		p.number = l.numbered
		p.incarnation = l.incarnation
	}
	p.step(evSent)
	p.tries++
	p.awaiting = true
	p.epochSeen = l.leader
	l.inFlight++
}

// setIdentity starts anew under another identity: sequences from 0, and one batch in flight until the first acknowledgement.
func (l *deliveryState) setIdentity(id identity) {
	l.id, l.next, l.acked, l.needBump, l.gap = id, 0, false, false, false
	if l.shared {
		l.forgetOffset() // it may be another log
	}
	l.newID, l.proven, l.shared = false, false, false
}

// leaveFlight takes p out of flight. late is true when its records were told before: only its sequence matters now.
func (l *deliveryState) leaveFlight(p *batchState) (late bool) {
	if p.awaiting {
		p.awaiting = false
		l.inFlight--
	}
	return p.state == unresolved || p.state == settled
}

// drop removes a settled batch from the window. The part that waits behind it takes its place.
func (l *deliveryState) drop(p *batchState) {
	i := slices.Index(l.window, p)
	if next := l.admitNextPart(p); next != nil {
		l.window[i] = next
		return
	}
	l.window = slices.Delete(l.window, i, i+1)
}
