package cluster

import (
	"maps"
	"slices"

	"github.com/gosamsa/samsa/protocol"
)

const (
	// epochsTrusted is the first version of Metadata with reliable leader epochs; brokers with older versions may send
	// stale epochs.
	epochsTrusted = 9
	// Partition numbers are dense, so the client stores partitions in a table. These constants keep a broker from
	// enlarging the table with a partition number far above the number of listed partitions.
	sparseFactor, sparseSlack = 4, 16
)

// merged is the result of merging an answer into a snapshot.
type merged struct {
	Change
	// codes has an entry for every requested topic: None for a known topic, otherwise the broker's code.
	codes map[string]protocol.ErrorCode
	// changed: the answer had news.
	changed bool
	// stale has the topics for which the answer named older leaders than the known ones.
	stale map[string]bool
	// unsure has the topics for which the answer had an error in place of a partition's leader; the snapshot keeps the
	// known leader.
	unsure map[string]bool
	// replaced: the response comes from another cluster than the snapshot before, so the new snapshot has no data of
	// the former cluster.
	replaced bool
}

// merger combines a snapshot and an answer into the next snapshot. It must not panic, nor allocate more than a small
// multiple of the answer's size, for any answer.
type merger struct {
	merged
	old     *Snapshot
	version int16
	believe map[string]bool
}

// merge builds the successor of old from an answer to a request for the topics asked. Other topics only lose leaders
// that are missing from the answer's list of brokers, because this list is always complete. For the topics in believe,
// merge accepts leader epochs older than the known ones.
//
// A response of another cluster discards the whole snapshot: brokers, topics, topic ids and leader epochs of the former
// cluster mean nothing in the new one, not even under the same names. A response without a cluster id proves nothing,
// because Metadata has the id only from version 2 on, and a cluster may have brokers of several versions. Then the
// snapshot keeps its id.
func merge(old *Snapshot, resp *protocol.MetadataResponse, version int16, asked []string,
	believe map[string]bool) merged {
	m := merger{old: old, version: version, believe: believe}
	if resp.ClusterID != nil && *resp.ClusterID != "" && *resp.ClusterID != old.ClusterID {
		m.changed, m.Cluster = true, true
		if m.replaced = old.ClusterID != ""; m.replaced {
			m.old = &Snapshot{Generation: old.Generation}
		}
	}
	m.Snapshot = m.old.next()
	if m.Cluster {
		m.Snapshot.ClusterID = *resp.ClusterID
	}
	m.brokers(resp)
	m.codes = make(map[string]protocol.ErrorCode, len(asked))
	for _, name := range asked {
		m.codes[name] = protocol.UnknownTopicOrPartition
	}
	for i := range resp.Topics {
		t := &resp.Topics[i]
		if t.Name == nil {
			continue
		}
		if _, wanted := m.codes[*t.Name]; !wanted {
			continue
		}
		// A response may name a topic twice, so compare with the version in the new snapshot.
		before := m.Snapshot.Topic(*t.Name)
		topic, code := m.topic(t, before)
		m.codes[*t.Name] = code
		if topic != nil && topic != before {
			m.put(topic, changeOf(topic.Name, before, topic))
		}
	}
	m.departed()
	m.changed = m.changed || len(m.Topics) > 0
	if m.replaced {
		m.topicsOf(old)
	}
	return m.merged
}

// topicsOf adds to the change the topics of the former cluster that the new one does not have.
func (m *merger) topicsOf(former *Snapshot) {
	for name := range former.Topics() {
		if m.Snapshot.Topic(name) == nil {
			m.Topics = append(m.Topics, TopicChange{Name: name, All: true})
		}
	}
}

// brokerOf converts a broker of an answer.
func brokerOf(b *protocol.MetadataBroker) Broker {
	broker := Broker{ID: b.NodeID, Host: b.Host, Port: b.Port}
	if b.Rack != nil {
		broker.Rack = *b.Rack
	}
	return broker.withoutBrackets()
}

// namesBroker reports whether an answer names a broker with a usable address.
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
	m.Snapshot.Brokers = brokers
	m.changed, m.Brokers = true, true
}

// departed removes leaders that have left the cluster from the topics. It checks the topics only if a broker has left.
func (m *merger) departed() {
	left := false
	for id := range m.old.Brokers {
		left = left || !m.hasBroker(id)
	}
	if !left {
		return
	}
	for _, t := range m.Snapshot.Topics() {
		next, difference := t.withoutLeaders(m.hasBroker)
		switch {
		case next == t:
		case len(difference.Partitions) > 0:
			m.put(next, difference)
		default:
			m.Snapshot.topics = m.Snapshot.topics.With(t.Name, next) // only the list of leaders has changed
		}
	}
}

// topic returns the new version of one topic, the old version if the answer has no news, or the answer's error code. A
// changed topic shares unchanged partitions with the old version.
func (m *merger) topic(t *protocol.MetadataTopic, old *Topic) (*Topic, protocol.ErrorCode) {
	if reactionTo(t.ErrorCode).topic != use {
		return nil, t.ErrorCode
	}
	before := old
	if old != nil && (!old.ID.IsZero() && !t.ID.IsZero() && old.ID != t.ID || m.believe[*t.Name]) {
		// This is a recreated topic: its epochs are unrelated to the old topic's.
		before = nil
	}
	partitions := m.partitions(t, before)
	if len(partitions) == 0 {
		// The topic is being created.
		return nil, protocol.LeaderNotAvailable
	}
	id := t.ID
	if before != nil && id.IsZero() {
		id = before.ID
	}
	if old != nil && old.ID == id && old.Internal == t.IsInternal && old.Len() == len(partitions) {
		return old.following(partitions), protocol.None
	}
	topic := newTopic(*t.Name, id, partitions)
	topic.Internal = t.IsInternal
	if old != nil {
		topic.used = old.used
	}
	return topic, protocol.None
}

// following returns the topic with these partitions: t itself if none differs.
func (t *Topic) following(table []Partition) *Topic {
	var changed []Partition
	for i, known := range t.Partitions() {
		if !known.equal(&table[i]) {
			changed = append(changed, table[i])
		}
	}
	if changed == nil {
		return t
	}
	return t.with(changed...)
}

// partitions makes the dense table of partitions. If the topic is certainly the same, partitions missing from the
// answer stay as before; otherwise they become leaderless.
func (m *merger) partitions(t *protocol.MetadataTopic, before *Topic) []Partition {
	limit := int64(len(t.Partitions))*sparseFactor + sparseSlack
	count := int64(0)
	for i := range t.Partitions {
		if index := int64(t.Partitions[i].Index); index >= 0 && index < limit {
			count = max(count, index+1)
		}
	}
	if before != nil && !t.ID.IsZero() && count > 0 {
		// Topics do not shrink: this broker does not know the newest partitions yet.
		count = max(count, int64(before.Len()))
	}
	table := make([]Partition, count)
	seen := make([]bool, count)
	for i := range table {
		table[i] = Partition{Index: int32(i), Leader: protocol.NoLeader, LeaderEpoch: -1,
			ErrorCode: protocol.LeaderNotAvailable}
		if before != nil && !t.ID.IsZero() && i < before.Len() {
			if table[i] = *before.Partition(i); !m.hasBroker(table[i].Leader) {
				table[i].Leader = protocol.NoLeader
			}
		}
	}
	for i := range t.Partitions {
		told := &t.Partitions[i]
		if told.Index < 0 || int64(told.Index) >= count {
			continue
		}
		p := m.partition(*t.Name, told, before)
		if at := &table[told.Index]; !seen[told.Index] || p.LeaderEpoch > at.LeaderEpoch {
			*at = p
			seen[told.Index] = true
		}
	}
	return table
}

// partition returns one partition of the new snapshot: the known version if it is newer or the answer has only an
// error, otherwise the answer's version.
func (m *merger) partition(topic string, told *protocol.MetadataPartition, before *Topic) Partition {
	reaction := reactionTo(told.ErrorCode).partition
	if reaction == keepKnown {
		if m.unsure == nil {
			m.unsure = make(map[string]bool)
		}
		m.unsure[topic] = true
		return m.kept(told, before)
	}
	// Brokers list these replicas in any order, so sort them: a changed order is no news. Replicas keeps its order,
	// because its first element is the preferred leader.
	slices.Sort(told.ISR)
	slices.Sort(told.Offline)
	p := Partition{
		Index: told.Index, Leader: told.LeaderID, LeaderEpoch: told.LeaderEpoch, ErrorCode: told.ErrorCode,
		Replicas: told.Replicas, ISR: told.ISR, Offline: told.Offline,
	}
	if m.version < epochsTrusted || p.LeaderEpoch < 0 {
		p.LeaderEpoch = -1
	}
	if before != nil && int(told.Index) < before.Len() {
		known := *before.Partition(int(told.Index))
		switch {
		case p.LeaderEpoch < 0:
			// Keep the known epoch, so that a later answer with an older epoch is still recognised as stale.
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
		p.Leader = protocol.NoLeader
	}
	return p
}

// kept returns the known version of a partition, with the error code of the response.
func (m *merger) kept(told *protocol.MetadataPartition, before *Topic) Partition {
	p := Partition{Index: told.Index, Leader: protocol.NoLeader, LeaderEpoch: -1}
	if before != nil && int(told.Index) < before.Len() {
		p = *before.Partition(int(told.Index))
	}
	if !m.hasBroker(p.Leader) {
		p.Leader = protocol.NoLeader
	}
	p.ErrorCode = told.ErrorCode
	return p
}

// hasBroker reports whether the next snapshot has a broker.
func (m *merger) hasBroker(id int32) bool {
	_, there := m.Snapshot.Brokers[id]
	return there
}
