package accumulator

import (
	"context"
	"time"

	"github.com/gosamsa/samsa/internal/lockrank"
	"github.com/gosamsa/samsa/internal/weakly"
	"github.com/gosamsa/samsa/record"
)

// Drainer receives the events of a partition's batches. Its methods are called without any lock held.
type Drainer interface {
	// BatchReady reports a batch to take. The batch may be gone already. If awaited is not nil, the caller only waits
	// until awaited is closed: the owner may use its goroutine for so long.
	BatchReady(awaited <-chan struct{})
}

// Partition is one partition's queue: an open batch for new records, complete batches before their Take, and sealed
// ones with callbacks to run in order.
//
// mu guards all fields below it; for the lock order see [Accumulator].
type Partition struct {
	acc    *Accumulator
	topic  *Topic
	index  int32
	owner  Drainer
	holder holder // guarded by memory.mu

	mu         lockrank.Mutex[lockrank.AccumulatorPartition]
	open       *Batch
	openReady  bool        // the open batch may be taken: its linger is over, or somebody waits for it
	complete   list[Batch] // take no more records
	linger     *time.Timer
	lingering  bool // linger will fire
	closed     *record.Error
	active     bool // is in the accumulator's active list
	listed     bool // is in its list of lingering ones, or is being expedited
	clock      clock
	contention contention
	lastBytes  int // raw size and record count of the batch before: the probable need of the next one
	lastCount  int
	expect     int   // the probable number of records in the open batch
	lastMS     int64 // the timestamp of the record appended last
	unreported int   // bytes appended since AppendResult.Bytes reported some
	records    int   // accepted and without an outcome

	ordinals uint64 // batches ever opened; a batch's ordinal is its place in the order
	delivery delivery
	cancels  cancels
}

// Index returns the partition's number.
func (p *Partition) Index() int32 { return p.index }

// Topic returns the partition's topic.
func (p *Partition) Topic() string { return p.topic.name }

// Drainer returns the drainer made for this partition by the accumulator's NewDrainer.
func (p *Partition) Drainer() Drainer { return p.owner }

// SetBroker charges the partition's memory to a broker, or to [protocol.NoLeader].
func (p *Partition) SetBroker(id int32) { p.acc.memory.move(&p.holder, id) }

// Reserve waits until the partition has n bytes of buffer.memory, or until ctx ends; the error is then ctx's. While a
// Send waits, every batch is ready, regardless of linger. The caller gives unused bytes back with Unreserve. It fails
// at once when n is more than buffer.memory. From inside a callback it does not wait for other callbacks (see
// [CallbackDetector]).
func (p *Partition) Reserve(ctx context.Context, n int64) error {
	if n > p.acc.cfg.Memory {
		return p.tooLarge(n)
	}
	w, err := p.acc.memory.enqueue(&p.holder, n, p.acc.inside())
	if w == nil {
		return err
	}
	p.acc.expediteAll()
	return p.acc.memory.await(ctx, w)
}

// Unreserve gives back the rest of a reservation.
func (p *Partition) Unreserve(n int64) { p.acc.memory.release(&p.holder, n) }

// begunLocked lets a batch with its first record linger, or readies it.
func (p *Partition) begunLocked(then *deferred) {
	if p.acc.cfg.Linger <= 0 {
		p.openReady, then.ready = true, true
		return
	}
	// List the partition before the read of waiting: then a Send that begins to wait after the read finds the partition
	// in the list.
	if !p.listed {
		p.listed = true
		p.acc.list(p)
	}
	if p.acc.memory.waiting.Load() > 0 {
		p.openReady, then.ready = true, true
		return
	}
	p.lingerLocked(p.acc.cfg.Linger)
}

// completeLocked ends the open batch: it takes no more records and waits to be taken.
func (p *Partition) completeLocked(then *deferred) {
	p.lastBytes, p.lastCount = len(p.open.buf), int(p.open.appended)
	p.open.begin()
	p.complete.push(p.open, inComplete)
	p.open, p.openReady = nil, false
	p.idleLingerLocked()
	then.ready = true
}

// lingerLocked lets the open batch be ready after d. A running timer of an earlier batch is left alone: it will find
// this one and wait for the rest of its linger, or find none. Stopping it with each batch sent before its time would
// cost a synchronous sender more than a timer that fires for nothing.
func (p *Partition) lingerLocked(d time.Duration) {
	if p.lingering {
		return
	}
	p.lingering = true
	if p.linger == nil {
		p.linger = time.AfterFunc(d, weakly.Do(p, (*Partition).lingerOver))
		return
	}
	p.linger.Reset(d)
}

// idleLingerLocked stops the timer of a closed partition with nothing to linger.
func (p *Partition) idleLingerLocked() {
	if p.closed != nil && p.lingering && (p.open == nil || p.openReady) {
		p.linger.Stop()
		p.lingering = false
	}
}

func (p *Partition) lingerOver() {
	p.mu.Lock()
	p.lingering = false
	ready := false
	if p.open != nil && !p.openReady {
		if rest := p.acc.cfg.Linger - time.Since(p.open.Created); rest > 0 {
			p.lingerLocked(rest)
		} else {
			ready = p.expediteLocked()
		}
	}
	p.mu.Unlock()
	p.do(deferred{ready: ready})
}

// expediteLocked readies the open batch, and reports whether it was not ready before.
func (p *Partition) expediteLocked() bool {
	if p.open == nil || p.openReady {
		return false
	}
	p.openReady = true
	p.idleLingerLocked()
	return true
}

// expedite readies r's batch, if it is still open, for a caller waiting until awaited is closed.
func (p *Partition) expedite(r *Result, awaited <-chan struct{}) {
	p.mu.Lock()
	ready := p.open != nil && p.open.root == r && p.expediteLocked()
	p.mu.Unlock()
	p.do(deferred{ready: ready, awaited: awaited})
}

// expediteListed readies the open batch, whichever it is, of a partition taken off the list of lingering ones.
func (p *Partition) expediteListed() {
	p.mu.Lock()
	p.listed = false
	ready := p.expediteLocked()
	p.mu.Unlock()
	p.do(deferred{ready: ready})
}

// Ready reports whether Take would give a batch.
func (p *Partition) Ready() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.complete.n > 0 || p.openReady
}

// HasFullBatch reports whether a batch is complete, so waiting for its place in a request would add no record to it.
func (p *Partition) HasFullBatch() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.complete.n > 0
}

// Take seals the oldest ready batch and returns it, or nil. It has records: a batch with canceled records only has left
// the queue.
func (p *Partition) Take() *Batch {
	p.mu.Lock()
	b := p.takeLocked(p.openReady)
	p.mu.Unlock()
	if b != nil {
		b.seal()
	}
	return b
}

// takeLocked removes the oldest complete batch, or the open one if it may be taken.
func (p *Partition) takeLocked(open bool) *Batch {
	if p.complete.n == 0 {
		if p.open == nil || !open {
			return nil
		}
		p.completeLocked(&deferred{}) // the caller gets the batch, so the drainer needs no report
	}
	b := p.complete.first
	p.complete.remove(b, inComplete)
	b.root.count, b.root.unsealed = b.appended, nil
	return b
}

// oldestLocked returns the oldest untaken batch, or nil.
func (p *Partition) oldestLocked() *Batch {
	if p.complete.n > 0 {
		return p.complete.first
	}
	return p.open
}

// OldestQueued returns the creation time of the oldest untaken batch; ok is false when there is none.
func (p *Partition) OldestQueued() (created time.Time, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b := p.oldestLocked(); b != nil {
		return b.Created, true
	}
	return time.Time{}, false
}

// Queued returns how many batches were not taken yet, the open one among them.
func (p *Partition) Queued() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open != nil {
		return p.complete.n + 1
	}
	return p.complete.n
}

// ExpireQueued settles the untaken batches created up to until with err, and returns the number of their records. A
// zero until means all batches at the time of the call.
func (p *Partition) ExpireQueued(until time.Time, err *record.Error) (records int) {
	p.mu.Lock()
	through := p.ordinals
	p.mu.Unlock()
	for {
		var b *Batch
		p.mu.Lock()
		oldest := p.oldestLocked()
		if oldest != nil && oldest.root.ordinal <= through && (until.IsZero() || !oldest.Created.After(until)) {
			b = p.takeLocked(true)
		}
		p.mu.Unlock()
		if b == nil {
			return records
		}
		b.seal()
		records += int(b.Count)
		p.Settle(b, Outcome{BaseOffset: -1, LogAppendTime: -1, Err: err})
	}
}

// Close refuses further records with err.
func (p *Partition) Close(err *record.Error) {
	p.mu.Lock()
	p.closed = err
	p.idleLingerLocked()
	p.mu.Unlock()
}
