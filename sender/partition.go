package sender

import (
	"errors"
	"fmt"
	"time"

	"github.com/gosamsa/samsa/accumulator"
	"github.com/gosamsa/samsa/internal/cluster"
	"github.com/gosamsa/samsa/internal/delivery"
	"github.com/gosamsa/samsa/internal/lockrank"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// partition joins the accumulator's queue, the core and a broker. mu guards all below it.
type partition struct {
	s     *Sender
	acc   *accumulator.Partition
	trace *trace

	waitingForID bool // stands in identities.waiting; guarded by identities.mu
	isAhead      bool // stands in identities.ahead; guarded by identities.mu

	mu          lockrank.Mutex[lockrank.SenderPartition]
	delivery    delivery.Partition
	snapshotGen uint64  // the generation of the leader's snapshot
	broker      *broker // of the current leader; nil while there is none
	refusals    refusals
	queued      bool   // stands in a broker's ready queue
	queueGen    uint64 // its place there, counted up with each
	queuedAt    time.Time
	inlineGen   uint64 // the last place taken by a goroutine in Get, perhaps without a signal: sendInline
	fill        uint64 // the newest request with a batch of it
	timer       *time.Timer
	due         time.Time // the time of timer; zero if it is not armed
	stopped     bool
	// forgotten: the topic was not in use, and the partition has left the accumulator. It has stopped too.
	forgotten bool
}

// BatchReady is the accumulator's call: there is something to take.
func (p *partition) BatchReady(awaited <-chan struct{}) {
	p.mu.Lock()
	var inlineBatch *outBatch
	if !p.stopped && p.acc.CompressInline() {
		if inlineBatch = p.sealLocked(); inlineBatch != nil {
			p.delivery.Sealed(&inlineBatch.state)
		}
	}
	if inlineBatch != nil {
		awaited = nil // it may stand before the awaited batch
	}
	var b *broker
	if !p.queued { // a queued partition does not need the time
		b = p.enqueueLocked(time.Now())
	}
	switch {
	case b != nil && awaited != nil:
		p.inlineGen = p.queueGen
	case awaited == nil && p.queued && p.inlineGen == p.queueGen:
		b, p.inlineGen = p.broker, 0 // a full batch does not wait for the awaited response of a goroutine in Get
	}
	if created, ok := p.acc.OldestQueued(); ok {
		p.armLocked(created.Add(p.s.cfg.DeliveryTimeout))
	}
	p.mu.Unlock()
	if b != nil {
		b.sendInline(awaited)
	}
	if inlineBatch != nil {
		// Left to a worker, a topic's first batches would be filled by a fast sender before the first one is measured.
		p.prepare(inlineBatch)
	}
}

// scheduleLocked puts the partition into its broker's ready queue if it has something to send now, and wakes the
// broker.
func (p *partition) scheduleLocked(now time.Time) {
	if b := p.enqueueLocked(now); b != nil {
		b.signal()
	}
}

// enqueueLocked puts the partition into its broker's ready queue if it has something to send now. It returns that
// broker then.
func (p *partition) enqueueLocked(now time.Time) *broker {
	if p.queued || p.stopped {
		return nil
	}
	p.compressAheadLocked()
	if p.broker == nil {
		if p.acc.Ready() || p.delivery.HasPending() {
			p.askLeaderLocked(now)
		}
		return nil
	}
	if p.decideLocked(now, delivery.Room{}).Kind != delivery.NoRoom {
		return nil
	}
	p.queued, p.queuedAt = true, now
	p.queueGen++
	p.broker.push(queueEntry{p, p.queueGen})
	return p.broker
}

// askLeaderLocked requests metadata until the partition has a leader. The cluster client drops a request without a
// renewal for request.timeout.ms.
func (p *partition) askLeaderLocked(now time.Time) {
	p.armLocked(now.Add(max(p.s.cfg.RequestTimeout/2, time.Second)))
	p.s.cfg.Cluster.AwaitLeader(p.acc.Topic(), p.acc.Index())
}

// decideLocked asks the delivery core for its decision, and at once serves the core's needs: it takes an identity,
// looks after an unfinished write, and arms the timer.
func (p *partition) decideLocked(now time.Time, room delivery.Room) delivery.Decision {
	for {
		d := p.delivery.Next(now, room)
		switch d.Kind {
		case delivery.NeedIdentity:
			id, ok := p.s.ids.after(d.Used, d.NeedID, p)
			if !ok {
				return d // the identities schedule the partition
			}
			p.delivery.IdentityReceived(id)
			p.trace.identity(p, id)
		case delivery.Wait:
			if d.Batch == nil {
				p.armLocked(d.Until)
				return d
			}
			if d.Batch.Owner().(*outBatch).beingWritten() {
				return d // the end of the write schedules the partition
			}
			p.delivery.WriteFinished(d.Batch)
			p.trace.written(p, d.Batch)
		default:
			return d
		}
	}
}

// next gives the request the partition's next batch, if the request has room for it and no batch of the partition yet:
// a request takes one batch of a partition. at is the index of the topic in the request, negative if it is new. full
// reports that a batch must wait for the next request; the partition stays queued then. Otherwise it leaves the queue,
// and is queued again if it has more to send.
func (p *partition) next(r *request, at int, ticket uint64, now time.Time, space int) (t attempt, full bool) {
	p.mu.Lock()
	t, full = p.nextLocked(r, at, ticket, now, space)
	outcomes := p.delivery.Drain(nil) // there are some only after an impossible step
	p.mu.Unlock()
	for i := range outcomes {
		p.applyOutcome(&outcomes[i])
	}
	return t, full
}

func (p *partition) nextLocked(r *request, at int, ticket uint64, now time.Time, space int) (t attempt, full bool) {
	if p.stopped || !p.standsAtLocked(r.b, ticket) {
		return attempt{}, false
	}
	if p.fill >= r.number {
		// Perhaps this request has one, and the partition has been at another broker's request since.
		return attempt{}, true
	}
	if !protocol.SameCluster(p.delivery.Cluster(), r.cluster) {
		return attempt{}, p.awaitsConnectionLocked()
	}
	topicID := p.delivery.TopicID()
	byName := !protocol.ProduceNamesTopicsByID(r.version) || topicID.IsZero()
	switch {
	// a request names all of its topics in the same way
	case protocol.ProduceNamesTopicsByID(r.version) && byName && len(r.attempts) > 0:
		return attempt{}, true
	case at >= 0 && r.body.Topics[at].ID != topicID: // a topic has two ids for a moment while it is recreated
		return attempt{}, true
	}
	if topicID.IsZero() {
		space -= len(p.acc.Topic()) // in place of the id
	}
	d := p.decideLocked(now, delivery.Room{Bytes: space, ByName: byName})
	if p.queued = d.Kind == delivery.NoRoom; d.Kind != delivery.Send {
		return attempt{}, p.queued
	}
	c := d.Batch.Owner().(*outBatch)
	p.trace.sent(p, d.Batch, byName, now)
	c.stamp(p.s.cfg.Idempotent)
	p.fill, c.sent = r.number, p.broker
	c.batch.Retain()
	p.armLocked(d.Batch.Created().Add(p.s.cfg.DeliveryTimeout))
	p.scheduleLocked(now)
	return attempt{c, d.Attempt, topicID}, false
}

// awaitsConnectionLocked decides about a partition of another cluster than the connection's: it sends no batch over it.
// It reports whether the partition stays queued, for the connection is to be replaced. If the partition has not
// followed to the cluster of the newest snapshot yet, it leaves the queue, and is queued again when it follows.
func (p *partition) awaitsConnectionLocked() bool {
	p.queued = protocol.SameCluster(p.delivery.Cluster(), p.s.cfg.Cluster.Snapshot().ClusterID)
	return p.queued
}

// standsAtLocked reports whether that place in b's ready queue is still the partition's.
func (p *partition) standsAtLocked(b *broker, ticket uint64) bool {
	return p.queued && p.broker == b && p.queueGen == ticket
}

// keepsPlace reports whether that place in b's ready queue is the partition's and the partition has something to send.
// If it has nothing, it leaves the queue; it is queued again when there is something.
func (p *partition) keepsPlace(b *broker, ticket uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.standsAtLocked(b, ticket) {
		return false
	}
	p.queued = !p.isEmptyLocked()
	return p.queued
}

// isEmptyLocked reports whether the partition has no batch at all.
func (p *partition) isEmptyLocked() bool {
	if !p.delivery.IsEmpty() {
		return false
	}
	_, waiting := p.acc.OldestQueued()
	return !waiting
}

// follow takes the partition's leader from a snapshot.
func (p *partition) follow(snapshot *cluster.Snapshot, now time.Time) {
	topic := snapshot.Topic(p.acc.Topic())
	leader, epoch := protocol.NoLeader, int32(-1)
	var id protocol.UUID
	if topic != nil {
		id = topic.ID
		if i := int(p.acc.Index()); i < topic.Len() {
			leader, epoch = topic.Partition(i).Leader, topic.Partition(i).LeaderEpoch
		}
	}
	if _, known := snapshot.Brokers[leader]; !known {
		leader = protocol.NoLeader
	}
	var b *broker
	if leader != protocol.NoLeader {
		b = p.s.acquireBroker(leader)
	}
	p.mu.Lock()
	if snapshot.Generation < p.snapshotGen || p.forgotten {
		p.mu.Unlock()
		p.s.releaseBroker(b)
		return // a newer one overtook it
	}
	former := p.broker
	p.snapshotGen = snapshot.Generation
	life := p.delivery.Incarnation()
	p.delivery.ClusterIs(snapshot.ClusterID)
	p.trace.clusterIs(p, snapshot.ClusterID)
	if topic != nil {
		p.delivery.TopicIs(id)
		p.trace.topicIs(p, id)
	}
	p.delivery.LeaderMoved(leader, epoch, now)
	p.trace.leaderMoved(p, leader, epoch, now)
	if p.delivery.Incarnation() != life {
		p.s.ids.recreatedIn(snapshot.Generation)
	}
	p.s.ids.recreatedIn(snapshot.Recreated)
	if p.broker != b {
		// Its place in the former broker's queue does not count any more: that queue may never move again.
		p.leaveQueueLocked()
		p.broker, p.refusals = b, refusals{}
		p.acc.SetBroker(leader)
		p.armDeadlineLocked()
	}
	p.unlockAndApply(now)
	p.s.releaseBroker(former) // the partition holds b once, also if it is the same
}

// leaveQueueLocked gives up the partition's place in its broker's ready queue.
func (p *partition) leaveQueueLocked() {
	if p.queued && p.broker != nil {
		p.broker.moved()
	}
	p.queued = false
}

// Forget ends the partition, if it has nothing undelivered. A later partition of the same name must not send under this
// identity: the broker knows its sequences. It implements accumulator.Forgetter.
func (p *partition) Forget(end func() bool) bool {
	p.mu.Lock()
	if p.stopped || !p.delivery.IsQuiet() || !end() {
		p.mu.Unlock()
		return false
	}
	p.leaveQueueLocked()
	p.stopped, p.forgotten = true, true
	p.disarmLocked()
	b := p.broker
	p.broker = nil
	p.mu.Unlock()
	p.s.forgetPartition(p)
	p.s.releaseBroker(b)
	return true
}

// answered, disconnected and unsendable give the end of an attempt to the delivery core and apply its outcomes.
func (p *partition) answered(t attempt, a *delivery.Answer, now time.Time) {
	p.mu.Lock()
	tired, warn := false, false
	if !t.isStale() {
		tired = p.refusals.add(a.Code, now)
		warn = p.refusals.isWorthAWarning(a.Code, tired)
	}
	p.delivery.Answered(&t.state, t.number, a, now)
	p.trace.answered(p, t, a, now)
	p.unlockAndApply(now)
	if warn {
		p.s.cfg.Logger.Warn("the leader refuses a partition's records: the client retries, at most until delivery.timeout.ms",
			"topic", p.acc.Topic(), "partition", p.acc.Index(),
			"error", &protocol.Error{Code: a.Code, Message: a.Message})
	}
	if tired {
		p.s.cfg.Cluster.RefreshTopic(p.acc.Topic())
	}
}

func (p *partition) disconnected(t attempt, sent bool, cause error, now time.Time) {
	p.mu.Lock()
	p.delivery.Disconnected(&t.state, t.number, sent, cause, now)
	p.trace.disconnected(p, t, sent, cause, now)
	p.unlockAndApply(now)
}

func (p *partition) unsendable(t attempt, cause error, now time.Time) {
	p.mu.Lock()
	p.delivery.Unsendable(&t.state, t.number, cause)
	p.trace.unsendable(p, t, cause)
	p.unlockAndApply(now)
}

// unlockAndApply goes on with the partition, unlocks it, and applies the outcomes.
func (p *partition) unlockAndApply(now time.Time) {
	p.scheduleLocked(now)
	if !p.due.IsZero() && p.isEmptyLocked() {
		p.disarmLocked()
	}
	var few [2]delivery.Outcome // most events have one
	outcomes := p.drainLocked(few[:0])
	for i := range outcomes {
		if kind := outcomes[i].Kind; kind == delivery.Rejected || kind == delivery.TooLarge {
			p.rebuildLocked(outcomes[i])
		}
	}
	p.mu.Unlock()
	for i := range outcomes {
		p.applyOutcome(&outcomes[i])
	}
}

func (p *partition) drainLocked(list []delivery.Outcome) []delivery.Outcome {
	p.trace.drained()
	return p.delivery.Drain(list)
}

// applyOutcome settles a batch. The caller holds no lock.
func (p *partition) applyOutcome(o *delivery.Outcome) {
	if o.Kind == delivery.Bug {
		p.s.cfg.Logger.Error("a bug of this client: please report it", "topic", p.acc.Topic(),
			"partition", p.acc.Index(), "error", o.Err)
		return
	}
	c := o.Batch.Owner().(*outBatch)
	switch o.Kind {
	case delivery.Acknowledged:
		appended := o.Time
		if o.Batch.Tries() > 1 && appended == c.batch.MaxTimestamp() {
			// It was a duplicate of an earlier try. A broker answers a duplicate with the batch's greatest timestamp,
			// for every timestamp type of the topic; each record has its own.
			appended = -1
		}
		p.acc.Settle(c.batch, accumulator.Outcome{BaseOffset: o.Offset, LogAppendTime: appended})
	case delivery.Failed:
		p.failBatch(c, o.Err)
	}
}

func (p *partition) failBatch(c *outBatch, err *record.Error) {
	if err.Detail == "" && errors.Is(err, record.ErrRecordTooLarge) {
		err.Detail = fmt.Sprintf("the batch has %d bytes", len(c.batch.Bytes()))
	}
	if c.sent != nil {
		p.s.cfg.Logger.Info("records failed", "topic", p.acc.Topic(), "partition", p.acc.Index(),
			"records", c.batch.Count, "error", err)
	}
	p.settleFailed(c, err)
}

// refuse fails the batches and records that wait for a refused identity or broker: no request can be made of them. They
// are not written.
func (p *partition) refuse(err *record.Error) {
	mine := *err
	mine.Topic, mine.Partition, mine.Fate = p.acc.Topic(), p.acc.Index(), record.CertainFate(err.Err)
	p.mu.Lock()
	p.delivery.Refused(&mine)
	p.trace.refused(p, &mine)
	p.unlockAndApply(time.Now())
	p.acc.ExpireQueued(time.Time{}, &mine)
}

// abort fails all undelivered records and counts them.
func (p *partition) abort(cause error, left *Undelivered) {
	p.mu.Lock()
	p.stopped = true
	if !p.due.IsZero() {
		p.disarmLocked()
	}
	left.Records += p.delivery.RecordsAtWorkers() // these fail when their worker is done with them
	detail := p.whyUndeliveredLocked()
	p.delivery.Closed(cause, detail)
	p.trace.closed(p, cause, detail)
	outcomes := p.drainLocked(nil)
	p.mu.Unlock()
	for i := range outcomes {
		o := &outcomes[i]
		if o.Kind == delivery.Failed {
			left.Records += int(o.Batch.Count())
			if record.FateOf(o.Err) == record.FateMaybeWritten {
				left.MaybeWritten += int(o.Batch.Count())
			}
		}
		p.applyOutcome(o)
	}
	err := &record.Error{Topic: p.acc.Topic(), Partition: p.acc.Index(), Err: cause, Detail: detail}
	left.Records += p.acc.ExpireQueued(time.Time{}, err)
}

func (p *partition) stop() {
	p.mu.Lock()
	p.stopped = true
	if !p.due.IsZero() {
		p.disarmLocked()
	}
	p.mu.Unlock()
}
