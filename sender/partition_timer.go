package sender

import (
	"time"

	"github.com/gosamsa/samsa/internal/weakly"
	"github.com/gosamsa/samsa/record"
)

// This file is what the partition does when time has passed.

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

func (p *partition) disarmLocked() {
	if p.timer != nil {
		p.timer.Stop()
	}
	p.due = time.Time{}
}

// onTimer ends what is over its time, tries again what is due, and sets the timer for what comes next.
func (p *partition) onTimer() {
	now := time.Now()
	p.mu.Lock()
	if p.stopped {
		p.mu.Unlock()
		return
	}
	p.due = time.Time{}
	actions := p.delivery.tick(now)
	p.trace.ticked(now, actions)
	p.explainExpiredLocked(actions)
	actions = append(actions, p.giveUpOnFormerLeadersLocked(now)...)
	over := now.Add(-p.s.cfg.DeliveryTimeout)
	expired := p.expiredPackLocked(over)
	why := ""
	if oldest, waits := p.acc.OldestQueued(); len(expired) > 0 || waits && !oldest.After(over) {
		why = p.whyWaitingLocked()
	}
	if next, ok := p.delivery.nextDeadline(); ok {
		p.armLocked(next)
	}
	if p.sealedQueue.Len() > 0 && p.sealedQueue.At(0).packed {
		p.armLocked(p.sealedQueue.At(0).batch.Created.Add(p.s.cfg.DeliveryTimeout))
	}
	p.unlockAndApply(actions, now)

	err := &record.Error{
		Topic: p.acc.Topic(), Partition: p.acc.Index(), Fate: record.FateNotWritten, Err: record.ErrDeliveryTimeout,
		Detail: p.s.cfg.DeliveryTimeout.String() + " passed before it could be sent: " + why,
	}
	for _, c := range expired {
		p.settleUnsent(c, err)
	}
	p.acc.ExpireQueued(over, err)
	if created, ok := p.acc.OldestQueued(); ok {
		p.mu.Lock()
		p.armLocked(created.Add(p.s.cfg.DeliveryTimeout))
		p.mu.Unlock()
	}
}

// expiredPackLocked takes the sealed batches that were never sent and were created up to over.
func (p *partition) expiredPackLocked(over time.Time) (expired []*outBatch) {
	for p.sealedQueue.Len() > 0 && p.sealedQueue.At(0).packed && !p.sealedQueue.At(0).batch.Created.After(over) {
		expired = append(expired, p.sealedQueue.Pop())
	}
	return expired
}
