package accumulator

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/running"
	"github.com/gosamsa/samsa/record"
)

func tooLarge() *record.Error {
	return &record.Error{Topic: "t", Partition: 3, Err: record.ErrRecordTooLarge}
}

func TestARefusedRecordHasItsOutcomeAtOnceAndItsCallbackOnAnotherGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &spy{acknowledges: true}
		a := newTest(Config{Listener: s})
		var l log
		why, returned := tooLarge(), make(chan struct{})
		r := a.Fail(why, Callback{One: func(md record.RecordMetadata, err error) {
			<-returned // it would never be closed on the caller's goroutine
			l.add(outcomeText(md, err))
			l.add(fmt.Sprint(md.Topic, md.Partition, " ", md.Offset))
		}})
		require.False(t, r.Cancel(0))
		<-r.Done(0)
		md, err := r.Wait(t.Context(), 0)
		require.Same(t, why, err)
		require.Equal(t, record.RecordMetadata{Topic: "t", Partition: 3, Offset: -1}, md)
		close(returned)
		synctest.Wait()
		require.Equal(t, []string{"record is too large", "t3 -1"}, l.all())
		require.Equal(t, []string{"record is too large"}, s.acks)
		require.Zero(t, a.Unobserved())
		require.Empty(t, s.problems)
		require.Zero(t, s.inside)
		requireEmpty(t, a)
	})
}

func TestCallbacksOfRefusedRecordsRunInTheOrderOfTheSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{})
		var l log
		var want []string
		for i := range 1000 {
			a.Fail(tooLarge(), Callback{One: func(record.RecordMetadata, error) {
				if i%100 == 0 {
					time.Sleep(time.Millisecond)
				}
				l.add(fmt.Sprint(i))
			}})
			want = append(want, fmt.Sprint(i))
		}
		synctest.Wait()
		require.NoError(t, a.Flush(t.Context()))
		require.Equal(t, want, l.all())
		requireEmpty(t, a)
	})
}

func TestARefusedRecordWithoutListenersStartsNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{})
		before := running.Goroutines()
		for range 100 {
			a.Fail(tooLarge(), Callback{})
			require.ElementsMatch(t, before, running.Goroutines())
		}
		require.Zero(t, a.PendingCallbacks())
		a.ReportUnobserved()
		requireEmpty(t, a)
	})
}

// A Send behind too many waiting callbacks waits: nothing grows, and no callback is lost.
func TestCallbacksOfRefusedRecordsThatHangBecomeBackpressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 50
		a := newTest(Config{Memory: most * refusedShare * refusedBytes})
		p := a.Topic("t").Partition(0)
		hold := make(chan struct{})
		returned, called := 0, 0
		sends := make(chan struct{})
		go func() {
			defer close(sends)
			for range 10 * most {
				a.Fail(tooLarge(), Callback{One: func(record.RecordMetadata, error) { <-hold; called++ }})
				returned++
			}
		}()
		synctest.Wait()
		time.Sleep(refusedWait / 2)
		require.Equal(t, most, returned)
		require.Equal(t, most+1, a.PendingCallbacks(), "those, and that of the Send that waits")
		_, bytes := a.Buffered()
		require.EqualValues(t, (most+1)*refusedBytes, bytes)
		checkMemory(t, a.memory)
		put(t, p, "other records have room")
		for k := range 5 {
			hold <- struct{}{}
			synctest.Wait()
			require.Equal(t, most+1+k, returned, "one more for each that returns")
		}
		close(hold)
		<-sends
		p.Settle(take(t, p), acked(0))
		require.NoError(t, a.Flush(t.Context()))
		require.Equal(t, 10*most, called)
		requireEmpty(t, a)
	})
}

func TestASendInsideTheCallbackOfARefusedRecordDoesNotWaitForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 10
		a := newTest(Config{Memory: most * refusedShare * refusedBytes, Listener: &spy{}})
		called := 0
		count := Callback{One: func(record.RecordMetadata, error) { called++ }}
		a.Fail(tooLarge(), Callback{One: func(record.RecordMetadata, error) {
			for range 5 * most {
				a.Fail(tooLarge(), count)
			}
		}})
		require.NoError(t, a.Flush(t.Context()))
		synctest.Wait()
		require.Equal(t, 5*most, called)
		requireEmpty(t, a)
	})
}

func TestARefusedRecordsCallbackThatPanicsOrEndsItsGoroutineCostsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &spy{}
		a := newTest(Config{Listener: s})
		var l log
		a.Fail(tooLarge(), Callback{One: func(record.RecordMetadata, error) { panic("ouch") }})
		a.Fail(tooLarge(), Callback{One: func(record.RecordMetadata, error) { runtime.Goexit() }})
		a.Fail(tooLarge(), Callback{All: sliceCallback(func(
			i int, _ record.RecordMetadata, _ error) {
			l.add(fmt.Sprint(i))
		}), I: 7})
		require.NoError(t, a.Flush(t.Context()))
		synctest.Wait()
		require.Equal(t, []any{"ouch"}, s.panics)
		require.Equal(t, []string{"7"}, l.all())
		require.Zero(t, s.inside)
		requireEmpty(t, a)
	})
}

func TestFlushWaitsForCallbacksOfRecordsThatWereRefusedBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{})
		hold, later := make(chan struct{}), make(chan struct{})
		a.Fail(tooLarge(), Callback{One: func(record.RecordMetadata, error) { <-hold }})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, flush := range []func(context.Context) error{a.Flush} {
			err := flush(ctx)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, "callbacks of records that failed before they were buffered have not returned")
		}
		flushed := make(chan error, 2)
		for range 2 {
			go func() { flushed <- a.Flush(t.Context()) }()
		}
		synctest.Wait()
		a.Fail(tooLarge(), Callback{One: func(record.RecordMetadata, error) { <-later }})
		require.Empty(t, flushed)
		close(hold)
		require.NoError(t, <-flushed)
		require.NoError(t, <-flushed)
		require.Equal(t, 1, a.PendingCallbacks())
		close(later)
		require.NoError(t, a.Flush(t.Context()))
		require.NoError(t, a.Flush(t.Context()), "nothing is left")
		requireEmpty(t, a)
	})
}

func TestPendingCallbacksCountsUnreturnedCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{Linger: time.Hour})
		p := a.Topic("t").Partition(0)
		hold := make(chan struct{})
		wait := Callback{One: func(record.RecordMetadata, error) { hold <- struct{}{} }}
		put(t, p, "without a callback")
		for range 3 {
			put(t, p, "x", wait)
		}
		require.True(t, cancelOf(put(t, p, "x", wait)))
		require.True(t, cancelOf(put(t, p, "x", wait)))
		require.True(t, cancelOf(put(t, p, "without a callback")))
		a.Fail(tooLarge(), wait)
		put(t, p, "x", wait)
		synctest.Wait()
		require.Equal(t, 3, a.PendingCallbacks(), "the others have no outcome yet")
		a.Close(&record.Error{Err: record.ErrClosed})
		p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
		for left := 7; left > 0; left-- {
			synctest.Wait()
			require.Equal(t, left, a.PendingCallbacks())
			<-hold
		}
		synctest.Wait()
		require.Zero(t, a.PendingCallbacks())
		requireEmpty(t, a)
	})
}

// Results behind the callbacks of canceled records count like results behind other callbacks.
func TestCallbacksOfCanceledRecordsThatHangBecomeBackpressure(t *testing.T) {
	for _, batchSize := range []int{1, 2000} {
		synctestRun(t, fmt.Sprint("batch.size=", batchSize), func(t *testing.T) {
			const limit, many = 1 << 20, 200_000
			a := newTest(Config{BatchSize: batchSize, Memory: limit, Linger: time.Hour})
			p := a.Topic("t").Partition(0)
			hold := make(chan struct{})
			before := heap()
			sent, called := 0, 0
			for ; sent < many; sent++ {
				f := add(p, value("x"), Callback{One: func(record.RecordMetadata, error) { <-hold; called++ }}, nil)
				if f.Result == nil {
					break
				}
				require.True(t, cancelOf(f))
			}
			synctest.Wait()
			_, bytes := a.Buffered()
			grown := heap() - before
			t.Logf("%d records, %d bytes in the account, %d on the heap", sent, bytes, grown)
			require.Less(t, sent, many)
			require.Less(t, bytes, int64(limit*5/4))
			require.Less(t, float64(grown), 1.5*limit)
			close(hold)
			require.NoError(t, a.Flush(t.Context()))
			require.Equal(t, sent, called)
			synctest.Wait()
			requireEmpty(t, a)
		})
	}
}

// The last cancel of a batch may be of a record without a callback.
func TestTheResultOfAnEmptiedBatchCountsUntilItsCallbacksHaveReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{Linger: time.Hour})
		p := a.Topic("t").Partition(0)
		hold := make(chan struct{})
		all := []AppendResult{put(t, p, "x", Callback{One: func(record.RecordMetadata, error) { <-hold }}),
			put(t, p, "y")}
		require.True(t, cancelOf(all[0]))
		require.True(t, cancelOf(all[1]))
		synctest.Wait()
		records, bytes := a.Buffered()
		require.Zero(t, records)
		require.GreaterOrEqual(t, bytes, int64(resultBytes))
		checkMemory(t, a.memory)
		close(hold)
		synctest.Wait()
		requireEmpty(t, a)
	})
}
