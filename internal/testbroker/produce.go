package testbroker

import (
	"fmt"
	"slices"
	"time"

	"github.com/gosamsa/samsa/protocol"
)

// produce handles a Produce request; the answer is nil for acks=0. An error ends the connection. c.mu is held.
func (c *Cluster) produce(s *seen, a *Action) (protocol.Response, error) {
	k := s.conn
	at := make(map[partName]int)
	answer := &protocol.ProduceResponse{ThrottleMs: int32(a.throttle / time.Millisecond)}
	failed := false
	for i := range s.Parts {
		p := &s.Parts[i]
		v := c.produceOne(s, i, a)
		p.Code, p.Offset, p.Appended = v.code, v.offset, v.appended
		failed = failed || v.code != protocol.None
		r := protocol.ProducePartitionResponse{
			Index: p.Partition, ErrorCode: v.code, BaseOffset: v.offset, LogAppendTimeMs: v.appendTime,
			LogStartOffset: -1,
			RecordErrors:   v.recordErrors,
		}
		if v.message != "" {
			r.ErrorMessage = &v.message
		}
		if part := s.partition(i); part != nil {
			if v.code == protocol.None {
				r.LogStartOffset = part.log.start
			}
			if v.code == protocol.NotLeaderOrFollower {
				r.CurrentLeader = &protocol.LeaderIDAndEpoch{LeaderID: part.leader, LeaderEpoch: part.epoch}
			}
		}
		if a.concerns(p) && a.leader != nil {
			r.CurrentLeader = a.leader
		}
		if r.CurrentLeader != nil {
			c.addEndpoint(answer, r.CurrentLeader.LeaderID)
		}
		addPart(answer, at, p, r)
	}
	if s.Acks != 0 {
		return answer, nil
	}
	if failed {
		// The client waits for no answer; Kafka closes the connection, to make the client request new metadata.
		k.kill(false)
		return nil, errClose
	}
	return nil, nil
}

// partition returns the partition of a part, or nil.
func (s *seen) partition(i int) *partition {
	t, index := s.topic[i], s.Parts[i].Partition
	if t == nil || index < 0 || int(index) >= len(t.partitions) {
		return nil
	}
	return t.partitions[index]
}

// partName names a partition, or with index 0 a topic.
type partName struct {
	topic string
	id    protocol.UUID
	index int32
}

// addPart adds a partition's answer to its topic's; at has the topic's index.
func addPart(answer *protocol.ProduceResponse, at map[partName]int, p *Part, r protocol.ProducePartitionResponse) {
	name := partName{topic: p.Topic, id: p.TopicID}
	i, there := at[name]
	if !there {
		i = len(answer.Topics)
		at[name] = i
		answer.Topics = append(answer.Topics, protocol.ProduceTopicResponse{Name: p.Topic, ID: p.TopicID})
	}
	answer.Topics[i].Partitions = append(answer.Topics[i].Partitions, r)
}

// addEndpoint adds a broker's place to the answer.
func (c *Cluster) addEndpoint(answer *protocol.ProduceResponse, id int32) {
	if id < 1 || int(id) > len(c.brokers) || c.broker(id).stopped {
		return
	}
	if slices.ContainsFunc(answer.NodeEndpoints, func(e protocol.NodeEndpoint) bool { return e.NodeID == id }) {
		return
	}
	b := c.broker(id)
	answer.NodeEndpoints = append(answer.NodeEndpoints, protocol.NodeEndpoint{NodeID: id, Host: b.host, Port: b.port,
		Rack: b.rack})
}

// produceOne handles a request's part for one partition, in Kafka's order of checks.
func (c *Cluster) produceOne(s *seen, i int, a *Action) verdict {
	p := &s.Parts[i]
	if a.concerns(p) && a.fails {
		v := refused(a.code, a.message)
		v.recordErrors = a.recordErrors
		if !a.appends {
			return v
		}
		done := c.appendOne(s, i)
		v.appended = done.appended
		return v
	}
	v := c.appendOne(s, i)
	if v.code == protocol.None && s.Acks == -1 && !a.losesAnswer() {
		// Such an answer comes when all in-sync replicas have the batch, and so all before it.
		l := &s.partition(i).log
		l.copied = l.next
	}
	return v
}

// appendOne is the work of a broker without faults.
func (c *Cluster) appendOne(s *seen, i int) verdict {
	p, t := &s.Parts[i], s.topic[i]
	switch {
	case s.Acks < -1 || s.Acks > 1:
		return refused(protocol.InvalidRequiredAcks, "")
	case c.denied[p.Topic]:
		return refused(protocol.TopicAuthorizationFailed, "")
	case t == nil || t.deleted:
		if s.Header.Version >= 13 {
			return refused(protocol.UnknownTopicID, "")
		}
		return refused(protocol.UnknownTopicOrPartition, "")
	}
	part := s.partition(i)
	switch {
	case part == nil:
		return refused(protocol.UnknownTopicOrPartition, "")
	case p.refusal == protocol.InvalidRecord, p.refusal == protocol.UnsupportedCompressionType:
		return refused(p.refusal, p.reason)
	case part.leader != s.Broker:
		return refused(protocol.NotLeaderOrFollower, "")
	case s.Acks == -1 && len(part.isr) < t.settings.MinInSyncReplicas:
		return refused(protocol.NotEnoughReplicas, fmt.Sprintf("%d replicas in sync, %d are demanded", len(part.isr),
			t.settings.MinInSyncReplicas))
	case len(p.Raw) > t.settings.MessageMaxBytes:
		return refused(protocol.MessageTooLarge, fmt.Sprintf("a batch of %d bytes, %d are allowed", len(p.Raw),
			t.settings.MessageMaxBytes))
	case p.refusal != protocol.None:
		return refused(p.refusal, p.reason)
	}
	now := time.Now()
	if v, ok := t.settings.validate(p, now); !ok {
		return v
	}
	return part.append(p, &t.settings, s.Number, now)
}

// validate checks every record against the topic's settings.
func (s *TopicSettings) validate(p *Part, now time.Time) (verdict, bool) {
	code, message := protocol.InvalidRecord, "Compacted topic cannot accept message without key"
	var blamed []protocol.RecordError
	for i := range p.Batch.Records {
		if s.Compacted && p.Batch.Records[i].Key == nil {
			blamed = append(blamed, protocol.RecordError{BatchIndex: int32(i), Message: &message})
		}
	}
	if len(blamed) == 0 && s.TimestampAfterMax > 0 && !s.LogAppendTime {
		code, message = protocol.InvalidTimestamp, "the timestamp lies too far in the future"
		latest := now.Add(s.TimestampAfterMax).UnixMilli()
		for i := range p.Batch.Records {
			if p.Batch.Records[i].Timestamp > latest {
				blamed = append(blamed, protocol.RecordError{BatchIndex: int32(i), Message: &message})
			}
		}
	}
	if len(blamed) == 0 {
		return verdict{}, true
	}
	v := refused(code, fmt.Sprintf("%d records are refused", len(blamed)))
	v.recordErrors = blamed
	return v, false
}
