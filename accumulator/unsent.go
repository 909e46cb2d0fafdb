package accumulator

import (
	"sync/atomic"
	"time"

	"github.com/gosamsa/samsa/internal/lockrank"
)

// A sender faster than the network fills the whole of buffer.memory. Then every record waits for all records before it,
// and every byte has left the processor's caches before it is written. So after filling a batch a Send waits for a
// moment while a megabyte or more is ready and unsent, as long as the bytes leave fast. With slowly leaving bytes it
// does not wait: buffer.memory is the bound, and a burst within it is taken.

const (
	// paceBytes is how many bytes of full batches may be ahead of the network.
	paceBytes = 1 << 20
	// paceWait is the longest hold of a Send.
	paceWait = 2 * time.Millisecond
	// paceRate is how many bytes a second must leave for waiting to be worth it.
	paceRate = 128 << 20
	// paceLook is the interval of the looks at it.
	paceLook = 4 * time.Millisecond
)

// unsentLimiter counts the leaving bytes, and holds Sends back for them. A batch is ahead from the time it is full
// until it is put into a request or has its outcome without one.
type unsentLimiter struct {
	limit int64
	ahead atomic.Int64 // bytes
	left  atomic.Int64 // bytes that were ahead and have left
	fast  atomic.Bool  // bytes leave fast

	mu      lockrank.Mutex[lockrank.AccumulatorUnsent]
	changed chan struct{} // closed when bytes have left; made by who waits
	since   time.Time     // of the last look
	then    int64         // the bytes gone by then
}

// begin counts a full batch.
func (b *Batch) begin() {
	n := int64(len(b.buf))
	b.ahead.Store(n)
	b.part.acc.unsent.ahead.Add(n)
}

// MarkSent notes that the batch is in a request. It wakes the waiting Sends, so no lock is held. Only its first call
// counts.
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

// depart finds out now and then how fast bytes leave, and returns the channel to close for the waiting Sends.
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

// ThrottleUnsent holds back a caller that may have filled a batch. It waits, when much is ahead of the network, until
// twice as much has left, but for no longer than a moment. It is called without a lock.
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
