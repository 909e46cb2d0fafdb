package core

import (
	"fmt"
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

// hear takes a leader from the metadata or from a hint, as the cluster client and partition.follow do.
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

// refresh takes metadata from a broker: the broker's belief, perhaps an old one.
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
