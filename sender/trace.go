package sender

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gosamsa/samsa/internal/loggate"
	"github.com/gosamsa/samsa/record"
)

// LevelTrace is below slog.LevelDebug: a Logger that is enabled for it when the Sender is made gets every event of every
// partition's delivery core, a line each, with all that the core was told and what it decided. Such a log replays:
//
//	go test ./sender -run Replay -args -trace FILE
//
// It names topics, brokers' words, sizes and times, never a record's content. Lines are written under the partition's lock, so
// that they are in the order of the events: the Logger must not wait for anything. The producer's is a gate before the user's handler
// (package loggate). A handler that falls behind by loggate.MostTraceLines loses lines; the log counts them, and does not replay.
const LevelTrace = loggate.LevelTrace

// trace writes down what happens to a delivery state; nil where nobody wants it.
type trace struct {
	log   *slog.Logger
	start time.Time       // times are told in nanoseconds since then, by the monotonic clock
	names int             // batches that have a name
	drawn []time.Duration // backoffs since the last line
}

// traceDelivery returns the trace of a new delivery state, or nil. It puts itself between the delivery state and its backoffs.
func (s *Sender) traceDelivery(cfg *deliveryConfig) *trace {
	if !s.traced {
		return nil
	}
	t := &trace{log: s.cfg.Logger.With("topic", cfg.topic, "partition", cfg.partition), start: s.start}
	draw := cfg.backoff
	cfg.backoff = func(try int) time.Duration {
		d := draw(try)
		t.drawn = append(t.drawn, d)
		return d
	}
	t.line("new", "acks", cfg.acks, "idempotent", cfg.idempotent, "inflight", cfg.maxInFlight, "retries", cfg.retries,
		"timeout", int64(cfg.deliveryTimeout))
	return t
}

func (t *trace) line(event string, args ...any) {
	if t.drawn != nil {
		args = append(args, "backoff", int64(t.drawn[0]))
		t.drawn = nil
	}
	t.log.Log(context.Background(), LevelTrace, "core", append([]any{"event", event}, args...)...)
}

func (t *trace) since(at time.Time) int64 { return int64(at.Sub(t.start)) }

// name is the number of a batch in the trace.
func (t *trace) name(p *batchState) int {
	c := p.owner.(*outBatch)
	if c.name == 0 {
		t.names++
		c.name = t.names
	}
	return c.name
}

func (t *trace) adopted(id identity) {
	if t != nil {
		t.line("identity", "producer", id.id, "epoch", id.epoch, "cluster", id.cluster)
	}
}

func (t *trace) sent(p *batchState, now time.Time) {
	if t != nil {
		t.line("sent", "at", t.since(now), "batch", t.name(p), "count", p.count, "created", t.since(p.created),
			"producer", p.id.id, "epoch", p.id.epoch, "sequence", p.sequence, "byName", p.byName)
	}
}

func (t *trace) answered(p *batchState, a answer, now time.Time, does []action) {
	if t == nil {
		return
	}
	args := []any{"at", t.since(now), "batch", t.name(p), "code", int16(a.code), "offset", a.offset, "time", a.logAppendTime}
	if a.byID {
		args = append(args, "byID", true)
	}
	if a.message != "" {
		args = append(args, "message", a.message)
	}
	if a.blamed != nil {
		blamed, _ := json.Marshal(a.blamed) // of a map of strings, which cannot fail
		args = append(args, "blamed", string(blamed))
	}
	t.line("answered", append(args, "does", t.does(does))...)
}

func (t *trace) disconnected(p *batchState, sent bool, cause error, now time.Time, does []action) {
	if t != nil {
		t.line("disconnected", "at", t.since(now), "batch", t.name(p), "sent", sent, "cause", cause.Error(), "does", t.does(does))
	}
}

func (t *trace) unsendable(p *batchState, cause error, does []action) {
	if t != nil {
		t.line("unsendable", "batch", t.name(p), "cause", cause.Error(), "does", t.does(does))
	}
}

func (t *trace) ticked(now time.Time, does []action) {
	if t != nil {
		t.line("tick", "at", t.since(now), "does", t.does(does))
	}
}

func (t *trace) leaderMoved(from, epoch int32, now time.Time, does []action) {
	if t != nil && epoch >= 0 && epoch != from { // all else is no news to the delivery state
		t.line("leader", "at", t.since(now), "leaderEpoch", epoch, "does", t.does(does))
	}
}

func (t *trace) madeAgain(life int, does []action) {
	if t != nil {
		t.line("madeAgain", "life", life, "does", t.does(does))
	}
}

func (t *trace) clusterIs(id string, does []action) {
	if t != nil {
		t.line("cluster", "id", id, "does", t.does(does))
	}
}

func (t *trace) refused(err *record.Error, does []action) {
	if t != nil {
		t.line("refused", "cause", err.Err.Error(), "fate", record.FateOf(err), "detail", err.Detail, "does", t.does(does))
	}
}

func (t *trace) aborted(cause error, does []action) {
	if t != nil {
		t.line("abort", "cause", cause.Error(), "does", t.does(does))
	}
}

func (t *trace) replaced(p *batchState, parts []*batchState, does []action) {
	if t == nil {
		return
	}
	counts := make([]string, 0, len(parts))
	for _, part := range parts {
		counts = append(counts, fmt.Sprintf("%d:%d", t.name(part), part.count))
	}
	t.line("replace", "batch", t.name(p), "parts", strings.Join(counts, " "), "does", t.does(does))
}

func (t *trace) does(actions []action) string { return describe(actions, t.name) }

// describe says in words what the core decided.
func describe(actions []action, name func(*batchState) int) string {
	words := make([]string, 0, len(actions))
	for _, a := range actions {
		what := ""
		switch a.kind {
		case actComplete:
			what = fmt.Sprintf("complete %d offset=%d time=%d", name(a.batch), a.offset, a.time)
		case actFail:
			what = fmt.Sprintf("fail %d %s", name(a.batch), a.err)
		case actSplit:
			what = fmt.Sprintf("split %d or fail: %s", name(a.batch), a.err)
		case actReject:
			what = fmt.Sprintf("reject of %d", name(a.batch))
			for _, i := range slices.Sorted(maps.Keys(a.blamed)) {
				what += " " + strconv.Itoa(int(i)) + ": " + a.blamed[i].Error()
			}
		}
		words = append(words, what)
	}
	return strings.Join(words, "; ")
}
