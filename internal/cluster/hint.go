package cluster

import (
	"maps"
	"slices"

	"github.com/gosamsa/samsa/protocol"
)

// LeaderHint is what a produce answer says of a partition that is led by another broker now (KIP-951).
type LeaderHint struct {
	Topic                          string
	Partition, Leader, LeaderEpoch int32
	// TopicID is the topic's id as the answer has it, zero where it has none.
	TopicID protocol.UUID
}

// Hint patches the snapshot with the leaders that a produce response named, where they are newer than the snapshot's. It ignores
// partitions that the snapshot does not have, leaders that are neither brokers nor among the endpoints, and topics that were deleted and
// created again since. clusterID is the cluster id of the broker that responded, empty where the broker did not report one. Hint
// ignores responses from another cluster than the snapshot's.
func (c *Client) Hint(clusterID string, hints []LeaderHint, endpoints []Broker) {
	done := new(completion)
	c.mu.Lock()
	if s := c.Snapshot().hinted(clusterID, hints, endpoints); s != nil {
		c.snapshot.Store(s)
		done.snapshot = s
	}
	c.mu.Unlock()
	c.complete(done)
}

// hinted returns the next snapshot with the hints that are news, or nil if none is. Of the endpoints it takes those that lead.
func (s *Snapshot) hinted(clusterID string, hints []LeaderHint, endpoints []Broker) *Snapshot {
	if !SameCluster(clusterID, s.ClusterID) {
		return nil
	}
	told := make(map[int32]Broker, len(endpoints))
	for _, b := range endpoints {
		if b = b.withoutBrackets(); b.valid() {
			told[b.ID] = b
		}
	}
	leaders := make(map[int32]Broker)
	fresh := make(map[string]*Topic)
	for _, h := range hints {
		t := fresh[h.Topic]
		if t == nil {
			t = s.Topics[h.Topic]
		}
		if t == nil || h.Partition < 0 || int(h.Partition) >= len(t.Partitions) || h.LeaderEpoch <= t.Partitions[h.Partition].LeaderEpoch {
			continue
		}
		leader, there := told[h.Leader]
		if !there {
			leader, there = s.Brokers[h.Leader]
		}
		if !there || !h.TopicID.IsZero() && !t.ID.IsZero() && h.TopicID != t.ID {
			continue
		}
		leaders[h.Leader] = leader
		if fresh[h.Topic] == nil {
			clone := *t
			clone.Partitions = slices.Clone(t.Partitions)
			fresh[h.Topic], t = &clone, &clone
		}
		p := &t.Partitions[h.Partition]
		p.Leader, p.LeaderEpoch, p.ErrorCode = h.Leader, h.LeaderEpoch, protocol.None
	}
	if len(fresh) == 0 {
		return nil
	}
	n := s.next()
	n.Brokers, n.Topics = maps.Clone(s.Brokers), maps.Clone(s.Topics)
	maps.Copy(n.Brokers, leaders)
	maps.Copy(n.Topics, fresh)
	return n
}
