package delivery

import (
	"fmt"
	"slices"
	"time"

	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// Tick ends the batches after delivery.timeout.ms, and the attempts that former leaders do not answer. Deadline returns
// the time for the next call.
func (p *Partition) Tick(now time.Time) {
	defer p.endEvent(nil)
	for _, b := range slices.Clone(p.window) {
		if !p.isOverdue(b, now) {
			continue
		}
		switch b.state {
		case Retrying:
			for part := range b.withWaitingParts() {
				p.expire(part)
			}
		case InFlight:
			p.expireInFlight(b)
		}
	}
	p.afterEvent()
	p.giveUpOnFormerLeaders(now)
	for p.head < len(p.unsent) && p.unsent[p.head].state == Ready && p.isOverdue(p.unsent[p.head], now) {
		err := p.failure(record.ErrDeliveryTimeout, false)
		err.Fate, err.Detail = record.FateNotWritten, p.cfg.DeliveryTimeout.String()+" passed before it could be sent"
		p.failFirstUnsent(err)
	}
}

// expireInFlight fails b as maybe written. Without idempotence its request keeps its place in max.in.flight until it is
// answered or given up: it may still arrive.
func (p *Partition) expireInFlight(b *Batch) {
	err := p.failure(expired(b.lastErr), true)
	err.Detail = p.expiryDetail(b)
	p.step(b, stepOverdue)
	p.fail(b, err)
	if !p.cfg.Idempotent {
		p.step(b, stepResolved)
		p.drop(b)
	}
}

// Deadline returns the time for the next call of Tick, and whether there is one.
func (p *Partition) Deadline() (first time.Time, ok bool) {
	note := func(t time.Time) {
		if !ok || t.Before(first) {
			first, ok = t, true
		}
	}
	for _, b := range p.window {
		if b.state == InFlight || b.state == Retrying {
			note(b.created.Add(p.cfg.DeliveryTimeout))
		}
	}
	if p.head < len(p.unsent) && p.unsent[p.head].state == Ready {
		note(p.unsent[p.head].created.Add(p.cfg.DeliveryTimeout))
	}
	if !p.leftAt.IsZero() && p.leader != protocol.NoLeader {
		note(p.leftAt.Add(answerGrace))
	}
	return first, ok
}

func (p *Partition) isOverdue(b *Batch, now time.Time) bool {
	return now.Sub(b.created) >= p.cfg.DeliveryTimeout
}

func (p *Partition) expire(b *Batch) {
	p.giveUp(b, expired(b.lastErr), record.FateNotWritten, p.expiryDetail(b))
}

// expired is ErrDeliveryTimeout of a batch whose last attempt failed with an error; nil is none. errors.Is and
// errors.As find both.
func expired(last error) error {
	if last == nil {
		return record.ErrDeliveryTimeout
	}
	return &deliveryTimeout{last}
}

// deliveryTimeout has the text of ErrDeliveryTimeout: the record's Error names the last failure in its detail.
type deliveryTimeout struct{ last error }

func (*deliveryTimeout) Error() string     { return record.ErrDeliveryTimeout.Error() }
func (e *deliveryTimeout) Unwrap() []error { return []error{record.ErrDeliveryTimeout, e.last} }

func (p *Partition) expiryDetail(b *Batch) string {
	if b.tries == 0 && b.lastErr != nil {
		return fmt.Sprintf("%v passed before it could be written: %v", p.cfg.DeliveryTimeout, b.lastErr)
	}
	tries := "1 try"
	if b.tries != 1 {
		tries = fmt.Sprintf("%d tries", b.tries)
	}
	detail := fmt.Sprintf("%v passed after %s", p.cfg.DeliveryTimeout, tries)
	if b.lastErr != nil {
		detail += ", the last of which failed with: " + b.lastErr.Error()
	}
	return detail
}

// Refused fails the batches that wait for an identity, or for a broker that accepts Produce requests, with err: the
// client cannot get it. With idempotence these are the batches without a sequence, which are certainly not written; a
// batch with a sequence is retried. Without idempotence these are all batches.
func (p *Partition) Refused(err *record.Error) {
	defer p.endEvent(nil)
	for _, b := range slices.Clone(p.window) {
		if b.state != Retrying || b.sequence != NoSequence {
			continue
		}
		for part := range b.withWaitingParts() {
			p.giveUp(part, err.Err, record.FateOf(err), err.Detail)
		}
	}
	for p.head < len(p.unsent) && p.unsent[p.head].state == Ready {
		p.failFirstUnsent(err)
	}
}

// Closed fails every batch with cause: the producer closes. detail is added to each error. Batches at workers fail as
// soon as their worker calls Prepared or Replaced.
func (p *Partition) Closed(cause error, detail string) {
	defer p.endEvent(nil)
	if p.closed == nil {
		err := p.failure(cause, false)
		err.Fate, err.Detail = record.FateNotWritten, detail
		p.closed = err
	}
	p.endAll(p.closed)
}

// endAll fails every batch but those at workers.
func (p *Partition) endAll(closed *record.Error) {
	for _, b := range slices.Clone(p.window) {
		switch b.state {
		case InFlight:
			p.step(b, stepOverdue)
			err := p.failure(closed.Err, true)
			err.Detail = closed.Detail
			p.fail(b, err)
		case Retrying:
			for part := range b.withWaitingParts() {
				p.giveUp(part, closed.Err, record.FateNotWritten, closed.Detail)
			}
		}
	}
	p.failUnsent(closed)
}
