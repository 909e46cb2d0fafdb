package accumulator

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

	"github.com/gosamsa/samsa/record"
)

// batches puts n batches of one record each, with callbacks that write to l, and takes them.
func batches(t *testing.T, p *Partition, n int, l *log) (taken []*Batch, all []AppendResult) {
	t.Helper()
	for i := range n {
		all = append(all, put(t, p, "x", l.callback(fmt.Sprint(i))))
		p.expedite(all[i].Result, nil)
		taken = append(taken, take(t, p))
	}
	return taken, all
}

func TestCallbacksAlwaysRunInTheOrderOfSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{})
		p := a.Topic("t").Partition(0)
		var l log
		b, all := batches(t, p, 4, &l)
		p.Settle(b[2], acked(2))
		p.Settle(b[1], failed(errors.New("no")))
		synctest.Wait()
		require.Empty(t, l.all())
		md, err := all[2].Result.Wait(t.Context(), 0)
		require.NoError(t, err, "the future does not wait for the callbacks of others")
		require.EqualValues(t, 2, md.Offset)
		p.Settle(b[0], acked(0))
		synctest.Wait()
		require.Equal(t, []string{"0 t/0@0", "1 no", "2 t/0@2"}, l.all())
		p.Settle(b[3], acked(3))
		synctest.Wait()
		require.Equal(t, "3 t/0@3", l.all()[3])
		requireEmpty(t, a)
	})
}

func TestFuturesAreReleasedBeforeCallbacksRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{})
		p := a.Topic("t").Partition(0)
		var f AppendResult
		var done <-chan struct{}
		var l log
		f = put(t, p, "x", Callback{One: func(record.RecordMetadata, error) {
			select {
			case <-done:
				l.add("done")
			default:
				l.add("not done")
			}
			got, gotErr := f.Result.Wait(context.Background(), f.Index) // must not deadlock
			l.add(outcomeText(got, gotErr))
		}})
		done = f.Result.Done(f.Index)
		p.Settle(take(t, p), acked(1))
		synctest.Wait()
		require.Equal(t, []string{"done", "t/0@1"}, l.all())
		requireEmpty(t, a)
	})
}

func TestSlowCallbackHoldsUpItsPartitionOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{})
		p, other := a.Topic("t").Partition(0), a.Topic("t").Partition(1)
		hold := make(chan struct{})
		var l log
		put(t, p, "x", Callback{One: func(record.RecordMetadata, error) { <-hold; l.add("slow") }})
		p.Settle(take(t, p), acked(0))
		b, _ := batches(t, p, 1, &l)
		p.Settle(b[0], acked(1))
		b, _ = batches(t, other, 1, &l)
		other.Settle(b[0], acked(7))
		synctest.Wait()
		require.Equal(t, []string{"0 t/1@7"}, l.all())
		close(hold)
		synctest.Wait()
		require.Equal(t, []string{"0 t/1@7", "slow", "0 t/0@1"}, l.all())
		requireEmpty(t, a)
	})
}

func TestOutcomesBehindCallbacksCountInTheMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{})
		p := a.Topic("t").Partition(0)
		hold := make(chan struct{})
		for range 10 {
			put(t, p, "x", Callback{One: func(record.RecordMetadata, error) { <-hold }})
		}
		put(t, p, strings.Repeat("without", 100))
		p.Settle(take(t, p), acked(0))
		records, bytes := a.Buffered()
		require.Zero(t, records)
		require.EqualValues(t, resultBytes+10*(callBytes+callbackBytes)+16*listBytes, bytes)
		close(hold)
		synctest.Wait()
		requireEmpty(t, a)
	})
}

// A full buffer of callbacks waiting behind this one would never come free.
func TestSendInsideACallbackDoesNotWaitForTheCallbacksBehindIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{Memory: 4096, BatchSize: 200, Listener: &spy{}})
		p := a.Topic("t").Partition(0)
		var l log
		var first *Batch
		sent := 0
		for i := range 1000 {
			callback := l.callback(fmt.Sprint(i))
			if i == 0 {
				callback = Callback{One: func(record.RecordMetadata, error) {
					came := add(p, value("from inside"), Callback{}, nil)
					for came.Result != nil { // it fills the room left by the first batch
						came = add(p, value("from inside"), Callback{}, nil)
					}
					require.Positive(t, came.Shortfall)
					require.NoError(t, p.Reserve(context.Background(), came.Shortfall))
					grant := came.Shortfall
					l.add(fmt.Sprint("inside ", add(p, value("from inside"), Callback{}, &grant).Result != nil))
					p.Unreserve(grant)
				}}
			}
			if add(p, value("x"), callback, nil).Result == nil {
				break // it is full
			}
			if sent++; sent == 1 {
				first = take(t, p)
			} else {
				p.Settle(take(t, p), acked(int64(i))) // its callback waits for the first batch's
			}
		}
		require.Greater(t, sent, 2)
		p.Settle(first, acked(0))
		synctest.Wait()
		require.Equal(t, "inside true", l.all()[0])
		require.Len(t, l.all(), sent)
		settleAll(p)
		requireEmpty(t, a)
	})
}

func TestPanicInACallbackIsReportedAndTheRestGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &spy{}
		a := newTest(Config{Listener: s})
		p := a.Topic("t").Partition(0)
		var l log
		put(t, p, "x", Callback{One: func(record.RecordMetadata, error) { panic("ouch") }})
		put(t, p, "x", l.callback("next"))
		p.Settle(take(t, p), acked(0))
		synctest.Wait()
		require.Equal(t, []any{"ouch"}, s.panics)
		require.Equal(t, []string{"next t/0@1"}, l.all())
		require.Empty(t, s.problems)
		require.Zero(t, s.inside)
		requireEmpty(t, a)
	})
}

func TestCallbackThatEndsItsGoroutineDoesNotStopTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &spy{}
		a := newTest(Config{Listener: s})
		p := a.Topic("t").Partition(0)
		var l log
		put(t, p, "x", l.callback("a"))
		put(t, p, "x", Callback{One: func(record.RecordMetadata, error) { runtime.Goexit() }})
		put(t, p, "x", l.callback("c"))
		p.Settle(take(t, p), acked(0))
		require.NoError(t, a.Flush(t.Context()))
		require.Equal(t, []string{"a t/0@0", "c t/0@2"}, l.all())
		f := put(t, p, "x", Callback{One: func(record.RecordMetadata, error) { runtime.Goexit() }})
		go cancelOf(f)
		synctest.Wait()
		require.Nil(t, p.Take())
		synctest.Wait()
		require.Zero(t, s.inside)
		requireEmpty(t, a)
	})
}

func TestInterceptorsSeeEveryOutcomeOnceAndBeforeTheCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &spy{acknowledges: true}
		a := newTest(Config{Listener: s})
		p := a.Topic("t").Partition(0)
		var seen []int
		all := []AppendResult{
			put(t, p, "x"),
			put(t, p, "x", Callback{One: func(record.RecordMetadata, error) { seen = append(seen, len(s.acks)) }}),
			put(t, p, "x"),
			put(t, p, "x", Callback{I: 5, All: sliceCallback(
				func(i int, _ record.RecordMetadata, _ error) { seen = append(seen, i) })}),
		}
		require.True(t, cancelOf(all[2]))
		synctest.Wait()
		p.Settle(take(t, p), acked(0))
		synctest.Wait()
		require.Equal(t, []string{"record was canceled", "t/0@0", "t/0@1", "t/0@2"}, s.acks)
		require.Equal(t, []int{3, 5}, seen)
		require.Empty(t, s.problems)
		requireEmpty(t, a)
	})
}

func TestFlushReadiesEverythingAndWaitsForCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{Linger: time.Hour})
		p, q := a.Topic("t").Partition(0), a.Topic("u").Partition(0)
		hold := make(chan struct{})
		put(t, p, "x", Callback{One: func(record.RecordMetadata, error) { <-hold }})
		put(t, q, "x")
		flushed := make(chan error)
		go func() { flushed <- a.Flush(t.Context()) }()
		synctest.Wait()
		require.True(t, p.Ready())
		require.True(t, q.Ready())
		require.Equal(t, 1, readies(p))

		later := take(t, p)
		put(t, p, "later") // came after the flush
		p.Settle(later, acked(0))
		q.Settle(take(t, q), acked(0))
		synctest.Wait()
		select {
		case <-flushed: //nolint:errcheck // it must not come at all
			require.Fail(t, "a callback still runs")
		default:
		}
		require.False(t, p.Ready(), "what comes later lingers")
		close(hold)
		require.NoError(t, <-flushed)
		require.Equal(t, 1, p.Queued())
		p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
		requireEmpty(t, a)
	})
}

func TestFlushWithNothingBufferedReturnsAtOnce(t *testing.T) {
	a := newTest(Config{})
	require.NoError(t, a.Flush(t.Context()))
	p := a.Topic("t").Partition(0)
	put(t, p, "x")
	p.Settle(take(t, p), acked(0))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, a.Flush(ctx))
}

func TestFlushEndsWithItsContextAndLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{})
		p := a.Topic("t").Partition(0)
		put(t, p, "x")
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			require.ErrorIs(t, a.Flush(ctx), context.DeadlineExceeded)
			cancel()
		}
		require.Equal(t, 1, p.delivery.flushes.Len(), "flushes that wait for the same share")
		p.Settle(take(t, p), acked(0))
		require.Zero(t, p.delivery.flushes.Len())
		requireEmpty(t, a)
	})
}

func TestPartitionIsActiveExactlyWhileSomethingIsOutstanding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{Linger: time.Hour})
		p := a.Topic("t").Partition(0)
		active := func() bool { return len(a.activePartitions()) == 1 }
		require.False(t, active())
		hold := make(chan struct{})
		f := put(t, p, "x", Callback{One: func(record.RecordMetadata, error) { <-hold }})
		require.True(t, active(), "open")
		p.expedite(f.Result, nil)
		b := take(t, p)
		require.True(t, active(), "taken")
		p.Settle(b, acked(0))
		synctest.Wait()
		require.True(t, active(), "its callback runs")
		close(hold)
		synctest.Wait()
		require.False(t, active())
		put(t, p, "y")
		require.True(t, active())
		p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
		require.False(t, active())
		requireEmpty(t, a)
	})
}

func TestBufferIsReusedOnlyWhenTheConnectionHasLetGoOfIt(t *testing.T) {
	a := newTest(Config{})
	p := a.Topic("t").Partition(0)
	put(t, p, "record 0")
	b := take(t, p)
	b.Retain() // a write begins
	b.Retain() // and, after the first was given up, a second
	wire := b.Bytes()
	p.Settle(b, failed(record.ErrDeliveryTimeout))
	records, bytes := a.Buffered()
	require.Zero(t, records)
	require.EqualValues(t, small, bytes, "bytes that a connection holds are counted")
	put(t, p, "another record")
	require.Contains(t, string(wire), "record 0", "nobody has written into them")
	require.NotSame(t, &wire[0], &p.oldestLocked().buf[0])
	p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
	b.Release()
	_, bytes = a.Buffered()
	require.EqualValues(t, small, bytes)
	b.Release()
	requireEmpty(t, a)
}

func TestTheMemoryIsFreeBeforeTheOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{})
		p := a.Topic("t").Partition(0)
		f := put(t, p, "x")
		seen := make(chan int64)
		go func() {
			_, _ = f.Result.Wait(t.Context(), f.Index)
			records, bytes := a.Buffered()
			seen <- bytes + int64(records)
		}()
		synctest.Wait()
		go p.Settle(take(t, p), acked(0))
		require.Zero(t, <-seen)
	})
}
