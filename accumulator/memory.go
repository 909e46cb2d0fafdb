package accumulator

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/gosamsa/samsa/internal/lockrank"
	"github.com/gosamsa/samsa/protocol"
)

// memory is buffer.memory: it counts the capacity of every buffer with records, and results before their callbacks (see
// charge.go). While several brokers lead partitions in use, the partitions of one broker hold at most half, so a
// hanging broker cannot take the room of the others. Each broker has its own queue of waiting Sends, first come first
// served; if all lack room, the brokers take turns.
//
// Results before their callbacks and interceptors count too, but not for a Send from inside one. This Send is served
// first: the callbacks behind the memory may be waiting for it to return.
//
// mu guards everything but waiting. It is a leaf: its holder takes no other lock and wakes no goroutine.
type memory struct {
	waiting atomic.Int64 // Sends that wait for room; Append reads it without the lock

	mu       lockrank.Mutex[lockrank.AccumulatorMemory]
	limit    int64
	used     int64
	kept     int64 // of that for callbacks
	refused  int64 // of these for callbacks of refused records, outside all accounts
	accounts map[int32]*account
	brokers  int           // accounts with partitions
	turn     list[account] // accounts with waiters, the least recently served first
	inside   int           // waiters from inside callbacks
	closed   error
}

// account counts the memory of one broker's partitions, and has their waiters. Those from inside callbacks are served
// first.
type account struct {
	broker  int32
	used    int64
	kept    int64
	holders int
	inside  list[waiter]
	outside list[waiter]
	turn    links[account]
}

func inTurn(a *account) *links[account] { return &a.turn }

// head returns the first waiter to be served, or nil.
func (a *account) head() *waiter {
	switch {
	case a.inside.first != nil:
		return a.inside.first
	case a.outside.first != nil:
		return a.outside.first
	}
	return nil
}

// queue returns the account's queue for w.
func (a *account) queue(w *waiter) *list[waiter] {
	if w.inside {
		return &a.inside
	}
	return &a.outside
}

// holder is a partition's part in the memory, guarded by memory.mu.
type holder struct {
	account *account
	held    int64
	kept    int64
	waiters list[waiter] // the partition's own, in the order of their coming
}

type waiter struct {
	holder    *holder
	queued    links[waiter] // in its account
	held      links[waiter] // by its holder
	n         int64
	since     time.Time
	inside    bool  // it comes from inside a callback
	overtaken int64 // the bytes for others while this one stood in front of all
	granted   bool
	err       error
	ready     chan struct{}
}

func inQueue(w *waiter) *links[waiter] { return &w.queued }

func inHolder(w *waiter) *links[waiter] { return &w.held }

func newMemory(limit int64) *memory {
	return &memory{limit: limit, accounts: make(map[int32]*account)}
}

// move charges h's bytes, present and future, to a broker's account, and takes its waiters along.
func (m *memory) move(h *holder, broker int32) {
	m.mu.Lock()
	to, from := m.accounts[broker], h.account
	if to == nil {
		to = &account{broker: broker}
		m.accounts[broker] = to
	}
	if from == to {
		m.mu.Unlock()
		return
	}
	if to.holders++; to.holders == 1 {
		m.brokers++
	}
	to.used += h.held
	to.kept += h.kept
	h.account = to
	if from != nil {
		for w := h.waiters.first; w != nil; w = w.held.next {
			m.unqueueLocked(from, w)
			m.queueLocked(w)
		}
		m.leaveLocked(from, h)
	}
	woken := m.grantLocked()
	m.mu.Unlock()
	wake(woken)
}

// leaveLocked ends h's part in an account. An account without partitions is removed.
func (m *memory) leaveLocked(from *account, h *holder) {
	from.used -= h.held
	from.kept -= h.kept
	if from.holders--; from.holders == 0 {
		m.brokers--
		delete(m.accounts, from.broker)
	}
}

// queueLocked puts w at the end of its account's queue for its kind.
func (m *memory) queueLocked(w *waiter) {
	a := w.holder.account
	if a.head() == nil {
		m.turn.push(a, inTurn)
	}
	a.queue(w).push(w, inQueue)
}

// unqueueLocked takes w out of an account's queue. An account without waiters leaves the turn.
func (m *memory) unqueueLocked(a *account, w *waiter) {
	a.queue(w).remove(w, inQueue)
	if a.head() == nil {
		m.turn.remove(a, inTurn)
	}
}

// joinLocked makes w wait.
func (m *memory) joinLocked(w *waiter) {
	m.queueLocked(w)
	w.holder.waiters.push(w, inHolder)
	m.waiting.Add(1)
	if w.inside {
		m.inside++
	}
}

// withdrawLocked ends w's wait. Its cost does not depend on how many others wait.
func (m *memory) withdrawLocked(w *waiter) {
	m.unqueueLocked(w.holder.account, w)
	w.holder.waiters.remove(w, inHolder)
	m.waiting.Add(-1)
	if w.inside {
		m.inside--
	}
}

// shareLocked reports whether n more bytes are within an account's share. A record with a need of more than half gets
// it when it is alone there.
func (m *memory) shareLocked(a *account, n int64, inside bool) bool {
	used := a.used
	if inside {
		used -= a.kept
	}
	return used == 0 || used+n <= m.limit/2 || m.aloneLocked(a)
}

// aloneLocked reports whether no other broker's partitions are in use. Partitions without a leader and without records
// belong to topics forgotten, or not used yet.
func (m *memory) aloneLocked(a *account) bool {
	others := m.brokers - 1
	if idle := m.accounts[protocol.NoLeader]; idle != nil && idle != a && idle.used == 0 && idle.head() == nil {
		others--
	}
	return others <= 0
}

// roomLocked reports whether n more bytes are free. Callbacks may make the memory grow to twice its limit, but no
// further.
func (m *memory) roomLocked(n int64, inside bool) bool {
	if inside {
		return m.used-m.kept+n <= m.limit && m.used+n <= 2*m.limit
	}
	return m.used+n <= m.limit
}

// fitsLocked reports whether n more bytes are free, and within a's share.
func (m *memory) fitsLocked(a *account, n int64, inside bool) bool {
	return m.roomLocked(n, inside) && m.shareLocked(a, n, inside)
}

// passLocked reports whether a request for n bytes may be served before the waiter first, and counts these bytes.
// Without a waiter in front, first is nil. A large request must not starve while smaller ones take all free memory; nor
// may it hold up everybody while the owners of the other memory hang. So others overtake it by as many bytes as the
// whole buffer has, and then no more.
func (m *memory) passLocked(first *waiter, n int64) bool {
	if first == nil {
		return true
	}
	if first.overtaken+n > m.limit {
		return false
	}
	first.overtaken += n
	return true
}

// firstLocked returns the front waiter among the waiters within their broker's share. The others need no protection: no
// other broker takes their share away. Brokers at the end of their share are few, so the search is short.
func (m *memory) firstLocked() *waiter {
	for a := m.turn.first; a != nil; a = a.turn.next {
		if w := a.head(); m.shareLocked(a, w.n, w.inside) {
			return w
		}
	}
	return nil
}

func (m *memory) takeLocked(h *holder, n int64) {
	m.used += n
	h.held += n
	h.account.used += n
}

// try reserves n bytes for h if they are free and the account has no earlier waiter.
func (m *memory) try(h *holder, n int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tryLocked(h, n, false)
}

func (m *memory) tryLocked(h *holder, n int64, inside bool) bool {
	if m.closed != nil || h.account == nil || h.account.head() != nil && !inside ||
		!m.fitsLocked(h.account, n, inside) {
		return false
	}
	if !inside && !m.passLocked(m.firstLocked(), n) {
		return false
	}
	m.takeLocked(h, n)
	return true
}

// extend reserves n bytes for h if they are free, even while Sends wait for room.
func (m *memory) extend(h *holder, n int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.fitsLocked(h.account, n, false) {
		return false
	}
	m.takeLocked(h, n)
	return true
}

// force reserves n bytes for h, free or not, for work that must not block, such as a compression. The buffers of all
// workers together can pass the limit so.
func (m *memory) force(h *holder, n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.takeLocked(h, n)
}

// keep counts n bytes as kept for waiting callbacks. more of them were not counted before; they need not be free. A
// Send from inside a callback may have room then. The caller wakes the returned waiters when it holds no lock.
func (m *memory) keep(h *holder, n, more int64) (woken []*waiter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.takeLocked(h, more)
	m.keepLocked(h, n)
	return m.grantLocked()
}

// drop gives n bytes of h back; kept says that they were kept for callbacks. The caller wakes the returned waiters when
// it holds no lock.
func (m *memory) drop(h *holder, n int64, kept bool) (woken []*waiter) {
	if n == 0 {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if kept {
		m.keepLocked(h, -n)
	}
	m.takeLocked(h, -n)
	return m.grantLocked()
}

// refuse counts n bytes for refused records, or takes them off. The caller wakes the returned waiters when it holds no
// lock.
func (m *memory) refuse(n int64) (woken []*waiter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used += n
	m.kept += n
	m.refused += n
	if n > 0 {
		return nil
	}
	return m.grantLocked()
}

func (m *memory) keepLocked(h *holder, n int64) {
	m.kept += n
	h.kept += n
	h.account.kept += n
}

// release gives n bytes of h back and serves the waiters. It is called under no lock of this package.
func (m *memory) release(h *holder, n int64) { wake(m.drop(h, n, false)) }

// grantLocked serves the waiters as far as the memory goes: the accounts in turn, each from its oldest waiter on. It
// looks at each account once, and again after each served waiter of that account.
func (m *memory) grantLocked() (woken []*waiter) {
	var first *waiter // as firstLocked, of the accounts passed over
	for a := m.turn.first; a != nil; {
		if m.used >= m.limit && m.inside == 0 {
			break
		}
		w, next := a.head(), a.turn.next
		if !m.fitsLocked(a, w.n, w.inside) || !w.inside && !m.passLocked(first, w.n) {
			if first == nil && m.shareLocked(a, w.n, w.inside) {
				first = w
			}
			a = next
			continue
		}
		m.takeLocked(w.holder, w.n)
		w.granted = true
		woken = append(woken, w)
		m.withdrawLocked(w)
		if a.head() != nil {
			m.turn.remove(a, inTurn)
			m.turn.push(a, inTurn)
			if next == nil {
				next = a
			}
		}
		a = next
	}
	return woken
}

func wake(woken []*waiter) {
	for _, w := range woken {
		close(w.ready)
	}
}

// enqueue makes a waiter for n bytes; it returns nil when they were free and are reserved now.
func (m *memory) enqueue(h *holder, n int64, inside bool) (*waiter, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed != nil:
		return nil, m.closed
	case h.account == nil:
		return nil, ErrForgotten
	case m.tryLocked(h, n, inside):
		return nil, nil
	}
	w := &waiter{holder: h, n: n, since: time.Now(), inside: inside, ready: make(chan struct{})}
	m.joinLocked(w)
	return w, nil
}

// await waits until w has its bytes, the memory is closed, or ctx ends. With an error nothing stays reserved.
func (m *memory) await(ctx context.Context, w *waiter) error {
	select {
	case <-w.ready:
		return w.err
	case <-ctx.Done():
	}
	m.mu.Lock()
	var woken []*waiter
	switch {
	case w.err != nil:
		m.mu.Unlock()
		return w.err
	case w.granted:
		m.takeLocked(w.holder, -w.n)
		woken = m.grantLocked()
	default:
		ahead := w.holder.account.head() == w
		m.withdrawLocked(w)
		if ahead { // a smaller request may have stood behind this one
			woken = m.grantLocked()
		}
	}
	m.mu.Unlock()
	wake(woken)
	return ContextError(ctx)
}

// oldest returns the beginning of the longest present wait of a Send; ok is false when none waits. Sends from inside
// callbacks do not count.
func (m *memory) oldest() (since time.Time, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for a := m.turn.first; a != nil; a = a.turn.next {
		if w := a.outside.first; w != nil && (!ok || w.since.Before(since)) {
			since, ok = w.since, true
		}
	}
	return since, ok
}

// close wakes all waiters with err, and refuses further reservations.
func (m *memory) close(err error) {
	m.mu.Lock()
	var woken []*waiter
	if m.closed == nil {
		m.closed = err
		for m.turn.first != nil {
			w := m.turn.first.head()
			w.err = err
			m.withdrawLocked(w)
			woken = append(woken, w)
		}
	}
	m.mu.Unlock()
	wake(woken)
}

func (m *memory) inUse() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// ContextError returns the cause of ctx's end. errors.Is finds context.Canceled or context.DeadlineExceeded in it, also
// if ctx has another cause.
func ContextError(ctx context.Context) error {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(ctx.Err(), cause):
		return cause
	case errors.Is(cause, ctx.Err()):
		return fmt.Errorf("%w", cause) // this calls the Error method of the user's cause, on the user's goroutine
	}
	return fmt.Errorf("%w: %w", ctx.Err(), cause)
}
