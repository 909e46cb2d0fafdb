package record

import (
	"context"
	"errors"

	"github.com/gosamsa/samsa/protocol"
)

// Fate is the outcome of a record.
type Fate uint8

const (
	// FateAcknowledged: the record is in the log, with the acknowledgements required by acks.
	FateAcknowledged Fate = iota
	// FateNotWritten: the record is certainly not in the log, and can be sent again.
	FateNotWritten
	// FateRejected: the record is certainly not in the log, and would be refused again: the record itself, or the
	// settings or rights of its topic, must change first.
	FateRejected
	// FateMaybeWritten: the record may be in the log or not. Sent again, it may be there twice.
	FateMaybeWritten
)

// String returns "acknowledged", "not written", "rejected" or "maybe written".
func (f Fate) String() string {
	switch f {
	case FateAcknowledged:
		return "acknowledged"
	case FateNotWritten:
		return "not written"
	case FateRejected:
		return "rejected"
	default:
		return "maybe written"
	}
}

// FateOf returns the record's fate according to an error. An error from elsewhere says nothing about the record, so it
// may be written.
func FateOf(err error) Fate {
	if err == nil {
		return FateAcknowledged
	}
	var e *Error
	if !errors.As(err, &e) {
		return fateOf(err, FateMaybeWritten)
	}
	switch {
	case e.Fate != FateAcknowledged:
		return e.Fate
	case e.Err == nil:
		return FateMaybeWritten
	}
	return fateOf(e.Err, FateRejected)
}

// fateOf returns a reason's fate; for a reason from elsewhere it returns unknown.
func fateOf(err error, unknown Fate) Fate {
	var own *reason
	var broker *protocol.Error
	switch {
	case unknown != FateMaybeWritten && isContext(err):
		return FateNotWritten
	case errors.As(err, &own):
		return own.fate
	case errors.As(err, &broker) && broker.Code != protocol.None:
		return FateOfCode(broker.Code)
	case broker != nil:
		return FateMaybeWritten // the broker reported an error without naming it
	}
	return unknown
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// FateOfCode returns the fate of a record refused by a broker with a code, unless more is known of its attempts. A code
// about a producer id concerns one id, and the next attempt uses another one.
func FateOfCode(code protocol.ErrorCode) Fate {
	switch {
	case code == protocol.None:
		return FateAcknowledged
	case code.WriteOutcome() != protocol.NotWritten:
		return FateMaybeWritten
	}
	return certainOfCode(code)
}

// certainOfCode is FateOfCode for a record certainly outside the log. A broker's own failure says nothing about the
// record.
func certainOfCode(code protocol.ErrorCode) Fate {
	if code.Retriable() || code.AboutProducerID() || code == protocol.UnknownServerError ||
		code == protocol.UnsupportedVersion || !code.Known() {
		return FateNotWritten
	}
	return FateRejected
}

// CertainFate returns the fate of a record that failed with a reason and is certainly not in the log.
func CertainFate(err error) Fate {
	var broker *protocol.Error
	if fate := fateOf(err, FateRejected); fate != FateMaybeWritten {
		return fate
	}
	if errors.As(err, &broker) {
		return certainOfCode(broker.Code)
	}
	return FateNotWritten
}

// reason is an error of the client's own. It carries the fate of its records, unless the record's Error knows more.
type reason struct {
	text string
	word string
	fate Fate
}

func (r *reason) Error() string { return r.text }

// Word returns a short stable name for the reason of an error, for metrics: "buffer_full", or Kafka's name of a
// broker's error code. It is empty for nil, and "unknown" for an unknown reason.
func Word(err error) string {
	var e *Error
	if errors.As(err, &e) {
		err = e.Err
	}
	var own *reason
	var broker *protocol.Error
	switch {
	case err == nil:
		return ""
	// Future.GetOrCancel has withdrawn the record because its context ended
	case isContext(err) && errors.Is(err, ErrCanceled):
		return contextWord(err)
	case errors.As(err, &own):
		return own.word
	case errors.As(err, &broker):
		return broker.Code.Name()
	case isContext(err):
		return contextWord(err)
	}
	return "unknown"
}

func contextWord(err error) string {
	if errors.Is(err, context.Canceled) {
		return "context_canceled"
	}
	return "context_deadline_exceeded"
}
