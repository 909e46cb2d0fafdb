package sender

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gosamsa/samsa/internal/cluster"
	"github.com/gosamsa/samsa/record"
)

// This file puts into words why records have no outcome yet. All of it runs only where a wait or a record ends with an error.

// OldestPending returns when the partition's oldest record without an outcome was appended. It implements accumulator.Explainer.
func (p *partition) OldestPending() (appended time.Time, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	note := func(at time.Time) {
		if !ok || at.Before(appended) {
			appended, ok = at, true
		}
	}
	if q := p.oldestSentLocked(); q != nil {
		note(q.created)
	}
	for _, c := range p.sealedQueue.All() {
		note(c.batch.Created)
	}
	if at, waits := p.acc.OldestQueued(); waits {
		note(at)
	}
	return appended, ok
}

// WhyPending says why the partition's oldest record has no outcome yet. It implements accumulator.Explainer.
func (p *partition) WhyPending() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.whyPendingLocked(time.Now())
}

// oldestSentLocked returns the first batch that was in a request and has no outcome, or nil.
func (p *partition) oldestSentLocked() *batchState {
	for _, q := range p.delivery.window {
		if q.state == inFlight || q.state == retrying {
			return q
		}
	}
	return nil
}

func (p *partition) whyPendingLocked(now time.Time) string {
	q := p.oldestSentLocked()
	if q == nil {
		return p.whyWaitingLocked()
	}
	why := ""
	switch {
	case q.rebuilding:
		why = "its batch is being rebuilt without what the broker refused"
	case q.state == inFlight:
		why = q.owner.(*outBatch).sent.silence(now)
	default:
		why = p.obstacleLocked(q.lastErr != nil)
	}
	switch last := lastError(q); {
	case last == "" && why == "":
		return "its batch waits for the next try"
	case last == "" || strings.Contains(why, last):
		return why
	case why == "":
		return "the last try failed with: " + last
	default:
		return why + "; the last try failed with: " + last
	}
}

func lastError(q *batchState) string {
	if q.lastErr == nil {
		return ""
	}
	return q.lastErr.Error()
}

// whyWaitingLocked says why a batch that was in no request yet is not sent.
func (p *partition) whyWaitingLocked() string {
	if why := p.obstacleLocked(false); why != "" {
		return why
	}
	switch {
	case !p.delivery.idle():
		return "earlier records of the partition are unanswered"
	case p.sealedQueue.Len() > 0 && !p.sealedQueue.At(0).packed:
		return "its batch is being compressed"
	case !p.broker.isConnected():
		return fmt.Sprintf("%s is still being connected to", p.broker.name())
	case p.sealedQueue.Len() == 0 && !p.acc.Ready():
		return "linger.ms has not passed"
	}
	return fmt.Sprintf("its batch is queued behind those of other partitions of broker %d", p.broker.id)
}

// obstacleLocked says what keeps all batches of the partition from being sent, or "". tried leaves out what the failure of a try says
// better.
func (p *partition) obstacleLocked(tried bool) string {
	if p.broker == nil {
		return p.whyNoLeader()
	}
	if why := p.broker.blockedReason(tried); why != "" {
		return why
	}
	if why := p.s.ids.blockedReason(); p.s.cfg.Idempotent && why != "" {
		return p.withTrouble(why)
	}
	return ""
}

// whyNoLeader says why the partition has no leader that could be sent to.
func (p *partition) whyNoLeader() string {
	snapshot := p.s.cfg.Cluster.Snapshot()
	topic := snapshot.Topic(p.acc.Topic())
	i := int(p.acc.Index())
	switch {
	case topic == nil:
		return p.withTrouble("the partition has no leader: the topic is not in the metadata")
	case i >= topic.Len():
		return p.withTrouble(fmt.Sprintf("the partition has no leader: the topic has only %d partitions", topic.Len()))
	case topic.Partition(i).Leader >= 0 && !named(snapshot, topic.Partition(i).Leader):
		return p.withTrouble(fmt.Sprintf("the metadata names broker %d as the partition's leader, without its address", topic.Partition(i).Leader))
	}
	return p.withTrouble("the partition has no leader")
}

func named(snapshot *cluster.Snapshot, broker int32) bool {
	_, is := snapshot.Brokers[broker]
	return is
}

// withTrouble adds why there is no newer metadata, where that is so.
func (p *partition) withTrouble(why string) string {
	if err := p.s.cfg.Cluster.Trouble(p.acc.Topic()); err != nil {
		return why + ": " + err.Error()
	}
	return why
}

// explainExpiredLocked adds to records that have expired after some tries what stood in the way of another one.
func (p *partition) explainExpiredLocked(actions []action) {
	why := ""
	for _, a := range actions {
		if a.kind != actFail || !errors.Is(a.err, record.ErrDeliveryTimeout) {
			continue
		}
		if why == "" {
			if why = p.obstacleLocked(true); why == "" {
				return
			}
		}
		if last := lastError(a.batch); last == "" || !strings.Contains(why, last) {
			a.err.Detail += "; " + why
		}
	}
}

// whyUndeliveredLocked is whyPendingLocked where a record is undelivered, and "" where none is.
func (p *partition) whyUndeliveredLocked() string {
	if _, waits := p.acc.OldestQueued(); !waits && p.sealedQueue.Len() == 0 && p.oldestSentLocked() == nil {
		return ""
	}
	return "undelivered because " + p.whyPendingLocked(time.Now())
}

// explain gives the failed records of actions a detail.
func explain(actions []action, detail string) {
	for _, a := range actions {
		if a.err != nil && a.err.Detail == "" {
			a.err.Detail = detail
		}
	}
}

// name is the broker with its address.
func (b *broker) name() string {
	info, known := b.s.cfg.Cluster.Snapshot().Brokers[b.id]
	if !known {
		return fmt.Sprintf("broker %d", b.id)
	}
	return fmt.Sprintf("broker %d (%s)", b.id, info.Address())
}

// unreachable says why there is no connection to the broker that records can be sent over.
func (b *broker) unreachable(err error) string {
	var advertised *cluster.AdvertisedError
	if errors.As(err, &advertised) {
		return advertised.Of(fmt.Sprintf("broker %d", b.id))
	}
	var old unsupported
	if errors.As(err, &old) {
		return fmt.Sprintf("%s cannot be used: %v", b.name(), err)
	}
	return fmt.Sprintf("%s cannot be reached: %v", b.name(), err)
}

// silence says how long the broker has answered nothing.
func (b *broker) silence(now time.Time) string {
	name := b.name()
	b.mu.Lock()
	defer b.mu.Unlock()
	return fmt.Sprintf("%s has its batch and has answered nothing for %v", name, now.Sub(b.lastReply).Round(time.Millisecond))
}

// blockedReason says what keeps the broker from being sent to, or "". tried leaves out that connections break.
func (b *broker) blockedReason(tried bool) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.lastErr != nil:
		return b.unreachable(b.lastErr)
	case b.conn != nil && time.Until(b.conn.ThrottledUntil()) > 0:
		return b.throttles()
	case b.inFlight >= b.s.cfg.MaxInFlight:
		return fmt.Sprintf("broker %d has not answered %d requests", b.id, b.inFlight)
	case time.Until(b.notUntil) > 0 && b.breaks > 0:
		if tried {
			return ""
		}
		return fmt.Sprintf("the connection to broker %d broke: %v", b.id, b.brokeWith)
	case time.Until(b.notUntil) > 0:
		return b.throttles()
	}
	return ""
}

func (b *broker) throttles() string {
	return fmt.Sprintf("broker %d throttles this client, as its quotas say", b.id)
}
