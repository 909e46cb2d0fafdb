package accumulator

import (
	"time"

	"github.com/gosamsa/samsa/internal/fifo"
	"github.com/gosamsa/samsa/internal/lockrank"
	"github.com/gosamsa/samsa/record"
)

const (
	// refusedBytes is the charge on buffer.memory for a refused record with waiting callback or interceptors: the
	// callback, and the error with its text.
	refusedBytes = 256
	// refusedShare of buffer.memory is for refused records. A hanging callback of theirs leaves the rest to the other
	// records.
	refusedShare = 4
	// refusedWait is the longest wait of a Send for such callbacks. A hanging callback slows refused Sends down to one
	// in this time for each goroutine, so the queue grows by a few bytes a second, and no Send hangs.
	refusedWait = 10 * time.Second
)

// refusals are the records that failed before they were appended and whose callbacks have not returned. One transient
// goroutine calls these callbacks in the order of the Sends. mu guards what stands below it, and is a leaf.
//
// The number of waiting callbacks is bounded: a Send with at least most of them before its record returns when enough
// of them have returned. It waits after its record has joined the queue, so the order stays, and each waiting goroutine
// adds one record at most. Only refusedWait bounds the wait, for with an ended context, or with max.block.ms=0, Sends
// would make the queue longer at once. A Send from inside such a callback never waits, for it would wait for itself.
type refusals struct {
	most   int // the most records waiting or running before a Send waits
	run    func(work func())
	inside func() bool // reports whether the caller is a callback of a refused record
	work   func()

	mu      lockrank.Mutex[lockrank.AccumulatorRefusals]
	queue   fifo.Queue[refusal]
	running bool
	pushed  uint64 // records ever refused with somebody to call
	ended   uint64 // of these: their callbacks have returned
	flushes fifo.Queue[flush]
}

// refusal is a refused record. room, if not nil, is closed when the record is among the first most.
type refusal struct {
	callback Callback
	err      *record.Error
	room     chan struct{}
}

func (a *Accumulator) initRefusals() {
	a.refusals.most = int(max(1, a.cfg.Memory/refusedShare/refusedBytes))
	a.refusals.run, a.refusals.inside, a.refusals.work = a.listener.Run, a.inside, a.deliverRefused
	if l, ok := a.listener.(RefusedListener); ok {
		a.refusals.run, a.refusals.inside = l.RunRefused, l.InRefusedCallback
	}
}

// Fail returns a result settled with err, for a record outside all batches. Its callback runs on a goroutine of the
// accumulator's. Fail waits while the callbacks of too many such records have not returned, but not inside of one.
func (a *Accumulator) Fail(err *record.Error, callback Callback) *Result {
	r := &Result{acc: a, outcome: Outcome{BaseOffset: -1, LogAppendTime: -1, Err: err}}
	r.settled.Store(true)
	if callback.empty() {
		r.unobserved.add(0)
		a.suspect(r, 1, err)
	}
	if !callback.empty() || a.acknowledges {
		a.refuse(refusal{callback: callback, err: err})
	}
	return r
}

// refuse puts a record into the queue.
func (a *Accumulator) refuse(one refusal) {
	a.memory.refuse(refusedBytes)
	q := &a.refusals
	q.mu.Lock()
	if q.pushed-q.ended >= uint64(q.most) {
		one.room = make(chan struct{})
	}
	q.queue.Push(one)
	q.pushed++
	starts := !q.running
	q.running = true
	q.mu.Unlock()
	if starts {
		go a.runRefused()
	}
	if one.room != nil && !q.inside() {
		timer := time.NewTimer(refusedWait)
		defer timer.Stop()
		select {
		case <-one.room:
		case <-timer.C:
		}
	}
}

// runRefused is the goroutine for the callbacks of refused records.
func (a *Accumulator) runRefused() { a.refusals.run(a.refusals.work) }

func (a *Accumulator) deliverRefused() {
	returned := false
	defer func() {
		if !returned {
			go a.runRefused() // a callback has ended its goroutine with runtime.Goexit
		}
	}()
	for one, ok := a.refusals.next(); ok; one, ok = a.refusals.next() {
		a.callRefused(one)
	}
	returned = true
}

// next takes the oldest record off the queue. Without one the goroutine's work is done.
func (q *refusals) next() (one refusal, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running = q.queue.Len() > 0
	if !q.running {
		return one, false
	}
	return q.queue.Pop(), true
}

func (a *Accumulator) callRefused(one refusal) {
	lockrank.AssertNone("a refused record's callback")
	defer a.endRefusal()
	md := record.RecordMetadata{Topic: one.err.Topic, Partition: one.err.Partition, Offset: -1}
	a.call(one.callback, &md, one.err)
}

// endRefusal notes the return of the callback of the oldest refused record.
func (a *Accumulator) endRefusal() {
	wake(a.memory.refuse(-refusedBytes))
	q := &a.refusals
	var ready []chan struct{}
	q.mu.Lock()
	q.ended++
	// No record is called now, so the queue has all of them.
	if last := q.most - 1; last < q.queue.Len() {
		if room := q.queue.At(last).room; room != nil {
			ready = append(ready, room)
		}
	}
	for q.flushes.Len() > 0 && q.flushes.At(0).through <= q.ended {
		ready = append(ready, q.flushes.Pop().done)
	}
	q.mu.Unlock()
	closeAll(ready)
}

// flush returns a channel, closed when the callbacks of all records refused so far have returned; nil when they have.
func (q *refusals) flush() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.pushed == q.ended {
		return nil
	}
	if n := q.flushes.Len(); n == 0 || q.flushes.At(n-1).through != q.pushed {
		q.flushes.Push(flush{through: q.pushed, done: make(chan struct{})})
	}
	return q.flushes.At(q.flushes.Len() - 1).done
}

// pending returns for how many refused records callbacks or interceptors have not returned.
func (q *refusals) pending() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return int(q.pushed - q.ended)
}
