package sender

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/accumulator"
	"github.com/gosamsa/samsa/internal/cluster"
	"github.com/gosamsa/samsa/internal/samecost"
	"github.com/gosamsa/samsa/internal/transport"
)

// newScaled returns a sender with partitions of topics t0, t1 and so on in use. The test makes the changes of the
// metadata.
func newScaled(t *testing.T, topics, partitions int) *Sender {
	options := new(transport.Options)
	client := cluster.New(cluster.Config{Transport: options, MaxAge: time.Hour})
	s := New(Config{
		Cluster: client, Transport: options, Accumulator: accumulator.Config{BatchSize: 16384, MaxRequestSize: 1 << 20,
			Memory: 32 << 20},
		Acks: -1, Idempotent: true, DeliveryTimeout: time.Minute,
	})
	t.Cleanup(func() {
		s.Stop()
		client.Close()
	})
	for i := range topics {
		topic := s.Accumulator().Topic(fmt.Sprint("t", i))
		for p := range partitions {
			require.NotNil(t, topic.Partition(int32(p)))
		}
	}
	return s
}

// change returns a change of the metadata of topics.
func change(topics ...cluster.TopicChange) *cluster.Change {
	return &cluster.Change{Snapshot: new(cluster.Snapshot), Topics: topics}
}

// Each partition in affected is locked and follows the snapshot.
func TestAChangeVisitsOnlyThePartitionsInUseThatItNames(t *testing.T) {
	s := newScaled(t, 50, 20)
	visits := func(c *cluster.Change) (names []string) {
		for _, p := range s.affected(c) {
			names = append(names, fmt.Sprint(p.acc.Topic(), "-", p.acc.Index()))
		}
		slices.Sort(names)
		return names
	}
	of := func(topic string, partitions int) (names []string) {
		for p := range partitions {
			names = append(names, fmt.Sprint(topic, "-", p))
		}
		slices.Sort(names)
		return names
	}
	many := make([]int32, 1000) // 20 of them are in use
	for i := range many {
		many[i] = int32(i)
	}
	require.Empty(t, visits(change()))
	require.Empty(t, visits(&cluster.Change{Brokers: true}))
	require.Equal(t, []string{"t7-3"}, visits(change(cluster.TopicChange{Name: "t7", Partitions: []int32{3}})))
	require.Equal(t, []string{"t7-19", "t8-0", "t8-1"}, visits(change(
		cluster.TopicChange{Name: "t7", Partitions: []int32{19, 20, 999}},
		cluster.TopicChange{Name: "t8", Partitions: []int32{0, 1}},
	)), "others are not in use")
	require.Equal(t, of("t7", 20), visits(change(cluster.TopicChange{Name: "t7", All: true})))
	require.Equal(t, of("t7", 20), visits(change(cluster.TopicChange{Name: "t7", Partitions: many})))
	require.Empty(t, visits(change(cluster.TopicChange{Name: "unused", All: true},
		cluster.TopicChange{Name: "unused too", Partitions: many})))
	require.Len(t, visits(&cluster.Change{Cluster: true}), 1000)
}

// A visit can take locks without a trace in the results or allocations of a change, so the test measures time.
func TestAChangeCostsTheSameWithManyPartitionsInUse(t *testing.T) {
	few, fewTopics := newScaled(t, 1, 100), newScaled(t, 100, 1)
	many, manyTopics := newScaled(t, 1, 10_000), newScaled(t, 10_000, 1)
	repeat := func(s *Sender, c *cluster.Change) func() {
		return func() {
			for range 100 {
				c.Snapshot.Generation++
				s.clusterChanged(c)
			}
		}
	}
	for name, topic := range map[string]cluster.TopicChange{
		"a partition":         {Name: "t0", Partitions: []int32{0}},
		"an unused topic":     {Name: "unused", All: true},
		"an unused partition": {Name: "t0", Partitions: []int32{10_000}},
	} {
		t.Run(name+", many partitions", func(t *testing.T) {
			samecost.Check(t, repeat(few, change(topic)), repeat(many, change(topic)))
		})
		t.Run(name+", many topics", func(t *testing.T) {
			samecost.Check(t, repeat(fewTopics, change(topic)), repeat(manyTopics, change(topic)))
		})
	}
	brokers := change()
	brokers.Brokers = true
	t.Run("brokers", func(t *testing.T) { samecost.Check(t, repeat(few, brokers), repeat(many, brokers)) })
}

// A first use adds a partition, and forgetting takes it away.
func TestAFirstUseOfATopicCostsTheSameWithManyOthersInUse(t *testing.T) {
	repeat := func(s *Sender) func() {
		return func() {
			for range 100 {
				if s.Accumulator().Topic("new").Partition(0) == nil || !s.Accumulator().Forget("new") {
					panic("the topic is in use")
				}
			}
		}
	}
	samecost.Check(t, repeat(newScaled(t, 100, 1)), repeat(newScaled(t, 10_000, 1)))
}
