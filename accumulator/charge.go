package accumulator

import "math"

// A batch has one account in buffer.memory. Its buffer, and what describes the batch, count from the first record until the buffer is given
// back. The lists of callbacks, timestamps and outcomes count from their allocation until the last callback and interceptor have returned: slow
// user code becomes backpressure, not growth. A result that only futures refer to is the user's memory.
//
// The sizes are those of a 64-bit platform.
const (
	// batchBytes is what describes a batch that has no outcome: the batch, its result, and what its owner knows of it.
	batchBytes = resultBytes + OwnerBytes
	// OwnerBytes is what the account counts for what the owner of a partition knows of a batch.
	OwnerBytes = 320
	// resultBytes is a settled batch that waits for callbacks, or behind a batch that does.
	resultBytes = 568
	// callBytes is a record whose callback or interceptors wait. It is less than the smallest record in a buffer.
	callBytes = 4
	// hookBytes is a plain callback. What it refers to is the user's, but only the producer keeps it.
	hookBytes = 64
	// sliceRunBytes is a row of records of one slice, and the callback that they share: rows may have one record each.
	sliceRunBytes = 48
	// The elements of other lists.
	indexBytes   = 4
	listBytes    = 8
	timeRunBytes = 16
	specialBytes = 16
	outcomeBytes = 16
)

// descriptionBytes returns how much a batch counts beside a buffer of that capacity. A buffer that takes the whole memory leaves nothing for it.
func (a *Accumulator) descriptionBytes(capacity int) int64 {
	return max(0, min(batchBytes, a.cfg.Memory-int64(capacity)))
}

// sizeLocked returns how many bytes r holds beside its batch's buffer. Partition.mu is held.
func (r *Result) sizeLocked() int64 {
	n := r.times.size() + r.hooks.size()
	if r.rebuilt != nil {
		r.mu.Lock()
		n += int64(cap(r.rebuilt.special))*specialBytes + int64(cap(r.rebuilt.outcomes))*outcomeBytes
		r.mu.Unlock()
	}
	return n
}

// chargeLocked counts the growth of r. It reports whether buffer.memory has room for that: if not, the batch takes no more records.
// The timestamps of an open batch count when they take more than half of its buffer: how many there are depends on the speed of the machine.
func (p *Partition) chargeLocked(r *Result) (within bool) {
	n := r.sizeLocked()
	if r.unsealed != nil {
		n = max(n-min(r.times.size(), int64(cap(*r.unsealed.box))/2), r.charge)
	}
	within = p.acc.memory.force(&p.holder, n-r.charge)
	r.charge = n
	return within
}

// keepLocked counts a settled result that waits for callbacks, with all its lists. Sends from inside callbacks do not wait for this memory.
// The result counts no more than its batch did before the outcome, so the account stays within the limit. The result of a very small batch
// is somewhat larger than that. The caller wakes the returned waiters when it holds no lock.
func (p *Partition) keepLocked(r *Result) (woken []*waiter) {
	before := int64(r.buffers) + r.charge
	r.hooks.paid = r.hooks.ones
	n := min(before, resultBytes+int64(p.callsLocked(r))*callBytes+r.sizeLocked())
	woken = p.acc.memory.keep(&p.holder, n, n-r.charge)
	r.charge, r.kept = n, true
	return woken
}

// addBuffer notes that n bytes of r's batch have left the account.
func (r *Result) addBuffer(n int64) { r.buffers = int32(min(int64(r.buffers)+n, math.MaxInt32)) }

// unchargeLocked takes r off the account. The caller wakes the returned waiters when it holds no lock.
func (p *Partition) unchargeLocked(r *Result) (woken []*waiter) {
	if r.charge == 0 {
		return nil
	}
	woken = p.acc.memory.drop(&p.holder, r.charge, r.kept)
	r.charge, r.kept = 0, false
	return woken
}

// callsLocked returns for how many of r's records a callback or interceptors are to be called.
func (p *Partition) callsLocked(r *Result) int32 {
	if p.acc.acknowledges {
		return r.count - r.dropped.count()
	}
	return r.hooks.n()
}
