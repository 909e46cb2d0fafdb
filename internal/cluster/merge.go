package cluster

import (
	"maps"
	"slices"

	"github.com/gosamsa/samsa/protocol"
)

const (
	// epochsTrusted is the first version of Metadata with reliable leader epochs; older brokers may tell stale ones.
	epochsTrusted = 9
	// Partition numbers are dense, so the client makes a table of them. A broker cannot enlarge the table by naming a
	// partition far beyond the number of listed partitions.
	sparseFactor, sparseSlack = 4, 16
)

// merged is the result of merging an answer into a snapshot.
type merged struct {
	Change
	// codes has every requested topic: None for a known one, else the broker's code.
	codes map[string]protocol.ErrorCode
	// changed: the answer told something new.
	changed bool
	// stale has the topics with leaders in the answer older than the known ones.
	stale map[string]bool
	// unsure has the topics with an error in place of a partition's leader; the known leader was kept.
	unsure map[string]bool
	// replaced: the response is of another cluster than the snapshot before. The snapshot has nothing of the former
	// one.
	replaced bool
}

// merger turns one answer and the snapshot before it into the next one. No answer makes it panic, or allocate more than
// a small multiple of the answer.
type merger struct {
	merged
	old     *Snapshot
	version int16
	believe map[string]bool
}

// merge builds the successor of old from an answer to a request for the topics asked. Other topics stay as they are, or
// nearly: the list of brokers is always complete, so a leader outside it is none. For the topics in believe the answer
// counts, however old it looks.
//
// A response of another cluster discards the whole snapshot: brokers, topics, topic ids and leader epochs of the former
// cluster mean nothing in the new one, not even under the same names. A response without a cluster id proves nothing,
// since Metadata has the id from version 2 on only and one cluster may have brokers of several versions: the snapshot
// keeps its id.
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
		// A response may name a topic twice, so the topic before is the newest version.
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

// topicsOf adds the topics of the former cluster to the change, without those of the new one.
func (m *merger) topicsOf(former *Snapshot) {
	for name := range former.Topics() {
		if m.Snapshot.Topic(name) == nil {
			m.Topics = append(m.Topics, TopicChange{Name: name, All: true})
		}
	}
}

// brokerOf makes a broker from an answer's.
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

// departed takes leaders out of the topics once they have left the cluster. It looks at each topic once, and only when
// a broker has left.
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
			m.Snapshot.topics = m.Snapshot.topics.With(t.Name, next) // only the list of leaders is shorter
		}
	}
}

// topic returns an answer's version of one topic, the old one if nothing is new, or the code in place of a topic. A
// changed topic shares unchanged partitions with the old one.
func (m *merger) topic(t *protocol.MetadataTopic, old *Topic) (*Topic, protocol.ErrorCode) {
	if reactionTo(t.ErrorCode).topic != use {
		return nil, t.ErrorCode
	}
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

// partitions makes the dense table of partitions. Partitions missing from the answer stay as before if the topic is
// certain to be the same, and else become leaderless.
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

// partition returns one partition after the answer: the answer's version, or the known one if that is newer or the
// answer gives an error only.
func (m *merger) partition(topic string, told *protocol.MetadataPartition, before *Topic) Partition {
	reaction := reactionTo(told.ErrorCode).partition
	if reaction == keepKnown {
		if m.unsure == nil {
			m.unsure = make(map[string]bool)
		}
		m.unsure[topic] = true
		return m.kept(told, before)
	}
	// Brokers list these in any order, and another order is no news. The first of all replicas is the preferred leader.
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
		p.Leader = protocol.NoLeader
	}
	return p
}

// kept returns the partition as it is known, with the error code of the response.
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
