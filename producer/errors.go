package producer

import (
	"fmt"
	"strings"

	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// Error describes a failed record: its topic and partition, the reason, and its fate. Every error that this package
// passes to a Future or callback is an *Error. See [FateOf].
//
//	type Error struct {
//		Topic     string
//		Partition int32  // -1 if none was chosen yet
//		Fate      Fate   // zero if Err decides it; FateOf(err) returns the fate in any case
//		Detail    string // sizes, limits, the reason of each server; may be empty
//		Err       error  // the reason: an Err… variable, a *BrokerError, or a context's error
//	}
//	func (e *Error) Error() string
//	func (e *Error) Is(target error) bool
//	func (e *Error) Unwrap() error
type Error = record.Error

// BrokerError is a broker's refusal, with Kafka's error code, its name, and the broker's own message. Find it with
// errors.As. errors.Is treats two BrokerErrors with the same code as equal.
//
//	type BrokerError struct {
//		Code    ErrorCode
//		Message string // the broker's own message, unchanged; may be empty
//	}
//	func (e *BrokerError) Error() string
//	func (e *BrokerError) Is(target error) bool
type BrokerError = protocol.Error

// These are the client's own reasons for a failure. Find them with errors.Is.
var (
	// ErrClosed: the producer was closed before or while the record was handled.
	ErrClosed = record.ErrClosed
	// ErrCanceled: the record was withdrawn with [Future.Cancel] or [Future.GetOrCancel].
	ErrCanceled = record.ErrCanceled
	// ErrNilRecord: the record passed to Send is nil.
	ErrNilRecord = record.ErrNilRecord
	// ErrZeroFuture: the Future is the zero value, without a Send.
	ErrZeroFuture = record.ErrZeroFuture
	// ErrInvalidTopic: the topic's name is empty, longer than 249 bytes, or has characters other than a-z, A-Z, 0-9,
	// '.', '_' and '-'.
	ErrInvalidTopic = record.ErrInvalidTopic
	// ErrInvalidPartition: the named partition is negative, or the topic does not have it.
	ErrInvalidPartition = record.ErrInvalidPartition
	// ErrInvalidTimestamp: the timestamp lies before 1970 or after the year 9999.
	ErrInvalidTimestamp = record.ErrInvalidTimestamp
	// ErrInvalidHeader: a header's key is not UTF-8. A broker that recompresses the batch would change the key.
	ErrInvalidHeader = record.ErrInvalidHeader
	// ErrRecordTooLarge: the record alone is larger than max.request.size or buffer.memory.
	ErrRecordTooLarge = record.ErrRecordTooLarge
	// ErrBufferFull: buffer.memory had no room within max.block.ms; for TrySend, at once.
	ErrBufferFull = record.ErrBufferFull
	// ErrMetadataTimeout: the topic's partitions were not known within max.block.ms; for TrySend, at once. A Ping that
	// no server answers ends with it too.
	ErrMetadataTimeout = record.ErrMetadataTimeout
	// ErrUnknownTopic: every response called the topic unknown (UNKNOWN_TOPIC_OR_PARTITION), for
	// topic.metadata.propagation.max.ms; for TrySend, the last response. The record can be sent again once the topic
	// exists.
	ErrUnknownTopic = record.ErrUnknownTopic
	// ErrDeliveryTimeout: delivery.timeout.ms passed without an acknowledgement.
	ErrDeliveryTimeout = record.ErrDeliveryTimeout
	// ErrRetriesExhausted: the last of the allowed retries failed. The error's text has the last failure.
	ErrRetriesExhausted = record.ErrRetriesExhausted
	// ErrDisconnected: the connection broke, or the request timed out, before the answer came.
	ErrDisconnected = record.ErrDisconnected
	// ErrUnsupportedVersion: the broker is too old: this client needs Kafka 0.11, and zstd needs Kafka 2.1.
	ErrUnsupportedVersion = record.ErrUnsupportedVersion
	// ErrPartitioner: the user's partitioner panicked or chose a missing partition.
	ErrPartitioner = record.ErrPartitioner
	// ErrClusterReplaced: the servers belong to another cluster now, and the former cluster may have written the
	// record. The record is in the former cluster's log or in none.
	ErrClusterReplaced = record.ErrClusterReplaced
	// ErrBatchRejected: the broker rejected other records of the same batch, and the rest could not be sent again.
	ErrBatchRejected = record.ErrBatchRejected
	// ErrForeignAcknowledgement: the broker acknowledged the record at the offset of other records. Another producer
	// uses the same producer id, or the partition's log was replaced, so the record may be missing.
	ErrForeignAcknowledgement = record.ErrForeignAcknowledgement
	// ErrInCallback: Flush or Close was called from inside a callback: its wait for callbacks could never end.
	ErrInCallback = record.ErrInCallback
)

// Fate is the end of a record, as far as the producer knows it: see [FateOf]. Its values are [FateAcknowledged],
// [FateNotWritten], [FateRejected] and [FateMaybeWritten].
//
//	func (f Fate) String() string
type Fate = record.Fate

// The fates of a record.
const (
	// FateAcknowledged: the record is in the log, as far as acks demands it.
	FateAcknowledged = record.FateAcknowledged
	// FateNotWritten: the record is certainly not in the log, and can be sent again.
	FateNotWritten = record.FateNotWritten
	// FateRejected: the record is certainly not in the log, and would be refused again. The record itself, or the
	// settings or rights of its topic, must change first.
	FateRejected = record.FateRejected
	// FateMaybeWritten: the record may be in the log or not. A second Send may write a duplicate: idempotence covers
	// only the producer's own retries.
	FateMaybeWritten = record.FateMaybeWritten
)

// FateOf returns the fate of a Send's record from its error. It is not for the errors of [Producer.Close],
// [Producer.Flush] and [New]: these concern no single record. An error from outside this package proves nothing about
// the record, so it may be written. The errors of this package's variables have their own fate, so a test double may
// return one of them.
func FateOf(err error) Fate { return record.FateOf(err) }

// MaybeWritten reports whether the fate of err is [FateMaybeWritten]. False is certain: the record is in the log if err
// is nil, and is not there otherwise.
func MaybeWritten(err error) bool { return FateOf(err) == FateMaybeWritten }

// Retriable reports whether the fate of err is [FateNotWritten]: the record is certainly not in the log, and can be
// sent again.
func Retriable(err error) bool { return FateOf(err) == FateNotWritten }

// Reason returns a short stable name for the reason of err, for metrics: such as "buffer_full" for [ErrBufferFull], or
// Kafka's name of a broker's error code, such as "NOT_ENOUGH_REPLICAS". It is "" for nil, "context_canceled" or
// "context_deadline_exceeded" after the end of the user's context, and "unknown" for an error from outside this
// package.
func Reason(err error) string { return record.Word(err) }

// CloseError has the counts of records that [Producer.Close] could not deliver.
type CloseError struct {
	// Undelivered is how many records had no outcome when Close's context ended. They have failed with ErrClosed.
	Undelivered int
	// MaybeWritten is how many of these may be in the log all the same.
	MaybeWritten int
	// PendingCallbacks is the number of records with an outcome whose callback or interceptor's OnAcknowledgement had
	// not returned when Close did; records of Undelivered are among them. These callbacks keep running: do not read
	// their results before another Close has waited for them. The number can be up to 7 too high for each partition
	// with a running callback at the start of Close.
	PendingCallbacks int
	// Unobserved is the number of failures in the producer's whole life that the program never observed: the records
	// had no callback, and their Future was not read. It does not include the records of Undelivered.
	Unobserved int64
	// FirstUnobserved is one of these failures, usually the first; nil if the producer kept none of their errors.
	FirstUnobserved error
	// Err is why Close stopped waiting, or nil.
	Err error
}

// Error returns a text with the counts above zero.
func (e *CloseError) Error() string {
	var counts []string
	if e.Undelivered > 0 {
		counts = append(counts, plural(int64(e.Undelivered), "record")+" left undelivered "+e.fates())
	}
	if e.PendingCallbacks > 0 {
		verb := "have"
		if e.PendingCallbacks == 1 {
			verb = "has"
		}
		counts = append(counts, plural(int64(e.PendingCallbacks), "callback")+" "+verb+" not returned")
	}
	if e.Unobserved > 0 {
		counts = append(counts, e.unobserved())
	}
	text := "samsa: close: "
	if e.Err != nil {
		text += e.Err.Error()
		if len(counts) > 0 {
			text += ": "
		}
	}
	return text + strings.Join(counts, "; ")
}

// fates returns the part of the text about undelivered records that may be written.
func (e *CloseError) fates() string {
	switch e.MaybeWritten {
	case 0:
		return "(not written)"
	case e.Undelivered:
		return "(maybe written)"
	}
	return fmt.Sprintf("(%d of them maybe written)", e.MaybeWritten)
}

// unobserved describes the number of unobserved failures, and the reason of the first one.
func (e *CloseError) unobserved() string {
	text, first := plural(e.Unobserved, "record")+" failed and nobody observed them", "; the first: "
	if e.Unobserved == 1 {
		text, first = "1 record failed and nobody observed it", ": "
	}
	if e.FirstUnobserved != nil {
		text += first + strings.TrimPrefix(e.FirstUnobserved.Error(), "samsa: ")
	}
	return text
}

// Unwrap returns why Close stopped waiting.
func (e *CloseError) Unwrap() error { return e.Err }
