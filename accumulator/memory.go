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
// mu guards everything but waiting. It is a leaf: nothing is locked under it, and nobody is woken under it.
type memory struct {
	waiting atomic.Int64 // Sends that wait for room; Append reads it without the lock

	mu       sync.Mutex
	limit    int64
	used     int64
	accounts map[int32]*account
	brokers  int        // accounts that partitions belong to
	turn     []*account // those with waiters; the one that was served longest ago comes first
	closed   error
}

type account struct {
	broker  int32
	used    int64
	holders int
	waiters []*waiter
}

// holder is a partition's part in the memory, guarded by memory.mu.
type holder struct {
	account *account
	held    int64
}

type waiter struct {
	holder    *holder
	n         int64
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
	if from.holders--; from.holders == 0 {
		m.brokers--
		delete(m.accounts, from.broker)
	}
}

// joinLocked puts w at the end of its account's queue.
func (m *memory) joinLocked(w *waiter) {
	a := w.holder.account
	if len(a.waiters) == 0 {
		m.turn = append(m.turn, a)
	}
	a.waiters = append(a.waiters, w)
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
func (m *memory) shareLocked(a *account, n int64) bool {
	return a.used == 0 || a.used+n <= m.limit/2 || m.brokers <= 1
}

// fitsLocked tells whether a may have n more bytes now, with spare bytes left over. before is how many accounts of turn come
// first. A large request must not starve while smaller ones take all that comes free; nor may it hold up everybody when
// those who could free the rest hang. So others overtake it by as many bytes as the whole buffer has, and then no more.
func (m *memory) fitsLocked(a *account, n, spare int64, before int) bool {
	if m.used+n+spare > m.limit || !m.shareLocked(a, n) {
		return false
	}
	for _, first := range m.turn[:before] {
		w := first.waiters[0]
		if !m.shareLocked(first, w.n) {
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

// try reserves n bytes for h if they are free, spare more stay free, and nobody of the same account waits for longer.
func (m *memory) try(h *holder, n, spare int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tryLocked(h, n, spare)
}

func (m *memory) tryLocked(h *holder, n, spare int64) bool {
	if m.closed != nil || len(h.account.waiters) > 0 || !m.fitsLocked(h.account, n, spare, len(m.turn)) {
		return false
	}
	m.takeLocked(h, n)
	return true
}

// force reserves n bytes for h whether they are free or not: for what must not block, such as the output of a compression
// and callbacks that wait to run. It can pass the limit by what the workers hold at one time.
func (m *memory) force(h *holder, n int64) {
	m.mu.Lock()
	m.takeLocked(h, n)
	m.mu.Unlock()
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
		if !m.fitsLocked(a, w.n, 0, i) {
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
func (m *memory) enqueue(h *holder, n int64) (*waiter, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed != nil:
		return nil, m.closed
	case m.tryLocked(h, n, 0):
		return nil, nil
	}
	w := &waiter{holder: h, n: n, ready: make(chan struct{})}
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
	if errors.Is(cause, ctx.Err()) {
		return cause
	}
	return fmt.Errorf("%w: %w", ctx.Err(), cause)
}
