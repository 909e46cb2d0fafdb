package sender

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/loggate"
	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

var traceFile = flag.String("trace", "", "a log at LevelTrace, of slog's text or JSON handler, that TestReplay replays")

// TestReplay feeds a log's events to fresh delivery states, which must decide what the log says was decided then: the one that -trace
// names, or else one that is made here.
func TestReplay(t *testing.T) {
	if *traceFile == "" {
		for name, handler := range map[string]func(io.Writer, *slog.HandlerOptions) slog.Handler{
			"text": func(w io.Writer, o *slog.HandlerOptions) slog.Handler { return slog.NewTextHandler(w, o) },
			"JSON": func(w io.Writer, o *slog.HandlerOptions) slog.Handler { return slog.NewJSONHandler(w, o) },
		} {
			events, err := replay(bytes.NewReader(logWithFaults(t, handler)))
			require.NoError(t, err, name)
			require.Greater(t, events, 30, name)
		}
		return
	}
	f, err := os.Open(*traceFile)
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	events, err := replay(f)
	t.Logf("%d events replayed", events)
	require.NoError(t, err)
	require.NotZero(t, events, "the file has no line of the delivery core")
}

// logWithFaults is the log of a sender that meets errors, a lost answer, blamed records, a split, and its end.
func logWithFaults(t *testing.T, handler func(io.Writer, *slog.HandlerOptions) slog.Handler) []byte {
	var log bytes.Buffer
	traced := func(c *Config) {
		c.Logger = slog.New(handler(&log, &slog.HandlerOptions{Level: LevelTrace}))
		c.Accumulator.Linger = 10 * time.Millisecond
	}
	onRig(t, topicT(2, 2), traced, func(r *rig) {
		r.c.On(protocol.Produce).Partition("t", 0).InTurn(
			testbroker.Pass(), testbroker.Fail(protocol.NotEnoughReplicas), testbroker.DropAnswer(),
			testbroker.Reject(protocol.InvalidRecord, "no \"good\"", map[int32]string{0: "this one = bad"}), testbroker.Pass(),
			testbroker.Fail(protocol.MessageTooLarge), testbroker.Pass(), testbroker.NotLeader(2, 1), testbroker.Pass(),
			testbroker.Fail(protocol.TopicAuthorizationFailed),
		)
		for i := range 6 {
			var all []sent
			for _, v := range numbered(10, fmt.Sprint(i)) {
				all = append(all, r.send(0, v), r.send(1, v))
			}
			for _, s := range all {
				_, _ = s.get()
			}
		}
		r.c.Hang(1)
		r.send(0, "left behind")
		r.s.Abort(record.ErrClosed)
		r.c.Unhang(1)
	})
	return log.Bytes()
}

// TestATraceThatSaysOtherwiseDoesNotReplay shows that replaying compares.
func TestATraceThatSaysOtherwiseDoesNotReplay(t *testing.T) {
	text := string(logWithFaults(t, func(w io.Writer, o *slog.HandlerOptions) slog.Handler { return slog.NewTextHandler(w, o) }))
	for what, change := range map[string][2]string{
		"an offset":        {"complete 1 offset=0", "complete 1 offset=1"},
		"a sequence":       {"epoch=0 sequence=1", "epoch=0 sequence=2"},
		"an error's words": {"TOPIC_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED"},
		"an answer's code": {"code=19", "code=0"},
		"a settled batch":  {"event=sent", "event=tick does=\"\""},
	} {
		require.Contains(t, text, change[0], what)
		_, err := replay(strings.NewReader(strings.Replace(text, change[0], change[1], 1)))
		require.Error(t, err, what)
	}
}

// TestAnIncompleteTraceDoesNotReplay shows that a log whose handler fell behind is refused, and not taken for a fault of the core.
func TestAnIncompleteTraceDoesNotReplay(t *testing.T) {
	full := logWithFaults(t, func(w io.Writer, o *slog.HandlerOptions) slog.Handler { return slog.NewTextHandler(w, o) })
	lines := bytes.SplitAfter(full, []byte("\n"))
	replayed, err := replay(bytes.NewReader(full))
	require.NoError(t, err)
	var log bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		handler := slog.NewTextHandler(&log, &slog.HandlerOptions{Level: LevelTrace})
		gate := loggate.New(slog.New(hanging{handler, hang}), nil)
		gate.Logger().Log(t.Context(), LevelTrace, "core") // the handler waits with it
		for range loggate.MostTraceLines {
			gate.Logger().Log(t.Context(), LevelTrace, "core")
		}
		synctest.Wait()
		for range 7 {
			gate.Logger().Log(t.Context(), LevelTrace, "core")
		}
		close(hang)
		gate.Flush(t.Context())
	})
	notice := log.Bytes()[bytes.LastIndexByte(log.Bytes()[:log.Len()-1], '\n')+1:]
	lost := slices.Insert(slices.Clone(lines), len(lines)/2, notice)
	events, err := replay(bytes.NewReader(bytes.Join(lost, nil)))
	require.ErrorContains(t, err, "lines of the trace were dropped")
	require.Less(t, events, replayed)
}

// hanging is a handler that waits until hang is closed.
type hanging struct {
	slog.Handler
	hang <-chan struct{}
}

func (h hanging) Handle(ctx context.Context, r slog.Record) error {
	<-h.hang
	return h.Handler.Handle(ctx, r)
}

// replay reads a log and feeds the events of every partition to a delivery state of its own. An error names the line where a delivery state
// decided otherwise.
func replay(log io.Reader) (events int, err error) {
	deliveries := map[string]*replayed{}
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 64<<20)
	for n := 1; lines.Scan(); n++ {
		line, err := readLine(lines.Text())
		if err != nil {
			return events, fmt.Errorf("line %d: %w", n, err)
		}
		if line["msg"] == loggate.Dropped && line["trace"] != "0" {
			return events, fmt.Errorf("line %d: %s lines of the trace were dropped before this one, so that the rest does not replay", n, line["trace"])
		}
		if line["msg"] != "core" || line["event"] == "" {
			continue
		}
		place := line["topic"] + "/" + line["partition"]
		if line["event"] == "new" {
			deliveries[place] = newReplayed(line)
		}
		r := deliveries[place]
		if r == nil {
			return events, fmt.Errorf("line %d: the log does not have the beginning of %s", n, place)
		}
		if err := r.event(line); err != nil {
			return events, fmt.Errorf("line %d: %s, %s: %w\n%s", n, place, line["event"], err, lines.Text())
		}
		events++
	}
	return events, lines.Err()
}

// fields are the attributes of a log line.
type fields map[string]string

// readLine reads what slog's text or JSON handler wrote; what neither wrote has no attributes.
func readLine(text string) (fields, error) {
	f := fields{}
	if strings.HasPrefix(text, "{") {
		var attrs map[string]any
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&attrs); err != nil {
			return nil, err
		}
		for k, v := range attrs {
			f[k] = fmt.Sprint(v)
		}
		return f, nil
	}
	for text != "" {
		key, rest, found := strings.Cut(text, "=")
		if !found {
			break
		}
		if !strings.HasPrefix(rest, `"`) {
			f[key], text, _ = strings.Cut(rest, " ")
			continue
		}
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return nil, err
		}
		text = strings.TrimPrefix(rest[len(quoted):], " ")
		if f[key], err = strconv.Unquote(quoted); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// number is an attribute as an integer. A trace has it where it is asked for.
func (f fields) number(key string) int64 {
	n, err := strconv.ParseInt(f[key], 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// replayEpoch is when a replay begins.
var replayEpoch = time.Unix(1_000_000_000, 0)

func (f fields) time(key string) time.Time { return replayEpoch.Add(time.Duration(f.number(key))) }

func (f fields) yes(key string) bool { return f[key] == "true" }

func (f fields) fate() record.Fate {
	for _, fate := range []record.Fate{record.FateNotWritten, record.FateRejected, record.FateMaybeWritten} {
		if fate.String() == f["fate"] {
			return fate
		}
	}
	return record.FateAcknowledged
}

// replayed is a delivery state that lives through a trace.
type replayed struct {
	cfg      deliveryConfig
	delivery deliveryState
	batches  map[string]*batchState
	names    map[*batchState]int
	backoff  string // of the event at hand
}

func newReplayed(f fields) *replayed {
	r := &replayed{batches: map[string]*batchState{}, names: map[*batchState]int{}}
	r.cfg = deliveryConfig{
		topic: f["topic"], partition: int32(f.number("partition")), acks: int16(f.number("acks")), idempotent: f.yes("idempotent"),
		maxInFlight: int(f.number("inflight")), retries: int(f.number("retries")), deliveryTimeout: time.Duration(f.number("timeout")),
		backoff: func(int) time.Duration {
			d, err := strconv.ParseInt(r.backoff, 10, 64)
			if err != nil {
				panic("no backoff was drawn then")
			}
			r.backoff = ""
			return time.Duration(d)
		},
	}
	r.delivery.cfg, r.delivery.leader = &r.cfg, -1
	return r
}

// event lets the delivery state live through one event, and compares what it decides.
func (r *replayed) event(f fields) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	r.backoff = f["backoff"]
	var actions []action
	switch f["event"] {
	case "new":
		return nil
	case "identity":
		err = r.identity(identity{id: f.number("producer"), epoch: int16(f.number("epoch")), valid: true, cluster: f["cluster"]})
	case "sent":
		err = r.sent(f)
	case "leader":
		actions = r.delivery.leaderMoved(int32(f.number("leaderEpoch")), f.time("at"))
	case "madeAgain":
		actions = r.delivery.recreated(int(f.number("life")))
	case "cluster":
		actions = r.delivery.clusterIs(f["id"])
	default:
		actions, err = r.decide(f)
	}
	if err != nil {
		return err
	}
	if r.backoff != "" {
		return errors.New("a backoff was drawn then, and none now")
	}
	if does := describe(actions, func(p *batchState) int { return r.names[p] }); does != f["does"] {
		return fmt.Errorf("now it does %q", does)
	}
	return nil
}

// decide is event for those that the core answers with actions.
func (r *replayed) decide(f fields) ([]action, error) {
	var p *batchState
	if name, of := f["batch"]; of {
		if p = r.batches[name]; p == nil {
			return nil, fmt.Errorf("there is no batch %s", name)
		}
	}
	switch f["event"] {
	case "answered":
		a := answer{code: protocol.ErrorCode(f.number("code")), message: f["message"], offset: f.number("offset"), logAppendTime: f.number("time"),
			byID: f.yes("byID")}
		if f["blamed"] != "" {
			if err := json.Unmarshal([]byte(f["blamed"]), &a.blamed); err != nil {
				return nil, err
			}
		}
		return r.delivery.answered(p, a, f.time("at")), nil
	case "disconnected":
		return r.delivery.disconnected(p, f.yes("sent"), errors.New(f["cause"]), f.time("at")), nil
	case "unsendable":
		return r.delivery.unsendable(p, errors.New(f["cause"])), nil
	case "tick":
		return r.delivery.tick(f.time("at")), nil
	case "refused":
		return r.delivery.refuse(&record.Error{Err: errors.New(f["cause"]), Fate: f.fate(), Detail: f["detail"]}), nil
	case "abort":
		return r.delivery.abort(errors.New(f["cause"])), nil
	case "replace":
		return r.replace(p, f["parts"])
	}
	return nil, errors.New("this event is not known")
}

func (r *replayed) identity(id identity) error {
	if _, wants := r.delivery.wantsIdentity(); !wants {
		return errors.New("now it wants no identity")
	}
	r.delivery.setIdentity(id)
	return nil
}

// sent asks the delivery state what may go, and sends that.
func (r *replayed) sent(f fields) error {
	now := f.time("at")
	if _, wants := r.delivery.wantsIdentity(); wants {
		return errors.New("now it wants another identity first")
	}
	p := r.batches[f["batch"]]
	again, _ := r.delivery.retryDue(now)
	switch {
	case again != p:
		return fmt.Errorf("now it tries batch %d again", r.names[again])
	case p == nil && !r.delivery.canSendNew(now):
		return errors.New("now it admits no new batch")
	case p == nil:
		p = r.batch(f["batch"], int32(f.number("count")), f.time("created"))
	}
	p.byName = f.yes("byName")
	r.delivery.sent(p)
	if p.id.id != f.number("producer") || int64(p.id.epoch) != f.number("epoch") || int64(p.sequence) != f.number("sequence") {
		return fmt.Errorf("now it has producer %d epoch %d sequence %d", p.id.id, p.id.epoch, p.sequence)
	}
	return nil
}

// batch makes the batch of a name.
func (r *replayed) batch(name string, count int32, created time.Time) *batchState {
	p := &batchState{count: count, created: created, sequence: noSequence}
	n, err := strconv.Atoi(name)
	if err != nil {
		panic(err)
	}
	r.batches[name], r.names[p] = p, n
	return p
}

func (r *replayed) replace(p *batchState, list string) ([]action, error) {
	var parts []*batchState
	for part := range strings.FieldsSeq(list) {
		name, text, _ := strings.Cut(part, ":")
		count, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return nil, err
		}
		parts = append(parts, r.batch(name, int32(count), p.created))
	}
	return r.delivery.replace(p, parts), nil
}
