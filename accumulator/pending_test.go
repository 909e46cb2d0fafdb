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

// explainer is an owner with a reason, and a count of the questions.
type explainer struct {
	testOwner
	p      *Partition
	looked int
	asked  int
}

func (e *explainer) OldestPending() (time.Time, bool) {
	e.looked++
	return e.p.OldestQueued()
}

func (e *explainer) WhyPending() string {
	e.asked++
	return fmt.Sprintf("reason %d", e.p.Index())
}

// explained is an accumulator with explainers as owners.
func explained(memory int64) (*Accumulator, *[]*explainer) {
	var owners []*explainer
	a := New(Config{BatchSize: 1024, Memory: memory, Linger: time.Hour, NewDrainer: func(p *Partition) Drainer {
		e := &explainer{p: p}
		owners = append(owners, e)
		return e
	}})
	return a, &owners
}

// putInto appends a record to a partition of topic t, and fails the test if there is no room.
func putInto(t *testing.T, a *Accumulator, partition int32) (*Partition, AppendResult) {
	t.Helper()
	p := a.Topic("t").Partition(partition)
	return p, put(t, p, "v")
}

func TestAnEndedWaitAsksTheOwnerOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, owners := explained(1 << 20)
		_, out := putInto(t, a, 3)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := out.Result.Wait(ctx, out.Index)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "reason 3")
		require.Equal(t, 1, (*owners)[0].asked)
		var failure *record.Error
		require.ErrorAs(t, err, &failure)
		require.True(t, record.FateOf(failure) == record.FateMaybeWritten)
		endAll(a)
		_, err = out.Result.Wait(t.Context(), out.Index)
		require.Error(t, err)
		require.Equal(t, 1, (*owners)[0].asked, "an outcome needs no reason")
	})
}

// endAll fails all buffered records, to leave no timer.
func endAll(a *Accumulator) {
	for _, p := range a.activePartitions() {
		p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
	}
}

func TestFlushAsksForTheOldestRecordOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, owners := explained(1 << 20)
		for _, n := range []int32{2, 0, 1} {
			putInto(t, a, n)
			time.Sleep(time.Second)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("enough")
		cancel(why)
		err := a.Flush(ctx)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, why)
		require.ErrorContains(t, err, `topic "t" partition 2, has waited for 3s: reason 2`)
		asked := 0
		for _, e := range *owners {
			asked += e.asked
		}
		require.Equal(t, 1, asked)
		endAll(a)
	})
}

func TestManyFailuresShareOneLookForTheOldestRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, owners := explained(64 << 20)
		const partitions = 1000
		for n := range int32(partitions) {
			putInto(t, a, n)
		}
		idle, _ := putInto(t, a, partitions)
		idle.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
		looks := func() (n int) {
			for _, e := range *owners {
				n += e.looked
			}
			return n
		}
		for range 1000 {
			require.Contains(t, a.WhyPending(), "reason ")
		}
		require.Equal(t, partitions, looks(), "each partition with records is looked at once, and no other")
		time.Sleep(reasonAge)
		require.Contains(t, idle.WhyFull(), "reason ")
		require.Equal(t, 2*partitions+1, looks())
		endAll(a)
		time.Sleep(reasonAge)
		require.Empty(t, a.WhyPending())
		require.Empty(t, idle.WhyFull())
	})
}

func TestAPartitionsOwnRecordsSayWhyThereIsNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := explained(1 << 20)
		_, _ = putInto(t, a, 0)
		p, _ := putInto(t, a, 1)
		require.Equal(t, "reason 1", p.WhyFull())
		endAll(a)
	})
}
