package sender

import (
	"errors"
	"math"
	"slices"
	"time"

	"github.com/gosamsa/samsa/internal/cluster"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// This file plays the glue around the core: it does with delivery states, connections and identities what partition.go, broker.go,
// request.go and identity.go do, in the same order.

// simClient is the producer.
type simClient struct {
	s          *sim
	deliveries []*simLane
	brokers    []*simEndpoint
	ids        simIdentities
	cluster    string // the cluster id of the newest metadata
	stopped    bool
}

// simLane is a partition as the glue keeps it.
type simLane struct {
	slot     int
	delivery deliveryState
	pack     []*simBatch // sealed, never sent
	rebuild  []action    // workers have these
	records  []int       // not sealed yet

	leader  int
	epoch   int32
	topicID int
	cluster string
	movedAt time.Time // when the leader changed last

	ledger simLedger
}

// simBatch is a sealed batch; parts of it that were sent share its records.
type simBatch struct {
	batch    *batchState
	delivery *simLane
	records  []int
	fresh    bool // sealed, in no request yet; parts of others are not
	number   int  // counts the sequences that its partition gave
	sends    int  // requests it was in
	failed   int  // those that count as tries, and failed

	sentAt    time.Time // when it was in the last request
	refusedAt time.Time // when the last attempt failed
}

// simEndpoint is a broker for the client.
type simEndpoint struct {
	id       int
	conn     *simConn
	inFlight int
	notUntil time.Time
}

func newSimClient(s *sim) *simClient {
	c := &simClient{s: s}
	for _, b := range s.cluster.brokers {
		c.brokers = append(c.brokers, &simEndpoint{id: b.id})
	}
	for slot := range s.cluster.slots {
		l := &simLane{slot: slot, leader: noLeader, epoch: -1}
		l.delivery.cfg, l.delivery.leader = &s.cfg, -1
		c.deliveries = append(c.deliveries, l)
	}
	return c
}

// seal makes a batch of the next records of a partition.
func (c *simClient) seal(l *simLane) {
	if len(l.records) == 0 || c.stopped {
		return
	}
	n := min(1+c.s.rng.IntN(c.s.batchSize), len(l.records))
	b := c.batch(l, l.records[:n:n], c.s.now.Add(-time.Duration(c.s.rng.IntN(20))*time.Millisecond))
	l.records, b.fresh = l.records[n:], true
	l.pack = append(l.pack, b)
	c.s.note("%s: seal %v", c.s.cluster.slots[l.slot], b.records)
}

func (c *simClient) batch(l *simLane, records []int, created time.Time) *simBatch {
	b := &simBatch{delivery: l, records: records}
	b.batch = &batchState{count: int32(len(records)), created: created, sequence: noSequence, owner: b}
	return b
}

// sendable is partition.sendableLocked.
func (c *simClient) sendable(l *simLane) bool {
	fresh := len(l.pack) > 0
	if !fresh && !l.delivery.hasRetrying() {
		return false
	}
	if used, wants := l.delivery.wantsIdentity(); wants {
		id, ok := c.ids.after(c.s, used, l.delivery.newID, l)
		if !ok {
			return false
		}
		l.delivery.setIdentity(id)
		l.ledger.adopts(id)
		c.s.note("%s: id=%d epoch=%d from here on", c.s.cluster.slots[l.slot], id.id, id.epoch)
	}
	again, _ := l.delivery.retryDue(c.s.now)
	return again != nil || fresh && l.delivery.canSendNew(c.s.now)
}

// work is broker.work: requests until nothing is ready or the connection has its fill.
func (c *simClient) work(e *simEndpoint) {
	for !c.stopped && e.inFlight < c.s.cfg.maxInFlight && !c.s.now.Before(e.notUntil) {
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

// connect dials a broker. One that hangs lets nobody in; the attempt is given up at once here. One that turns out to be too old is refused
// what waits for it.
func (c *simClient) connect(e *simEndpoint) bool {
	if e.conn != nil && !cluster.SameCluster(e.conn.cluster, c.cluster) {
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
	if c.s.cfg.idempotent && !cluster.SameCluster(c.s.cluster.id, c.cluster) {
		c.s.note("broker %d belongs to %s, the metadata is of %s", e.id, c.s.cluster.id, c.cluster)
		e.notUntil = c.s.now.Add(50 * time.Millisecond)
		return false
	}
	e.conn = &simConn{broker: e.id, cluster: c.s.cluster.id, open: true}
	b.conns = append(b.conns, e.conn)
	return true
}

// fill makes a request of one batch of each partition that is ready, as far as they fit.
func (c *simClient) fill(e *simEndpoint) *simRequest {
	r := &simRequest{conn: e.conn, sentAt: c.s.now}
	ids := map[int]int{} // topic -> its id in this request
	first := c.s.rng.IntN(len(c.deliveries))
	for i := range c.deliveries {
		l := c.deliveries[(first+i)%len(c.deliveries)]
		topic := c.s.cluster.slots[l.slot].topic
		if !cluster.SameCluster(l.cluster, e.conn.cluster) && c.s.cfg.idempotent {
			continue // it has not followed to the connection's cluster yet
		}
		if id, there := ids[topic]; l.leader != e.id || there && id != l.topicID || !c.sendable(l) {
			continue // a topic that is being made again has two ids for a moment: not in one request
		}
		b := c.next(l)
		ids[topic] = l.topicID
		had := b.batch.sequence
		c.s.checkTries(b)
		c.s.checkPause(b)
		b.batch.byName = b.batch.byName || !c.s.cluster.kind.topicIDs
		l.delivery.sent(b.batch)
		part := &simPart{batch: b, slot: l.slot, topicID: ids[topic], sequence: b.batch.sequence, records: b.records}
		if c.s.cfg.idempotent {
			part.id = b.batch.id
		}
		r.parts = append(r.parts, part)
		c.s.note("%s: send %v to broker %d", c.s.cluster.slots[l.slot], part, e.id)
		c.s.checkSend(l, b, had)
		if c.s.rng.IntN(4) == 0 {
			break // max.request.size is reached
		}
	}
	if len(r.parts) == 0 {
		return nil
	}
	return r
}

// next takes the batch that goes now.
func (c *simClient) next(l *simLane) *simBatch {
	if again, _ := l.delivery.retryDue(c.s.now); again != nil {
		return again.owner.(*simBatch)
	}
	b := l.pack[0]
	l.pack = l.pack[1:]
	return b
}

// write puts a request on its connection, which may break before or in the middle of it.
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
	if c.s.cfg.acks == 0 {
		conn.pending = conn.pending[:len(conn.pending)-1]
		e.inFlight--
		for _, part := range r.parts {
			c.answered(part, answer{offset: -1, logAppendTime: -1})
		}
	}
}

// close gives a connection up. What the broker's end holds by then it may still find.
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
		if sent {
			l.ledger.reasons++
			part.batch.failed++
			part.batch.refusedAt = c.s.now
		} else {
			part.batch.refusedAt = time.Time{} // the new connection is the pause
		}
		had := part.batch.batch.sequence
		actions := l.delivery.disconnected(part.batch.batch, sent, errors.New("reset"), c.s.now)
		if had != noSequence && part.batch.batch.sequence == noSequence {
			l.ledger.given--
		}
		c.finish(l, actions)
	}
}

// unsendable is request.unsendable.
func (c *simClient) unsendable(r *simRequest) {
	for _, part := range r.parts {
		l := part.batch.delivery
		had := part.batch.batch.sequence
		l.ledger.reasons++
		actions := l.delivery.unsendable(part.batch.batch, record.ErrRecordTooLarge)
		if had != noSequence && part.batch.batch.sequence == noSequence {
			l.ledger.given--
		}
		c.finish(l, actions)
	}
}

// receive takes the next answer of a connection, or notices that the broker has ended it.
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
		if l := c.deliveries[part.slot]; part.hint != nil && cluster.SameCluster(r.conn.cluster, l.cluster) {
			c.hear(l, part.topicID, part.hint.leader, part.hint.epoch, true)
		}
	}
	for _, part := range r.parts {
		if part.silent = c.s.hits(faultSilent, 15); !part.silent {
			c.s.note("%s: answer of %v arrives: %s", c.s.cluster.slots[part.slot], part, part.answer.code.Name())
			a := *part.answer
			a.byID = c.s.cluster.kind.topicIDs
			c.answered(part, a)
		}
	}
	for _, part := range r.parts {
		if l := part.batch.delivery; part.silent {
			c.s.note("%s: no answer for %v", c.s.cluster.slots[part.slot], part)
			l.ledger.reasons++
			part.batch.failed++
			part.batch.refusedAt = c.s.now
			c.finish(l, l.delivery.disconnected(part.batch.batch, true, errors.New("not a word"), c.s.now))
		}
	}
}

func (c *simClient) answered(part *simPart, a answer) {
	c.s.answering = part
	l := part.batch.delivery
	part.batch.refusedAt = c.s.now
	l.hears(part, a, c.s.cfg.acks)
	c.finish(l, l.delivery.answered(part.batch.batch, a, c.s.now))
	c.s.answering = nil
	c.s.checkResolved(l, part, a)
}

// hear is what the metadata client and partition.follow make of news about a leader.
func (c *simClient) hear(l *simLane, topicID, leader int, epoch int32, hint bool) {
	same := l.topicID == topicID
	if l.cluster != c.cluster && !hint {
		if l.cluster != "" || !cluster.SameCluster(l.ledger.id.cluster, c.cluster) {
			l.ledger.acked = false
			l.ledger.reasons++
			l.topicID, l.epoch = 0, -1
			same = false
		}
		l.cluster = c.cluster
		c.s.note("%s: follows to %s", c.s.cluster.slots[l.slot], l.cluster)
		c.finish(l, l.delivery.clusterIs(l.cluster))
	}
	switch {
	case hint && (!same || epoch <= l.epoch):
		return
	case same && epoch < 0:
		epoch = l.epoch
	case same && epoch < l.epoch:
		return
	}
	if l.topicID != 0 && !same {
		l.ledger.acked = false
		l.ledger.reasons++
		uuid := func(id int) protocol.UUID { return protocol.UUID{byte(id), byte(id >> 8)} }
		c.finish(l, l.delivery.recreated(l.delivery.lifeOf(uuid(l.topicID), uuid(topicID))))
	}
	if epoch != l.delivery.leader {
		l.movedAt = c.s.now
	}
	l.leader, l.epoch, l.topicID = leader, epoch, topicID
	c.finish(l, l.delivery.leaderMoved(epoch, c.s.now))
}

// refresh asks a broker for metadata: what it believes, which may be old.
func (c *simClient) refresh(l *simLane) {
	var can []*simBroker
	for _, b := range c.s.cluster.brokers {
		if b.alive && !b.hung {
			can = append(can, b)
		}
	}
	if len(can) == 0 {
		return
	}
	c.followTo(c.s.cluster.id)
	life := c.s.cluster.slots[l.slot].life
	topicID, leader, epoch := life.topicID, life.leader, life.epoch
	if c.s.hits(faultStaleMetadata, 2) {
		if v := can[c.s.rng.IntN(len(can))].views[l.slot]; v.life != nil {
			topicID, leader, epoch = v.life.topicID, v.leader, v.epoch
		}
	}
	if c.s.cluster.kind.staleMetadata {
		epoch = -1
	}
	if c.s.tracing && (l.leader != leader || l.topicID != topicID) {
		c.s.note("%s: metadata says leader %d, epoch %d", c.s.cluster.slots[l.slot], leader, epoch)
	}
	c.hear(l, topicID, leader, epoch, false)
}

// followTo takes the cluster id of an answer with metadata. Connections to a former cluster end soon.
func (c *simClient) followTo(id string) {
	if id == c.cluster {
		return
	}
	c.cluster = id
	for _, e := range c.brokers {
		if e.conn != nil && !cluster.SameCluster(e.conn.cluster, id) && c.s.rng.IntN(3) != 0 {
			c.close(e)
		}
	}
}

// finish is partition.unlockAndApply.
func (c *simClient) finish(l *simLane, actions []action) {
	for _, a := range actions {
		b := a.batch.owner.(*simBatch)
		switch {
		case a.kind == actComplete:
			c.s.acked(b, a.offset)
		case a.kind == actFail:
			c.s.checkExhausted(b, a.err)
			c.s.fails(b.records, a.err)
		case c.stopped:
			l.delivery.replace(a.batch, nil)
			c.s.fails(b.records, &record.Error{Err: record.ErrClosed})
		default:
			l.rebuild = append(l.rebuild, a)
		}
	}
}

// rebuildOne is partition.rebuild, which a worker runs.
func (c *simClient) rebuildOne(l *simLane) {
	if len(l.rebuild) == 0 {
		return
	}
	a := l.rebuild[0]
	l.rebuild = l.rebuild[1:]
	b := a.batch.owner.(*simBatch)
	if c.stopped {
		l.delivery.replace(a.batch, nil)
		c.s.fails(b.records, &record.Error{Err: record.ErrClosed})
		return
	}
	var groups [][]int
	switch {
	case c.s.hits(faultRebuild, 20):
		c.s.fails(b.records, &record.Error{Err: record.ErrBatchRejected})
	case a.kind == actSplit:
		for rest := b.records; len(rest) > 0; {
			n := 1 + c.s.rng.IntN((len(b.records)+1)/2) // at least two parts
			n = min(n, len(rest))
			groups = append(groups, rest[:n:n])
			rest = rest[n:]
		}
	default:
		var rest []int
		for i, r := range b.records {
			if err := a.blamed[int32(i)]; err != nil {
				c.s.fails([]int{r}, err)
			} else {
				rest = append(rest, r)
			}
		}
		if len(rest) > 0 {
			groups = [][]int{rest}
		}
	}
	var parts []*batchState
	for _, g := range groups {
		part := c.batch(l, g, a.batch.created)
		part.sends, part.failed = b.sends, b.failed
		parts = append(parts, part.batch)
	}
	c.s.note("%s: rebuild %v as %v", c.s.cluster.slots[l.slot], b.records, groups)
	actions := l.delivery.replace(a.batch, parts)
	c.finish(l, append(actions, l.delivery.tick(c.s.now)...))
}

// timer is partition.onTimer.
func (c *simClient) timer(l *simLane) {
	if c.stopped {
		return
	}
	actions := l.delivery.tick(c.s.now)
	if slices.ContainsFunc(actions, func(a action) bool { return a.err != nil && record.FateOf(a.err) == record.FateMaybeWritten }) {
		l.ledger.reasons++
	}
	c.finish(l, actions)
	for len(l.pack) > 0 && c.s.now.Sub(l.pack[0].batch.created) >= c.s.cfg.deliveryTimeout {
		c.s.fails(l.pack[0].records, &record.Error{Err: record.ErrDeliveryTimeout})
		l.pack = l.pack[1:]
	}
}

// refuse is partition.refuse.
func (c *simClient) refuse(l *simLane, err *record.Error) {
	c.finish(l, l.delivery.refuse(err))
	for _, b := range l.pack {
		c.s.fails(b.records, err)
	}
	l.pack = nil
}

// stop is Abort and then Stop.
func (c *simClient) stop() {
	c.s.note("the producer closes")
	c.stopped = true
	for _, l := range c.deliveries {
		c.finish(l, l.delivery.abort(record.ErrClosed))
		for _, b := range l.pack {
			c.s.fails(b.records, &record.Error{Err: record.ErrClosed})
		}
		c.s.fails(l.records, &record.Error{Err: record.ErrClosed})
		l.pack, l.records = nil, nil
	}
	for _, e := range c.brokers {
		if c.s.rng.IntN(3) == 0 {
			c.receive(e) // an answer that was on its way
		}
		c.close(e)
	}
}

// simIdentities is identity.go, with the requests for ids as events.
type simIdentities struct {
	current identity
	asking  bool
	waiting []*simLane
	epoch   int16 // of the next id, to be near the end now and then
	retired int32 // the newest epoch of current that a forgotten partition has used, or -1
}

func (d *simIdentities) after(s *sim, used identity, newID bool, l *simLane) (identity, bool) {
	if d.current.valid {
		switch {
		case !cluster.SameCluster(d.current.cluster, l.cluster):
			if !cluster.SameCluster(l.cluster, s.client.cluster) {
				return identity{}, false
			}
		case newID && d.current.id == used.id && d.current.cluster == used.cluster:
		case d.current != used && (used.valid || int32(d.current.epoch) > d.retired):
			return d.current, true
		case d.current.epoch < math.MaxInt16:
			d.current.epoch++
			return d.current, true
		}
	}
	d.current = identity{}
	if !slices.Contains(d.waiting, l) {
		d.waiting = append(d.waiting, l)
		if !d.asking {
			s.note("the producer asks for an id")
		}
		d.asking = true
	}
	return identity{}, false
}

// answer ends a request for an id: with one, or refused.
func (d *simIdentities) answer(s *sim) {
	if !d.asking {
		return
	}
	if s.client.cluster == "" {
		s.client.followTo(s.cluster.id)
	}
	if s.client.cluster != s.cluster.id {
		return // its connection broke with the former cluster
	}
	waiting := d.waiting
	d.waiting, d.asking = nil, false
	if s.hits(faultNoIdentity, 3) {
		s.note("the id is refused")
		for _, l := range waiting {
			s.client.refuse(l, &record.Error{Err: errors.New("no id")})
		}
		return
	}
	s.cluster.given++
	d.current = identity{id: s.cluster.given, epoch: d.epoch, valid: true, cluster: s.cluster.id}
	d.epoch, d.retired = 0, -1
	s.note("the producer has id=%d epoch=%d of %s", d.current.id, d.current.epoch, d.current.cluster)
}
