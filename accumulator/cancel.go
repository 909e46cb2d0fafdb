package accumulator

import (
	"slices"

	"github.com/gosamsa/samsa/record"
)

// Cancel takes record i back if its batch is not sealed yet, and tells whether it did. The record's outcome is then
// ErrCancelled, not written; its callback runs before Cancel returns. The other records of the batch keep theirs.
func (r *Result) Cancel(i int32) bool {
	if r.part == nil || r.settled.Load() {
		return false
	}
	p := r.part
	p.mu.Lock()
	hook, woken, ok := p.cancelLocked(r, i)
	p.mu.Unlock()
	if !ok {
		return false
	}
	defer p.cancelled(r.ordinal)
	woken.call()
	if !hook.empty() || p.acc.acknowledges {
		p.acc.listener.Run(func() {
			md, err := r.get(i)
			p.acc.call(hook, &md, err)
		})
	}
	return true
}

// cancelLocked marks record i of r as taken back if its batch is still in the queue: the seal happens after it has left.
func (p *Partition) cancelLocked(r *Result, i int32) (hook Hook, woken wakeup, ok bool) {
	b := p.unsealedLocked(r)
	if b == nil {
		return Hook{}, wakeup{}, false
	}
	at, found := slices.BinarySearch(b.cancelled, i)
	if found {
		return Hook{}, wakeup{}, false
	}
	b.cancelled = slices.Insert(b.cancelled, at, i)
	err := &record.Error{Topic: p.topic.name, Partition: p.index, Err: record.ErrCancelled}
	woken, _ = r.except(map[int32]*exception{i: {offset: -1, appendTime: r.times.at(i), err: err}})
	p.records--
	p.delivery.cancelling = append(p.delivery.cancelling, r.ordinal)
	return r.hooks.take(i), woken, true
}

// unsealedLocked returns the batch of r if it was not taken yet.
func (p *Partition) unsealedLocked(r *Result) *Batch {
	if p.open != nil && p.open.root == r {
		return p.open
	}
	for k := range p.complete.Len() {
		if b := p.complete.At(k); b.root == r {
			return b
		}
	}
	return nil
}

// cancelled notes that the callback of a cancelled record has returned.
func (p *Partition) cancelled(ordinal uint64) {
	p.mu.Lock()
	d := &p.delivery
	at := slices.Index(d.cancelling, ordinal)
	d.cancelling = slices.Delete(d.cancelling, at, at+1)
	flushed := p.quietLocked()
	p.mu.Unlock()
	closeAll(flushed)
}
