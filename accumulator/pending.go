package accumulator

import (
	"context"
	"fmt"
	"time"

	"github.com/gosamsa/samsa/internal/lockrank"
)

// Explainer is a Drainer that knows why records have no outcome yet. Its methods are called without any lock held, and
// only when a wait ends with an error.
type Explainer interface {
	// OldestPending returns when the partition's oldest record without an outcome was appended; ok is false if every
	// record has one.
	OldestPending() (appended time.Time, ok bool)
	// WhyPending says why this record has no outcome yet.
	WhyPending() string
}

// whyPending says why the partition's oldest record has no outcome, or "".
func (p *Partition) whyPending() string {
	if e, ok := p.owner.(Explainer); ok {
		return e.WhyPending()
	}
	return ""
}

// oldestPending is the owner's OldestPending.
func (p *Partition) oldestPending() (appended time.Time, ok bool) {
	if e, is := p.owner.(Explainer); is {
		return e.OldestPending()
	}
	return time.Time{}, false
}

// WhyFull says why buffer.memory has no room for a record of this partition, or "": the obstacle of the partition's own
// records, or else of the oldest record of all.
func (p *Partition) WhyFull() string {
	if _, pending := p.oldestPending(); pending {
		return p.whyPending()
	}
	return p.acc.WhyPending()
}

// WhyPending repeats itself for reasonAge, or for reasonShare times as long as the look took: many Sends may fail in
// the same moment, and each look visits every partition with undelivered records.
const (
	reasonAge   = 100 * time.Millisecond
	reasonShare = 50
)

// reason is what WhyPending said last. Its mu is held over the look, so that many callers share one; it comes before
// all other locks.
type reason struct {
	mu    lockrank.Mutex[lockrank.AccumulatorReason]
	until time.Time
	text  string
}

// WhyPending returns the obstacle of the oldest undelivered record, or "" if none is undelivered. The text may be some
// 100 ms old.
func (a *Accumulator) WhyPending() string {
	a.reason.mu.Lock()
	defer a.reason.mu.Unlock()
	if now := time.Now(); !now.Before(a.reason.until) {
		a.reason.text = whyPending(a.activePartitions(), now)
		end := time.Now()
		a.reason.until = end.Add(max(reasonAge, reasonShare*end.Sub(now)))
	}
	return a.reason.text
}

// whyPending returns the obstacle of the oldest undelivered record of some partitions, among the records appended until
// began. Partitions without such a record have running callbacks.
func whyPending(partitions []*Partition, began time.Time) string {
	var oldest, calling *Partition
	var since time.Time
	for _, p := range partitions {
		appended, pending := p.oldestPending()
		switch {
		case !pending || appended.After(began):
			calling = p
		case oldest == nil || appended.Before(since):
			oldest, since = p, appended
		}
	}
	switch {
	case oldest != nil:
		text := fmt.Sprintf("the oldest undelivered record, of topic %q partition %d, has waited for %v",
			oldest.topic.name, oldest.index, time.Since(since).Round(time.Millisecond))
		if why := oldest.whyPending(); why != "" {
			text += ": " + why
		}
		return text
	case calling != nil:
		return fmt.Sprintf("callbacks of topic %q partition %d have not returned", calling.topic.name, calling.index)
	}
	return ""
}

// flushing is a Flush's wait for one partition, or for the callbacks of refused records.
type flushing struct {
	part *Partition // nil for refused records
	done <-chan struct{}
}

// interrupted returns the error of a Flush after its ctx has ended during the wait for some partitions, with the
// reason.
func interrupted(ctx context.Context, waits []flushing, began time.Time) error {
	var left []*Partition
	refused := false
	for _, w := range waits {
		select {
		case <-w.done:
		default:
			if w.part == nil {
				refused = true
			} else {
				left = append(left, w.part)
			}
		}
	}
	err := ContextError(ctx)
	if why := whyPending(left, began); why != "" {
		return fmt.Errorf("%w: %s", err, why)
	}
	if refused {
		return fmt.Errorf("%w: callbacks of records that failed before they were buffered have not returned", err)
	}
	return err
}
