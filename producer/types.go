package producer

import "github.com/gosamsa/samsa/record"

// What users name of package record, so that one import is enough.
type (
	// Record is what a user sends: one key and value for one topic. See [record.Record].
	Record = record.Record
	// Header is one record header. See [record.Header].
	Header = record.Header
	// RecordMetadata tells where an acknowledged record lies. See [record.RecordMetadata].
	RecordMetadata = record.RecordMetadata
	// Partition is a partition's number, or "the partitioner chooses" in its zero value. See [record.Partition].
	Partition = record.Partition
)

// InPartition names partition n for [Record]. Whether the topic has it is checked by Send.
func InPartition(n int32) Partition { return record.InPartition(n) }
