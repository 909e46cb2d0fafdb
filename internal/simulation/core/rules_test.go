package core

import (
	"errors"
	"fmt"

	"github.com/gosamsa/samsa/internal/delivery"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// This file checks the core's rules when they matter. A broker forgives much: it refuses a sequence with a hole before
// it, and the core mends it under another identity. So the log at the end does not show every broken rule; these checks
// do. They count for themselves and use none of the core's own arithmetic.

// simLedger is the simulation's knowledge of a delivery core's sequences.
type simLedger struct {
	id      delivery.Identity
	adopted bool
	end     int32 // the sequence after the last acknowledged one under id
	acked   bool  // the present log has acknowledged something under id
	given   int   // sequences given so far
	reasons int   // why the identity may have to change: doubts, refusals, forgetful brokers
}

func seqAdd(s int32, n int) int32 { return int32((int64(s) + int64(n)) % (1 << 31)) }

func seqBefore(a, b int32) bool {
	ahead := (int64(b) - int64(a) + 1<<31) % (1 << 31)
	return ahead > 0 && ahead < 1<<30
}

// overlap reports whether two runs of sequences have one in common.
func overlap(a int32, n int, b int32, m int) bool {
	return !seqBefore(seqAdd(a, n-1), b) && !seqBefore(seqAdd(b, m-1), a)
}

// adopts notes a new identity; there must be a reason for it.
func (g *simLedger) adopts(id delivery.Identity) {
	if g.adopted && g.reasons == 0 {
		panic(fmt.Sprintf("the identity id=%d epoch=%d is given up without a reason", g.id.ID, g.id.Epoch))
	}
	g.id, g.adopted, g.end, g.acked = id, true, 0, false
}

// hears notes an answer.
func (l *simLane) hears(part *simPart, a *delivery.Answer, acks int16) {
	g := &l.ledger
	if a.Code.Retriable() {
		part.batch.failed++
	}
	switch {
	case a.Code == protocol.None || a.Code == protocol.DuplicateSequenceNumber:
		if part.id != g.id {
			return
		}
		if end := seqAdd(part.sequence, len(part.records)); seqBefore(g.end, end) {
			g.end = end
		}
		g.acked = g.acked || part.topicID == l.topicID
	case a.Code.WriteOutcomeWith(acks) == protocol.MaybeWritten, a.Code == protocol.UnknownProducerID,
		a.Code == protocol.InvalidProducerEpoch,
		a.Code == protocol.InvalidProducerIDMapping, a.Code == protocol.ProducerFenced:
		g.reasons++
	}
}

// checkTries: a batch is sent once, and again as often as retries permits. A split, an unsent request and a failure out
// of turn cost none.
func (s *sim) checkTries(b *simBatch) {
	if b.failed > s.cfg.Retries {
		panic(fmt.Sprintf("%v goes again after %d failed tries, and retries is %d", b.records, b.failed, s.cfg.Retries))
	}
	b.sends++
}

// checkPause: a retry follows a pause, unless the leader has changed since the last attempt.
func (s *sim) checkPause(b *simBatch) {
	waited := s.now.Sub(b.refusedAt)
	if !b.refusedAt.IsZero() && waited < s.cfg.Backoff(1) && b.delivery.movedAt.Before(b.sentAt) {
		panic(fmt.Sprintf("%v goes again %v after it failed", b.records, waited))
	}
	b.sentAt = s.now
}

// checkExhausted: a batch failed with ErrRetriesExhausted has had all its retries.
func (s *sim) checkExhausted(b *simBatch, err *record.Error) {
	if errors.Is(err, record.ErrRetriesExhausted) && b.sends <= s.cfg.Retries {
		panic(fmt.Sprintf("%v was sent %d times, retries is %d, and they are said to be used up", b.records, b.sends,
			s.cfg.Retries))
	}
}

// checkSend looks at a batch just after its place in a request; had is its sequence before.
func (s *sim) checkSend(l *simLane, b *simBatch, had int32) {
	if b.isWriting && had != b.batch.Sequence() {
		panic(fmt.Sprintf("%v gets another sequence while a connection still writes it", b.records))
	}
	if !s.cfg.Idempotent {
		return
	}
	p, g := &b.batch, &l.ledger
	defer func() { b.fresh = false }()
	if p.Sequence() < 0 || p.Identity() != g.id {
		panic(fmt.Sprintf("%v goes with %v sequence=%d", b.records, p.Identity(), p.Sequence()))
	}
	if had != delivery.NoSequence {
		if had != p.Sequence() {
			panic(fmt.Sprintf("%v has another sequence than before", b.records))
		}
		s.checkTurn(l, b)
		return
	}
	g.given++
	b.number = g.given
	if !g.acked && l.delivery.InFlight() > 1 {
		panic(fmt.Sprintf("%v goes beside others, though nothing was acknowledged under its identity", b.records))
	}
	s.checkHole(l, b)
	s.checkUnused(l, b)
	for _, q := range l.delivery.Window() {
		if q.Sequence() != delivery.NoSequence && g.given-q.Owner().(*simBatch).number >= 5 {
			panic(fmt.Sprintf("%v goes, and the broker may forget %v", b.records, q.Owner().(*simBatch).records))
		}
	}
}

// checkTurn: with idempotence a retry waits for every batch in flight before it.
func (s *sim) checkTurn(l *simLane, b *simBatch) {
	for _, q := range l.delivery.Window() {
		if q == &b.batch {
			return
		}
		if q.State() == delivery.InFlight {
			panic(fmt.Sprintf("%v is tried again before %v is answered", b.records, q.Owner().(*simBatch).records))
		}
	}
}

// checkHole: a new sequence follows the acknowledged ones, or those before it with a chance to be written.
func (s *sim) checkHole(l *simLane, b *simBatch) {
	expect := l.ledger.end
	for _, q := range l.delivery.Window() {
		if q == &b.batch {
			break
		}
		before := q.Owner().(*simBatch)
		if q.State() == delivery.Unresolved && b.fresh {
			panic(fmt.Sprintf("%v goes behind %v, whose fate is unknown", b.records, before.records))
		}
		if q.Sequence() == delivery.NoSequence || seqBefore(q.Sequence(), expect) {
			continue
		}
		if q.Sequence() != expect {
			panic(fmt.Sprintf("%v goes with a hole before %v", b.records, before.records))
		}
		expect = seqAdd(q.Sequence(), len(before.records))
	}
	if b.batch.Sequence() != expect {
		panic(fmt.Sprintf("%v goes under sequence %d, and the next one is %d", b.records, b.batch.Sequence(), expect))
	}
}

// checkUnused: no other batch in a log or on its way has these sequences, and the batch itself is not in a log yet.
func (s *sim) checkUnused(l *simLane, b *simBatch) {
	p := &b.batch
	clash := func(id delivery.Identity, sequence int32, records []int) bool {
		return id == p.Identity() && overlap(sequence, len(records), p.Sequence(), len(b.records))
	}
	life := s.cluster.slots[l.slot].life
	for _, log := range life.logs {
		if log == nil || life.topicID != l.topicID {
			continue
		}
		for _, e := range log.entries {
			if clash(e.id, e.sequence, e.records) {
				panic(fmt.Sprintf("%v gets the sequence of %v, which is in the log", b.records, e.records))
			}
		}
	}
	for _, broker := range s.cluster.brokers {
		for _, conn := range broker.conns {
			for _, r := range append(conn.inbox[:len(conn.inbox):len(conn.inbox)], conn.pending...) {
				for _, part := range r.parts {
					same := part.batch == b && part.sequence == p.Sequence() // the broker sees no difference
					if !same && part.slot == l.slot && part.topicID == l.topicID && part.answer == nil &&
						clash(part.id, part.sequence, part.records) {
						panic(fmt.Sprintf("%v gets the sequence of %v, which is on its way", b.records, part.records))
					}
				}
			}
		}
	}
}

// checkResolved: an acknowledgement proves the earlier batches under the same identity, so none of them blocks later
// batches any more.
func (s *sim) checkResolved(l *simLane, part *simPart, a *delivery.Answer) {
	if a.Code != protocol.None && a.Code != protocol.DuplicateSequenceNumber || !s.cfg.Idempotent {
		return
	}
	if l.delivery.IsShared() {
		return // the answer may be about another producer's batch
	}
	for _, p := range l.delivery.Window() {
		isOpen := p.State() == delivery.Unresolved && !p.Request().IsOutstanding() &&
			p.Sequence() != delivery.NoSequence
		if isOpen && p.Identity() == part.id && seqBefore(p.Sequence(), part.sequence) {
			panic(fmt.Sprintf("%v is unresolved, though %v was acknowledged", p.Owner().(*simBatch).records,
				part.records))
		}
	}
}

// inspect compares the core's own counts with the client's knowledge, and looks at the order of the window. The core is
// strict here, and checks its own state.
func (s *sim) inspect() {
	for _, l := range s.client.deliveries {
		flying := 0
		var last *delivery.Batch
		for _, p := range l.delivery.Window() {
			if p.Request().IsOutstanding() {
				flying++
			}
			if p.State() == delivery.Settled {
				panic("a settled batch is in the window")
			}
			if p.Sequence() == delivery.NoSequence || p.Identity() != l.ledger.id || !s.cfg.Idempotent {
				continue
			}
			if last != nil && !seqBefore(last.Sequence(), p.Sequence()) {
				panic(fmt.Sprintf("sequence %d stands before %d", last.Sequence(), p.Sequence()))
			}
			last = p
		}
		// Without idempotence the core forgets a batch that expires in flight; its request keeps its place.
		counted := l.delivery.InFlight()
		if flying > counted || s.cfg.Idempotent && flying < counted || counted > s.cfg.MaxInFlight {
			panic(fmt.Sprintf("%d in flight, counted %d, at most %d", flying, counted, s.cfg.MaxInFlight))
		}
	}
}
