package producer

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// mostSlots bounds how many partitions of a topic are filled at the same time.
const mostSlots = 16

// crowdedFor is how long goroutines are kept apart after they were in each other's way. Then they are let together
// again: whether they still would be cannot be seen while they are not.
const crowdedFor = 100 * time.Millisecond

// stickyTopic chooses the partitions of a topic's records without a key. As a rule it fills one partition at a time,
// which makes the largest batches. Where many goroutines send, they would wait for each other at that partition's lock;
// so while it is crowded, each processor chooses for itself, and mostly fills another one than the others.
//
// All methods may be called from many goroutines.
type stickyTopic struct {
	slots   []*stickySlot
	usable  atomic.Int32 // how many of them may be used: no more than the topic has partitions to choose from
	crowded atomic.Int64 // the end of the time with a slot for each processor, in nanoseconds since began; 0: none
	began   time.Time

	newest atomic.Uint32
	tokens sync.Pool // of *slotToken: usually a processor gets its own back
}

// slotToken has the slot of a processor.
type slotToken struct{ slot uint32 }

// newStickyTopic makes the choice for one topic. Load tells how busy a partition is; it is asked without any lock held,
// now and then for every available partition, and not at all if the configuration is not adaptive. Equal seeds choose
// equally.
func newStickyTopic(c *Config, view TopicView, load func(partition int32, now time.Time) stickyLoad,
	seed uint64) *stickyTopic {
	s := &stickyTopic{began: time.Now()}
	for i := range min(runtime.GOMAXPROCS(0), mostSlots) {
		s.slots = append(s.slots, newStickySlot(c, view, load, seed+uint64(i)))
	}
	s.widen(view)
	return s
}

func (s *stickyTopic) widen(view TopicView) {
	choices := len(view.available)
	if choices == 0 {
		choices = int(view.partitions)
	}
	s.usable.Store(int32(max(1, min(choices, len(s.slots)))))
}

// pick returns the partition for a record; noChoice only while the view has no partitions.
func (s *stickyTopic) pick() int32 {
	if s.crowded.Load() == 0 {
		return s.slots[0].pick()
	}
	return s.slotForP(false).pick()
}

// slotForP returns the slot of about the caller's processor. another makes it a different one than before.
func (s *stickyTopic) slotForP(another bool) *stickySlot {
	t, _ := s.tokens.Get().(*slotToken)
	if t == nil {
		t = &slotToken{s.newest.Add(1)}
	}
	if another {
		t.slot++
	}
	slot := s.slots[t.slot%uint32(s.usable.Load())]
	s.tokens.Put(t)
	return slot
}

// appended counts bytes in a partition; see stickySlot. crowded means that goroutines wait for each other at this
// partition.
func (s *stickyTopic) appended(partition int32, bytes int, complete, crowded bool) {
	if crowded || s.crowded.Load() != 0 {
		s.part(crowded)
	}
	for _, slot := range s.slots {
		if slot.current(partition) {
			slot.appended(partition, bytes, complete)
			return
		}
	}
}

// part keeps goroutines apart at a crowded partition, and lets them together again after a while.
func (s *stickyTopic) part(crowded bool) {
	until, now := s.crowded.Load(), time.Since(s.began)
	switch {
	case crowded && s.usable.Load() > 1:
		if until != 0 {
			// two processors have the same slot, as after garbage collections, or their slots the same partition
			s.slotForP(true)
		}
		s.crowded.Store(int64(now + crowdedFor))
	case until != 0 && int64(now) > until:
		s.crowded.CompareAndSwap(until, 0)
	}
}

// update makes a new view of the topic count. A slot leaves a current partition without a leader, if another one has
// one.
func (s *stickyTopic) update(view TopicView) {
	for _, slot := range s.slots {
		slot.update(view)
	}
	s.widen(view)
}
