package protocol

// NoProducerID and NoProducerEpoch stand for no producer id and no epoch.
const (
	NoProducerID    int64 = -1
	NoProducerEpoch int16 = -1
)

// InitProducerIDRequest asks for a producer id and epoch. It is spoken in versions 0 to 5:
//
//   - 2 is flexible
//   - 3 adds ProducerID and ProducerEpoch (KIP-360)
//   - 4 may be answered with PRODUCER_FENCED, 5 with TRANSACTION_ABORTABLE
type InitProducerIDRequest struct {
	// TransactionalID is nil for a producer without transactions.
	TransactionalID *string
	// TransactionTimeoutMs is transaction.timeout.ms. It means nothing without a TransactionalID.
	TransactionTimeoutMs int32
	// ProducerID and ProducerEpoch name an identity for a higher epoch; [NoProducerID] and [NoProducerEpoch] ask for a
	// new identity. Below version 3 a request can only ask for a new one, and Append fails for any other values.
	ProducerID    int64
	ProducerEpoch int16
}

// Key returns InitProducerID.
func (*InitProducerIDRequest) Key() APIKey { return InitProducerID }

// Append appends the request's body.
func (m *InitProducerIDRequest) Append(dst []byte, version int16) ([]byte, error) {
	w := newWriter(dst, InitProducerID, version)
	w.nullableString(m.TransactionalID)
	w.int32(m.TransactionTimeoutMs)
	if version >= 3 {
		w.int64(m.ProducerID)
		w.int16(m.ProducerEpoch)
	} else if m.ProducerID != NoProducerID || m.ProducerEpoch != NoProducerEpoch {
		w.fail("a producer id to continue needs version 3")
	}
	w.noTags()
	return w.finish("request")
}

// Decode fills the request from a body.
func (m *InitProducerIDRequest) Decode(body []byte, version int16) error {
	r := newReader(body, InitProducerID, version)
	m.TransactionalID = r.nullableString(m.TransactionalID)
	m.TransactionTimeoutMs = r.int32()
	m.ProducerID, m.ProducerEpoch = NoProducerID, NoProducerEpoch
	if version >= 3 {
		m.ProducerID = r.int64()
		m.ProducerEpoch = r.int16()
	}
	r.skipTags()
	return r.finish("request")
}

// InitProducerIDResponse gives a producer its id and epoch. Version 2 is flexible; the fields are the same in all
// versions.
type InitProducerIDResponse struct {
	// ThrottleMs is how long the client shall send nothing, in milliseconds.
	ThrottleMs    int32
	ErrorCode     ErrorCode
	ProducerID    int64
	ProducerEpoch int16
}

// Key returns InitProducerID.
func (*InitProducerIDResponse) Key() APIKey { return InitProducerID }

// Append appends the response's body.
func (m *InitProducerIDResponse) Append(dst []byte, version int16) ([]byte, error) {
	w := newWriter(dst, InitProducerID, version)
	w.int32(m.ThrottleMs)
	w.errorCode(m.ErrorCode)
	w.int64(m.ProducerID)
	w.int16(m.ProducerEpoch)
	w.noTags()
	return w.finish("response")
}

// Decode fills the response from a body.
func (m *InitProducerIDResponse) Decode(body []byte, version int16) error {
	r := newReader(body, InitProducerID, version)
	m.ThrottleMs = r.int32()
	m.ErrorCode = r.errorCode()
	m.ProducerID = r.int64()
	m.ProducerEpoch = r.int16()
	r.skipTags()
	return r.finish("response")
}
