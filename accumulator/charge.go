package accumulator

import "math"

// A batch has one account in buffer.memory. Its buffer and its description count from the first record until the buffer
// is given back. The lists of callbacks, timestamps and outcomes count from their allocation until the last callback
// and interceptor have returned: slow user code becomes backpressure, not growth. A result referenced only by futures
// is the user's memory.
//
// The sizes are those of a 64-bit platform.
const (
	// batchBytes is the description of a batch without an outcome: the batch, its result, and the owner's state of it.
	batchBytes = resultBytes + DrainerBytes
	// DrainerBytes is the account's charge for the state of a batch in the owner of a partition.
	DrainerBytes = 320
	// resultBytes is a settled batch waiting for callbacks, its own or those of a batch before it.
	resultBytes = 568
	// callBytes is a record with waiting callback or interceptors. It is less than the smallest record in a buffer.
	callBytes = 4
	// canceledBytes is a canceled record with waiting callback or interceptors. Until its batch is sealed, its bytes in
	// the buffer count too.
	canceledBytes = 16
	// callbackBytes is a plain callback. Its closure is the user's, but only the producer keeps it.
	callbackBytes = 64
	// sliceRunBytes is a row of records of one slice, and their shared callback: rows may have one record each.
	sliceRunBytes = 48
	// The elements of other lists.
	indexBytes    = 4
	listBytes     = 8
	timeRunBytes  = 16
	overrideBytes = 16
	outcomeBytes  = 16
)

// descriptionBytes returns how much a batch counts beside a buffer of the given capacity. A buffer as large as the
// whole memory leaves nothing for it.
func (a *Accumulator) descriptionBytes(capacity int) int64 {
	return max(0, min(batchBytes, a.cfg.Memory-int64(capacity)))
}

// beginningBytes returns how much a new batch counts, with a buffer of the given capacity and a record with this
// callback.
func (a *Accumulator) beginningBytes(capacity int, callback Callback) int64 {
	n := int64(capacity) + a.descriptionBytes(capacity)
	return n + max(0, min(callback.size(), a.cfg.Memory-n))
}

// size returns how many bytes h takes in the lists of a batch with it as the first callback.
func (h Callback) size() int64 {
	switch {
	case h.One != nil:
		return 1<<minListBits*listBytes + callbackBytes
	case h.All != nil:
		return sliceRunBytes
	}
	return 0
}

// room is how many elements the lists of a batch have room for.
type room struct {
	times int // runs of timestamps
	ones  int // plain callbacks
	paid  int // plain callbacks counted with their closures, now and soon
	runs  int // runs of slices
}

// room returns how much there is.
func (r *Result) room() room {
	return room{times: cap(r.times.runs), ones: cap(r.callbacks.one), paid: int(r.callbacks.paid),
		runs: cap(r.callbacks.all)}
}

// size returns how many bytes the lists count. Callbacks are the user's, but the producer keeps them.
func (m room) size() int64 { return m.timesSize() + m.callbacksSize() }

func (m room) callbacksSize() int64 {
	return int64(m.ones)*listBytes + int64(m.paid)*callbackBytes + int64(m.runs)*sliceRunBytes
}

// timesSize returns how many bytes of their own the timestamps take.
func (m room) timesSize() int64 {
	if m.times <= len(timestamps{}.first) {
		return 0
	}
	return int64(m.times) * timeRunBytes
}

// openSize is size for an open batch with a buffer of the given capacity. Its timestamps count when they take more than
// half of the buffer: how many there are depends on the speed of the machine.
func (m room) openSize(capacity int) int64 {
	return m.callbacksSize() + max(0, m.timesSize()-int64(capacity)/2)
}

// least returns the room for the next record of the batch.
func (r *Result) least(i int32, ms int64, callback Callback) room {
	m := r.room()
	if !r.times.takes(ms) {
		m.times = max(m.times, len(r.times.runs)+1)
	}
	if h := &r.callbacks; !h.takes(i, callback) {
		switch {
		case callback.One != nil:
			m.ones, m.paid = max(m.ones, listCapacity(int(i)+1)), max(m.paid, int(h.ones)+1)
		case callback.All != nil:
			m.runs = len(h.all) + 1
		}
	}
	return m
}

// wanted returns room for the following records too, so few of them cost a look at the account. expect is how many
// records the batch will probably have.
func (r *Result) wanted(least room, expect int) room {
	now, m := r.room(), least
	if m.times > now.times {
		m.times = max(m.times, 2*now.times)
	}
	if m.ones > now.ones {
		m.ones = max(m.ones, listCapacity(expect))
	}
	switch {
	case m.paid == now.paid:
	case now.paid == 0:
		m.paid = max(m.paid, expect/4)
	default:
		m.paid = max(m.paid, min(2*now.paid, expect), now.paid+now.paid/4)
	}
	if m.runs > now.runs {
		m.runs = max(m.runs, 2*now.runs)
	}
	return m
}

// grow makes the lists as large as m says.
func (r *Result) grow(m room) {
	if m.ones > cap(r.callbacks.one) {
		r.callbacks.growList(m.ones)
	}
	r.callbacks.paid = int32(m.paid)
	r.callbacks.all = withCapacity(r.callbacks.all, m.runs)
	if m.times > len(r.times.first) {
		r.times.runs = withCapacity(r.times.runs, m.times)
	}
}

// withCapacity returns list with room for n elements, and not for more, unless it has the room already.
func withCapacity[T any](list []T, n int) []T {
	if n <= cap(list) {
		return list
	}
	return append(make([]T, 0, n), list...)
}

// makeRoomLocked makes room in the open batch's lists for one more record, and counts it: the wanted room, or the least
// if buffer.memory has no more. It reports false where it has not even that, and the batch has records already.
func (p *Partition) makeRoomLocked(ms int64, callback Callback, grant *int64) bool {
	b := p.open
	r, i, capacity := b.root, b.appended, cap(*b.box)
	m := r.least(i, ms, callback)
	least := max(0, m.openSize(capacity)-r.charge)
	wanted := r.wanted(m, p.expect)
	n := max(0, wanted.openSize(capacity)-r.charge)
	switch {
	case p.extendLocked(n, grant):
		m = wanted
	case p.extendLocked(least, grant):
		n = least
	case i == 0 || grant != nil && *grant > 0:
		// A buffer as large as the whole memory leaves nothing for the first record's callback. Nor must a Send wait
		// for more while it holds a larger buffer from its grant.
		p.acc.memory.force(&p.holder, least)
		n = least
	default:
		return false
	}
	r.charge += n
	r.grow(m)
	return true
}

// extendLocked takes n bytes for a batch from the grant and, beyond the grant, from the memory. Sends waiting for room
// for a batch do not keep the open batches from growing.
func (p *Partition) extendLocked(n int64, grant *int64) bool {
	granted := int64(0)
	if grant != nil {
		granted = min(n, *grant)
	}
	if n > granted && !p.acc.memory.extend(&p.holder, n-granted) {
		return false
	}
	if granted > 0 {
		*grant -= granted
	}
	return true
}

// sizeLocked returns how many bytes r holds beside its batch's buffer. Partition.mu is held.
func (r *Result) sizeLocked() int64 {
	n := r.room().size()
	if r.rebuilt != nil {
		r.mu.Lock()
		n += int64(cap(r.rebuilt.overrides))*overrideBytes + int64(cap(r.rebuilt.outcomes))*outcomeBytes
		r.mu.Unlock()
	}
	return n
}

// chargeLocked counts the growth of r after the seal of its batch.
func (p *Partition) chargeLocked(r *Result) {
	n := r.sizeLocked()
	p.acc.memory.force(&p.holder, n-r.charge)
	r.charge = n
}

// keepLocked counts a settled result before its callbacks, with all its lists. Sends from inside callbacks do not wait
// for this memory. The result counts no more than its batch did before the outcome, so the account stays within the
// limit. The result of a very small batch is somewhat larger than that. The caller wakes the returned waiters when it
// holds no lock.
func (p *Partition) keepLocked(r *Result) (woken []*waiter) {
	before := int64(r.buffers) + r.charge
	r.callbacks.paid = r.callbacks.ones
	n := min(before, resultBytes+int64(p.callsLocked(r))*callBytes+int64(r.canceling)*canceledBytes+r.sizeLocked())
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
	return r.callbacks.n()
}
