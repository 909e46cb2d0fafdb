package accumulator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// NoLeader is the account of the partitions that have no leader now. They count as one broker.
const NoLeader int32 = -1

// memory is buffer.memory: it counts the capacity of every buffer that holds records. While several brokers lead
// partitions that are written to, the partitions of one broker hold at most half, so that a broker that hangs cannot
// take the room of the others. Each broker has its own queue of waiting Sends, first come first served; where room is
// missing for all, the brokers take turns.
//
// Callbacks that wait to run count too, but not for a Send from inside a callback, and that one goes first: what it would wait
// for could be callbacks that wait for it to return.
//
// mu guards everything but waiting. It is a leaf: nothing is locked under it, and nobody is woken under it.
type memory struct {
	waiting atomic.Int64 // Sends that wait for room; Append reads it without the lock

	mu       sync.Mutex
	limit    int64
	used     int64
	kept     int64 // of that for callbacks
	accounts map[int32]*account
	brokers  int        // accounts that partitions belong to
	turn     []*account // those with waiters; the one that was served longest ago comes first
	closed   error
}

type account struct {
	broker  int32
	used    int64
	kept    int64
	holders int
	waiters []*waiter
}

// holder is a partition's part in the memory, guarded by memory.mu.
type holder struct {
	account *account
	held    int64
	kept    int64
}

type waiter struct {
	holder    *holder
	n         int64
	inside    bool  // it comes from inside a callback
	overtaken int64 // what went to others while this one stood in front of everybody
	granted   bool
	err       error
	ready     chan struct{}
}

func newMemory(limit int64) *memory {
	return &memory{limit: limit, accounts: make(map[int32]*account)}
}

// move charges what h holds, and will hold, to a broker's account, and takes its waiters along.
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
		m.leaveLocked(from, h)
		for _, w := range m.withdrawLocked(from, func(w *waiter) bool { return w.holder == h }) {
			m.joinLocked(w)
		}
	}
	woken := m.grantLocked()
	m.mu.Unlock()
	wake(woken)
}

// leaveLocked ends h's part in an account. An account of nobody is forgotten.
func (m *memory) leaveLocked(from *account, h *holder) {
	from.used -= h.held
	from.kept -= h.kept
	if from.holders--; from.holders == 0 {
		m.brokers--
		delete(m.accounts, from.broker)
	}
}

// joinLocked puts w at the end of its account's queue, or behind those from inside callbacks.
func (m *memory) joinLocked(w *waiter) {
	a := w.holder.account
	if len(a.waiters) == 0 {
		m.turn = append(m.turn, a)
	}
	at := len(a.waiters)
	if w.inside {
		if first := slices.IndexFunc(a.waiters, func(w *waiter) bool { return !w.inside }); first >= 0 {
			at = first
		}
	}
	a.waiters = slices.Insert(a.waiters, at, w)
}

// withdrawLocked takes the waiters that match out of an account's queue.
func (m *memory) withdrawLocked(a *account, match func(*waiter) bool) (out []*waiter) {
	before := len(a.waiters)
	a.waiters = slices.DeleteFunc(a.waiters, func(w *waiter) bool {
		if !match(w) {
			return false
		}
		out = append(out, w)
		return true
	})
	if before > 0 && len(a.waiters) == 0 {
		m.turn = slices.DeleteFunc(m.turn, func(other *account) bool { return other == a })
	}
	return out
}

// shareLocked tells whether n more bytes are within an account's share. A record that needs more than half gets it when it
// is alone there.
func (m *memory) shareLocked(a *account, n int64, inside bool) bool {
	used := a.used
	if inside {
		used -= a.kept
	}
	return used == 0 || used+n <= m.limit/2 || m.aloneLocked(a)
}

// aloneLocked tells whether no other broker's partitions are written to. Partitions without a leader and without records
// are those of topics that are forgotten, or not used yet.
func (m *memory) aloneLocked(a *account) bool {
	others := m.brokers - 1
	if idle := m.accounts[NoLeader]; idle != nil && idle != a && idle.used == 0 && len(idle.waiters) == 0 {
		others--
	}
	return others <= 0
}

// roomLocked tells whether n more bytes are free. Callbacks may make the memory grow to twice its limit, but no further.
func (m *memory) roomLocked(n int64, inside bool) bool {
	if inside {
		return m.used-m.kept+n <= m.limit && m.used+n <= 2*m.limit
	}
	return m.used+n <= m.limit
}

// fitsLocked tells whether a may have n more bytes now. before is how many accounts of turn come first. A large request must
// not starve while smaller ones take all that comes free; nor may it hold up everybody when those who could free the rest
// hang. So others overtake it by as many bytes as the whole buffer has, and then no more.
func (m *memory) fitsLocked(a *account, n int64, inside bool, before int) bool {
	if !m.roomLocked(n, inside) || !m.shareLocked(a, n, inside) {
		return false
	}
	if inside {
		return true
	}
	for _, first := range m.turn[:before] {
		w := first.waiters[0]
		if !m.shareLocked(first, w.n, w.inside) {
			continue // it waits for its own share, which nobody takes away
		}
		if w.overtaken+n > m.limit {
			return false
		}
		w.overtaken += n
		break
	}
	return true
}

func (m *memory) takeLocked(h *holder, n int64) {
	m.used += n
	h.held += n
	h.account.used += n
}

// try reserves n bytes for h if they are free and nobody of the same account waits for longer.
func (m *memory) try(h *holder, n int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tryLocked(h, n, false)
}

func (m *memory) tryLocked(h *holder, n int64, inside bool) bool {
	if m.closed != nil || h.account == nil || len(h.account.waiters) > 0 && !inside || !m.fitsLocked(h.account, n, inside, len(m.turn)) {
		return false
	}
	m.takeLocked(h, n)
	return true
}

// force reserves n bytes for h whether they are free or not: for what must not block, such as the output of a compression.
// It can pass the limit by what the workers hold at one time.
func (m *memory) force(h *holder, n int64) {
	m.mu.Lock()
	m.takeLocked(h, n)
	m.mu.Unlock()
}

// keep counts n bytes for callbacks that wait to run, whether they are free or not.
func (m *memory) keep(h *holder, n int64) {
	m.mu.Lock()
	m.takeLocked(h, n)
	m.keepLocked(h, n)
	m.mu.Unlock()
}

// unkeep ends what keep began, and serves those who wait.
func (m *memory) unkeep(h *holder, n int64) {
	m.mu.Lock()
	m.keepLocked(h, -n)
	m.takeLocked(h, -n)
	woken := m.grantLocked()
	m.mu.Unlock()
	wake(woken)
}

func (m *memory) keepLocked(h *holder, n int64) {
	m.kept += n
	h.kept += n
	h.account.kept += n
}

// release gives n bytes of h back and serves those who wait. It is called under no lock.
func (m *memory) release(h *holder, n int64) {
	if n == 0 {
		return
	}
	m.mu.Lock()
	m.takeLocked(h, -n)
	woken := m.grantLocked()
	m.mu.Unlock()
	wake(woken)
}

// grantLocked serves those who wait as far as the room goes: the accounts in turn, each from its oldest waiter on.
func (m *memory) grantLocked() (woken []*waiter) {
	for i := 0; i < len(m.turn); {
		a := m.turn[i]
		w := a.waiters[0]
		if !m.fitsLocked(a, w.n, w.inside, i) {
			i++
			continue
		}
		m.takeLocked(w.holder, w.n)
		w.granted = true
		m.waiting.Add(-1)
		woken = append(woken, w)
		a.waiters[0] = nil
		a.waiters = a.waiters[1:]
		m.turn = slices.Delete(m.turn, i, i+1)
		if len(a.waiters) > 0 {
			m.turn = append(m.turn, a)
		}
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
	w := &waiter{holder: h, n: n, inside: inside, ready: make(chan struct{})}
	m.joinLocked(w)
	m.waiting.Add(1)
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
	switch {
	case w.err != nil:
		m.mu.Unlock()
		return w.err
	case w.granted:
		m.takeLocked(w.holder, -w.n)
	default:
		m.withdrawLocked(w.holder.account, func(other *waiter) bool { return other == w })
		m.waiting.Add(-1)
	}
	// A smaller request may have stood behind this one.
	woken := m.grantLocked()
	m.mu.Unlock()
	wake(woken)
	return contextError(ctx)
}

// close wakes everybody who waits, with err, and refuses further reservations.
func (m *memory) close(err error) {
	m.mu.Lock()
	var woken []*waiter
	if m.closed == nil {
		m.closed = err
		for _, a := range m.turn {
			for _, w := range a.waiters {
				w.err = err
			}
			woken = append(woken, a.waiters...)
			a.waiters = nil
		}
		m.turn = nil
		m.waiting.Add(-int64(len(woken)))
	}
	m.mu.Unlock()
	wake(woken)
}

func (m *memory) inUse() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// contextError is why ctx ended. It is found as context.Canceled or context.DeadlineExceeded even where a cause was given.
func contextError(ctx context.Context) error {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(ctx.Err(), cause):
		return cause
	case errors.Is(cause, ctx.Err()):
		return fmt.Errorf("%w", cause) // the user's error is asked for its text here, on the user's goroutine
	}
	return fmt.Errorf("%w: %w", ctx.Err(), cause)
}
