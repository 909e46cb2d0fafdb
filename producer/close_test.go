package producer_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/loggate"
	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
)

func TestCloseDeliversBufferedRecords(t *testing.T) {
	bubble(t, topics(2, 4), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 4, lingering(time.Hour))
		var told outcomes
		var futures []producer.Future
		for i := range int32(100) {
			futures = append(futures, p.Send(t.Context(), to(i%4, "x"), told.add))
		}
		began := time.Now()
		require.NoError(t, p.Close(t.Context()))
		require.Zero(t, time.Since(began))
		require.Len(t, told.all(), 100)
		for _, f := range futures {
			_, err := f.Get(t.Context())
			require.NoError(t, err)
		}
		synctest.Wait()
		require.Zero(t, c.Connections(1)+c.Connections(2))
		require.NoError(t, p.Close(t.Context()), "twice")
	})
}

func TestCloseOfAProducerThatNeverSent(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		require.NoError(t, start(t, c, nil).Close(t.Context()))
		c.Isolate(1)
		p := start(t, c, nil)
		go p.Send(context.Background(), to(0, "x"), func(producer.RecordMetadata, error) {})
		synctest.Wait()
		began := time.Now()
		require.NoError(t, p.Close(t.Context()), "the one that waits for metadata was told")
		require.Zero(t, time.Since(began))
	})
}

func TestSendsAfterCloseFail(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		require.NoError(t, p.Close(t.Context()))
		var told outcomes
		for _, topic := range []string{"t", "unknown"} {
			r := producer.Record{Topic: topic}
			notWritten(t, p.Send(t.Context(), &r, told.add), producer.ErrClosed)
			notWritten(t, p.TrySend(&r, told.add), producer.ErrClosed)
			for _, f := range p.SendAll(t.Context(), []producer.Record{r, r}) {
				notWritten(t, f, producer.ErrClosed)
			}
			f := p.Send(t.Context(), &r, nil)
			_, err := f.Get(t.Context())
			require.Equal(t, producer.FateNotWritten, producer.FateOf(err))
		}
		require.NoError(t, p.Flush(t.Context()))
		require.Len(t, told.all(), 4)
		_, err := p.PartitionsFor(t.Context(), "unknown")
		require.ErrorIs(t, err, producer.ErrClosed)
	})
}

func TestCloseWakesSendsThatWait(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := crammed(t, c)
		var wait sync.WaitGroup
		for _, r := range []*producer.Record{sized(8000), {Topic: "unknown"}} {
			wait.Go(func() {
				_, err := p.Send(context.Background(), r, nil).Get(context.Background())
				if !errors.Is(err, producer.ErrClosed) || producer.MaybeWritten(err) {
					t.Errorf("%v", err)
				}
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		go func() { _ = p.Close(ctx) }()
		wait.Wait()
		require.Zero(t, time.Since(began))
	})
}

func TestCloseWithAnEndedContextFailsTheRestAndCounts(t *testing.T) {
	bubble(t, topics(2, 2), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 2, func(cfg *producer.Config) { cfg.Linger = 0 })
		c.Mute(1) // leads partition 0, whose requests were sent
		var told outcomes
		sent := []producer.Future{p.Send(t.Context(), to(0, "a"), told.add), p.Send(t.Context(), to(0, "b"), told.add)}
		time.Sleep(time.Millisecond)
		c.StopBroker(2) // led partition 1, whose record waits
		c.MoveLeader("t", 1, -1)
		time.Sleep(time.Second)
		waiting := []producer.Future{p.Send(t.Context(), to(1, "c"), told.add),
			p.Send(t.Context(), to(1, "d"), told.add), p.Send(t.Context(), to(1, "e"), nil)}

		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		err := p.Close(ctx)
		require.Equal(t, 3*time.Second, time.Since(began))
		var closed *producer.CloseError
		require.True(t, errors.As(err, &closed), "%v", err)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 5, closed.Undelivered)
		require.Equal(t, 2, closed.MaybeWritten)
		require.Zero(t, closed.Unobserved, "Undelivered has them")
		require.NoError(t, closed.FirstUnobserved)
		mentions(t, err, ": 5 records left undelivered (2 of them maybe written)")
		require.NotContains(t, err.Error(), "observed")
		require.Equal(t, 1, strings.Count(err.Error(), "context deadline exceeded"), err.Error())
		require.Equal(t, 1, strings.Count(err.Error(), "samsa: "), err.Error())
		require.LessOrEqual(t, closed.PendingCallbacks, 4, "those of the records that have just failed")
		for _, f := range sent {
			_, err := f.Get(t.Context())
			require.ErrorIs(t, err, producer.ErrClosed)
			require.True(t, producer.MaybeWritten(err))
		}
		for _, f := range waiting {
			notWritten(t, f, producer.ErrClosed)
		}
		synctest.Wait()
		require.Len(t, told.all(), 4, "every callback has run")
		err = p.Close(t.Context())
		require.True(t, errors.As(err, &closed), "the end that came first counts")
		require.Equal(t, 5, closed.Undelivered)
		require.Zero(t, closed.PendingCallbacks)
		c.Unhang(1)
	})
}

func TestCloseWithAContextThatIsOver(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, lingering(time.Hour))
		c.StopBroker(1)
		f := p.Send(t.Context(), to(0, "x"), nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		err := p.Close(ctx)
		require.ErrorIs(t, err, context.Canceled)
		var closed *producer.CloseError
		require.True(t, errors.As(err, &closed))
		require.Equal(t, 1, closed.Undelivered)
		require.Zero(t, closed.MaybeWritten)
		require.Zero(t, time.Since(began))
		mentions(t, err, "its context ended before Close began, give it one of its own: context canceled: ",
			": 1 record left undelivered (not written)")
		require.Equal(t, 1, strings.Count(err.Error(), "context canceled"), err.Error())
		notWritten(t, f, producer.ErrClosed)
	})
}

func TestCloseSpeaksOfNoContextThatHasNotEnded(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		c.On(protocol.Produce).Do(testbroker.Fail(protocol.PolicyViolation))
		for range 3 {
			p.Send(t.Context(), to(0, "x"), nil)
		}
		err := p.Close(t.Context())
		require.True(t, strings.HasPrefix(err.Error(),
			"samsa: close: 3 records failed and nobody observed them; the first: "+
				"topic \"t\" partition 0: POLICY_VIOLATION"), err.Error())
		require.NotContains(t, err.Error(), "context")
		var closed *producer.CloseError
		require.True(t, errors.As(err, &closed))
		require.NoError(t, closed.Err)
		brokerCode(t, closed.FirstUnobserved, "POLICY_VIOLATION")
		var failed *producer.Error
		require.False(t, errors.As(err, &failed), "it is no reason of Close's")
	})
}

func TestACloseWithAnEndedContextThatLosesNothingIsFine(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, p.Close(ctx))
	})
}

func TestCloseReturnsWhenItsContextEndsThoughACallbackHangs(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		hang := make(chan struct{})
		p.Send(t.Context(), to(0, "x"), func(producer.RecordMetadata, error) { <-hang })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		err := p.Close(ctx)
		require.Equal(t, time.Second, time.Since(began))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		var closed *producer.CloseError
		require.True(t, errors.As(err, &closed))
		require.Zero(t, closed.Undelivered, "it was delivered")
		require.Equal(t, 1, closed.PendingCallbacks)
		close(hang)
	})
}

func TestCloseReportsPendingCallbacksAndCloseAgainWaitsForThem(t *testing.T) {
	bubble(t, topics(1, 2), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 2, lingering(time.Hour))
		hang := make(chan struct{})
		var returned atomic.Int32
		cb := func(producer.RecordMetadata, error) { <-hang; returned.Add(1) }
		for range 3 {
			p.Send(t.Context(), to(0, "x"), cb)
		}
		require.True(t, p.Send(t.Context(), to(1, "canceled"), cb).Cancel())
		p.TrySend(&producer.Record{Topic: "not legal"}, cb)
		p.TrySend(&producer.Record{Topic: "not legal"}, cb)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := p.Close(ctx)
		var closed *producer.CloseError
		require.True(t, errors.As(err, &closed), "%v", err)
		require.Equal(t, 6, closed.PendingCallbacks)
		require.Zero(t, closed.Undelivered)
		require.Equal(t, 1, strings.Count(err.Error(), "context deadline exceeded"), err.Error())
		require.True(t, strings.HasSuffix(err.Error(), ": 6 callbacks have not returned"), err.Error())

		hang <- struct{}{}
		synctest.Wait()
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.True(t, errors.As(p.Close(ctx), &closed))
		require.Equal(t, 5, closed.PendingCallbacks, "one has returned")

		time.AfterFunc(time.Second, func() { close(hang) })
		began := time.Now()
		require.NoError(t, p.Close(t.Context()), "nothing was lost")
		require.Equal(t, time.Second, time.Since(began))
		require.EqualValues(t, 6, returned.Load())
	})
}

// The first record may still find room, because Close frees the buffer when it begins.
func TestCloseWaitsForTheCallbacksOfSendsThatItFails(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := crammed(t, c)
		var returned atomic.Int32
		for _, r := range []*producer.Record{sized(8000), {Topic: "unknown"}} {
			go p.Send(context.Background(), r, func(producer.RecordMetadata, error) {
				time.Sleep(time.Second)
				returned.Add(1)
			})
		}
		synctest.Wait()
		c.Unhang(1)
		_ = p.Close(t.Context())
		require.EqualValues(t, 2, returned.Load())
	})
}

func TestCloseFromManyGoroutines(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, lingering(time.Hour))
		f := p.Send(t.Context(), to(0, "x"), nil)
		var wait sync.WaitGroup
		for range 10 {
			wait.Go(func() {
				if err := p.Close(t.Context()); err != nil || !isOver(f) {
					t.Errorf("%v", err)
				}
			})
		}
		wait.Wait()
	})
}

// Every record of a Send concurrent with Close has exactly one outcome, and every record reported as delivered is in
// the log.
func TestCloseRacesSends(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		var wait sync.WaitGroup
		var mu sync.Mutex
		calls, delivered := 0, 0
		for range 4 {
			wait.Go(func() {
				for range 200 {
					p.Send(context.Background(), to(0, "x"), func(_ producer.RecordMetadata, err error) {
						mu.Lock()
						defer mu.Unlock()
						calls++
						switch {
						case err == nil:
							delivered++
						case !errors.Is(err, producer.ErrClosed) || producer.MaybeWritten(err):
							t.Errorf("%v", err)
						}
					})
				}
			})
		}
		wait.Go(func() { _ = p.Close(context.Background()) })
		wait.Wait()
		require.NoError(t, p.Close(t.Context()))
		synctest.Wait()
		require.Equal(t, 800, calls)
		require.Len(t, written(c, 0), delivered)
	})
}

func TestFailuresThatNobodyHearsAreLoggedNowAndThenAndNamedByClose(t *testing.T) {
	bubble(t, testbroker.Config{Topics: map[string]int32{"t": 1, "other": 1}},
		func(t *testing.T, c *testbroker.Cluster) {
			var log logs
			p := warm(t, c, 1, func(cfg *producer.Config) { cfg.Logger = log.logger() })
			c.On(protocol.Produce).Do(testbroker.Fail(protocol.PolicyViolation))
			unobserved := func() int { return strings.Count(log.String(), "nobody observed them") }
			for range 10 { // the failures share a line
				p.Send(t.Context(), to(0, "secret value"), nil)
				require.NoError(t, p.Flush(t.Context()))
				time.Sleep(50 * time.Millisecond)
			}
			p.Send(t.Context(), &producer.Record{Topic: "other", Key: []byte("secret key")}, nil)
			require.NoError(t, p.Flush(t.Context()))
			require.Zero(t, unobserved(), "somebody may still ask")
			time.Sleep(time.Second)
			synctest.Wait()
			require.Equal(t, 2, unobserved(), "one for each topic")
			require.Contains(t, log.String(), "topic=t records=10")
			time.Sleep(loggate.Window)
			p.Send(t.Context(), to(0, "secret value"), nil)
			require.NoError(t, p.Flush(t.Context()))
			time.Sleep(time.Second)
			synctest.Wait()
			require.Equal(t, 3, unobserved(), "a window later")
			p.TrySend(&producer.Record{Topic: "not legal", Value: []byte("secret value")}, nil)
			time.Sleep(time.Second)
			synctest.Wait()
			require.Equal(t, 4, unobserved(), "before the append")

			p.Send(t.Context(), to(0, "heard"), func(producer.RecordMetadata, error) {})
			f := p.Send(t.Context(), to(0, "heard"), nil)
			g := p.Send(t.Context(), to(0, "heard"), nil)
			<-f.Done()
			require.NoError(t, p.Flush(t.Context()))
			_, err := g.Get(t.Context())
			require.Error(t, err)

			err = p.Close(t.Context())
			var closed *producer.CloseError
			require.True(t, errors.As(err, &closed), "%v", err)
			require.EqualValues(t, 13, closed.Unobserved)
			require.Zero(t, closed.Undelivered)
			mentions(t, err, "close: 13 records failed and nobody observed them; the first: topic \"t\" partition 0: POLICY_VIOLATION")
			require.Equal(t, 4, unobserved(), "the others were asked for")
			require.NotContains(t, log.String(), "secret")
		})
}
