package sender

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gosamsa/samsa/internal/cluster"
	"github.com/gosamsa/samsa/internal/delivery"
	"github.com/gosamsa/samsa/record"
)

// This file explains in words the lack of an outcome. All of it runs only if a wait or a record ends with an error.

// OldestPending returns when the partition's oldest record without an outcome was appended. It implements
// accumulator.Explainer.
func (p *partition) OldestPending() (appended time.Time, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	note := func(at time.Time) {
		if !ok || at.Before(appended) {
			appended, ok = at, true
		}
	}
	if b := p.delivery.OldestSent(); b != nil {
		note(b.Created())
	}
	for _, b := range p.delivery.Unsent() {
		note(b.Created())
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

func (p *partition) whyPendingLocked(now time.Time) string {
	q := p.delivery.OldestSent()
	if q == nil {
		return p.whyWaitingLocked()
	}
	why := ""
	switch {
	case q.State() == delivery.Preparing:
		why = "its batch is being rebuilt without the refused records"
	case q.State() == delivery.InFlight:
		why = q.Owner().(*outBatch).sent.silence(now)
	default:
		why = p.obstacleLocked(q.LastErr() != nil)
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

func lastError(q *delivery.Batch) string {
	if q.LastErr() == nil {
		return ""
	}
	return q.LastErr().Error()
}

// whyWaitingLocked returns the reason of an unsent batch's wait.
func (p *partition) whyWaitingLocked() string {
	if why := p.obstacleLocked(false); why != "" {
		return why
	}
	unsent := p.delivery.Unsent()
	switch {
	case len(p.delivery.Window()) > 0:
		return "earlier records of the partition are unanswered"
	case len(unsent) > 0 && unsent[0].State() == delivery.Preparing:
		return "its batch is being compressed"
	case !p.broker.isConnected():
		return fmt.Sprintf("%s is still being connected to", p.broker.name())
	case len(unsent) == 0 && !p.acc.Ready():
		return "linger.ms has not passed"
	}
	return fmt.Sprintf("its batch is queued behind those of other partitions of broker %d", p.broker.id)
}

// obstacleLocked returns the obstacle to all batches of the partition, or "". tried leaves out the reasons in the
// failure of a try.
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

// whyNoLeader returns the reason for a missing leader.
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
		return p.withTrouble(fmt.Sprintf("the metadata names broker %d as the partition's leader, without its address",
			topic.Partition(i).Leader))
	}
	return p.withTrouble("the partition has no leader")
}

func named(snapshot *cluster.Snapshot, broker int32) bool {
	_, is := snapshot.Brokers[broker]
	return is
}

// withTrouble adds the reason for old metadata, if there is one.
func (p *partition) withTrouble(why string) string {
	if err := p.s.cfg.Cluster.Trouble(p.acc.Topic()); err != nil {
		return why + ": " + err.Error()
	}
	return why
}

// explainExpiredLocked adds to the errors of expired batches the obstacle to their next attempt, or to the first one.
func (p *partition) explainExpiredLocked() {
	why, whyUnsent := "", ""
	for _, o := range p.delivery.Outcomes() {
		if o.Kind != delivery.Failed || !errors.Is(o.Err, record.ErrDeliveryTimeout) {
			continue
		}
		if o.Batch.Owner().(*outBatch).sent == nil {
			if whyUnsent == "" {
				whyUnsent = p.whyWaitingLocked()
			}
			o.Err.Detail += ": " + whyUnsent
			continue
		}
		if why == "" {
			why = p.obstacleLocked(true)
		}
		if last := lastError(o.Batch); why != "" && (last == "" || !strings.Contains(why, last)) {
			o.Err.Detail += "; " + why
		}
	}
}

// whyUndeliveredLocked is whyPendingLocked if a record is undelivered, and "" otherwise.
func (p *partition) whyUndeliveredLocked() string {
	if _, waits := p.acc.OldestQueued(); !waits && len(p.delivery.Unsent()) == 0 && p.delivery.OldestSent() == nil {
		return ""
	}
	return "undelivered because " + p.whyPendingLocked(time.Now())
}

// name is the broker with its address.
func (b *broker) name() string {
	info, known := b.s.cfg.Cluster.Snapshot().Brokers[b.id]
	if !known {
		return fmt.Sprintf("broker %d", b.id)
	}
	return fmt.Sprintf("broker %d (%s)", b.id, info.Address())
}

// unreachable returns the reason for a missing connection to the broker.
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
	return fmt.Sprintf("%s has its batch and has answered nothing for %v", name,
		now.Sub(b.lastReply).Round(time.Millisecond))
}

// blockedReason returns the obstacle to requests to the broker, or "". tried leaves out broken connections.
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
