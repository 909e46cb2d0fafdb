package accumulator

import (
	"sync/atomic"
	"time"

	"github.com/gosamsa/samsa/internal/lockrank"
)

// A sender that is faster than the network fills the whole of buffer.memory. Then every record waits for all that is before it, and every
// byte has left the processor's caches before it is written. So a Send that has filled a batch waits for a moment while a megabyte or more is
// ready that have not left, as long as they leave fast. What leaves slowly is not waited for: buffer.memory is the bound, and a burst that
// fits into it is taken.

const (
	// paceBytes is how many bytes of full batches may be ahead of the network.
	paceBytes = 1 << 20
	// paceWait is the longest that a Send is held.
	paceWait = 2 * time.Millisecond
	// paceRate is how many bytes a second must leave for waiting to be worth it.
	paceRate = 128 << 20
	// paceLook is how often that is looked at.
	paceLook = 4 * time.Millisecond
)

// unsentLimiter is what leaves, and who waits for it. A batch is ahead from the time that it is full until it is put into a request or has its outcome
// without that.
type unsentLimiter struct {
	limit int64
	ahead atomic.Int64 // bytes
	left  atomic.Int64 // bytes that were ahead once
	fast  atomic.Bool  // bytes leave fast

	mu      lockrank.Mutex[lockrank.AccumulatorUnsent]
	changed chan struct{} // closed when bytes have left; made by who waits
	since   time.Time     // of the last look
	then    int64         // what had left by then
}

// begin counts a batch that is full.
func (b *Batch) begin() {
	n := int64(len(b.buf))
	b.ahead.Store(n)
	b.part.acc.unsent.ahead.Add(n)
}

// MarkSent says that the batch is in a request. It wakes who waits, so no lock is held. Only its first call counts.
func (b *Batch) MarkSent() {
	n := b.ahead.Swap(0)
	if n == 0 {
		return
	}
	p := &b.part.acc.unsent
	left := p.left.Add(n)
	if p.ahead.Add(-n)+n < p.limit/2 {
		return // nobody waits, and how fast it is shows when there is more
	}
	if changed := p.depart(time.Now(), left); changed != nil {
		close(changed)
	}
}

// depart finds out now and then how fast bytes leave, and returns what is to be closed to wake who waits.
func (p *unsentLimiter) depart(now time.Time, left int64) (changed chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if took := now.Sub(p.since); took >= paceLook {
		if took < 2*paceLook { // else there was little to send
			p.fast.Store(float64(left-p.then) >= paceRate*took.Seconds())
		}
		p.since, p.then = now, left
	}
	changed, p.changed = p.changed, nil
	return changed
}

// ThrottleUnsent is for who may have filled a batch. It waits, when much is ahead of the network, until twice as much has left, but for no longer than
// a moment. It is called without a lock.
func (a *Accumulator) ThrottleUnsent() {
	p := &a.unsent
	if p.ahead.Load() < p.limit || !p.fast.Load() {
		return
	}
	before := p.left.Load()
	timer := time.NewTimer(paceWait)
	defer timer.Stop()
	for {
		p.mu.Lock()
		if p.changed == nil {
			p.changed = make(chan struct{})
		}
		changed := p.changed
		p.mu.Unlock()
		gained := p.left.Load() - before
		if gained >= 2*int64(a.cfg.BatchSize) || p.ahead.Load() < p.limit {
			return
		}
		select {
		case <-changed:
		case <-timer.C:
			if float64(gained) < paceRate*paceWait.Seconds() {
				p.fast.Store(false)
			}
			return
		}
	}
}
