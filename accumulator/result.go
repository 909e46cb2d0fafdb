package accumulator

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gosamsa/samsa/internal/lockrank"
	"github.com/gosamsa/samsa/record"
)

// Outcome is the end of a batch: its place in the log, or its error.
type Outcome struct {
	// BaseOffset is the offset of the batch's first record, or -1 if it is unknown.
	BaseOffset int64
	// LogAppendTime is the broker's time for all records of the batch in milliseconds, or -1 if their own counts.
	LogAppendTime int64
	// Err is nil for an acknowledged batch.
	Err *record.Error
}

// Result is the shared state of one batch's futures. It is never pooled: a future may be asked at any time.
//
// mu guards what stands below it. Once settled is set, outcome, times, dropped and rebuilt do not change any more and
// are read without it. It is taken under Partition.mu, never the other way round.
type Result struct {
	acc     *Accumulator
	part    *Partition // nil for a record that never reached a batch
	settled atomic.Bool
	buffers int32 // the size of the batch's buffers when they were given back; guarded by Partition.mu

	mu         lockrank.Mutex[lockrank.AccumulatorResult]
	waits      waits
	remaining  int32 // records without an outcome; counts from the seal on
	outcome    Outcome
	times      timestamps  // grows under Partition.mu, and is read when the batch is sealed
	dropped    *droppedSet // canceled records; grows under Partition.mu too, until the seal leaves them out
	rebuilt    *rebuilt    // records with an outcome of their own
	dones      map[int32]chan struct{}
	asked      recordSet // records with an outcome asked for
	unobserved recordSet // failed records without a callback, not asked for

	// What follows belongs to the partition's delivery. It is guarded by Partition.mu, and by the goroutine that runs
	// the callbacks once the result is settled.
	unsealed  *Batch // while its records can be canceled
	callbacks callbacks
	ordinal   uint64
	order     links[Result]
	charge    int64 // its bytes in buffer.memory beside the batch's buffer
	count     int32
	called    int32 // the callbacks of the records before this one have run
	canceling int32 // canceled records before the return of their callback and interceptors
	acked     bool  // the interceptors of the next record have run, and its callback has not
	announced bool  // settled, and all waiters are woken
	delivered bool  // all of its callbacks have run, but for those of canceled records
	kept      bool  // charge is kept for callbacks
}

func inOrder(r *Result) *links[Result] { return &r.order }

// rebuilt has the outcomes of the records of a rebuilt batch.
type rebuilt struct {
	overrides []override  // by record
	outcomes  []exception // overrides point at these
}

// known reports whether record i has an outcome of its own.
func (x *rebuilt) known(i int32) bool { return x != nil && x.overrides[i].outcome > 0 }

// override is the outcome of one record with its own: the offset, and the place of the rest in outcomes, from 1 on.
type override struct {
	offset  int64
	outcome int32 // 0 while the record has none of its own
}

// exception is the shared outcome of all records in one part of a rebuilt batch, or the outcome of one blamed record.
type exception struct {
	appendTime int64
	err        *record.Error
}

// Settled returns the result of one record with a given outcome. It belongs to no accumulator.
func Settled(md record.RecordMetadata, err *record.Error) *Result {
	r := &Result{
		part:    &Partition{topic: &Topic{name: md.Topic}, index: md.Partition},
		outcome: Outcome{BaseOffset: md.Offset, LogAppendTime: -1, Err: err},
	}
	r.times.add(0, md.Timestamp.UnixMilli())
	r.settled.Store(true)
	return r
}

// Wait readies the batch of record i and waits for the record's outcome, or for ctx. After an error of ctx the record
// may be written: it is still on its way.
func (r *Result) Wait(ctx context.Context, i int32) (record.RecordMetadata, error) {
	for expedited := false; ; {
		changed := r.watch(i)
		if changed == nil {
			return r.takeOutcome(i)
		}
		if !expedited {
			// Only a real wait readies the batch: its neighbours may have longer to linger.
			r.part.expedite(r, lent(ctx, changed))
			expedited = true
			if r.settled.Load() {
				continue // after lending its goroutine the caller usually has the outcome
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if r.watch(i) == nil {
				return r.takeOutcome(i)
			}
			return r.unplaced(), r.unknown(ctx)
		}
	}
}

// unknown is the error of a wait ended before the record's outcome.
func (r *Result) unknown(ctx context.Context) *record.Error {
	detail := "the wait ended before the record's outcome was known"
	if why := r.part.whyPending(); why != "" {
		detail += ": " + why
	}
	return &record.Error{Topic: r.part.topic.name, Partition: r.part.index, Fate: record.FateMaybeWritten,
		Detail: detail, Err: ContextError(ctx)}
}

// lent returns changed if the owner may use the caller's goroutine until it is closed: not if the caller is about to
// go.
func lent(ctx context.Context, changed <-chan struct{}) <-chan struct{} {
	const soon = 5 * time.Millisecond
	if deadline, ok := ctx.Deadline(); ctx.Err() != nil || ok && time.Until(deadline) < soon {
		return nil
	}
	return changed
}

// watch returns a channel, closed at the next change, or nil when the outcome of record i is known.
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
	return r.waits.of(i)
}

// takeOutcome returns the known outcome of record i to its observer.
func (r *Result) takeOutcome(i int32) (record.RecordMetadata, error) {
	md, err := r.get(i)
	if err != nil {
		r.markObserved(i)
	}
	return md, plain(err)
}

// Done returns a channel, closed when record i has its outcome. Its caller listens: a failure counts as observed.
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
		r.markObserved(i)
	}
	return ch
}

func (r *Result) knownLocked(i int32) bool {
	return r.settled.Load() || r.dropped.has(i) || r.rebuilt.known(i)
}

// get returns the outcome of record i. It must be known.
func (r *Result) get(i int32) (md record.RecordMetadata, err *record.Error) {
	if r.settled.Load() {
		return r.read(i)
	}
	// The batch of a canceled record may be open, and its timestamps grow.
	r.part.mu.Lock()
	defer r.part.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.read(i)
}

// read returns the place of record i, and why it has none.
func (r *Result) read(i int32) (record.RecordMetadata, *record.Error) {
	if r.part == nil {
		return r.unplaced(), r.outcome.Err
	}
	offset, ms, err := r.place(i)
	if ms < 0 {
		ms = r.times.at(i)
	}
	return record.RecordMetadata{Topic: r.part.topic.name, Partition: r.part.index, Offset: offset,
		Timestamp: time.UnixMilli(ms)}, err
}

// place returns the offset of record i of a batch, the broker's timestamp, or -1 if its own counts, and its error.
func (r *Result) place(i int32) (offset, ms int64, err *record.Error) {
	switch o := &r.outcome; {
	case r.dropped.has(i):
		return -1, -1, r.dropped.err
	case r.rebuilt.known(i):
		own := r.rebuilt.overrides[i]
		x := &r.rebuilt.outcomes[own.outcome-1]
		return own.offset, x.appendTime, x.err
	case o.Err != nil || o.BaseOffset < 0:
		return -1, o.LogAppendTime, o.Err
	default:
		return o.BaseOffset + int64(i) - r.dropped.rank(i), o.LogAppendTime, nil
	}
}

// unplaced is the metadata of a record with only its partition known.
func (r *Result) unplaced() record.RecordMetadata {
	if r.part == nil {
		return record.RecordMetadata{Topic: r.outcome.Err.Topic, Partition: r.outcome.Err.Partition, Offset: -1}
	}
	return record.RecordMetadata{Topic: r.part.topic.name, Partition: r.part.index, Offset: -1}
}

// drop gives record i of an unsealed batch the outcome of a canceled one.
func (r *Result) drop(i int32) (w wakeup) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dropped == nil {
		r.dropped = &droppedSet{err: &record.Error{Topic: r.part.topic.name, Partition: r.part.index,
			Err: record.ErrCanceled}}
	}
	r.dropped.add(i)
	r.wakeLocked(i, &w)
	return w
}

// wakeLocked adds to w the channels of goroutines waiting for record i.
func (r *Result) wakeLocked(i int32, w *wakeup) {
	w.add(r.waits.take(i))
	w.add(r.dones[i])
	delete(r.dones, i)
}

// exceptions collects the outcomes of records with their own. Result.mu is held.
type exceptions struct {
	r *Result
	w wakeup
}

// add gives record i its outcome.
func (x *exceptions) add(i int32, offset int64, outcome int) {
	x.r.rebuilt.overrides[i] = override{offset: offset, outcome: int32(outcome)}
	x.r.remaining--
	x.r.wakeLocked(i, &x.w)
}

// end returns the goroutines to wake. When no record is left without an outcome, the result is settled; settled says so
// to one caller only.
func (x *exceptions) end() (w wakeup, settled bool) {
	settled = x.r.remaining == 0
	x.r.settled.Store(settled)
	return x.w, settled
}

// settlePart gives the records of a part of the batch their outcome; index has their numbers.
func (r *Result) settlePart(index []int32, o Outcome) (w wakeup, settled bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rebuilt.outcomes = append(r.rebuilt.outcomes, exception{appendTime: o.LogAppendTime, err: o.Err})
	x := exceptions{r: r}
	for j, i := range index {
		offset := int64(-1)
		if o.Err == nil && o.BaseOffset >= 0 {
			offset = o.BaseOffset + int64(j)
		}
		x.add(i, offset, len(r.rebuilt.outcomes))
	}
	return x.end()
}

// blamed is a record refused by the broker.
type blamed struct {
	index int32
	err   *record.Error
}

// reject fails records, each for its own reason.
func (r *Result) reject(records []blamed) (w wakeup, settled bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := exceptions{r: r}
	for _, one := range records {
		r.rebuilt.outcomes = append(r.rebuilt.outcomes, exception{appendTime: -1, err: one.err})
		x.add(one.index, -1, len(r.rebuilt.outcomes))
	}
	return x.end()
}

// settle gives every record without an outcome this one.
func (r *Result) settle(o Outcome) wakeup {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := wakeup{changed: r.waits.changed, rows: r.waits.others, dones: r.dones}
	r.waits, r.dones = waits{}, nil
	r.outcome = o
	r.remaining = 0
	r.settled.Store(true)
	return w
}

// failingLocked notes the failure of record i, and reports whether it has no listener: no callback, and no question for
// its outcome. mu and Partition.mu are held.
func (r *Result) failingLocked(i int32) (unobserved bool) {
	if r.callbacks.has(i) || r.asked.has(i) {
		return false
	}
	r.unobserved.add(i)
	return true
}

// markObserved notes a question for the outcome of record i: its failure does not count as unobserved any more.
func (r *Result) markObserved(i int32) {
	r.mu.Lock()
	counted := r.unobserved.has(i)
	r.unobserved.remove(i)
	r.mu.Unlock()
	if counted {
		r.acc.unobserved.Add(-1)
	}
}

// timestamps holds the records' own timestamps in milliseconds, as runs: at a high rate neighbours share theirs.
type timestamps struct {
	runs  []timeRun
	first [3]timeRun // the first memory of runs, enough for a few of them
}

type timeRun struct {
	from int32
	ms   int64
}

// takes reports whether the list has room for the timestamp of one more record.
func (t *timestamps) takes(ms int64) bool {
	n := len(t.runs)
	return n < max(cap(t.runs), len(t.first)) || t.runs[n-1].ms == ms
}

// add notes the timestamp of record i. The list has room for it.
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

// next is like at, for records in order: run is the run of the last one, at first 0.
func (t *timestamps) next(i int32, run *int) int64 {
	for *run+1 < len(t.runs) && t.runs[*run+1].from <= i {
		*run++
	}
	return t.runs[*run].ms
}
