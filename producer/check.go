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

// checkRecord returns a record's problem, or nil. It checks the record without metadata of its topic, so it runs before
// every wait: an unsendable record fails at once.
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

// lastSecond is the last second of the year 9999, in UTC and seconds since 1970. A later timestamp is most likely a
// mistake, and a much later one overflows Kafka's 64 bits of milliseconds.
const lastSecond = 253402300799

// timestampProblem returns the problem of a timestamp, or "". The zero time is valid and means now.
func timestampProblem(t time.Time) string {
	seconds := t.Unix() // seconds of any time fit into 64 bits; milliseconds may overflow
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

// tooLarge checks a record's size against the limits for a single record.
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

// largestBatch is the largest batch that fits into one frame together with the longest client id and topic.
// max.request.size may be as large as a frame, so it does not leave room for them.
const largestBatch = transport.LargestFrame - 64<<10

// smallRecordOf returns the smallest size of key and value that could be too large for a record without headers, in
// bytes. If even an empty record could be too large, the size is 0.
func smallRecordOf(cfg *Config) uint {
	const around = 256 // more than the encoding of a record and a batch adds to key and value
	return uint(max(0, min(int64(cfg.MaxRequestSize), cfg.BufferMemory, largestBatch)-around))
}

// sizeOf returns the size of a batch of r alone, in bytes. Headers may share one huge slice, so on 32 bits the sum of
// their lengths can overflow an int. For such a sum the size is approximate.
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
