package producer_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
)

// In each test of this file something never returns: a broker that reads nothing, or user code. The test requires that
// other partitions go on, that Close returns when its context ends, and that no goroutine is left after the hanging
// code has returned.

// closeWithin calls Close with a context that ends after d, requires that Close waits for it, and returns the result.
func closeWithin(t *testing.T, p *producer.Producer, d time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	began := time.Now()
	err := p.Close(ctx)
	require.Equal(t, d, time.Since(began))
	return err
}

// requireNothingLeft checks that no goroutine of the library runs.
func requireNothingLeft(t *testing.T) {
	t.Helper()
	synctest.Wait()
	g := goroutinesNow()
	require.Zero(t, g.readers+g.callbacks+g.others, g.all)
}

// works requires that a record to a partition of topic t is acknowledged.
func works(t *testing.T, p *producer.Producer, partition int32) {
	t.Helper()
	_, err := p.Send(t.Context(), to(partition, "x"), nil).Get(within(t, time.Second))
	require.NoError(t, err)
}

// valve is a dialer. Its connections can stop accepting bytes, as with a broker that reads nothing.
type valve struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	shut sync.Map // of addresses
}

func (v *valve) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := v.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &valveConn{Conn: nc, v: v, address: address, closed: make(chan struct{})}, nil
}

type valveConn struct {
	net.Conn
	v       *valve
	address string
	closing sync.Once
	closed  chan struct{}
}

func (c *valveConn) Write(b []byte) (int, error) {
	if _, shut := c.v.shut.Load(c.address); shut {
		<-c.closed
		return 0, net.ErrClosed
	}
	return c.Conn.Write(b)
}

func (c *valveConn) Close() error {
	c.closing.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func TestCloseReturnsInTimeThoughABrokerReadsNothing(t *testing.T) {
	scene(t, "amid requests", topics(2, 2), func(t *testing.T, c *testbroker.Cluster) {
		v := &valve{dial: c.Dial}
		p := warm(t, c, 2, func(cfg *producer.Config) { cfg.Dialer = v.Dial })
		v.shut.Store(c.Address(2), true)
		stuck := p.Send(t.Context(), to(1, "x"), nil)
		time.Sleep(5 * time.Second)
		works(t, p, 0)
		var closed *producer.CloseError
		require.ErrorAs(t, closeWithin(t, p, time.Second), &closed)
		require.Equal(t, 1, closed.Undelivered)
		notOver := isOver(stuck)
		require.True(t, notOver)
		requireNothingLeft(t)
	})
	// The request for a producer id waits for its turn to write, because another write never ends.
	scene(t, "before it has a producer id", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		v := &valve{dial: c.Dial}
		p := start(t, c, func(cfg *producer.Config) { cfg.Dialer = v.Dial })
		_, err := p.PartitionsFor(t.Context(), "t")
		require.NoError(t, err)
		v.shut.Store(c.Address(1), true)
		notYet := p.Send(t.Context(), to(0, "x"), nil)
		time.Sleep(50 * time.Millisecond)
		require.False(t, isOver(notYet))
		require.Error(t, closeWithin(t, p, time.Second))
		requireNothingLeft(t)
	})
	scene(t, "while the connection is checked", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		v := &valve{dial: c.Dial}
		p := start(t, c, func(cfg *producer.Config) { cfg.Dialer = v.Dial })
		dials := 0
		c.Hook(func(r *testbroker.Request) testbroker.Action {
			if r.Header.Key == protocol.ApiVersions {
				if dials++; dials == 2 { // the broker's own connection; next is its Metadata request
					v.shut.Store(c.Address(1), true)
				}
			}
			return testbroker.Pass()
		})
		p.Send(t.Context(), to(0, "x"), nil)
		time.Sleep(50 * time.Millisecond)
		require.Error(t, closeWithin(t, p, time.Second))
		requireNothingLeft(t)
	})
}

func TestCloseReturnsInTimeThoughADialerNeverReturns(t *testing.T) {
	bubble(t, topics(2, 2), func(t *testing.T, c *testbroker.Cluster) {
		hang := make(chan struct{})
		p := start(t, c, func(cfg *producer.Config) {
			cfg.BootstrapServers = cfg.BootstrapServers[:1]
			cfg.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
				if address == c.Address(2) {
					<-hang
					return nil, errors.New("hung")
				}
				return c.Dial(ctx, network, address)
			}
		})
		works(t, p, 0)
		p.Send(t.Context(), to(1, "x"), nil)
		time.Sleep(100 * time.Second)
		works(t, p, 0)
		var closed *producer.CloseError
		require.ErrorAs(t, closeWithin(t, p, time.Second), &closed)
		require.Equal(t, 1, closed.Undelivered)
		close(hang)
		requireNothingLeft(t)
	})
}

// The resolver of package net does not work in a bubble, so this test uses real time.
func TestCloseReturnsInTimeThoughTheResolverHangs(t *testing.T) {
	hang, asked, before := make(chan struct{}), make(chan struct{}, 100), net.DefaultResolver
	defer func() { net.DefaultResolver = before }()
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		asked <- struct{}{}
		<-hang
		return nil, errors.New("hung")
	}}
	p, err := producer.New(producer.DefaultConfig("kafka.example:9092"))
	require.NoError(t, err)
	notWritten(t, p.TrySend(to(0, "x"), nil), producer.ErrMetadataTimeout)
	<-asked
	ctx := within(t, 2*time.Minute)
	require.NoError(t, p.Close(ctx))
	require.NoError(t, ctx.Err())
	close(hang)
	require.Eventually(t, func() bool { return goroutinesNow().all == "" }, 2*time.Minute, time.Millisecond)
}

func TestCloseReturnsInTimeThoughAConnectionsCloseHangs(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		hang := make(chan struct{})
		p := warm(t, c, 1, func(cfg *producer.Config) {
			cfg.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
				nc, err := c.Dial(ctx, network, address)
				return hangingClose{nc, hang}, err
			}
		})
		began := time.Now()
		require.NoError(t, p.Close(within(t, time.Second)))
		require.Zero(t, time.Since(began))
		close(hang)
		requireNothingLeft(t)
	})
}

type hangingClose struct {
	net.Conn
	hang <-chan struct{}
}

func (c hangingClose) Close() error {
	<-c.hang
	return c.Conn.Close()
}

// hangingHandler is a log handler that blocks until hang is closed.
type hangingHandler struct {
	slog.Handler
	hang <-chan struct{}
}

func (h hangingHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h hangingHandler) Handle(ctx context.Context, r slog.Record) error {
	<-h.hang
	return h.Handler.Handle(ctx, r)
}

func TestALoggerThatBlocksStopsNoBrokersResponses(t *testing.T) {
	bubble(t, topics(1, 2), func(t *testing.T, c *testbroker.Cluster) {
		var log logs
		hang := make(chan struct{})
		p := start(t, c, func(cfg *producer.Config) {
			cfg.Logger = slog.New(hangingHandler{log.logger().Handler(),
				hang})
		})
		c.On(protocol.Produce).Partition("t", 0).Do(testbroker.Fail(protocol.PolicyViolation))
		for range 3 {
			_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
			brokerCode(t, err, "POLICY_VIOLATION")
			works(t, p, 1)
		}
		require.NoError(t, closeWithin(t, p, time.Second), "every record has its outcome")
		require.Empty(t, log.String())
		close(hang)
		requireNothingLeft(t)
		require.Equal(t, 2, strings.Count(log.String(), "records failed"),
			"queued lines are written when the handler works again")
		require.Contains(t, log.String(), "suppressed=1")
	})
}

func TestCloseInsideALogHandlerFailsAtOnce(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		var p *producer.Producer
		var mu sync.Mutex
		var errs []error
		p = start(t, c, func(cfg *producer.Config) {
			cfg.Logger = slog.New(handlerFunc(func(slog.Record) {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, p.Close(context.Background()))
			}))
		})
		c.On(protocol.Produce).Do(testbroker.Fail(protocol.PolicyViolation))
		_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
		require.Error(t, err)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		require.NotEmpty(t, errs)
		require.ErrorIs(t, errs[0], producer.ErrInCallback)
	})
}

// handlerFunc is a log handler.
type handlerFunc func(slog.Record)

func (handlerFunc) Enabled(context.Context, slog.Level) bool        { return true }
func (f handlerFunc) Handle(_ context.Context, r slog.Record) error { f(r); return nil }
func (f handlerFunc) WithAttrs([]slog.Attr) slog.Handler            { return f }
func (f handlerFunc) WithGroup(string) slog.Handler                 { return f }

// closingWatcher is a watcher with the test's own Close.
type closingWatcher struct {
	watcher
	close func() error
}

func (w *closingWatcher) Close() error {
	_ = w.watcher.Close()
	return w.close()
}

func TestCloseReturnsInTimeThoughAnInterceptorsCloseHangs(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		var seen sights
		hang := make(chan struct{})
		failure := errors.New("not today")
		p := start(t, c, func(cfg *producer.Config) {
			cfg.Interceptors = []producer.Interceptor{
				&closingWatcher{watcher{name: "a", seen: &seen}, func() error { <-hang; return nil }},
				&closingWatcher{watcher{name: "b", seen: &seen}, func() error { return failure }},
			}
		})
		works(t, p, 0)
		err := closeWithin(t, p, time.Second)
		mentions(t, err, "closingWatcher: Close has not returned")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		synctest.Wait()
		require.Equal(t, []string{"a send x", "b send x", "a ack 0", "b ack 0", "a close", "b close"}, seen.all(),
			"each of them is closed")
		close(hang)
		requireNothingLeft(t)
		require.ErrorIs(t, p.Close(t.Context()), failure, "a later Close tells how it ended")
	})
}

func TestCloseInsideAnInterceptorsCloseFailsAtOnce(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		var p *producer.Producer
		p = start(t, c, func(cfg *producer.Config) {
			cfg.Interceptors = []producer.Interceptor{&closingWatcher{watcher{seen: new(sights)},
				func() error { return p.Close(context.Background()) }}}
		})
		require.ErrorIs(t, p.Close(t.Context()), producer.ErrInCallback)
	})
}

func TestCloseReturnsInTimeThoughCallbacksAndInterceptorsHang(t *testing.T) {
	for _, kind := range []string{"a callback", "OnAcknowledgement"} {
		scene(t, kind, topics(2, 2), func(t *testing.T, c *testbroker.Cluster) {
			var seen sights
			hang := make(chan struct{})
			var hanging atomic.Bool
			p := warm(t, c, 2, func(cfg *producer.Config) {
				cfg.Interceptors = []producer.Interceptor{&watcher{seen: &seen,
					onAck: func(md producer.RecordMetadata, _ error) {
						if md.Partition == 0 && hanging.Load() && kind == "OnAcknowledgement" {
							<-hang
						}
					}}}
			})
			hanging.Store(true)
			p.Send(t.Context(), to(0, "x"), func(producer.RecordMetadata, error) {
				if kind == "a callback" {
					<-hang
				}
			})
			time.Sleep(time.Second)
			for range 3 {
				works(t, p, 0)
				works(t, p, 1)
			}
			err := closeWithin(t, p, time.Second)
			mentions(t, err, `callbacks of topic "t" partition 0 have not returned`)
			var closed *producer.CloseError
			require.ErrorAs(t, err, &closed)
			require.Zero(t, closed.Undelivered)
			close(hang)
			requireNothingLeft(t)
		})
	}
}
