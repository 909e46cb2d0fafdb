package sender

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gosamsa/samsa/accumulator"
	"github.com/gosamsa/samsa/internal/cluster"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// cargo is a sealed batch on its way: what the core knows of it, and its bytes.
type cargo struct {
	parcel parcel
	part   *partition
	batch  *accumulator.Batch
	packed bool // its bytes are final: compressed, or not to be
	summed bool // it has its checksum

	try  uint32  // counts its trips; the answer to an earlier one than the last means nothing any more
	sent *broker // where it was sent last

	inTheWay atomic.Bool // a connection's write was in the way of its next trip

	abandoned *record.Error // it failed while a worker had it, which settles it then
	name      int           // in the trace
}

// trip is one journey of a batch to a broker, in a request.
type trip struct {
	*cargo
	try     uint32
	topicID protocol.UUID // what the topic was then
}

// isWritten tells whether a connection that was given up still writes the batch under its old sequence, so that it cannot
// get another one yet. The partition is kicked when that is over.
func (c *cargo) isWritten() bool {
	c.inTheWay.Store(true) // first said, then looked; letGo does it the other way round
	return c.batch.Held()
}

// letGo is called when a connection has written the batch, or has failed to.
func (t trip) letGo() {
	t.batch.Release()
	if t.inTheWay.Swap(false) {
		t.part.mu.Lock()
		t.part.kickLocked(time.Now())
		t.part.mu.Unlock()
	}
}

// packAhead is how many full batches of one partition are compressed before they can be sent.
const packAhead = 4

// partition joins the accumulator's queue, the core and a broker. mu guards all below it.
type partition struct {
	s     *Sender
	acc   *accumulator.Partition
	trace *trace

	asksID bool // stands in identities.waiting; guarded by identities.mu

	mu       sync.Mutex
	lane     lane
	followed uint64  // the generation of the snapshot that the leader is from
	broker   *broker // of the current leader; nil while there is none
	leader   int32
	topicID  protocol.UUID
	left     time.Time // when the leader moved away from a broker that owes answers; zero when none is owed
	queued   bool      // stands in a broker's ready queue
	ticket   uint64    // its place there, counted up with each
	queuedAt time.Time
	fill     uint64   // the newest request that took a batch
	pack     []*cargo // sealed, in order: being compressed, or held back because the last request was full
	timer    *time.Timer
	due      time.Time // when timer fires; zero when it is not armed
	stopped  bool
}

// BatchReady is the accumulator's call: there is something to take.
func (p *partition) BatchReady() {
	now := time.Now()
	p.mu.Lock()
	var lesson *cargo
	if !p.stopped && p.acc.Learn() {
		lesson = p.takeLocked()
	}
	p.kickLocked(now)
	if created, ok := p.acc.OldestWaiting(); ok {
		p.armLocked(created.Add(p.s.cfg.DeliveryTimeout))
	}
	p.mu.Unlock()
	if lesson != nil {
		// Left to a worker, a topic's first batches would be filled by a fast sender before the first one is measured.
		p.prepare(lesson)
	}
}

// kickLocked puts the partition into its broker's ready queue if it has something that may go now.
func (p *partition) kickLocked(now time.Time) {
	if p.queued || p.stopped {
		return
	}
	p.packFullLocked()
	if p.broker == nil {
		if p.acc.Ready() || p.lane.hasRetrying() || len(p.pack) > 0 {
			p.askLeaderLocked(now)
		}
		return
	}
	if !p.sendableLocked(now) {
		return
	}
	p.queued, p.queuedAt = true, now
	p.ticket++
	p.broker.push(place{p, p.ticket})
}

// askLeaderLocked asks for metadata until the partition has a leader. A topic that was forgotten, because nobody has sent to it
// for metadata.max.idle.ms, must be asked for by its name, and again now and then: the cluster client drops a wish that nobody has
// renewed for request.timeout.ms.
func (p *partition) askLeaderLocked(now time.Time) {
	p.armLocked(now.Add(max(p.s.cfg.RequestTimeout/2, time.Second)))
	if _, err := p.s.cfg.Cluster.TopicNow(p.acc.Topic()); err == nil {
		p.s.cfg.Cluster.Refresh()
	}
}

// sendableLocked tells whether a batch may go into a request now. Where time alone is missing, the timer is set; where an
// identity is missing, it is asked for.
func (p *partition) sendableLocked(now time.Time) bool {
	fresh := len(p.pack) > 0 && p.pack[0].packed || len(p.pack) == 0 && p.acc.Ready()
	if !fresh && !p.lane.hasRetrying() {
		return false
	}
	if used, wants := p.lane.wantsIdentity(); wants {
		id, ok := p.s.ids.after(used, p)
		if !ok {
			return false
		}
		p.lane.adopt(id)
		p.trace.adopted(id)
	}
	again, wait := p.lane.retryDue(now)
	if !wait.IsZero() {
		p.armLocked(wait)
	}
	return again != nil || fresh && p.lane.admitsNew(now)
}

// packFullLocked lets the workers compress full batches ahead of their turn.
func (p *partition) packFullLocked() {
	if p.s.cfg.Accumulator.Compressor == nil {
		return
	}
	for len(p.pack) < packAhead && p.acc.Full() {
		if !p.sealLocked() {
			return
		}
	}
}

// takeLocked seals the accumulator's next batch and puts it at the end of pack; nil when there is none.
func (p *partition) takeLocked() *cargo {
	b := p.acc.Take()
	if b == nil {
		return nil
	}
	c := p.newCargo(b)
	p.pack = append(p.pack, c)
	return c
}

// sealLocked takes the next batch and sees to it that it is packed; it reports false when there is none.
func (p *partition) sealLocked() bool {
	c := p.takeLocked()
	if c == nil {
		return false
	}
	if p.s.cfg.Accumulator.Compressor == nil && p.acc.TooLarge(c.batch) == 0 {
		c.packed = true
	} else {
		p.s.workers.submit(func() { p.prepare(c) })
	}
	return true
}

func (p *partition) newCargo(b *accumulator.Batch) *cargo {
	c := &cargo{part: p, batch: b}
	c.parcel = parcel{count: b.Count, created: b.Created, sequence: noSequence, cargo: c}
	return c
}

// prepare compresses a batch, and cuts it where it was made before the broker refused one of its size. It runs on a worker, or on the
// goroutine that has filled one of a topic's first batches.
func (p *partition) prepare(c *cargo) {
	p.mu.Lock()
	abandoned := c.abandoned
	p.mu.Unlock()
	if abandoned != nil {
		p.settleUnsent(c, abandoned) // nobody wants its bytes any more
		return
	}
	p.compress(c.batch)
	done := []*cargo{c}
	if target := p.acc.TooLarge(c.batch); target > 0 {
		if batches, err := p.acc.Split(c.batch, target); err == nil {
			done = p.packed(batches)
		} // else it goes as it is; the broker's answer decides
	}
	p.mu.Lock()
	for i := range done {
		done[i].packed = true
	}
	abandoned = c.abandoned
	if i := slices.Index(p.pack, c); i >= 0 {
		p.pack = slices.Replace(p.pack, i, i+1, done...)
	}
	if !p.stopped {
		p.kickLocked(time.Now())
		p.armLocked(c.parcel.created.Add(p.s.cfg.DeliveryTimeout))
	}
	p.mu.Unlock()
	if abandoned != nil {
		for _, c := range done {
			p.settleUnsent(c, abandoned)
		}
	}
}

// compress compresses a batch, if that is wanted.
func (p *partition) compress(b *accumulator.Batch) {
	if p.s.cfg.Accumulator.Compressor == nil {
		return
	}
	if err := b.Compress(); err != nil {
		// The codec failed; the batch goes as it is, which every broker takes.
		p.s.cfg.Logger.Error("cannot compress a batch, it is sent uncompressed", "topic", p.acc.Topic(), "partition", p.acc.Index(), "error", err)
	}
}

// packed makes cargos of batches that stand in another one's place.
func (p *partition) packed(batches []*accumulator.Batch) []*cargo {
	parts := make([]*cargo, 0, len(batches))
	for _, b := range batches {
		p.compress(b)
		part := p.newCargo(b)
		part.packed = true
		parts = append(parts, part)
	}
	return parts
}

func (p *partition) settleUnsent(c *cargo, err *record.Error) {
	p.acc.Settle(c.batch, accumulator.Outcome{BaseOffset: -1, LogAppendTime: -1, Err: err})
}

// next gives broker b the batch that goes now, if it has at most room bytes and the partition gave none to the same fill
// before: a request takes one batch a partition. full says that there is one that must wait for the next request; the
// partition counts as queued then. It is queued again by itself when it has more to send.
func (p *partition) next(b *broker, ticket uint64, now time.Time, room int, fill uint64) (t trip, full bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped || !p.standsAtLocked(b, ticket) {
		return trip{}, false
	}
	if p.fill >= fill {
		// Perhaps this request has one, and the partition has been at another broker's request since.
		return trip{}, true
	}
	p.queued = false
	if !p.sendableLocked(now) {
		return trip{}, false
	}
	var c *cargo
	again, _ := p.lane.retryDue(now)
	if again != nil {
		if c = again.cargo.(*cargo); p.lane.mustAdopt(again) && c.isWritten() {
			return trip{}, false
		}
	} else {
		if len(p.pack) == 0 && !p.sealLocked() || !p.pack[0].packed {
			return trip{}, false
		}
		c = p.pack[0]
	}
	if len(c.batch.Wire()) > room {
		p.queued = true
		return trip{}, true
	}
	if again == nil {
		p.pack[0] = nil
		p.pack = p.pack[1:]
	}
	p.fill = fill
	p.stampLocked(c)
	p.trace.sent(&c.parcel, now)
	p.kickLocked(now)
	return trip{c, c.try, p.topicID}, false
}

// standsAtLocked tells whether that place in b's ready queue is the partition's, or whether it has moved away since.
func (p *partition) standsAtLocked(b *broker, ticket uint64) bool {
	return p.queued && p.broker == b && p.ticket == ticket
}

// stampLocked gives the batch its place: identity, sequence and checksum. A retry under the same sequence keeps its bytes.
func (p *partition) stampLocked(c *cargo) {
	before := c.parcel.sequence
	p.lane.sent(&c.parcel)
	if p.s.cfg.Idempotent && before != c.parcel.sequence {
		record.SetProducer(c.batch.Wire(), c.parcel.id.id, c.parcel.id.epoch, c.parcel.sequence)
		c.summed = false
	}
	if !c.summed {
		record.SetChecksum(c.batch.Wire())
		c.summed = true
	}
	c.try++
	c.sent = p.broker
	c.batch.Hold()
	p.armLocked(c.parcel.created.Add(p.s.cfg.DeliveryTimeout))
}

// follow takes the partition's leader from a snapshot.
func (p *partition) follow(snapshot *cluster.Snapshot, now time.Time) {
	topic := snapshot.Topics[p.acc.Topic()]
	leader, epoch := accumulator.NoLeader, int32(-1)
	var id protocol.UUID
	if topic != nil {
		id = topic.ID
		if i := int(p.acc.Index()); i < len(topic.Partitions) {
			leader, epoch = topic.Partitions[i].Leader, topic.Partitions[i].LeaderEpoch
		}
	}
	if _, known := snapshot.Brokers[leader]; !known {
		leader = accumulator.NoLeader
	}
	var b *broker
	if leader != accumulator.NoLeader {
		b = p.s.broker(leader)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if snapshot.Generation < p.followed {
		return // a newer one overtook it
	}
	p.followed = snapshot.Generation
	if topic != nil {
		if !p.topicID.IsZero() && p.topicID != id {
			p.lane.madeAgain()
			p.trace.madeAgain()
		}
		p.topicID = id
	}
	p.trace.leaderMoved(p.lane.leader, epoch, now)
	p.lane.leaderMoved(epoch, now)
	if p.broker != b {
		// Its place in the former broker's queue, which may never move again, does not count any more.
		p.broker, p.leader, p.queued = b, leader, false
		p.acc.SetBroker(leader)
		if b != nil && p.s.cfg.Idempotent && p.lane.flying > 0 {
			p.left = now
			p.armLocked(now.Add(answerGrace))
		}
	}
	p.kickLocked(now)
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
	for _, q := range append([]*parcel(nil), p.lane.window...) {
		if c := q.cargo.(*cargo); q.awaiting && c.sent != p.broker {
			c.try++
			actions = append(actions, p.disconnectedLocked(q, true, errFormerLeader, now)...)
		}
	}
	return actions
}

var errFormerLeader = errors.New("the partition has another leader, and the former one has not answered")

// answered and disconnected hand an event of the wire to the core and carry out what it decides.
func (p *partition) answered(t trip, a answer, now time.Time) {
	p.mu.Lock()
	var actions []action
	if t.try == t.cargo.try {
		actions = p.lane.answered(&t.parcel, a, now)
		p.trace.answered(&t.parcel, a, now, actions)
	}
	p.finishLocked(actions, now)
}

func (p *partition) disconnected(t trip, sent bool, cause error, now time.Time) {
	p.mu.Lock()
	var actions []action
	if t.try == t.cargo.try {
		actions = p.disconnectedLocked(&t.parcel, sent, cause, now)
	}
	p.finishLocked(actions, now)
}

func (p *partition) disconnectedLocked(q *parcel, sent bool, cause error, now time.Time) []action {
	actions := p.lane.disconnected(q, sent, cause, now)
	p.trace.disconnected(q, sent, cause, now, actions)
	return actions
}

// finishLocked goes on with the partition, unlocks it and carries out actions.
func (p *partition) finishLocked(actions []action, now time.Time) {
	p.kickLocked(now)
	if p.lane.idle() && len(p.pack) == 0 && !p.due.IsZero() {
		if _, waiting := p.acc.OldestWaiting(); !waiting {
			p.disarmLocked()
		}
	}
	for i, a := range actions {
		if a.kind != actReject && a.kind != actSplit {
			continue
		}
		c := a.parcel.cargo.(*cargo)
		if !p.stopped {
			p.s.workers.submit(func() { p.rebuild(c, a) })
			continue
		}
		// Stop waits for no new work.
		p.trace.replaced(a.parcel, nil, p.lane.replace(a.parcel, nil))
		actions[i].kind, actions[i].err = actFail, p.closedError()
	}
	p.mu.Unlock()
	for _, a := range actions {
		p.carryOut(a)
	}
}

func (p *partition) closedError() *record.Error {
	return &record.Error{Topic: p.acc.Topic(), Partition: p.acc.Index(), Err: record.ErrClosed}
}

func (p *partition) carryOut(a action) {
	c := a.parcel.cargo.(*cargo)
	switch a.kind {
	case actComplete:
		appended := a.time
		if c.parcel.tries > 1 && appended == c.batch.MaxTimestamp() {
			// It was a duplicate of an earlier try. To that a broker answers with the batch's greatest timestamp, whatever
			// timestamps the topic has; each record has its own.
			appended = -1
		}
		p.acc.Settle(c.batch, accumulator.Outcome{BaseOffset: a.offset, LogAppendTime: appended})
	case actFail:
		p.s.cfg.Logger.Warn("records failed", "topic", p.acc.Topic(), "partition", p.acc.Index(), "records", c.batch.Count, "error", a.err)
		p.acc.Settle(c.batch, accumulator.Outcome{BaseOffset: -1, LogAppendTime: -1, Err: a.err})
	case actReject, actSplit: // a worker has it
	}
}

// rebuild replaces a batch by what is left of it, or by smaller ones. It runs on a worker.
func (p *partition) rebuild(c *cargo, a action) {
	p.mu.Lock()
	if p.stopped {
		p.trace.replaced(&c.parcel, nil, p.lane.replace(&c.parcel, nil))
		p.mu.Unlock()
		p.settleUnsent(c, p.closedError())
		return
	}
	p.mu.Unlock()
	var batches []*accumulator.Batch
	var err error
	if a.kind == actSplit {
		target := max(min(p.s.cfg.Accumulator.BatchSize, len(c.batch.Wire())/2), 1)
		batches, err = p.acc.Split(c.batch, target)
	} else {
		var rest *accumulator.Batch
		if rest, err = p.acc.Reject(c.batch, a.blamed); rest != nil {
			batches = append(batches, rest)
		}
	}
	if err != nil {
		failure := a.err
		if failure == nil {
			failure = &record.Error{Topic: p.acc.Topic(), Partition: p.acc.Index(), Err: record.ErrNeighbourRejected, Detail: err.Error()}
		}
		p.acc.Settle(c.batch, accumulator.Outcome{BaseOffset: -1, LogAppendTime: -1, Err: failure})
		batches = nil
	}
	parts := make([]*parcel, 0, len(batches))
	for _, part := range p.packed(batches) {
		parts = append(parts, &part.parcel)
	}
	now := time.Now()
	p.mu.Lock()
	actions := p.lane.replace(&c.parcel, parts)
	p.trace.replaced(&c.parcel, parts, actions)
	if p.stopped {
		ended := p.lane.abort(record.ErrClosed)
		p.trace.aborted(record.ErrClosed, ended)
		actions = append(actions, ended...)
	} else {
		ended := p.lane.tick(now) // its time may have passed meanwhile
		p.trace.ticked(now, ended)
		actions = append(actions, ended...)
		p.armLocked(c.parcel.created.Add(p.s.cfg.DeliveryTimeout))
	}
	p.finishLocked(actions, now)
}

// armLocked lets the timer fire at t, unless it fires earlier anyway.
func (p *partition) armLocked(t time.Time) {
	if p.stopped || !p.due.IsZero() && !t.Before(p.due) {
		return
	}
	p.due = t
	if d := time.Until(t); p.timer == nil {
		p.timer = time.AfterFunc(d, p.onTimer)
	} else {
		p.timer.Reset(d)
	}
}

func (p *partition) disarmLocked() {
	p.timer.Stop()
	p.due = time.Time{}
}

// onTimer ends what is over its time, tries again what is due, and sets the timer for what comes next.
func (p *partition) onTimer() {
	now := time.Now()
	p.mu.Lock()
	if p.stopped {
		p.mu.Unlock()
		return
	}
	p.due = time.Time{}
	actions := p.lane.tick(now)
	p.trace.ticked(now, actions)
	actions = append(actions, p.giveUpOnFormerLeadersLocked(now)...)
	over := now.Add(-p.s.cfg.DeliveryTimeout)
	expired := p.expiredPackLocked(over)
	why := p.whyWaitingLocked()
	if next, ok := p.lane.nextDeadline(); ok {
		p.armLocked(next)
	}
	if len(p.pack) > 0 && p.pack[0].packed {
		p.armLocked(p.pack[0].batch.Created.Add(p.s.cfg.DeliveryTimeout))
	}
	p.finishLocked(actions, now)

	err := &record.Error{
		Topic: p.acc.Topic(), Partition: p.acc.Index(), Retriable: true, Err: record.ErrDeliveryTimeout,
		Detail: p.s.cfg.DeliveryTimeout.String() + " passed before it could be sent: " + why,
	}
	for _, c := range expired {
		p.settleUnsent(c, err)
	}
	p.acc.FailWaiting(over, err)
	if created, ok := p.acc.OldestWaiting(); ok {
		p.mu.Lock()
		p.armLocked(created.Add(p.s.cfg.DeliveryTimeout))
		p.mu.Unlock()
	}
}

// expiredPackLocked takes the sealed batches that were never sent and were created up to over.
func (p *partition) expiredPackLocked(over time.Time) (expired []*cargo) {
	for len(p.pack) > 0 && p.pack[0].packed && !p.pack[0].batch.Created.After(over) {
		expired = append(expired, p.pack[0])
		p.pack = p.pack[1:]
	}
	return expired
}

// whyWaitingLocked says in words why nothing of this partition is sent.
func (p *partition) whyWaitingLocked() string {
	if p.broker == nil {
		return "the partition has no leader"
	}
	if why := p.broker.trouble(); why != "" {
		return why
	}
	if why := p.s.ids.trouble(); p.s.cfg.Idempotent && why != "" {
		return why
	}
	if !p.lane.idle() {
		return "earlier records of the partition are unanswered"
	}
	if !p.broker.isConnected() {
		return fmt.Sprintf("broker %d is still being connected to", p.broker.id)
	}
	return "its turn has not come"
}

// refuse fails what waits for something that was refused: no request can be made of it. Nothing of it was written.
func (p *partition) refuse(err *record.Error) {
	mine := *err
	mine.Topic, mine.Partition = p.acc.Topic(), p.acc.Index()
	now := time.Now()
	p.mu.Lock()
	var waiting []*cargo
	for len(p.pack) > 0 && p.pack[0].packed {
		waiting = append(waiting, p.pack[0])
		p.pack = p.pack[1:]
	}
	actions := p.lane.refuse(&mine)
	p.trace.refused(&mine, actions)
	p.finishLocked(actions, now)
	for _, c := range waiting {
		p.settleUnsent(c, &mine)
	}
	p.acc.FailWaiting(time.Time{}, &mine)
}

// abort fails all that is left and counts it.
func (p *partition) abort(cause error, left *Left) {
	err := &record.Error{Topic: p.acc.Topic(), Partition: p.acc.Index(), Err: cause}
	p.mu.Lock()
	p.stopped = true
	if !p.due.IsZero() {
		p.disarmLocked()
	}
	left.Records += p.lane.beingRebuilt() // these fail when their worker is done with them
	actions := p.lane.abort(cause)
	p.trace.aborted(cause, actions)
	var unsent []*cargo
	for _, c := range p.pack {
		left.Records += int(c.batch.Count)
		if c.abandoned = err; c.packed {
			unsent = append(unsent, c)
		}
	}
	p.pack = nil
	p.mu.Unlock()
	for _, a := range actions {
		left.Records += int(a.parcel.count)
		if a.err.MaybeWritten {
			left.MaybeWritten += int(a.parcel.count)
		}
		p.carryOut(a)
	}
	for _, c := range unsent {
		p.settleUnsent(c, err)
	}
	left.Records += p.acc.FailWaiting(time.Time{}, err)
}

func (p *partition) stop() {
	p.mu.Lock()
	p.stopped = true
	if !p.due.IsZero() {
		p.disarmLocked()
	}
	p.mu.Unlock()
}
