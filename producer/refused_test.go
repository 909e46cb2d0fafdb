package producer_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/running"
	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
)

// refusals are functions that refuse or cancel a record. When such a function returns, its record has an outcome.
var refusals = map[string]func(t *testing.T, p *producer.Producer, cb producer.Callback) producer.Future{
	"no record": func(t *testing.T, p *producer.Producer, cb producer.Callback) producer.Future {
		return p.Send(t.Context(), nil, cb)
	},
	"too large": func(t *testing.T, p *producer.Producer, cb producer.Callback) producer.Future {
		return p.Send(t.Context(), sized(2<<20), cb)
	},
	"no partition": func(t *testing.T, p *producer.Producer, cb producer.Callback) producer.Future {
		return p.TrySend(to(7, "x"), cb)
	},
	"illegal topic": func(_ *testing.T, p *producer.Producer, cb producer.Callback) producer.Future {
		return p.TrySend(illegal(), cb)
	},
	"no metadata": func(_ *testing.T, p *producer.Producer, cb producer.Callback) producer.Future {
		return p.TrySend(&producer.Record{Topic: "unknown"}, cb)
	},
	"ended context": func(t *testing.T, p *producer.Producer, cb producer.Callback) producer.Future {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		return p.Send(ctx, to(0, "x"), cb)
	},
	"SendAll": func(t *testing.T, p *producer.Producer, cb producer.Callback) producer.Future {
		return p.SendAllFunc(t.Context(), []producer.Record{*illegal()},
			func(_ int, md producer.RecordMetadata, err error) { cb(md, err) }, nil)[0]
	},
	"Cancel": func(t *testing.T, p *producer.Producer, cb producer.Callback) producer.Future {
		f := p.Send(t.Context(), to(0, "x"), cb)
		require.True(t, f.Cancel())
		return f
	},
	"closed": func(t *testing.T, p *producer.Producer, cb producer.Callback) producer.Future {
		require.NoError(t, p.Close(t.Context()))
		return p.Send(t.Context(), to(0, "x"), cb)
	},
}

func illegal() *producer.Record { return &producer.Record{Topic: "not legal"} }

// A program may hold a lock around Send and take the same lock in the callback. This must work for every refused
// record.
func TestALockThatTheCallbackTakesMayBeHeldAroundSend(t *testing.T) {
	for name, refuse := range refusals {
		scene(t, name, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
			lock := make(chan struct{}, 1) // a mutex that synctest can see
			acknowledged := 0
			p := warm(t, c, 1, func(cfg *producer.Config) {
				cfg.Linger = time.Second
				cfg.Interceptors = []producer.Interceptor{&watcher{seen: new(sights),
					onAck: func(producer.RecordMetadata, error) {
						lock <- struct{}{}
						defer func() { <-lock }()
						acknowledged++
					}}}
			})
			var told []outcome
			lock <- struct{}{}
			f := refuse(t, p, func(md producer.RecordMetadata, err error) {
				lock <- struct{}{}
				defer func() { <-lock }()
				told = append(told, outcome{md, err})
			})
			require.True(t, isOver(f), "its outcome does not wait for the callback")
			synctest.Wait()
			require.Empty(t, told)
			<-lock
			require.NoError(t, p.Flush(t.Context()))
			md, err := f.Get(t.Context())
			require.Error(t, err)
			require.Equal(t, []outcome{{md, err}}, told)
			require.Equal(t, 2, acknowledged, "with the first record's")
		})
	}
}

func TestFlushAndCloseWaitForTheCallbackOfARefusedRecord(t *testing.T) {
	for name, refuse := range refusals {
		if name == "closed" {
			continue
		}
		for end, wait := range map[string]func(p *producer.Producer, ctx context.Context) error{
			"Flush": (*producer.Producer).Flush, "Close": (*producer.Producer).Close,
		} {
			scene(t, name+" "+end, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
				p := warm(t, c, 1, lingering(time.Hour))
				var returned atomic.Bool
				refuse(t, p, func(producer.RecordMetadata, error) {
					time.Sleep(time.Second)
					returned.Store(true)
				})
				began := time.Now()
				require.ErrorIs(t, wait(p, within(t, time.Millisecond)), context.DeadlineExceeded)
				require.Equal(t, time.Millisecond, time.Since(began))
				require.NoError(t, wait(p, t.Context()))
				require.True(t, returned.Load())
			})
		}
	}
}

func TestCallbacksOfRefusedRecordsRunInTheOrderOfTheirSends(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		var order, want []int
		for i := 0; i < 100; i += 4 {
			add := func(k int) producer.Callback {
				return func(producer.RecordMetadata, error) { order = append(order, i+k) }
			}
			p.Send(t.Context(), illegal(), add(0))
			p.TrySend(nil, add(1))
			p.SendAllFunc(t.Context(), []producer.Record{*sized(2 << 20), *sized(2 << 20)},
				func(k int, md producer.RecordMetadata, err error) { add(2+k)(md, err) }, nil)
			want = append(want, i, i+1, i+2, i+3)
		}
		require.NoError(t, p.Flush(t.Context()))
		require.Equal(t, want, order)
	})
}

func TestARefusedRecordWithoutACallbackStartsNoGoroutine(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		before := running.Goroutines()
		for range 100 {
			p.TrySend(nil, nil)
			require.ElementsMatch(t, before, running.Goroutines())
		}
	})
}

// The callback of a refused record hangs. Then other refused Sends with a callback wait, regardless of their context,
// and all other calls go on.
func TestHangingCallbacksOfRefusedRecordsBecomeBackpressureAndNotGrowth(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		const memory, senders = 64 << 10, 4
		p := warm(t, c, 1, func(cfg *producer.Config) {
			cfg.BufferMemory, cfg.BatchSize, cfg.MaxRequestSize = memory, 4<<10, 16<<10
		})
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		hang := make(chan struct{})
		var returned, called atomic.Int64
		cb := func(producer.RecordMetadata, error) { <-hang; called.Add(1) }
		before := len(running.Goroutines())
		var wait sync.WaitGroup
		for i := range senders {
			wait.Go(func() {
				for range 1000 {
					if i%2 == 0 {
						p.TrySend(illegal(), cb)
					} else {
						p.Send(ended, to(0, "x"), cb)
					}
					returned.Add(1)
				}
			})
		}
		synctest.Wait()
		require.EqualValues(t, memory/4/256, returned.Load())
		require.Len(t, running.Goroutines(), before+senders+1, "theirs, and one for all callbacks")
		_, used := p.Buffered()
		require.LessOrEqual(t, used, int64(memory/4+256*senders))
		require.True(t, isOver(p.TrySend(illegal(), nil)), "without a callback nothing waits")
		for range 10 {
			_, err := p.Send(t.Context(), sized(1000), nil).Get(t.Context())
			require.NoError(t, err, "other records have their own part of the memory")
		}
		for k := range 10 {
			was := returned.Load()
			hang <- struct{}{}
			synctest.Wait()
			require.Equal(t, was+1, returned.Load(), k)
		}
		close(hang)
		wait.Wait()
		require.NoError(t, p.Flush(t.Context()))
		require.EqualValues(t, senders*1000, called.Load(), "none is lost")
		_, used = p.Buffered()
		require.Zero(t, used)
	})
}

// A Send inside the callback of a refused record would wait for itself, so it does not wait; Sends in other callbacks
// wait.
func TestCallbacksBehindThoseOfRefusedRecords(t *testing.T) {
	const memory = 64 << 10
	const most = memory / 4 / 256
	scene(t, "that of a refused record does not", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) { cfg.BufferMemory = memory })
		called := 0
		p.TrySend(nil, func(producer.RecordMetadata, error) {
			for range 3 * most {
				p.TrySend(nil, func(producer.RecordMetadata, error) { called++ })
			}
		})
		require.NoError(t, p.Flush(t.Context()))
		require.NoError(t, p.Flush(t.Context()), "those from inside")
		require.Equal(t, 3*most, called)
	})
	scene(t, "that of a buffered record does", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) { cfg.BufferMemory = memory })
		hang := make(chan struct{})
		sent := 0
		p.Send(t.Context(), to(0, "x"), func(producer.RecordMetadata, error) {
			for range 3 * most {
				p.TrySend(nil, func(producer.RecordMetadata, error) { <-hang })
				sent++
			}
		})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		require.Equal(t, most, sent)
		close(hang)
		require.NoError(t, p.Flush(t.Context()))
		require.Equal(t, 3*most, sent)
	})
}

func TestARefusedRecordsCallbackThatPanicsOrEndsItsGoroutineCostsNoOther(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		var log logs
		p := warm(t, c, 1, func(cfg *producer.Config) { cfg.Logger = log.logger() })
		var order []string
		for _, end := range []func(){func() { panic("boom") }, runtime.Goexit, func() {}} {
			p.TrySend(nil, func(producer.RecordMetadata, error) {
				order = append(order,
					fmt.Sprint(len(order)))
				end()
			})
			f := p.Send(t.Context(), to(0, "x"), func(producer.RecordMetadata, error) { end() })
			f.Cancel()
		}
		require.NoError(t, p.Flush(t.Context()))
		require.Equal(t, []string{"0", "1", "2"}, order)
		require.NoError(t, p.Close(t.Context()))
		require.Contains(t, log.String(), "callback panicked")
	})
}

// A callback that never returns delays refused Sends, but does not block them for ever.
func TestACallbackOfARefusedRecordThatNeverReturnsHangsNoSend(t *testing.T) {
	const memory = 32 << 10
	const most = memory / 4 / 256
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := start(t, c, func(cfg *producer.Config) {
			cfg.BufferMemory, cfg.BatchSize, cfg.MaxRequestSize = memory,
				1000, 2000
		})
		release := make(chan struct{})
		called := 0
		began := time.Now()
		for range most + 10 {
			p.TrySend(&producer.Record{Topic: "not legal"}, func(producer.RecordMetadata, error) {
				<-release
				called++
			})
		}
		require.Equal(t, 100*time.Second, time.Since(began))
		close(release)
		require.NoError(t, p.Flush(t.Context()))
		require.Equal(t, most+10, called)
	})
}
