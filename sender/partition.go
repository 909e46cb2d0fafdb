package sender

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gosamsa/samsa/accumulator"
	"github.com/gosamsa/samsa/internal/cluster"
	"github.com/gosamsa/samsa/internal/fifo"
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

	mu          sync.Mutex
	delivery    deliveryState
	snapshotGen uint64  // the generation of the snapshot that the leader is from
	cluster     string  // the cluster id of that snapshot; empty while it is not known
	broker      *broker // of the current leader; nil while there is none
	leader      int32
	topicID     protocol.UUID
	refusals    refusals
	left        time.Time // when the leader moved away from a broker that owes answers; zero when none is owed
	queued      bool      // stands in a broker's ready queue
	queueGen    uint64    // its place there, counted up with each
	queuedAt    time.Time
	inlineGen   uint64                // the last place taken by a goroutine in Get, perhaps without a signal: sendInline
	fill        uint64                // the newest request that took a batch
	sealedQueue fifo.Queue[*outBatch] // sealed, in order: being compressed, or held back because the last request was full
	timer       *time.Timer
	due         time.Time // when timer fires; zero when it is not armed
	stopped     bool
	// forgotten: nobody used the topic, and the partition has left the accumulator. It has stopped too.
	forgotten bool
}

// BatchReady is the accumulator's call: there is something to take.
func (p *partition) BatchReady(awaited <-chan struct{}) {
	p.mu.Lock()
	var inlineBatch *outBatch
	if !p.stopped && p.acc.CompressInline() {
		inlineBatch = p.dequeueLocked()
	}
	if inlineBatch != nil {
		awaited = nil // it may stand before what is waited for
	}
	var b *broker
	if !p.queued { // else there is no need to know the time
		b = p.enqueueLocked(time.Now())
	}
	switch {
	case b != nil && awaited != nil:
		p.inlineGen = p.queueGen
	case awaited == nil && p.queued && p.inlineGen == p.queueGen:
		b, p.inlineGen = p.broker, 0 // a full batch does not wait for the response that a goroutine in Get waits for
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

// scheduleLocked puts the partition into its broker's ready queue if it has something that may go now, and wakes the broker.
func (p *partition) scheduleLocked(now time.Time) {
	if b := p.enqueueLocked(now); b != nil {
		b.signal()
	}
}

// enqueueLocked puts the partition into its broker's ready queue if it has something that may go now. It returns that broker then.
func (p *partition) enqueueLocked(now time.Time) *broker {
	if p.queued || p.stopped {
		return nil
	}
	p.compressAheadLocked()
	if p.broker == nil {
		if p.acc.Ready() || p.delivery.hasRetrying() || p.sealedQueue.Len() > 0 {
			p.askLeaderLocked(now)
		}
		return nil
	}
	if !p.sendableLocked(now) {
		return nil
	}
	p.queued, p.queuedAt = true, now
	p.queueGen++
	p.broker.push(queueEntry{p, p.queueGen})
	return p.broker
}

// askLeaderLocked asks for metadata until the partition has a leader. The cluster client drops a wish that nobody has renewed for
// request.timeout.ms.
func (p *partition) askLeaderLocked(now time.Time) {
	p.armLocked(now.Add(max(p.s.cfg.RequestTimeout/2, time.Second)))
	p.s.cfg.Cluster.AwaitLeader(p.acc.Topic(), p.acc.Index())
}

// sendableLocked reports whether a batch may go into a request now. Where time alone is missing, the timer is set; where an
// identity is missing, it is asked for.
func (p *partition) sendableLocked(now time.Time) bool {
	fresh := p.sealedQueue.Len() > 0 && p.sealedQueue.At(0).packed || p.sealedQueue.Len() == 0 && p.acc.Ready()
	if !fresh && !p.delivery.hasRetrying() {
		return false
	}
	if used, wants := p.delivery.wantsIdentity(); wants {
		id, ok := p.s.ids.after(used, p.delivery.newID, p)
		if !ok {
			return false
		}
		p.delivery.setIdentity(id)
		p.trace.adopted(id)
	}
	again, wait := p.delivery.retryDue(now)
	if !wait.IsZero() {
		p.armLocked(wait)
	}
	return again != nil || fresh && p.delivery.canSendNew(now)
}

// next gives the request the batch that goes now, if there is space for it and the partition gave none to the same request
// before: a request takes one batch a partition. at is the index of the topic in the request, negative where it is new. full says
// that there is one that must wait for the next request; the partition counts as queued then. It is queued again by itself when
// it has more to send.
func (p *partition) next(r *request, at int, ticket uint64, now time.Time, space int) (t attempt, full bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped || !p.standsAtLocked(r.b, ticket) {
		return attempt{}, false
	}
	if p.fill >= r.number {
		// Perhaps this request has one, and the partition has been at another broker's request since.
		return attempt{}, true
	}
	if !cluster.SameCluster(p.cluster, r.cluster) {
		return attempt{}, p.awaitsConnectionLocked()
	}
	byName := !protocol.ProduceNamesTopicsByID(r.version) || p.topicID.IsZero()
	switch {
	case protocol.ProduceNamesTopicsByID(r.version) && byName && len(r.attempts) > 0: // a request names all of its topics in the same way
		return attempt{}, true
	case at >= 0 && r.body.Topics[at].ID != p.topicID: // a topic that is being recreated has two ids for a moment
		return attempt{}, true
	}
	p.queued = false
	if !p.sendableLocked(now) {
		return attempt{}, false
	}
	var c *outBatch
	again, _ := p.delivery.retryDue(now)
	if again != nil {
		if c = again.owner.(*outBatch); p.delivery.needsSequence(again) && c.beingWritten() {
			return attempt{}, false
		}
	} else {
		if p.sealedQueue.Len() == 0 && !p.dequeueAndPrepareLocked() || !p.sealedQueue.At(0).packed {
			return attempt{}, false
		}
		c = p.sealedQueue.At(0)
	}
	if p.topicID.IsZero() {
		space -= len(p.acc.Topic()) // in place of the id
	}
	if len(c.batch.Bytes()) > space {
		p.queued = true
		return attempt{}, true
	}
	if again == nil {
		p.sealedQueue.Pop()
	}
	p.fill = r.number
	c.state.byName = c.state.byName || byName
	p.assignSequenceLocked(c)
	p.trace.sent(&c.state, now)
	p.scheduleLocked(now)
	return attempt{c, c.try, p.topicID}, false
}

// awaitsConnectionLocked decides about a partition whose cluster is not that of the connection: no batch may go over it. It reports
// whether the partition stays queued, for the connection is to be replaced. If the partition has not followed to the cluster of the newest
// snapshot yet, it leaves the queue, and is queued again when it follows.
func (p *partition) awaitsConnectionLocked() bool {
	p.queued = cluster.SameCluster(p.cluster, p.s.cfg.Cluster.Snapshot().ClusterID)
	return p.queued
}

// standsAtLocked reports whether that place in b's ready queue is the partition's, or whether it has moved away since.
func (p *partition) standsAtLocked(b *broker, ticket uint64) bool {
	return p.queued && p.broker == b && p.queueGen == ticket
}

// keepsPlace reports whether that place in b's ready queue is the partition's and the partition has something to send. If it has nothing, it
// leaves the queue; it is queued again when there is something.
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
	if !p.delivery.idle() || p.sealedQueue.Len() > 0 {
		return false
	}
	_, waiting := p.acc.OldestQueued()
	return !waiting
}

// assignSequenceLocked gives the batch its place: identity, sequence and checksum. A retry under the same sequence keeps its bytes.
func (p *partition) assignSequenceLocked(c *outBatch) {
	before := c.state.sequence
	p.delivery.sent(&c.state)
	if p.s.cfg.Idempotent && before != c.state.sequence {
		record.SetProducer(c.batch.Bytes(), c.state.id.id, c.state.id.epoch, c.state.sequence)
		c.summed = false
	}
	if !c.summed {
		record.SetChecksum(c.batch.Bytes())
		c.summed = true
	}
	c.try++
	c.sent = p.broker
	c.batch.Retain()
	p.armLocked(c.state.created.Add(p.s.cfg.DeliveryTimeout))
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
	life := p.delivery.incarnation
	actions := p.clusterIsLocked(snapshot.ClusterID)
	if topic != nil {
		if !p.topicID.IsZero() && p.topicID != id {
			successor := p.delivery.lifeOf(p.topicID, id)
			again := p.delivery.recreated(successor)
			p.trace.madeAgain(successor, again)
			actions = append(actions, again...)
		}
		p.topicID = id
	}
	before := p.delivery.leader
	moved := p.delivery.leaderMoved(epoch, now)
	p.trace.leaderMoved(before, epoch, now, moved)
	actions = append(actions, moved...)
	if p.delivery.incarnation != life {
		p.s.ids.recreatedIn(snapshot.Generation)
	}
	p.s.ids.recreatedIn(snapshot.Recreated)
	if p.broker != b {
		// Its place in the former broker's queue, which may never move again, does not count any more.
		p.leaveQueueLocked()
		p.broker, p.leader, p.refusals = b, leader, refusals{}
		p.acc.SetBroker(leader)
		if b != nil && p.s.cfg.Idempotent && p.delivery.inFlight > 0 {
			p.left = now
			p.armLocked(now.Add(answerGrace))
		}
	}
	p.unlockAndApply(actions, now)
	p.s.releaseBroker(former) // the partition holds b once, also if it is the same
}

// leaveQueueLocked gives up the partition's place in its broker's ready queue.
func (p *partition) leaveQueueLocked() {
	if p.queued && p.broker != nil {
		p.broker.moved()
	}
	p.queued = false
}

// Forget ends the partition, if nothing of it is undelivered. A later partition of the same name must not send under this identity, of which
// the broker knows the sequences. It implements accumulator.Forgetter.
func (p *partition) Forget(end func() bool) bool {
	p.mu.Lock()
	if p.stopped || !p.delivery.isQuiet() || p.sealedQueue.Len() > 0 || !end() {
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

// clusterIsLocked takes the cluster id of a snapshot. The topic of another cluster has nothing to do with the former one's.
func (p *partition) clusterIsLocked(id string) []action {
	if id == "" || id == p.cluster {
		return nil
	}
	if p.cluster != "" {
		p.topicID = protocol.UUID{}
	}
	p.cluster = id
	actions := p.delivery.clusterIs(id)
	p.trace.clusterIs(id, actions)
	return actions
}

// answerGrace is how long a former leader's answers are waited for. One that lives says at once that it is not the leader.
const answerGrace = 100 * time.Millisecond

// giveUpOnFormerLeadersLocked takes what the former leaders have not answered for lost, so that it goes to the new one: the old one
// may hang for as long as request.timeout.ms. Idempotence makes that safe, as it does where a connection breaks.
func (p *partition) giveUpOnFormerLeadersLocked(now time.Time) (actions []action) {
	if p.left.IsZero() || p.broker == nil {
		return nil
	}
	if rest := p.left.Add(answerGrace); now.Before(rest) {
		p.armLocked(rest)
		return nil
	}
	p.left = time.Time{}
	for _, q := range append([]*batchState(nil), p.delivery.window...) {
		if c := q.owner.(*outBatch); q.awaiting && c.sent != p.broker {
			c.try++
			actions = append(actions, p.disconnectedLocked(q, true, errFormerLeader, now)...)
		}
	}
	return actions
}

var errFormerLeader = errors.New("the partition has another leader, and the former one has not answered")

// answered and disconnected hand an event of the wire to the core and carry out what it decides.
func (p *partition) answered(t attempt, a answer, now time.Time) {
	p.mu.Lock()
	var actions []action
	tired, warn := false, false
	if t.try == t.outBatch.try {
		tired = p.refusals.add(a.code, now)
		warn = p.refusals.isWorthAWarning(a.code, tired)
		actions = p.delivery.answered(&t.state, a, now)
		p.trace.answered(&t.state, a, now, actions)
	}
	p.unlockAndApply(actions, now)
	if warn {
		p.s.cfg.Logger.Warn("the leader refuses a partition's records: the client retries, at most until delivery.timeout.ms",
			"topic", p.acc.Topic(), "partition", p.acc.Index(), "error", &protocol.Error{Code: a.code, Message: a.message})
	}
	if tired {
		p.s.cfg.Cluster.RefreshTopic(p.acc.Topic())
	}
}

func (p *partition) disconnected(t attempt, sent bool, cause error, now time.Time) {
	p.mu.Lock()
	var actions []action
	if t.try == t.outBatch.try {
		actions = p.disconnectedLocked(&t.state, sent, cause, now)
	}
	p.unlockAndApply(actions, now)
}

// unsendable is disconnected for a request that no connection can carry.
func (p *partition) unsendable(t attempt, cause error, now time.Time) {
	p.mu.Lock()
	var actions []action
	if t.try == t.outBatch.try {
		actions = p.delivery.unsendable(&t.state, cause)
		p.trace.unsendable(&t.state, cause, actions)
	}
	p.unlockAndApply(actions, now)
}

func (p *partition) disconnectedLocked(q *batchState, sent bool, cause error, now time.Time) []action {
	actions := p.delivery.disconnected(q, sent, cause, now)
	p.trace.disconnected(q, sent, cause, now, actions)
	return actions
}

// unlockAndApply goes on with the partition, unlocks it and carries out actions.
func (p *partition) unlockAndApply(actions []action, now time.Time) {
	var one [1]action
	if len(actions) == 1 {
		// It may lie in the delivery state, which is others' when the lock is gone.
		one[0] = actions[0]
		actions = one[:]
	}
	p.scheduleLocked(now)
	if !p.due.IsZero() && p.isEmptyLocked() {
		p.disarmLocked()
	}
	for i, a := range actions {
		if a.kind != actReject && a.kind != actSplit {
			continue
		}
		c := a.batch.owner.(*outBatch)
		if !p.stopped {
			p.s.workers.submit(func() { p.rebuild(c, a) })
			continue
		}
		// Stop waits for no new work.
		p.trace.replaced(a.batch, nil, p.delivery.replace(a.batch, nil))
		actions[i].kind, actions[i].err = actFail, p.closedError()
	}
	p.mu.Unlock()
	for _, a := range actions {
		p.applyOutcome(a)
	}
}

func (p *partition) closedError() *record.Error {
	return &record.Error{Topic: p.acc.Topic(), Partition: p.acc.Index(), Err: record.ErrClosed}
}

func (p *partition) applyOutcome(a action) {
	c := a.batch.owner.(*outBatch)
	switch a.kind {
	case actComplete:
		appended := a.time
		if c.state.tries > 1 && appended == c.batch.MaxTimestamp() {
			// It was a duplicate of an earlier try. To that a broker answers with the batch's greatest timestamp, whatever
			// timestamps the topic has; each record has its own.
			appended = -1
		}
		p.acc.Settle(c.batch, accumulator.Outcome{BaseOffset: a.offset, LogAppendTime: appended})
	case actFail:
		if a.err.Detail == "" && errors.Is(a.err, record.ErrRecordTooLarge) {
			a.err.Detail = fmt.Sprintf("the batch has %d bytes", len(c.batch.Bytes()))
		}
		p.s.cfg.Logger.Info("records failed", "topic", p.acc.Topic(), "partition", p.acc.Index(), "records", c.batch.Count, "error", a.err)
		p.acc.Settle(c.batch, accumulator.Outcome{BaseOffset: -1, LogAppendTime: -1, Err: a.err})
	case actReject, actSplit: // a worker has it
	}
}

// refuse fails what waits for something that was refused: no request can be made of it. Nothing of it was written.
func (p *partition) refuse(err *record.Error) {
	mine := *err
	mine.Topic, mine.Partition, mine.Fate = p.acc.Topic(), p.acc.Index(), record.CertainFate(err.Err)
	now := time.Now()
	p.mu.Lock()
	var waiting []*outBatch
	for p.sealedQueue.Len() > 0 && p.sealedQueue.At(0).packed {
		waiting = append(waiting, p.sealedQueue.Pop())
	}
	actions := p.delivery.refuse(&mine)
	p.trace.refused(&mine, actions)
	p.unlockAndApply(actions, now)
	for _, c := range waiting {
		p.settleUnsent(c, &mine)
	}
	p.acc.ExpireQueued(time.Time{}, &mine)
}

// abort fails all that is left and counts it.
func (p *partition) abort(cause error, left *Undelivered) {
	err := &record.Error{Topic: p.acc.Topic(), Partition: p.acc.Index(), Err: cause}
	p.mu.Lock()
	p.stopped = true
	if !p.due.IsZero() {
		p.disarmLocked()
	}
	left.Records += p.delivery.beingRebuilt() // these fail when their worker is done with them
	err.Detail = p.whyUndeliveredLocked()
	actions := p.delivery.abort(cause)
	p.trace.aborted(cause, actions)
	explain(actions, err.Detail)
	var unsent []*outBatch
	for _, c := range p.sealedQueue.All() {
		left.Records += int(c.batch.Count)
		if c.abandoned = err; c.packed {
			unsent = append(unsent, c)
		}
	}
	p.sealedQueue = fifo.Queue[*outBatch]{}
	p.mu.Unlock()
	for _, a := range actions {
		left.Records += int(a.batch.count)
		if record.FateOf(a.err) == record.FateMaybeWritten {
			left.MaybeWritten += int(a.batch.count)
		}
		p.applyOutcome(a)
	}
	for _, c := range unsent {
		p.settleUnsent(c, err)
	}
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
