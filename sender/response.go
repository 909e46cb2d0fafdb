package sender

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/gosamsa/samsa/internal/cluster"
	"github.com/gosamsa/samsa/internal/delivery"
	"github.com/gosamsa/samsa/internal/transport"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// failed reports the missing answer to every partition.
func (r *request) failed(err error, now time.Time) {
	err, suspicious := r.explain(err)
	sent := true
	var broken *transport.Error
	if errors.As(err, &broken) {
		sent = broken.Sent
	}
	if errors.Is(err, transport.ErrBadCall) {
		r.unsendable(err, now)
		return
	}
	for _, t := range r.attempts {
		t.part.disconnected(t, sent, err, now)
	}
	level := slog.LevelDebug
	if suspicious {
		level = slog.LevelWarn
	}
	r.b.s.cfg.Logger.Log(r.b.s.ctx, level, "a request got no answer", "broker", r.b.id, "sent", sent, "error", err)
	r.b.s.cfg.Cluster.Refresh()
}

// unsendable reports to every partition that no connection can carry the request. Another attempt would meet the same:
// it would cost processor time until delivery.timeout.ms, and suggest to the user that sending again can help.
func (r *request) unsendable(err error, now time.Time) {
	if errors.Is(err, transport.ErrRequestTooLarge) {
		err = fmt.Errorf("%w: %w", record.ErrRecordTooLarge, err)
	}
	for _, t := range r.attempts {
		t.part.unsendable(t, err, now)
	}
}

// decode reads the answer, and finds the batches of its parts. An answer to a request of this size has no more parts
// than the request: a longer one is an error before it takes memory.
func (r *request) decode(body []byte) error {
	n := len(r.attempts)
	most := protocol.ProduceLimits{Topics: n, Partitions: n, RecordErrors: r.records,
		NodeEndpoints: max(n, mostEndpoints)}
	if err := r.answer.DecodeWithin(body, r.call.Version, most); err != nil {
		return err
	}
	return r.match()
}

// mostEndpoints bounds the brokers in an answer, even with fewer partitions: a server may name all brokers of the
// cluster.
const mostEndpoints = 1000

// answered hands every partition its part of the answer.
func (r *request) answered(now time.Time) {
	if ms := protocol.ThrottleMs(&r.answer, r.call.Version); ms > 0 {
		r.b.throttle(r.conn, time.Duration(ms)*time.Millisecond, now)
	}
	r.hint()
	for part, one := range r.parts {
		if part.ErrorCode.RefreshMetadata() && !one.hasNewerLeader(part) {
			r.b.s.cfg.Cluster.RefreshTopic(one.part.acc.Topic())
		}
		a := toAnswer(part)
		a.ByID = protocol.ProduceNamesTopicsByID(r.call.Version) && !one.topicID.IsZero()
		one.part.answered(one, &a, now)
	}
	r.unanswered(now)
}

// hasNewerLeader reports whether an answer names a reachable leader newer than the answering one. The partition already
// follows the hint, so a Metadata request would add nothing.
func (t attempt) hasNewerLeader(part *protocol.ProducePartitionResponse) bool {
	p, hint := t.part, part.CurrentLeader
	if hint == nil {
		return false
	}
	p.mu.Lock()
	seen := t.state.EpochSeen()
	p.mu.Unlock()
	leader, known := p.s.cfg.Cluster.Snapshot().Leader(p.acc.Topic(), p.acc.Index())
	return known && leader.ID == hint.LeaderID && hint.LeaderEpoch > seen
}

// parts yields the parts of the answer with their batches. It skips parts without a batch in the request.
func (r *request) parts(yield func(*protocol.ProducePartitionResponse, attempt) bool) {
	n := 0
	for i := range r.answer.Topics {
		partitions := r.answer.Topics[i].Partitions
		for k := range partitions {
			at := r.matches[n]
			n++
			if at != noMatch && !yield(&partitions[k], r.attempts[at]) {
				return
			}
		}
	}
}

// unanswered deals with batches without a part in the answer: their fate is open.
func (r *request) unanswered(now time.Time) {
	for i, t := range r.attempts {
		if !r.found[i] {
			err := fmt.Errorf("broker %d answered the request without a word on this partition", r.b.id)
			t.part.disconnected(t, true, err, now)
		}
	}
}

func toAnswer(part *protocol.ProducePartitionResponse) delivery.Answer {
	a := delivery.Answer{Code: part.ErrorCode, Offset: part.BaseOffset, Time: part.LogAppendTimeMs}
	if a.Offset < 0 || a.Offset > math.MaxInt64-math.MaxInt32 {
		a.Offset = -1 // no log has such an offset; the records' own would not fit behind it
	}
	if part.ErrorMessage != nil {
		a.Message = *part.ErrorMessage
	}
	if part.ErrorCode == protocol.None || len(part.RecordErrors) == 0 {
		return a
	}
	a.Blamed = make(map[int32]string, len(part.RecordErrors))
	for _, e := range part.RecordErrors {
		message := ""
		if e.Message != nil {
			message = *e.Message
		}
		a.Blamed[e.BatchIndex] = message
	}
	return a
}

// hint passes on the leaders in the answer (KIP-951), so that moved partitions are retried without delay.
func (r *request) hint() {
	var hints []cluster.LeaderHint
	for part, one := range r.parts {
		leader := part.CurrentLeader
		if leader == nil || leader.LeaderID < 0 {
			continue
		}
		hints = append(hints, cluster.LeaderHint{
			Topic: one.part.acc.Topic(), TopicID: r.idOf(one), Partition: part.Index, Leader: leader.LeaderID,
			LeaderEpoch: leader.LeaderEpoch,
		})
	}
	if hints == nil {
		return
	}
	endpoints := make([]cluster.Broker, 0, len(r.answer.NodeEndpoints))
	for _, e := range r.answer.NodeEndpoints {
		endpoints = append(endpoints, cluster.Broker{ID: e.NodeID, Host: e.Host, Port: e.Port})
	}
	r.b.s.cfg.Cluster.ApplyLeaderHints(r.cluster, hints, endpoints)
}

// idOf returns the topic id of a batch in the request; zero if the request used the topic's name.
func (r *request) idOf(one attempt) (id protocol.UUID) {
	if protocol.ProduceNamesTopicsByID(r.call.Version) {
		id = one.topicID
	}
	return id
}

// throttle keeps requests from the broker for as long as it asks (KIP-219), though never longer than records live. The
// requests in flight get as much more time.
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
