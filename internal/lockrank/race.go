//go:build race

package lockrank

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
)

// Enabled reports whether the build asserts the order of locks.
const Enabled = true

// Each look at the goroutine's number costs a microsecond, and made the tests six times as slow. So of 16,384
// acquisitions in a row the first 1,024 are recorded and checked. A short test is checked completely; in a long one
// each pair of locks meets many recorded rows.
const (
	recordedRun = 1 << 10
	period      = 1 << 14
)

var acquisitions atomic.Uint64

func isRecorded() bool { return acquisitions.Add(1)%period < recordedRun }

// Mutex is a sync.Mutex with a rank. The zero value is unlocked.
type Mutex[R Rank] struct {
	mu    sync.Mutex
	owner uint64 // the goroutine, if the acquisition is recorded; guarded by mu
}

// Lock locks m. It panics if the goroutine holds a lock that must come later.
func (m *Mutex[R]) Lock() {
	var owner uint64
	if isRecorded() {
		var r R
		owner = goroutine()
		acquire(owner, r.row(), true)
	}
	m.mu.Lock()
	m.owner = owner
}

// TryLock tries to lock m. It cannot deadlock, so it permits any order.
func (m *Mutex[R]) TryLock() bool {
	if !m.mu.TryLock() {
		return false
	}
	if m.owner = 0; isRecorded() {
		var r R
		m.owner = goroutine()
		acquire(m.owner, r.row(), false)
	}
	return true
}

// Unlock unlocks m.
func (m *Mutex[R]) Unlock() {
	owner := m.owner
	m.mu.Unlock()
	if owner != 0 {
		var r R
		release(owner, r.row())
	}
}

// AssertNone panics if the goroutine holds a lock of the library. It guards the gates to user code.
func AssertNone(gate string) {
	if !isRecorded() {
		return
	}
	id := goroutine()
	s := shardOf(id)
	s.mu.Lock()
	held := s.held[id]
	s.mu.Unlock()
	if len(held) > 0 {
		panic(fmt.Sprintf("samsa: %s is called under %s", gate, names(held)))
	}
}

// shard has the locks of some goroutines, in the order of acquisition.
type shard struct {
	mu   sync.Mutex
	held map[uint64][]Row
	free [][]Row
}

var shards [64]shard

func shardOf(goroutine uint64) *shard { return &shards[goroutine%uint64(len(shards))] }

func acquire(id uint64, next Row, check bool) {
	s := shardOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.held[id]
	for _, h := range held {
		if check && !mayFollow(h, next) {
			panic(fmt.Sprintf("samsa: %s is acquired under %s", next.Name, names(held)))
		}
	}
	if s.held == nil {
		s.held = make(map[uint64][]Row)
	}
	if n := len(s.free); held == nil && n > 0 {
		held = s.free[n-1]
		s.free = s.free[:n-1]
	}
	s.held[id] = append(held, next)
}

func release(id uint64, row Row) {
	s := shardOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.held[id]
	for i := len(held) - 1; i >= 0; i-- {
		if held[i] != row {
			continue
		}
		if held = append(held[:i], held[i+1:]...); len(held) > 0 {
			s.held[id] = held
			return
		}
		delete(s.held, id)
		if len(s.free) < 16 {
			s.free = append(s.free, held[:0])
		}
		return
	}
}

func names(held []Row) string {
	var texts []string
	for _, h := range held {
		texts = append(texts, h.Name)
	}
	return strings.Join(texts, ", then ")
}

// goroutine returns the number of the calling goroutine.
func goroutine() uint64 {
	buf := buffers.get()
	defer buffers.put(buf)
	text := buf[len("goroutine "):runtime.Stack(buf[:], false)]
	n := uint64(0)
	for _, digit := range text {
		if digit == ' ' {
			break
		}
		n = 10*n + uint64(digit-'0')
	}
	return n
}

// stackTexts are free buffers for runtime.Stack. A buffer on the stack would escape, and the race build's sync.Pool
// drops some of its buffers: then tests that count allocations would fail.
type stackTexts struct {
	mu   sync.Mutex
	free []*[40]byte
}

var buffers stackTexts

func (t *stackTexts) get() *[40]byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.free)
	if n == 0 {
		return new([40]byte)
	}
	buf := t.free[n-1]
	t.free = t.free[:n-1]
	return buf
}

func (t *stackTexts) put(buf *[40]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free = append(t.free, buf)
}
