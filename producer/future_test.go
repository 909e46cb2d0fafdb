package producer_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
)

func TestZeroFuture(t *testing.T) {
	var f producer.Future
	_, err := f.Get(t.Context())
	require.ErrorIs(t, err, producer.ErrZeroFuture)
	require.False(t, producer.MaybeWritten(err))
	require.True(t, isOver(f))
	require.False(t, f.Cancel())
}

func TestGetReadiesItsBatch(t *testing.T) {
	bubble(t, topics(1, 2), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 2, lingering(time.Hour))
		other := p.Send(t.Context(), to(1, "elsewhere"), nil)
		neighbour := p.Send(t.Context(), to(0, "neighbour"), nil)
		f := p.Send(t.Context(), to(0, "x"), nil)
		began := time.Now()
		md, err := f.Get(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 2, md.Offset)
		require.Zero(t, time.Since(began))
		require.True(t, isOver(neighbour), "it went along")
		require.False(t, isOver(other))
	})
}

func TestDoneLetsTheBatchLinger(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, lingering(time.Hour))
		f := p.Send(t.Context(), to(0, "x"), nil)
		began := time.Now()
		<-f.Done()
		require.Equal(t, time.Hour, time.Since(began))
		_, err := f.Get(t.Context())
		require.NoError(t, err)
	})
}

func TestContextEndsGetAndNothingElse(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		c.Hang(1)
		var told outcomes
		f := p.Send(t.Context(), to(0, "x"), told.add)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for range 2 {
			_, err := f.Get(ctx)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.True(t, producer.MaybeWritten(err))
			require.False(t, producer.Retriable(err))
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := f.Get(gone)
		require.ErrorIs(t, err, context.Canceled)
		c.Unhang(1)
		md, err := f.Get(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 1, md.Offset)
		_, err = f.Get(gone)
		require.NoError(t, err, "what is known is told even when ctx is over")
		require.NoError(t, p.Flush(t.Context()))
		require.Equal(t, []outcome{{md, nil}}, told.all())
	})
}

func TestGetFromManyGoroutines(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, lingering(time.Hour))
		f := p.Send(t.Context(), to(0, "x"), nil)
		var wait sync.WaitGroup
		for range 10 {
			wait.Go(func() {
				md, err := f.Get(t.Context())
				if err != nil || md.Offset != 1 {
					t.Errorf("%v %v", md, err)
				}
				<-f.Done()
			})
		}
		wait.Wait()
	})
}

// A ready batch is not sealed yet: while the broker has the maximum of requests in flight, the records of goroutines in
// Get share batches.
func TestGoroutinesThatSendSynchronouslyShareBatches(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) { cfg.MaxInFlight = 1 })
		c.Mute(1)
		time.AfterFunc(time.Second, func() { c.Unhang(1) })
		var wait sync.WaitGroup
		for i := range 64 {
			wait.Go(func() {
				if _, err := p.Send(t.Context(), to(0, fmt.Sprint(i)), nil).Get(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		require.Len(t, written(c, 0), 64)
		require.LessOrEqual(t, len(c.Produces()), 1+5)
	})
}

func TestCancelWithdrawsUnsealedRecords(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, lingering(time.Hour))
		var futures []producer.Future
		told := make([]outcomes, 5)
		for i := range 5 {
			futures = append(futures, p.Send(t.Context(), to(0, fmt.Sprint(i)), told[i].add))
		}
		done := futures[3].Done()
		for _, i := range []int{3, 1} {
			require.True(t, futures[i].Cancel())
			require.True(t, isOver(futures[i]), "at once")
			synctest.Wait()
			require.Len(t, told[i].all(), 1, "the callback waits for nothing")
			require.ErrorIs(t, told[i].all()[0].err, producer.ErrCanceled)
			require.False(t, producer.MaybeWritten(told[i].all()[0].err))
			require.False(t, futures[i].Cancel(), "only once")
		}
		<-done
		records, _ := p.Buffered()
		require.Equal(t, 3, records)
		require.NoError(t, p.Flush(t.Context()))
		require.Equal(t, []string{"0", "2", "4"}, written(c, 0))
		for k, i := range []int{0, 2, 4} {
			md, err := futures[i].Get(t.Context())
			require.NoError(t, err)
			require.EqualValues(t, 1+k, md.Offset)
			require.Equal(t, []outcome{{md, nil}}, told[i].all())
			require.False(t, futures[i].Cancel(), "it has its outcome")
		}
		notWritten(t, futures[1], producer.ErrCanceled)
		notWritten(t, futures[3], producer.ErrCanceled)
		for i := range told {
			require.Len(t, told[i].all(), 1)
		}
	})
}

func TestCancelAfterTheSealDoesNothing(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		c.Mute(1)
		f := p.Send(t.Context(), to(0, "x"), nil)
		time.Sleep(time.Second)
		require.False(t, f.Cancel())
		c.Unhang(1)
		_, err := f.Get(t.Context())
		require.NoError(t, err)
	})
}

func TestCancelOfABatchThatIsReadyAndWaitsForItsBroker(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		c.StopBroker(1)
		f, g := p.Send(t.Context(), to(0, "x"), nil), p.Send(t.Context(), to(0, "y"), nil)
		time.Sleep(time.Second)
		require.True(t, f.Cancel())
		c.StartBroker(1)
		_, err := g.Get(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"y"}, written(c, 0))
	})
}

func TestABatchThatWasCanceledWhollyTakesNoSequence(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, lingering(time.Second))
		var told outcomes
		f, g := p.Send(t.Context(), to(0, "x"), told.add), p.Send(t.Context(), to(0, "y"), told.add)
		require.True(t, f.Cancel())
		require.True(t, g.Cancel())
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Len(t, c.Produces(), 1, "nothing was sent")
		_, used := p.Buffered()
		require.Zero(t, used)
		md, err := p.Send(t.Context(), to(0, "z"), nil).Get(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 1, md.Offset)
		require.EqualValues(t, 1, c.Produces()[1].Parts[0].Batch.Header.BaseSequence)
		require.Len(t, told.all(), 2)
		require.NoError(t, p.Close(t.Context()), "these were heard")
	})
}

// The first step decides the outcome, exactly once: the seal of the batch, or Cancel.
func TestCancelRacesTheSeal(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) { cfg.Linger = 0 })
		var wait sync.WaitGroup
		var mu sync.Mutex
		var want []string
		calls := 0
		for i := range 500 {
			f := p.Send(t.Context(), to(0, fmt.Sprint(i)), func(producer.RecordMetadata, error) {
				mu.Lock()
				calls++
				mu.Unlock()
			})
			wait.Go(func() {
				took := f.Cancel()
				_, err := f.Get(t.Context())
				mu.Lock()
				defer mu.Unlock()
				if took != (err != nil) {
					t.Errorf("%v %v", took, err)
				}
				if err == nil {
					want = append(want, fmt.Sprint(i))
				}
			})
		}
		wait.Wait()
		require.NoError(t, p.Flush(t.Context()))
		synctest.Wait()
		require.ElementsMatch(t, want, written(c, 0))
		require.Equal(t, 500, calls)
	})
}

func TestNewFutureHasItsOutcome(t *testing.T) {
	md := producer.RecordMetadata{Topic: "t", Partition: 2, Offset: 7, Timestamp: time.UnixMilli(1234)}
	f := producer.NewFuture(md, nil)
	<-f.Done()
	got, err := f.GetOrCancel(t.Context())
	require.NoError(t, err)
	require.Equal(t, md, got)
	require.False(t, f.Cancel())

	foreign := errors.New("foreign")
	for _, want := range []error{
		producer.ErrBufferFull, producer.ErrRecordTooLarge, producer.ErrDisconnected, context.Canceled, foreign,
		&producer.BrokerError{Code: producer.CodeTopicAuthorizationFailed},
		&producer.Error{Topic: "u", Partition: 1, Err: producer.ErrDeliveryTimeout, Fate: producer.FateNotWritten},
	} {
		f := producer.NewFuture(md, want)
		got, err := f.Get(t.Context())
		require.ErrorIs(t, err, want)
		require.Equal(t, producer.FateOf(want), producer.FateOf(err), want)
		require.Equal(t, producer.Reason(want), producer.Reason(err))
		require.Equal(t, producer.RecordMetadata{Topic: "t", Partition: 2, Offset: -1, Timestamp: md.Timestamp}, got)
		var failed *producer.Error
		require.ErrorAs(t, err, &failed)
		require.False(t, f.Cancel())
	}
	_, err = producer.NewFuture(producer.RecordMetadata{}, producer.ErrClosed).Get(t.Context())
	require.EqualError(t, err, "samsa: producer is closed (not written)")
}
