package accumulator

import (
	"time"

	"github.com/gosamsa/samsa/internal/fifo"
	"github.com/gosamsa/samsa/record"
)

// delivery keeps a partition's sealed batches in the order of sending until their callbacks have run. It is guarded by
// Partition.mu. While a batch at its head has callbacks to run, one transient goroutine runs them.
type delivery struct {
	queue    fifo.Queue[*Result]
	work     func() // the partition's deliverAll, which would be an allocation each time
	running  bool
	finished uint64 // every batch up to this ordinal is done, its callbacks included
	flushes  []flush
	// cancelling holds the batches of cancelled records whose callbacks run now, by their ordinals: a flush waits for them too.
	cancelling []uint64
}

type flush struct {
	through uint64
	done    chan struct{}
}

// Settle gives a batch its outcome: its memory is returned, futures are released, and then callbacks run in the order of
// sending, on a goroutine of the partition's own. The batch must not be touched afterwards but for a Release that answers a
// Hold. A batch has one outcome; a second one is a mistake of the caller's and panics.
func (p *Partition) Settle(b *Batch, o Outcome) {
	b.end()
	if o.Err != nil {
		p.countUnheard(b, o.Err, nil)
	}
	// Whoever sees the outcome also sees the memory free, unless a connection still holds the bytes, and the records gone.
	b.Release()
	p.forget(int(b.Count))
	var woken wakeup
	settled := true
	if b.index == nil {
		woken = b.root.settle(o)
	} else {
		woken, settled = b.root.except(b.eachOutcome(o))
	}
	woken.call()
	if o.Err == nil && b.Count > 0 {
		p.topic.raise()
	}
	if settled {
		p.told(b.root)
	}
}

// forget takes n records off those that have no outcome.
func (p *Partition) forget(n int) {
	p.mu.Lock()
	p.records -= n
	p.mu.Unlock()
}

// told goes on with a result that was settled, after those were woken who wait for its last records. It is called once.
func (p *Partition) told(r *Result) {
	p.mu.Lock()
	if r.hooks.n > 0 {
		// What waits for its callback counts a little, so that slow callbacks become backpressure, not growth.
		r.kept = int64(r.hooks.n) * hookBytes
		p.acc.memory.keep(&p.holder, r.kept, r.kept)
	}
	r.told = true
	flushed := p.deliverLocked()
	p.mu.Unlock()
	closeAll(flushed)
}

// eachOutcome is the outcome of each record of a batch that holds only some of its root's.
func (b *Batch) eachOutcome(o Outcome) map[int32]*exception {
	all := make(map[int32]*exception, len(b.index))
	for j, i := range b.index {
		x := &exception{offset: -1, appendTime: o.LogAppendTime, err: o.Err}
		if o.Err == nil && o.BaseOffset >= 0 {
			x.offset = o.BaseOffset + int64(j)
		}
		all[i] = x
	}
	return all
}

// countUnheard counts failures that nobody listens for, which are reported later. With blamed, only those records of b have failed, each
// for its own reason.
func (p *Partition) countUnheard(b *Batch, err *record.Error, blamed map[int32]*record.Error) {
	unheard, root := 0, b.root
	p.mu.Lock()
	root.mu.Lock()
	for j := range b.Count {
		if blamed != nil {
			if blamed[j] == nil {
				continue
			}
			err = blamed[j]
		}
		if root.failingLocked(b.indexOf(j)) {
			unheard++
		}
	}
	root.mu.Unlock()
	p.mu.Unlock()
	if unheard > 0 {
		p.acc.suspect(root, unheard, err)
	}
}

// deliverLocked passes over settled batches that have nothing to call, and starts the goroutine at the first that has.
func (p *Partition) deliverLocked() (flushed []chan struct{}) {
	d := &p.delivery
	for !d.running && d.settledHead() != nil {
		if d.settledHead().hooks.n > 0 || p.acc.acknowledges {
			d.running = true
			go p.deliver()
			return flushed
		}
		flushed = append(flushed, p.finishLocked()...)
	}
	return flushed
}

// settledHead returns the oldest batch if it is settled and its futures are released.
func (d *delivery) settledHead() *Result {
	if d.queue.Len() == 0 || !d.queue.At(0).told {
		return nil
	}
	return d.queue.At(0)
}

// deliver is the goroutine that runs a partition's callbacks.
func (p *Partition) deliver() { p.acc.listener.Run(p.delivery.work) }

// deliverAll runs the callbacks of settled batches until the head of the queue is not settled.
func (p *Partition) deliverAll() {
	returned := false
	defer func() {
		if !returned {
			// A callback has ended its goroutine with runtime.Goexit, as FailNow in a test does. The rest is not its to lose.
			go p.deliver()
		}
	}()
	for r := p.nextDelivery(); r != nil; r = p.nextDelivery() {
		p.runHooks(r)
		if r.kept > 0 {
			wake(p.acc.memory.drop(&p.holder, r.kept, true))
		}
		p.mu.Lock()
		flushed := p.finishLocked()
		p.mu.Unlock()
		closeAll(flushed)
	}
	returned = true
}

// nextDelivery returns the batch whose callbacks run next. With nil the goroutine's work is done.
func (p *Partition) nextDelivery() *Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.delivery.settledHead()
	p.delivery.running = r != nil
	return r
}

// runHooks runs the interceptors and callbacks of a settled batch in the order of its records. A panic ends one callback; the others
// follow.
func (p *Partition) runHooks(r *Result) {
	for r.called < r.count {
		p.runHooksUntilPanic(r)
	}
}

func (p *Partition) runHooksUntilPanic(r *Result) {
	defer p.acc.recovered()
	ms, at, run := int64(-1), time.Time{}, 0
	for r.called < r.count {
		i := r.called
		hook := r.hooks.next(i)
		acknowledged := p.acc.acknowledges && r.acked <= i && !r.isCancelled(i)
		if hook.empty() && !acknowledged {
			r.called++
			continue
		}
		offset, stamp, err := r.place(i)
		if stamp < 0 {
			stamp = r.times.next(i, &run)
		}
		if stamp != ms { // neighbours mostly share it
			ms, at = stamp, time.UnixMilli(stamp)
		}
		// Metadata is large: to fill it in here, for each call, is cheaper than to copy it from where it was filled in.
		if acknowledged {
			r.acked = i + 1 // if an interceptor calls runtime.Goexit, the next goroutine goes on with the callback
			p.acc.listener.OnAcknowledgement(record.Metadata{Topic: p.topic.name, Partition: p.index, Offset: offset, Timestamp: at}, plain(err))
		}
		r.called++
		if hook.One != nil {
			hook.One(record.Metadata{Topic: p.topic.name, Partition: p.index, Offset: offset, Timestamp: at}, plain(err))
		} else if hook.All != nil {
			(*hook.All)(hook.I, record.Metadata{Topic: p.topic.name, Partition: p.index, Offset: offset, Timestamp: at}, plain(err))
		}
	}
}

// finishLocked notes that the batch at the head is done, callbacks included, and returns the flushes that end with it.
func (p *Partition) finishLocked() (flushed []chan struct{}) {
	r := p.delivery.queue.Pop()
	r.hooks.release()
	p.delivery.finished = r.ordinal
	return p.quietLocked()
}

// quietLocked looks who waited for what has just ended: flushes, and the accumulator's list of active partitions, which one
// with nothing outstanding leaves.
func (p *Partition) quietLocked() (flushed []chan struct{}) {
	d := &p.delivery
	if p.active && d.finished == p.ordinals && len(d.cancelling) == 0 {
		p.active, p.listed = false, false
		p.acc.deactivate(p)
	}
	stay := d.flushes[:0]
	for _, f := range d.flushes {
		if d.done(f.through) {
			flushed = append(flushed, f.done)
		} else {
			stay = append(stay, f)
		}
	}
	clear(d.flushes[len(stay):])
	d.flushes = stay
	return flushed
}

// done tells whether everything up to a batch is done, and the callbacks of its cancelled records too.
func (d *delivery) done(through uint64) bool {
	if through > d.finished {
		return false
	}
	for _, ordinal := range d.cancelling {
		if ordinal <= through {
			return false
		}
	}
	return true
}

func closeAll(channels []chan struct{}) {
	for _, ch := range channels {
		close(ch)
	}
}

// startFlush readies everything accepted so far and returns a channel that is closed when all of it is done, callbacks
// included; nil when nothing is outstanding.
func (p *Partition) startFlush() <-chan struct{} {
	p.mu.Lock()
	if !p.active {
		p.mu.Unlock()
		return nil
	}
	ready := p.expediteLocked()
	d := &p.delivery
	if n := len(d.flushes); n == 0 || d.flushes[n-1].through != p.ordinals {
		// Flushes that wait for the same share one entry: their number is bounded by the batches.
		d.flushes = append(d.flushes, flush{through: p.ordinals, done: make(chan struct{})})
	}
	done := d.flushes[len(d.flushes)-1].done
	p.mu.Unlock()
	if ready {
		p.owner.BatchReady(nil)
	}
	return done
}
