package accumulator

import (
	"fmt"

	"github.com/gosamsa/samsa/record"
)

// AppendResult is the result of an append.
type AppendResult struct {
	// Result and Index are the record's place in its batch.
	Result *Result
	Index  int32
	// Bytes is the growth of the partition's batches since the last report. Reports cover some records each: a count of
	// every record in one place would make many goroutines wait for each other at every record.
	Bytes int
	// Complete reports that the record's batch takes no more.
	Complete bool
	// Contended reports that many of the last records had to wait for other appends to the same partition. It is
	// reported once, with Bytes.
	Contended bool
	// Shortfall is how many bytes must be reserved first, if there was no room; nothing was appended. An Append with a
	// grant of as much succeeds, unless the partition was closed.
	Shortfall int64
	// Err is why the partition takes no records any more, or never this one; nothing was appended.
	Err *record.Error
}

// Append encodes r into the open batch. It never blocks: without room it says how much must be reserved first (see
// [Partition.Reserve]). grant is such a reservation, and the append takes its use off it. With a nil grant Append wants
// room for a batch of the recent size: batches in the last free bytes of scarce memory would be many and small, and
// small batches make brokers slow and memory scarce. With a grant, even of 0 bytes, it takes any free memory. Append
// puts its result into a: returning and copying so large a value costs as much as encoding a small record.
func (p *Partition) Append(r *record.Record, callback Callback, grant *int64, a *AppendResult) {
	var then deferred
	*a = AppendResult{}
	waited := !p.mu.TryLock()
	if waited {
		p.mu.Lock()
	}
	p.contention.count(waited)
	p.appendLocked(r, callback, grant, a, &then)
	p.mu.Unlock()
	if then.ready || then.free > 0 {
		p.do(then)
	}
}

// AppendAll appends n records in order under one lock, until one cannot be appended: pick gives record k, and done gets
// its result, valid during the call. Both run under the lock, and must not call back. It returns how many were
// appended.
func (p *Partition) AppendAll(n int, pick func(k int) (*record.Record, Callback),
	done func(k int, a *AppendResult)) (appended int) {
	var then deferred
	var a AppendResult
	p.mu.Lock()
	p.clock.free = 0 // the first of them does not share a reading with records before
	for appended < n {
		a = AppendResult{}
		r, callback := pick(appended)
		p.appendLocked(r, callback, nil, &a, &then)
		if a.Result == nil {
			break
		}
		done(appended, &a)
		appended++
	}
	p.mu.Unlock()
	p.do(then)
	return appended
}

// deferred is the work left for the time when Partition.mu is free again.
type deferred struct {
	ready   bool            // there is a batch to take
	awaited <-chan struct{} // the caller waits for it
	free    int64           // bytes to give back
}

func (p *Partition) do(then deferred) {
	if then.free > 0 {
		p.acc.memory.release(&p.holder, then.free)
	}
	if then.ready {
		p.owner.BatchReady(then.awaited)
	}
}

func (p *Partition) appendLocked(r *record.Record, callback Callback, grant *int64, a *AppendResult, then *deferred) {
	if p.closed != nil {
		a.Err = p.closed
		return
	}
	shared := p.tickLocked()
	ms, b, limit := p.timestampLocked(r), p.open, p.topic.rawLimit()
	// A shared reading of the clock was compared with the end of the batch's time when it was made.
	if b != nil && (!shared || !b.surelyTakes(r, limit)) && !p.takesLocked(r, ms, limit, callback, grant, a, then) {
		if a.Shortfall > 0 {
			return
		}
		b = nil
	}
	if b != nil && (!b.root.times.takes(ms) || !callback.empty() && !b.root.callbacks.takes(b.appended, callback)) &&
		!p.makeRoomLocked(ms, callback, grant) {
		b = nil
	}
	if b == nil {
		if p.clock.used > 0 {
			// A batch's age begins when it begins, not some records before.
			p.readClockLocked()
			ms = p.timestampLocked(r)
		}
		size := record.RecordSize(0, 0, r.Key, r.Value, r.Headers)
		if b = p.beginLocked(size, limit, callback, grant, a, then); b == nil {
			return
		}
		if !callback.empty() {
			p.makeRoomLocked(ms, callback, grant)
		}
		b.baseTime, b.maxTime = ms, ms
		p.unreported += record.BatchHeaderSize
	}
	i, before := b.appended, len(b.buf)
	b.buf = record.AppendRecord(b.buf, i, ms-b.baseTime, r.Key, r.Value, r.Headers)
	b.appended++
	b.maxTime = max(b.maxTime, ms)
	if ms != p.lastMS || i == 0 {
		b.root.times.add(i, ms)
		p.lastMS = ms
	}
	switch h := &b.root.callbacks; {
	case callback.One != nil:
		h.addOne(i, callback.One)
	case callback.All != nil:
		h.addToSlice(i, callback)
	}
	p.records++
	a.Result, a.Index = b.root, i
	p.unreported += len(b.buf) - before
	if len(b.buf) >= limit {
		p.completeLocked(then)
		a.Complete = true
	} else if i == 0 {
		p.begunLocked(then)
	}
	if a.Complete || i == 0 || p.unreported >= p.acc.cfg.BatchSize/unreportedPart {
		a.Bytes, p.unreported = p.unreported, 0
		a.Contended, p.contention.much = p.contention.much, false
	}
}

// unreportedPart: AppendResult.Bytes may be late by this part of a batch.
const unreportedPart = 16

// surelyTakes reports whether the open batch has room for a record with any encoding of its lengths. If it says no,
// takesLocked knows.
func (b *Batch) surelyTakes(r *record.Record, limit int) bool {
	return len(r.Headers) == 0 && len(b.buf)+len(r.Key)+len(r.Value)+record.MaxRecordOverhead <= min(limit, cap(b.buf))
}

// takesLocked reports whether the open batch takes a record. A batch without hope of room is completed. If the batch
// had to grow, and the caller has no grant, a has the shortfall.
func (p *Partition) takesLocked(r *record.Record, ms int64, limit int, callback Callback, grant *int64, a *AppendResult,
	then *deferred) bool {
	b := p.open
	n := len(b.buf) + record.RecordSize(b.appended, ms-b.baseTime, r.Key, r.Value, r.Headers)
	if n > limit || p.clock.last.After(b.until) {
		p.completeLocked(then)
		return false
	}
	return n <= cap(b.buf) || p.growLocked(n, limit, callback, grant, a, then)
}

// growLocked replaces the open batch's buffer by one for n bytes, if there is room for it.
func (p *Partition) growLocked(n, limit int, callback Callback, grant *int64, a *AppendResult, then *deferred) bool {
	b := p.open
	twice := min(2*int64(cap(b.buf)), int64(limit))
	capacity := p.acc.capacityFor(int(max(int64(n), twice)))
	// The old buffer stays counted until its bytes are copied.
	if !p.reserveLocked(int64(capacity), grant) {
		if grant == nil {
			// Enough for another batch too, if this one is complete by then.
			a.Shortfall = int64(capacity) + batchBytes + callback.size()
		}
		return false
	}
	box := p.acc.buffers.get(capacity)
	b.buf = append(*box, b.buf...)
	then.free += int64(cap(*b.box))
	p.acc.buffers.put(b.box)
	b.box = box
	return true
}

// beginLocked opens a batch for a first record of size bytes. Without room for it, the open one stays.
func (p *Partition) beginLocked(size, limit int, callback Callback, grant *int64, a *AppendResult,
	then *deferred) *Batch {
	least := p.acc.capacityFor(size + record.BatchHeaderSize)
	if int64(least) > p.acc.cfg.Memory {
		a.Err = p.tooLarge(int64(least))
		return nil
	}
	capacity := p.firstCapacityLocked(least, limit)
	if need := p.acc.beginningBytes(capacity, callback); !p.reserveLocked(need, grant) {
		a.Shortfall = need
		if grant == nil {
			return nil
		}
		capacity = max(least, int(*grant-batchBytes-callback.size()))
		if !p.reserveLocked(p.acc.beginningBytes(capacity, callback), grant) {
			return nil
		}
		a.Shortfall = 0
	}
	if p.open != nil {
		p.completeLocked(then)
	}
	p.ordinals++
	both := &opened{result: Result{acc: p.acc, part: p, ordinal: p.ordinals}}
	b := &both.batch
	p.initBatch(b, p.clock.last, &both.result, capacity)
	b.until = p.clock.last.Add(p.acc.cfg.MaxSpan)
	b.root.unsealed = b
	b.root.charge = p.acc.beginningBytes(capacity, callback) - int64(capacity) - int64(b.extra)
	p.delivery.push(b.root)
	p.open = b
	if p.expect = p.lastCount; capacity < p.lastBytes {
		p.expect = int(int64(p.lastCount) * int64(capacity) / int64(p.lastBytes))
	}
	if !p.active {
		p.active = true
		p.acc.activate(p)
	}
	return b
}

// opened is a batch and its result. They begin at the same time: one allocation instead of two. A future may outlive
// its batch and then keeps both, without the batch's buffer.
type opened struct {
	result Result
	batch  Batch
}

// firstCapacityLocked returns the first capacity of a batch. The batch before is the estimate of its size, but the
// batch gets this size at once only if as much for every partition in use is within half of the memory: ten thousand
// partitions with a record each must fit, regardless of their earlier sizes.
func (p *Partition) firstCapacityLocked(least, limit int) int {
	capacity := max(least, p.acc.capacityFor(min(p.lastBytes, limit)))
	if int64(capacity)*(p.acc.inUse.Load()+1) > p.acc.cfg.Memory/2 {
		return least
	}
	return capacity
}

// reserveLocked takes n bytes from the grant and, beyond the grant, from the memory.
func (p *Partition) reserveLocked(n int64, grant *int64) bool {
	if grant == nil {
		return p.acc.memory.try(&p.holder, n)
	}
	granted := min(n, *grant)
	if n > granted && !p.acc.memory.try(&p.holder, n-granted) {
		return false
	}
	*grant -= granted
	return true
}

func (p *Partition) tooLarge(n int64) *record.Error {
	return &record.Error{
		Topic: p.topic.name, Partition: p.index, Err: record.ErrRecordTooLarge,
		Detail: fmt.Sprintf("it takes %d bytes; buffer.memory is %d", n, p.acc.cfg.Memory),
	}
}
