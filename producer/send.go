package producer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gosamsa/samsa/accumulator"
	"github.com/gosamsa/samsa/internal/lockrank"
	"github.com/gosamsa/samsa/record"
)

// Send puts a record into the buffer and returns a Future for its outcome. If cb is not nil, the producer calls it once
// with the outcome, on a goroutine of its own and never inside Send (see [Callback]). When Send returns, the caller may
// reuse r and its bytes.
//
// Send waits while the topic's partitions are unknown or the buffer is full: at most MaxBlock in all, or until ctx
// ends. ctx bounds this wait only: the end of ctx does not affect a buffered record. If ctx is already done, Send fails
// without buffering the record. Every error comes through the Future and the callback. If Send fails, the Future has
// its outcome when Send returns. Such a Send also waits while too many callbacks of failed Sends have not returned,
// regardless of ctx and MaxBlock: see [Callback].
func (p *Producer) Send(ctx context.Context, r *Record, cb Callback) Future {
	if ctx != nil && ctx.Err() != nil {
		return p.failed(r, accumulator.Callback{One: cb}, &record.Error{Partition: -1,
			Err: accumulator.ContextError(ctx)})
	}
	callback := accumulator.Callback{One: cb}
	if t, part := p.fastPartition(r); part != nil {
		var a accumulator.AppendResult
		if part.Append(r, callback, nil, &a); a.Result != nil {
			if a.Bytes != 0 {
				p.appended(t, part.Index(), &a)
			}
			p.pace(&a)
			return Future{result: a.Result, index: a.Index}
		}
	}
	return p.sendWaiting(ctx, r, callback)
}

// sendWaiting is the slow path of Send: the record is unusual, or has to wait.
func (p *Producer) sendWaiting(ctx context.Context, r *Record, callback accumulator.Callback) Future {
	wait := budget{p: p, user: ctx}
	defer wait.end() // user code may call runtime.Goexit
	return p.send(&wait, r, callback)
}

// SendSync is Send and [Future.Get] in one call: it returns when the record has its outcome. ctx bounds both waits. If
// ctx ends first, SendSync returns the context's error: the record is not written if Send had not buffered it yet, and
// may be written otherwise ([FateMaybeWritten]). One goroutine in SendSync has one record in flight; the records of
// many goroutines share batches.
func (p *Producer) SendSync(ctx context.Context, r *Record) (RecordMetadata, error) {
	return p.Send(ctx, r, nil).Get(ctx)
}

// TrySend is a Send without a wait. While the topic's partitions are unknown it fails with [ErrMetadataTimeout] and
// requests them, so a later TrySend succeeds. If the last response called the topic unknown, it fails with
// [ErrUnknownTopic]. If the buffer is full, it fails with [ErrBufferFull]. All three are retriable and certainly not
// written. The callback of such a record runs later, as for any other record. With a callback or interceptors TrySend
// waits in one state, for at most ten seconds: while too many callbacks of failed Sends have not returned (see
// [Callback]).
func (p *Producer) TrySend(r *Record, cb Callback) Future {
	return p.send(nil, r, accumulator.Callback{One: cb})
}

// send does the work of Send; the caller ends the budget. With a nil budget, send does not wait.
func (p *Producer) send(wait *budget, r *Record, callback accumulator.Callback) Future {
	t, part, r, failed := p.place(wait, r)
	if failed != nil {
		return p.failed(r, callback, failed)
	}
	return p.append(wait, t, part, r, callback)
}

// fastPartition returns the partition of a usual record: of a known topic, without headers, timestamp and partition,
// far below every limit, with no interceptor and no user's partitioner. One function takes half the time of the checks
// of resolvePartition. If the result is nil, resolvePartition handles the record. Both choose with builtIn.
func (p *Producer) fastPartition(r *Record) (*topic, *accumulator.Partition) {
	if r == nil || p.asksUser || p.closed.Load() || len(r.Headers) > 0 || !r.Timestamp.IsZero() ||
		r.Partition != (Partition{}) ||
		uint(len(r.Key))+uint(len(r.Value)) >= p.smallRecord {
		return nil, nil
	}
	t := p.topic(r.Topic)
	if t == nil {
		return nil, nil
	}
	meta := t.meta.Load()
	if meta == nil || meta.former {
		return nil, nil
	}
	n := p.chooser.builtIn(r.Key, &meta.view, t.sticky)
	if n < 0 {
		return nil, nil
	}
	return t, t.acc.Lookup(n)
}

// place checks a record as the interceptors returned it, and chooses its partition.
func (p *Producer) place(wait *budget, r *Record) (*topic, *accumulator.Partition, *Record, *record.Error) {
	if t, part := p.fastPartition(r); part != nil {
		return t, part, r, nil
	}
	return p.resolvePartition(wait, r)
}

// resolvePartition does the work of place for every record that fastPartition leaves.
func (p *Producer) resolvePartition(wait *budget, r *Record) (*topic, *accumulator.Partition, *Record, *record.Error) {
	if r == nil {
		return nil, nil, r, &record.Error{Partition: -1, Err: record.ErrNilRecord}
	}
	if p.closed.Load() {
		return nil, nil, r, &record.Error{Topic: r.Topic, Partition: -1, Err: record.ErrClosed}
	}
	if !p.listener.chain.empty() {
		r = p.listener.chain.onSend(r)
	}
	if failed := p.checkRecord(r); failed != nil {
		return nil, nil, r, failed
	}
	if n, named := r.Partition.Number(); named && n < 0 {
		return nil, nil, r, noSuchPartition(r.Topic, p.topic(r.Topic), n)
	}
	t, failed := p.topicFor(wait, r.Topic)
	if failed != nil {
		return nil, nil, r, failed
	}
	meta := t.meta.Load()
	if meta == nil {
		// The producer forgot the topic after topicFor returned.
		return nil, nil, r, &record.Error{Topic: r.Topic, Partition: -1, Err: record.ErrMetadataTimeout}
	}
	n, failed := p.choose(wait, r, &meta.view, t.sticky)
	if _, named := r.Partition.Number(); named && n >= meta.view.partitions {
		failed = p.awaitPartition(wait, t, n)
	}
	if failed != nil {
		return nil, nil, r, failed
	}
	if part := t.acc.Partition(n); part != nil {
		return t, part, r, nil
	}
	t, part, failed := p.lookUpAgain(wait, r.Topic, n)
	return t, part, r, failed
}

// choose asks the partitioner. The user's partitioner may block; Close does not wait for it.
func (p *Producer) choose(wait *budget, r *Record, view *TopicView, sticky *stickyTopic) (int32, *record.Error) {
	if wait != nil && wait.ctx != nil && p.chooser.custom != nil {
		p.waiting.leave()
		defer p.waiting.enter()
	}
	return p.chooser.choose(r, view, sticky)
}

// lookUpAgain returns the partition after the producer forgot its topic: the topic then has a new object for it.
func (p *Producer) lookUpAgain(wait *budget, topic string, n int32) (*topic, *accumulator.Partition, *record.Error) {
	for {
		t, failed := p.topicFor(wait, topic)
		if failed != nil {
			return nil, nil, failed
		}
		if part := t.acc.Partition(n); part != nil {
			return t, part, nil
		}
		// letGo has closed the topic's partitions, and holds topicsMu until it has dropped the topic.
		p.topicsMu.Lock()
		p.topicsMu.Unlock() //nolint:staticcheck // waiting for letGo is the purpose
	}
}

// noSuchPartition refuses partition n of a topic; t is nil while the topic is not known.
func noSuchPartition(name string, t *topic, n int32) *record.Error {
	var details []string
	if n < 0 {
		// An Error cannot hold a negative partition, so the detail names it.
		details = append(details, fmt.Sprintf("%d is negative; to let the producer choose, set no Partition", n))
	}
	if t != nil {
		if meta := t.meta.Load(); meta != nil {
			details = append(details, fmt.Sprintf("the topic has %d partitions, from 0 on", meta.view.partitions))
		}
	}
	return &record.Error{Topic: shorten(name), Partition: n, Err: record.ErrInvalidPartition,
		Detail: strings.Join(details, "; ")}
}

// awaitPartition requests newer metadata, because the topic may have grown to include the record's partition.
func (p *Producer) awaitPartition(wait *budget, t *topic, n int32) *record.Error {
	// The loop waits twice, because the first change may come from an earlier request, or from the move of a single
	// leader.
	for range 2 {
		changed := *p.metadataChanged.Load()
		p.cluster.RefreshTopic(t.name)
		if wait == nil {
			break
		}
		select {
		case <-changed:
		case <-wait.context().Done():
			return p.metadataError(wait, t.name, p.noPartition(t.name, n))
		}
		if meta := t.meta.Load(); meta != nil && n < meta.view.partitions {
			return nil
		}
	}
	return noSuchPartition(t.name, t, n)
}

// append encodes the record into its partition's batch, waiting for room within the budget.
func (p *Producer) append(wait *budget, t *topic, part *accumulator.Partition, r *Record,
	callback accumulator.Callback) Future {
	var a accumulator.AppendResult
	part.Append(r, callback, nil, &a)
	for a.Result == nil {
		failed := p.appendLater(wait, part, r, callback, &a)
		if failed != nil && errors.Is(failed, accumulator.ErrForgotten) {
			if t, part, failed = p.lookUpAgain(wait, part.Topic(), part.Index()); failed == nil {
				part.Append(r, callback, nil, &a)
			}
		}
		if failed != nil {
			return p.failed(r, callback, failed)
		}
	}
	p.appended(t, part.Index(), &a)
	if wait != nil {
		p.pace(&a)
	}
	return Future{result: a.Result, index: a.Index}
}

// pace delays a Send briefly if its record may have filled a batch and many batches wait for the network.
func (p *Producer) pace(a *accumulator.AppendResult) {
	if a.Index == 0 || a.Complete {
		p.acc.ThrottleUnsent()
	}
}

// appendLater continues after an append found no room: it waits for room and appends, or returns why there is none.
func (p *Producer) appendLater(wait *budget, part *accumulator.Partition, r *Record, callback accumulator.Callback,
	a *accumulator.AppendResult) *record.Error {
	var grant int64
	if wait == nil && a.Shortfall > 0 {
		part.Append(r, callback, &grant, a)
	}
	for wait != nil && a.Shortfall > 0 {
		more := a.Shortfall - grant
		p.room.watch(p)
		if err := part.Reserve(wait.context(), more); err != nil {
			failed := p.bufferError(wait, part, err)
			if errors.Is(failed, record.ErrBufferFull) {
				part.Append(r, callback, &grant, a) // the free room may suffice although the wait asked for more
			}
			part.Unreserve(grant)
			if a.Result != nil {
				return nil
			}
			return failed
		}
		grant += more
		part.Append(r, callback, &grant, a)
	}
	part.Unreserve(grant)
	switch {
	case a.Err != nil:
		return &record.Error{Topic: part.Topic(), Partition: part.Index(), Err: a.Err.Err, Detail: a.Err.Detail}
	case a.Shortfall > 0:
		return &record.Error{
			Topic: part.Topic(), Partition: part.Index(), Err: record.ErrBufferFull,
			Detail: because(fmt.Sprintf("buffer.memory is %d", p.cfg.BufferMemory), part.WhyFull()),
		}
	}
	return nil
}

// appended counts the record's bytes in the sticky partitioner, and marks the topic's metadata as used.
func (p *Producer) appended(t *topic, partition int32, a *accumulator.AppendResult) {
	if a.Bytes == 0 {
		return
	}
	// The counted bytes include earlier records of other calls.
	t.sticky.appended(partition, a.Bytes, a.Complete, a.Contended)
	if a.Index == 0 {
		if meta := t.meta.Load(); meta != nil {
			meta.topic.Touch(time.Now())
		}
	}
}

// failed gives a record its outcome without buffering it.
func (p *Producer) failed(r *Record, callback accumulator.Callback, err *record.Error) Future {
	if err.Topic == "" && r != nil {
		err.Topic = shorten(r.Topic)
	}
	return Future{result: p.acc.Fail(err, callback)}
}

// bufferError returns the reason why there was no room.
func (p *Producer) bufferError(wait *budget, part *accumulator.Partition, err error) *record.Error {
	failed := &record.Error{Topic: part.Topic(), Partition: part.Index(), Err: record.ErrBufferFull}
	switch {
	case errors.Is(err, accumulator.ErrForgotten):
		failed.Err = err
	case errors.Is(err, record.ErrRecordTooLarge):
		failed.Err = err
	case errors.Is(err, record.ErrClosed):
		failed.Err = record.ErrClosed
	case wait.user != nil && wait.user.Err() != nil:
		failed.Err = accumulator.ContextError(wait.user)
		failed.Detail = because("while waiting for room in the buffer", part.WhyFull())
	default:
		detail := fmt.Sprintf("no room within max.block.ms of %v; buffer.memory is %d", p.cfg.MaxBlock,
			p.cfg.BufferMemory)
		failed.Detail = because(detail, part.WhyFull())
	}
	return failed
}

// budget bounds the waits of one call: by MaxBlock from the first wait on, by the caller's context, and by Close.
type budget struct {
	p    *Producer
	user context.Context // may be nil
	own  bool            // the deadline of user bounds the wait instead of MaxBlock
	ctx  context.Context
	stop func()
}

func (p *Producer) newBudget(ctx context.Context) *budget { return &budget{p: p, user: ctx} }

// newCall returns the budget of a call; MaxBlock bounds it only if its context has no deadline.
func (p *Producer) newCall(ctx context.Context) *budget {
	wait := p.newBudget(ctx)
	if ctx != nil {
		_, wait.own = ctx.Deadline()
	}
	return wait
}

// context returns the context of the waits. The first wait creates it, because most sends do not wait.
func (b *budget) context() context.Context {
	if b.ctx != nil {
		return b.ctx
	}
	b.p.waiting.enter()
	if b.user == nil {
		b.user = context.Background()
	}
	ctx, cancel := context.WithCancelCause(b.user)
	unhook := context.AfterFunc(b.p.closing, func() { cancel(record.ErrClosed) })
	cancelTimeout := func() {}
	if !b.own {
		ctx, cancelTimeout = context.WithTimeout(ctx, b.p.cfg.MaxBlock)
	}
	b.ctx = ctx
	b.stop = func() {
		b.p.waiting.leave()
		unhook()
		cancelTimeout()
		cancel(nil)
	}
	return ctx
}

func (b *budget) end() {
	if b.stop != nil {
		b.stop()
	}
}

// waitingCalls counts the calls that have begun to wait and have not returned. Close waits for these calls, so each of
// their records is appended or has failed before Close waits for the last outcome. No other lock is taken under mu.
type waitingCalls struct {
	mu   lockrank.Mutex[lockrank.ProducerWaiting]
	n    int
	none chan struct{} // closed when n is zero; nil without a waiting goroutine
}

func (w *waitingCalls) enter() {
	w.mu.Lock()
	w.n++
	w.mu.Unlock()
}

func (w *waitingCalls) leave() {
	w.mu.Lock()
	w.n--
	none := w.none
	if w.n > 0 {
		none = nil
	} else {
		w.none = nil
	}
	w.mu.Unlock()
	if none != nil {
		close(none)
	}
}

// wait returns when the count is zero, or when ctx ends.
func (w *waitingCalls) wait(ctx context.Context) error {
	w.mu.Lock()
	if w.n == 0 {
		w.mu.Unlock()
		return nil
	}
	if w.none == nil {
		w.none = make(chan struct{})
	}
	none := w.none
	w.mu.Unlock()
	select {
	case <-none:
		return nil
	case <-ctx.Done():
		return accumulator.ContextError(ctx)
	}
}
