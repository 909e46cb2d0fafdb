package accumulator

import (
	"errors"

	"github.com/gosamsa/samsa/record"
)

// ErrForgotten: the partition has left the accumulator because nobody used its topic. It takes no records; the topic's
// next [Accumulator.Topic] and [Topic.Partition] return new ones.
var ErrForgotten = errors.New("the topic was forgotten; ask for its partition again")

// Forgetter is a Drainer with a say about keeping its partition in the accumulator.
type Forgetter interface {
	// Forget ends the owner's part of an idle partition. It calls end once it has found nothing undelivered, and gives
	// up its own state only if end returns true. It reports whether the partition leaves. The topic's lock is held.
	Forget(end func() bool) bool
}

// Forget takes a topic out of the accumulator if none of its partitions has anything undelivered: no record, no due
// callback, no Send waiting for memory. Otherwise it removes only the idle partitions and returns false.
func (a *Accumulator) Forget(name string) bool {
	defer a.memory.serve() // the share of the other brokers may be larger now
	a.topicsMu.Lock()
	defer a.topicsMu.Unlock()
	t := a.topics[name]
	if t != nil && !t.forget() {
		return false
	}
	delete(a.topics, name)
	return true
}

// forget takes the idle partitions out of the topic. If none is left, the topic makes no more.
func (t *Topic) forget() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	slots, busy := *t.slots.Load(), false
	for i := range slots {
		switch p := slots[i].Load(); {
		case p == nil:
		case p.leave():
			slots[i].Store(nil)
			t.version.Add(1)
		default:
			busy = true
		}
	}
	t.forgotten = !busy
	return t.forgotten
}

// leave ends the partition, if nothing of it is outstanding.
func (p *Partition) leave() bool {
	if owner, ok := p.owner.(Forgetter); ok {
		return owner.Forget(p.end)
	}
	return p.end()
}

// end refuses further records, if nothing of the partition is outstanding.
func (p *Partition) end() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.active || p.delivery.running || p.cancels.running || !p.acc.memory.leave(&p.holder) {
		return false
	}
	p.closed = &record.Error{Topic: p.topic.name, Partition: p.index, Err: ErrForgotten}
	if p.linger != nil {
		p.linger.Stop()
	}
	return true
}

// leave ends h's part in the memory, if it holds nothing and no Send waits for it.
func (m *memory) leave(h *holder) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if h.held > 0 || h.waiters.first != nil {
		return false
	}
	m.leaveLocked(h.account, h)
	h.account = nil
	return true
}

// serve grants memory to the waiting Sends. It is called under no lock of this package.
func (m *memory) serve() {
	m.mu.Lock()
	woken := m.grantLocked()
	m.mu.Unlock()
	wake(woken)
}
