package cluster

import (
	"fmt"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
)

// answerOf is a whole answer of a cluster of three brokers.
func answerOf(topics ...protocol.MetadataTopic) *protocol.MetadataResponse {
	req := new(protocol.MetadataRequest)
	for i := range topics {
		req.Topics = append(req.Topics, protocol.MetadataRequestTopic{Name: topics[i].Name})
	}
	return reply3(req, topics)
}

// step merges an answer about topic a.
func step(s *Snapshot, topic protocol.MetadataTopic) merged {
	return merge(s, answerOf(topic), 13, []string{"a"}, nil)
}

// hinted returns s with the hints applied, or nil if none is news.
func hinted(s *Snapshot, clusterID string, hints []LeaderHint, endpoints []Broker) *Snapshot {
	if change := s.hinted(clusterID, hints, endpoints); change != nil {
		return change.Snapshot
	}
	return nil
}

func leaders(s *Snapshot) (ids []int32) {
	for _, p := range s.Topic("a").Partitions() {
		ids = append(ids, p.Leader)
	}
	return ids
}

func TestASnapshotIsNeverChanged(t *testing.T) {
	first := step(&Snapshot{}, topicOf("a", 1, 1, 1, 2)).Snapshot
	second := step(first, topicOf("a", 1, 2, 3, 3, 3)).Snapshot
	require.Equal(t, []int32{1, 2}, leaders(first))
	require.Equal(t, []int32{3, 3, 3}, leaders(second), "partitions are added")
	require.Equal(t, first.Generation+1, second.Generation)
}

func TestAnAnswerThatTellsNothingNewKeepsTheTopicAndSaysSo(t *testing.T) {
	first := step(&Snapshot{}, topicOf("a", 1, 1, 1, 2))
	require.True(t, first.changed)
	second := step(first.Snapshot, topicOf("a", 1, 1, 1, 2))
	require.False(t, second.changed)
	require.Same(t, first.Snapshot.Topic("a"), second.Snapshot.Topic("a"))
}

// TestAnotherOrderTellsNothingNew: brokers list partitions and replicas in any order. If another order counted as news,
// the client would send its next request too early.
func TestAnotherOrderTellsNothingNew(t *testing.T) {
	answer := func(reverse bool) *protocol.MetadataResponse {
		topic := topicOf("a", 1, 1, 1, 2)
		for i := range topic.Partitions {
			p := &topic.Partitions[i]
			p.Replicas, p.ISR, p.Offline = []int32{3, 1, 2, 4}, []int32{1, 3}, []int32{2, 4}
			if reverse {
				slices.Reverse(p.ISR)
				slices.Reverse(p.Offline)
			}
		}
		resp := answerOf(topic)
		if reverse {
			slices.Reverse(topic.Partitions)
			slices.Reverse(resp.Brokers)
		}
		return resp
	}
	first := merge(&Snapshot{}, answer(false), 13, []string{"a"}, nil)
	second := merge(first.Snapshot, answer(true), 13, []string{"a"}, nil)
	require.False(t, second.changed)
	require.Same(t, first.Snapshot.Topic("a"), second.Snapshot.Topic("a"))
	require.Equal(t, []int32{3, 1, 2, 4}, second.Snapshot.Topic("a").Partition(0).Replicas)
}

func TestAnOlderLeaderEpochIsIgnored(t *testing.T) {
	first := step(&Snapshot{}, topicOf("a", 1, 5, 1, 2)).Snapshot
	old := topicOf("a", 1, 5, 3, 3)
	old.Partitions[0].LeaderEpoch = 4
	m := step(first, old)
	require.True(t, m.stale["a"])
	require.Equal(t, []int32{1, 3}, leaders(m.Snapshot))
	require.EqualValues(t, 5, m.Snapshot.Topic("a").Partition(0).LeaderEpoch)
}

func TestAnAnswerWithoutEpochDoesNotMakeTheNextOlderOneTrue(t *testing.T) {
	s := step(&Snapshot{}, topicOf("a", 1, 5, 1)).Snapshot
	gone := topicOf("a", 1, -1, -1)
	gone.Partitions[0].ErrorCode = protocol.LeaderNotAvailable
	s = step(s, gone).Snapshot
	require.Equal(t, []int32{protocol.NoLeader}, leaders(s))
	s = step(s, topicOf("a", 1, 4, 2)).Snapshot
	require.Equal(t, []int32{protocol.NoLeader}, leaders(s))
	s = step(s, topicOf("a", 1, 6, 2)).Snapshot
	require.Equal(t, []int32{2}, leaders(s))
}

func TestAnotherTopicIDEndsTheOldEpochs(t *testing.T) {
	s := step(&Snapshot{}, topicOf("a", 1, 50, 1, 2, 3)).Snapshot
	m := step(s, topicOf("a", 2, 0, 3))
	require.Empty(t, m.stale)
	require.Equal(t, []int32{3}, leaders(m.Snapshot))
	require.Equal(t, protocol.UUID{2}, m.Snapshot.Topic("a").ID)
}

func TestAnotherClusterEndsTheOldEpochs(t *testing.T) {
	first := merge(&Snapshot{}, answerOf(topicOf("a", 0, 50, 1)), 9, []string{"a"}, nil).Snapshot
	other := "another cluster"
	resp := answerOf(topicOf("a", 0, 0, 3))
	resp.ClusterID = &other
	require.Equal(t, []int32{3}, leaders(merge(first, resp, 9, []string{"a"}, nil).Snapshot))
}

func TestEpochsOfOldVersionsAreNotTrusted(t *testing.T) {
	s := merge(&Snapshot{}, answerOf(topicOf("a", 0, 50, 1)), 8, []string{"a"}, nil).Snapshot
	require.EqualValues(t, -1, s.Topic("a").Partition(0).LeaderEpoch)
	require.Equal(t, []int32{2}, leaders(merge(s, answerOf(topicOf("a", 0, 3, 2)), 8, []string{"a"}, nil).Snapshot))
}

func TestATopicWithAnIDDoesNotShrink(t *testing.T) {
	s := step(&Snapshot{}, topicOf("a", 1, 0, 1, 2, 3)).Snapshot
	require.Equal(t, []int32{2, 2, 3}, leaders(step(s, topicOf("a", 1, 1, 2, 2)).Snapshot))
	// Without topic ids this may be a recreated topic.
	s = step(&Snapshot{}, topicOf("a", 0, 0, 1, 2, 3)).Snapshot
	require.Equal(t, []int32{2, 2}, leaders(step(s, topicOf("a", 0, 1, 2, 2)).Snapshot))
}

func TestALeaderThatIsNoBrokerIsNone(t *testing.T) {
	s := step(&Snapshot{}, topicOf("a", 1, 0, 1, 99, -5)).Snapshot
	require.Equal(t, []int32{1, protocol.NoLeader, protocol.NoLeader}, leaders(s))
	_, ok := s.Leader("a", 1)
	require.False(t, ok)

	// Broker 1 leaves, and the answer is about another topic.
	resp := answerOf(topicOf("b", 2, 0, 2))
	resp.Brokers = resp.Brokers[1:]
	m := merge(s, resp, 13, []string{"b"}, nil)
	require.Equal(t, []int32{protocol.NoLeader, protocol.NoLeader, protocol.NoLeader}, leaders(m.Snapshot))
	require.EqualValues(t, 0, m.Snapshot.Topic("a").Partition(0).LeaderEpoch)
	require.Equal(t, []int32{1, protocol.NoLeader, protocol.NoLeader}, leaders(s))
}

func TestPartitionErrorsTakeTheLeaderAwayUnlessTheLeaderIsFine(t *testing.T) {
	topic := topicOf("a", 1, 0, 1, 2, 3)
	topic.Partitions[0].ErrorCode = protocol.LeaderNotAvailable
	topic.Partitions[1].ErrorCode = protocol.ReplicaNotAvailable
	topic.Partitions[2].ErrorCode = protocol.ErrorCode(-77)
	s := step(&Snapshot{}, topic).Snapshot
	require.Equal(t, []int32{protocol.NoLeader, 2, protocol.NoLeader}, leaders(s))
	require.Equal(t, protocol.LeaderNotAvailable, s.Topic("a").Partition(0).ErrorCode)
}

func TestStrangePartitionsAreSortedOut(t *testing.T) {
	odd := func(indexes ...int32) protocol.MetadataTopic {
		topic := topicOf("a", 1, 0)
		for i, index := range indexes {
			topic.Partitions = append(topic.Partitions, protocol.MetadataPartition{Index: index,
				LeaderID: int32(i%3 + 1), LeaderEpoch: int32(i % 2)})
		}
		return topic
	}
	for name, test := range map[string]struct {
		indexes []int32
		want    []int32
	}{
		"in another order":     {[]int32{2, 0, 1}, []int32{2, 3, 1}},
		"a hole":               {[]int32{0, 2}, []int32{1, protocol.NoLeader, 2}},
		"negative":             {[]int32{-1, -1 << 31, 0}, []int32{3}},
		"twice, the newer one": {[]int32{0, 0, 0}, []int32{2}},
		"absurdly high":        {[]int32{0, 1<<31 - 1, 1_000_000}, []int32{1}},
	} {
		t.Run(name, func(t *testing.T) {
			s := step(&Snapshot{}, odd(test.indexes...)).Snapshot
			require.Equal(t, test.want, leaders(s))
			for i, p := range s.Topic("a").Partitions() {
				require.EqualValues(t, i, p.Index)
			}
		})
	}
	// A topic without a usable partition is being created.
	m := step(&Snapshot{}, odd(-1, 1<<30))
	require.Equal(t, protocol.LeaderNotAvailable, m.codes["a"])
	require.Nil(t, m.Snapshot.Topic("a"))
}

func TestStrangeBrokersAreLeftOut(t *testing.T) {
	rack := "r1"
	resp := answerOf(topicOf("a", 1, 0, 1))
	resp.Brokers = []protocol.MetadataBroker{
		{NodeID: 1, Host: "", Port: 9092}, {NodeID: 2, Host: "b", Port: 0}, {NodeID: 3, Host: "c", Port: 65536},
		{NodeID: -1, Host: "d", Port: 1}, {NodeID: 7, Host: strings.Repeat("h", 256), Port: 1},
		{NodeID: 8, Host: "two\nlines", Port: 1},
		{NodeID: 9, Host: "a b", Port: 1}, {NodeID: 10, Host: "\xff", Port: 1}, {NodeID: 11, Host: "\x1b[2J", Port: 1},
		{NodeID: 5, Host: "::1", Port: 65535, Rack: &rack}, {NodeID: 6, Host: "f", Port: -1},
	}
	s := merge(&Snapshot{}, resp, 13, []string{"a"}, nil).Snapshot
	require.Equal(t, map[int32]Broker{5: {ID: 5, Host: "::1", Port: 65535, Rack: "r1"}}, s.Brokers)
	require.Equal(t, "[::1]:65535", s.Brokers[5].Address())
}

func TestTopicsThatNobodyAskedForAreIgnoredAndThoseLeftOutAreUnknown(t *testing.T) {
	resp := answerOf(topicOf("b", 2, 0, 1))
	resp.Topics = append(resp.Topics, protocol.MetadataTopic{})
	m := merge(&Snapshot{}, resp, 13, []string{"a"}, nil)
	require.Zero(t, m.Snapshot.Len())
	require.Equal(t, map[string]protocol.ErrorCode{"a": protocol.UnknownTopicOrPartition}, m.codes)
}

func hintOf(topic string, partition, leader, epoch int32) LeaderHint {
	return LeaderHint{Topic: topic, Partition: partition, Leader: leader, LeaderEpoch: epoch}
}

func TestHintsPatchOlderLeaders(t *testing.T) {
	s := step(&Snapshot{}, topicOf("a", 1, 5, 1, 1, 1, 1)).Snapshot
	require.Nil(t, hinted(s, "", []LeaderHint{
		hintOf("a", 0, 2, 5), hintOf("a", 0, 2, 4), hintOf("a", 9, 2, 9), hintOf("a", -1, 2, 9),
		hintOf("nowhere", 0, 2, 9), hintOf("a", 0, 77, 9), hintOf("a", 0, -1, 9),
	}, nil), "not newer, not known, or no broker")
	require.Nil(t, hinted(s, "", nil, []Broker{{ID: 9, Host: "x", Port: 1}}), "endpoints alone are no news")

	n := hinted(s, "", []LeaderHint{hintOf("a", 0, 2, 6), hintOf("a", 1, 9, 7), hintOf("a", 2, 8, 7)},
		[]Broker{{ID: 9, Host: "x", Port: 1}, {ID: 8, Host: "", Port: 1}, {ID: 2, Host: "moved", Port: 2}})
	require.Equal(t, []int32{2, 9, 1, 1}, leaders(n))
	require.EqualValues(t, 6, n.Topic("a").Partition(0).LeaderEpoch)
	require.Equal(t, "moved:2", n.Brokers[2].Address())
	require.Equal(t, "b:2", s.Brokers[2].Address())
	require.Equal(t, []int32{1, 1, 1, 1}, leaders(s))
	require.Equal(t, s.Generation+1, n.Generation)

	require.Equal(t, map[int32]Broker{1: {1, "a", 1, ""}, 2: {2, "moved", 2, ""}, 3: {3, "c", 3, ""},
		9: {9, "x", 1, ""}},
		hinted(s, "", []LeaderHint{hintOf("a", 0, 2, 6), hintOf("a", 1, 9, 7)}, []Broker{
			{ID: 9, Host: "x", Port: 1}, {ID: 2, Host: "moved", Port: 2}, {ID: 50, Host: "leads nothing", Port: 1},
		}).Brokers, "endpoints that lead nothing are left out")

	// An answer older than the hint does not undo the hint. But the client cannot connect to a broker that the answer
	// does not list.
	require.Equal(t, []int32{2, protocol.NoLeader, 1, 1}, leaders(step(n, topicOf("a", 1, 5, 1, 1, 1, 1)).Snapshot))
}

// TestAHintForARecreatedTopicIsIgnored: the epochs of the old topic mean nothing for the new topic.
func TestAHintForARecreatedTopicIsIgnored(t *testing.T) {
	old := step(&Snapshot{}, topicOf("a", 1, 5, 1)).Snapshot
	s := step(old, topicOf("a", 2, 0, 1)).Snapshot
	hint := hintOf("a", 0, 2, 6)
	hint.TopicID = old.Topic("a").ID
	require.Nil(t, hinted(s, "", []LeaderHint{hint}, nil))
	hint.TopicID = s.Topic("a").ID
	require.Equal(t, []int32{2}, leaders(hinted(s, "", []LeaderHint{hint}, nil)))
}

func TestAHintIsDeliveredAtOnce(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("a", 1, 0, 1))
	run(t, w, nil, func(t *testing.T, c *Client) {
		known(t, c, "a")
		told := make(chan *Snapshot, 1)
		c.OnChange(func(change *Change) { told <- change.Snapshot })
		took(t, 0, func() {
			c.ApplyLeaderHints("", []LeaderHint{hintOf("a", 0, 3, 1)}, nil)
			require.Same(t, <-told, c.Snapshot())
		})
		leader, ok := c.Snapshot().Leader("a", 0)
		require.True(t, ok)
		require.Equal(t, "c:3", leader.Address())
	})
}

func TestATopicMadeElsewhereCanBeTouched(*testing.T) { new(Topic).Touch(time.Now()) }

// spent returns how many bytes f allocates. The runtime counts the allocations of the whole process, including its own,
// which only add to f's. So spent returns the smallest of several measurements.
func spent(f func()) uint64 {
	least := ^uint64(0)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

// A server may name any number of brokers, partitions and endpoints. The cost must grow only linearly with this number.
func TestVeryLongAnswersCostNoMoreThanAMultipleOfTheirSize(t *testing.T) {
	const many = 100_000
	resp := answerOf(topicOf("a", 1, 0, make([]int32, many)...))
	endpoints := make([]Broker, many)
	hints := make([]LeaderHint, many)
	for i := range many {
		resp.Brokers = append(resp.Brokers, protocol.MetadataBroker{NodeID: int32(i), Host: fmt.Sprint("h", i),
			Port: 1})
		endpoints[i] = Broker{ID: int32(i), Host: fmt.Sprint("moved", i), Port: 2}
		hints[i] = hintOf("a", int32(i), int32(i), 1)
	}
	var s, n *Snapshot
	require.Less(t, spent(func() { s = merge(&Snapshot{}, resp, 13, []string{"a"}, nil).Snapshot }), uint64(600*many))
	require.Equal(t, many, s.Topic("a").Len())
	require.Less(t, spent(func() { n = hinted(s, "", hints, endpoints) }), uint64(1100*many))
	require.Equal(t, "moved7:2", n.Brokers[7].Address())

	c := &Client{cfg: Config{Bootstrap: []string{"b:1", "b:2"}, Rebootstrap: true}, servers: make(servers)}
	c.snapshot.Store(s)
	var list []candidate
	require.Less(t, spent(func() { list = c.candidates(false) }), uint64(600*many))
	require.Len(t, list, many+2)
}

func TestAnErrorNamesTheFirstOfVeryManyServers(t *testing.T) {
	e := new(UnreachableError)
	for i := range 100_000 {
		e.Servers = append(e.Servers, ServerFailure{fmt.Sprint("h:", i), ErrNoAnswer})
	}
	require.Contains(t, e.Error(), "h:19: no answer yet; and 99980 more")
	require.Less(t, len(e.Error()), 2000)
	e.Servers = e.Servers[:namedServers]
	require.NotContains(t, e.Error(), "more")
}

// FuzzMerge merges any two answers one after another. Nothing may panic, and the result must hold together and stay
// small.
func FuzzMerge(f *testing.F) {
	add := func(version int16, topics ...protocol.MetadataTopic) {
		first, err := answerOf(topics...).Append(nil, version)
		require.NoError(f, err)
		second, err := answerOf(topicOf("a", 1, 0, 3, 2, 1, 0)).Append(nil, version)
		require.NoError(f, err)
		f.Add(first, second, uint8(version))
	}
	add(13, topicOf("a", 1, 5, 1, 2, 3))
	add(9, topicOf("a", 0, 5, 1, 2, 3), topicOf("b", 0, 1, 1))
	add(0, topicOf("a", 1, 5, 1, 2, 3))
	add(12, refusedTopic("a", protocol.TopicAuthorizationFailed))
	f.Fuzz(func(t *testing.T, first, second []byte, version uint8) {
		s := &Snapshot{}
		for _, body := range [][]byte{first, second} {
			resp := new(protocol.MetadataResponse)
			if resp.Decode(body, int16(version%14)) != nil {
				return
			}
			asked := []string{"a", "b"}
			for i := range resp.Topics {
				if name := resp.Topics[i].Name; name != nil && i%2 == 0 {
					asked = append(asked, *name)
				}
			}
			before := s
			spentBefore := allocated()
			m := merge(s, resp, int16(version%14), asked, nil)
			if grown := allocated() - spentBefore; grown > uint64(100*(len(first)+len(second))+1<<20) {
				t.Fatalf("%d bytes were allocated for answers of %d and %d", grown, len(first), len(second))
			}
			s = m.Snapshot
			if len(m.codes) == 0 || s.Generation != before.Generation+1 {
				t.Fatal("no answer for what was asked")
			}
			if n := hinted(s, "", []LeaderHint{hintOf("a", 0, 1, 1<<30)}, nil); n != nil {
				holdsTogether(t, n, 2*(len(first)+len(second)))
			}
			holdsTogether(t, s, 2*(len(first)+len(second)))
		}
	})
}

// allocated returns the bytes allocated since the start of the process. It is cheap, and exact for large objects; the
// runtime counts small objects with a delay.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// holdsTogether checks the invariants of a snapshot.
func holdsTogether(t *testing.T, s *Snapshot, limit int) {
	for name, topic := range s.Topics() {
		if topic.Name != name || topic.Len() == 0 || topic.Len() > limit {
			t.Fatalf("topic %q has %d partitions", name, topic.Len())
		}
		for i, p := range topic.Partitions() {
			if int(p.Index) != i {
				t.Fatalf("partition %d at %d", p.Index, i)
			}
			if _, there := s.Brokers[p.Leader]; !there && p.Leader != protocol.NoLeader {
				t.Fatalf("leader %d is no broker", p.Leader)
			}
		}
	}
	for id, b := range s.Brokers {
		if b.ID != id || !b.valid() {
			t.Fatalf("broker %d is %v", id, b)
		}
	}
}
