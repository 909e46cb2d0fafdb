package sender

import (
	"fmt"
	"time"

	"github.com/gosamsa/samsa/internal/cluster"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// This file is what the core makes of a request's end: an answer, or none.

// answer is a broker's answer for one batch.
type answer struct {
	code          protocol.ErrorCode
	message       string
	offset        int64
	logAppendTime int64
	byID          bool             // the request named the topic by its id, so the answer is of this very topic
	blamed        map[int32]string // records that the broker names, with its words
}

// answered takes the broker's answer for p.
func (l *deliveryState) answered(p *batchState, a answer, now time.Time) []action {
	late := l.leaveFlight(p)
	if p.state == settled {
		return nil
	}
	var out []action
	switch {
	case a.code == protocol.None || a.code == protocol.DuplicateSequenceNumber:
		out = l.succeeded(p, a, late, now)
	case late:
		l.lateFailure(p, a)
	case a.code == protocol.MessageTooLarge && p.count > 1 && !p.maybeWritten() && !l.overdue(p, now):
		l.revokeSequence(p)
		p.step(evRetry)
		p.notBefore = now
		p.tries--
		p.rebuilding = true
		out = []action{{batch: p, kind: actSplit, err: l.failure(p, l.brokerError(a), false)}}
	case len(a.blamed) > 0 && !p.maybeWritten() && !a.code.Retriable():
		out = l.rejected(p, a, now)
	default:
		out = l.failedTry(p, a, now)
	}
	return append(out, l.afterEvent()...)
}

func (l *deliveryState) succeeded(p *batchState, a answer, late bool, now time.Time) []action {
	offset := a.offset
	if a.code == protocol.DuplicateSequenceNumber {
		offset = -1
	}
	if l.wentBack(p, a, offset) {
		return l.disbelieve(p, offset, late)
	}
	if p.id == l.id {
		l.proven = true
		l.noteOffset(p, offset)
		if p.incarnation == l.incarnation {
			l.acked, l.lastAck = true, now // else it may be the topic that is no more that has acknowledged it
		}
		switch {
		case !l.gap || !l.cfg.idempotent:
		case p.sequence == l.gapAt:
			l.gap = false
		case comesBefore(l.gapAt, p.sequence):
			// It was taken with a hole before it, by a log that knew nothing of what came before: one that was made again, which we have not
			// heard of yet. What is numbered anew from the hole on would meet it there and be taken for it.
			l.needBump = true
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
	l.one = [1]action{{batch: p, kind: actComplete, offset: offset, time: a.logAppendTime}}
	return l.one[:]
}

// wentBack reports whether an acknowledged offset is at or below one that the same leader acknowledged for earlier batches. A log grows
// while its leader stays, so another producer that sends under the same identity wrote the batch with this sequence, or this is
// another log. The offset proves nothing in two cases: after a leader change, for an unclean election may have truncated the log; and
// where the request named the topic by its name, as before Kafka 4.0, for the topic may have been recreated.
func (l *deliveryState) wentBack(p *batchState, a answer, offset int64) bool {
	switch {
	case !l.cfg.idempotent, p.incarnation != l.incarnation, !cluster.SameCluster(p.id.cluster, l.cluster):
		return false
	case l.shared && p.id == l.id:
		return true
	case !a.byID, offset < 0, p.provenWritten: // of followed batches, a later one was acknowledged first
		return false
	}
	return l.growing && l.lastEpoch == p.epochSeen && offset <= l.lastOffset
}

// noteOffset records where p ends in the log, for wentBack.
func (l *deliveryState) noteOffset(p *batchState, offset int64) {
	if offset < 0 || p.provenWritten || p.incarnation != l.incarnation {
		return
	}
	same := l.hasOffset && l.lastEpoch == p.epochSeen
	l.growing = same && offset > l.lastOffset
	l.hasOffset, l.lastOffset, l.lastEpoch = p.epochSeen >= 0, offset+int64(p.count)-1, p.epochSeen
}

// forgetOffset is for a log that may be another one.
func (l *deliveryState) forgetOffset() { l.hasOffset, l.growing = false, false }

// disbelieve takes an acknowledgement at an offset that went back. Whether p is in the log is not known, and the identity is
// shared with another producer.
func (l *deliveryState) disbelieve(p *batchState, offset int64, late bool) []action {
	if p.id == l.id {
		l.needBump, l.newID, l.shared = true, true, true
	}
	p.doubtful = true
	if late {
		return nil // its records were reported as maybe written before
	}
	cause := fmt.Errorf("%w: offset %d, after offset %d was acknowledged", record.ErrForeignAcknowledgement, offset, l.lastOffset)
	return l.giveUp(p, cause, record.FateMaybeWritten)
}

// resolveBefore: a broker takes sequences without holes, so an acknowledged batch proves every earlier one of its identity.
func (l *deliveryState) resolveBefore(p *batchState) {
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
			q.doubtful, q.provenWritten = true, true
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
func (l *deliveryState) lateFailure(p *batchState, a answer) {
	if a.code.WriteOutcomeWith(l.cfg.acks) == protocol.NotWritten && !p.doubtful {
		// Certain now, but told already. What comes behind it has a hole in front.
		p.step(evResolved)
		l.openGap(p)
		l.drop(p)
	}
}

// provesNotWritten reports whether an answer that p's sequence is out of order shows that no try of p was written or will be. It does,
// with two exceptions. A request of p may still be on its way behind one of an unresolved batch: a broker that hung may find
// both, and take them. And p may lie behind the broker's next sequence, not before it: a broker that was restarted knows
// again only the last batch of each producer, so a batch after p that may be in the log can have taken that place.
func (l *deliveryState) provesNotWritten(p *batchState) bool {
	if p.provenWritten {
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
		case before && p.requestMayArrive && q.state == unresolved:
			return false
		case !before && q.id == p.id && q.sequence != noSequence && (q.doubtful || q.awaiting || q.state == unresolved):
			return false
		}
	}
	return true
}

// anythingBefore reports whether a batch stands before p whose fate is open: then a sequence that is out of order says
// nothing about p but that its turn has not come.
func (l *deliveryState) anythingBefore(p *batchState) bool {
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
func (l *deliveryState) failedTry(p *batchState, a answer, now time.Time) []action {
	cause := l.brokerError(a)
	switch a.code {
	case protocol.OutOfOrderSequenceNumber, protocol.UnknownProducerID, protocol.InvalidProducerEpoch, protocol.InvalidProducerIDMapping, protocol.ProducerFenced:
		if l.cfg.idempotent {
			return l.sequenceError(p, a.code, cause, now)
		}
	}
	if a.code.WriteOutcomeWith(l.cfg.acks) == protocol.MaybeWritten {
		p.doubtful = true
	}
	if a.code == protocol.CorruptMessage {
		p.corrupt++
	}
	if p.corrupt >= maxCorrupt {
		return l.giveUp(p, cause, record.FateRejected)
	}
	if !a.code.Retriable() {
		return l.giveUp(p, cause, record.CertainFate(cause))
	}
	return l.tryAgain(p, cause, now)
}

// maxCorrupt is how many times a broker may refuse a batch with CORRUPT_MESSAGE. Bytes that were damaged on the way arrive intact
// with the next attempt. A record that the topic does not take, such as one without a key where the topic is compacted, never does:
// brokers before 2.4 refuse it with this code.
const maxCorrupt = 2

// sequenceError takes an answer about p's sequence or identity. None of these was written by this try.
func (l *deliveryState) sequenceError(p *batchState, code protocol.ErrorCode, cause error, now time.Time) []action {
	if l.anythingBefore(p) {
		// Its turn has not come; what stands before it goes first. This costs it no try.
		p.tries--
		return l.tryAgain(p, cause, now)
	}
	forgot := code == protocol.OutOfOrderSequenceNumber || code == protocol.UnknownProducerID
	// A broker that does not know the producer has deleted its records with what it knew: p's may have been among them.
	if code == protocol.OutOfOrderSequenceNumber && l.provesNotWritten(p) {
		if p.doubtful && p.incarnation != l.incarnation {
			p.formerIncarnations = append(p.formerIncarnations, p.incarnation)
		}
		p.doubtful = false
	}
	if p.doubtful {
		// Its identity is refused, and an earlier try may have been written: under a new one it could be there twice.
		l.refusedFirst(p)
		return l.giveUp(p, cause, record.FateMaybeWritten)
	}
	if forgot && l.gap && p.id == l.id {
		p.tries-- // no more than the hole in front of it
	} else {
		// The broker has forgotten what it acknowledged, or an unresolved batch before p was not written, or the
		// identity is refused. The partition goes on under another one.
		l.needBump = true
		l.refusedFirst(p)
	}
	l.revokeSequence(p)
	return l.tryAgain(p, cause, now)
}

// refusedFirst notes a refusal of an identity under which the broker has acknowledged nothing yet. The refused batch is the first one
// under this identity, so the client's own sequences cannot be the reason: the broker takes no epochs that a client chose, or
// another producer uses the same id. The next epoch would meet the same, so the partition needs a new producer id.
func (l *deliveryState) refusedFirst(p *batchState) {
	if p.id == l.id && !l.proven {
		l.newID = true
	}
}

// revokeSequence takes p's sequence away: it is certain that nothing was written under it.
func (l *deliveryState) revokeSequence(p *batchState) {
	if !l.cfg.idempotent || p.sequence == noSequence {
		return
	}
	l.openGap(p)
	p.sequence = noSequence
}

// openGap notes that p's sequence was not used, so that what follows is numbered anew from there.
func (l *deliveryState) openGap(p *batchState) {
	if !l.cfg.idempotent || p.sequence == noSequence || p.id != l.id {
		return
	}
	if p.requestMayArrive {
		// A request with this sequence may still be on its way; under the same identity it could be taken for what
		// comes now.
		l.needBump = true
		return
	}
	if !l.gap || comesBefore(p.sequence, l.gapAt) {
		l.gap, l.gapAt = true, p.sequence
	}
}

// disconnected: the connection broke, or the request timed out, before p's answer came. sent reports whether some byte of
// the request may have left.
func (l *deliveryState) disconnected(p *batchState, sent bool, cause error, now time.Time) []action {
	late := l.leaveFlight(p)
	if p.state == settled {
		return nil
	}
	var out []action
	switch {
	case late:
		// Its fate will not be told by an answer; afterEvent decides what becomes of its sequence.
	case !sent:
		p.lastErr = cause
		p.step(evUnsent)
		p.notBefore = now
		l.neverLeft(p)
		if l.overdue(p, now) {
			out = l.expire(p)
		}
	default:
		p.doubtful, p.requestMayArrive = true, true
		cause = fmt.Errorf("%w: %w", record.ErrDisconnected, cause)
		if l.cfg.acks == 0 {
			// No answer will ever tell whether a try arrived, so there are no retries.
			out = l.giveUp(p, cause, record.FateMaybeWritten)
		} else {
			out = l.tryAgain(p, cause, now)
		}
	}
	return append(out, l.afterEvent()...)
}

// unsendable: no request can carry p, because of p itself. Nothing left, now or later, so p fails at once and for good. If an earlier
// attempt may have been written, its fate stays open.
func (l *deliveryState) unsendable(p *batchState, cause error) []action {
	late := l.leaveFlight(p)
	if p.state == settled {
		return nil
	}
	var out []action
	if !late {
		l.neverLeft(p)
		out = l.giveUp(p, cause, record.FateRejected)
	}
	return append(out, l.afterEvent()...)
}

// neverLeft takes back the last attempt of p, of which no byte left.
func (l *deliveryState) neverLeft(p *batchState) {
	p.tries--
	if p.tries == 0 && l.cfg.idempotent {
		l.returnSequence(p)
	}
}

// returnSequence gives back the sequence of a batch whose only request never left.
func (l *deliveryState) returnSequence(p *batchState) {
	if p.sequence != noSequence && p.id == l.id && l.next == addSequence(p.sequence, p.count) && !l.gap {
		l.next = p.sequence
		p.sequence = noSequence
	}
}

// tryAgain lets p wait for its next try, or ends it when it has no try or no time left.
func (l *deliveryState) tryAgain(p *batchState, cause error, now time.Time) []action {
	p.lastErr = cause
	if p.tries > l.cfg.retries {
		if l.cfg.retries > 0 {
			cause = fmt.Errorf("%w (%d): %w", record.ErrRetriesExhausted, l.cfg.retries, cause)
		}
		return l.giveUp(p, cause, record.FateNotWritten)
	}
	p.step(evRetry)
	p.notBefore = now
	if !l.fastRetry(p) {
		p.notBefore = now.Add(l.cfg.backoff(max(p.tries, 1)))
	}
	if l.overdue(p, now) {
		return l.expire(p)
	}
	return nil
}

// fastRetry reports whether p may be tried again at once, because there is a leader newer than that of its last try.
func (l *deliveryState) fastRetry(p *batchState) bool {
	switch {
	case p.epochSeen >= l.leader:
		p.fastRetries = 0
		return false
	case p.fastRetries >= maxFastRetries:
		return false
	}
	p.fastRetries++
	return true
}

// giveUp ends p with an error; certain is its fate if it cannot be in the log. A doubtful one leaves its sequence unresolved.
func (l *deliveryState) giveUp(p *batchState, cause error, certain record.Fate) []action {
	err := l.failure(p, cause, p.maybeWritten())
	if !p.maybeWritten() {
		err.Fate = certain
	}
	if !p.doubtful {
		p.step(evFail)
		l.revokeSequence(p)
		l.drop(p)
	} else if p.step(evDoubt); !l.cfg.idempotent {
		p.step(evResolved)
		l.drop(p)
	}
	return []action{{batch: p, kind: actFail, err: err}}
}

// rejected takes an answer that blames single records: they fail, the others go again.
func (l *deliveryState) rejected(p *batchState, a answer, now time.Time) []action {
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
	l.revokeSequence(p)
	p.step(evRetry)
	p.notBefore = now
	p.tries--
	p.rebuilding = true
	return []action{{batch: p, kind: actReject, blamed: blamed}}
}

// replace puts parts in p's place, in order: what is left of a rejected batch, or the parts of a split one. They start
// without a sequence and with p's age. The first part enters the window, and each other part waits behind the one before it.
func (l *deliveryState) replace(p *batchState, parts []*batchState) []action {
	last := p
	for _, part := range parts {
		part.state, part.created, part.sequence = retrying, p.created, noSequence
		part.rebuilding = false
		part.notBefore, part.epochSeen, part.tries = p.notBefore, p.epochSeen, p.tries
		last.nextPart, last = part, part
	}
	l.waiting += len(parts)
	p.state = settled
	l.drop(p)
	return l.afterEvent()
}

func (l *deliveryState) brokerError(a answer) error {
	return &protocol.Error{Code: a.code, Message: a.message}
}

func (l *deliveryState) failure(p *batchState, cause error, maybe bool) *record.Error {
	fate := record.FateMaybeWritten
	if !maybe {
		fate = record.CertainFate(cause)
	}
	return &record.Error{Topic: l.cfg.topic, Partition: l.cfg.partition, Fate: fate, Err: cause}
}
