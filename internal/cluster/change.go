package cluster

import "github.com/gosamsa/samsa/protocol"

// Change is the difference between a snapshot and its predecessor. Its size grows with the affected topics and
// partitions only.
type Change struct {
	// Snapshot is the state after the change.
	Snapshot *Snapshot
	// Cluster reports a new cluster id, or the first known one. A new cluster affects every partition, also of topics
	// outside Topics.
	Cluster bool
	// Brokers reports a difference of the brokers.
	Brokers bool
	// Topics has the changed topics.
	Topics []TopicChange
}

// TopicChange is a topic with a difference from the snapshot before.
type TopicChange struct {
	Name string
	// All reports a difference of every partition: the topic came, left, or has another id.
	All bool
	// Partitions has the indexes of the changed partitions if All is false.
	Partitions []int32
}

// changeOf returns the difference between one version of a topic and the next. A nil version is a snapshot without the
// topic.
func changeOf(name string, before, after *Topic) TopicChange {
	c := TopicChange{Name: name}
	if before == nil || after == nil || before.ID != after.ID {
		c.All = true
		return c
	}
	c.Partitions = before.differences(after)
	return c
}

// put puts a new version of a topic into the change's snapshot before its publication.
func (c *Change) put(t *Topic, difference TopicChange) {
	c.Snapshot.topics = c.Snapshot.topics.With(t.Name, t)
	c.Topics = append(c.Topics, difference)
}

// remove takes a topic out of the change's snapshot, if it is there.
func (c *Change) remove(name string) {
	if c.Snapshot.Topic(name) == nil {
		return
	}
	c.Snapshot.topics = c.Snapshot.topics.Without(name)
	c.Topics = append(c.Topics, TopicChange{Name: name, All: true})
}

// withoutLeaders returns the topic without the leaders missing from the brokers, with the change; t itself if each
// leader is a broker.
func (t *Topic) withoutLeaders(isBroker func(int32) bool) (*Topic, TopicChange) {
	gone := false
	for _, leader := range t.leaders {
		gone = gone || !isBroker(leader)
	}
	if !gone {
		return t, TopicChange{}
	}
	difference := TopicChange{Name: t.Name}
	var changed []Partition
	var leaders []int32
	for i, p := range t.Partitions() {
		if p.Leader == protocol.NoLeader || isBroker(p.Leader) {
			continue
		}
		without := *p
		without.Leader = protocol.NoLeader
		changed = append(changed, without)
		difference.Partitions = append(difference.Partitions, int32(i))
	}
	for _, leader := range t.leaders {
		if isBroker(leader) {
			leaders = append(leaders, leader)
		}
	}
	next := t.with(changed...)
	next.leaders = leaders
	return next, difference
}

// hasLeader reports whether the partition exists and has a leader.
func (t *Topic) hasLeader(index int32) bool {
	return int(index) < t.Len() && t.Partition(int(index)).Leader != protocol.NoLeader
}
