package delivery

import (
	"fmt"
	"time"

	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// Answer is a broker's response for one batch.
type Answer struct {
	Code    protocol.ErrorCode
	Message string
	Offset  int64
	Time    int64            // the log-append time in milliseconds, or -1
	ByID    bool             // the request named the topic by its id, so the response is of this very topic
	Blamed  map[int32]string // the refused records, with the broker's messages
}

// maxCorrupt is the number of times a broker may refuse a batch with CORRUPT_MESSAGE. Bytes that were damaged on the
// way arrive intact with the next attempt. A record that the topic never accepts, such as one without a key in a
// compacted topic, is refused again: brokers before 2.4 refuse it with this code.
const maxCorrupt = 2

// Answered takes the broker's response to an attempt of b.
func (p *Partition) Answered(b *Batch, attempt uint32, a *Answer, now time.Time) {
	defer p.endEvent(b)
	if attempt != b.attempt {
		return
	}
	late := p.leaveFlight(b)
	switch {
	case b.state == Settled:
		return
	case a.Code == protocol.None || a.Code == protocol.DuplicateSequenceNumber:
		p.succeeded(b, a, late, now)
	case late:
		p.lateFailure(b, a)
	case a.Code == protocol.MessageTooLarge && b.count > 1 && !b.maybeWritten() && !p.isOverdue(b, now):
		p.rebuild(b, now)
		p.outcomes = append(p.outcomes, Outcome{Batch: b, Kind: TooLarge, Err: p.failure(brokerError(a), false)})
	case len(a.Blamed) > 0 && !b.maybeWritten() && !a.Code.Retriable():
		p.rejected(b, a, now)
	default:
		p.failedTry(b, a, now)
	}
	p.afterEvent()
}

// rebuild gives b to a worker. The attempt does not count.
func (p *Partition) rebuild(b *Batch, now time.Time) {
	p.revokeSequence(b)
	p.step(b, stepRebuild)
	b.notBefore = now
	b.tries--
}

func (p *Partition) succeeded(b *Batch, a *Answer, late bool, now time.Time) {
	offset := a.Offset
	if a.Code == protocol.DuplicateSequenceNumber {
		offset = -1
	}
	if p.wentBack(b, a, offset) {
		p.rejectAcknowledgement(b, offset, late)
		return
	}
	if b.id == p.id {
		p.proven = true
		p.noteOffset(b, offset)
		if b.incarnation == p.incarnation {
			p.isAcked, p.lastAck = true, now // otherwise the deleted topic may have acknowledged it
		}
		p.checkGap(b)
	}
	p.resolveBefore(b)
	if late {
		p.step(b, stepResolved)
		p.drop(b)
		return
	}
	p.step(b, stepAcked)
	p.drop(b)
	p.end(Outcome{Batch: b, Kind: Acknowledged, Offset: offset, Time: a.Time})
}

// checkGap compares an acknowledged batch with the gap.
func (p *Partition) checkGap(b *Batch) {
	switch {
	case !p.hasGap || !p.cfg.Idempotent:
	case b.sequence == p.gapAt:
		p.hasGap = false
	case comesBefore(p.gapAt, b.sequence):
		// A log accepted the batch with a hole before it, so the log did not know the earlier batches: it belongs to a
		// recreated topic, not yet reported by the metadata. Batches renumbered from the hole on would meet this batch
		// there and pass for it.
		p.needBump = true
	}
}

// wentBack reports whether an acknowledged offset is at or below an offset that the same leader acknowledged for
// earlier batches. A log grows while its leader stays. So another producer wrote the batch with this sequence under the
// same identity, or this is another log. The offset proves nothing in two cases: after a leader change, because an
// unclean election may have truncated the log; and if the request named the topic by its name, as before Kafka 4.0,
// because the topic may have been recreated.
func (p *Partition) wentBack(b *Batch, a *Answer, offset int64) bool {
	switch {
	case !p.cfg.Idempotent, b.incarnation != p.incarnation, !protocol.SameCluster(b.id.Cluster, p.cluster):
		return false
	case p.shared && b.id == p.id:
		return true
	case !a.ByID, offset < 0, b.fate == Proven: // a later batch than a proven one was acknowledged before it
		return false
	}
	return p.isGrowing && p.lastEpoch == b.epochSeen && offset <= p.lastOffset
}

// noteOffset records the end of b in the log, for wentBack.
func (p *Partition) noteOffset(b *Batch, offset int64) {
	if offset < 0 || b.fate == Proven || b.incarnation != p.incarnation {
		return
	}
	same := p.hasOffset && p.lastEpoch == b.epochSeen
	p.isGrowing = same && offset > p.lastOffset
	p.hasOffset, p.lastOffset, p.lastEpoch = b.epochSeen >= 0, offset+int64(b.count)-1, b.epochSeen
}

// forgetOffset discards the known offsets: from here on the log may be another one.
func (p *Partition) forgetOffset() { p.hasOffset, p.isGrowing = false, false }

// rejectAcknowledgement takes an acknowledgement at an offset that went back. It proves nothing about b, and another
// producer shares the identity.
func (p *Partition) rejectAcknowledgement(b *Batch, offset int64, late bool) {
	if b.id == p.id {
		p.needBump, p.needID, p.shared = true, true, true
	}
	b.doubt()
	if late {
		return // its records failed as maybe written before
	}
	cause := fmt.Errorf("%w: offset %d, after offset %d was acknowledged", record.ErrForeignAcknowledgement, offset,
		p.lastOffset)
	p.giveUp(b, cause, record.FateMaybeWritten, "")
}

// resolveBefore proves the batches before an acknowledged one: a broker accepts the sequences of an identity without
// holes.
func (p *Partition) resolveBefore(acked *Batch) {
	if !p.cfg.Idempotent {
		return
	}
	stay := p.window[:0]
	before := true
	for _, b := range p.window {
		if b == acked {
			before = false
		}
		if before && b.id == acked.id && b.sequence != NoSequence {
			b.fate = Proven
			if b.state == Unresolved && !b.request.IsOutstanding() {
				p.step(b, stepResolved)
				continue
			}
		}
		stay = append(stay, b)
	}
	clear(p.window[len(stay):])
	p.window = stay
}

// lateFailure takes a failure of a batch with an outcome: its records failed as maybe written before.
func (p *Partition) lateFailure(b *Batch, a *Answer) {
	if a.Code.WriteOutcomeWith(p.cfg.Acks) == protocol.NotWritten && !b.isDoubtful() {
		// The batch is certainly not written, but its records failed as maybe written before. Later batches have a hole
		// before them.
		p.step(b, stepResolved)
		p.openGap(b)
		p.drop(b)
	}
}

// rejected takes a refusal of single records: they fail, and the others are retried.
func (p *Partition) rejected(b *Batch, a *Answer, now time.Time) {
	blamed := make(map[int32]*record.Error, len(a.Blamed))
	for i, message := range a.Blamed {
		if i < 0 || i >= b.count {
			continue
		}
		if message == "" {
			message = a.Message
		}
		blamed[i] = p.failure(&protocol.Error{Code: a.Code, Message: message}, false)
	}
	if len(blamed) == 0 {
		p.failedTry(b, &Answer{Code: a.Code, Message: a.Message}, now)
		return
	}
	p.rebuild(b, now)
	p.outcomes = append(p.outcomes, Outcome{Batch: b, Kind: Rejected, Blamed: blamed})
}

// failedTry takes an error of the whole batch.
func (p *Partition) failedTry(b *Batch, a *Answer, now time.Time) {
	cause := brokerError(a)
	switch a.Code {
	case protocol.OutOfOrderSequenceNumber, protocol.UnknownProducerID, protocol.InvalidProducerEpoch,
		protocol.InvalidProducerIDMapping, protocol.ProducerFenced:
		if p.cfg.Idempotent {
			p.sequenceError(b, a.Code, cause, now)
			return
		}
	}
	if a.Code.WriteOutcomeWith(p.cfg.Acks) == protocol.MaybeWritten {
		b.doubt()
	}
	if a.Code == protocol.CorruptMessage {
		b.corrupt++
	}
	switch {
	case b.corrupt >= maxCorrupt:
		p.giveUp(b, cause, record.FateRejected, "")
	case !a.Code.Retriable():
		p.giveUp(b, cause, record.CertainFate(cause), "")
	default:
		p.retry(b, cause, now)
	}
}

// sequenceError takes an error about b's sequence or identity. None of these errors follows a write of this attempt.
func (p *Partition) sequenceError(b *Batch, code protocol.ErrorCode, cause error, now time.Time) {
	if p.hasOpenBefore(b) {
		// The batches before it come first. This attempt does not count.
		b.tries--
		p.retry(b, cause, now)
		return
	}
	forgot := code == protocol.OutOfOrderSequenceNumber || code == protocol.UnknownProducerID
	// A broker without the producer's state has deleted its records, maybe b's too: so UNKNOWN_PRODUCER_ID proves
	// nothing.
	if code == protocol.OutOfOrderSequenceNumber && p.provesNotWritten(b) {
		if b.isDoubtful() && b.incarnation != p.incarnation {
			b.formerIncarnations = append(b.formerIncarnations, b.incarnation)
		}
		b.clearDoubt()
	}
	if b.isDoubtful() {
		// The broker refuses b's identity, and an earlier attempt may have been written: under a new identity the log
		// could get b twice.
		p.refusedFirst(b)
		p.giveUp(b, cause, record.FateMaybeWritten, "")
		return
	}
	if forgot && p.hasGap && b.id == p.id {
		b.tries-- // the cause is the hole before it
	} else {
		// The broker has forgotten acknowledged batches, or an unresolved batch before b was not written, or the broker
		// refuses the identity. The partition goes on under another one.
		p.needBump = true
		p.refusedFirst(b)
	}
	p.revokeSequence(b)
	p.retry(b, cause, now)
}

// hasOpenBefore reports whether a batch with an open outcome stands before b: then an error about b's sequence proves
// nothing.
func (p *Partition) hasOpenBefore(b *Batch) bool {
	for _, q := range p.window {
		if q == b {
			return false
		}
		if q.request.IsOutstanding() || q.state == Retrying && q.sequence != NoSequence {
			return true
		}
	}
	return false
}

// provesNotWritten reports whether OUT_OF_ORDER_SEQUENCE_NUMBER for b shows that no attempt of b was or will be
// written. It does, with two exceptions. First, an earlier request of b may still arrive behind a request of an
// unresolved batch: a broker that hung may find both, and accept them. Second, b may lie behind the broker's next
// sequence, not before it: a restarted broker knows only the last batch of each producer, so a later batch that may be
// in the log can have b's place there.
func (p *Partition) provesNotWritten(b *Batch) bool {
	if b.fate == Proven {
		return false
	}
	before := true
	for _, q := range p.window {
		switch {
		case q == b:
			before = false
			if p.hasGap && b.id == p.id && comesBefore(p.gapAt, b.sequence) {
				return true // there is a hole before b: the broker accepted neither b nor later batches
			}
		case before && b.request.mayArrive() && q.state == Unresolved:
			return false
		case !before && q.id == b.id && q.sequence != NoSequence &&
			(q.isDoubtful() || q.request.IsOutstanding() || q.state == Unresolved):
			return false
		}
	}
	return true
}

// refusedFirst notes a refusal of an identity without an acknowledgement. The refused batch is the first one under this
// identity, so the client's own sequences cannot be the reason: the broker accepts no epochs of the client's choice, or
// another producer uses the same id. The next epoch would meet the same refusal, so the partition needs a new producer
// id.
func (p *Partition) refusedFirst(b *Batch) {
	if b.id == p.id && !p.proven {
		p.needID = true
	}
}

// revokeSequence takes b's sequence away: no log has anything under it.
func (p *Partition) revokeSequence(b *Batch) {
	if !p.cfg.Idempotent || b.sequence == NoSequence {
		return
	}
	p.openGap(b)
	b.sequence = NoSequence
}

// openGap notes that b's sequence was not used, so that later batches are renumbered from there.
func (p *Partition) openGap(b *Batch) {
	if !p.cfg.Idempotent || b.sequence == NoSequence || b.id != p.id {
		return
	}
	if b.request.mayArrive() {
		// A request with this sequence may still arrive. Under the same identity it could pass for the renumbered
		// batch.
		p.needBump = true
		return
	}
	if !p.hasGap || comesBefore(b.sequence, p.gapAt) {
		p.hasGap, p.gapAt = true, b.sequence
	}
}
