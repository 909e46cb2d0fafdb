package sender

import (
	"fmt"
	"slices"
	"time"

	"github.com/gosamsa/samsa/internal/cluster"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// This file is what the core does when nobody answers: time, a new leader, a refused identity, the end of the producer. And
// afterEvent, which every event ends with.

// tick ends what is over its time.
func (l *deliveryState) tick(now time.Time) []action {
	var out []action
	for _, p := range slices.Clone(l.window) {
		if p.rebuilding || !l.overdue(p, now) {
			continue
		}
		switch p.state {
		case retrying:
			for part := range p.withWaitingParts() {
				out = append(out, l.expire(part)...)
			}
		case inFlight:
			err := l.failure(p, expired(p.lastErr), true)
			err.Detail = l.expiryDetail(p)
			p.step(evOverdue)
			out = append(out, action{batch: p, kind: actFail, err: err})
			if !l.cfg.idempotent {
				// Its request may still arrive, and keeps its place in max.in.flight until it is answered or given up.
				p.step(evResolved)
				l.drop(p)
			}
		}
	}
	return append(out, l.afterEvent()...)
}

func (l *deliveryState) overdue(p *batchState, now time.Time) bool {
	return now.Sub(p.created) >= l.cfg.deliveryTimeout
}

func (l *deliveryState) expire(p *batchState) []action {
	acts := l.giveUp(p, expired(p.lastErr), record.FateNotWritten)
	for i := range acts {
		acts[i].err.Detail = l.expiryDetail(p)
	}
	return acts
}

// expired is ErrDeliveryTimeout of a batch whose last try failed with an error; nil is none. errors.Is and errors.As find both.
func expired(last error) error {
	if last == nil {
		return record.ErrDeliveryTimeout
	}
	return &deliveryTimeout{last}
}

// deliveryTimeout has the text of ErrDeliveryTimeout: the record's Error names the last failure in its detail.
type deliveryTimeout struct{ last error }

func (*deliveryTimeout) Error() string     { return record.ErrDeliveryTimeout.Error() }
func (e *deliveryTimeout) Unwrap() []error { return []error{record.ErrDeliveryTimeout, e.last} }

func (l *deliveryState) expiryDetail(p *batchState) string {
	if p.tries == 0 && p.lastErr != nil {
		return fmt.Sprintf("%v passed before it could be written: %v", l.cfg.deliveryTimeout, p.lastErr)
	}
	tries := "1 try"
	if p.tries != 1 {
		tries = fmt.Sprintf("%d tries", p.tries)
	}
	detail := fmt.Sprintf("%v passed after %s", l.cfg.deliveryTimeout, tries)
	if p.lastErr != nil {
		detail += ", the last of which failed with: " + p.lastErr.Error()
	}
	return detail
}

// leaderMoved notes a newer leader: what waits to be tried again goes there at once.
func (l *deliveryState) leaderMoved(epoch int32, now time.Time) (out []action) {
	if epoch < 0 || epoch == l.leader {
		return nil
	}
	if epoch < l.leader {
		// The epochs start again when a topic is recreated; brokers before 2.8 report it in no other way. But the former epoch may have been a lie,
		// and then this is the topic that the requests named.
		for _, p := range l.window {
			p.byName = true
		}
		out = l.recreated(l.incarnations + 1)
	}
	l.leader = epoch
	for _, p := range l.window {
		if p.state == retrying && now.Before(p.notBefore) && l.fastRetry(p) {
			p.notBefore = now
		}
	}
	return out
}

// lifeOf returns the life that begins when the topic's id changes. A broker with old metadata reports the former topic again for a
// while, and then the delivery state returns to an earlier incarnation.
func (l *deliveryState) lifeOf(before, now protocol.UUID) int {
	l.topics = slices.DeleteFunc(l.topics, func(t formerTopic) bool { return t.id == before })
	if len(l.topics) >= maxFormerTopics {
		l.topics = slices.Delete(l.topics, 0, 1)
	}
	l.topics = append(l.topics, formerTopic{before, l.incarnation})
	for _, t := range l.topics {
		if t.id == now {
			return t.incarnation
		}
	}
	return l.incarnations + 1
}

// recreated: the topic was deleted and recreated, which begins the given life. Its log holds no state for the identity, and takes any
// first sequence. The whole cluster may have been recreated under its former cluster id; then it may give the identity's id to
// another producer. So new batches get another producer id. Its leader epochs start again.
func (l *deliveryState) recreated(life int) []action {
	l.acked, l.leader = false, -1
	l.forgetOffset()
	l.incarnation, l.incarnations = life, max(l.incarnations, life)
	if l.id.valid {
		l.needBump, l.newID = true, true
	}
	return l.afterEvent()
}

// clusterIs takes the cluster id of the metadata; it is empty where the servers do not report one. When a cluster replaces another, the
// delivery state forgets what it knew of the former log, and sends no batch under the former identity again: the new cluster may have given
// the same producer id to another producer, and its "duplicate" would be a lie. A batch that the former cluster may have written
// fails as maybe written; the other batches get a new identity.
func (l *deliveryState) clusterIs(id string) []action {
	before := l.cluster
	if id == "" || id == before {
		return nil
	}
	l.cluster = id
	if before == "" && cluster.SameCluster(l.id.cluster, id) {
		return nil
	}
	l.acked, l.leader = false, -1
	l.forgetOffset()
	for _, p := range l.window {
		p.epochSeen, p.fastRetries = -1, 0
	}
	if l.id.valid {
		l.needBump, l.newID = true, true
	}
	return l.afterEvent()
}

// leaveFormerCluster fails the batches that a former cluster may have written. What was not written loses its sequence.
func (l *deliveryState) leaveFormerCluster() (out []action) {
	if cluster.SameCluster(l.id.cluster, l.cluster) {
		return nil
	}
	for _, p := range slices.Clone(l.window) {
		if p.state != retrying || !p.doubtful || cluster.SameCluster(p.id.cluster, l.cluster) {
			continue
		}
		ended := l.giveUp(p, record.ErrClusterReplaced, record.FateMaybeWritten)
		if p.lastErr != nil {
			ended[0].err.Detail = "before that: " + p.lastErr.Error()
		}
		out = append(out, ended...)
	}
	return out
}

// expireFromOldTopic treats the batches that the log of a deleted topic may have, after a topic of the same name was created:
//   - If all requests with a batch named the topic by its id, the new topic cannot get them: the batch goes to it under a new identity.
//   - If a request named the topic by its name, and an earlier batch waits for a new sequence, the batch fails: the new topic would accept
//     it before its turn. retryDue asks for a tick where such a batch stands.
//   - If the topic whose log may have a batch is back, because a broker with old metadata had reported another topic, the batch fails.
func (l *deliveryState) expireFromOldTopic() (out []action) {
	if l.incarnations == 0 {
		return nil
	}
	ahead := false
	for _, p := range slices.Clone(l.window) {
		if p.state == retrying && slices.Contains(p.formerIncarnations, l.incarnation) {
			ended := l.giveUp(p, p.lastErr, record.FateMaybeWritten)
			ended[0].err.Detail = "the metadata reported another topic of this name meanwhile"
			out = append(out, ended...)
			continue
		}
		if p.state == retrying && p.doubtful && p.incarnation != l.incarnation && !p.byName {
			// No request for the former topic reaches this one, so it is not in this log.
			p.doubtful, p.requestMayArrive = false, false
			p.formerIncarnations = append(p.formerIncarnations, p.incarnation)
			l.revokeSequence(p)
		}
		switch {
		case p.state != retrying:
		case p.sequence == noSequence:
			ahead = true
		case ahead && p.doubtful && p.incarnation != l.incarnation:
			ended := l.giveUp(p, p.lastErr, record.FateMaybeWritten)
			ended[0].err.Detail = "the topic was deleted and made again meanwhile"
			out = append(out, ended...)
		}
	}
	return out
}

// abort ends everything: the producer closes.
func (l *deliveryState) abort(cause error) []action {
	var out []action
	for _, p := range slices.Clone(l.window) {
		switch p.state {
		case inFlight:
			p.step(evOverdue)
			out = append(out, action{batch: p, kind: actFail, err: l.failure(p, cause, true)})
		case retrying:
			if p.rebuilding {
				continue
			}
			for part := range p.withWaitingParts() {
				out = append(out, l.giveUp(part, cause, record.FateNotWritten)...)
			}
		}
	}
	return out
}

// refuse ends what waits for something that cannot be had: an identity, or a broker that can be produced to. With idempotence
// that is what has no sequence, which is certainly not written; a batch with one keeps trying. Without, it is everything.
func (l *deliveryState) refuse(err *record.Error) []action {
	var out []action
	for _, p := range slices.Clone(l.window) {
		if p.state != retrying || p.sequence != noSequence || p.rebuilding {
			continue
		}
		for part := range p.withWaitingParts() {
			ended := l.giveUp(part, err.Err, record.FateOf(err))
			ended[0].err.Detail = err.Detail
			out = append(out, ended...)
		}
	}
	return out
}

// afterEvent settles what the last event has decided: whether sequences may be given anew, and whether the identity must change.
func (l *deliveryState) afterEvent() []action {
	if !l.cfg.idempotent {
		return nil
	}
	out := append(l.leaveFormerCluster(), l.expireFromOldTopic()...)
	ghosts := false
	for _, p := range l.window {
		if (l.gap || l.needBump) && p.state == retrying && !p.doubtful {
			// Every try was answered, and none was written: there is nothing to learn under its old sequence.
			l.revokeSequence(p)
		}
		if p.awaiting || p.state != unresolved && p.sequence != noSequence {
			return out
		}
		ghosts = ghosts || p.state == unresolved
	}
	if ghosts {
		// Nobody will tell whether these were written. What comes next goes under a new identity.
		l.needBump = true
		stay := l.window[:0]
		for _, p := range l.window {
			if p.state == unresolved {
				p.step(evResolved)
				continue
			}
			stay = append(stay, p)
		}
		clear(l.window[len(stay):])
		l.window = stay
	}
	if l.gap && !l.needBump {
		l.next, l.gap = l.gapAt, false
	}
	return out
}

// wantsIdentity reports whether the delivery state can go on only under another identity than the one it has, and may take it now.
func (l *deliveryState) wantsIdentity() (used identity, wants bool) {
	if !l.cfg.idempotent {
		return identity{}, false
	}
	for _, p := range l.window {
		if p.awaiting || p.sequence != noSequence {
			return l.id, false
		}
	}
	return l.id, l.needBump || !l.id.valid
}

// nextDeadline returns when tick must be called, and whether at all.
func (l *deliveryState) nextDeadline() (time.Time, bool) {
	var first time.Time
	for _, p := range l.window {
		if p.rebuilding || p.state != inFlight && p.state != retrying {
			continue // who rebuilds looks at the time afterwards
		}
		if d := p.created.Add(l.cfg.deliveryTimeout); first.IsZero() || d.Before(first) {
			first = d
		}
	}
	return first, !first.IsZero()
}
