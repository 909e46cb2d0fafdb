package producer_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
)

func TestCallbacksOfAPartitionRunInTheOrderOfSending(t *testing.T) {
	bubble(t, topics(2, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) { cfg.BatchSize, cfg.Linger = 200, 0 })
		c.On(protocol.Produce).Skip(2).Times(3).Do(testbroker.DropAnswer())
		c.On(protocol.Produce).Skip(8).Times(1).Do(testbroker.Fail(protocol.PolicyViolation))
		var order []int
		for i := range 200 {
			p.Send(t.Context(), to(0, fmt.Sprint(i)), func(producer.RecordMetadata, error) { order = append(order, i) })
			if i%20 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		require.NoError(t, p.Flush(t.Context()))
		require.Len(t, order, 200)
		for i, k := range order {
			require.Equal(t, i, k)
		}
	})
}

func TestASlowCallbackHoldsUpOnlyItsPartition(t *testing.T) {
	bubble(t, topics(1, 2), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 2, nil)
		release := make(chan struct{})
		slow := p.Send(t.Context(), to(0, "x"), func(producer.RecordMetadata, error) { <-release })
		_, err := slow.Get(t.Context())
		require.NoError(t, err, "Get does not wait for callbacks")
		called := make(chan struct{})
		p.Send(t.Context(), to(1, "y"), func(producer.RecordMetadata, error) { close(called) })
		began := time.Now()
		<-called
		require.LessOrEqual(t, time.Since(began), 5*time.Millisecond)
		behind := false
		f := p.Send(t.Context(), to(0, "z"), func(producer.RecordMetadata, error) { behind = true })
		_, err = f.Get(t.Context())
		require.NoError(t, err, "delivery goes on")
		synctest.Wait()
		require.False(t, behind)
		close(release)
		require.NoError(t, p.Flush(t.Context()))
		require.True(t, behind)
	})
}

func TestSendAndGetInsideACallback(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		got := make(chan error, 1)
		p.Send(t.Context(), to(0, "x"), func(producer.RecordMetadata, error) {
			_, err := p.Send(context.Background(), to(0, "y"), nil).Get(context.Background())
			got <- err
		})
		require.NoError(t, <-got)
		require.Equal(t, []string{"x", "y"}, written(c, 0))
	})
}

func TestSendInsideACallbackWithAFullBufferEndsByMaxBlock(t *testing.T) {
	bubble(t, topics(1, 2), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 2, func(cfg *producer.Config) { small(cfg); cfg.MaxBlock = 3 * time.Second })
		type end struct {
			err  error
			took time.Duration
		}
		got, full := make(chan end, 1), make(chan struct{})
		p.Send(t.Context(), to(0, "x"), func(producer.RecordMetadata, error) {
			<-full
			began := time.Now()
			_, err := p.Send(context.Background(), sized(30_000), nil).Get(context.Background())
			got <- end{err, time.Since(began)}
		})
		require.NoError(t, func() error { time.Sleep(time.Second); return nil }())
		c.Hang(1)
		for !isOver(p.TrySend(to(1, strings.Repeat("y", 5000)), func(producer.RecordMetadata, error) {})) {
		}
		close(full)
		e := <-got
		require.ErrorIs(t, e.err, producer.ErrBufferFull)
		require.Equal(t, 3*time.Second, e.took)
	})
}

// Outcomes that wait for a slow callback count in buffer.memory, so a slow callback slows Send down instead of filling
// the memory.
func TestSlowCallbacksBecomeBackpressure(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) { small(cfg); cfg.Linger = 0 })
		release := make(chan struct{})
		var failed error
		for range 10_000 {
			f := p.TrySend(to(0, "x"), func(_ producer.RecordMetadata, err error) {
				if err == nil {
					<-release
				}
			})
			synctest.Wait()
			if isOver(f) {
				if _, err := f.Get(t.Context()); err != nil {
					failed = err
					break
				}
			}
		}
		require.ErrorIs(t, failed, producer.ErrBufferFull)
		close(release)
		require.NoError(t, p.Flush(t.Context()))
		synctest.Wait()
		_, used := p.Buffered()
		require.Zero(t, used)
	})
}

func TestACallbackThatPanicsIsLoggedAndTheRestGoesOn(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		var log logs
		p := warm(t, c, 1, func(cfg *producer.Config) { cfg.Logger = log.logger() })
		boom := func(producer.RecordMetadata, error) { panic("boom") }
		var told outcomes
		f := p.Send(t.Context(), to(0, "x"), boom)
		p.Send(t.Context(), to(0, "y"), told.add)
		p.TrySend(nil, boom)
		require.True(t, p.Send(t.Context(), to(0, "z"), boom).Cancel())
		p.SendAllFunc(t.Context(), []producer.Record{*to(0, "w")},
			func(int, producer.RecordMetadata, error) { panic("boom") }, nil)
		require.NoError(t, p.Flush(t.Context()))
		_, err := f.Get(t.Context())
		require.NoError(t, err)
		require.Len(t, told.all(), 1)
		require.NoError(t, p.Close(t.Context()))
		require.Equal(t, 2, strings.Count(log.String(), "callback panicked"), "repeated lines are counted")
		require.Contains(t, log.String(), "suppressed=2")
		require.Contains(t, log.String(), "callbacks_test.go", "the stack")
	})
}

// A callback may end its goroutine, as FailNow does in a test: the other callbacks still run.
func TestACallbackThatEndsItsGoroutine(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		var told outcomes
		p.Send(t.Context(), to(0, "x"), func(producer.RecordMetadata, error) { runtime.Goexit() })
		p.Send(t.Context(), to(0, "y"), told.add)
		require.NoError(t, p.Flush(t.Context()))
		require.Len(t, told.all(), 1)
	})
}

func TestCallbacksRunOutsideTheCallersGoroutine(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		returned, called := make(chan struct{}), make(chan error, 1)
		p.Send(t.Context(), to(0, "x"), func(_ producer.RecordMetadata, err error) {
			<-returned // would never return on the caller's goroutine
			called <- err
		})
		close(returned)
		require.NoError(t, <-called)
	})
}

func TestCallbackAndFutureAgree(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		c.On(protocol.Produce).Nth(2).Do(testbroker.Fail(protocol.PolicyViolation))
		for _, fails := range []bool{false, true} {
			var told outcomes
			f := p.Send(t.Context(), to(0, "x"), told.add)
			md, err := f.Get(t.Context())
			require.NoError(t, p.Flush(t.Context()))
			require.Equal(t, []outcome{{md, err}}, told.all())
			require.Equal(t, fails, err != nil)
			var e *producer.Error
			require.Equal(t, fails, errors.As(err, &e))
		}
	})
}
