package sender

import (
	"time"

	"github.com/gosamsa/samsa/internal/weakly"
	"github.com/gosamsa/samsa/record"
)

// This file is about the partition's timer.

// armLocked lets the timer fire at t, unless it fires earlier anyway.
func (p *partition) armLocked(t time.Time) {
	if p.stopped || !p.due.IsZero() && !t.Before(p.due) {
		return
	}
	p.due = t
	if d := time.Until(t); p.timer == nil {
		p.timer = time.AfterFunc(d, weakly.Do(p, (*partition).onTimer))
	} else {
		p.timer.Reset(d)
	}
}

// armDeadlineLocked lets the timer fire in time for the next Tick.
func (p *partition) armDeadlineLocked() {
	if next, ok := p.delivery.Deadline(); ok {
		p.armLocked(next)
	}
}

func (p *partition) disarmLocked() {
	if p.timer != nil {
		p.timer.Stop()
	}
	p.due = time.Time{}
}

// onTimer ends the expired batches, retries the due ones, and arms the timer for the next time.
func (p *partition) onTimer() {
	now := time.Now()
	p.mu.Lock()
	if p.stopped {
		p.mu.Unlock()
		return
	}
	p.due = time.Time{}
	p.delivery.Tick(now)
	p.trace.ticked(p, now)
	over := now.Add(-p.s.cfg.DeliveryTimeout)
	why := ""
	if oldest, waits := p.acc.OldestQueued(); waits && !oldest.After(over) {
		why = p.whyWaitingLocked()
	}
	p.explainExpiredLocked()
	p.armDeadlineLocked()
	p.unlockAndApply(now)

	p.acc.ExpireQueued(over, &record.Error{
		Topic: p.acc.Topic(), Partition: p.acc.Index(), Fate: record.FateNotWritten, Err: record.ErrDeliveryTimeout,
		Detail: p.s.cfg.DeliveryTimeout.String() + " passed before it could be sent: " + why,
	})
	if created, ok := p.acc.OldestQueued(); ok {
		p.mu.Lock()
		p.armLocked(created.Add(p.s.cfg.DeliveryTimeout))
		p.mu.Unlock()
	}
}
