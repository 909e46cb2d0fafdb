package producer

import (
	"fmt"
	"log/slog"
	"math"
	"math/bits"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gosamsa/samsa/record"
)

// Partitioner chooses the partition of records that name none: set it as Config.Partitioner to replace the built-in one.
//
// Partition returns a number from 0 to topic.Partitions()-1, or [BuiltInDecides] to leave the record to the built-in partitioner. It runs inside Send on the caller's goroutine, for many callers
// at the same time. It may block: that holds up this Send, for which neither its context nor MaxBlock counts then. The record is a copy that
// is valid during the call; its key, value and headers must not be written to. A panic, or a partition that the topic does not have,
// fails the record with [ErrPartitioner], not written; a panic is logged with its stack. runtime.Goexit ends the caller's goroutine: Send
// does not return, and the record is not sent and has no outcome.
type Partitioner interface {
	Partition(r *Record, topic TopicView) int32
}

// BuiltInDecides is what a [Partitioner] returns to leave a record to the built-in partitioner.
const BuiltInDecides int32 = math.MinInt32

// TopicView is what is known of a topic when a partition is chosen: how many partitions it has, and which of them are
// available, that is, have a leader. It does not change.
type TopicView struct {
	name       string
	partitions int32
	available  []int32 // ascending; shared by all copies, never written
}

// newTopicView makes the view of a topic from its number of partitions and the ascending numbers of those with a leader. It
// keeps available.
func newTopicView(name string, partitions int32, available []int32) TopicView {
	return TopicView{name: name, partitions: partitions, available: available}
}

// Name returns the topic's name.
func (v TopicView) Name() string { return v.name }

// Partitions returns how many partitions the topic has.
func (v TopicView) Partitions() int32 { return v.partitions }

// IsAvailable tells whether a partition has a leader.
func (v TopicView) IsAvailable(partition int32) bool {
	if len(v.available) == int(v.partitions) {
		return partition >= 0 && partition < v.partitions
	}
	_, found := slices.BinarySearch(v.available, partition)
	return found
}

// AvailableCount returns how many partitions have a leader.
func (v TopicView) AvailableCount() int { return len(v.available) }

// AvailableAt returns the i-th partition that has a leader, in ascending order; i is less than AvailableCount.
func (v TopicView) AvailableAt(i int) int32 { return v.available[i] }

// stickyChoice is what partitionChooser.choose returns when the topic's sticky partition is to be used.
const stickyChoice int32 = -1

// partitionChooser chooses partitions as the configuration says.
type partitionChooser struct {
	custom     Partitioner
	ignoreKeys bool
	logger     *slog.Logger
}

func newPartitionChooser(c *Config) partitionChooser {
	return partitionChooser{custom: c.Partitioner, ignoreKeys: c.PartitionerIgnoreKeys, logger: logOrSilent(c.Logger)}
}

// choose returns the partition of r: the one that it names, which the topic may not have (yet); the one that the user's
// partitioner says; the one of its key; or stickyChoice. An error is the user's partitioner's fault; it is not nil only
// where there is one. Without a user's partitioner r does not escape and nothing is allocated.
func (c *partitionChooser) choose(r *Record, topic *TopicView) (int32, *record.Error) {
	if n, named := r.Partition.Number(); named {
		return n, nil
	}
	if c.custom != nil {
		// The copy keeps the caller's record from escaping to the heap in every Send, with or without a partitioner.
		clone := *r
		if n, failed := c.ask(&clone, *topic); failed != nil || n != BuiltInDecides {
			return n, failed
		}
	}
	if r.Key != nil && !c.ignoreKeys {
		return PartitionForKey(r.Key, topic.partitions), nil
	}
	return stickyChoice, nil
}

// ask calls the user's partitioner.
func (c *partitionChooser) ask(r *Record, topic TopicView) (chosen int32, failed *record.Error) {
	defer func() {
		if value := recover(); value != nil {
			logPanic(c.logger, "partitioner", value, "topic", topic.name)
			chosen, failed = stickyChoice, partitionerError(topic, fmt.Sprintf("panic: %v", value))
		}
	}()
	chosen = c.custom.Partition(r, topic)
	if chosen == BuiltInDecides {
		return chosen, nil
	}
	if chosen < 0 || chosen >= topic.partitions {
		return stickyChoice, partitionerError(topic, fmt.Sprintf("chose partition %d of %d", chosen, topic.partitions))
	}
	return chosen, nil
}

func partitionerError(topic TopicView, detail string) *record.Error {
	return &record.Error{Topic: topic.name, Partition: -1, Detail: detail, Err: record.ErrPartitioner}
}

// stickyLane is the built-in choice for a topic's records without a key (KIP-794): all go to one partition until it got
// about batch.size bytes, then to another one at random. So batches fill, and in the long run every partition gets as many
// bytes; where queues are known, partitions with long ones get fewer.
//
// All methods may be called from many goroutines. None takes a lock: pick is one atomic load.
type stickyLane struct {
	batchSize    uint32
	availability time.Duration                                   // leave out partitions that are stalled for longer; 0: none
	load         func(partition int32, now time.Time) stickyLoad // nil: choose uniformly
	random       stickyRandom

	// state is the current partition in the upper half, its bytes since it was chosen in the lower: one word, so that bytes
	// counted for the partition before cannot be added to the next one.
	state atomic.Uint64
	view  atomic.Pointer[TopicView]
	table atomic.Pointer[stickyTable]
}

// stickyLoad is what a partition is busy with.
type stickyLoad struct {
	queued  int32         // batches that wait
	stalled time.Duration // for how long its broker could have taken a batch and has not
}

// newStickyLane makes a lane; see newStickyTopic.
func newStickyLane(c *Config, view TopicView, load func(partition int32, now time.Time) stickyLoad, seed uint64) *stickyLane {
	s := &stickyLane{batchSize: uint32(max(c.BatchSize, 1))}
	if c.PartitionerAdaptive {
		s.load, s.availability = load, c.PartitionerAvailabilityTimeout
	}
	s.random.state.Store(seed)
	s.state.Store(stickyState(stickyChoice, 0))
	s.view.Store(&view)
	return s
}

// pick returns the current partition; stickyChoice only while the view has no partitions.
func (s *stickyLane) pick() int32 {
	if p := stickyPartition(s.state.Load()); p != stickyChoice {
		return p
	}
	return s.pickFirst()
}

func (s *stickyLane) pickFirst() int32 {
	for {
		state := s.state.Load()
		if p := stickyPartition(state); p != stickyChoice || s.view.Load().partitions <= 0 {
			return p
		}
		s.move(state)
	}
}

// current tells whether the partition is the one that the lane fills.
func (s *stickyLane) current(partition int32) bool {
	return stickyPartition(s.state.Load()) == partition
}

// appended counts bytes that a partition got. Complete says that the partition has no open batch that would take more
// records: it is full, sealed, or not there. The partition is left after batch.size bytes when that is so, and after twice as
// many in any case; so no small rest of a batch is left to linger. Bytes may be counted for each record, or once for a batch
// when it is sealed, which touches the shared word less. They do not count when the partition has been left already.
func (s *stickyLane) appended(partition int32, bytes int, complete bool) {
	for {
		state := s.state.Load()
		if partition == stickyChoice || stickyPartition(state) != partition {
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

// move goes on to a next partition, unless the state has changed meanwhile.
func (s *stickyLane) move(state uint64) bool {
	view := s.view.Load()
	if !s.state.CompareAndSwap(state, stickyState(s.choose(view), 0)) {
		return false
	}
	if s.view.Load() != view {
		s.leaveUnavailable() // update was between: it saw the state before, and the choice was made from the view before
	}
	return true
}

// update makes a new view of the topic count. A current partition that has lost its leader is left, if another one has one.
func (s *stickyLane) update(view TopicView) {
	s.view.Store(&view)
	s.leaveUnavailable()
}

func (s *stickyLane) leaveUnavailable() {
	view, state := s.view.Load(), s.state.Load()
	p := stickyPartition(state)
	if p == stickyChoice || view.IsAvailable(p) || p < view.partitions && len(view.available) == 0 {
		return
	}
	s.state.CompareAndSwap(state, stickyState(stickyChoice, 0)) // if it changed, somebody has moved on already
}

func stickyState(partition int32, bytes uint32) uint64 {
	return uint64(uint32(partition))<<32 | uint64(bytes)
}

func stickyPartition(state uint64) int32 { return int32(state >> 32) }

// choose returns the next partition: by the table where queues are known, else uniformly among those with a leader, or
// among all if none has one.
func (s *stickyLane) choose(view *TopicView) int32 {
	switch {
	case view.partitions <= 0:
		return stickyChoice
	case len(view.available) == 0:
		return int32(s.random.below(uint64(view.partitions)))
	case s.load == nil || len(view.available) == 1:
		return view.available[s.random.below(uint64(len(view.available)))]
	}
	return s.currentTable(view).choose(&s.random)
}

// currentTable returns the table of weights, made anew when it is used up. With very few partitions it is for every choice;
// with more it serves for some, so that a choice does not cost time in proportion to the topic's partitions.
func (s *stickyLane) currentTable(view *TopicView) *stickyTable {
	const (
		share = 4           // partitions asked for their load, for each choice
		most  = time.Second // after which a table is too old
		part  = 100         // a table lives at least this many times as long as it took to make
	)
	now := time.Now()
	if t := s.table.Load(); t != nil && t.view == view && t.uses.Add(-1) >= 0 && now.Sub(t.made) < max(most, part*t.took) {
		return t
	}
	t := newStickyTable(view, s.load, s.availability, now)
	t.took = time.Since(now)
	t.uses.Store(int32(len(view.available) / share))
	s.table.Store(t)
	return t
}

// stickyTable says how often each partition is to be chosen. It is immutable but for its uses.
type stickyTable struct {
	view       *TopicView
	made       time.Time
	took       time.Duration // to make it, which follows the number of partitions
	uses       atomic.Int32
	partitions []int32
	sums       []uint64 // of the weights up to each partition; nil: all weigh the same
}

// newStickyTable weighs a partition with the longest queue + 1 - its own queue: of queues of 0, 3 and 1 batches the weights
// are 4, 1 and 3.
func newStickyTable(view *TopicView, load func(int32, time.Time) stickyLoad, availability time.Duration, now time.Time) *stickyTable {
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
		t.partitions = view.available // all are stalled: none is better than another
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

// stickyRandom is the generator SplitMix64: a counter and a mixing function, so that an atomic addition makes it safe for
// many goroutines.
type stickyRandom struct{ state atomic.Uint64 }

func (r *stickyRandom) next() uint64 {
	x := r.state.Add(0x9e3779b97f4a7c15)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// below returns a number less than n, which is more than 0.
func (r *stickyRandom) below(n uint64) uint64 {
	high, _ := bits.Mul64(r.next(), n)
	return high
}
