package record

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gosamsa/samsa/protocol"
)

// The client's own reasons for not acknowledging a record. errors.Is finds them in the error of a Future or callback; a
// broker's reason is a *protocol.Error there instead. Package producer re-exports them.
var (
	// ErrClosed: the producer was closed before or while the record was handled.
	ErrClosed error = &reason{"producer is closed", "closed", FateNotWritten}
	// ErrCanceled: the record was taken back with Future.Cancel before its batch was sealed.
	ErrCanceled error = &reason{"record was canceled", "canceled", FateNotWritten}
	// ErrNilRecord: a nil *Record was sent.
	ErrNilRecord error = &reason{"no record: the *Record is nil", "nil_record", FateRejected}
	// ErrZeroFuture: the Future came from no Send.
	ErrZeroFuture error = &reason{"no record: this Future came from no Send", "zero_future", FateRejected}
	// ErrInvalidTopic: the topic's name is empty or not legal.
	ErrInvalidTopic error = &reason{"invalid topic name", "invalid_topic", FateRejected}
	// ErrInvalidPartition: the partition is negative or the topic has no such partition.
	ErrInvalidPartition error = &reason{"invalid partition", "invalid_partition", FateRejected}
	// ErrInvalidTimestamp: the timestamp lies before 1970 or after the year 9999.
	ErrInvalidTimestamp error = &reason{"invalid timestamp", "invalid_timestamp", FateRejected}
	// ErrInvalidHeader: a header's key is not UTF-8.
	ErrInvalidHeader error = &reason{"invalid header", "invalid_header", FateRejected}
	// ErrRecordTooLarge: the record alone is larger than max.request.size or buffer.memory.
	ErrRecordTooLarge error = &reason{"record is too large", "record_too_large", FateRejected}
	// ErrBufferFull: buffer.memory had no room for the record within max.block.ms, or at once for TrySend.
	ErrBufferFull error = &reason{"buffer is full", "buffer_full", FateNotWritten}
	// ErrMetadataTimeout: the topic's partitions were not known within max.block.ms, or at once for TrySend.
	ErrMetadataTimeout error = &reason{"no metadata for the topic", "metadata_timeout", FateNotWritten}
	// ErrUnknownTopic: every response called the topic unknown, for topic.metadata.propagation.max.ms.
	ErrUnknownTopic error = &reason{"topic does not exist", "unknown_topic", FateNotWritten}
	// ErrDeliveryTimeout: delivery.timeout.ms passed without an acknowledgement.
	ErrDeliveryTimeout error = &reason{"delivery timeout", "delivery_timeout", FateMaybeWritten}
	// ErrRetriesExhausted: the last of the allowed retries failed.
	ErrRetriesExhausted error = &reason{"retries exhausted", "retries_exhausted", FateMaybeWritten}
	// ErrDisconnected: the connection broke, or the request timed out, before the answer came.
	ErrDisconnected error = &reason{"disconnected before the answer", "disconnected", FateMaybeWritten}
	// ErrUnsupportedVersion: the broker is too old for this client, or for the codec.
	ErrUnsupportedVersion error = &reason{"the broker's version is not supported", "unsupported_version",
		FateNotWritten}
	// ErrPartitioner: the partitioner panicked or chose a partition beyond the topic's.
	ErrPartitioner error = &reason{"partitioner failed", "partitioner", FateRejected}
	// ErrBatchRejected: the broker rejected another record of the same batch and the rest could not be sent again.
	ErrBatchRejected error = &reason{"another record of the batch was rejected", "neighbour_rejected", FateNotWritten}
	// ErrClusterReplaced: the servers belong to another cluster now, and the former cluster may have written the
	// record.
	ErrClusterReplaced error = &reason{"the servers belong to another cluster now", "cluster_replaced",
		FateMaybeWritten}
	// ErrForeignAcknowledgement: the broker acknowledged the record at another record's offset. Another producer uses
	// the same producer id, or the log is another one.
	ErrForeignAcknowledgement error = &reason{"the acknowledgement is of another producer's records",
		"foreign_acknowledgement", FateMaybeWritten}
	// ErrInCallback: Flush or Close was called from inside a callback, so its wait for callbacks could never end.
	ErrInCallback error = &reason{"called from inside a callback", "in_callback", FateRejected}
)

// Error gives the fate of a record without an acknowledgement. Err is the reason: one of the Err… values, a
// *protocol.Error from the broker, or a context's error.
type Error struct {
	// Topic and Partition name the record's place; Partition is -1 when none was chosen yet.
	Topic     string
	Partition int32
	// Fate is the record's fate, if more is known than from Err; otherwise it is zero. [FateOf] returns Fate, or the
	// fate known from Err.
	Fate Fate
	// Detail says more in words: sizes, limits, the reason of each server. It may be empty.
	Detail string
	// Err is the reason.
	Err error
}

// Error gives the place, the reason, the detail, and the fate.
func (e *Error) Error() string {
	place := "samsa: "
	switch {
	case e.Topic == "":
	case e.Err != nil && errors.Is(e.Err, ErrUnknownTopic) && strings.HasPrefix(e.Err.Error(), "does not exist"):
		place += fmt.Sprintf("topic %q ", e.Topic) // the subject of the sentence
	case e.Partition < 0:
		place += fmt.Sprintf("topic %q: ", e.Topic)
	default:
		place += fmt.Sprintf("topic %q partition %d: ", e.Topic, e.Partition)
	}
	text := place + "no reason given"
	if e.Err != nil {
		text = place + e.Err.Error()
	}
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text + " (" + FateOf(e).String() + ")"
}

// Is also finds [ErrRecordTooLarge] if a broker refused the record for its size.
func (e *Error) Is(target error) bool {
	var broker *protocol.Error
	return target == ErrRecordTooLarge && errors.As(e.Err, &broker) &&
		(broker.Code == protocol.MessageTooLarge || broker.Code == protocol.RecordListTooLarge)
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }
