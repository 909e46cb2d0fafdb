package producer

import (
	"fmt"
	"log/slog"
	"math"
	"slices"

	"github.com/gosamsa/samsa/internal/lockrank"
	"github.com/gosamsa/samsa/record"
)

// Partitioner chooses the partition of records that name none: set it as Config.Partitioner to replace the built-in
// one.
//
// Partition returns a number from 0 to topic.Partitions()-1, or [BuiltInDecides] to leave the record to the built-in
// partitioner. Partition runs inside Send on the caller's goroutine, and many goroutines may call it at the same time.
// It may block, and then delays this Send, even beyond its context and MaxBlock. The record is a copy, valid during the
// call only; Partition must not write into its key, value and headers. A panic, or a partition that the topic does not
// have, fails the record with [ErrPartitioner], not written; a panic is logged with its stack. runtime.Goexit ends the
// caller's goroutine: Send does not return, and the record is not sent and has no outcome.
type Partitioner interface {
	Partition(r *Record, topic TopicView) int32
}

// BuiltInDecides is the number that a [Partitioner] returns to leave a record to the built-in partitioner.
const BuiltInDecides int32 = math.MinInt32

// TopicView shows a topic to a [Partitioner]: the number of its partitions, and its available partitions, which have a
// leader. It is immutable.
type TopicView struct {
	name       string
	partitions int32
	available  []int32 // ascending; shared by all copies, never written
}

// newTopicView makes the view of a topic from its number of partitions and the ascending numbers of those with a
// leader. The view keeps the slice available.
func newTopicView(name string, partitions int32, available []int32) TopicView {
	return TopicView{name: name, partitions: partitions, available: available}
}

// Name returns the topic's name.
func (v TopicView) Name() string { return v.name }

// Partitions returns how many partitions the topic has.
func (v TopicView) Partitions() int32 { return v.partitions }

// IsAvailable reports whether a partition has a leader.
func (v TopicView) IsAvailable(partition int32) bool {
	if len(v.available) == int(v.partitions) {
		return partition >= 0 && partition < v.partitions
	}
	_, found := slices.BinarySearch(v.available, partition)
	return found
}

// AvailableCount returns how many partitions have a leader.
func (v TopicView) AvailableCount() int { return len(v.available) }

// AvailableAt returns the i-th partition with a leader, in ascending order; i is less than AvailableCount.
func (v TopicView) AvailableAt(i int) int32 { return v.available[i] }

// noChoice is the choice in a topic without partitions.
const noChoice int32 = -1

// partitionChooser chooses partitions as the configuration says.
type partitionChooser struct {
	custom     Partitioner
	ignoreKeys bool
	logger     *slog.Logger
}

func newPartitionChooser(c *Config) partitionChooser {
	return partitionChooser{custom: c.Partitioner, ignoreKeys: c.PartitionerIgnoreKeys, logger: logOrSilent(c.Logger)}
}

// choose returns the partition of r: the partition in r, even if the topic does not have it (yet); the choice of the
// user's partitioner; or the built-in choice. An error is the user's partitioner's. Without a user's partitioner r does
// not escape and choose allocates nothing.
func (c *partitionChooser) choose(r *Record, topic *TopicView, sticky *stickyTopic) (int32, *record.Error) {
	if n, named := r.Partition.Number(); named {
		return n, nil
	}
	if c.custom != nil {
		// Without the copy, the caller's record would escape to the heap in every Send, even without a partitioner.
		clone := *r
		if n, failed := c.ask(&clone, *topic); failed != nil || n != BuiltInDecides {
			return n, failed
		}
	}
	return c.builtIn(r.Key, topic, sticky), nil
}

// builtIn is the only implementation of the built-in partitioner: Send's fast path calls it too. Every record without a
// partition passes through it, unless the user's partitioner decides.
func (c *partitionChooser) builtIn(key []byte, topic *TopicView, sticky *stickyTopic) int32 {
	if key == nil || c.ignoreKeys {
		return sticky.pick()
	}
	return PartitionForKey(key, topic.partitions)
}

// ask calls the user's partitioner.
func (c *partitionChooser) ask(r *Record, topic TopicView) (chosen int32, failed *record.Error) {
	lockrank.AssertNone("a Partitioner")
	defer func() {
		if value := recover(); value != nil {
			logPanic(c.logger, "partitioner", value, "topic", topic.name)
			chosen, failed = noChoice, partitionerError(topic, fmt.Sprintf("panic: %v", value))
		}
	}()
	chosen = c.custom.Partition(r, topic)
	if chosen == BuiltInDecides {
		return chosen, nil
	}
	if chosen < 0 || chosen >= topic.partitions {
		return noChoice, partitionerError(topic, fmt.Sprintf("chose partition %d of %d", chosen, topic.partitions))
	}
	return chosen, nil
}

func partitionerError(topic TopicView, detail string) *record.Error {
	return &record.Error{Topic: topic.name, Partition: -1, Detail: detail, Err: record.ErrPartitioner}
}
