package accumulator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/record"
)

func cancelOf(f AppendResult) bool { return f.Result.Cancel(f.Index) }

// synctestRun runs f as a subtest in a synctest bubble.
func synctestRun(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

func TestCancelTakesARecordBackAtOnce(t *testing.T) {
	for _, complete := range []bool{false, true} {
		synctestRun(t, fmt.Sprint("complete=", complete), func(t *testing.T) {
			s := &spy{acknowledges: true}
			a := newTest(Config{Listener: s, Linger: time.Hour})
			p := a.Topic("t").Partition(0)
			var l log
			f := put(t, p, "mine", l.callback("mine"))
			done := f.Result.Done(f.Index)
			neighbour := put(t, p, "neighbour")
			if complete {
				add(p, &record.Record{Value: make([]byte, 20000)}, Callback{}, nil)
				require.True(t, p.HasFullBatch())
			}
			before, _ := a.Buffered()

			require.True(t, cancelOf(f))
			<-done
			synctest.Wait()
			require.Equal(t, []string{"mine record was canceled"}, l.all(), "its callback waits for nothing")
			require.Equal(t, []string{"record was canceled"}, s.acks)
			md, err := f.Result.Wait(t.Context(), f.Index)
			var told *record.Error
			require.ErrorAs(t, err, &told)
			require.ErrorIs(t, err, record.ErrCanceled)
			require.False(t, record.FateOf(told) == record.FateMaybeWritten)
			require.EqualValues(t, -1, md.Offset)
			after, _ := a.Buffered()
			require.Equal(t, before-1, after)
			require.False(t, cancelOf(f), "once")

			a.expediteAll()
			b := take(t, p)
			require.Equal(t, []string{"neighbour"}, valuesOf(t, b))
			require.False(t, cancelOf(neighbour), "it is sealed")
			p.Settle(b, acked(5))
			md, err = neighbour.Result.Wait(t.Context(), neighbour.Index)
			require.NoError(t, err)
			require.EqualValues(t, 5, md.Offset)
			p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
			require.NoError(t, a.Flush(t.Context()))
			requireEmpty(t, a)
			require.Len(t, l.all(), 1)
			require.Empty(t, s.problems)
			require.Equal(t, "t/0@5", s.acks[1])
			a.ReportUnobserved()
			synctest.Wait()
			require.Zero(t, a.Unobserved()-int64(len(s.reports())))
		})
	}
}

func TestSealLeavesCanceledRecordsOutAndNumbersTheRestAnew(t *testing.T) {
	for name, gone := range map[string][]int{
		"first": {0}, "last": {199}, "middle": {50}, "several, in no order": {198, 3, 0, 120, 121, 199, 4},
		"all but one": nil,
	} {
		t.Run(name, func(t *testing.T) {
			a := newTest(Config{})
			p := a.Topic("t").Partition(0)
			all := putMany(t, p, 0, 200)
			if gone == nil {
				for i := range 199 {
					gone = append(gone, i)
				}
			}
			canceled := map[int]bool{}
			for _, i := range gone {
				require.True(t, cancelOf(all[i]))
				canceled[i] = true
			}
			b := take(t, p)
			require.EqualValues(t, 200-len(gone), b.Count)
			var want []string
			for i, v := range numbered(0, 200) {
				if !canceled[i] {
					want = append(want, v)
				}
			}
			require.Equal(t, want, valuesOf(t, b))
			p.Settle(b, acked(1000))
			offset := int64(1000)
			for i, f := range all {
				md, err := f.Result.Wait(t.Context(), f.Index)
				if canceled[i] {
					require.ErrorIs(t, err, record.ErrCanceled)
					require.EqualValues(t, -1, md.Offset)
					continue
				}
				require.NoError(t, err)
				require.Equal(t, offset, md.Offset)
				offset++
			}
			requireEmpty(t, a)
		})
	}
}

// The header's greatest timestamp is the greatest of the remaining records, also when all of them are older than the
// first was.
func TestCanceledRecordsDoNotCountInTheBatchsTimestamps(t *testing.T) {
	a := newTest(Config{})
	p := a.Topic("t").Partition(0)
	base := time.UnixMilli(1_700_000_000_000)
	var all []AppendResult
	for _, after := range []time.Duration{0, -5 * time.Second, -2 * time.Second, 7 * time.Second} {
		all = append(all, add(p, &record.Record{Timestamp: base.Add(after)}, Callback{}, nil))
	}
	require.True(t, cancelOf(all[0]))
	require.True(t, cancelOf(all[3]))
	b := take(t, p)
	require.Equal(t, base.Add(-2*time.Second).UnixMilli(), parse(t, b).Header.MaxTimestamp)
	p.Settle(b, acked(0))
	md, err := all[1].Result.Wait(t.Context(), all[1].Index)
	require.NoError(t, err)
	require.Equal(t, base.Add(-5*time.Second).UnixMilli(), md.Timestamp.UnixMilli())
	requireEmpty(t, a)
}

func TestBatchOfNothingButCanceledRecordsIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{BatchSize: 200, Linger: time.Hour})
		p := a.Topic("t").Partition(0)
		for _, f := range []AppendResult{put(t, p, "a"), put(t, p, "b")} {
			require.True(t, cancelOf(f))
		}
		add(p, sizedRecord(t, 300), Callback{}, nil)
		b := take(t, p)
		require.EqualValues(t, 1, b.Count)
		require.Len(t, b.Bytes(), 361, "it is the one behind them")
		p.Settle(b, acked(0))
		synctest.Wait()
		requireEmpty(t, a)

		require.True(t, cancelOf(put(t, p, "c")))
		require.Nil(t, p.startFlush(), "nothing is outstanding")
		require.Nil(t, p.Take())
		requireEmpty(t, a)
		require.True(t, cancelOf(put(t, p, "d")))
		require.Zero(t, p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed}))
		synctest.Wait()
		requireEmpty(t, a)
		require.Zero(t, a.Unobserved())
	})
}

func TestCancelOfARecordThatIsSettledOrOnItsWayDoesNothing(t *testing.T) {
	a := newTest(Config{})
	p := a.Topic("t").Partition(0)
	f := put(t, p, "a")
	b := take(t, p)
	require.False(t, cancelOf(f))
	p.Settle(b, acked(0))
	require.False(t, cancelOf(f))
	_, err := f.Result.Wait(t.Context(), f.Index)
	require.NoError(t, err)
	requireEmpty(t, a)
}

func TestCancelReleasesWaitersOfTheRecordOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{Linger: time.Hour})
		p := a.Topic("t").Partition(0)
		mine, other := put(t, p, "mine"), put(t, p, "other")
		var l log
		for name, f := range map[string]AppendResult{"mine": mine, "other": other} {
			go func() {
				md, err := f.Result.Wait(context.Background(), f.Index)
				l.add(name + " " + outcomeText(md, err))
			}()
		}
		synctest.Wait()
		require.True(t, cancelOf(mine))
		synctest.Wait()
		require.Equal(t, []string{"mine record was canceled"}, l.all())
		p.Settle(take(t, p), acked(3))
		synctest.Wait()
		require.Equal(t, []string{"mine record was canceled", "other t/0@3"}, l.all())
		requireEmpty(t, a)
	})
}

func TestAskingForACanceledRecordLetsItsNeighboursLinger(t *testing.T) {
	a := newTest(Config{Linger: time.Hour})
	p := a.Topic("t").Partition(0)
	mine := put(t, p, "mine")
	put(t, p, "neighbour")
	require.True(t, cancelOf(mine))
	_, err := mine.Result.Wait(t.Context(), mine.Index)
	require.ErrorIs(t, err, record.ErrCanceled)
	<-mine.Result.Done(mine.Index)
	require.False(t, p.Ready())
	p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
	requireEmpty(t, a)
}

func TestCancelInsideACallbackWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{BatchSize: 64, Linger: time.Hour})
		p := a.Topic("t").Partition(0)
		var l log
		var second, third AppendResult
		first := put(t, p, "first", Callback{One: func(record.RecordMetadata, error) {
			l.add(fmt.Sprint("itself: ", second.Result.Cancel(0)))
		}})
		second = put(t, p, "second", Callback{One: func(md record.RecordMetadata, err error) {
			l.add("second " + outcomeText(md, err))
			l.add(fmt.Sprint("third: ", cancelOf(third)))
		}})
		third = put(t, p, "third", l.callback("third"))
		p.Settle(take(t, p), acked(0))
		synctest.Wait()
		require.False(t, cancelOf(first))
		lines := l.all()
		require.ElementsMatch(t, []string{"itself: true", "second record was canceled", "third: true",
			"third record was canceled"}, lines)
		require.Less(t, slices.Index(lines, "third: true"), slices.Index(lines, "third record was canceled"),
			"one after the other")
		requireEmptyAfterTaking(t, a, p)
	})
}

func requireEmptyAfterTaking(t *testing.T, a *Accumulator, p *Partition) {
	t.Helper()
	for b := p.Take(); b != nil; b = p.Take() {
		p.Settle(b, acked(0))
	}
	synctest.Wait()
	requireEmpty(t, a)
}

func TestFlushWaitsForTheCallbackOfACanceledRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{})
		p := a.Topic("t").Partition(0)
		hold := make(chan struct{})
		f := put(t, p, "a", Callback{One: func(record.RecordMetadata, error) { <-hold }})
		require.True(t, cancelOf(f))
		flushed := make(chan error, 2)
		go func() { flushed <- a.Flush(t.Context()) }()
		synctest.Wait()
		require.Nil(t, p.Take())
		go func() { flushed <- a.Flush(t.Context()) }()
		synctest.Wait()
		require.Empty(t, flushed, "its callback has not returned")
		close(hold)
		require.NoError(t, <-flushed)
		require.NoError(t, <-flushed)
		synctest.Wait()
		requireEmpty(t, a)
	})
}

// A flush does not wait for the callbacks of later canceled records.
func TestFlushDoesNotWaitForLaterCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{})
		p := a.Topic("t").Partition(0)
		put(t, p, "a")
		flushed := make(chan error)
		go func() { flushed <- a.Flush(t.Context()) }()
		synctest.Wait()
		b := take(t, p)
		hold := make(chan struct{})
		later := put(t, p, "b", Callback{One: func(record.RecordMetadata, error) { <-hold }})
		require.True(t, cancelOf(later))
		synctest.Wait()
		p.Settle(b, acked(0))
		require.NoError(t, <-flushed)
		close(hold)
		requireEmptyAfterTaking(t, a, p)
	})
}

func TestPanicInTheCallbackOfACanceledRecordIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &spy{}
		a := newTest(Config{Listener: s})
		p := a.Topic("t").Partition(0)
		require.True(t, cancelOf(put(t, p, "a", Callback{One: func(record.RecordMetadata, error) { panic("ouch") }})))
		synctest.Wait()
		require.Equal(t, []any{"ouch"}, s.panics)
		require.Nil(t, p.Take())
		requireEmpty(t, a)
	})
}

func TestCancelOfARecordOfASlice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{})
		p := a.Topic("t").Partition(0)
		var l log
		var all []AppendResult
		for i := range 5 {
			callback := Callback{I: 10 + i,
				All: sliceCallback(func(i int, md record.RecordMetadata, err error) {
					l.add(fmt.Sprint(i, " ",
						outcomeText(md, err)))
				})}
			all = append(all, put(t, p, "x", callback))
		}
		require.True(t, cancelOf(all[2]))
		synctest.Wait()
		p.Settle(take(t, p), acked(0))
		synctest.Wait()
		require.Equal(t, []string{"12 record was canceled", "10 t/0@0", "11 t/0@1", "13 t/0@2", "14 t/0@3"}, l.all())
		requireEmpty(t, a)
	})
}

// Canceled records do not wait for an unreachable broker, neither in the open batch nor in the queue.
func TestCancelOfAllRecordsOfABatchFreesItAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{BatchSize: 400, Linger: time.Hour})
		p := a.Topic("t").Partition(0)
		var batches [][]AppendResult
		for n := range 4 { // three are complete, one is open
			var one []AppendResult
			for range 3 {
				one = append(one, put(t, p, strings.Repeat("x", 100)))
			}
			batches = append(batches, one)
			require.Equal(t, n+1, p.Queued())
		}
		for k, n := range []int{1, 3, 0, 2} { // the middle, the open one, the first, the last
			for _, f := range batches[n] {
				require.True(t, cancelOf(f))
			}
			records, bytes := a.Buffered()
			require.Equal(t, 3*(3-k), records)
			require.EqualValues(t, small*(3-k), bytes)
			require.Equal(t, 3-k, p.Queued())
			require.Equal(t, k < 3 && n != 2, p.Ready())
			for _, f := range batches[n] {
				require.False(t, cancelOf(f), "once")
				_, err := f.Result.Wait(t.Context(), f.Index)
				require.ErrorIs(t, err, record.ErrCanceled)
			}
		}
		require.NoError(t, a.Flush(t.Context()))
		require.Nil(t, p.Take())
		_, waits := p.OldestQueued()
		require.False(t, waits)
		requireEmpty(t, a)
	})
}

func TestTheRecordAfterAnEmptiedBatchBeginsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const linger = 10 * time.Second
		a := newTest(Config{Linger: linger})
		p := a.Topic("t").Partition(0)
		f := put(t, p, "a")
		require.True(t, cancelOf(f))
		time.Sleep(linger / 2)
		next := put(t, p, "b")
		require.NotSame(t, f.Result, next.Result)
		require.Zero(t, next.Index)
		time.Sleep(linger - time.Nanosecond)
		synctest.Wait()
		require.False(t, p.Ready(), "the linger of the emptied batch is not its own")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		b := take(t, p)
		require.Equal(t, []string{"b"}, valuesOf(t, b))
		require.Equal(t, linger, time.Since(b.Created))
		p.Settle(b, acked(0))
		requireEmpty(t, a)
	})
}

// Sends taken back do not fill the buffer, however many they are.
func TestCanceledRecordsLeaveNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, batchSize := range []int{1, 16384} {
			a := newTest(Config{BatchSize: batchSize, Memory: 1 << 20, Linger: time.Hour})
			p := a.Topic("t").Partition(0)
			hold := put(t, p, "the broker does not take it")
			before := heap()
			for range 5000 {
				require.True(t, cancelOf(put(t, p, "x")))
			}
			require.LessOrEqual(t, p.delivery.order.n, 1)
			require.LessOrEqual(t, p.Queued(), 1)
			require.Less(t, heap()-before, int64(1<<20))
			require.True(t, cancelOf(hold))
			requireEmpty(t, a)
		}
	})
}

// An emptied batch keeps its place in the order while a callback of its records runs. The callbacks of other batches
// keep their order.
func TestFlushWaitsForTheCallbacksOfAnEmptiedBatchOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{BatchSize: 1, Linger: time.Hour})
		p := a.Topic("t").Partition(0)
		hold := make(chan struct{})
		var l log
		first := put(t, p, "first", l.callback("first"))
		emptied := put(t, p, "emptied", Callback{One: func(record.RecordMetadata, error) { <-hold; l.add("emptied") }})
		last := put(t, p, "last", l.callback("last"))
		require.True(t, cancelOf(emptied))
		synctest.Wait()
		flushed := make(chan error, 1)
		go func() { flushed <- a.Flush(t.Context()) }()
		b, after := take(t, p), take(t, p)
		p.Settle(after, acked(1))
		synctest.Wait()
		require.Empty(t, l.all(), "callbacks keep their order")
		p.Settle(b, acked(0))
		synctest.Wait()
		require.Equal(t, []string{"first t/0@0", "last t/0@1"}, l.all(), "which does not wait for a canceled record")
		require.Empty(t, flushed)
		close(hold)
		require.NoError(t, <-flushed)
		require.True(t, first.Result.settled.Load() && last.Result.settled.Load())
		requireEmpty(t, a)
	})
}

// Cancels, sends and the taking of batches may meet in any way: every record has one outcome, and the account ends at
// nothing.
func TestCancelsThatMeetTheSealSettleNothingTwice(t *testing.T) {
	for range 50 {
		a := newTest(Config{BatchSize: 100, Linger: time.Hour})
		p := a.Topic("t").Partition(0)
		all := putMany(t, p, 0, 200)
		var calls sync.WaitGroup
		taken := 0
		calls.Go(func() {
			for b := p.Take(); b != nil; b = p.Take() {
				taken += int(b.Count)
				p.Settle(b, acked(0))
			}
		})
		var canceled atomic.Int64
		for k := range 4 {
			calls.Go(func() {
				for i := k % 2; i < len(all); i += 2 {
					if cancelOf(all[i]) {
						canceled.Add(1)
					}
				}
			})
		}
		calls.Wait()
		a.expediteAll()
		for b := p.Take(); b != nil; b = p.Take() {
			taken += int(b.Count)
			p.Settle(b, acked(0))
		}
		require.EqualValues(t, len(all), int64(taken)+canceled.Load())
		requireEmpty(t, a)
	}
}
