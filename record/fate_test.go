package record

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
)

func TestEveryReasonHasAFateAndAWord(t *testing.T) {
	for _, c := range []struct {
		err  error
		fate Fate
		word string
	}{
		{ErrClosed, FateNotWritten, "closed"},
		{ErrCanceled, FateNotWritten, "canceled"},
		{ErrNilRecord, FateRejected, "nil_record"}, {ErrZeroFuture, FateRejected, "zero_future"},
		{ErrInvalidTopic, FateRejected, "invalid_topic"},
		{ErrInvalidPartition, FateRejected, "invalid_partition"},
		{ErrInvalidTimestamp, FateRejected, "invalid_timestamp"},
		{ErrInvalidHeader, FateRejected, "invalid_header"},
		{ErrRecordTooLarge, FateRejected, "record_too_large"},
		{ErrBufferFull, FateNotWritten, "buffer_full"},
		{ErrMetadataTimeout, FateNotWritten, "metadata_timeout"},
		{ErrUnknownTopic, FateNotWritten, "unknown_topic"},
		{ErrDeliveryTimeout, FateMaybeWritten, "delivery_timeout"},
		{ErrRetriesExhausted, FateMaybeWritten, "retries_exhausted"},
		{ErrDisconnected, FateMaybeWritten, "disconnected"},
		{ErrPartitioner, FateRejected, "partitioner"},
		{ErrBatchRejected, FateNotWritten, "neighbour_rejected"},
		{ErrClusterReplaced, FateMaybeWritten, "cluster_replaced"},
		{ErrForeignAcknowledgement, FateMaybeWritten, "foreign_acknowledgement"},
		{ErrInCallback, FateRejected, "in_callback"},
		{&protocol.Error{Code: protocol.NotEnoughReplicas}, FateNotWritten, "NOT_ENOUGH_REPLICAS"},
		{&protocol.Error{Code: protocol.NotEnoughReplicasAfterAppend}, FateMaybeWritten,
			"NOT_ENOUGH_REPLICAS_AFTER_APPEND"},
		{&protocol.Error{Code: protocol.InvalidRecord}, FateRejected, "INVALID_RECORD"},
		{&protocol.Error{Code: protocol.TopicAuthorizationFailed}, FateRejected, "TOPIC_AUTHORIZATION_FAILED"},
		{&protocol.Error{Code: protocol.InvalidProducerEpoch}, FateNotWritten, "INVALID_PRODUCER_EPOCH"},
		{&protocol.Error{Code: 999}, FateMaybeWritten, "UNKNOWN_ERROR_CODE"},
	} {
		for _, err := range []error{c.err, fmt.Errorf("wrapped: %w", c.err), &Error{Err: c.err},
			fmt.Errorf("wrapped: %w", &Error{Err: c.err})} {
			require.Equal(t, c.fate, FateOf(err), err)
			require.Equal(t, c.word, Word(err), err)
		}
		require.Equal(t, FateMaybeWritten, FateOf(&Error{Err: c.err, Fate: FateMaybeWritten}), "the Error knows more")
		require.NotEqual(t, FateMaybeWritten, CertainFate(c.err))
		require.NotEqual(t, FateAcknowledged, CertainFate(c.err))
	}
	require.Equal(t, FateAcknowledged, FateOf(nil))
	require.Empty(t, Word(nil))
}

// An error from elsewhere says nothing about the record, and neither does the end of a context without an Error.
func TestForeignErrorsSayNothingOfTheRecord(t *testing.T) {
	for err, word := range map[error]string{io.EOF: "unknown", context.Canceled: "context_canceled",
		context.DeadlineExceeded: "context_deadline_exceeded"} {
		require.Equal(t, FateMaybeWritten, FateOf(err))
		require.Equal(t, word, Word(err))
	}
	cause := errors.New("the user's own cause")
	for _, ended := range []error{context.Canceled, context.DeadlineExceeded} {
		err := &Error{Err: fmt.Errorf("%w: %w", ended, cause)}
		require.Equal(t, FateNotWritten, FateOf(err), "before the append")
	}
}

func TestEveryErrorCodeHasAFate(t *testing.T) {
	for code := protocol.ErrorCode(-2); code < 200; code++ {
		fate := FateOfCode(code)
		switch code.WriteOutcome() {
		case protocol.NotWritten:
			require.Contains(t, []Fate{FateNotWritten, FateRejected}, fate, code)
			require.Equal(t, fate, certainOfCode(code))
		default:
			require.Equal(t, code == protocol.None, fate == FateAcknowledged, code)
		}
		if code.Retriable() {
			require.NotEqual(t, FateRejected, fate, code)
		}
	}
}

func TestWordsAreShortAndStable(t *testing.T) {
	require.Regexp(t, regexp.MustCompile(`^[a-z_]+$`), Word(ErrBufferFull))
	require.Equal(t, []string{"acknowledged", "not written", "rejected", "maybe written"},
		[]string{FateAcknowledged.String(), FateNotWritten.String(), FateRejected.String(), FateMaybeWritten.String()})
}

func TestABrokersRefusalForItsSizeIsARecordTooLarge(t *testing.T) {
	for _, code := range []protocol.ErrorCode{protocol.MessageTooLarge, protocol.RecordListTooLarge} {
		require.ErrorIs(t, &Error{Err: &protocol.Error{Code: code}}, ErrRecordTooLarge)
	}
	require.NotErrorIs(t, &Error{Err: &protocol.Error{Code: protocol.InvalidRecord}}, ErrRecordTooLarge)
	require.NotErrorIs(t, &Error{Err: &protocol.Error{Code: protocol.MessageTooLarge}}, ErrBufferFull)
}

// A test double may make an error without a reason.
func TestAnErrorWithoutAReasonTellsNothing(t *testing.T) {
	for _, err := range []error{&Error{}, &protocol.Error{}, &Error{Err: &protocol.Error{}}} {
		require.Equal(t, FateMaybeWritten, FateOf(err))
		require.NotPanics(t, func() { _ = err.Error() })
		require.NotErrorIs(t, err, ErrUnknownTopic)
	}
	require.EqualError(t, &Error{Topic: "t", Partition: 1},
		`samsa: topic "t" partition 1: no reason given (maybe written)`)
}

func TestABrokerThatIsTooOldRejectsNoRecord(t *testing.T) {
	require.Equal(t, FateOf(ErrUnsupportedVersion), FateOf(&protocol.Error{Code: protocol.UnsupportedVersion}))
}
