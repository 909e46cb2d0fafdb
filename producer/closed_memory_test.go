package producer_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
)

// belongings are the user's objects in a producer. If one is reachable after Close, a part of the producer is still
// reachable.
type belongings struct {
	interceptor *watcher
	logs        *logs
	dialer      *testDialer
	callback    *outcomes
}

// testDialer is an object of the user: its method value in the Config keeps it reachable.
type testDialer struct{ c *testbroker.Cluster }

func (d *testDialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return d.c.Dial(ctx, network, address)
}

// watchEnd returns functions that report whether the objects are unreachable.
func watchEnd(p *producer.Producer, b *belongings) map[string]func() bool {
	whole, interceptor, logs := weak.Make(p), weak.Make(b.interceptor), weak.Make(b.logs)
	dialer, callback := weak.Make(b.dialer), weak.Make(b.callback)
	return map[string]func() bool{
		"producer":    func() bool { return whole.Value() == nil },
		"interceptor": func() bool { return interceptor.Value() == nil },
		"logger":      func() bool { return logs.Value() == nil },
		"dialer":      func() bool { return dialer.Value() == nil },
		"callback":    func() bool { return callback.Value() == nil },
	}
}

// manyTimers fills the runtime's heaps of timers: among many timers the runtime does not remove a few stopped timers at
// once.
func manyTimers(t *testing.T) {
	t.Helper()
	var all []*time.Timer
	var mu sync.Mutex
	var wait sync.WaitGroup
	for range 4 * runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for range 1000 {
				timer := time.AfterFunc(time.Hour, func() {})
				mu.Lock()
				all = append(all, timer)
				mu.Unlock()
				runtime.Gosched()
			}
		})
	}
	wait.Wait()
	t.Cleanup(func() {
		for _, timer := range all {
			timer.Stop()
		}
	})
}

// When a program closes a producer, timers of up to minutes may be running: for linger, delivery, backoff and silence.
func TestNothingOfAClosedProducerStaysInMemory(t *testing.T) {
	manyTimers(t)
	for name, use := range map[string]func(t *testing.T, c *testbroker.Cluster, p *producer.Producer, b *belongings){
		"all is delivered": func(t *testing.T, _ *testbroker.Cluster, p *producer.Producer, b *belongings) {
			for n := range int32(4) {
				_, err := p.Send(t.Context(), to(n, "x"), b.callback.add).Get(t.Context())
				require.NoError(t, err)
				p.Send(t.Context(), to(n, "y"), b.callback.add)
			}
			require.NoError(t, p.Close(t.Context()))
		},
		"all is canceled": func(t *testing.T, _ *testbroker.Cluster, p *producer.Producer, b *belongings) {
			for n := range int32(4) {
				require.True(t, p.Send(t.Context(), to(n, "x"), b.callback.add).Cancel())
			}
			require.NoError(t, p.Close(t.Context()))
		},
		"the brokers are gone": func(t *testing.T, c *testbroker.Cluster, p *producer.Producer, b *belongings) {
			_, err := p.Send(t.Context(), to(0, "x"), b.callback.add).Get(t.Context())
			require.NoError(t, err)
			c.StopBroker(1)
			c.StopBroker(2)
			for n := range int32(4) {
				p.Send(t.Context(), to(n, "y"), nil)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			var left *producer.CloseError
			require.True(t, errors.As(p.Close(ctx), &left))
			require.Equal(t, 4, left.Undelivered)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := testbroker.New(t, topics(2, 4))
			for what, gone := range closedProducer(t, c, use) {
				end := time.Now().Add(10 * time.Second)
				for !gone() && time.Now().Before(end) {
					// a wait would change timers and so make the runtime remove stopped timers
					runtime.GC()
				}
				require.True(t, gone(), "the %s is reachable", what)
			}
		})
	}
}

// closedProducer uses a producer, closes it, and forgets it.
//
//go:noinline
func closedProducer(t *testing.T, c *testbroker.Cluster, use func(*testing.T, *testbroker.Cluster, *producer.Producer,
	*belongings)) map[string]func() bool {
	t.Helper()
	b := &belongings{
		interceptor: &watcher{name: "x", seen: new(sights)}, logs: new(logs), dialer: &testDialer{c: c},
		callback: new(outcomes),
	}
	cfg := producer.DefaultConfig(c.Bootstrap()...)
	cfg.Dialer, cfg.Linger, cfg.DeliveryTimeout = b.dialer.dial, 100*time.Second, 10*time.Minute
	cfg.Interceptors, cfg.Logger = []producer.Interceptor{b.interceptor}, slog.New(slog.NewTextHandler(b.logs, nil))
	p, err := producer.New(cfg)
	require.NoError(t, err)
	use(t, c, p, b)
	return watchEnd(p, b)
}
