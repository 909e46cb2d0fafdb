package accumulator

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/record"
)

func TestWaitReturnsTheRecordsPlace(t *testing.T) {
	a := newTest(Config{})
	p := a.Topic("t").Partition(7)
	all := putMany(t, p, 0, 3)
	p.Settle(take(t, p), acked(100))
	for i, f := range all {
		md, err := f.Result.Wait(t.Context(), f.Index)
		require.NoError(t, err)
		require.Equal(t, "t", md.Topic)
		require.EqualValues(t, 7, md.Partition)
		require.EqualValues(t, 100+i, md.Offset)
		require.WithinDuration(t, time.Now(), md.Timestamp, time.Minute)
	}
}

func TestUnknownOffsetIsMinusOneForEveryRecord(t *testing.T) {
	a := newTest(Config{})
	p := a.Topic("t").Partition(0)
	all := putMany(t, p, 0, 2)
	p.Settle(take(t, p), acked(-1))
	for _, f := range all {
		md, err := f.Result.Wait(t.Context(), f.Index)
		require.NoError(t, err)
		require.EqualValues(t, -1, md.Offset)
	}
}

func TestLogAppendTimeIsEveryRecordsTimestamp(t *testing.T) {
	a := newTest(Config{})
	p := a.Topic("t").Partition(0)
	all := putMany(t, p, 0, 2)
	p.Settle(take(t, p), Outcome{BaseOffset: 0, LogAppendTime: 12345})
	for _, f := range all {
		md, err := f.Result.Wait(t.Context(), f.Index)
		require.NoError(t, err)
		require.EqualValues(t, 12345, md.Timestamp.UnixMilli())
	}
}

func TestEveryRecordGetsTheFailure(t *testing.T) {
	a := newTest(Config{})
	p := a.Topic("t").Partition(4)
	all := putMany(t, p, 0, 2)
	why := &record.Error{Topic: "t", Partition: 4, Err: errors.New("no")}
	p.Settle(take(t, p), Outcome{BaseOffset: -1, LogAppendTime: -1, Err: why})
	for range 2 {
		for _, f := range all {
			md, err := f.Result.Wait(t.Context(), f.Index)
			require.Same(t, why, err)
			require.EqualValues(t, 4, md.Partition)
			require.EqualValues(t, -1, md.Offset)
		}
	}
}

func TestWaitReadiesItsBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{BatchSize: 200, Linger: time.Hour})
		p := a.Topic("t").Partition(0)
		old := add(p, sizedRecord(t, 139), Callback{}, nil)
		require.True(t, old.Complete)
		f := put(t, p, "x")
		before := readies(p)
		go func() { _, _ = old.Result.Wait(t.Context(), old.Index) }()
		synctest.Wait()
		require.Equal(t, before, readies(p), "its batch is complete, and the open one may linger")
		require.False(t, p.openReady)

		got := make(chan record.RecordMetadata)
		for range 2 {
			go func() {
				md, _ := f.Result.Wait(t.Context(), f.Index)
				got <- md
			}()
		}
		synctest.Wait()
		require.True(t, p.openReady)
		require.Equal(t, before+1, readies(p), "its owner is told once")
		p.Settle(take(t, p), acked(1))
		p.Settle(take(t, p), acked(2))
		require.EqualValues(t, 2, (<-got).Offset)
		require.EqualValues(t, 2, (<-got).Offset)
		requireEmpty(t, a)
	})
}

func TestDoneIsClosedWithTheOutcomeAndLetsTheBatchLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{Linger: 5 * time.Millisecond})
		p := a.Topic("t").Partition(0)
		f := put(t, p, "x")
		done := f.Result.Done(f.Index)
		require.Equal(t, done, f.Result.Done(f.Index))
		synctest.Wait()
		require.False(t, p.Ready())
		time.Sleep(5 * time.Millisecond)
		synctest.Wait()
		b := take(t, p)
		select {
		case <-done:
			require.Fail(t, "there is no outcome yet")
		default:
		}
		p.Settle(b, acked(0))
		<-done
		<-f.Result.Done(f.Index)
		requireEmpty(t, a)
	})
}

func TestContextEndsTheWaitAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{})
		p := a.Topic("t").Partition(2)
		f := put(t, p, "x")
		b := take(t, p)
		why := errors.New("the handler has gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			time.Sleep(time.Second)
			cancel(why)
		}()
		md, err := f.Result.Wait(ctx, f.Index)
		var told *record.Error
		require.ErrorAs(t, err, &told)
		require.True(t, record.FateOf(told) == record.FateMaybeWritten)
		require.False(t, record.FateOf(told) == record.FateNotWritten)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, why)
		require.EqualValues(t, -1, md.Offset)
		require.EqualValues(t, 2, md.Partition)

		p.Settle(b, acked(9))
		md, err = f.Result.Wait(ctx, f.Index)
		require.NoError(t, err, "what is known is told, whatever the context says")
		require.EqualValues(t, 9, md.Offset)
		requireEmpty(t, a)
	})
}

// endingContext ends when somebody begins to wait for it, and does something just before.
type endingContext struct {
	context.Context
	before func()
}

func (c endingContext) Done() <-chan struct{} {
	c.before()
	return c.Context.Done()
}

func TestOutcomeCountsMoreThanAContextThatEndsWithIt(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	a := newTest(Config{})
	p := a.Topic("t").Partition(0)
	for range 50 {
		f := put(t, p, "x")
		_, err := f.Result.Wait(endingContext{over, func() { p.Settle(take(t, p), acked(0)) }}, f.Index)
		require.NoError(t, err)
	}
	requireEmpty(t, a)
}

func TestFailWithoutCallbackIsUnobservedUntilSomebodyAsks(t *testing.T) {
	s := &spy{}
	a := newTest(Config{Listener: s})
	r := a.Fail(&record.Error{Err: record.ErrRecordTooLarge}, Callback{})
	require.EqualValues(t, 1, a.Unobserved())
	for range 2 {
		_, err := r.Wait(t.Context(), 0)
		require.Error(t, err)
		require.Zero(t, a.Unobserved())
	}
	a.ReportUnobserved()
	require.Empty(t, s.reports())
}

// A sender that asks later has observed the failure: it is reported only after a second without a question.
func TestUnobservedFailuresAreReportedTogetherASecondLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &spy{}
		a := newTest(Config{Listener: s})
		var asked []*Result
		for range 3 {
			a.Fail(&record.Error{Topic: "t", Err: record.ErrRecordTooLarge}, Callback{})
			asked = append(asked, a.Fail(&record.Error{Topic: "t", Err: record.ErrRecordTooLarge}, Callback{}))
			a.Fail(&record.Error{Topic: "t", Err: record.ErrInvalidTopic}, Callback{})
		}
		time.Sleep(unobservedAfter - 1)
		synctest.Wait()
		require.Empty(t, s.reports())
		for _, r := range asked {
			_, err := r.Wait(t.Context(), 0)
			require.Error(t, err)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.Equal(t, []int{3, 3}, s.reports(), "one report for each reason")

		a.Fail(&record.Error{Topic: "t", Err: record.ErrRecordTooLarge}, Callback{})
		time.Sleep(unobservedAfter)
		synctest.Wait()
		require.Equal(t, []int{3, 3, 1}, s.reports(), "the next second has its own")
	})
}

func TestManyUnobservedFailuresAreNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &spy{}
		a := newTest(Config{Listener: s})
		for range mostSuspects + 10 {
			a.Fail(&record.Error{Topic: "t", Err: record.ErrRecordTooLarge}, Callback{})
		}
		require.Len(t, s.reports(), 10, "these were reported at once")
		a.ReportUnobserved()
		require.Equal(t, mostSuspects, s.reports()[10])
		require.EqualValues(t, mostSuspects+10, a.Unobserved())
		a.Fail(&record.Error{Topic: "t", Err: record.ErrRecordTooLarge}, Callback{})
		require.Len(t, s.reports(), 11, "somebody may still ask, after the end too")
		time.Sleep(unobservedAfter)
		synctest.Wait()
		require.Equal(t, 1, s.reports()[11])
	})
}

func TestUnobservedCountsFailuresThatNobodyListensFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &spy{}
		a := newTest(Config{Listener: s})
		p := a.Topic("t").Partition(0)
		var l log
		var all []AppendResult
		for i := range 200 {
			callback := Callback{}
			if i%2 == 1 {
				callback = l.callback(fmt.Sprint(i))
			}
			all = append(all, put(t, p, "x", callback))
		}
		go func() { _, _ = all[100].Result.Wait(t.Context(), all[100].Index) }()
		done := all[102].Result.Done(all[102].Index)
		synctest.Wait()
		p.Settle(take(t, p), failed(errors.New("no")))
		synctest.Wait()
		require.EqualValues(t, 98, a.Unobserved(), "100 have no callback; two of them were asked for")
		<-done

		_, err := all[0].Result.Wait(t.Context(), all[0].Index)
		require.Error(t, err)
		require.EqualValues(t, 97, a.Unobserved())
		<-all[180].Result.Done(all[180].Index)
		_, _ = all[180].Result.Wait(t.Context(), all[180].Index)
		_, _ = all[1].Result.Wait(t.Context(), all[1].Index)
		_, _ = all[102].Result.Wait(t.Context(), all[102].Index)
		require.EqualValues(t, 96, a.Unobserved())
		a.ReportUnobserved()
		require.Equal(t, []int{96}, s.reports())
		require.Len(t, l.all(), 100)
		requireEmpty(t, a)
	})
}

func TestSuccessIsNeverUnobserved(t *testing.T) {
	s := &spy{}
	a := newTest(Config{Listener: s})
	p := a.Topic("t").Partition(0)
	putMany(t, p, 0, 10)
	p.Settle(take(t, p), acked(0))
	require.Zero(t, a.Unobserved())
	require.Empty(t, s.reports())
}

func TestSettlingTwiceIsAMistake(t *testing.T) {
	a := newTest(Config{})
	p := a.Topic("t").Partition(0)
	put(t, p, "x")
	b := take(t, p)
	p.Settle(b, acked(0))
	require.Panics(t, func() { p.Settle(b, acked(0)) })
	requireEmpty(t, a)
}

func TestTimestampRunsFindEveryRecord(t *testing.T) {
	var stamps timestamps
	for i := range int32(100) {
		stamps.add(i, int64(i/7))
	}
	require.Len(t, stamps.runs, 15)
	for i := range int32(100) {
		require.EqualValues(t, i/7, stamps.at(i))
	}
}

func TestRecordSetHoldsItsRecords(t *testing.T) {
	var s recordSet
	numbers := []int32{0, 1, 63, 64, 65, 127, 128, 1000}
	for _, i := range numbers {
		require.False(t, s.has(i))
		s.add(i)
	}
	require.False(t, s.has(62))
	require.False(t, s.has(129))
	require.False(t, s.has(5000))
	s.remove(5000)
	for _, i := range numbers {
		require.True(t, s.has(i))
		s.remove(i)
		require.False(t, s.has(i))
	}
}

func TestBuffersComeInClassesOfExactCapacity(t *testing.T) {
	var pool bufferPool
	for _, c := range []struct{ n, size int }{
		{0, 512}, {1, 512}, {512, 512}, {513, 1024}, {16384, 16384}, {16385, 32768}, {1 << 20, 1 << 20},
		{1<<20 + 1, 1<<20 + 1},
	} {
		require.Equal(t, c.size, bufferSize(c.n))
		b := pool.get(c.size)
		require.Equal(t, c.size, cap(*b))
		require.Empty(t, *b)
		*b = append(*b, "left over"...)
		pool.put(b)
		again := pool.get(c.size)
		require.Empty(t, *again)
		require.Equal(t, c.size, cap(*again))
	}
	pool.put(pool.get(1024))
	odd := pool.get(700)
	require.Equal(t, 700, cap(*odd))
	pool.put(odd)
	require.Equal(t, 1024, cap(*pool.get(1024)))
}

// lender is a Drainer with a note whether it may use the waiting goroutine.
type lender struct{ lent []bool }

func (l *lender) BatchReady(awaited <-chan struct{}) { l.lent = append(l.lent, awaited != nil) }

func TestGetNearItsDeadlineDoesNotSendInline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		owner := new(lender)
		a := newTest(Config{Linger: time.Hour, NewDrainer: func(*Partition) Drainer { return owner }})
		p := a.Topic("t").Partition(0)
		over, cancel := context.WithCancel(t.Context())
		cancel()
		near, cancelNear := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancelNear()
		far, cancelFar := context.WithTimeout(t.Context(), time.Second)
		defer cancelFar()
		for i, ctx := range []context.Context{over, near, far} {
			f := put(t, p, "x")
			_, err := f.Result.Wait(ctx, f.Index)
			require.Error(t, err)
			p.Settle(take(t, p), acked(int64(i)))
		}
		require.Equal(t, []bool{false, false, true}, owner.lent)
		requireEmpty(t, a)
	})
}
