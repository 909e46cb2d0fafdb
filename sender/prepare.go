package sender

import (
	"time"

	"github.com/gosamsa/samsa/accumulator"
	"github.com/gosamsa/samsa/internal/delivery"
	"github.com/gosamsa/samsa/record"
)

// Workers prepare batches, because that takes processor time: they compress and split batches before the first request,
// and rebuild batches after a response.

// packAhead is how many full batches of one partition are compressed before they can be sent.
const packAhead = 4

// compressAheadLocked lets the workers compress full batches before the partition can send them.
func (p *partition) compressAheadLocked() {
	if p.s.cfg.Accumulator.Compressor == nil {
		return
	}
	for len(p.delivery.Unsent()) < packAhead && p.acc.HasFullBatch() {
		c := (*unsealed)(p).sealAndPrepare()
		if c == nil {
			return
		}
		p.delivery.Sealed(&c.state)
	}
}

// unsealed is a partition as the source of its delivery core. The caller of the core holds p.mu.
type unsealed partition

// Ready reports whether the accumulator has a batch to seal.
func (u *unsealed) Ready() bool { return u.acc.Ready() }

// Seal takes the accumulator's next batch, and has it prepared.
func (u *unsealed) Seal() *delivery.Batch {
	if c := u.sealAndPrepare(); c != nil {
		return &c.state
	}
	return nil
}

// sealAndPrepare takes the accumulator's next batch; nil if there is none. A worker prepares it if needed.
func (u *unsealed) sealAndPrepare() *outBatch {
	p := (*partition)(u)
	c := p.sealLocked()
	if c != nil && c.state.State() == delivery.Preparing {
		p.s.workers.submit(func() { p.prepare(c) })
	}
	return c
}

// sealLocked takes the accumulator's next batch; nil if there is none. The core does not have it yet.
func (p *partition) sealLocked() *outBatch {
	b := p.acc.Take()
	if b == nil {
		return nil
	}
	size := 0
	if p.s.cfg.Accumulator.Compressor == nil && p.acc.ExceedsTopicLimit(b) == 0 {
		size = len(b.Bytes())
	}
	c := p.newOutBatch(b, size)
	p.trace.sealed(c, size)
	return c
}

func (p *partition) newOutBatch(b *accumulator.Batch, size int) *outBatch {
	c := &outBatch{part: p, batch: b}
	c.state = delivery.NewBatch(b.Count, size, b.Created, c)
	return c
}

// prepare compresses a batch, and splits it if the broker has refused its size since its beginning. It runs on a
// worker, or on the goroutine that has filled one of a topic's first batches.
func (p *partition) prepare(c *outBatch) {
	var parts []*delivery.Batch
	if !p.hasStopped() { // otherwise the batch is of no use any more
		p.compress(c.batch)
		if target := p.acc.ExceedsTopicLimit(c.batch); target > 0 {
			if batches, err := p.acc.Split(c.batch, target); err == nil {
				parts = p.prepared(batches)
			} // otherwise the client sends it as it is, and the broker's response decides
		}
	}
	p.mu.Lock()
	if parts == nil {
		p.delivery.Prepared(&c.state, len(c.batch.Bytes()))
		p.trace.prepared(p, c)
	} else {
		p.delivery.Replaced(&c.state, parts)
		p.trace.replaced(p, c, parts)
	}
	p.armDeadlineLocked()
	p.unlockAndApply(time.Now())
}

func (p *partition) hasStopped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopped
}

// compress compresses a batch, if the configuration has a codec.
func (p *partition) compress(b *accumulator.Batch) {
	if p.s.cfg.Accumulator.Compressor == nil {
		return
	}
	if err := b.Compress(); err != nil {
		// The codec failed. The client sends the uncompressed batch; every broker accepts it.
		p.s.cfg.Logger.Error("cannot compress a batch, it is sent uncompressed", "topic", p.acc.Topic(),
			"partition", p.acc.Index(), "error", err)
	}
}

// prepared returns the batches as parts for the place of another batch.
func (p *partition) prepared(batches []*accumulator.Batch) []*delivery.Batch {
	parts := make([]*delivery.Batch, 0, len(batches))
	for _, b := range batches {
		p.compress(b)
		parts = append(parts, &p.newOutBatch(b, len(b.Bytes())).state)
	}
	return parts
}

func (p *partition) settleFailed(c *outBatch, err *record.Error) {
	p.acc.Settle(c.batch, accumulator.Outcome{BaseOffset: -1, LogAppendTime: -1, Err: err})
}

// rebuildLocked gives a batch to a worker for the outcome Rejected or TooLarge.
func (p *partition) rebuildLocked(o delivery.Outcome) {
	p.s.workers.submit(func() { p.rebuild(o) })
}

// rebuild replaces a batch by the rest of its records, or by smaller batches. It runs on a worker.
func (p *partition) rebuild(o delivery.Outcome) {
	c := o.Batch.Owner().(*outBatch)
	var batches []*accumulator.Batch
	var err error
	failure := o.Err
	switch {
	case p.hasStopped():
		err = record.ErrClosed
		failure = &record.Error{Topic: p.acc.Topic(), Partition: p.acc.Index(), Err: record.ErrClosed}
	case o.Kind == delivery.TooLarge:
		target := max(min(p.s.cfg.Accumulator.BatchSize, len(c.batch.Bytes())/2), 1)
		batches, err = p.acc.Split(c.batch, target)
	default:
		var rest *accumulator.Batch
		if rest, err = p.acc.Reject(c.batch, o.Blamed); rest != nil {
			batches = append(batches, rest)
		}
	}
	if err != nil {
		if failure == nil {
			failure = &record.Error{Topic: p.acc.Topic(), Partition: p.acc.Index(), Err: record.ErrBatchRejected,
				Detail: err.Error()}
		}
		p.settleFailed(c, failure)
		batches = nil
	}
	parts := p.prepared(batches)
	now := time.Now()
	p.mu.Lock()
	p.delivery.Replaced(&c.state, parts)
	p.trace.replaced(p, c, parts)
	p.delivery.Tick(now) // its time may have passed meanwhile
	p.trace.ticked(p, now)
	p.armDeadlineLocked()
	p.unlockAndApply(now)
}
