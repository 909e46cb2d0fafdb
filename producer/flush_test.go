package producer_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
)

func TestFlushReadiesEverythingAndWaits(t *testing.T) {
	bubble(t, topics(2, 4), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 4, lingering(time.Hour))
		var futures []producer.Future
		for i := range int32(4) {
			futures = append(futures, p.Send(t.Context(), to(i, "x"), nil))
		}
		began := time.Now()
		require.NoError(t, p.Flush(t.Context()))
		require.Zero(t, time.Since(began))
		for _, f := range futures {
			require.True(t, isOver(f))
		}
		require.NoError(t, p.Flush(t.Context()), "with nothing to do")
	})
}

func TestFlushWaitsForCallbacks(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		var returned atomic.Int32
		for range 3 {
			p.Send(t.Context(), to(0, "x"), func(producer.RecordMetadata, error) {
				time.Sleep(time.Second)
				returned.Add(1)
			})
		}
		began := time.Now()
		require.NoError(t, p.Flush(t.Context()))
		require.EqualValues(t, 3, returned.Load())
		require.Equal(t, 3*time.Second, time.Since(began))
	})
}

func TestFlushWaitsForTheCallbackOfACanceledRecord(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, lingering(time.Hour))
		var returned atomic.Bool
		f := p.Send(t.Context(), to(0, "x"), func(producer.RecordMetadata, error) {
			time.Sleep(time.Second)
			returned.Store(true)
		})
		require.True(t, f.Cancel())
		require.NoError(t, p.Flush(t.Context()))
		require.True(t, returned.Load())
	})
}

func TestFlushsErrorSpeaksOnlyOfTheWait(t *testing.T) {
	scene(t, "records that fail are none of its business", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		c.SetSettings("t", testbroker.TopicSettings{MessageMaxBytes: 100})
		f := p.Send(t.Context(), sized(500), nil)
		require.NoError(t, p.Flush(t.Context()))
		_, err := f.Get(t.Context())
		brokerCode(t, err, "MESSAGE_TOO_LARGE")
	})
	scene(t, "ctx ends", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		c.Hang(1)
		f := p.Send(t.Context(), to(0, "x"), nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		require.ErrorIs(t, p.Flush(ctx), context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(began))
		require.False(t, isOver(f))
		c.Unhang(1)
		require.NoError(t, p.Flush(t.Context()))
		_, err := f.Get(t.Context())
		require.NoError(t, err)
	})
}

func TestFlushDoesNotWaitForLaterRecords(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		c.Mute(1)
		p.Send(t.Context(), to(0, "x"), nil)
		flushed := make(chan error)
		go func() { flushed <- p.Flush(context.Background()) }()
		synctest.Wait()
		var later []producer.Future
		stop := make(chan struct{})
		go func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
					later = append(later, p.Send(context.Background(), to(0, "y"), nil))
				}
			}
		}()
		time.Sleep(time.Second)
		c.Unhang(1)
		require.NoError(t, <-flushed)
		close(stop)
		synctest.Wait()
		require.NotEmpty(t, later)
	})
}

func TestFlushFromManyGoroutines(t *testing.T) {
	bubble(t, topics(2, 4), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 4, lingering(time.Hour))
		var wait sync.WaitGroup
		for i := range int32(20) {
			wait.Go(func() {
				f := p.Send(t.Context(), to(i%4, "x"), nil)
				if err := p.Flush(t.Context()); err != nil || !isOver(f) {
					t.Errorf("%v %v", err, isOver(f))
				}
			})
		}
		wait.Wait()
	})
}

// insides are all kinds of callbacks. inside runs a function in such a callback, and returns when the function has
// returned.
var insides = map[string]func(t *testing.T, c *testbroker.Cluster, p *producer.Producer, cb producer.Callback){
	"delivered": func(t *testing.T, _ *testbroker.Cluster, p *producer.Producer, cb producer.Callback) {
		p.Send(t.Context(), to(0, "x"), cb)
	},
	"failed": func(t *testing.T, c *testbroker.Cluster, p *producer.Producer, cb producer.Callback) {
		c.SetSettings("t", testbroker.TopicSettings{MessageMaxBytes: 100})
		p.Send(t.Context(), sized(500), cb)
	},
	"canceled": func(t *testing.T, _ *testbroker.Cluster, p *producer.Producer, cb producer.Callback) {
		p.Send(t.Context(), to(0, "neighbour"), nil)
		require.True(t, p.Send(t.Context(), to(0, "x"), cb).Cancel())
	},
	"before the append": func(t *testing.T, _ *testbroker.Cluster, p *producer.Producer, cb producer.Callback) {
		p.Send(t.Context(), &producer.Record{Topic: "not legal"}, cb)
	},
	"TrySend": func(t *testing.T, _ *testbroker.Cluster, p *producer.Producer, cb producer.Callback) {
		p.TrySend(nil, cb)
	},
	"SendAll": func(t *testing.T, _ *testbroker.Cluster, p *producer.Producer, cb producer.Callback) {
		p.SendAllFunc(t.Context(), []producer.Record{*to(0, "x")},
			func(_ int, m producer.RecordMetadata, err error) { cb(m, err) }, nil)
	},
	"nested": func(t *testing.T, _ *testbroker.Cluster, p *producer.Producer, cb producer.Callback) {
		p.Send(t.Context(), to(0, "x"), func(producer.RecordMetadata, error) { p.TrySend(nil, cb) })
	},
	"after a nested one": func(t *testing.T, _ *testbroker.Cluster, p *producer.Producer, cb producer.Callback) {
		p.Send(t.Context(), to(0, "x"), func(m producer.RecordMetadata, err error) {
			p.TrySend(nil, func(producer.RecordMetadata, error) {})
			cb(m, err)
		})
	},
}

func TestFlushAndCloseInsideACallbackFailAtOnce(t *testing.T) {
	for name, inside := range insides {
		scene(t, name, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
			p := warm(t, c, 1, nil)
			type ends struct{ flush, close error }
			got := make(chan ends, 1)
			inside(t, c, p, func(producer.RecordMetadata, error) {
				got <- ends{p.Flush(context.Background()), p.Close(context.Background())}
			})
			e := <-got
			require.ErrorIs(t, e.flush, producer.ErrInCallback)
			require.ErrorIs(t, e.close, producer.ErrInCallback)
			require.NoError(t, p.Flush(t.Context()), "outside it works")
			_, err := p.Send(t.Context(), to(0, "y"), nil).Get(t.Context())
			require.NoError(t, err, "it was not closed")
		})
	}
}

func TestFlushOfAnotherProducerInsideACallback(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p, q := warm(t, c, 1, nil), warm(t, c, 1, nil)
		q.Send(t.Context(), to(0, "x"), nil)
		got := make(chan error)
		p.Send(t.Context(), to(0, "x"), func(producer.RecordMetadata, error) { got <- q.Flush(context.Background()) })
		require.NoError(t, <-got)
	})
}
