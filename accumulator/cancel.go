package accumulator

// Cancel takes record i back if its batch is not sealed yet, and tells whether it did. The record's outcome is then
// ErrCancelled, not written; its callback runs before Cancel returns. The other records of the batch keep theirs.
//
// With the last record of a batch its memory comes free, and the batch leaves the queue. While other records of the batch remain, its buffer
// stays as it is: the remaining records are in it, and the seal leaves the cancelled ones out.
func (r *Result) Cancel(i int32) bool {
	if r.part == nil || r.settled.Load() {
		return false
	}
	p := r.part
	p.mu.Lock()
	c, ok := p.cancelLocked(r, i)
	p.mu.Unlock()
	if !ok {
		return false
	}
	defer p.cancelled(r)
	c.free()
	if !c.hook.empty() || p.acc.acknowledges {
		p.acc.listener.Run(func() {
			md, err := r.get(i)
			p.acc.call(c.hook, &md, err)
		})
	}
	return true
}

// cancellation is the rest of the work for a cancelled record. Cancel does it without Partition.mu.
type cancellation struct {
	hook    Hook
	woken   wakeup // goroutines that wait for the record
	emptied *Batch // its batch, if no other record is left
	all     wakeup // goroutines that wait for any record of that batch
	room    []*waiter
}

// free gives back the memory of an emptied batch, and then wakes the waiting goroutines.
func (c *cancellation) free() {
	if c.emptied != nil {
		c.emptied.end()
		c.emptied.Release()
		wake(c.room)
	}
	c.woken.call()
	c.all.call()
}

// cancelLocked marks record i of r as taken back if its batch is still in the queue: the seal happens after it has left.
func (p *Partition) cancelLocked(r *Result, i int32) (c cancellation, ok bool) {
	b := r.unsealed
	if b == nil || r.dropped.has(i) {
		return c, false
	}
	c.woken = r.drop(i)
	c.hook = r.hooks.take(i)
	p.records--
	r.cancelling++
	if r.dropped.count() == b.appended {
		p.emptyLocked(b, &c)
	}
	return c, true
}

// emptyLocked takes a batch whose records are all cancelled out of the queue. The next record begins another batch. Its result keeps its place
// in the order until the callbacks of the cancelled records have returned, for a flush waits for them.
func (p *Partition) emptyLocked(b *Batch, c *cancellation) {
	r := b.root
	if p.open == b {
		p.open, p.openReady = nil, false
		p.idleLingerLocked()
	} else {
		p.complete.remove(b, inComplete)
	}
	r.unsealed = nil
	c.emptied, c.all = b, r.settle(Outcome{BaseOffset: -1, LogAppendTime: -1})
	r.hooks.release()
	c.room = p.unchargeLocked(r)
	p.delivery.delivered(r)
}

// cancelled notes that the callback of a cancelled record has returned.
func (p *Partition) cancelled(r *Result) {
	p.mu.Lock()
	if r.cancelling--; r.cancelling == 0 && r.delivered {
		p.delivery.order.remove(r, inOrder)
	}
	flushed := p.quietLocked()
	p.mu.Unlock()
	closeAll(flushed)
}
