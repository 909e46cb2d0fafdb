package cluster

import (
	"cmp"
	"maps"
	"slices"

	"github.com/gosamsa/samsa/protocol"
)

// LeaderHint is the new leader of a partition, as named by a produce response (KIP-951).
type LeaderHint struct {
	Topic                          string
	Partition, Leader, LeaderEpoch int32
	// TopicID is the topic's id in the answer, zero if the answer has none.
	TopicID protocol.UUID
}

// ApplyLeaderHints patches the snapshot with a produce response's leaders if they are newer than the snapshot's. It
// ignores unknown partitions, leaders outside both the brokers and the endpoints, and topics recreated since. clusterID
// is the responding broker's cluster id, empty if the broker did not report one. ApplyLeaderHints ignores responses
// from another cluster than the snapshot's.
func (c *Client) ApplyLeaderHints(clusterID string, hints []LeaderHint, endpoints []Broker) {
	c.mu.Lock()
	if change := c.Snapshot().hinted(clusterID, hints, endpoints); change != nil {
		c.publish(change)
	}
	c.mu.Unlock()
	c.deliver()
}

// hinted returns the change made by the hints, or nil if no hint is new. It adds only endpoints of hinted leaders.
func (s *Snapshot) hinted(clusterID string, hints []LeaderHint, endpoints []Broker) *Change {
	if !protocol.SameCluster(clusterID, s.ClusterID) {
		return nil
	}
	told := make(map[int32]Broker, len(endpoints))
	for _, b := range endpoints {
		if b = b.withoutBrackets(); b.valid() {
			told[b.ID] = b
		}
	}
	fresh := make(map[string][]Partition)
	brokers := make(map[int32]Broker)
	for _, h := range hints {
		t := s.Topic(h.Topic)
		if t == nil || h.Partition < 0 || int(h.Partition) >= t.Len() ||
			h.LeaderEpoch <= t.Partition(int(h.Partition)).LeaderEpoch {
			continue
		}
		leader, there := told[h.Leader]
		if !there {
			leader, there = s.Brokers[h.Leader]
		}
		if !there || !h.TopicID.IsZero() && !t.ID.IsZero() && h.TopicID != t.ID {
			continue
		}
		if known, is := s.Brokers[h.Leader]; !is || known != leader {
			brokers[h.Leader] = leader
		}
		p := *t.Partition(int(h.Partition))
		p.Leader, p.LeaderEpoch, p.ErrorCode = h.Leader, h.LeaderEpoch, protocol.None
		fresh[h.Topic] = append(fresh[h.Topic], p)
	}
	if len(fresh) == 0 {
		return nil
	}
	return s.patched(fresh, brokers)
}

// patched returns the change to a snapshot with replaced partitions of some topics, and with new brokers or new
// addresses of brokers.
func (s *Snapshot) patched(partitions map[string][]Partition, brokers map[int32]Broker) *Change {
	c := &Change{Snapshot: s.next(), Brokers: len(brokers) > 0}
	if c.Brokers {
		c.Snapshot.Brokers = maps.Clone(s.Brokers)
		maps.Copy(c.Snapshot.Brokers, brokers)
	}
	for name, changed := range partitions {
		changed = newest(changed)
		difference := TopicChange{Name: name}
		for i := range changed {
			difference.Partitions = append(difference.Partitions, changed[i].Index)
		}
		c.put(s.Topic(name).with(changed...), difference)
	}
	return c
}

// newest keeps only the newest leader of each partition with several hints.
func newest(hinted []Partition) []Partition {
	slices.SortStableFunc(hinted, func(a, b Partition) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(b.LeaderEpoch, a.LeaderEpoch))
	})
	return slices.CompactFunc(hinted, func(a, b Partition) bool { return a.Index == b.Index })
}
