package sender

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/gosamsa/samsa/internal/cluster"
	"github.com/gosamsa/samsa/internal/transport"
	"github.com/gosamsa/samsa/protocol"
)

// failed tells every partition that the request got no answer.
func (r *request) failed(err error, now time.Time) {
	err, suspicious := r.explain(err)
	sent := true
	var broken *transport.Error
	if errors.As(err, &broken) {
		sent = broken.Sent
	}
	for _, t := range r.trips {
		t.part.disconnected(t, sent, err, now)
	}
	level := slog.LevelDebug
	if suspicious {
		level = slog.LevelWarn
	}
	r.b.s.cfg.Logger.Log(r.b.s.ctx, level, "a request got no answer", "broker", r.b.id, "sent", sent, "error", err)
	r.b.s.cfg.Cluster.Refresh()
}

// answered hands every partition its part of the answer.
func (r *request) answered(now time.Time) {
	if ms := protocol.ThrottleMs(&r.answer, r.call.Version); ms > 0 {
		r.b.throttle(r.conn, time.Duration(ms)*time.Millisecond, now)
	}
	r.hint()
	next := 0
	strays := 0
	r.found = append(r.found[:0], make([]bool, len(r.trips))...)
	for i := range r.answer.Topics {
		t := &r.answer.Topics[i]
		for k := range t.Partitions {
			part := &t.Partitions[k]
			if strays > len(r.trips) {
				break // to look for each of them would cost as much as it pleases the broker
			}
			one, ok := r.find(&next, t, part.Index)
			if !ok {
				strays++
				continue
			}
			if part.ErrorCode.RefreshMetadata() && !one.hasNewerLeader(part) {
				r.b.s.cfg.Cluster.RefreshTopic(one.part.acc.Topic())
			}
			a := toAnswer(part)
			a.byID = r.call.Version >= namesTopicsByID && !one.topicID.IsZero()
			one.part.answered(one, a, now)
		}
	}
	r.unanswered(now)
}

// hasNewerLeader reports whether an answer names a leader that the client can send to and that is newer than the one that answered. The
// hint has told the partition already (see hint), so metadata of all partitions of its topic would say no more.
func (t trip) hasNewerLeader(part *protocol.ProducePartitionResponse) bool {
	p, hint := t.part, part.CurrentLeader
	if hint == nil {
		return false
	}
	p.mu.Lock()
	seen := t.parcel.epochSeen
	p.mu.Unlock()
	leader, known := p.s.cfg.Cluster.Snapshot().Leader(p.acc.Topic(), p.acc.Index())
	return known && leader.ID == hint.LeaderID && hint.LeaderEpoch > seen
}

// find returns the batch that an answer is for. Answers usually come in the order of the request: next is where to look first.
// Each batch is found once.
func (r *request) find(next *int, t *protocol.ProduceTopicResponse, index int32) (one trip, ok bool) {
	for k := range r.trips {
		i := (*next + k) % len(r.trips)
		one = r.trips[i]
		if r.found[i] || one.part.acc.Index() != index {
			continue
		}
		if r.call.Version >= namesTopicsByID && one.topicID != t.ID || r.call.Version < namesTopicsByID && one.part.acc.Topic() != t.Name {
			continue
		}
		*next = i + 1
		r.found[i] = true
		return one, true
	}
	return trip{}, false
}

// unanswered deals with batches that the answer does not speak of: nobody knows what became of them.
func (r *request) unanswered(now time.Time) {
	for i, t := range r.trips {
		if !r.found[i] {
			err := fmt.Errorf("broker %d answered the request without a word on this partition", r.b.id)
			t.part.disconnected(t, true, err, now)
		}
	}
}

func toAnswer(part *protocol.ProducePartitionResponse) answer {
	a := answer{code: part.ErrorCode, offset: part.BaseOffset, logAppendTime: part.LogAppendTimeMs}
	if a.offset < 0 || a.offset > math.MaxInt64-math.MaxInt32 {
		a.offset = -1 // no log has such an offset; the records' own would not fit behind it
	}
	if part.ErrorMessage != nil {
		a.message = *part.ErrorMessage
	}
	if part.ErrorCode == protocol.None || len(part.RecordErrors) == 0 {
		return a
	}
	a.blamed = make(map[int32]string, len(part.RecordErrors))
	for _, e := range part.RecordErrors {
		message := ""
		if e.Message != nil {
			message = *e.Message
		}
		a.blamed[e.BatchIndex] = message
	}
	return a
}

// hint passes on the leaders that the answer names (KIP-951), so that what moved is tried again without delay.
func (r *request) hint() {
	var hints []cluster.LeaderHint
	for i := range r.answer.Topics {
		t := &r.answer.Topics[i]
		for k := range t.Partitions {
			leader := t.Partitions[k].CurrentLeader
			if leader == nil || leader.LeaderID < 0 {
				continue
			}
			name := t.Name
			if r.call.Version >= namesTopicsByID {
				name = r.topicName(t.ID)
			}
			hints = append(hints, cluster.LeaderHint{
				Topic: name, TopicID: t.ID, Partition: t.Partitions[k].Index, Leader: leader.LeaderID, LeaderEpoch: leader.LeaderEpoch,
			})
		}
	}
	if hints == nil {
		return
	}
	endpoints := make([]cluster.Broker, 0, len(r.answer.NodeEndpoints))
	for _, e := range r.answer.NodeEndpoints {
		endpoints = append(endpoints, cluster.Broker{ID: e.NodeID, Host: e.Host, Port: e.Port})
	}
	r.b.s.cfg.Cluster.Hint(r.cluster, hints, endpoints)
}

func (r *request) topicName(id protocol.UUID) string {
	for i := range r.body.Topics {
		if r.body.Topics[i].ID == id {
			return r.body.Topics[i].Name
		}
	}
	return ""
}

// throttle keeps requests from the broker for as long as it asks (KIP-219), though never longer than records live. The requests
// in flight get as much more time.
func (b *broker) throttle(conn *transport.Conn, d time.Duration, now time.Time) {
	d = min(d, b.s.cfg.DeliveryTimeout)
	conn.Throttle(d)
	until := now.Add(d)
	b.mu.Lock()
	if until.After(b.notUntil) {
		b.notUntil = until
	}
	b.mu.Unlock()
}
