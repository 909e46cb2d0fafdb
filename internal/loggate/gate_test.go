package loggate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gosamsa/samsa/internal/logtext"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// user is a handler with a memory of its lines' texts. before runs before each of them; it may be nil.
type user struct {
	slog.Handler
	before func(r slog.Record)
	logtext.Text
}

func newUser(level slog.Level, before func(slog.Record)) *user {
	u := &user{before: before}
	u.Handler = slog.NewTextHandler(u, &slog.HandlerOptions{Level: level,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
				return slog.Attr{}
			}
			return a
		}})
	return u
}

func (u *user) Handle(ctx context.Context, r slog.Record) error {
	if u.before != nil {
		u.before(r)
	}
	return u.Handler.Handle(ctx, r)
}

func (u *user) lines() []string {
	return strings.Split(strings.TrimSuffix(u.String(), "\n"), "\n")
}

// gated runs f with a gate before u, in a synctest bubble. The gate ends with it.
func gated(t *testing.T, u *user, f func(t *testing.T, g *Gate, log *slog.Logger)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := New(slog.New(u), nil)
		f(t, g, g.Logger())
		g.Close()
		require.True(t, g.Flush(t.Context()))
	})
}

func TestLinesKeepTheirOrderTimeAndAttributes(t *testing.T) {
	var times []time.Time
	u := newUser(slog.LevelInfo, nil)
	gated(t, u, func(t *testing.T, g *Gate, log *slog.Logger) {
		hold := make(chan struct{})
		u.before = func(r slog.Record) {
			<-hold
			times = append(times, r.Time)
		}
		began := time.Now()
		log = log.With("a", 1).WithGroup("g").With("b", 2)
		log.Info("first", "c", 3)
		time.Sleep(time.Minute)
		log.Info("second", slog.Group("h", "c", true))
		close(hold)
		require.True(t, g.Flush(t.Context()))
		require.Equal(t, []string{"msg=first a=1 g.b=2 g.c=3", "msg=second a=1 g.b=2 g.h.c=true"}, u.lines())
		require.True(t, times[0].Equal(began))
		require.True(t, times[1].Equal(began.Add(time.Minute)))
	})
}

// changing is an error with a changing text.
type changing struct{ text string }

func (c *changing) Error() string { return c.text }

// resolving is a value with its own log form, and a text.
type resolving struct{ calls *int }

func (r resolving) LogValue() slog.Value { *r.calls++; return slog.IntValue(1) }
func (r resolving) String() string       { return "text" }

func TestAttributesAreAsAtTheCall(t *testing.T) {
	var logged slog.Value
	u := newUser(slog.LevelInfo, func(r slog.Record) {
		r.Attrs(func(a slog.Attr) bool { logged = a.Value; return a.Key != "error" })
	})
	gated(t, u, func(t *testing.T, g *Gate, log *slog.Logger) {
		err, calls := &changing{"before"}, 0
		log.Info("line", "value", resolving{&calls}, "pointer", nil, "error", err)
		err.text = "after"
		require.True(t, g.Flush(t.Context()))
		require.Equal(t, []string{"msg=line value=text pointer=<nil> error=before"}, u.lines())
		require.Zero(t, calls)
		require.ErrorIs(t, logged.Any().(error), err)
	})
}

func TestNothingWaitsForAHandlerThatBlocks(t *testing.T) {
	u := newUser(slog.LevelInfo, nil)
	gated(t, u, func(t *testing.T, g *Gate, log *slog.Logger) {
		hang := make(chan struct{})
		u.before = func(slog.Record) { <-hang }
		for i := range MostLines + 21 {
			log.Info(fmt.Sprint(i)) // the first one is in the handler's hands
			synctest.Wait()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		require.False(t, g.Flush(ctx))
		require.Equal(t, time.Minute, time.Since(began))
		close(hang)
		synctest.Wait()
		lines := u.lines()
		require.Len(t, lines, 1+MostLines+1)
		require.Equal(t, fmt.Sprintf("msg=%d", MostLines), lines[MostLines])
		require.Equal(t, `msg="log lines were dropped" lines=20 trace=0`, lines[MostLines+1], "in their place")
		log.Info("after")
		synctest.Wait()
		require.Equal(t, "msg=after", u.lines()[MostLines+2])
	})
}

func TestTheNoticeOfDroppedLinesStandsInTheirPlace(t *testing.T) {
	u := newUser(slog.LevelInfo, nil)
	gated(t, u, func(t *testing.T, g *Gate, log *slog.Logger) {
		step := make(chan struct{})
		u.before = func(slog.Record) { <-step }
		for i := range MostLines + 3 {
			log.Info(fmt.Sprint(i))
			synctest.Wait()
		}
		step <- struct{}{}
		synctest.Wait()
		log.Info("later")
		close(step)
		synctest.Wait()
		lines := u.lines()
		require.Equal(t, []string{fmt.Sprintf("msg=%d", MostLines), `msg="log lines were dropped" lines=2 trace=0`,
			"msg=later"}, lines[len(lines)-3:])
	})
}

func TestATraceHasALargerBoundOfItsOwn(t *testing.T) {
	u := newUser(LevelTrace, nil)
	gated(t, u, func(t *testing.T, g *Gate, log *slog.Logger) {
		hang := make(chan struct{})
		u.before = func(slog.Record) { <-hang }
		for range MostTraceLines + 11 {
			log.Log(t.Context(), LevelTrace, "core")
		}
		log.Info("line")
		synctest.Wait()
		close(hang)
		synctest.Wait()
		lines := u.lines()
		require.Contains(t, lines[len(lines)-2], "log lines were dropped")
		require.Contains(t, lines[len(lines)-2], "lines=0 trace=1", "the trace did not take the room of other lines")
		require.Equal(t, "msg=line", lines[len(lines)-1])
	})
}

func TestAHandlerThatPanicsOrEndsItsGoroutineGetsTheLinesThatFollow(t *testing.T) {
	for name, fail := range map[string]func(){"panic": func() { panic("boom") }, "Goexit": runtime.Goexit} {
		fails := true
		u := newUser(slog.LevelInfo, func(slog.Record) {
			if fails {
				fail()
			}
		})
		gated(t, u, func(t *testing.T, g *Gate, log *slog.Logger) {
			log.Info("lost")
			log.Info("lost too")
			synctest.Wait()
			fails = false
			log.Info("written")
			require.True(t, g.Flush(t.Context()))
			require.Equal(t, []string{`msg="log lines were dropped" lines=2 trace=0`, "msg=written"}, u.lines(), name)
		})
	}
}

// choosy is a handler with a test's function as its Enabled.
type choosy struct {
	slog.Handler
	enabled func(slog.Level) bool
}

func (c choosy) Enabled(_ context.Context, l slog.Level) bool { return c.enabled(l) }

func TestEnabledRunsOnTheGatesGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUser(LevelTrace, nil)
		hang, wanted := make(chan struct{}), slog.LevelInfo
		g := New(slog.New(choosy{u, func(l slog.Level) bool {
			if l == LevelTrace {
				panic("boom")
			}
			<-hang
			return l >= wanted
		}}), nil)
		log := g.Logger()
		require.False(t, log.Enabled(t.Context(), LevelTrace), "a handler that panics wants no trace")
		log.Debug("not wanted")
		log.Info("wanted")
		synctest.Wait()
		close(hang)
		require.True(t, g.Flush(t.Context()))
		wanted = slog.LevelDebug // users change the level of a running program
		log.Debug("wanted now")
		g.Close()
		require.True(t, g.Flush(t.Context()))
		require.Equal(t, []string{"msg=wanted", `msg="wanted now"`}, u.lines())
	})
}

// kinds is how many kinds of lines the gate remembers.
func kinds(g *Gate) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.limit.kinds)
}

func TestRepeatedLinesAreLimitedAndCounted(t *testing.T) {
	u := newUser(slog.LevelDebug, nil)
	gated(t, u, func(t *testing.T, g *Gate, log *slog.Logger) {
		for i := range 25 {
			log.Warn("failed", "topic", "a", "i", i)
			time.Sleep(Window / 100)
			if i < 2 {
				log.Warn("failed", "topic", "b", "i", i)
				log.Debug("failed", "topic", "b", "i", i)
			}
			time.Sleep(Window / 10)
		}
		time.Sleep(3 * Window)
		log.Warn("failed", "topic", "a", "i", 25)
		synctest.Wait()
		require.Equal(t, []string{
			"msg=failed topic=a i=0", "msg=failed topic=b i=0", "msg=failed topic=b i=0",
			"msg=failed topic=b i=1", // lines at debug level pass
			"msg=failed topic=a i=1 suppressed=8",
			"msg=failed topic=b i=1",
			"msg=failed topic=a i=10 suppressed=8",
			"msg=failed topic=a i=19 suppressed=5",
			"msg=failed topic=a i=25",
		}, u.lines())
		time.Sleep(2 * Window)
		synctest.Wait()
		require.Zero(t, kinds(g), "the gate forgets kinds whose window is over")
	})
}

func TestCloseWritesTheSuppressedLines(t *testing.T) {
	u := newUser(slog.LevelInfo, nil)
	gated(t, u, func(t *testing.T, g *Gate, log *slog.Logger) {
		for i := range 5 {
			log.Warn("failed", "broker", 1, "i", i)
		}
		log.Warn("failed", "broker", 2)
		g.Close()
		require.True(t, g.Flush(t.Context()))
		require.Equal(t, []string{"msg=failed broker=1 i=0", "msg=failed broker=2",
			"msg=failed broker=1 i=1 suppressed=3"}, u.lines())
	})
}

// After Close nothing would write a line held back by the limit.
func TestLinesAfterCloseAreNotHeldBack(t *testing.T) {
	u := newUser(slog.LevelInfo, nil)
	gated(t, u, func(t *testing.T, g *Gate, log *slog.Logger) {
		g.Close()
		for range 3 {
			log.Warn("late")
		}
		require.True(t, g.Flush(t.Context()))
		require.Len(t, u.lines(), 3)
	})
}

func TestALongTextIsCut(t *testing.T) {
	u := newUser(slog.LevelInfo, nil)
	gated(t, u, func(t *testing.T, g *Gate, log *slog.Logger) {
		long := strings.Repeat("x", 1<<20)
		log.Warn("a", "text", long, "error", errors.New(long), "any", []string{long})
		require.True(t, g.Flush(t.Context()))
		require.Less(t, len(u.lines()[0]), 4*mostText)
	})
}

func TestTheLimitsBookkeepingIsBounded(t *testing.T) {
	u := newUser(slog.LevelInfo, nil)
	gated(t, u, func(t *testing.T, g *Gate, log *slog.Logger) {
		for i := range 10 * mostKinds {
			if log.Warn("failed", "topic", fmt.Sprint(i)); i%100 == 0 {
				synctest.Wait() // the queue is bounded too
			}
		}
		require.LessOrEqual(t, kinds(g), mostKinds+1)
		time.Sleep(2*Window + time.Millisecond)
		require.Zero(t, kinds(g))
		synctest.Wait()
		lines := u.lines()
		require.Contains(t, lines[len(lines)-1], fmt.Sprintf("suppressed=%d", 9*mostKinds-2))
	})
}

func TestNoLoggerNeedsNoGate(t *testing.T) {
	for _, l := range []*slog.Logger{nil, slog.New(slog.DiscardHandler)} {
		g := New(l, nil)
		require.Nil(t, g)
		require.False(t, g.Logger().Enabled(t.Context(), slog.LevelError))
		g.Logger().Error("nobody hears this", "error", errors.New("x"))
		g.Close()
		require.True(t, g.Flush(t.Context()))
	}
}
