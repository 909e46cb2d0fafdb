package record

import (
	"errors"
	"fmt"
)

// The reasons for which a record is not acknowledged, where the reason is the client's own. They are found with errors.Is in
// the error of a Future or callback; a broker's reason is a *protocol.Error there instead. Package producer re-exports them.
var (
	// ErrClosed: the producer was closed before or while the record was handled.
	ErrClosed = errors.New("producer is closed")
	// ErrCancelled: the record was taken back with Future.Cancel before its batch was sealed.
	ErrCancelled = errors.New("record was cancelled")
	// ErrNoRecord: a nil *Record was sent, or a Future that came from no Send was asked.
	ErrNoRecord = errors.New("no record")
	// ErrInvalidTopic: the topic's name is empty or not legal.
	ErrInvalidTopic = errors.New("invalid topic name")
	// ErrInvalidPartition: the partition is negative or the topic has no such partition.
	ErrInvalidPartition = errors.New("invalid partition")
	// ErrInvalidTimestamp: the timestamp lies before 1970 or after the year 9999.
	ErrInvalidTimestamp = errors.New("invalid timestamp")
	// ErrInvalidHeader: a header's key is not UTF-8.
	ErrInvalidHeader = errors.New("invalid header")
	// ErrRecordTooLarge: the record alone is larger than max.request.size or buffer.memory.
	ErrRecordTooLarge = errors.New("record is too large")
	// ErrBufferFull: buffer.memory had no room for the record within max.block.ms, or at once for TrySend.
	ErrBufferFull = errors.New("buffer is full")
	// ErrMetadataTimeout: the topic's partitions were not known within max.block.ms, or at once for TrySend.
	ErrMetadataTimeout = errors.New("no metadata for the topic")
	// ErrDeliveryTimeout: delivery.timeout.ms passed without an acknowledgement.
	ErrDeliveryTimeout = errors.New("delivery timeout")
	// ErrRetriesExhausted: the last of the allowed retries failed.
	ErrRetriesExhausted = errors.New("retries exhausted")
	// ErrDisconnected: the connection broke, or the request timed out, before the answer came.
	ErrDisconnected = errors.New("disconnected before the answer")
	// ErrPartitioner: the partitioner panicked or chose a partition that does not exist.
	ErrPartitioner = errors.New("partitioner failed")
	// ErrNeighbourRejected: the broker rejected another record of the same batch and the rest could not be sent again.
	ErrNeighbourRejected = errors.New("another record of the batch was rejected")
	// ErrClusterReplaced: the servers belong to another cluster now, and the former cluster may have written the record.
	ErrClusterReplaced = errors.New("the servers belong to another cluster now")
	// ErrForeignAcknowledgement: the broker acknowledged the record at an offset that other records have. Another producer uses the same
	// producer id, or the log is another one.
	ErrForeignAcknowledgement = errors.New("the acknowledgement is of another producer's records")
	// ErrInCallback: Flush or Close was called from inside a callback, where waiting for callbacks could never end.
	ErrInCallback = errors.New("called from inside a callback")
)

// Error says what became of a record that was not acknowledged. Err is the reason: one of the Err… values, a *protocol.Error
// from the broker, or a context's error.
type Error struct {
	// Topic and Partition name the record's place; Partition is -1 when none was chosen yet.
	Topic     string
	Partition int32
	// MaybeWritten: the record may be in the log all the same. False means that it is certainly not.
	MaybeWritten bool
	// Retriable: sending the same record again can help.
	Retriable bool
	// Detail says more in words: sizes, limits, the reason of each server. It may be empty.
	Detail string
	// Err is the reason.
	Err error
}

// Error gives the place, the reason, the detail, and whether the record may have been written.
func (e *Error) Error() string {
	place := "samsa: "
	switch {
	case e.Topic == "":
	case e.Partition < 0:
		place += fmt.Sprintf("topic %q: ", e.Topic)
	default:
		place += fmt.Sprintf("topic %q partition %d: ", e.Topic, e.Partition)
	}
	fate := " (not written)"
	if e.MaybeWritten {
		fate = " (maybe written)"
	}
	if e.Detail == "" {
		return place + e.Err.Error() + fate
	}
	return place + e.Err.Error() + ": " + e.Detail + fate
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }
