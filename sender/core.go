package sender

import (
	"errors"
	"fmt"
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

// transitions is the one table of what may follow what. A pair that is not in it is a bug.
var transitions = map[state]map[event]state{
	sealed:     {evSent: inFlight, evFail: settled},
	inFlight:   {evUnsent: retrying, evRetry: retrying, evSucceed: settled, evFail: settled, evDoubt: unresolved, evOverdue: unresolved},
	retrying:   {evSent: inFlight, evFail: settled, evDoubt: unresolved},
	unresolved: {evResolved: settled},
}

// identity is a producer id with its epoch; the zero value is none.
type identity struct {
	id    int64
	epoch int16
	valid bool
}

// brokerRemembers is how many batches of a producer a partition's leader can tell from new ones. A batch that may have to be
// sent again must be among the last so many.
const brokerRemembers = 5

// noSequence is the sequence of a batch that has none: it was not sent yet, or it is certain that it was not written and
// its old sequence was taken back.
const noSequence int32 = -1

// parcel is the core's view of one sealed batch.
type parcel struct {
	count    int32
	created  time.Time
	state    state
	id       identity
	sequence int32
	number   uint64 // counts the lane's sequenced batches
	tries    int    // requests it was in that may have left
	doubtful bool   // some try's fate is unknown: it may have been written
	strayed  bool   // the answer to some try was lost: that request may still be on its way
	followed bool   // a later batch of its identity was acknowledged, so it is in the log
	awaiting bool   // an answer may still come for it

	notBefore  time.Time // when it may be tried again
	epochSeen  int32     // the leader epoch of its last try
	lastErr    error     // why its last try failed
	rebuilding bool      // it is being replaced by other batches, which takes a worker's time
	cargo      any       // what the glue knows of it; the core does not look at it
}

func (p *parcel) step(e event) {
	next, ok := transitions[p.state][e]
	if !ok {
		panic(fmt.Sprintf("samsa: a batch that is %v cannot be %v", p.state, e))
	}
	p.state = next
}

// laneConfig is what decides, from the producer's configuration. Backoff gives the wait before try n+1, jitter included.
type laneConfig struct {
	topic           string
	partition       int32
	acks            int16
	idempotent      bool
	maxInFlight     int
	retries         int
	deliveryTimeout time.Duration
	backoff         func(try int) time.Duration
}

// lane is the delivery state of one partition: a pure state machine. Methods named after events change it and return
// what is to be done.
type lane struct {
	cfg *laneConfig

	// window holds, in order, every batch that was in a request and is not settled, the unresolved ones among them.
	window   []*parcel
	flying   int // of these in flight
	id       identity
	next     int32 // the sequence of the next batch
	numbered uint64
	acked    bool      // something was acknowledged under id: the broker holds state for it
	heard    time.Time // when that was last so
	gap      bool      // a batch failed for certain, and later ones carry sequences behind it: they must be numbered anew
	gapAt    int32
	leader   int32 // leader epoch as last told
	needBump bool  // the identity is used up for this partition
}

// action tells the glue to give a batch its outcome.
type action struct {
	parcel *parcel
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
	actReject                     // settle the blamed records, and put the rest in the parcel's place (see replace)
	actSplit                      // too large: put parts in the parcel's place (see replace)
)

// addSequence adds n to a sequence, which goes from 2³¹−1 on to 0.
func addSequence(s, n int32) int32 { return int32((int64(s) + int64(n)) & 0x7fffffff) }

// comesBefore tells whether sequence a is before b, across the wrap.
func comesBefore(a, b int32) bool { return int32(uint32(a-b)<<1) < 0 }

// retryDue returns the batch that is to be tried again now, or nil. wait is when to look again, if time alone brings it.
// With idempotence only the lowest sequence is tried: what the broker would not take anyway stays here.
func (l *lane) retryDue(now time.Time) (p *parcel, wait time.Time) {
	for _, p := range l.window {
		switch p.state {
		case retrying:
			if p.rebuilding {
				return nil, time.Time{}
			}
			if l.mustAdopt(p) && !l.canRenumber() {
				continue // those behind it that may have been written come first, under their old sequences
			}
			if now.Before(p.notBefore) {
				return nil, p.notBefore
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

// hasRetrying tells whether a batch waits for another try.
func (l *lane) hasRetrying() bool {
	for _, p := range l.window {
		if p.state == retrying && !p.rebuilding {
			return true
		}
	}
	return false
}

// idle tells whether the lane has nothing under way.
func (l *lane) idle() bool { return len(l.window) == 0 }

// beingRebuilt returns how many records are in batches that are being replaced.
func (l *lane) beingRebuilt() (records int) {
	for _, p := range l.window {
		if p.rebuilding {
			records += int(p.count)
		}
	}
	return records
}

// mustAdopt tells whether p needs a new sequence before it can be sent.
func (l *lane) mustAdopt(p *parcel) bool { return l.cfg.idempotent && p.sequence == noSequence }

// canRenumber tells whether new sequences may be given: no batch with an old one stands anywhere in the window.
func (l *lane) canRenumber() bool {
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

// brokerForgets is after how much idleness a broker may hold no state for a producer any more. Kafka's default is a day;
// records may be deleted sooner, and the state with them.
const brokerForgets = time.Minute

// admitsNew tells whether a batch that was never sent may go now.
func (l *lane) admitsNew(now time.Time) bool {
	if len(l.window) == 0 && now.Sub(l.heard) > brokerForgets {
		l.acked = false
	}
	if l.flying >= l.cfg.maxInFlight || l.needBump || l.gap {
		return false
	}
	if l.cfg.idempotent && !l.acked && l.flying > 0 {
		// The broker takes any first sequence: until it has acknowledged one, a lost first batch would leave a hole
		// that nobody notices.
		return false
	}
	for _, p := range l.window {
		if p.state == retrying || p.state == unresolved && l.cfg.idempotent {
			return false
		}
		if l.cfg.idempotent && l.numbered-p.number >= brokerRemembers-1 {
			return false
		}
	}
	return true
}

// sent puts p into a request: at its first time, or when its sequence was taken back, it gets its place under the lane's
// identity.
func (l *lane) sent(p *parcel) {
	if p.state == sealed {
		l.window = append(l.window, p)
	}
	if l.cfg.idempotent && p.sequence == noSequence {
		p.id, p.sequence = l.id, l.next
		l.next = addSequence(l.next, p.count)
		l.numbered++
		p.number = l.numbered
	}
	p.step(evSent)
	p.tries++
	p.awaiting = true
	p.epochSeen = l.leader
	l.flying++
}

// adopt starts anew under another identity: sequences from 0, and one batch in flight until the first acknowledgement.
func (l *lane) adopt(id identity) {
	l.id, l.next, l.acked, l.needBump, l.gap = id, 0, false, false, false
}

// landed takes p out of flight. late is true when its records were told before: only its sequence matters now.
func (l *lane) landed(p *parcel) (late bool) {
	if p.awaiting {
		p.awaiting = false
		l.flying--
	}
	return p.state == unresolved || p.state == settled
}

// drop removes a settled parcel from the window.
func (l *lane) drop(p *parcel) {
	for i, q := range l.window {
		if q == p {
			l.window = append(l.window[:i], l.window[i+1:]...)
			return
		}
	}
}

// answer is a broker's answer for one batch.
type answer struct {
	code          protocol.ErrorCode
	message       string
	offset        int64
	logAppendTime int64
	blamed        map[int32]string // records that the broker names, with its words
}

// answered takes the broker's answer for p.
func (l *lane) answered(p *parcel, a answer, now time.Time) []action {
	late := l.landed(p)
	if p.state == settled {
		return nil
	}
	var out []action
	switch {
	case a.code == protocol.None || a.code == protocol.DuplicateSequenceNumber:
		out = l.succeeded(p, a, late, now)
	case late:
		l.lateFailure(p, a)
	case a.code == protocol.MessageTooLarge && p.count > 1 && !p.doubtful && !l.overdue(p, now):
		l.takeBack(p)
		p.step(evRetry)
		p.notBefore = now
		p.tries--
		p.rebuilding = true
		out = []action{{parcel: p, kind: actSplit, err: l.failure(p, l.brokerError(a), false)}}
	case len(a.blamed) > 0 && !p.doubtful && !a.code.Retriable():
		out = l.rejected(p, a, now)
	default:
		out = l.failedTry(p, a, now)
	}
	return append(out, l.tidy()...)
}

func (l *lane) succeeded(p *parcel, a answer, late bool, now time.Time) []action {
	offset := a.offset
	if a.code == protocol.DuplicateSequenceNumber {
		offset = -1
	}
	if p.id == l.id {
		l.acked, l.heard = true, now
		if l.gap && l.cfg.idempotent && p.sequence == l.gapAt {
			l.gap = false
		}
	}
	l.resolveBefore(p)
	if late {
		p.step(evResolved)
	} else {
		p.step(evSucceed)
	}
	l.drop(p)
	if late {
		return nil
	}
	return []action{{parcel: p, kind: actComplete, offset: offset, time: a.logAppendTime}}
}

// resolveBefore: a broker takes sequences without holes, so an acknowledged batch proves every earlier one of its identity.
func (l *lane) resolveBefore(p *parcel) {
	if !l.cfg.idempotent {
		return
	}
	stay := l.window[:0]
	before := true
	for _, q := range l.window {
		if q == p {
			before = false
		}
		if before && q.id == p.id && q.sequence != noSequence {
			q.doubtful, q.followed = true, true
			if q.state == unresolved && !q.awaiting {
				q.step(evResolved)
				continue
			}
		}
		stay = append(stay, q)
	}
	clear(l.window[len(stay):])
	l.window = stay
}

// lateFailure takes a failure for a batch whose records were told "maybe written" before.
func (l *lane) lateFailure(p *parcel, a answer) {
	if a.code.WrittenWith(l.cfg.acks) == protocol.NotWritten && !p.doubtful {
		// Certain now, but told already. What comes behind it has a hole in front.
		p.step(evResolved)
		l.openGap(p)
		l.drop(p)
	}
}

// proves tells whether an answer that p's sequence is out of order shows that no try of p was written or will be. It does,
// with two exceptions. A request of p may still be on its way behind one of an unresolved batch: a broker that hung may find
// both, and take them. And p may lie behind the broker's next sequence, not before it: a broker that was restarted knows
// again only the last batch of each producer, so a batch after p that may be in the log can have taken that place.
func (l *lane) proves(p *parcel) bool {
	if p.followed {
		return false
	}
	before := true
	for _, q := range l.window {
		switch {
		case q == p:
			before = false
			if l.gap && p.id == l.id && comesBefore(l.gapAt, p.sequence) {
				return true // there is a hole in front: neither p nor what follows it was taken
			}
		case before && p.strayed && q.state == unresolved:
			return false
		case !before && q.id == p.id && q.sequence != noSequence && (q.doubtful || q.awaiting || q.state == unresolved):
			return false
		}
	}
	return true
}

// anythingBefore tells whether a batch stands before p whose fate is open: then a sequence that is out of order says
// nothing about p but that its turn has not come.
func (l *lane) anythingBefore(p *parcel) bool {
	for _, q := range l.window {
		if q == p {
			return false
		}
		if q.awaiting || q.state == retrying && q.sequence != noSequence {
			return true
		}
	}
	return false
}

// failedTry takes an answer that is an error of the whole batch.
func (l *lane) failedTry(p *parcel, a answer, now time.Time) []action {
	cause := l.brokerError(a)
	switch a.code {
	case protocol.OutOfOrderSequenceNumber, protocol.UnknownProducerID, protocol.InvalidProducerEpoch, protocol.InvalidProducerIDMapping, protocol.ProducerFenced:
		if l.cfg.idempotent {
			return l.sequenceTrouble(p, a.code, cause, now)
		}
	}
	if a.code.WrittenWith(l.cfg.acks) == protocol.MaybeWritten {
		p.doubtful = true
	}
	if !a.code.Retriable() {
		return l.giveUp(p, cause, false)
	}
	return l.tryAgain(p, cause, now)
}

// sequenceTrouble takes an answer about p's sequence or identity. None of these was written by this try.
func (l *lane) sequenceTrouble(p *parcel, code protocol.ErrorCode, cause error, now time.Time) []action {
	if l.anythingBefore(p) {
		// Its turn has not come; what stands before it goes first. This costs it no try.
		p.tries--
		return l.tryAgain(p, cause, now)
	}
	forgot := code == protocol.OutOfOrderSequenceNumber || code == protocol.UnknownProducerID
	if forgot && l.proves(p) {
		p.doubtful = false
	}
	if p.doubtful {
		// Its identity is refused, and an earlier try may have been written: under a new one it could be there twice.
		return l.giveUp(p, cause, false)
	}
	if forgot && l.gap && p.id == l.id {
		p.tries-- // no more than the hole in front of it
	} else {
		// The broker has forgotten what it acknowledged, or an unresolved batch before p was not written, or the
		// identity is refused. The partition goes on under another one.
		l.needBump = true
	}
	l.takeBack(p)
	return l.tryAgain(p, cause, now)
}

// takeBack takes p's sequence away: it is certain that nothing was written under it.
func (l *lane) takeBack(p *parcel) {
	if !l.cfg.idempotent || p.sequence == noSequence {
		return
	}
	l.openGap(p)
	p.sequence = noSequence
}

// openGap notes that p's sequence was not used, so that what follows is numbered anew from there.
func (l *lane) openGap(p *parcel) {
	if !l.cfg.idempotent || p.sequence == noSequence || p.id != l.id {
		return
	}
	if p.strayed {
		// A request with this sequence may still be on its way; under the same identity it could be taken for what
		// comes now.
		l.needBump = true
		return
	}
	if !l.gap || comesBefore(p.sequence, l.gapAt) {
		l.gap, l.gapAt = true, p.sequence
	}
}

// disconnected: the connection broke, or the request timed out, before p's answer came. sent tells whether some byte of
// the request may have left.
func (l *lane) disconnected(p *parcel, sent bool, cause error, now time.Time) []action {
	late := l.landed(p)
	if p.state == settled {
		return nil
	}
	var out []action
	switch {
	case late:
		// Its fate will not be told by an answer; tidy decides what becomes of its sequence.
	case !sent:
		p.tries--
		p.lastErr = cause
		p.step(evUnsent)
		p.notBefore = now
		if p.tries == 0 && l.cfg.idempotent {
			l.unsend(p)
		}
		if l.overdue(p, now) {
			out = l.expire(p)
		}
	default:
		p.doubtful, p.strayed = true, true
		cause = fmt.Errorf("%w: %w", record.ErrDisconnected, cause)
		if l.cfg.acks == 0 {
			// No answer will ever tell whether a try arrived, so there are no retries.
			out = l.giveUp(p, cause, false)
		} else {
			out = l.tryAgain(p, cause, now)
		}
	}
	return append(out, l.tidy()...)
}

// unsend gives back the sequence of a batch whose only request never left.
func (l *lane) unsend(p *parcel) {
	if p.sequence != noSequence && p.id == l.id && l.next == addSequence(p.sequence, p.count) && !l.gap {
		l.next = p.sequence
		p.sequence = noSequence
	}
}

// tryAgain lets p wait for its next try, or ends it when it has no try or no time left.
func (l *lane) tryAgain(p *parcel, cause error, now time.Time) []action {
	p.lastErr = cause
	if p.tries > l.cfg.retries {
		if l.cfg.retries > 0 {
			cause = fmt.Errorf("%w (%d): %w", record.ErrRetriesExhausted, l.cfg.retries, cause)
		}
		return l.giveUp(p, cause, true)
	}
	p.step(evRetry)
	p.notBefore = now
	if p.tries > 0 && p.epochSeen >= l.leader {
		p.notBefore = now.Add(l.cfg.backoff(p.tries))
	}
	if l.overdue(p, now) {
		return l.expire(p)
	}
	return nil
}

// giveUp ends p with an error. A doubtful one leaves its sequence unresolved.
func (l *lane) giveUp(p *parcel, cause error, retriable bool) []action {
	err := l.failure(p, cause, p.doubtful)
	err.Retriable = retriable && !p.doubtful
	if !p.doubtful {
		p.step(evFail)
		l.takeBack(p)
		l.drop(p)
	} else if p.step(evDoubt); !l.cfg.idempotent {
		p.step(evResolved)
		l.drop(p)
	}
	return []action{{parcel: p, kind: actFail, err: err}}
}

// rejected takes an answer that blames single records: they fail, the others go again.
func (l *lane) rejected(p *parcel, a answer, now time.Time) []action {
	blamed := make(map[int32]*record.Error, len(a.blamed))
	for i, message := range a.blamed {
		if i < 0 || i >= p.count {
			continue
		}
		if message == "" {
			message = a.message
		}
		blamed[i] = l.failure(p, &protocol.Error{Code: a.code, Message: message}, false)
	}
	if len(blamed) == 0 {
		return l.failedTry(p, answer{code: a.code, message: a.message}, now)
	}
	l.takeBack(p)
	p.step(evRetry)
	p.notBefore = now
	p.tries--
	p.rebuilding = true
	return []action{{parcel: p, kind: actReject, blamed: blamed}}
}

// replace puts parts in p's place, in order: what is left of a rejected batch, or the parts of a split one. They start
// without a sequence and with p's age.
func (l *lane) replace(p *parcel, parts []*parcel) []action {
	for i, q := range l.window {
		if q != p {
			continue
		}
		rest := append([]*parcel(nil), l.window[i+1:]...)
		l.window = append(append(l.window[:i], parts...), rest...)
		for _, part := range parts {
			part.state, part.created, part.sequence = retrying, p.created, noSequence
			part.rebuilding = false
			part.notBefore, part.epochSeen, part.tries = p.notBefore, p.epochSeen, p.tries
		}
		p.state = settled
		break
	}
	return l.tidy()
}

// tick ends what is over its time.
func (l *lane) tick(now time.Time) []action {
	var out []action
	for _, p := range append([]*parcel(nil), l.window...) {
		if p.rebuilding || !l.overdue(p, now) {
			continue
		}
		switch p.state {
		case retrying:
			out = append(out, l.expire(p)...)
		case inFlight:
			err := l.failure(p, record.ErrDeliveryTimeout, true)
			err.Detail = l.expiryDetail(p)
			p.step(evOverdue)
			out = append(out, action{parcel: p, kind: actFail, err: err})
			if !l.cfg.idempotent {
				p.step(evResolved)
				l.flying--
				p.awaiting = false
				l.drop(p)
			}
		}
	}
	return append(out, l.tidy()...)
}

func (l *lane) overdue(p *parcel, now time.Time) bool {
	return now.Sub(p.created) >= l.cfg.deliveryTimeout
}

func (l *lane) expire(p *parcel) []action {
	acts := l.giveUp(p, record.ErrDeliveryTimeout, true)
	for i := range acts {
		acts[i].err.Detail = l.expiryDetail(p)
	}
	return acts
}

func (l *lane) expiryDetail(p *parcel) string {
	detail := fmt.Sprintf("%v passed after %d tries", l.cfg.deliveryTimeout, p.tries)
	if p.lastErr != nil {
		detail += ", the last of which failed with: " + p.lastErr.Error()
	}
	return detail
}

// leaderMoved notes a newer leader: what waits to be tried again goes there at once.
func (l *lane) leaderMoved(epoch int32, now time.Time) {
	if epoch <= l.leader {
		return
	}
	l.leader = epoch
	for _, p := range l.window {
		if p.state == retrying && p.epochSeen < epoch {
			p.notBefore = now
		}
	}
}

// abort ends everything: the producer closes.
func (l *lane) abort(cause error) []action {
	var out []action
	for _, p := range append([]*parcel(nil), l.window...) {
		switch p.state {
		case inFlight:
			p.step(evOverdue)
			out = append(out, action{parcel: p, kind: actFail, err: l.failure(p, cause, true)})
		case retrying:
			if !p.rebuilding {
				out = append(out, l.giveUp(p, cause, false)...)
			}
		}
	}
	return out
}

// refuse ends what waits for an identity that cannot be had. Its old sequence was taken back, so nothing was written.
func (l *lane) refuse(err *record.Error) []action {
	var out []action
	for _, p := range append([]*parcel(nil), l.window...) {
		if p.state == retrying && p.sequence == noSequence && !p.rebuilding {
			p.step(evFail)
			l.drop(p)
			out = append(out, action{parcel: p, kind: actFail, err: err})
		}
	}
	return out
}

// tidy settles what the last event has decided: whether sequences may be given anew, and whether the identity must change.
func (l *lane) tidy() []action {
	if !l.cfg.idempotent {
		return nil
	}
	ghosts := false
	for _, p := range l.window {
		if (l.gap || l.needBump) && p.state == retrying && !p.doubtful {
			// Every try was answered, and none was written: there is nothing to learn under its old sequence.
			l.takeBack(p)
		}
		if p.awaiting || p.state != unresolved && p.sequence != noSequence {
			return nil
		}
		ghosts = ghosts || p.state == unresolved
	}
	if ghosts {
		// Nobody will tell whether these were written. What comes next goes under a new identity.
		l.needBump = true
		stay := l.window[:0]
		for _, p := range l.window {
			if p.state == unresolved {
				p.step(evResolved)
				continue
			}
			stay = append(stay, p)
		}
		clear(l.window[len(stay):])
		l.window = stay
	}
	if l.gap && !l.needBump {
		l.next, l.gap = l.gapAt, false
	}
	return nil
}

// wantsIdentity tells whether the lane can go on only under another identity than the one it has, and may take it now.
func (l *lane) wantsIdentity() (used identity, wants bool) {
	if !l.cfg.idempotent {
		return identity{}, false
	}
	for _, p := range l.window {
		if p.awaiting || p.sequence != noSequence {
			return l.id, false
		}
	}
	return l.id, l.needBump || !l.id.valid
}

// nextDeadline returns when tick must be called, and whether at all.
func (l *lane) nextDeadline() (time.Time, bool) {
	var first time.Time
	for _, p := range l.window {
		if p.state != inFlight && p.state != retrying {
			continue
		}
		if d := p.created.Add(l.cfg.deliveryTimeout); first.IsZero() || d.Before(first) {
			first = d
		}
	}
	return first, !first.IsZero()
}

func (l *lane) brokerError(a answer) error { return &protocol.Error{Code: a.code, Message: a.message} }

func (l *lane) failure(p *parcel, cause error, maybe bool) *record.Error {
	err := &record.Error{Topic: l.cfg.topic, Partition: l.cfg.partition, MaybeWritten: maybe, Err: cause}
	var broker *protocol.Error
	if errors.As(cause, &broker) {
		err.Retriable = broker.Code.Retriable() && !maybe
	}
	return err
}
