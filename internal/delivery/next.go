package delivery

import (
	"slices"
	"time"
)

// DecisionKind is the kind of a decision.
type DecisionKind uint8

// The decisions of Next.
const (
	// Idle: the partition has nothing to send until the next event.
	Idle DecisionKind = iota
	// Send: Batch is sent now, under its identity and sequence. The core counts it as sent.
	Send
	// NeedIdentity: the partition can go on only under an identity after Used; with NeedID of another producer id.
	NeedIdentity
	// Wait: the partition has something to send at the time Until. If Batch is not nil, it has something to send as
	// soon as WriteFinished(Batch) is called.
	Wait
	// NoRoom: a batch may be sent now, and is larger than the room.
	NoRoom
)

func (k DecisionKind) String() string {
	return [...]string{"idle", "send", "need identity", "wait", "no room"}[k]
}

// Decision is the answer of Next.
type Decision struct {
	Kind    DecisionKind
	Batch   *Batch
	Attempt uint32 // the number of the attempt, for Answered, Disconnected and Unsendable
	Used    Identity
	NeedID  bool
	Until   time.Time
}

// Room is a request's offer to the partition.
type Room struct {
	// Bytes is the largest size of a batch. With 0 the answer NoRoom means that the partition has something to send.
	Bytes int
	// ByName: the request names the topic by its name, not by its id.
	ByName bool
}

// brokerDedupWindow is the number of a producer's batches that a leader can tell from new ones. A batch that may be
// retried must be among the last five.
const brokerDedupWindow = 5

// producerStateTTL is the idle time after which a broker may have no state for a producer. Kafka's default is a day;
// the broker may delete records sooner, and the state with them.
const producerStateTTL = time.Minute

// Next decides the partition's next step. The caller calls it again after the event named in the decision.
func (p *Partition) Next(now time.Time, room Room) (d Decision) {
	defer p.endEvent(nil)
	if !p.hasRetrying() && !p.hasFresh() {
		return Decision{}
	}
	if p.NeedsIdentity() {
		return Decision{Kind: NeedIdentity, Used: p.id, NeedID: p.needID}
	}
	b, until := p.retryDue(now)
	switch {
	case !until.IsZero():
		return Decision{Kind: Wait, Until: until}
	case b != nil && p.needsSequence(b) && b.isWriting:
		return Decision{Kind: Wait, Batch: b}
	case b == nil && !p.canSendNew(now):
		return Decision{}
	case b == nil && room.Bytes <= 0:
		return Decision{Kind: NoRoom}
	case b == nil:
		if b = p.firstUnsent(); b == nil {
			return Decision{}
		}
	}
	if b.size > room.Bytes {
		return Decision{Kind: NoRoom}
	}
	p.send(b, room.ByName)
	return Decision{Kind: Send, Batch: b, Attempt: b.attempt}
}

// HasPending reports whether a batch waits for its first or another attempt.
func (p *Partition) HasPending() bool { return p.head < len(p.unsent) || p.hasRetrying() }

// hasRetrying reports whether a batch waits for another attempt.
func (p *Partition) hasRetrying() bool {
	for _, b := range p.window {
		if b.state == Retrying {
			return true
		}
	}
	return false
}

// hasFresh reports whether a batch could have its first attempt, if the order of the window permits it.
func (p *Partition) hasFresh() bool {
	if p.head < len(p.unsent) {
		return p.unsent[p.head].state == Ready
	}
	return p.closed == nil && p.source.Ready()
}

// firstUnsent returns the next batch for a first attempt, and seals one if no sealed batch is left. The result is nil
// if the source has no batch after all, and while the batch is being prepared.
func (p *Partition) firstUnsent() *Batch {
	if p.head == len(p.unsent) {
		b := p.source.Seal()
		if b == nil {
			return nil
		}
		p.unsent = append(p.unsent, b)
	}
	if b := p.unsent[p.head]; b.state == Ready {
		return b
	}
	return nil
}

// NeedsIdentity reports whether the partition can go on only under another identity, and may change it now.
func (p *Partition) NeedsIdentity() bool {
	if !p.cfg.Idempotent || p.id.Valid && !p.needBump {
		return false
	}
	for _, b := range p.window {
		if b.request.IsOutstanding() || b.sequence != NoSequence {
			return false
		}
	}
	return true
}

// retryDue returns the batch for the next attempt, or nil. until is the time of the next look, if time alone is
// missing. With idempotence only the batch with the lowest sequence is retried: the broker would refuse later ones.
func (p *Partition) retryDue(now time.Time) (b *Batch, until time.Time) {
	if p.inFlight >= p.cfg.MaxInFlight {
		return nil, time.Time{}
	}
	behind := false
	for _, b := range p.window {
		switch b.state {
		case Preparing:
			return nil, time.Time{}
		case Retrying:
			if behind && b.isDoubtful() && b.incarnation != p.incarnation {
				return nil, now // Tick ends it, see expireFromOldTopic
			}
			if p.needsSequence(b) && !p.canRenumber() {
				behind = true
				continue // later batches that may have been written come first, under their old sequences
			}
			if now.Before(b.notBefore) {
				return nil, b.notBefore
			}
			if p.needsSequence(b) && !p.isAcked && p.inFlight > 0 {
				return nil, time.Time{} // an expired batch is still in flight: as for new ones, see canSendNew
			}
			return b, time.Time{}
		case InFlight:
			if p.cfg.Idempotent {
				return nil, time.Time{}
			}
		}
	}
	return nil, time.Time{}
}

// needsSequence reports whether b needs a new sequence before it can be sent.
func (p *Partition) needsSequence(b *Batch) bool { return p.cfg.Idempotent && b.sequence == NoSequence }

// canRenumber reports whether the core may assign new sequences: the window has no batch with an old one.
func (p *Partition) canRenumber() bool {
	if p.hasGap || p.needBump {
		return false
	}
	for _, b := range p.window {
		// A batch of the current numbering is no obstacle.
		if b.sequence != NoSequence && b.state != Unresolved && b.id != p.id {
			return false
		}
	}
	return true
}

// canSendNew reports whether a batch may have its first attempt.
func (p *Partition) canSendNew(now time.Time) bool {
	if len(p.window) == 0 && now.Sub(p.lastAck) > producerStateTTL {
		p.isAcked = false
	}
	if p.inFlight >= p.cfg.MaxInFlight || p.needBump || p.hasGap {
		return false
	}
	if p.cfg.Idempotent && !p.isAcked && p.inFlight > 0 {
		// The broker accepts any first sequence: before its first acknowledgement, a lost first batch would leave a
		// hole without an error.
		return false
	}
	for _, b := range p.window {
		switch {
		case b.state == Retrying, b.state == Preparing, b.state == Unresolved && p.cfg.Idempotent:
			return false
		case p.cfg.Idempotent && p.numbered-b.number >= brokerDedupWindow-1:
			return false
		}
	}
	return true
}

// send puts b into a request. A batch without a sequence gets its place under the partition's identity.
func (p *Partition) send(b *Batch, byName bool) {
	if b.state == Ready {
		p.popUnsent()
		p.window = append(p.window, b)
	} else if next := p.admitNextPart(b); next != nil {
		p.window = slices.Insert(p.window, slices.Index(p.window, b)+1, next)
	}
	if p.needsSequence(b) {
		b.id, b.sequence = p.id, p.next
		p.next = addSequence(p.next, b.count)
		p.numbered++
		b.number = p.numbered
		b.incarnation = p.incarnation
	}
	p.step(b, stepSent)
	if b.request == Lost {
		b.request = Resent
	} else {
		b.request = Outstanding
	}
	b.attempt++
	b.tries++
	b.isWriting, b.byName = true, b.byName || byName
	b.leader, b.epochSeen = p.leader, p.leaderEpoch
	p.inFlight++
}

// IdentityReceived gives the partition the identity for its next batches.
func (p *Partition) IdentityReceived(id Identity) {
	defer p.endEvent(nil)
	p.setIdentity(id)
}

// ResumeAt makes next the sequence of the next batch under id. It serves tests.
func (p *Partition) ResumeAt(id Identity, next int32) {
	defer p.endEvent(nil)
	p.id, p.next = id, next
}

// addSequence adds n to a sequence; sequences wrap from 2³¹−1 to 0.
func addSequence(s, n int32) int32 { return int32((int64(s) + int64(n)) & 0x7fffffff) }

// comesBefore reports whether sequence a is before b, across the wrap.
func comesBefore(a, b int32) bool { return int32(uint32(a-b)<<1) < 0 }
