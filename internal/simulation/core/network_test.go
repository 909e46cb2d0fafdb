package core

import (
	"fmt"
	"slices"
	"time"

	"github.com/gosamsa/samsa/internal/delivery"
	"github.com/gosamsa/samsa/protocol"
)

// This file is the network between client and brokers, and a broker's handling of requests: one request of a connection
// at a time, answered when all partitions of it are done.

// simConn is a connection, seen from both ends. Either end may have given it up without the other knowing.
type simConn struct {
	broker  int
	cluster string        // the broker's cluster when the connection was made
	open    bool          // for the client
	broken  bool          // the broker's end is gone: written requests lead nowhere
	pending []*simRequest // the client waits for their answers
	inbox   []*simRequest // sent, not read by the broker
	busy    *simRequest   // the broker works on it, and reads no other meanwhile
	answers []*simRequest // answered, not read by the client
}

// simRequest is one Produce request.
type simRequest struct {
	conn      *simConn
	parts     []*simPart
	sentAt    time.Time
	waitUntil time.Time // for acks=all: then the broker waits no longer for replicas
	throttle  time.Duration
}

// simPart is one partition's batch in a request.
type simPart struct {
	batch    *simBatch
	slot     int
	topicID  int
	id       delivery.Identity // valid with idempotence
	sequence int32
	attempt  uint32
	records  []int

	answer   *delivery.Answer // nil: not done
	hint     *simHint
	appended *simLife // the log with it, or with its duplicate
	required int64    // the high watermark it waits for
	silent   bool     // the answer does not speak of it
	foreign  bool     // its duplicate is another producer's batch
}

// simHint is the leader in an answer.
type simHint struct {
	leader int
	epoch  int32
}

func refusal(code protocol.ErrorCode) *delivery.Answer {
	return &delivery.Answer{Code: code, Offset: -1, Time: -1}
}

func (s *simSlot) String() string { return fmt.Sprintf("t%d-%d", s.topic, s.index) }

func (p *simPart) String() string {
	if !p.id.Valid {
		return fmt.Sprint(p.records)
	}
	return fmt.Sprintf("%v id=%d epoch=%d sequence=%d", p.records, p.id.ID, p.id.Epoch, p.sequence)
}

// read lets a broker take the next request of one of its connections, those given up by the client among them. There it
// finds the requests that had reached it.
func (c *simCluster) read(b *simBroker) {
	if !b.alive || b.hung {
		return
	}
	var can []*simConn
	b.conns = slices.DeleteFunc(b.conns, func(conn *simConn) bool {
		return !conn.open && conn.busy == nil && len(conn.inbox) == 0
	})
	for _, conn := range b.conns {
		if conn.busy == nil && len(conn.inbox) > 0 {
			can = append(can, conn)
		}
	}
	if len(can) == 0 {
		return
	}
	conn := can[c.s.rng.IntN(len(can))]
	r := conn.inbox[0]
	conn.inbox = conn.inbox[1:]
	conn.busy = r
	c.handle(b, r)
}

// handle appends every batch of a request and then waits for replicas if it must.
func (c *simCluster) handle(b *simBroker, r *simRequest) {
	r.waitUntil = c.s.now.Add(c.s.requestTimeout)
	failed := false
	for _, part := range r.parts {
		c.append(b, part, !r.conn.open)
		failed = failed || part.answer != nil && part.answer.Code != protocol.None
		if part.answer == nil {
			c.s.note("broker %d appends %s %v at %d", b.id, c.slots[part.slot], part,
				part.required-int64(len(part.records)))
		} else {
			c.s.note("broker %d on %s %v: %s", b.id, c.slots[part.slot], part, part.answer.Code.Name())
		}
		if part.answer == nil && c.s.cfg.Acks != -1 {
			part.answer = &delivery.Answer{Offset: part.required - int64(len(part.records)), Time: -1}
		}
	}
	if c.s.cfg.Acks == 0 && failed {
		r.conn.broken = true // a broker has no other way to say it
		r.conn.inbox = nil
	}
	for _, part := range r.parts {
		c.advance(b, part.slot)
	}
	c.complete(b)
}

// append checks one batch as Kafka does and in its order, and puts it into the broker's log.
func (c *simCluster) append(b *simBroker, part *simPart, stray bool) {
	v := b.views[part.slot]
	switch {
	case c.kind.topicIDs && (v.life == nil || v.life.topicID != part.topicID):
		part.answer = refusal(protocol.UnknownTopicID)
		return
	case v.life == nil:
		part.answer = refusal(protocol.UnknownTopicOrPartition)
		return
	case v.leader != b.id:
		part.answer = refusal(protocol.NotLeaderOrFollower)
		if c.kind.hints && v.leader != noLeader && v.life.topicID == part.topicID {
			part.hint = &simHint{leader: v.leader, epoch: v.epoch}
		}
		return
	case c.s.cfg.Acks == -1 && v.isr.size() < v.life.minISR:
		part.answer = refusal(protocol.NotEnoughReplicas)
		return
	}
	if part.answer = c.invalid(part); part.answer != nil {
		return
	}
	log := v.life.logs[b.id]
	duplicate, refused := log.judge(part, &c.kind)
	switch {
	case refused != protocol.None:
		part.answer = refusal(refused)
	case duplicate != nil:
		part.appended, part.required = v.life, duplicate.end()
		if duplicate.strangers {
			part.foreign = true
		}
	default:
		e := &simEntry{records: part.records, id: part.id, sequence: part.sequence, base: log.end(), stray: stray}
		e.lapsed = stray && part.id.Valid && (part.id.ID != c.s.client.ids.current.ID ||
			part.id.Cluster != c.s.client.ids.current.Cluster)
		log.add(e)
		part.appended, part.required = v.life, e.end()
		for i, record := range part.records {
			v.life.appended[record] = e.base + int64(i)
		}
	}
	if part.answer == nil && c.s.hits(faultServerError, 20) {
		part.answer = refusal(protocol.UnknownServerError) // it is in the log all the same
	}
}

// invalid is a broker's objection to a batch itself, or an error before the append without a visible reason.
func (c *simCluster) invalid(part *simPart) *delivery.Answer {
	if len(part.records) > c.limit {
		return refusal(protocol.MessageTooLarge)
	}
	blamed := map[int32]string{}
	for i, record := range part.records {
		if c.s.bad[record] {
			blamed[int32(i)] = "bad"
		}
	}
	if len(blamed) > 0 {
		a := refusal(protocol.InvalidRecord)
		if a.Blamed = blamed; c.s.rng.IntN(3) == 0 {
			a.Blamed = nil // older brokers name no records
		}
		return a
	}
	switch {
	case c.s.hits(faultRefusal, 30):
		return refusal(protocol.TopicAuthorizationFailed)
	case c.s.hits(faultRetriable, 15):
		codes := []protocol.ErrorCode{protocol.CorruptMessage, protocol.KafkaStorageError, protocol.NotLeaderOrFollower,
			protocol.RequestTimedOut}
		return refusal(codes[c.s.rng.IntN(len(codes))])
	case c.s.cfg.Idempotent && c.s.hits(faultIdentityRefused, 25):
		codes := []protocol.ErrorCode{protocol.InvalidProducerEpoch, protocol.InvalidProducerIDMapping,
			protocol.ProducerFenced}
		return refusal(codes[c.s.rng.IntN(len(codes))])
	}
	return nil
}

// forsake ends the waiting of batches of a partition with another leader now.
func (c *simCluster) forsake(b *simBroker, slot int, code protocol.ErrorCode) {
	for _, conn := range b.conns {
		if conn.busy == nil {
			continue
		}
		for _, part := range conn.busy.parts {
			if part.slot == slot && part.answer == nil {
				part.answer = refusal(code)
			}
		}
	}
	c.complete(b)
}

// complete answers the requests of a broker with all their batches done.
func (c *simCluster) complete(b *simBroker) {
	for _, conn := range b.conns {
		r := conn.busy
		if r == nil {
			continue
		}
		done := true
		for _, part := range r.parts {
			if part.answer == nil {
				c.judgeWaiting(b, part)
			}
			done = done && part.answer != nil
		}
		if !done {
			continue
		}
		conn.busy = nil
		if c.s.hits(faultThrottle, 10) {
			r.throttle = time.Duration(c.s.rng.IntN(500)) * time.Millisecond
		}
		if conn.open && !conn.broken && c.s.cfg.Acks != 0 {
			conn.answers = append(conn.answers, r)
		}
	}
}

// judgeWaiting looks at whether enough replicas have a batch.
func (c *simCluster) judgeWaiting(b *simBroker, part *simPart) {
	v := b.views[part.slot]
	if v.high < part.required {
		return
	}
	part.answer = &delivery.Answer{Offset: part.required - int64(len(part.records)), Time: -1}
	if v.isr.size() < v.life.minISR {
		part.answer = refusal(protocol.NotEnoughReplicasAfterAppend)
	}
}

// busy reports whether some broker has an unanswered request, on any connection.
func (c *simCluster) busy() bool {
	for _, b := range c.brokers {
		for _, conn := range b.conns {
			if conn.busy != nil || len(conn.inbox) > 0 {
				return true
			}
		}
	}
	return false
}
