package cluster

import (
	"maps"
	"slices"

	"github.com/gosamsa/samsa/protocol"
)

const (
	// epochsTrusted is the first version of Metadata whose leader epochs can be relied on; older brokers may tell stale ones.
	epochsTrusted = 9
	// Partition numbers are dense, so a table of them is made. A broker that names a partition far beyond the number of
	// partitions that it lists does not get to decide how large that table is.
	sparseFactor, sparseSlack = 4, 16
)

// merged is what an answer makes of a snapshot.
type merged struct {
	snapshot *Snapshot
	// codes has every topic that was asked for: None for those that are known now, else what the broker said.
	codes map[string]protocol.ErrorCode
	// changed: the answer told something new.
	changed bool
	// stale has the topics of which the broker told leaders older than those that are known.
	stale map[string]bool
	// unsure: of some partition the response gives an error only, and the known leader was kept.
	unsure bool
	// replaced: the response is of another cluster than the snapshot before. The snapshot has nothing of the former one.
	replaced bool
}

// merger turns one answer and the snapshot before it into the next one. Nothing that a broker says makes it panic, or
// allocate more than a small multiple of the answer.
type merger struct {
	merged
	old     *Snapshot
	version int16
	believe map[string]bool
}

// merge builds the snapshot that follows old from an answer to a request for the topics asked. Topics that were not
// asked for stay as they are, or nearly: the list of brokers is always complete, so a leader that it lacks is none. Of the
// topics in believe the answer is taken as it is, however old it looks.
//
// A response of another cluster discards the whole snapshot: brokers, topics, topic ids and leader epochs of the former cluster
// mean nothing in the new one, not even where the names are the same. A response without a cluster id proves nothing, since
// Metadata has the id from version 2 on only and one cluster may have brokers of several versions: the snapshot keeps its id.
func merge(old *Snapshot, resp *protocol.MetadataResponse, version int16, asked []string, believe map[string]bool) merged {
	m := merger{old: old, version: version, believe: believe}
	if resp.ClusterID != nil && *resp.ClusterID != "" && *resp.ClusterID != old.ClusterID {
		m.changed = true
		if m.replaced = old.ClusterID != ""; m.replaced {
			m.old = &Snapshot{Generation: old.Generation}
		}
	}
	m.snapshot = m.old.next()
	if m.changed {
		m.snapshot.ClusterID = *resp.ClusterID
	}
	m.brokers(resp)
	m.codes = make(map[string]protocol.ErrorCode, len(asked))
	for _, name := range asked {
		m.codes[name] = protocol.UnknownTopicOrPartition
	}
	fresh := make(map[string]*Topic)
	for i := range resp.Topics {
		t := &resp.Topics[i]
		if t.Name == nil {
			continue
		}
		if _, wanted := m.codes[*t.Name]; !wanted {
			continue
		}
		topic, code := m.topic(t)
		m.codes[*t.Name] = code
		if topic != nil && topic != m.old.Topics[topic.Name] {
			fresh[topic.Name] = topic
		}
	}
	m.topics(fresh)
	return m.merged
}

// brokerOf makes a broker of what an answer says of it.
func brokerOf(b *protocol.MetadataBroker) Broker {
	broker := Broker{ID: b.NodeID, Host: b.Host, Port: b.Port}
	if b.Rack != nil {
		broker.Rack = *b.Rack
	}
	return broker.withoutBrackets()
}

// namesBroker tells whether an answer names a broker that can be connected to.
func namesBroker(resp *protocol.MetadataResponse) bool {
	return slices.ContainsFunc(resp.Brokers, func(b protocol.MetadataBroker) bool { return brokerOf(&b).valid() })
}

func (m *merger) brokers(resp *protocol.MetadataResponse) {
	brokers := make(map[int32]Broker, len(resp.Brokers))
	for i := range resp.Brokers {
		if broker := brokerOf(&resp.Brokers[i]); broker.valid() {
			brokers[broker.ID] = broker
		}
	}
	if maps.Equal(brokers, m.old.Brokers) {
		return
	}
	m.snapshot.Brokers = brokers
	m.changed = true
}

// topics puts new topics into the snapshot, and takes leaders that have left the cluster out of the others.
func (m *merger) topics(fresh map[string]*Topic) {
	for name, t := range m.old.Topics {
		if fresh[name] != nil {
			continue
		}
		if again := m.leaderless(t); again != nil {
			fresh[name] = again
		}
	}
	if len(fresh) == 0 {
		return
	}
	m.changed = true
	m.snapshot.Topics = maps.Clone(m.old.Topics)
	if m.snapshot.Topics == nil {
		m.snapshot.Topics = make(map[string]*Topic, len(fresh))
	}
	maps.Copy(m.snapshot.Topics, fresh)
}

// leaderless returns the topic without the leaders that are no brokers of the snapshot, or nil when it has none of these.
func (m *merger) leaderless(t *Topic) *Topic {
	gone := func(p Partition) bool { return p.Leader != NoLeader && !m.hasBroker(p.Leader) }
	if !slices.ContainsFunc(t.Partitions, gone) {
		return nil
	}
	again := *t
	again.Partitions = slices.Clone(t.Partitions)
	for i := range again.Partitions {
		if gone(again.Partitions[i]) {
			again.Partitions[i].Leader = NoLeader
		}
	}
	return &again
}

// topic returns what an answer says of one topic: the topic, which is the old one if nothing is new, or a code that says why
// there is none.
func (m *merger) topic(t *protocol.MetadataTopic) (*Topic, protocol.ErrorCode) {
	if reactionTo(t.ErrorCode).topic != use {
		return nil, t.ErrorCode
	}
	old := m.old.Topics[*t.Name]
	before := old
	if old != nil && (!old.ID.IsZero() && !t.ID.IsZero() && old.ID != t.ID || m.believe[*t.Name]) {
		// It is another topic of the same name: its epochs have nothing to do with the old one's.
		before = nil
	}
	partitions := m.partitions(t, before)
	if len(partitions) == 0 {
		// The topic is being created.
		return nil, protocol.LeaderNotAvailable
	}
	topic := &Topic{Name: *t.Name, ID: t.ID, Internal: t.IsInternal, Partitions: partitions}
	if before != nil && t.ID.IsZero() {
		topic.ID = before.ID
	}
	if old == nil {
		return topic, protocol.None
	}
	topic.used = old.used
	if topic.equal(old) {
		return old, protocol.None
	}
	return topic, protocol.None
}

// partitions makes the dense table of partitions. Those that the answer lacks are what they were before if the topic is certain
// to be the same, and else leaderless.
func (m *merger) partitions(t *protocol.MetadataTopic, before *Topic) []Partition {
	limit := int64(len(t.Partitions))*sparseFactor + sparseSlack
	count := int64(0)
	for i := range t.Partitions {
		if index := int64(t.Partitions[i].Index); index >= 0 && index < limit {
			count = max(count, index+1)
		}
	}
	if before != nil && !t.ID.IsZero() && count > 0 {
		// Topics do not shrink: this broker has not heard of the newest partitions yet.
		count = max(count, int64(len(before.Partitions)))
	}
	table := make([]Partition, count)
	seen := make([]bool, count)
	for i := range table {
		table[i] = Partition{Index: int32(i), Leader: NoLeader, LeaderEpoch: -1, ErrorCode: protocol.LeaderNotAvailable}
		if before != nil && !t.ID.IsZero() && i < len(before.Partitions) {
			if table[i] = before.Partitions[i]; !m.hasBroker(table[i].Leader) {
				table[i].Leader = NoLeader
			}
		}
	}
	for i := range t.Partitions {
		told := &t.Partitions[i]
		if told.Index < 0 || int64(told.Index) >= count {
			continue
		}
		p := m.partition(told, before)
		if at := &table[told.Index]; !seen[told.Index] || p.LeaderEpoch > at.LeaderEpoch {
			*at = p
			seen[told.Index] = true
		}
	}
	return table
}

// partition returns what is true of one partition after the answer: what it says, or what is known already if that is newer or
// the answer gives an error only.
func (m *merger) partition(told *protocol.MetadataPartition, before *Topic) Partition {
	reaction := reactionTo(told.ErrorCode).partition
	if reaction == keepKnown {
		m.unsure = true
		return m.kept(told, before)
	}
	p := Partition{
		Index: told.Index, Leader: told.LeaderID, LeaderEpoch: told.LeaderEpoch, ErrorCode: told.ErrorCode,
		Replicas: told.Replicas, ISR: told.ISR, Offline: told.Offline,
	}
	if m.version < epochsTrusted || p.LeaderEpoch < 0 {
		p.LeaderEpoch = -1
	}
	if before != nil && int(told.Index) < len(before.Partitions) {
		known := before.Partitions[told.Index]
		switch {
		case p.LeaderEpoch < 0:
			// An answer without epoch does not make the next older one true.
			p.LeaderEpoch = known.LeaderEpoch
		case p.LeaderEpoch < known.LeaderEpoch:
			if m.stale == nil {
				m.stale = make(map[string]bool)
			}
			m.stale[before.Name] = true
			p = known
		}
	}
	if reaction == noLeader || !m.hasBroker(p.Leader) {
		p.Leader = NoLeader
	}
	return p
}

// kept returns the partition as it is known, with the error code of the response.
func (m *merger) kept(told *protocol.MetadataPartition, before *Topic) Partition {
	p := Partition{Index: told.Index, Leader: NoLeader, LeaderEpoch: -1}
	if before != nil && int(told.Index) < len(before.Partitions) {
		p = before.Partitions[told.Index]
	}
	if !m.hasBroker(p.Leader) {
		p.Leader = NoLeader
	}
	p.ErrorCode = told.ErrorCode
	return p
}

// hasBroker reports whether the next snapshot has a broker.
func (m *merger) hasBroker(id int32) bool {
	_, there := m.snapshot.Brokers[id]
	return there
}
