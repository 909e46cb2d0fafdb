package producer

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// mostSlots is the largest number of partitions of a topic that stickyTopic fills at the same time.
const mostSlots = 16

// crowdedFor is how long each processor keeps a partition of its own after goroutines waited for each other. Then all
// use one partition again, because separate partitions do not show whether the contention has ended.
const crowdedFor = 100 * time.Millisecond

// stickyTopic chooses the partitions of a topic's records without a key. As a rule it fills one partition at a time:
// this makes the largest batches. If many goroutines send, they wait for each other at that partition's lock. Then the
// topic is crowded for a while: each processor has a slot of its own, and the slots rarely fill the same partition.
//
// All methods may be called from many goroutines.
type stickyTopic struct {
	slots   []*stickySlot
	usable  atomic.Int32 // the number of slots in use, at most one for each partition of the choice
	crowded atomic.Int64 // the end of the crowded time, in nanoseconds since began; 0 if the topic is not crowded
	began   time.Time

	newest atomic.Uint32
	tokens sync.Pool // of *slotToken; a processor usually gets back the token that it has put in
}

// slotToken has the slot of a processor.
type slotToken struct{ slot uint32 }

// newStickyTopic returns the state of one topic. load returns the load of a partition. If the configuration is
// adaptive, choices call load now and then for every available partition, without any lock held. Equal seeds make equal
// choices.
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

// slotForP returns a slot for the caller's processor: usually the same one for all calls on that processor. With
// another it moves the processor to the next slot.
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

// appended counts bytes in a partition; see stickySlot. crowded reports that goroutines waited for each other at this
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

// part begins or extends the crowded time of the topic, or ends it when it is over.
func (s *stickyTopic) part(crowded bool) {
	until, now := s.crowded.Load(), time.Since(s.began)
	switch {
	case crowded && s.usable.Load() > 1:
		if until != 0 {
			// Two processors share a slot, as after a garbage collection, or two slots fill the same partition.
			s.slotForP(true)
		}
		s.crowded.Store(int64(now + crowdedFor))
	case until != 0 && int64(now) > until:
		s.crowded.CompareAndSwap(until, 0)
	}
}

// update gives the slots a new view of the topic. A slot leaves its partition if that has no leader and another
// partition has one.
func (s *stickyTopic) update(view TopicView) {
	for _, slot := range s.slots {
		slot.update(view)
	}
	s.widen(view)
}
