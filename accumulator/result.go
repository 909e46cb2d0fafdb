package accumulator

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gosamsa/samsa/record"
)

// Outcome is what became of a batch.
type Outcome struct {
	// BaseOffset is the offset of the batch's first record, or -1 where it is not known.
	BaseOffset int64
	// LogAppendTime is the broker's time for all records of the batch in milliseconds, or -1 where their own counts.
	LogAppendTime int64
	// Err is nil for an acknowledged batch.
	Err *record.Error
}

// Result is what the futures of one batch point at. It is never pooled: a future may be asked at any time.
//
// mu guards what stands below it. Once settled is set, outcome, times, dropped and special do not change any more and are
// read without it. It is taken under Partition.mu, never the other way round.
type Result struct {
	acc     *Accumulator
	part    *Partition // nil for a record that never reached a batch
	settled atomic.Bool

	mu        sync.Mutex
	changed   chan struct{} // made by a waiter, closed at every change
	remaining int32         // records without an outcome; counts from the seal on
	outcome   Outcome
	times     timestamps           // grows under Partition.mu, and is read when the batch is sealed
	dropped   []int32              // records that the seal left out, ascending
	special   map[int32]*exception // records whose outcome is not the batch's
	dones     map[int32]chan struct{}
	asked     recordSet // records whose outcome somebody has asked for
	unheard   recordSet // failed records without a callback that nobody has asked for

	// What follows belongs to the partition's delivery. It is guarded by Partition.mu, and by the goroutine that runs the
	// callbacks once the result is settled.
	hooks   hooks
	ordinal uint64
	count   int32
	told    bool  // settled, and everybody who waited was woken
	called  int32 // the callbacks of the records before this one have run
	acked   int32 // the interceptors of the records before this one have run
	kept    int64 // what the callbacks count in buffer.memory
}

// exception is the outcome of one record that does not share its batch's.
type exception struct {
	offset     int64
	appendTime int64
	err        *record.Error
}

// Fail returns a result that is settled with err, for a record that never reached a batch. Its callback runs before Fail
// returns.
func (a *Accumulator) Fail(err *record.Error, hook Hook) *Result {
	r := &Result{acc: a, outcome: Outcome{BaseOffset: -1, LogAppendTime: -1, Err: err}}
	r.settled.Store(true)
	if hook.empty() {
		r.unheard.add(0)
		a.suspect(r, 1, err)
	}
	if !hook.empty() || a.acknowledges {
		a.listener.Run(func() {
			md := r.unplaced()
			a.call(hook, &md, err)
		})
	}
	return r
}

// Wait readies the batch of record i and waits for that record's outcome, or for ctx. An error of ctx says that the record
// may be written: it is still on its way.
func (r *Result) Wait(ctx context.Context, i int32) (record.Metadata, error) {
	for expedited := false; ; {
		changed := r.watch(i)
		if changed == nil {
			return r.tell(i)
		}
		if !expedited {
			// Only who must wait readies the batch: its neighbours may have longer to linger.
			r.part.expedite(r, lent(ctx, changed))
			expedited = true
			if r.settled.Load() {
				continue // who has lent the goroutine mostly has the outcome by then
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if r.watch(i) == nil {
				return r.tell(i)
			}
			return r.unplaced(), r.unknown(ctx)
		}
	}
}

// unknown is the error of a wait that ended before the record had its outcome.
func (r *Result) unknown(ctx context.Context) *record.Error {
	detail := "the wait ended before the record's outcome was known"
	if why := r.part.whyPending(); why != "" {
		detail += ": " + why
	}
	return &record.Error{Topic: r.part.topic.name, Partition: r.part.index, MaybeWritten: true, Detail: detail, Err: contextError(ctx)}
}

// lent returns changed if the caller may be made use of until that is closed: not if it is about to go.
func lent(ctx context.Context, changed <-chan struct{}) <-chan struct{} {
	const soon = 5 * time.Millisecond
	if deadline, ok := ctx.Deadline(); ctx.Err() != nil || ok && time.Until(deadline) < soon {
		return nil
	}
	return changed
}

// watch returns a channel that is closed at the next change, or nil when the outcome of record i is known.
func (r *Result) watch(i int32) <-chan struct{} {
	if r.settled.Load() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.knownLocked(i) {
		return nil
	}
	r.asked.add(i)
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return r.changed
}

// tell returns the outcome of record i, which is known, to somebody who has asked for it.
func (r *Result) tell(i int32) (record.Metadata, error) {
	md, err := r.get(i)
	if err != nil {
		r.hear(i)
	}
	return md, plain(err)
}

// Done returns a channel that is closed when record i has its outcome. Whoever asks for it listens: a failure counts as
// heard.
func (r *Result) Done(i int32) <-chan struct{} {
	r.mu.Lock()
	known := r.knownLocked(i)
	ch := r.dones[i]
	if ch == nil {
		ch = make(chan struct{})
	}
	if !known {
		r.asked.add(i)
		if r.dones == nil {
			r.dones = make(map[int32]chan struct{})
		}
		r.dones[i] = ch
	}
	r.mu.Unlock()
	if known {
		close(ch)
		r.hear(i)
	}
	return ch
}

func (r *Result) knownLocked(i int32) bool { return r.settled.Load() || r.special[i] != nil }

// get returns the outcome of record i, which must be known.
func (r *Result) get(i int32) (md record.Metadata, err *record.Error) {
	if r.settled.Load() {
		return r.read(i)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.read(i)
}

// read returns the place of record i, and why it has none.
func (r *Result) read(i int32) (record.Metadata, *record.Error) {
	if r.part == nil {
		return r.unplaced(), r.outcome.Err
	}
	offset, ms, err := r.place(i)
	if ms < 0 {
		ms = r.times.at(i)
	}
	return record.Metadata{Topic: r.part.topic.name, Partition: r.part.index, Offset: offset, Timestamp: time.UnixMilli(ms)}, err
}

// place returns the offset of record i, which was in a batch, the timestamp that the broker gave it, or -1 where its own counts, and its
// error.
func (r *Result) place(i int32) (offset, ms int64, err *record.Error) {
	offset, ms, err = r.outcome.BaseOffset, r.outcome.LogAppendTime, r.outcome.Err
	if len(r.special) > 0 && r.special[i] != nil {
		x := r.special[i]
		offset, ms, err = x.offset, x.appendTime, x.err
	} else if err != nil {
		offset = -1
	} else if offset >= 0 {
		offset += int64(i) - r.droppedBefore(i)
	}
	return offset, ms, err
}

// unplaced is the metadata of a record of which no more than the partition is known.
func (r *Result) unplaced() record.Metadata {
	if r.part == nil {
		return record.Metadata{Topic: r.outcome.Err.Topic, Partition: r.outcome.Err.Partition, Offset: -1}
	}
	return record.Metadata{Topic: r.part.topic.name, Partition: r.part.index, Offset: -1}
}

// wakeup is who waits for what has just been decided. It is collected under Result.mu, and called when no lock is held.
type wakeup struct {
	changed chan struct{}
	dones   map[int32]chan struct{}
}

func (w wakeup) call() {
	if w.changed != nil {
		close(w.changed)
	}
	for _, ch := range w.dones {
		close(ch)
	}
}

// except gives records that have none yet outcomes of their own. When no record is left without one, the result is settled
// with that; settled says so to one caller only.
func (r *Result) except(outcomes map[int32]*exception) (w wakeup, settled bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.special == nil {
		r.special = make(map[int32]*exception, len(outcomes))
	}
	w.changed, r.changed = r.changed, nil
	for i, x := range outcomes {
		r.special[i] = x
		r.remaining--
		if ch := r.dones[i]; ch != nil {
			if w.dones == nil {
				w.dones = make(map[int32]chan struct{})
			}
			w.dones[i] = ch
			delete(r.dones, i)
		}
	}
	settled = r.remaining == 0
	r.settled.Store(settled)
	return w, settled
}

// settle gives every record without an outcome this one.
func (r *Result) settle(o Outcome) wakeup {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := wakeup{changed: r.changed, dones: r.dones}
	r.changed, r.dones = nil, nil
	r.outcome = o
	r.remaining = 0
	r.settled.Store(true)
	return w
}

// droppedBefore returns how many records before i were taken back. The result is settled.
func (r *Result) droppedBefore(i int32) int64 {
	if len(r.dropped) == 0 {
		return 0 // as nearly always, and it is asked for every record
	}
	n, _ := slices.BinarySearch(r.dropped, i)
	return int64(n)
}

// isCancelled tells whether record i was taken back, so that its callback has run. The result is settled.
func (r *Result) isCancelled(i int32) bool {
	_, found := slices.BinarySearch(r.dropped, i)
	return found
}

// failingLocked notes that record i is about to fail, and tells whether nobody listens: it has no callback, and nobody has asked.
// mu and Partition.mu are held.
func (r *Result) failingLocked(i int32) (unheard bool) {
	if r.hooks.has(i) || r.asked.has(i) {
		return false
	}
	r.unheard.add(i)
	return true
}

// hear notes that somebody has asked for the outcome of record i: its failure does not count as unheard any more.
func (r *Result) hear(i int32) {
	r.mu.Lock()
	counted := r.unheard.has(i)
	r.unheard.remove(i)
	r.mu.Unlock()
	if counted {
		r.acc.unheard.Add(-1)
	}
}

// timestamps holds the records' own timestamps in milliseconds, as runs: at a high rate neighbours share theirs.
type timestamps struct {
	runs  []timeRun
	first [3]timeRun // where runs begins, so that few of them take no memory of their own
}

type timeRun struct {
	from int32
	ms   int64
}

func (t *timestamps) add(i int32, ms int64) {
	n := len(t.runs)
	if n > 0 && t.runs[n-1].ms == ms {
		return
	}
	if n == 0 {
		t.runs = t.first[:0]
	}
	t.runs = append(t.runs, timeRun{from: i, ms: ms})
}

func (t *timestamps) at(i int32) int64 {
	if len(t.runs) == 1 || i < t.runs[1].from {
		return t.runs[0].ms
	}
	k, found := slices.BinarySearchFunc(t.runs, i, func(run timeRun, i int32) int { return int(run.from - i) })
	if !found {
		k--
	}
	return t.runs[k].ms
}

// next is like at, for records that are asked for in order: run is where the last one was, at first 0.
func (t *timestamps) next(i int32, run *int) int64 {
	for *run+1 < len(t.runs) && t.runs[*run+1].from <= i {
		*run++
	}
	return t.runs[*run].ms
}
