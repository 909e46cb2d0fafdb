package sender

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/gosamsa/samsa/internal/delivery"
	"github.com/gosamsa/samsa/internal/loggate"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// LevelTrace is below slog.LevelDebug: a Logger that is enabled for it when the Sender is made gets every event of
// every partition's delivery core, a line each, with the core's input and its decisions. Such a log replays:
//
//	go test ./sender -run Replay -args -trace FILE
//
// It names topics, brokers' words, sizes and times, never a record's content. Lines are written under the partition's
// lock, so that they are in the order of the events: the Logger must not wait for anything. The producer's is a gate
// before the user's handler (package loggate). A handler that falls behind by loggate.MostTraceLines loses lines; the
// log counts them, and does not replay.
const LevelTrace = loggate.LevelTrace

// trace logs the events of one delivery core and its outcomes; nil logs nothing.
type trace struct {
	log    *slog.Logger
	start  time.Time       // times are logged in nanoseconds since then, by the monotonic clock
	names  int             // named batches
	drawn  []time.Duration // backoffs since the last line
	logged int             // logged outcomes still in the core
}

// traceDelivery returns the trace of a new delivery core, or nil. It puts itself between the core and its backoffs.
func (s *Sender) traceDelivery(cfg *delivery.Config) *trace {
	if !s.traced {
		return nil
	}
	t := &trace{log: s.cfg.Logger.With("topic", cfg.Topic, "partition", cfg.Partition), start: s.start}
	draw := cfg.Backoff
	cfg.Backoff = func(try int) time.Duration {
		d := draw(try)
		t.drawn = append(t.drawn, d)
		return d
	}
	t.line("new", "acks", cfg.Acks, "idempotent", cfg.Idempotent, "inflight", cfg.MaxInFlight, "retries", cfg.Retries,
		"timeout", int64(cfg.DeliveryTimeout))
	return t
}

func (t *trace) line(event string, args ...any) {
	if t.drawn != nil { // an event can draw several: Tick, after a leader change
		texts := make([]string, 0, len(t.drawn))
		for _, d := range t.drawn {
			texts = append(texts, strconv.FormatInt(int64(d), 10))
		}
		args = append(args, "backoff", strings.Join(texts, " "))
		t.drawn = nil
	}
	t.log.Log(context.Background(), LevelTrace, "core", append([]any{"event", event}, args...)...)
}

// event logs an event of the core with its outcomes.
func (t *trace) event(p *partition, event string, args ...any) {
	outcomes := p.delivery.Outcomes()
	args = append(args, "does", delivery.Describe(outcomes[t.logged:]))
	t.logged = len(outcomes)
	t.line(event, args...)
}

// drained notes that the outcomes leave the core.
func (t *trace) drained() {
	if t != nil {
		t.logged = 0
	}
}

func (t *trace) since(at time.Time) int64 { return int64(at.Sub(t.start)) }

func (t *trace) sealed(c *outBatch, size int) {
	if t != nil {
		t.nameIt(c)
		t.line("sealed", "batch", c.String(), "count", c.state.Count(), "created", t.since(c.state.Created()),
			"size", size)
	}
}

// nameIt gives a batch its number in the trace.
func (t *trace) nameIt(c *outBatch) {
	t.names++
	c.name = t.names
}

func (t *trace) prepared(p *partition, c *outBatch) {
	if t != nil {
		t.event(p, "prepared", "batch", c.String(), "size", len(c.batch.Bytes()))
	}
}

func (t *trace) replaced(p *partition, c *outBatch, parts []*delivery.Batch) {
	if t == nil {
		return
	}
	texts := make([]string, 0, len(parts))
	for _, part := range parts {
		one := part.Owner().(*outBatch)
		t.nameIt(one)
		texts = append(texts, fmt.Sprintf("%s:%d:%d", one, part.Count(), len(one.batch.Bytes())))
	}
	t.event(p, "replaced", "batch", c.String(), "parts", strings.Join(texts, " "))
}

func (t *trace) identity(p *partition, id delivery.Identity) {
	if t != nil {
		t.event(p, "identity", "producer", id.ID, "epoch", id.Epoch, "cluster", id.Cluster)
	}
}

func (t *trace) sent(p *partition, b *delivery.Batch, byName bool, now time.Time) {
	if t != nil {
		id := b.Identity()
		t.event(p, "sent", "at", t.since(now), "batch", b.Owner().(*outBatch).String(), "producer", id.ID,
			"epoch", id.Epoch, "sequence", b.Sequence(),
			"byName", byName)
	}
}

func (t *trace) written(p *partition, b *delivery.Batch) {
	if t != nil {
		t.event(p, "written", "batch", b.Owner().(*outBatch).String())
	}
}

func (t *trace) answered(p *partition, one attempt, a *delivery.Answer, now time.Time) {
	if t == nil || one.isStale() {
		return
	}
	args := []any{
		"at", t.since(now), "batch", one.String(), "attempt", one.number, "code", int16(a.Code), "offset", a.Offset,
		"time", a.Time,
	}
	if a.ByID {
		args = append(args, "byID", true)
	}
	if a.Message != "" {
		args = append(args, "message", a.Message)
	}
	if a.Blamed != nil {
		blamed, _ := json.Marshal(a.Blamed) // cannot fail for a map of strings
		args = append(args, "blamed", string(blamed))
	}
	t.event(p, "answered", args...)
}

func (t *trace) disconnected(p *partition, one attempt, sent bool, cause error, now time.Time) {
	if t != nil && !one.isStale() {
		t.event(p, "disconnected", "at", t.since(now), "batch", one.String(), "attempt", one.number, "sent", sent,
			"cause", cause.Error())
	}
}

func (t *trace) unsendable(p *partition, one attempt, cause error) {
	if t != nil && !one.isStale() {
		t.event(p, "unsendable", "batch", one.String(), "attempt", one.number, "cause", cause.Error())
	}
}

func (t *trace) ticked(p *partition, now time.Time) {
	if t != nil {
		t.event(p, "tick", "at", t.since(now))
	}
}

func (t *trace) leaderMoved(p *partition, leader, epoch int32, now time.Time) {
	if t != nil {
		t.event(p, "leader", "at", t.since(now), "leader", leader, "leaderEpoch", epoch)
	}
}

func (t *trace) topicIs(p *partition, id protocol.UUID) {
	if t != nil {
		t.event(p, "topicID", "id", id.String())
	}
}

func (t *trace) clusterIs(p *partition, id string) {
	if t != nil {
		t.event(p, "cluster", "id", id)
	}
}

func (t *trace) refused(p *partition, err *record.Error) {
	if t != nil {
		t.event(p, "refused", "cause", err.Err.Error(), "fate", record.FateOf(err), "detail", err.Detail)
	}
}

func (t *trace) closed(p *partition, cause error, detail string) {
	if t != nil {
		t.event(p, "closed", "cause", cause.Error(), "detail", detail)
	}
}
