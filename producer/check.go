package producer

import (
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/gosamsa/samsa/internal/transport"
	"github.com/gosamsa/samsa/record"
)

// checkRecord returns what is wrong with a record whatever its topic is, or nil. It needs no broker, so it runs before every
// wait: a record that can never be sent fails at once.
func (p *Producer) checkRecord(r *Record) *record.Error {
	if problem := timestampProblem(r.Timestamp); problem != "" {
		return &record.Error{Topic: shorten(r.Topic), Partition: -1, Err: record.ErrInvalidTimestamp, Detail: problem}
	}
	if failed := p.tooLarge(r); failed != nil {
		return failed
	}
	for i := range r.Headers {
		if key := r.Headers[i].Key; !utf8.ValidString(key) {
			return &record.Error{
				Topic: shorten(r.Topic), Partition: -1, Err: record.ErrInvalidHeader,
				Detail: fmt.Sprintf("the key of header %d, %q, is not UTF-8", i, shorten(key)),
			}
		}
	}
	return nil
}

// lastSecond is the last one of the year 9999, in UTC and seconds since 1970. A later timestamp is a slip, and one that is far
// later does not fit into the 64 bits of milliseconds that Kafka keeps.
const lastSecond = 253402300799

// timestampProblem returns what is wrong with a timestamp, or "". The zero time is right: it means now.
func timestampProblem(t time.Time) string {
	seconds := t.Unix() // unlike milliseconds, they do not wrap for any time
	switch {
	case t.IsZero() || seconds >= 0 && seconds <= lastSecond:
		return ""
	case seconds >= -lastSecond && seconds < 0:
		return t.String() + " lies before 1970"
	case seconds < 0:
		return strconv.FormatInt(seconds, 10) + " seconds since 1970 lie before 1970"
	}
	problem := strconv.FormatInt(seconds, 10) + " seconds since 1970 lie after the year 9999"
	for _, unit := range [...]struct {
		name string
		per  int64
	}{{"milliseconds", 1e3}, {"microseconds", 1e6}, {"nanoseconds", 1e9}} {
		if year := time.Unix(seconds/unit.per, 0).Year(); year > 1970 && year < 2200 {
			return problem + "; were " + unit.name + " passed to time.Unix as seconds?"
		}
	}
	return problem
}

// tooLarge checks a record's size against the limits that hold for it alone.
func (p *Producer) tooLarge(r *Record) *record.Error {
	if len(r.Headers) == 0 && uint(len(r.Key))+uint(len(r.Value)) < p.smallRecord {
		return nil
	}
	size := sizeOf(r)
	limit, name := int64(p.cfg.MaxRequestSize), "max.request.size"
	if p.cfg.BufferMemory < limit {
		limit, name = p.cfg.BufferMemory, "buffer.memory"
	}
	if largestBatch < limit {
		limit, name = largestBatch, "the limit of Kafka's protocol"
	}
	if size <= limit {
		return nil
	}
	return &record.Error{
		Topic: shorten(r.Topic), Partition: -1, Err: record.ErrRecordTooLarge,
		Detail: "it takes " + strconv.FormatInt(size, 10) + " bytes; " + name + " is " + strconv.FormatInt(limit, 10),
	}
}

// largestBatch is the largest batch that a request can carry, whatever its client id and topic: max.request.size may be as large as a frame.
const largestBatch = transport.LargestFrame - 64<<10

// smallRecordOf returns how many bytes of key and value are the first that could be too many for a record without headers. It
// is 0 where even an empty record could be too large.
func smallRecordOf(cfg *Config) uint {
	const around = 256 // more than everything around key and value
	return uint(max(0, min(int64(cfg.MaxRequestSize), cfg.BufferMemory, largestBatch)-around))
}

// sizeOf returns how many bytes a batch of r alone takes. Headers may share one huge slice, so that on 32 bits the sum of
// their lengths is more than an int holds; such a sum is told roughly.
func sizeOf(r *Record) int64 {
	sum := int64(len(r.Key)) + int64(len(r.Value))
	for i := range r.Headers {
		sum += int64(len(r.Headers[i].Key)) + int64(len(r.Headers[i].Value))
	}
	if sum > math.MaxInt32/2 {
		return sum
	}
	return int64(record.BatchHeaderSize + record.RecordSize(0, 0, r.Key, r.Value, r.Headers))
}
