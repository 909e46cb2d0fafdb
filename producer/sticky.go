package producer

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// mostLanes bounds how many partitions of a topic are filled at the same time.
const mostLanes = 16

// crowdedFor is how long goroutines are kept apart after they were in each other's way. Then they are let together again: whether they
// still would be cannot be seen while they are not.
const crowdedFor = 100 * time.Millisecond

// stickyTopic chooses the partitions of a topic's records without a key. As a rule it fills one partition at a time, which makes the largest
// batches. Where many goroutines send, they would wait for each other at that partition's lock; so while it is crowded, each processor
// chooses for itself, and mostly fills another one than the others.
//
// All methods may be called from many goroutines.
type stickyTopic struct {
	lanes   []*stickyLane
	wide    atomic.Int32 // how many of them may be used: no more than the topic has partitions to choose from
	crowded atomic.Int64 // until when each processor has its own, as nanoseconds of a clock that begins with began; 0: no
	began   time.Time

	newest atomic.Uint32
	tokens sync.Pool // of *laneToken: what a processor puts there it mostly gets back
}

// laneToken tells which lane is a processor's.
type laneToken struct{ lane uint32 }

// newStickyTopic makes the choice for one topic. Load tells how busy a partition is; it is asked without any lock held, now
// and then for every available partition, and not at all if the configuration is not adaptive. Equal seeds choose equally.
func newStickyTopic(c *Config, view TopicView, load func(partition int32, now time.Time) stickyLoad, seed uint64) *stickyTopic {
	s := &stickyTopic{began: time.Now()}
	for i := range min(runtime.GOMAXPROCS(0), mostLanes) {
		s.lanes = append(s.lanes, newStickyLane(c, view, load, seed+uint64(i)))
	}
	s.widen(view)
	return s
}

func (s *stickyTopic) widen(view TopicView) {
	choices := len(view.available)
	if choices == 0 {
		choices = int(view.partitions)
	}
	s.wide.Store(int32(max(1, min(choices, len(s.lanes)))))
}

// pick returns the partition for a record; stickyChoice only while the view has no partitions.
func (s *stickyTopic) pick() int32 {
	if s.crowded.Load() == 0 {
		return s.lanes[0].pick()
	}
	return s.own(false).pick()
}

// own returns the lane of the processor that the caller runs on, about. Another one makes it a different one than before.
func (s *stickyTopic) own(another bool) *stickyLane {
	t, _ := s.tokens.Get().(*laneToken)
	if t == nil {
		t = &laneToken{s.newest.Add(1)}
	}
	if another {
		t.lane++
	}
	lane := s.lanes[t.lane%uint32(s.wide.Load())]
	s.tokens.Put(t)
	return lane
}

// appended counts bytes that a partition got; see stickyLane. Crowded says that goroutines are in each other's way at this partition.
func (s *stickyTopic) appended(partition int32, bytes int, complete, crowded bool) {
	if crowded || s.crowded.Load() != 0 {
		s.part(crowded)
	}
	for _, lane := range s.lanes {
		if lane.current(partition) {
			lane.appended(partition, bytes, complete)
			return
		}
	}
}

// part keeps goroutines apart where it is crowded, and lets them together again when it is time.
func (s *stickyTopic) part(crowded bool) {
	until, now := s.crowded.Load(), time.Since(s.began)
	switch {
	case crowded && s.wide.Load() > 1:
		if until != 0 {
			s.own(true) // two processors have the same lane, as after garbage collections, or their lanes the same partition
		}
		s.crowded.Store(int64(now + crowdedFor))
	case until != 0 && int64(now) > until:
		s.crowded.CompareAndSwap(until, 0)
	}
}

// update makes a new view of the topic count. A current partition that has lost its leader is left, if another one has one.
func (s *stickyTopic) update(view TopicView) {
	for _, lane := range s.lanes {
		lane.update(view)
	}
	s.widen(view)
}
