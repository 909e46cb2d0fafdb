package producer

import "github.com/gosamsa/samsa/record"

// Record is a user's message: one key and value for one topic.
//
//	type Record struct {
//		Topic     string    // the topic's name; it must be set and legal
//		Partition Partition // zero: the partitioner chooses; InPartition(n) names one
//		Key       []byte    // nil: no key, different from an empty one
//		Value     []byte    // nil: a tombstone, different from an empty value
//		Headers   []Header  // sent with the record, in this order; keys may repeat
//		Timestamp time.Time // CreateTime, kept in milliseconds; zero: the time of the Send
//	}
type Record = record.Record

// Header is one record header.
//
//	type Header struct {
//		Key   string // must be UTF-8
//		Value []byte // nil: null, different from an empty one
//	}
type Header = record.Header

// RecordMetadata has the partition, offset and timestamp of an acknowledged record.
//
//	type RecordMetadata struct {
//		Topic     string
//		Partition int32
//		Offset    int64     // -1 if the broker does not report it: with acks=0, and for some retries
//		Timestamp time.Time // in milliseconds; the broker's time if the topic uses LogAppendTime
//	}
type RecordMetadata = record.RecordMetadata

// Partition is a partition's number, or in its zero value "the partitioner chooses". [InPartition] makes one.
//
//	func (p Partition) Number() (n int32, ok bool) // ok is false if the partitioner chooses
//	func (p Partition) String() string             // the number, or "any"
type Partition = record.Partition

// InPartition names partition n for [Record]. Send checks that the topic has it.
func InPartition(n int32) Partition { return record.InPartition(n) }
