package accumulator

import (
	"time"

	"github.com/gosamsa/samsa/record"
)

// A reading of the clock costs as much as encoding a small record. So records that come fast share one: timestamps have milliseconds anyway.

const (
	// sharers is how many records share a reading.
	sharers = 16
	// sharedFor is the time within which so many records must have come for the next ones to share.
	sharedFor = time.Millisecond
)

// clock is a partition's, guarded by Partition.mu.
type clock struct {
	last time.Time // when it was read
	ms   int64     // the same as a record's timestamp has it
	used int       // records that have shared that reading
	free int       // records that may still share that reading
}

// tickLocked makes clock.last the present for a record that is appended. It is old only where records came fast a moment ago and the open batch
// is within its linger, which is what a timestamp can be off: a batch that may be taken or is long overdue gets exact ones.
// It tells whether the record shares the reading with others.
func (p *Partition) tickLocked() (shared bool) {
	c := &p.clock
	c.used++
	if c.free > 0 && p.open != nil && !p.openReady {
		c.free--
		return true
	}
	p.readClockLocked()
	return false
}

func (p *Partition) readClockLocked() {
	c := &p.clock
	now := time.Now()
	c.free = 0
	if now.Sub(c.last) < sharedFor*time.Duration(c.used)/sharers {
		c.free = sharers - 1
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
