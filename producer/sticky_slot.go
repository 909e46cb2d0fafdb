package producer

import (
	"math"
	"math/bits"
	"slices"
	"sync/atomic"
	"time"
)

// stickySlot is the built-in choice for a topic's records without a key (KIP-794). Records are sent to one partition
// until it has about batch.size bytes, and then to another one at random. So batches fill, and over time every
// partition gets the same number of bytes. With known queues, partitions with long queues get fewer.
//
// All methods may be called from many goroutines. None takes a lock: pick is one atomic load.
type stickySlot struct {
	batchSize    uint32
	availability time.Duration                                   // skip partitions stalled for longer; 0: skip none
	load         func(partition int32, now time.Time) stickyLoad // nil: choose uniformly
	random       stickyRandom

	// state has the current partition in its upper half, and the partition's bytes since the choice in its lower half.
	// It is one word, so bytes of one partition cannot count for the next one.
	state atomic.Uint64
	view  atomic.Pointer[TopicView]
	table atomic.Pointer[stickyTable]
}

// stickyLoad is the load of a partition.
type stickyLoad struct {
	queued  int32         // waiting batches
	stalled time.Duration // the time for which its broker could have taken a batch and has not
}

// newStickySlot makes a slot; see newStickyTopic.
func newStickySlot(c *Config, view TopicView, load func(partition int32, now time.Time) stickyLoad,
	seed uint64) *stickySlot {
	s := &stickySlot{batchSize: uint32(max(c.BatchSize, 1))}
	if c.PartitionerAdaptive {
		s.load, s.availability = load, c.PartitionerAvailabilityTimeout
	}
	s.random.state.Store(seed)
	s.state.Store(stickyState(noChoice, 0))
	s.view.Store(&view)
	return s
}

// pick returns the current partition; noChoice only while the view has no partitions.
func (s *stickySlot) pick() int32 {
	if p := stickyPartition(s.state.Load()); p != noChoice {
		return p
	}
	return s.pickFirst()
}

func (s *stickySlot) pickFirst() int32 {
	for {
		state := s.state.Load()
		if p := stickyPartition(state); p != noChoice || s.view.Load().partitions <= 0 {
			return p
		}
		s.move(state)
	}
}

// current reports whether partition is the slot's current one.
func (s *stickySlot) current(partition int32) bool {
	return stickyPartition(s.state.Load()) == partition
}

// appended counts bytes in a partition. complete means that the partition has no open batch for more records. The slot
// leaves the partition after batch.size bytes if complete, and after twice as many in any case: so no small rest of a
// batch lingers. A caller may count bytes for each record, or once for several records; this changes the shared word
// less often. The slot ignores bytes of a partition that it has left.
func (s *stickySlot) appended(partition int32, bytes int, complete bool) {
	for {
		state := s.state.Load()
		if partition == noChoice || stickyPartition(state) != partition {
			return
		}
		total := min(uint64(uint32(state))+uint64(max(bytes, 0)), math.MaxUint32)
		if total >= 2*uint64(s.batchSize) || complete && total >= uint64(s.batchSize) {
			if s.move(state) {
				return
			}
		} else if s.state.CompareAndSwap(state, stickyState(partition, uint32(total))) {
			return
		}
	}
}

// move chooses the next partition, unless the state has changed meanwhile.
func (s *stickySlot) move(state uint64) bool {
	view := s.view.Load()
	if !s.state.CompareAndSwap(state, stickyState(s.choose(view), 0)) {
		return false
	}
	if s.view.Load() != view {
		// A concurrent update saw the former state, and the choice used the former view.
		s.leaveUnavailable()
	}
	return true
}

// update gives the slot a new view of the topic. The slot leaves its partition if that has no leader and another
// partition has one.
func (s *stickySlot) update(view TopicView) {
	s.view.Store(&view)
	s.leaveUnavailable()
}

func (s *stickySlot) leaveUnavailable() {
	view, state := s.view.Load(), s.state.Load()
	p := stickyPartition(state)
	if p == noChoice || view.IsAvailable(p) || p < view.partitions && len(view.available) == 0 {
		return
	}
	s.state.CompareAndSwap(state, stickyState(noChoice, 0)) // if it has changed, another goroutine has chosen already
}

func stickyState(partition int32, bytes uint32) uint64 {
	return uint64(uint32(partition))<<32 | uint64(bytes)
}

func stickyPartition(state uint64) int32 { return int32(state >> 32) }

// choose returns the next partition. With known queues the table decides. Otherwise the choice is uniform among the
// partitions with a leader, or among all partitions if none has a leader.
func (s *stickySlot) choose(view *TopicView) int32 {
	switch {
	case view.partitions <= 0:
		return noChoice
	case len(view.available) == 0:
		return int32(s.random.below(uint64(view.partitions)))
	case s.load == nil || len(view.available) == 1:
		return view.available[s.random.below(uint64(len(view.available)))]
	}
	return s.currentTable(view).choose(&s.random)
}

// currentTable returns the table of weights. It makes a new table after the last use of the old one. With few
// partitions each choice has a new table. With more partitions a table serves several choices, so the cost of a choice
// does not grow with the number of partitions.
func (s *stickySlot) currentTable(view *TopicView) *stickyTable {
	const (
		share = 4           // partitions whose load is read, for each choice
		most  = time.Second // the age limit of a table
		part  = 100         // a table lives at least this many times as long as it took to make
	)
	now := time.Now()
	if t := s.table.Load(); t != nil && t.view == view && t.uses.Add(-1) >= 0 &&
		now.Sub(t.made) < max(most, part*t.took) {
		return t
	}
	t := newStickyTable(view, s.load, s.availability, now)
	t.took = time.Since(now)
	t.uses.Store(int32(len(view.available) / share))
	s.table.Store(t)
	return t
}

// stickyTable has the weight of each partition in the choice. Only uses changes.
type stickyTable struct {
	view       *TopicView
	made       time.Time
	took       time.Duration // the time to make the table, in proportion to the number of partitions
	uses       atomic.Int32
	partitions []int32
	sums       []uint64 // the sum of the weights up to each partition; nil if all weights are equal
}

// newStickyTable gives a partition the weight "longest queue + 1 - its own queue": for queues of 0, 3 and 1 batches the
// weights are 4, 1 and 3.
func newStickyTable(view *TopicView, load func(int32, time.Time) stickyLoad, availability time.Duration,
	now time.Time) *stickyTable {
	t := &stickyTable{view: view, made: now, partitions: make([]int32, 0, len(view.available))}
	queues := make([]int32, 0, len(view.available))
	for _, p := range view.available {
		l := load(p, now)
		if availability > 0 && l.stalled > availability {
			continue
		}
		t.partitions = append(t.partitions, p)
		queues = append(queues, l.queued)
	}
	if len(t.partitions) == 0 {
		t.partitions = view.available // all are stalled, so all are equal
		return t
	}
	longest := slices.Max(queues)
	if longest == slices.Min(queues) {
		return t
	}
	t.sums = make([]uint64, len(queues))
	var sum uint64
	for i, queued := range queues {
		sum += uint64(int64(longest) - int64(queued) + 1)
		t.sums[i] = sum
	}
	return t
}

func (t *stickyTable) choose(random *stickyRandom) int32 {
	if t.sums == nil {
		return t.partitions[random.below(uint64(len(t.partitions)))]
	}
	x := random.below(t.sums[len(t.sums)-1])
	i, found := slices.BinarySearch(t.sums, x)
	if found {
		i++ // a sum is where the next partition's share begins
	}
	return t.partitions[i]
}

// stickyRandom is the random number generator SplitMix64. It mixes the bits of a counter, so an atomic addition makes
// it safe for many goroutines.
type stickyRandom struct{ state atomic.Uint64 }

func (r *stickyRandom) next() uint64 {
	x := r.state.Add(0x9e3779b97f4a7c15)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// below returns a number less than n; n is at least 1.
func (r *stickyRandom) below(n uint64) uint64 {
	high, _ := bits.Mul64(r.next(), n)
	return high
}
