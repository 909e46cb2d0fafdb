package protocol

import "strconv"

// ErrorCode is a broker's reason for a failure; [None] is success. One table holds all facts about the codes.
type ErrorCode int16

// WriteOutcome says whether the batch of a Produce request was written, as far as the answer tells. It concerns this
// request alone: an earlier attempt of the same batch, with its answer lost, may have been written all the same.
type WriteOutcome uint8

const (
	// NotWritten: the request did not put the batch into the log.
	NotWritten WriteOutcome = iota
	// MaybeWritten: the batch may be in the log or not.
	MaybeWritten
	// IsWritten: the batch is in the log.
	IsWritten
)

// String returns "not written", "maybe written" or "written".
func (w WriteOutcome) String() string {
	switch w {
	case NotWritten:
		return "not written"
	case IsWritten:
		return "written"
	default:
		return "maybe written"
	}
}

// row returns the table's row of the code, or nil.
func (c ErrorCode) row() *codeRow {
	i := int(c) - int(codeTable[0].code)
	if i < 0 || i >= len(codeTable) {
		return nil
	}
	return &codeTable[i]
}

// Known reports whether this client knows the code.
func (c ErrorCode) Known() bool { return c.row() != nil }

// Name returns Kafka's name of the code, such as NOT_LEADER_OR_FOLLOWER, or UNKNOWN_ERROR_CODE for an unknown code.
func (c ErrorCode) Name() string {
	if row := c.row(); row != nil {
		return row.name
	}
	return "UNKNOWN_ERROR_CODE"
}

// String returns name and number.
func (c ErrorCode) String() string { return c.Name() + " (" + strconv.Itoa(int(c)) + ")" }

// Description gives the code's meaning in a few words.
func (c ErrorCode) Description() string {
	if row := c.row(); row != nil {
		return row.description
	}
	return "the broker answered with a code that this client does not know"
}

// Retriable reports whether the same request can succeed later. An unknown code is not retriable.
func (c ErrorCode) Retriable() bool {
	row := c.row()
	return row != nil && row.cure&retriable != 0
}

// AboutProducerID reports whether the broker refused a batch because of its producer id, epoch or sequence.
func (c ErrorCode) AboutProducerID() bool {
	switch c {
	case OutOfOrderSequenceNumber, UnknownProducerID, InvalidProducerEpoch, InvalidProducerIDMapping, ProducerFenced:
		return true
	}
	return false
}

// RefreshMetadata reports whether the client's picture of topics and leaders is out of date.
func (c ErrorCode) RefreshMetadata() bool {
	row := c.row()
	return row != nil && row.cure&refresh != 0
}

// WriteOutcome says whether a Produce request with acks=all and this answer wrote its batch. With other acks it is
// right, too, but [ErrorCode.WriteOutcomeWith] may know more.
func (c ErrorCode) WriteOutcome() WriteOutcome { return c.WriteOutcomeWith(-1) }

// WriteOutcomeWith says whether a Produce request with the given acks and this answer wrote its batch. With acks=1 the
// leader answers right after its append, so codes such as NOT_LEADER_OR_FOLLOWER can only come from before.
func (c ErrorCode) WriteOutcomeWith(acks int16) WriteOutcome {
	row := c.row()
	switch {
	case row == nil:
		return MaybeWritten
	case row.when == appended:
		return IsWritten
	case row.when == beforeAppend, row.when == whileWaiting && acks == 1:
		return NotWritten
	default:
		return MaybeWritten
	}
}
