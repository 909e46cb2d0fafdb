package accumulator

import (
	"sync/atomic"
	"time"

	"github.com/gosamsa/samsa/internal/fifo"
	"github.com/gosamsa/samsa/internal/lockrank"
	"github.com/gosamsa/samsa/record"
)

// delivery keeps a partition's batches in the order of sending, from their first record until their callbacks have run.
// It is guarded by Partition.mu. While the oldest one is settled and has callbacks to run, one transient goroutine runs
// them.
type delivery struct {
	order   list[Result] // a flush waits for these
	next    *Result      // the oldest batch with callbacks still to run
	work    func()       // the partition's deliverAll, to save an allocation each time
	running bool
	flushes fifo.Queue[flush]
	// position is the record of next with the running callback, or one of the positionStep records before it. The
	// callbacks' goroutine sets it without the lock.
	position atomic.Int32
}

// positionStep spares most records the store of their position: it takes as long as a seventh of a callback. After the
// beginning of Close every record's is stored.
const positionStep = 8

// flush waits for the batches up to an ordinal.
type flush struct {
	through uint64
	done    chan struct{}
}

// push puts a new batch at the end of the order.
func (d *delivery) push(r *Result) {
	d.order.push(r, inOrder)
	if d.next == nil {
		d.next = r
	}
}

// deliveredLocked notes the end of r's callbacks. Those of canceled records may still run.
func (p *Partition) deliveredLocked(r *Result, c *conclusion) {
	d := &p.delivery
	r.delivered = true
	for d.next != nil && d.next.delivered {
		d.next = d.next.order.next
	}
	p.endLocked(r, c)
}

// endLocked takes a delivered result off the account and out of the order when no callback of its canceled records is
// left.
func (p *Partition) endLocked(r *Result, c *conclusion) {
	if r.canceling > 0 {
		return
	}
	c.room = append(c.room, p.unchargeLocked(r)...)
	r.callbacks.release()
	p.delivery.order.remove(r, inOrder)
	c.flushed = append(c.flushed, p.quietLocked()...)
}

// Settle gives a batch its outcome: its memory is returned, futures are released, and then callbacks run in the order
// of sending, on a goroutine of the partition's own. The caller must not touch the batch afterwards, except for a
// Release after a Retain. A batch has one outcome; a second one is a mistake of the caller's and panics.
func (p *Partition) Settle(b *Batch, o Outcome) {
	b.end()
	if o.Err != nil {
		p.countUnobserved(b, o.Err, nil)
	}
	// A goroutine that sees the outcome also sees the memory free, unless a connection still holds the bytes, and the
	// records gone.
	buffer := b.size()
	b.Release()
	var woken wakeup
	settled := true
	if b.index == nil {
		p.forget(b, buffer)
		woken = b.root.settle(o)
	} else {
		p.forgetSome(b, len(b.index), buffer)
		woken, settled = b.root.settlePart(b.index, o)
	}
	woken.call()
	if o.Err == nil && b.Count > 0 {
		p.topic.raise()
	}
	if settled {
		p.settled(b.root)
	}
}

// forget takes the records of a whole batch off the records without an outcome. A batch without callbacks leaves the
// account here. buffer is the size of the batch's buffer.
func (p *Partition) forget(b *Batch, buffer int64) {
	p.mu.Lock()
	p.records -= int(b.Count)
	r := b.root
	r.addBuffer(buffer)
	var woken []*waiter
	if p.callsLocked(r) == 0 && r.canceling == 0 {
		r.addBuffer(r.charge)
		woken = p.unchargeLocked(r)
	}
	p.mu.Unlock()
	wake(woken)
}

// forgetSome takes n records of a rebuilt batch off the records without an outcome, and makes room for outcomes of
// their own.
func (p *Partition) forgetSome(b *Batch, n int, buffer int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.records -= n
	r := b.root
	r.addBuffer(buffer)
	r.mu.Lock()
	if r.rebuilt == nil {
		r.rebuilt = &rebuilt{overrides: make([]override, r.count)}
	}
	r.mu.Unlock()
	p.chargeLocked(r)
}

// settled continues with a settled result, after the wake-up of the goroutines waiting for its last records. It runs
// once for each result.
func (p *Partition) settled(r *Result) {
	p.mu.Lock()
	r.announced = true
	c := p.deliverLocked()
	if !r.delivered || r.canceling > 0 {
		c.room = append(c.room, p.keepLocked(r)...)
	}
	p.mu.Unlock()
	c.wake()
}

// countUnobserved counts failures without a listener, for a later report. With reasons, only those records of b have
// failed, each for its own reason.
func (p *Partition) countUnobserved(b *Batch, err *record.Error, reasons map[int32]*record.Error) {
	unobserved, root := 0, b.root
	p.mu.Lock()
	root.mu.Lock()
	b.each(func(j, i int32) {
		if reasons != nil {
			if reasons[j] == nil {
				return
			}
			err = reasons[j]
		}
		if root.failingLocked(i) {
			unobserved++
		}
	})
	root.mu.Unlock()
	p.mu.Unlock()
	if unobserved > 0 {
		p.acc.suspect(root, unobserved, err)
	}
}

// deliverLocked passes over settled batches without callbacks, and starts the goroutine at the first with one.
func (p *Partition) deliverLocked() (c conclusion) {
	d := &p.delivery
	for !d.running && d.settledHead() != nil {
		if p.callsLocked(d.next) > 0 {
			d.running = true
			go p.deliver()
			return c
		}
		p.finishLocked(&c)
	}
	return c
}

// settledHead returns the oldest batch if it is settled and its futures are released.
func (d *delivery) settledHead() *Result {
	if d.next == nil || !d.next.announced {
		return nil
	}
	return d.next
}

// deliver is the goroutine for a partition's callbacks.
func (p *Partition) deliver() { p.acc.listener.Run(p.delivery.work) }

// deliverAll runs the callbacks of settled batches until the head of the queue is not settled.
func (p *Partition) deliverAll() {
	returned := false
	defer func() {
		if !returned {
			// A callback has ended its goroutine with runtime.Goexit, as FailNow in a test does. The rest is not its to
			// lose.
			go p.deliver()
		}
	}()
	for r := p.nextDelivery(); r != nil; r = p.nextDelivery() {
		p.runCallbacks(r)
		var c conclusion
		p.mu.Lock()
		p.finishLocked(&c)
		p.mu.Unlock()
		c.wake()
	}
	returned = true
}

// nextDelivery returns the batch with the next callbacks. With nil the goroutine's work is done.
func (p *Partition) nextDelivery() *Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.delivery.settledHead()
	p.delivery.running = r != nil
	return r
}

// runCallbacks runs the interceptors and callbacks of a settled batch in the order of its records. A panic ends one
// callback; the others follow.
func (p *Partition) runCallbacks(r *Result) {
	lockrank.AssertNone("a callback")
	for r.called < r.count {
		p.runCallbacksUntilPanic(r)
	}
}

func (p *Partition) runCallbacksUntilPanic(r *Result) {
	defer p.acc.recovered()
	ms, at, run := int64(-1), time.Time{}, 0
	for r.called < r.count {
		i := r.called
		if r.dropped.has(i) {
			r.called++ // its callback ran when it was canceled
			continue
		}
		callback := r.callbacks.next(i)
		acknowledged := p.acc.acknowledges && !r.acked
		if callback.empty() && !acknowledged {
			r.called++
			r.acked = false
			continue
		}
		if i%positionStep == 0 || p.acc.closing.Load() {
			p.delivery.position.Store(i)
		}
		offset, stamp, err := r.place(i)
		if stamp < 0 {
			stamp = r.times.next(i, &run)
		}
		if stamp != ms { // neighbours mostly share it
			ms, at = stamp, time.UnixMilli(stamp)
		}
		// Metadata is large: to fill it in here, for each call, is cheaper than to copy it from another place.
		if acknowledged {
			r.acked = true // if an interceptor calls runtime.Goexit, the next goroutine goes on with the callback
			p.acc.listener.OnAcknowledgement(record.RecordMetadata{Topic: p.topic.name, Partition: p.index,
				Offset: offset, Timestamp: at}, plain(err))
		}
		r.called++
		r.acked = false
		if callback.One != nil {
			callback.One(record.RecordMetadata{Topic: p.topic.name, Partition: p.index, Offset: offset, Timestamp: at},
				plain(err))
		} else if callback.All != nil {
			(*callback.All)(callback.I, record.RecordMetadata{Topic: p.topic.name, Partition: p.index, Offset: offset,
				Timestamp: at}, plain(err))
		}
	}
}

// conclusion has the goroutines to wake after the end of batches: they wait for memory, or for a flush.
type conclusion struct {
	room    []*waiter
	flushed []chan struct{}
}

func (c *conclusion) wake() {
	wake(c.room)
	closeAll(c.flushed)
}

// finishLocked notes the end of the oldest batch, callbacks included, and takes it off the account.
func (p *Partition) finishLocked(c *conclusion) {
	p.delivery.position.Store(0)
	p.deliveredLocked(p.delivery.next, c)
}

// pendingCallbacks returns for how many records with an outcome callbacks or interceptors have not returned. If a
// callback has run since before Close, up to positionStep-1 returned ones count too.
func (p *Partition) pendingCallbacks() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := &p.delivery
	n = p.cancels.queue.Len() + p.cancels.current
	for r := d.next; r != nil; r = r.order.next {
		if r.settled.Load() && !r.delivered {
			n += int(p.callsLocked(r))
		}
	}
	if r := d.next; r != nil && d.running {
		for i := range d.position.Load() {
			if !r.dropped.has(i) && (p.acc.acknowledges || !r.callbacks.at(i).empty()) {
				n--
			}
		}
	}
	return n
}

// quietLocked finds the flushes that waited for the work just ended, and takes a partition with nothing outstanding off
// the accumulator's list of active ones.
func (p *Partition) quietLocked() (flushed []chan struct{}) {
	d := &p.delivery
	if p.active && d.order.n == 0 {
		p.active, p.listed = false, false
		p.acc.deactivate(p)
	}
	for d.flushes.Len() > 0 && d.done(d.flushes.At(0).through) {
		flushed = append(flushed, d.flushes.Pop().done)
	}
	return flushed
}

// done reports whether all batches up to an ordinal have left the order: their callbacks have returned, those of
// canceled records too.
func (d *delivery) done(through uint64) bool {
	return d.order.first == nil || d.order.first.ordinal > through
}

func closeAll(channels []chan struct{}) {
	for _, ch := range channels {
		close(ch)
	}
}

// startFlush readies everything accepted so far and returns a channel, closed when all of it is done, callbacks
// included; nil when nothing is outstanding.
func (p *Partition) startFlush() <-chan struct{} {
	p.mu.Lock()
	if !p.active {
		p.mu.Unlock()
		return nil
	}
	ready := p.expediteLocked()
	d := &p.delivery
	if n := d.flushes.Len(); n == 0 || d.flushes.At(n-1).through != p.ordinals {
		// Flushes with the same wait share one entry: the batches bound their number.
		d.flushes.Push(flush{through: p.ordinals, done: make(chan struct{})})
	}
	done := d.flushes.At(d.flushes.Len() - 1).done
	p.mu.Unlock()
	if ready {
		p.owner.BatchReady(nil)
	}
	return done
}
