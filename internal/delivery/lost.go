package delivery

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// answerGrace is the time for the responses of a former leader. A former leader that is alive answers at once that it
// is not the leader any more.
const answerGrace = 100 * time.Millisecond

// maxFastRetries is the number of attempts in a row without a backoff because of a newer leader. A leader change needs
// one, and two if the leader changes again. Brokers that name each other under ever newer epochs must neither use up
// the retries at once nor keep this client and themselves busy.
const maxFastRetries = 2

var errFormerLeader = errors.New("the partition has another leader, and the former one has not answered")

// Disconnected ends an attempt of b without a response: the connection broke, or the request timed out. sent reports
// whether some byte of the request may have left.
func (p *Partition) Disconnected(b *Batch, attempt uint32, sent bool, cause error, now time.Time) {
	defer p.endEvent(b)
	if attempt == b.attempt {
		p.disconnected(b, sent, cause, now)
	}
}

func (p *Partition) disconnected(b *Batch, sent bool, cause error, now time.Time) {
	late := p.leaveFlight(b)
	switch {
	case b.state == Settled:
		return
	case late: // no response will decide its fate; afterEvent decides about its sequence
	case !sent:
		b.lastErr = cause
		p.step(b, stepUnsent)
		b.notBefore = now
		p.neverLeft(b)
		if p.isOverdue(b, now) {
			p.expire(b)
		}
	default:
		b.doubt()
		b.request = Lost
		cause = fmt.Errorf("%w: %w", record.ErrDisconnected, cause)
		if p.cfg.Acks == 0 {
			// No response will ever report the attempt, so there are no retries.
			p.giveUp(b, cause, record.FateMaybeWritten, "")
		} else {
			p.retry(b, cause, now)
		}
	}
	p.afterEvent()
}

// Unsendable ends an attempt of b that no request can carry. Now and later no byte leaves, so b fails at once. If an
// earlier attempt may have been written, its fate stays open.
func (p *Partition) Unsendable(b *Batch, attempt uint32, cause error) {
	defer p.endEvent(b)
	if attempt != b.attempt {
		return
	}
	late := p.leaveFlight(b)
	if b.state == Settled {
		return
	}
	if !late {
		p.neverLeft(b)
		p.giveUp(b, cause, record.FateRejected, "")
	}
	p.afterEvent()
}

// WriteFinished notes that no connection reads the bytes of b any more. The caller may call it late: Next asks for it
// if needed.
func (p *Partition) WriteFinished(b *Batch) {
	defer p.endEvent(b)
	b.isWriting = false
}

// neverLeft undoes the last attempt of b, of which no byte left.
func (p *Partition) neverLeft(b *Batch) {
	b.tries--
	if b.tries == 0 && p.cfg.Idempotent {
		p.returnSequence(b)
	}
}

// returnSequence gives back the sequence of a batch whose only request never left.
func (p *Partition) returnSequence(b *Batch) {
	if b.sequence != NoSequence && b.id == p.id && p.next == addSequence(b.sequence, b.count) && !p.hasGap {
		p.next = b.sequence
		b.sequence = NoSequence
	}
}

// retry lets b wait for its next attempt, or ends it if it has no attempt or no time left.
func (p *Partition) retry(b *Batch, cause error, now time.Time) {
	b.lastErr = cause
	if b.tries > p.cfg.Retries {
		if p.cfg.Retries > 0 {
			cause = fmt.Errorf("%w (%d): %w", record.ErrRetriesExhausted, p.cfg.Retries, cause)
		}
		p.giveUp(b, cause, record.FateNotWritten, "")
		return
	}
	p.step(b, stepRetry)
	b.notBefore = now
	if !p.fastRetry(b) {
		b.notBefore = now.Add(p.cfg.Backoff(max(b.tries, 1)))
	}
	if p.isOverdue(b, now) {
		p.expire(b)
	}
}

// fastRetry reports whether b may be retried without a backoff, because there is a newer leader than for its last
// attempt.
func (p *Partition) fastRetry(b *Batch) bool {
	switch {
	case b.epochSeen >= p.leaderEpoch:
		b.fastRetries = 0
		return false
	case b.fastRetries >= maxFastRetries:
		return false
	}
	b.fastRetries++
	return true
}

// LeaderMoved takes the partition's leader from the metadata. leader is a broker's id, or protocol.NoLeader. Batches
// that wait for their retry are sent to a newer leader without a backoff. Requests that the former leader has not
// answered after 100 ms count as lost: it may hang until request.timeout.ms. Idempotence makes that safe, as after a
// broken connection.
func (p *Partition) LeaderMoved(leader, epoch int32, now time.Time) {
	defer p.endEvent(nil)
	if epoch >= 0 && epoch != p.leaderEpoch {
		p.epochMoved(epoch, now)
	}
	if leader == p.leader {
		return
	}
	p.leader = leader
	if leader != protocol.NoLeader && p.cfg.Idempotent && p.inFlight > 0 {
		p.leftAt = now
	}
}

func (p *Partition) epochMoved(epoch int32, now time.Time) {
	if epoch < p.leaderEpoch {
		// The epochs of a recreated topic start again; brokers before 2.8 report a recreated topic in no other way. But
		// the former epoch may have been wrong, and then this is the topic that the requests named.
		for _, b := range p.window {
			b.byName = true
		}
		p.recreated(p.incarnations + 1)
	}
	p.leaderEpoch = epoch
	for _, b := range p.window {
		if b.state == Retrying && now.Before(b.notBefore) && p.fastRetry(b) {
			b.notBefore = now
		}
	}
}

// giveUpOnFormerLeaders ends the attempts that former leaders have not answered in time.
func (p *Partition) giveUpOnFormerLeaders(now time.Time) {
	if p.leftAt.IsZero() || p.leader == protocol.NoLeader || now.Before(p.leftAt.Add(answerGrace)) {
		return
	}
	p.leftAt = time.Time{}
	for _, b := range slices.Clone(p.window) {
		if b.request.IsOutstanding() && b.leader != p.leader {
			b.attempt++ // its response comes too late
			p.disconnected(b, true, errFormerLeader, now)
		}
	}
}
