package producer

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// spyInterceptor runs the test's function in OnSend, and records the outcomes.
type spyInterceptor struct {
	send    func(*Record) *Record
	ack     func(RecordMetadata, error)
	outcome []error
}

func (s *spyInterceptor) OnSend(r *Record) *Record {
	if s.send == nil {
		return r
	}
	return s.send(r)
}

func (s *spyInterceptor) OnAcknowledgement(m RecordMetadata, err error) {
	s.outcome = append(s.outcome, err)
	if s.ack != nil {
		s.ack(m, err)
	}
}

type closingInterceptor struct {
	spyInterceptor
	closed int
	err    error
	panics bool
}

func (c *closingInterceptor) Close() error {
	c.closed++
	if c.panics {
		panic("close")
	}
	return c.err
}

// chainOf makes a chain and its log.
func chainOf(list ...Interceptor) (interceptorChain, *strings.Builder) {
	var log strings.Builder
	c := DefaultConfig()
	c.Interceptors = list
	c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	return newInterceptorChain(&c), &log
}

func TestInterceptorsChangeTheRecordInOrderAndNotTheCallers(t *testing.T) {
	mark := func(s string) *spyInterceptor {
		return &spyInterceptor{send: func(r *Record) *Record {
			r.Headers = append(r.Headers, Header{Key: s})
			r.Topic += s
			return r
		}}
	}
	chain, _ := chainOf(mark("a"), mark("b"))
	headers := make([]Header, 1, 8)
	headers[0].Key = "own"
	r := &Record{Topic: "t", Headers: headers}
	sent := chain.onSend(r)
	require.Equal(t, "tab", sent.Topic)
	require.Equal(t, []Header{{Key: "own"}, {Key: "a"}, {Key: "b"}}, sent.Headers)
	require.Equal(t, "t", r.Topic)
	require.Equal(t, []Header{{Key: "own"}}, r.Headers)
	require.Empty(t, headers[:2][1].Key, "nothing is written behind the caller's headers")
}

func TestAnInterceptorMayReturnAnotherRecord(t *testing.T) {
	other := &Record{Topic: "other"}
	chain, _ := chainOf(&spyInterceptor{send: func(*Record) *Record { return other }})
	require.Same(t, other, chain.onSend(&Record{Topic: "t"}))
}

func TestChainGoesOnWithTheLastGoodRecordAfterAPanic(t *testing.T) {
	good := &spyInterceptor{send: func(r *Record) *Record { r.Topic += "+good"; return r }}
	bad := &spyInterceptor{send: func(r *Record) *Record {
		r.Topic = "half-changed"
		r.Headers[0].Key = "half-changed"
		panic("boom")
	}}
	chain, log := chainOf(good, bad, good)
	sent := chain.onSend(&Record{Topic: "t", Headers: []Header{{Key: "h"}}, Value: []byte("secret")})
	require.Equal(t, "t+good+good", sent.Topic)
	require.Equal(t, "h", sent.Headers[0].Key)
	require.Contains(t, log.String(), "OnSend panicked")
	require.Contains(t, log.String(), "boom")
	require.Contains(t, log.String(), "spyInterceptor")
	require.Contains(t, log.String(), "interceptor_test.go", "the stack shows where")
	require.NotContains(t, log.String(), "secret")
}

func TestFirstInterceptorsPanicLeavesTheCallersRecord(t *testing.T) {
	chain, _ := chainOf(&spyInterceptor{send: func(r *Record) *Record { r.Topic = "x"; panic("boom") }})
	r := &Record{Topic: "t"}
	require.Same(t, r, chain.onSend(r))
	require.Equal(t, "t", r.Topic)
}

func TestNoRecordFromOnSendKeepsTheRecordBefore(t *testing.T) {
	chain, log := chainOf(&spyInterceptor{send: func(r *Record) *Record { r.Topic = "x"; return nil }})
	require.Equal(t, "t", chain.onSend(&Record{Topic: "t"}).Topic)
	require.Contains(t, log.String(), "returned no record")
}

func TestEveryInterceptorGetsTheOutcomeDespiteTheOthers(t *testing.T) {
	failure := errors.New("failure")
	first := &spyInterceptor{ack: func(RecordMetadata, error) { panic("ack-boom") }}
	second := &spyInterceptor{}
	chain, log := chainOf(first, second)
	chain.onAcknowledgement(RecordMetadata{Offset: 7}, nil)
	chain.onAcknowledgement(RecordMetadata{Offset: -1}, failure)
	require.Equal(t, []error{nil, failure}, first.outcome)
	require.Equal(t, []error{nil, failure}, second.outcome)
	require.Equal(t, 2, strings.Count(log.String(), "OnAcknowledgement panicked"))
	require.Contains(t, log.String(), "interceptor_test.go")
}

// closed closes a chain's interceptors.
func closed(t *testing.T, chain *interceptorChain) error {
	t.Helper()
	closing := chain.newClosing(func(work func()) { work() })
	closing.run(t.Context())
	failed, pending := closing.outcome()
	require.NoError(t, pending)
	return failed
}

func TestEveryInterceptorThatCanBeClosedIs(t *testing.T) {
	failure := errors.New("failure")
	failing, panicking, fine := &closingInterceptor{err: failure}, &closingInterceptor{panics: true},
		&closingInterceptor{}
	chain, log := chainOf(failing, &spyInterceptor{}, panicking, fine)
	err := closed(t, &chain)
	require.ErrorIs(t, err, failure)
	require.ErrorContains(t, err, "panic in Close")
	require.Equal(t, []int{1, 1, 1}, []int{failing.closed, panicking.closed, fine.closed})
	require.Contains(t, log.String(), "Close panicked")
}

func TestNoInterceptorsCostNothing(t *testing.T) {
	chain, _ := chainOf()
	require.True(t, chain.empty())
	require.NoError(t, closed(t, &chain))
	allocations := testing.AllocsPerRun(100, func() {
		r := Record{Topic: "t"}
		if chain.onSend(&r) != &r {
			panic("another record")
		}
		chain.onAcknowledgement(RecordMetadata{}, nil)
	})
	require.Zero(t, allocations)
	busy, _ := chainOf(&spyInterceptor{})
	require.False(t, busy.empty())
}

func TestALoggerOfNilIsTheDefaultOneForWarnings(t *testing.T) {
	var lines bytes.Buffer
	before := slog.Default()
	defer slog.SetDefault(before)
	p, err := New(DefaultConfig("127.0.0.1:1"))
	require.NoError(t, err)
	slog.SetDefault(slog.New(slog.NewTextHandler(&lines, nil))) // after New
	p.cfg.Logger.Info("not this")
	p.cfg.Logger.Warn("but this")
	require.NoError(t, p.Close(t.Context()))
	require.NotContains(t, lines.String(), "not this")
	require.Contains(t, lines.String(), "but this")
}
