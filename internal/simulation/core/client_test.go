package core

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/gosamsa/samsa/internal/delivery"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// This file plays the glue around the core: it treats delivery cores, connections and identities like partition.go,
// broker.go, request.go and identity.go, in the same order.

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
	client    *simClient
	slot      int
	delivery  delivery.Partition
	cfg       delivery.Config
	open      []*simBatch        // ready in the accumulator: the core seals them
	preparing []*simBatch        // sealed, at workers
	rebuild   []delivery.Outcome // workers have these
	records   []int              // in no batch yet

	leader  int
	epoch   int32
	topicID int
	cluster string
	movedAt time.Time // when the leader changed last

	ledger simLedger
}

// Ready and Seal make the partition the source of its core.
func (l *simLane) Ready() bool { return len(l.open) > 0 }

func (l *simLane) Seal() *delivery.Batch {
	b := l.open[0]
	l.open = l.open[1:]
	l.client.begin(b)
	return &b.batch
}

// simBatch is a sealed batch; sent parts of it share its records.
type simBatch struct {
	batch     delivery.Batch
	delivery  *simLane
	records   []int
	created   time.Time
	had       int32 // its sequence before the last decision
	fresh     bool  // in no request yet; parts of others are not
	isWriting bool  // a connection still writes it
	number    int   // counts the sequences of its partition
	sends     int   // requests it was in
	failed    int   // the failed ones that count as tries

	sentAt    time.Time // when it was in the last request
	refusedAt time.Time // when the last attempt failed
}

func (b *simBatch) String() string { return fmt.Sprint(b.records) }

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
		l := &simLane{slot: slot}
		c.reset(l)
		c.deliveries = append(c.deliveries, l)
	}
	return c
}

// reset makes a partition new.
func (c *simClient) reset(l *simLane) {
	*l = simLane{client: c, slot: l.slot, leader: noLeader, epoch: -1, cfg: c.s.cfg}
	l.cfg.Source = l
	l.delivery.Init(&l.cfg)
}

// fillBatch puts the next records of a partition into a ready batch. It seals some of them ahead of their turn.
func (c *simClient) fillBatch(l *simLane) {
	if len(l.records) == 0 || c.stopped {
		return
	}
	n := min(1+c.s.rng.IntN(c.s.batchSize), len(l.records))
	b := &simBatch{delivery: l, records: l.records[:n:n], fresh: true}
	b.created = c.s.now.Add(-time.Duration(c.s.rng.IntN(20)) * time.Millisecond)
	l.records = l.records[n:]
	l.open = append(l.open, b)
	c.s.note("%s: batch %v is ready", c.s.cluster.slots[l.slot], b.records)
	if c.s.rng.IntN(2) == 0 {
		for l.Ready() {
			l.delivery.Sealed(l.Seal())
		}
	}
}

// begin seals a batch. A worker may have to prepare it.
func (c *simClient) begin(b *simBatch) {
	size := sizeOf(b.records)
	if c.s.hits(faultSlowWorker, 2) {
		size = 0
		b.delivery.preparing = append(b.delivery.preparing, b)
	}
	b.batch = delivery.NewBatch(int32(len(b.records)), size, b.created, b)
}

// sizeOf is the size of a batch in bytes.
func sizeOf(records []int) int { return 10 * len(records) }

// part makes a batch for a place of another one.
func (c *simClient) part(l *simLane, records []int, created time.Time) *simBatch {
	b := &simBatch{delivery: l, records: records, created: created}
	b.batch = delivery.NewBatch(int32(len(records)), sizeOf(records), created, b)
	return b
}

// prepareOne lets a worker finish a batch before its first request: any of them, for there are several workers.
func (c *simClient) prepareOne(l *simLane) {
	if len(l.preparing) == 0 {
		return
	}
	i := c.s.rng.IntN(len(l.preparing))
	b := l.preparing[i]
	l.preparing = slices.Delete(l.preparing, i, i+1)
	if c.stopped || len(b.records) < 2 || c.s.rng.IntN(3) != 0 {
		l.delivery.Prepared(&b.batch, sizeOf(b.records))
		c.finish(l)
		return
	}
	cut := 1 + c.s.rng.IntN(len(b.records)-1)
	var parts []*delivery.Batch
	for _, records := range [][]int{b.records[:cut:cut], b.records[cut:]} {
		part := c.part(l, records, b.created)
		part.fresh = true
		parts = append(parts, &part.batch)
	}
	c.s.note("%s: %v is cut behind %d records", c.s.cluster.slots[l.slot], b.records, cut)
	l.delivery.Replaced(&b.batch, parts)
	c.finish(l)
}

// decide is partition.decideLocked.
func (c *simClient) decide(l *simLane, room delivery.Room) delivery.Decision {
	for {
		d := l.delivery.Next(c.s.now, room)
		switch {
		case d.Kind == delivery.NeedIdentity:
			id, ok := c.ids.after(c.s, d.Used, d.NeedID, l)
			if !ok {
				return d
			}
			l.delivery.IdentityReceived(id)
			l.ledger.adopts(id)
			c.s.note("%s: %v from here on", c.s.cluster.slots[l.slot], id)
		case d.Kind == delivery.Wait && d.Batch != nil:
			if d.Batch.Owner().(*simBatch).isWriting {
				return d
			}
			l.delivery.WriteFinished(d.Batch)
		default:
			return d
		}
	}
}

// sendable reports whether the partition stands in its broker's queue.
func (c *simClient) sendable(l *simLane) bool {
	return c.decide(l, delivery.Room{}).Kind == delivery.NoRoom
}

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

// hear plays the metadata client and partition.follow at news about a leader.
func (c *simClient) hear(l *simLane, topicID, leader int, epoch int32, hint bool) {
	same := l.topicID == topicID
	if l.cluster != c.cluster && !hint {
		if l.cluster != "" || !protocol.SameCluster(l.ledger.id.Cluster, c.cluster) {
			l.ledger.acked = false
			l.ledger.reasons++
			l.topicID, l.epoch = 0, -1
			same = false
		}
		l.cluster = c.cluster
		c.s.note("%s: follows to %s", c.s.cluster.slots[l.slot], l.cluster)
		l.delivery.ClusterIs(l.cluster)
		c.finish(l)
	}
	switch {
	case hint && (!same || epoch <= l.epoch):
		return
	case same && epoch < 0:
		epoch = l.epoch
	case same && epoch < l.epoch:
		return
	}
	life := l.delivery.Incarnation()
	l.delivery.TopicIs(protocol.UUID{byte(topicID), byte(topicID >> 8)})
	c.finish(l)
	if _, before := l.delivery.Leader(); epoch != before {
		l.movedAt = c.s.now
	}
	l.leader, l.epoch, l.topicID = leader, epoch, topicID
	l.delivery.LeaderMoved(int32(leader), epoch, c.s.now)
	if l.delivery.Incarnation() != life {
		l.ledger.acked = false
		l.ledger.reasons++
	}
	c.finish(l)
}

// refresh asks a broker for metadata: its belief, which may be old.
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
		if e.conn != nil && !protocol.SameCluster(e.conn.cluster, id) && c.s.rng.IntN(3) != 0 {
			c.close(e)
		}
	}
}

// finish is partition.unlockAndApply.
func (c *simClient) finish(l *simLane) {
	for _, o := range l.delivery.Drain(nil) {
		b := o.Batch.Owner().(*simBatch)
		switch o.Kind {
		case delivery.Acknowledged:
			c.s.acked(b, o.Offset)
		case delivery.Failed:
			c.s.checkExhausted(b, o.Err)
			c.s.fails(b.records, o.Err)
		case delivery.Bug:
			panic(o.Err.Error())
		default:
			l.rebuild = append(l.rebuild, o)
		}
	}
}

// rebuildOne is partition.rebuild, a worker's job.
func (c *simClient) rebuildOne(l *simLane) {
	if len(l.rebuild) == 0 {
		return
	}
	o := l.rebuild[0]
	l.rebuild = l.rebuild[1:]
	b := o.Batch.Owner().(*simBatch)
	var parts []*delivery.Batch
	for _, records := range c.regroup(b, o) {
		part := c.part(l, records, b.created)
		part.sends, part.failed = b.sends, b.failed
		parts = append(parts, &part.batch)
	}
	c.s.note("%s: rebuild %v as %v", c.s.cluster.slots[l.slot], b.records, parts)
	l.delivery.Replaced(o.Batch, parts)
	l.delivery.Tick(c.s.now)
	c.finish(l)
}

// regroup returns the records of the batches in a batch's place. All others have their outcome then.
func (c *simClient) regroup(b *simBatch, o delivery.Outcome) (groups [][]int) {
	switch {
	case c.stopped:
		c.s.fails(b.records, &record.Error{Err: record.ErrClosed})
	case c.s.hits(faultRebuild, 20):
		c.s.fails(b.records, &record.Error{Err: record.ErrBatchRejected})
	case o.Kind == delivery.TooLarge:
		for rest := b.records; len(rest) > 0; {
			n := 1 + c.s.rng.IntN((len(b.records)+1)/2) // at least two parts
			n = min(n, len(rest))
			groups = append(groups, rest[:n:n])
			rest = rest[n:]
		}
	default:
		var rest []int
		for i, r := range b.records {
			if err := o.Blamed[int32(i)]; err != nil {
				c.s.fails([]int{r}, err)
			} else {
				rest = append(rest, r)
			}
		}
		if len(rest) > 0 {
			groups = [][]int{rest}
		}
	}
	return groups
}

// timer is partition.onTimer.
func (c *simClient) timer(l *simLane) {
	for _, b := range l.delivery.Window() {
		if c.s.rng.IntN(2) == 0 {
			b.Owner().(*simBatch).isWriting = false
		}
	}
	if c.stopped {
		return
	}
	waits := map[*delivery.Batch]uint32{}
	for _, b := range l.delivery.Window() {
		waits[b] = b.Attempt()
	}
	l.delivery.Tick(c.s.now)
	for b, attempt := range waits {
		if b.Attempt() != attempt { // the former leader has not answered
			one := b.Owner().(*simBatch)
			one.failed++
			one.refusedAt = c.s.now
			l.ledger.reasons++
			c.s.note("%s: broker %d has not answered %v, and does not lead any more", c.s.cluster.slots[l.slot],
				l.leader, one.records)
		}
	}
	if slices.ContainsFunc(l.delivery.Outcomes(), func(o delivery.Outcome) bool {
		return o.Err != nil && record.FateOf(o.Err) == record.FateMaybeWritten
	}) {
		l.ledger.reasons++
	}
	c.finish(l)
}

// refuse is partition.refuse.
func (c *simClient) refuse(l *simLane, err *record.Error) {
	l.delivery.Refused(err)
	c.finish(l)
	for _, b := range l.open {
		c.s.fails(b.records, err)
	}
	l.open = nil
}

// stop is Abort and then Stop.
func (c *simClient) stop() {
	c.s.note("the producer closes")
	c.stopped = true
	for _, l := range c.deliveries {
		l.delivery.Closed(record.ErrClosed, "")
		c.finish(l)
		for _, b := range l.open {
			c.s.fails(b.records, &record.Error{Err: record.ErrClosed})
		}
		c.s.fails(l.records, &record.Error{Err: record.ErrClosed})
		l.open, l.records = nil, nil
	}
	for _, e := range c.brokers {
		if c.s.rng.IntN(3) == 0 {
			c.receive(e) // an answer on its way
		}
		c.close(e)
	}
}

// simIdentities is identity.go, with the requests for ids as events.
type simIdentities struct {
	current delivery.Identity
	asking  bool
	waiting []*simLane
	epoch   int16 // of the next id, to be near the end now and then
	retired int32 // the newest epoch of current in a forgotten partition, or -1
}

func (d *simIdentities) after(s *sim, used delivery.Identity, newID bool, l *simLane) (delivery.Identity, bool) {
	if d.current.Valid {
		switch {
		case !protocol.SameCluster(d.current.Cluster, l.cluster):
			if !protocol.SameCluster(l.cluster, s.client.cluster) {
				return delivery.Identity{}, false
			}
		case newID && d.current.ID == used.ID && d.current.Cluster == used.Cluster:
		case d.current != used && (used.Valid || int32(d.current.Epoch) > d.retired):
			return d.current, true
		case d.current.Epoch < math.MaxInt16:
			d.current.Epoch++
			return d.current, true
		}
	}
	d.current = delivery.Identity{}
	if !slices.Contains(d.waiting, l) {
		d.waiting = append(d.waiting, l)
		if !d.asking {
			s.note("the producer asks for an id")
		}
		d.asking = true
	}
	return delivery.Identity{}, false
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
	d.current = delivery.Identity{ID: s.cluster.given, Epoch: d.epoch, Valid: true, Cluster: s.cluster.id}
	d.epoch, d.retired = 0, -1
	s.note("the producer has id=%d epoch=%d of %s", d.current.ID, d.current.Epoch, d.current.Cluster)
}
