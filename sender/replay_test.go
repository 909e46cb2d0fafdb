package sender

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/delivery/replay"
	"github.com/gosamsa/samsa/internal/loggate"
	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

var traceFile = flag.String("trace", "", "a log at LevelTrace, of slog's text or JSON handler, that TestReplay replays")

// TestReplay feeds a log's events to fresh delivery cores: they must decide as the log says. The log is the file of
// -trace, or a log from this test.
func TestReplay(t *testing.T) {
	if *traceFile == "" {
		for name, handler := range map[string]func(io.Writer, *slog.HandlerOptions) slog.Handler{
			"text": func(w io.Writer, o *slog.HandlerOptions) slog.Handler { return slog.NewTextHandler(w, o) },
			"JSON": func(w io.Writer, o *slog.HandlerOptions) slog.Handler { return slog.NewJSONHandler(w, o) },
		} {
			events, err := replay.Run(bytes.NewReader(logWithFaults(t, handler)))
			require.NoError(t, err, name)
			require.Greater(t, events, 30, name)
		}
		return
	}
	f, err := os.Open(*traceFile)
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	events, err := replay.Run(f)
	t.Logf("%d events replayed", events)
	require.NoError(t, err)
	require.NotZero(t, events, "the file has no line of the delivery core")
}

// logWithFaults is the log of a sender with errors, a lost answer, blamed records, a split, and its end.
func logWithFaults(t *testing.T, handler func(io.Writer, *slog.HandlerOptions) slog.Handler) []byte {
	var log bytes.Buffer
	traced := func(c *Config) {
		c.Logger = slog.New(handler(&log, &slog.HandlerOptions{Level: LevelTrace}))
		c.Accumulator.Linger = 10 * time.Millisecond
	}
	onRig(t, topicT(2, 2), traced, func(r *rig) {
		r.c.On(protocol.Produce).Partition("t", 0).InTurn(
			testbroker.Pass(), testbroker.Fail(protocol.NotEnoughReplicas), testbroker.DropAnswer(),
			testbroker.Reject(protocol.InvalidRecord, "no \"good\"", map[int32]string{0: "this one = bad"}),
			testbroker.Pass(),
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

// TestATraceThatSaysOtherwiseDoesNotReplay shows the comparison of a replay.
func TestATraceThatSaysOtherwiseDoesNotReplay(t *testing.T) {
	text := string(logWithFaults(t,
		func(w io.Writer, o *slog.HandlerOptions) slog.Handler { return slog.NewTextHandler(w, o) }))
	for what, change := range map[string][2]string{
		"an offset":        {"complete 1 offset=0", "complete 1 offset=1"},
		"a sequence":       {"epoch=0 sequence=1", "epoch=0 sequence=2"},
		"an error's words": {"TOPIC_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED"},
		"an answer's code": {"code=19", "code=0"},
		"a settled batch":  {"event=sent", "event=tick does=\"\""},
	} {
		require.Contains(t, text, change[0], what)
		_, err := replay.Run(strings.NewReader(strings.Replace(text, change[0], change[1], 1)))
		require.Error(t, err, what)
	}
}

// TestAnIncompleteTraceDoesNotReplay: the replay refuses the incomplete log of a slow handler, and does not blame the
// core.
func TestAnIncompleteTraceDoesNotReplay(t *testing.T) {
	full := logWithFaults(t, func(w io.Writer, o *slog.HandlerOptions) slog.Handler {
		return slog.NewTextHandler(w,
			o)
	})
	lines := bytes.SplitAfter(full, []byte("\n"))
	replayed, err := replay.Run(bytes.NewReader(full))
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
	events, err := replay.Run(bytes.NewReader(bytes.Join(lost, nil)))
	require.ErrorContains(t, err, "lines of the trace were dropped")
	require.Less(t, events, replayed)
}

// hanging is a handler; it waits for the end of hang.
type hanging struct {
	slog.Handler
	hang <-chan struct{}
}

func (h hanging) Handle(ctx context.Context, r slog.Record) error {
	<-h.hang
	return h.Handler.Handle(ctx, r)
}
