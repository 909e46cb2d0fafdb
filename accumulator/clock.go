package accumulator

import (
	"sync/atomic"
	"time"

	"github.com/gosamsa/samsa/internal/lockrank"
	"github.com/gosamsa/samsa/internal/weakly"
	"github.com/gosamsa/samsa/record"
)

// A reading of the clock costs as much as encoding a small record. So records in quick succession share one: timestamps
// have milliseconds anyway. A shared reading expires, for records may stop coming at any time. Only a clock can show
// that, and a look at it for each record would cost as much as no sharing. So a timer of the accumulator counts periods
// while readings are shared, and a record compares two counts.

const (
	// sharers is how many records share a reading.
	sharers = 16
	// sharedFor bounds the time of sharers records: only then do the next records share a reading.
	sharedFor = time.Millisecond
	// sharedPeriod is the longest time of sharing a reading. A late timer adds to it.
	sharedPeriod = 2 * time.Millisecond
)

// clock is a partition's, guarded by Partition.mu.
type clock struct {
	last   time.Time // when it was read
	ms     int64     // the same as a record's timestamp has it
	used   int       // records with a share in that reading
	free   int       // records still allowed to share that reading
	period uint32    // the period of the reading
}

// tickLocked sets clock.last to the time of an appended record. The time is old, by sharedPeriod at most, only if
// records came fast a moment ago and the open batch is within its linger: a ready or long overdue batch gets exact
// timestamps. It reports whether the record shares the reading with others.
func (p *Partition) tickLocked() (shared bool) {
	c := &p.clock
	c.used++
	if c.free > 0 && p.open != nil && !p.openReady && c.period == p.acc.periods.now.Load() {
		c.free--
		return true
	}
	p.readClockLocked()
	return false
}

func (p *Partition) readClockLocked() {
	c := &p.clock
	period := p.acc.periods.now.Load() // before the clock, for this goroutine may pause between the two
	now := time.Now()
	c.free = 0
	if now.Sub(c.last) < sharedFor*time.Duration(c.used)/sharers {
		c.free, c.period = sharers-1, period
		p.acc.periods.use()
	}
	c.last, c.ms, c.used = now, now.UnixMilli(), 0
}

// timestampLocked returns a record's own timestamp, or the present as the clock has it, in milliseconds.
func (p *Partition) timestampLocked(r *record.Record) int64 {
	if r.Timestamp.IsZero() {
		return p.clock.ms
	}
	return r.Timestamp.UnixMilli()
}

// periods counts periods of time while readings of the clock are shared. Its timer does not run while none is. mu is a
// leaf.
type periods struct {
	now    atomic.Uint32
	shared atomic.Bool // a reading is shared in this period

	mu      lockrank.Mutex[lockrank.AccumulatorPeriods]
	timer   *time.Timer
	running bool
	stopped bool
}

// use lets the current period end in time, for a reading is shared in it.
func (c *periods) use() {
	if c.shared.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shared.Store(true)
	switch {
	case c.running || c.stopped:
	case c.timer == nil:
		c.running = true
		c.timer = time.AfterFunc(sharedPeriod, weakly.Do(c, (*periods).end))
	default:
		c.running = true
		c.timer.Reset(sharedPeriod)
	}
}

// end begins another period.
func (c *periods) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.Add(1)
	if c.running = c.shared.Swap(false) && !c.stopped; c.running {
		c.timer.Reset(sharedPeriod)
	}
}

// stop stops the timer for good: no record comes any more.
func (c *periods) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	if c.timer != nil {
		c.timer.Stop()
	}
}
