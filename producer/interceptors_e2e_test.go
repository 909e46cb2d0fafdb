package producer_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
)

// watcher is an interceptor that keeps its arguments. All watchers of a test append their name to seen, in the order of
// the calls.
type watcher struct {
	name   string
	seen   *sights
	change func(r *producer.Record) *producer.Record
	onAck  func(md producer.RecordMetadata, err error)
}

type sights struct {
	mu    sync.Mutex
	calls []string
	acks  []outcome
}

func (s *sights) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, fmt.Sprintf(format, args...))
}

func (s *sights) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.calls...)
}

func (w *watcher) OnSend(r *producer.Record) *producer.Record {
	w.seen.note("%s send %s", w.name, r.Value)
	if w.change != nil {
		return w.change(r)
	}
	return r
}

func (w *watcher) OnAcknowledgement(md producer.RecordMetadata, err error) {
	w.seen.note("%s ack %d", w.name, md.Offset)
	w.seen.mu.Lock()
	w.seen.acks = append(w.seen.acks, outcome{md, err})
	w.seen.mu.Unlock()
	if w.onAck != nil {
		w.onAck(md, err)
	}
}

func (w *watcher) Close() error {
	w.seen.note("%s close", w.name)
	return nil
}

// appending adds text to a record's value.
func appending(text string) func(*producer.Record) *producer.Record {
	return func(r *producer.Record) *producer.Record {
		r.Value = append(append([]byte(nil), r.Value...), text...)
		return r
	}
}

func TestInterceptorsRunInOrderAndBeforeTheCallback(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		var seen sights
		p := start(t, c, func(cfg *producer.Config) {
			cfg.Interceptors = []producer.Interceptor{
				&watcher{name: "a", seen: &seen, change: appending("1")},
				&watcher{name: "b", seen: &seen, change: appending("2")},
			}
		})
		r := to(0, "x")
		p.Send(t.Context(), r, func(producer.RecordMetadata, error) { seen.note("callback") })
		require.NoError(t, p.Close(t.Context()))
		require.Equal(t, []string{"a send x", "b send x1", "a ack 0", "b ack 0", "callback", "a close", "b close"},
			seen.all())
		require.Equal(t, []string{"x12"}, written(c, 0))
		require.Equal(t, "x", string(r.Value), "the caller's record stays as it is")
	})
}

func TestInterceptorsSeeEveryOutcomeOnce(t *testing.T) {
	cfg := topics(1, 1)
	cfg.Settings = map[string]testbroker.TopicSettings{"t": {Compacted: true}}
	bubble(t, cfg, func(t *testing.T, c *testbroker.Cluster) {
		var seen sights
		p := start(t, c, func(cfg *producer.Config) {
			cfg.Interceptors = []producer.Interceptor{
				&watcher{seen: &seen}}
		})
		_, err := p.PartitionsFor(t.Context(), "t")
		require.NoError(t, err)
		keyed := to(0, "x")
		keyed.Key = []byte("key")
		futures := []producer.Future{
			p.Send(t.Context(), keyed, nil),                          // delivered
			p.Send(t.Context(), to(0, "no key"), nil),                // refused by the broker
			p.Send(t.Context(), &producer.Record{Topic: "a b"}, nil), // refused before the append
			p.TrySend(nil, nil),
			p.Send(t.Context(), keyed, func(producer.RecordMetadata, error) {}),
			p.Send(t.Context(), keyed, nil), // canceled
		}
		require.True(t, futures[5].Cancel())
		require.NoError(t, p.Flush(t.Context()))
		want := map[string]int{}
		for _, f := range futures {
			md, err := f.Get(t.Context())
			want[fmt.Sprint(md.Offset, err)]++
		}
		got := map[string]int{}
		for _, o := range seen.acks {
			got[fmt.Sprint(o.md.Offset, o.err)]++
		}
		require.Equal(t, want, got)
		require.Len(t, seen.acks, len(futures))
	})
}

func TestInterceptorsThatPanic(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		var seen sights
		var log logs
		p := start(t, c, func(cfg *producer.Config) {
			cfg.Logger = log.logger()
			cfg.Interceptors = []producer.Interceptor{
				&watcher{name: "a", seen: &seen, change: appending("1")},
				&watcher{name: "b", seen: &seen, change: func(r *producer.Record) *producer.Record {
					r.Value = []byte("half-way")
					panic("in OnSend")
				}, onAck: func(producer.RecordMetadata, error) { panic("in OnAcknowledgement") }},
				&watcher{name: "c", seen: &seen, change: appending("3")},
			}
		})
		var told outcomes
		_, err := p.Send(t.Context(), to(0, "x"), told.add).Get(t.Context())
		require.NoError(t, err)
		require.NoError(t, p.Flush(t.Context()))
		require.Equal(t, []string{"x13"}, written(c, 0), "the chain went on with the last good record")
		require.Equal(t, []string{"a send x", "b send x1", "c send x1", "a ack 0", "b ack 0", "c ack 0"}, seen.all())
		require.Len(t, told.all(), 1)
		synctest.Wait() // the log is written on a goroutine of its own
		require.Contains(t, log.String(), "in OnSend")
		require.Contains(t, log.String(), "in OnAcknowledgement")
		require.Contains(t, log.String(), "interceptors_e2e_test.go", "the stack")
	})
}

func TestFlushAndCloseInsideAnAcknowledgementInterceptorFailAtOnce(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		var seen sights
		var p *producer.Producer
		var mu sync.Mutex
		var errs []error
		p = start(t, c, func(cfg *producer.Config) {
			cfg.Interceptors = []producer.Interceptor{&watcher{seen: &seen,
				onAck: func(producer.RecordMetadata, error) {
					mu.Lock()
					defer mu.Unlock()
					errs = append(errs, p.Flush(t.Context()), p.Close(t.Context()))
				}}}
		})
		_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
		require.NoError(t, err)
		p.TrySend(nil, nil)
		require.True(t, p.Send(t.Context(), to(0, "y"), nil).Cancel())
		require.NoError(t, p.Flush(t.Context()))
		require.Len(t, errs, 6)
		for _, err := range errs {
			require.ErrorIs(t, err, producer.ErrInCallback)
		}
	})
}

// failing is an interceptor with a failing Close.
type failing struct{ watcher }

func (*failing) Close() error { return errors.New("it will not end") }

func TestCloseTellsOfInterceptorsThatCannotBeClosed(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		var seen sights
		p := start(t, c, func(cfg *producer.Config) {
			cfg.Interceptors = []producer.Interceptor{&failing{watcher{seen: &seen}}, &watcher{name: "b", seen: &seen}}
		})
		require.ErrorContains(t, p.Close(t.Context()), "it will not end")
		require.Equal(t, []string{"b close"}, seen.all())
	})
}
