package sender

import (
	"time"

	"github.com/gosamsa/samsa/accumulator"
	"github.com/gosamsa/samsa/record"
)

// This file is what happens to a partition's batches outside its turn: they are sealed, compressed and cut ahead of it, and
// built anew after an answer. It takes processor time, so workers do it.

// packAhead is how many full batches of one partition are compressed before they can be sent.
const packAhead = 4

// compressAheadLocked lets the workers compress full batches ahead of their turn.
func (p *partition) compressAheadLocked() {
	if p.s.cfg.Accumulator.Compressor == nil {
		return
	}
	for p.sealedQueue.Len() < packAhead && p.acc.HasFullBatch() {
		if !p.dequeueAndPrepareLocked() {
			return
		}
	}
}

// dequeueLocked seals the accumulator's next batch and puts it at the end of pack; nil when there is none.
func (p *partition) dequeueLocked() *outBatch {
	b := p.acc.Take()
	if b == nil {
		return nil
	}
	c := p.newOutBatch(b)
	p.sealedQueue.Push(c)
	return c
}

// dequeueAndPrepareLocked takes the next batch and sees to it that it is packed; it reports false when there is none.
func (p *partition) dequeueAndPrepareLocked() bool {
	c := p.dequeueLocked()
	if c == nil {
		return false
	}
	if p.s.cfg.Accumulator.Compressor == nil && p.acc.ExceedsTopicLimit(c.batch) == 0 {
		c.packed = true
	} else {
		p.s.workers.submit(func() { p.prepare(c) })
	}
	return true
}

func (p *partition) newOutBatch(b *accumulator.Batch) *outBatch {
	c := &outBatch{part: p, batch: b}
	c.state = batchState{count: b.Count, created: b.Created, sequence: noSequence, owner: c}
	return c
}

// prepare compresses a batch, and cuts it where it was made before the broker refused one of its size. It runs on a worker, or on the
// goroutine that has filled one of a topic's first batches.
func (p *partition) prepare(c *outBatch) {
	p.mu.Lock()
	abandoned := c.abandoned
	p.mu.Unlock()
	if abandoned != nil {
		p.settleUnsent(c, abandoned) // nobody wants its bytes any more
		return
	}
	p.compress(c.batch)
	done := []*outBatch{c}
	if target := p.acc.ExceedsTopicLimit(c.batch); target > 0 {
		if batches, err := p.acc.Split(c.batch, target); err == nil {
			done = p.packed(batches)
		} // else it goes as it is; the broker's answer decides
	}
	p.mu.Lock()
	for i := range done {
		done[i].packed = true
	}
	abandoned = c.abandoned
	for i, q := range p.sealedQueue.All() {
		if q == c {
			p.sealedQueue.Replace(i, done...)
			break
		}
	}
	if !p.stopped {
		p.scheduleLocked(time.Now())
		p.armLocked(c.state.created.Add(p.s.cfg.DeliveryTimeout))
	}
	p.mu.Unlock()
	if abandoned != nil {
		for _, c := range done {
			p.settleUnsent(c, abandoned)
		}
	}
}

// compress compresses a batch, if that is wanted.
func (p *partition) compress(b *accumulator.Batch) {
	if p.s.cfg.Accumulator.Compressor == nil {
		return
	}
	if err := b.Compress(); err != nil {
		// The codec failed; the batch goes as it is, which every broker takes.
		p.s.cfg.Logger.Error("cannot compress a batch, it is sent uncompressed", "topic", p.acc.Topic(), "partition", p.acc.Index(), "error", err)
	}
}

// packed makes outBatches of batches that stand in another one's place.
func (p *partition) packed(batches []*accumulator.Batch) []*outBatch {
	parts := make([]*outBatch, 0, len(batches))
	for _, b := range batches {
		p.compress(b)
		part := p.newOutBatch(b)
		part.packed = true
		parts = append(parts, part)
	}
	return parts
}

func (p *partition) settleUnsent(c *outBatch, err *record.Error) {
	p.acc.Settle(c.batch, accumulator.Outcome{BaseOffset: -1, LogAppendTime: -1, Err: err})
}

// rebuild replaces a batch by what is left of it, or by smaller ones. It runs on a worker.
func (p *partition) rebuild(c *outBatch, a action) {
	p.mu.Lock()
	if p.stopped {
		p.trace.replaced(&c.state, nil, p.delivery.replace(&c.state, nil))
		p.mu.Unlock()
		p.settleUnsent(c, p.closedError())
		return
	}
	p.mu.Unlock()
	var batches []*accumulator.Batch
	var err error
	if a.kind == actSplit {
		target := max(min(p.s.cfg.Accumulator.BatchSize, len(c.batch.Bytes())/2), 1)
		batches, err = p.acc.Split(c.batch, target)
	} else {
		var rest *accumulator.Batch
		if rest, err = p.acc.Reject(c.batch, a.blamed); rest != nil {
			batches = append(batches, rest)
		}
	}
	if err != nil {
		failure := a.err
		if failure == nil {
			failure = &record.Error{Topic: p.acc.Topic(), Partition: p.acc.Index(), Err: record.ErrBatchRejected, Detail: err.Error()}
		}
		p.acc.Settle(c.batch, accumulator.Outcome{BaseOffset: -1, LogAppendTime: -1, Err: failure})
		batches = nil
	}
	parts := make([]*batchState, 0, len(batches))
	for _, part := range p.packed(batches) {
		parts = append(parts, &part.state)
	}
	now := time.Now()
	p.mu.Lock()
	actions := p.delivery.replace(&c.state, parts)
	p.trace.replaced(&c.state, parts, actions)
	if p.stopped {
		ended := p.delivery.abort(record.ErrClosed)
		p.trace.aborted(record.ErrClosed, ended)
		actions = append(actions, ended...)
	} else {
		ended := p.delivery.tick(now) // its time may have passed meanwhile
		p.trace.ticked(now, ended)
		actions = append(actions, ended...)
		p.armLocked(c.state.created.Add(p.s.cfg.DeliveryTimeout))
	}
	p.unlockAndApply(actions, now)
}
