package accumulator

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/record"
)

// stamps appends records, so long after each other, and returns by how much their timestamps are off.
func stamps(t *testing.T, p *Partition, gaps ...time.Duration) (off []time.Duration) {
	t.Helper()
	for _, gap := range gaps {
		time.Sleep(gap)
		a := add(p, &record.Record{Topic: "t", Value: []byte("x")}, Callback{}, nil)
		require.NotNil(t, a.Result)
		off = append(off, time.Duration(time.Now().UnixMilli()-a.Result.times.at(a.Index))*time.Millisecond)
	}
	return off
}

// Records at a slow pace have the time of their own append. After a burst a few may have the time of its end, but
// within sharedPeriod.
func TestTimestampsAreOffByNoMoreThanAPeriod(t *testing.T) {
	const linger = 20 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{BatchSize: 1 << 20, Memory: 8 << 20, Linger: linger})
		p := a.Topic("t").Partition(0)
		for _, off := range stamps(t, p, slices.Repeat([]time.Duration{2 * time.Millisecond}, 100)...) {
			require.Zero(t, off)
		}
		stamps(t, p, slices.Repeat([]time.Duration{10 * time.Microsecond}, 200)...)
		for _, off := range stamps(t, p, slices.Repeat([]time.Duration{500 * time.Microsecond}, 100)...) {
			require.LessOrEqual(t, off, sharedPeriod)
		}
		settleAll(p)
		stamps(t, p, slices.Repeat([]time.Duration{10 * time.Microsecond}, 200)...)
		for _, off := range stamps(t, p, time.Hour, 0, time.Hour) {
			require.Zero(t, off, "the open batch is over its linger")
		}
		settleAll(p)
		a.expediteAll()
		settleAll(p)
		requireEmpty(t, a)
	})
}

func TestRecordsThatComeFastShareAReadingOfTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{BatchSize: 1 << 20, Memory: 8 << 20, Linger: time.Second})
		p := a.Topic("t").Partition(0)
		stamps(t, p, 0, 0)
		read := p.clock.last
		shared := 0
		for range 1600 {
			stamps(t, p, 10*time.Microsecond)
			if p.clock.last.Equal(read) {
				shared++
			}
			read = p.clock.last
		}
		require.InDelta(t, 1500, shared, 20, "fifteen of sixteen")
		a.expediteAll()
		settleAll(p)
		requireEmpty(t, a)
	})
}

// The age of a batch is exact; linger and delivery.timeout.ms count from it.
func TestABatchBeginsAtTheTimeOfItsFirstRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{BatchSize: 1000, Memory: 8 << 20, Linger: time.Second})
		p := a.Topic("t").Partition(0)
		for range 500 {
			before := p.open
			stamps(t, p, 10*time.Microsecond)
			if p.open != nil && p.open != before {
				require.Equal(t, time.Now(), p.open.Created)
			}
		}
		a.expediteAll()
		settleAll(p)
		requireEmpty(t, a)
	})
}

func TestASharedReadingOfTheClockExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{Linger: 30 * time.Second})
		p, other := a.Topic("t").Partition(0), a.Topic("t").Partition(1)
		for _, pause := range []time.Duration{sharedPeriod + 1, 5 * time.Millisecond, time.Second, 20 * time.Second} {
			stamps(t, p, make([]time.Duration, 20)...)
			require.Positive(t, p.clock.free, "the next record could share the reading")
			stamps(t, other, pause) // with a clock reading for its own records
			require.Equal(t, []time.Duration{0}, stamps(t, p, 0), "after %v", pause)
		}
		a.expediteAll()
		settleAll(p)
		settleAll(other)
		requireEmpty(t, a)
	})
}

func (c *periods) isRunning() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running
}

// A timer runs only while readings are shared: an idle producer wakes for nothing.
func TestNoTimerRunsWithoutASharedReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{Linger: time.Hour})
		p := a.Topic("t").Partition(0)
		for range 3 {
			stamps(t, p, make([]time.Duration, 20)...)
			require.True(t, a.periods.isRunning())
			period := a.periods.now.Load()
			time.Sleep(time.Minute)
			synctest.Wait()
			require.False(t, a.periods.isRunning())
			require.Equal(t, period+2, a.periods.now.Load(), "one end of the period, and one more look")
		}
		stamps(t, p, make([]time.Duration, 20)...)
		a.Close(&record.Error{Err: record.ErrClosed})
		period := a.periods.now.Load()
		time.Sleep(time.Minute)
		require.Equal(t, period, a.periods.now.Load(), "a closed producer has no timer")
		a.expediteAll()
		settleAll(p)
		requireEmpty(t, a)
	})
}
