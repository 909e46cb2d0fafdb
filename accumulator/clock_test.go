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
		a := add(p, &record.Record{Topic: "t", Value: []byte("x")}, Hook{}, nil)
		require.NotNil(t, a.Result)
		off = append(off, time.Duration(time.Now().UnixMilli()-a.Result.times.at(a.Index))*time.Millisecond)
	}
	return off
}

// Records that come slowly have the time of their own append. After a burst a few may have that of its end, but within linger.
func TestTimestampsAreOffByNoMoreThanLinger(t *testing.T) {
	const linger = 20 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{BatchSize: 1 << 20, Memory: 8 << 20, Linger: linger})
		p := a.Topic("t").Partition(0)
		for _, off := range stamps(t, p, slices.Repeat([]time.Duration{2 * time.Millisecond}, 100)...) {
			require.Zero(t, off)
		}
		stamps(t, p, slices.Repeat([]time.Duration{10 * time.Microsecond}, 200)...)
		for _, off := range stamps(t, p, slices.Repeat([]time.Duration{5 * time.Millisecond}, 100)...) {
			require.LessOrEqual(t, off, linger)
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

// The age of a batch, from which linger and delivery.timeout.ms count, is exact.
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
