package core

import (
	"errors"
	"slices"
	"time"

	"github.com/gosamsa/samsa/internal/delivery"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// This file plays broker.go, request.go and response.go: connections, requests and answers.

// work is broker.work: requests until nothing is ready or the connection has its fill.
func (c *simClient) work(e *simEndpoint) {
	for !c.stopped && e.inFlight < c.s.cfg.MaxInFlight && !c.s.now.Before(e.notUntil) {
		if !slices.ContainsFunc(c.deliveries, func(l *simLane) bool { return l.leader == e.id && c.sendable(l) }) {
			return
		}
		if !c.connect(e) {
			return
		}
		if r := c.fill(e); r != nil {
			c.write(e, r)
		}
		if c.s.rng.IntN(3) == 0 {
			return
		}
	}
}

// connect dials a broker. A hanging broker accepts nothing; the attempt ends at once here. A broker that turns out to
// be too old fails its waiting batches.
func (c *simClient) connect(e *simEndpoint) bool {
	if e.conn != nil && !protocol.SameCluster(e.conn.cluster, c.cluster) {
		c.close(e)
	}
	if e.conn != nil {
		return true
	}
	b := c.s.cluster.brokers[e.id]
	if !b.alive || b.hung {
		e.notUntil = c.s.now.Add(50 * time.Millisecond)
		c.s.note("broker %d cannot be reached", e.id)
		return false
	}
	if c.s.hits(faultTooOld, 10) {
		c.s.note("broker %d is too old", e.id)
		e.notUntil = c.s.now.Add(50 * time.Millisecond)
		for _, l := range c.deliveries {
			if l.leader == e.id && c.sendable(l) {
				c.refuse(l, &record.Error{Err: errors.New("too old")})
			}
		}
		return false
	}
	if c.s.cfg.Idempotent && !protocol.SameCluster(c.s.cluster.id, c.cluster) {
		c.s.note("broker %d belongs to %s, the metadata is of %s", e.id, c.s.cluster.id, c.cluster)
		e.notUntil = c.s.now.Add(50 * time.Millisecond)
		return false
	}
	e.conn = &simConn{broker: e.id, cluster: c.s.cluster.id, open: true}
	b.conns = append(b.conns, e.conn)
	return true
}

// fill makes a request of one batch of each ready partition, as far as they fit.
func (c *simClient) fill(e *simEndpoint) *simRequest {
	r := &simRequest{conn: e.conn, sentAt: c.s.now}
	ids := map[int]int{} // topic -> its id in this request
	first := c.s.rng.IntN(len(c.deliveries))
	for i := range c.deliveries {
		l := c.deliveries[(first+i)%len(c.deliveries)]
		topic := c.s.cluster.slots[l.slot].topic
		if !protocol.SameCluster(l.cluster, e.conn.cluster) && c.s.cfg.Idempotent {
			continue // it has not followed to the connection's cluster yet
		}
		if id, there := ids[topic]; l.leader != e.id || there && id != l.topicID {
			continue // a topic has two ids for a moment while it is recreated: not in one request
		}
		b, attempt, full := c.next(l)
		if full {
			break
		}
		if b == nil {
			continue
		}
		ids[topic] = l.topicID
		c.s.checkTries(b)
		c.s.checkPause(b)
		part := &simPart{batch: b, slot: l.slot, topicID: ids[topic], sequence: b.batch.Sequence(), attempt: attempt,
			records: b.records}
		if c.s.cfg.Idempotent {
			part.id = b.batch.Identity()
		}
		r.parts = append(r.parts, part)
		c.s.note("%s: send %v to broker %d", c.s.cluster.slots[l.slot], part, e.id)
		c.s.checkSend(l, b, b.had)
		b.isWriting = c.s.hits(faultSlowWrite, 3)
		if c.s.rng.IntN(4) == 0 {
			break // max.request.size is reached
		}
	}
	if len(r.parts) == 0 {
		return nil
	}
	return r
}

// next takes the batch to send now; nil if there is none. full reports that it is larger than the room.
func (c *simClient) next(l *simLane) (b *simBatch, attempt uint32, full bool) {
	for _, q := range l.delivery.Window() {
		q.Owner().(*simBatch).had = q.Sequence()
	}
	room := delivery.Room{Bytes: 1000, ByName: !c.s.cluster.kind.topicIDs}
	if c.s.rng.IntN(8) == 0 {
		room.Bytes = 10 + c.s.rng.IntN(20)
	}
	d := c.decide(l, room)
	if d.Kind != delivery.Send {
		return nil, 0, d.Kind == delivery.NoRoom
	}
	if b = d.Batch.Owner().(*simBatch); b.fresh {
		b.had = delivery.NoSequence
	}
	return b, d.Attempt, false
}

// write puts a request on its connection. The connection may break before or in the middle of it.
func (c *simClient) write(e *simEndpoint, r *simRequest) {
	conn := e.conn
	e.inFlight++
	if c.s.hits(faultUnsendable, 30) {
		c.s.note("no request to broker %d can carry it", e.id)
		e.inFlight--
		c.unsendable(r)
		return
	}
	if c.s.hits(faultUnsent, 8) {
		c.s.note("the connection to broker %d breaks before a byte of it leaves", e.id)
		c.close(e)
		e.inFlight--
		c.failed(r, false)
		return
	}
	conn.pending = append(conn.pending, r)
	if c.s.hits(faultTorn, 12) {
		c.s.note("the connection to broker %d breaks in the middle of it", e.id)
		c.close(e)
		return
	}
	if !conn.broken {
		conn.inbox = append(conn.inbox, r)
	}
	if c.s.cfg.Acks == 0 {
		conn.pending = conn.pending[:len(conn.pending)-1]
		e.inFlight--
		for _, part := range r.parts {
			c.answered(part, delivery.Answer{Offset: -1, Time: -1})
		}
	}
}

// close gives a connection up. The broker may still find the requests at its end.
func (c *simClient) close(e *simEndpoint) {
	conn := e.conn
	if conn == nil {
		return
	}
	e.conn, conn.open = nil, false
	lost := conn.pending
	conn.pending, conn.answers = nil, nil
	if n := len(conn.inbox); n > 0 && c.s.rng.IntN(3) == 0 {
		conn.inbox = conn.inbox[:c.s.rng.IntN(n)] // the rest never arrives
	}
	c.s.note("connection to broker %d ends, %d requests unanswered", e.id, len(lost))
	for _, r := range lost {
		e.inFlight--
		c.failed(r, true)
	}
}

func (c *simClient) failed(r *simRequest, sent bool) {
	for _, part := range r.parts {
		l := part.batch.delivery
		if part.attempt != part.batch.batch.Attempt() {
			continue // given up before: its leader had moved
		}
		if sent {
			l.ledger.reasons++
			part.batch.failed++
			part.batch.refusedAt = c.s.now
		} else {
			part.batch.refusedAt = time.Time{} // the new connection is the pause
		}
		had := part.batch.batch.Sequence()
		l.delivery.Disconnected(&part.batch.batch, part.attempt, sent, errors.New("reset"), c.s.now)
		if had != delivery.NoSequence && part.batch.batch.Sequence() == delivery.NoSequence {
			l.ledger.given--
		}
		c.finish(l)
	}
}

// unsendable is request.unsendable.
func (c *simClient) unsendable(r *simRequest) {
	for _, part := range r.parts {
		l := part.batch.delivery
		had := part.batch.batch.Sequence()
		l.ledger.reasons++
		l.delivery.Unsendable(&part.batch.batch, part.attempt, record.ErrRecordTooLarge)
		if had != delivery.NoSequence && part.batch.batch.Sequence() == delivery.NoSequence {
			l.ledger.given--
		}
		c.finish(l)
	}
}

// receive takes the next answer of a connection, or notices its end by the broker.
func (c *simClient) receive(e *simEndpoint) {
	if e.conn == nil {
		return
	}
	if len(e.conn.answers) == 0 {
		if e.conn.broken {
			c.close(e)
		}
		return
	}
	r := e.conn.answers[0]
	e.conn.answers = e.conn.answers[1:]
	e.conn.pending = e.conn.pending[1:]
	e.inFlight--
	if r.throttle > 0 {
		e.notUntil = c.s.now.Add(r.throttle)
	}
	// A broker names the partitions in any order.
	c.s.rng.Shuffle(len(r.parts), func(i, j int) { r.parts[i], r.parts[j] = r.parts[j], r.parts[i] })
	for _, part := range r.parts {
		if l := c.deliveries[part.slot]; part.hint != nil && protocol.SameCluster(r.conn.cluster, l.cluster) {
			c.hear(l, part.topicID, part.hint.leader, part.hint.epoch, true)
		}
	}
	for _, part := range r.parts {
		if part.silent = c.s.hits(faultSilent, 15); !part.silent {
			c.s.note("%s: answer of %v arrives: %s", c.s.cluster.slots[part.slot], part, part.answer.Code.Name())
			a := *part.answer
			a.ByID = c.s.cluster.kind.topicIDs
			c.answered(part, a)
		}
	}
	for _, part := range r.parts {
		if l := part.batch.delivery; part.silent && part.attempt == part.batch.batch.Attempt() {
			c.s.note("%s: no answer for %v", c.s.cluster.slots[part.slot], part)
			l.ledger.reasons++
			part.batch.failed++
			part.batch.refusedAt = c.s.now
			l.delivery.Disconnected(&part.batch.batch, part.attempt, true, errors.New("not a word"), c.s.now)
			c.finish(l)
		}
	}
}

func (c *simClient) answered(part *simPart, a delivery.Answer) {
	l := part.batch.delivery
	if part.attempt != part.batch.batch.Attempt() {
		l.delivery.Answered(&part.batch.batch, part.attempt, &a, c.s.now) // without effect
		return
	}
	c.s.answering = part
	part.batch.refusedAt = c.s.now
	l.hears(part, &a, c.s.cfg.Acks)
	l.delivery.Answered(&part.batch.batch, part.attempt, &a, c.s.now)
	c.finish(l)
	c.s.answering = nil
	c.s.checkResolved(l, part, &a)
}
