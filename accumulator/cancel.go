package accumulator

import (
	"github.com/gosamsa/samsa/internal/fifo"
	"github.com/gosamsa/samsa/internal/lockrank"
)

// Cancel takes record i back if its batch is not sealed yet, and reports whether it did. The record's outcome is then
// ErrCanceled, not written. Its callback runs on a goroutine of the partition's. The other records of the batch keep
// theirs.
//
// With the last record of a batch its memory comes free, and the batch leaves the queue. While other records of the
// batch remain, its buffer stays as it is: the remaining records are in it, and the seal leaves the canceled ones out.
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
	c.free()
	if c.calls {
		p.queueCanceled(canceled{r, i})
	}
	return true
}

// cancellation is the rest of the work for a canceled record. Cancel does it without Partition.mu.
type cancellation struct {
	calls   bool   // a callback or interceptors wait for the outcome
	woken   wakeup // goroutines waiting for the record
	emptied *Batch // its batch, if no other record is left
	all     wakeup // goroutines waiting for any record of its batch
	end     conclusion
}

// free gives back the memory of an emptied batch, and then wakes the waiting goroutines.
func (c *cancellation) free() {
	if c.emptied != nil {
		c.emptied.end()
		c.emptied.Release()
	}
	wake(c.end.room)
	c.woken.call()
	c.all.call()
	closeAll(c.end.flushed)
}

// cancelLocked marks record i of r as taken back if its batch is still in the queue: the seal happens after it has
// left.
func (p *Partition) cancelLocked(r *Result, i int32) (c cancellation, ok bool) {
	b := r.unsealed
	if b == nil || r.dropped.has(i) {
		return c, false
	}
	c.woken = r.drop(i)
	called := r.callbacks.drop(i)
	if c.calls = called || p.acc.acknowledges; c.calls {
		r.canceling++
	}
	p.records--
	if r.dropped.count() == b.appended {
		p.emptyLocked(b, &c)
	}
	return c, true
}

// emptyLocked takes a batch with canceled records only out of the queue. The next record begins another batch. Its
// result keeps its place in the order until the callbacks of the canceled records have returned, for a flush waits for
// them.
func (p *Partition) emptyLocked(b *Batch, c *cancellation) {
	r := b.root
	if p.open == b {
		p.open, p.openReady = nil, false
		p.idleLingerLocked()
	} else {
		p.complete.remove(b, inComplete)
	}
	r.unsealed = nil
	r.addBuffer(b.size())
	c.emptied, c.all = b, r.settle(Outcome{BaseOffset: -1, LogAppendTime: -1})
	if r.canceling > 0 {
		c.end.room = p.keepLocked(r)
	}
	p.deliveredLocked(r, &c.end)
}

// canceled is a canceled record before the return of its callback and interceptors.
type canceled struct {
	result *Result
	index  int32
}

// cancels calls the callbacks of a partition's canceled records, in the order of the Cancels, on a transient goroutine
// of its own: a canceled record does not wait for the records before it, nor do later records wait for its callback.
// Partition.mu guards all fields.
type cancels struct {
	queue   fifo.Queue[canceled]
	running bool
	current int // 1 while a callback runs
}

// queueCanceled lets the callback of a canceled record run.
func (p *Partition) queueCanceled(one canceled) {
	p.mu.Lock()
	p.cancels.queue.Push(one)
	starts := !p.cancels.running
	p.cancels.running = true
	p.mu.Unlock()
	if starts {
		go p.runCanceled()
	}
}

// runCanceled is the goroutine for the callbacks of canceled records.
func (p *Partition) runCanceled() { p.acc.listener.Run(p.deliverCanceled) }

func (p *Partition) deliverCanceled() {
	returned := false
	defer func() {
		if !returned {
			go p.runCanceled() // a callback has ended its goroutine with runtime.Goexit
		}
	}()
	for one, callback, ok := p.nextCanceled(); ok; one, callback, ok = p.nextCanceled() {
		p.callCanceled(one, callback)
	}
	returned = true
}

// nextCanceled takes the oldest record off the queue. Without one the goroutine's work is done.
func (p *Partition) nextCanceled() (one canceled, callback Callback, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cancels.running = p.cancels.queue.Len() > 0
	if !p.cancels.running {
		return one, callback, false
	}
	p.cancels.current = 1
	one = p.cancels.queue.Pop()
	return one, one.result.callbacks.take(one.index), true
}

func (p *Partition) callCanceled(one canceled, callback Callback) {
	lockrank.AssertNone("a canceled record's callback")
	defer p.endCanceled(one.result)
	md, err := one.result.get(one.index)
	p.acc.call(callback, &md, err)
}

// endCanceled notes the return of the callback of a canceled record of r.
func (p *Partition) endCanceled(r *Result) {
	var c conclusion
	p.mu.Lock()
	p.cancels.current = 0
	if r.canceling--; r.delivered {
		p.endLocked(r, &c)
	}
	p.mu.Unlock()
	c.wake()
}
