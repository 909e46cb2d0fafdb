package producer_test

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
)

// onGoroutine runs f on a goroutine of its own, and reports whether f returned.
func onGoroutine(f func()) (returned bool) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f()
		returned = true
	}()
	<-ended
	return returned
}

// countedContext counts the goroutines that wait for its end.
type countedContext struct {
	context.Context
	done    chan struct{}
	waiting atomic.Int32
}

func (c *countedContext) Done() <-chan struct{} { return c.done }

func (c *countedContext) AfterFunc(func()) (stop func() bool) {
	c.waiting.Add(1)
	return func() bool { c.waiting.Add(-1); return true }
}

// quitter is a partitioner that ends the goroutine at records with the value "quit".
type quitter struct{}

func (quitter) Partition(r *producer.Record, _ producer.TopicView) int32 {
	if string(r.Value) == "quit" {
		runtime.Goexit()
	}
	return 0
}

func quitOn(value string) func(*producer.Record) *producer.Record {
	return func(r *producer.Record) *producer.Record {
		if string(r.Value) == value {
			runtime.Goexit()
		}
		return r
	}
}

func TestGoexitInsideSendLeavesNothingBehind(t *testing.T) {
	for kind, change := range map[string]func(*producer.Config){
		"partitioner": func(cfg *producer.Config) { cfg.Partitioner = quitter{} },
		"interceptor": func(cfg *producer.Config) {
			cfg.Interceptors = []producer.Interceptor{&watcher{seen: new(sights), change: quitOn("quit")}}
		},
	} {
		scene(t, kind, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
			p := start(t, c, change)
			ctx := &countedContext{Context: t.Context(), done: make(chan struct{})}
			var told outcomes
			quit := producer.Record{Topic: "t", Value: []byte("quit")}
			require.False(t, onGoroutine(func() { p.Send(ctx, &quit, told.add) }), "it waits for metadata first")
			require.False(t, onGoroutine(func() { p.TrySend(&quit, told.add) }))
			require.Zero(t, ctx.waiting.Load(), "the wait has ended")
			records, bytes := p.Buffered()
			require.Zero(t, records)
			require.Zero(t, bytes)
			_, err := p.Send(ctx, &producer.Record{Topic: "t", Value: []byte("x")}, told.add).Get(t.Context())
			require.NoError(t, err)
			require.NoError(t, p.Close(t.Context()))
			require.Len(t, told.all(), 1, "the record that was not sent has no outcome")
			require.Equal(t, []string{"x"}, written(c, 0))
		})
	}
}

func TestGoexitInsideSendAllKeepsTheOutcomesOfAdmittedRecords(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) { cfg.Partitioner = quitter{} })
		const quits, pieces = 300, 128 // SendAll handles this many records at a time
		rs := make([]producer.Record, 400)
		for i := range rs {
			rs[i] = producer.Record{Topic: "t", Value: []byte("x")}
		}
		rs[quits].Value = []byte("quit")
		ctx := &countedContext{Context: t.Context(), done: make(chan struct{})}
		told := make([]int, len(rs))
		require.False(t, onGoroutine(func() {
			p.SendAllFunc(ctx, rs, func(i int, _ producer.RecordMetadata, err error) {
				if err == nil {
					told[i]++
				}
			}, nil)
		}))
		require.NoError(t, p.Close(t.Context()))
		require.Zero(t, ctx.waiting.Load())
		for i, n := range told {
			want := 0
			if i < quits/pieces*pieces {
				want = 1
			}
			require.Equal(t, want, n, i)
		}
		require.Len(t, written(c, 0), quits/pieces*pieces)
	})
}

func TestGoexitInOnAcknowledgementCostsNoCallbackAndNoInterceptor(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		var before, behind sights
		quits := func(producer.RecordMetadata, error) { runtime.Goexit() }
		p := start(t, c, func(cfg *producer.Config) {
			cfg.Linger = time.Hour
			cfg.DeliveryTimeout = 2 * time.Hour
			cfg.Interceptors = []producer.Interceptor{
				&watcher{seen: &before, onAck: quits}, &watcher{seen: new(sights), onAck: quits},
				&watcher{seen: &behind},
			}
		})
		var told outcomes
		for _, value := range []string{"1", "2", "3"} { // in one batch
			p.Send(t.Context(), to(0, value), told.add)
		}
		p.SendAllFunc(t.Context(), []producer.Record{*to(0, "4"), *to(0, "5")},
			func(_ int, md producer.RecordMetadata, err error) { told.add(md, err) }, nil)
		canceled := p.Send(t.Context(), to(0, "6"), told.add)
		require.True(t, onGoroutine(func() { canceled.Cancel() }), "interceptors run on another goroutine")
		require.True(t, onGoroutine(func() { p.TrySend(nil, told.add) }))
		synctest.Wait()
		require.NoError(t, p.Close(t.Context()))
		var offsets, errs []any
		for _, o := range told.all() {
			if o.err != nil {
				errs = append(errs, o.err)
				continue
			}
			offsets = append(offsets, o.md.Offset)
		}
		require.Equal(t, []any{int64(0), int64(1), int64(2), int64(3), int64(4)}, offsets)
		require.Len(t, errs, 2)
		all := errors.Join(errs[0].(error), errs[1].(error))
		require.ErrorIs(t, all, producer.ErrCanceled)
		require.ErrorIs(t, all, producer.ErrNilRecord)
		require.Len(t, before.acks, 7)
		require.ElementsMatch(t, before.acks, behind.acks)
	})
}

func TestInterceptorsWithGoexitInClose(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		var seen sights
		p := start(t, c, func(cfg *producer.Config) {
			cfg.Interceptors = []producer.Interceptor{
				&closingWatcher{watcher{name: "a", seen: &seen}, func() error { runtime.Goexit(); return nil }},
				&closingWatcher{watcher{name: "b", seen: &seen}, func() error { panic("boom") }},
				&watcher{name: "c", seen: &seen},
			}
		})
		err := p.Close(within(t, time.Second))
		mentions(t, err, "Close called runtime.Goexit", "panic in Close: boom")
		require.Equal(t, []string{"a close", "b close", "c close"}, seen.all())
	})
}

func TestADialerThatPanicsOrEndsItsGoroutineIsNamedInTheError(t *testing.T) {
	for want, fail := range map[string]func(){
		"the dialer panicked: boom":        func() { panic("boom") },
		"the dialer called runtime.Goexit": runtime.Goexit,
	} {
		scene(t, want, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
			var log logs
			var healed atomic.Bool
			p := start(t, c, func(cfg *producer.Config) {
				cfg.Logger, cfg.MaxBlock = log.logger(), time.Second
				cfg.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
					if !healed.Load() {
						fail()
					}
					return c.Dial(ctx, network, address)
				}
			})
			f := p.Send(t.Context(), to(0, "x"), nil)
			notWritten(t, f, producer.ErrMetadataTimeout)
			_, err := f.Get(t.Context())
			mentions(t, err, want)
			healed.Store(true)
			works(t, p, 0)
			require.NoError(t, p.Close(t.Context()))
			if want != "the dialer called runtime.Goexit" {
				require.Contains(t, log.String(), "goexit_test.go", "the stack")
			}
		})
	}
}

// rude is an error whose method Error misbehaves from the second call on.
type rude struct{ asked *atomic.Int32 }

func (r rude) Error() string {
	if r.asked.Add(1) > 1 {
		runtime.Goexit()
	}
	return "once"
}

func TestTheTextOfAConnectionsErrorIsAskedForOnce(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		var log logs
		failure := rude{new(atomic.Int32)}
		var breaks atomic.Bool
		p := warm(t, c, 1, func(cfg *producer.Config) {
			cfg.Logger, cfg.Retries = log.logger(), 1
			cfg.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
				nc, err := c.Dial(ctx, network, address)
				return &breaking{nc, &breaks, failure}, err
			}
		})
		breaks.Store(true)
		c.On(protocol.Produce).Times(1).Do(testbroker.DropAnswer())
		_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
		require.NoError(t, err)
		require.NoError(t, p.Close(t.Context()))
		require.EqualValues(t, 1, failure.asked.Load())
		require.Contains(t, log.String(), "once")
	})
}

// breaking is a connection that fails once, with an error of its own.
type breaking struct {
	net.Conn
	breaks *atomic.Bool
	err    error
}

func (b *breaking) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	if err != nil && b.breaks.CompareAndSwap(true, false) {
		return n, b.err
	}
	return n, err
}

// rudeCause is the cause of a context's end.
type rudeCause struct{ rude }

func (rudeCause) Unwrap() error { return context.Canceled }

func TestTheTextOfAContextsCauseIsAskedForOnce(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		var log logs
		p := warm(t, c, 1, func(cfg *producer.Config) { cfg.Logger = log.logger() })
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := rudeCause{rude{new(atomic.Int32)}}
		cancel(cause)
		f := p.Send(ctx, to(0, "x"), nil)
		require.Error(t, p.Close(t.Context()), "a failure that nobody has asked for")
		_, err := f.Get(t.Context())
		require.ErrorIs(t, err, cause)
		require.ErrorIs(t, err, context.Canceled)
		require.Contains(t, err.Error(), "once")
		require.Contains(t, log.String(), "error=\"samsa")
		require.EqualValues(t, 1, cause.asked.Load())
	})
}
