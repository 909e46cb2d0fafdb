package record

import (
	"strconv"
	"time"
)

// Record is a user's message: one key and value for one topic.
type Record struct {
	// Topic is the topic's name. It must be set and legal.
	Topic string
	// Partition is the record's destination. The zero value lets the partitioner choose; [InPartition] names one.
	Partition Partition
	// Key is the record's key. Nil is no key, different from an empty one.
	Key []byte
	// Value is the record's value. Nil is a tombstone, different from an empty value.
	Value []byte
	// Headers travel with the record, in this order. Keys may repeat.
	Headers []Header
	// Timestamp is the record's CreateTime, kept in milliseconds. The zero value means the time of the send. Send
	// refuses a timestamp before 1970 or after the year 9999.
	Timestamp time.Time
}

// Header is one record header. The key must be UTF-8. A nil Value is null, different from an empty one.
type Header struct {
	Key   string
	Value []byte
}

// RecordMetadata is the place of an acknowledged record.
type RecordMetadata struct { //nolint:revive // Java's name, which users know
	Topic     string
	Partition int32
	// Offset is the record's place in its partition, or -1 if the broker does not tell: with acks=0, and when it
	// recognised a retry as a duplicate but no longer knows the first one's place.
	Offset int64
	// Timestamp is the record's timestamp in milliseconds' precision: the broker's time if the topic uses
	// LogAppendTime.
	Timestamp time.Time
}

// Partition is a partition's number, or "the partitioner chooses" in its zero value. Its own type, in place of an
// integer, keeps partition 0 and no choice apart.
type Partition struct {
	number int32
	set    bool
}

// InPartition names partition n. Whether the topic has it is checked by Send.
func InPartition(n int32) Partition { return Partition{number: n, set: true} }

// Number returns the partition's number; ok is false when the partitioner is to choose.
func (p Partition) Number() (n int32, ok bool) { return p.number, p.set }

// String returns the number, or "any".
func (p Partition) String() string {
	if !p.set {
		return "any"
	}
	return strconv.Itoa(int(p.number))
}
