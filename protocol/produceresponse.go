package protocol

import "math"

// ProduceResponse gives the outcome of each batch of a [ProduceRequest]. This package speaks it in versions 3 to 13:
//
//   - 4 may say KAFKA_STORAGE_ERROR
//   - 5 adds LogStartOffset
//   - 8 adds RecordErrors and ErrorMessage (KIP-467)
//   - 9 is flexible
//   - 10 adds CurrentLeader and NodeEndpoints (KIP-951)
//   - 11 may say TRANSACTION_ABORTABLE
//   - 13 names topics by id instead of by name
//
// Partitions come in any order. A request with Acks 0 has no response.
type ProduceResponse struct {
	Topics []ProduceTopicResponse
	// ThrottleMs is how long the client shall send nothing, in milliseconds (KIP-219).
	ThrottleMs int32
	// NodeEndpoints are the addresses of the brokers named in CurrentLeaders.
	NodeEndpoints []NodeEndpoint
}

// ProduceTopicResponse holds the answers of one topic.
type ProduceTopicResponse struct {
	// Name is there up to version 12.
	Name string
	// ID is there from version 13 on.
	ID         UUID
	Partitions []ProducePartitionResponse
}

// ProducePartitionResponse gives the outcome of one partition's batch.
type ProducePartitionResponse struct {
	Index     int32
	ErrorCode ErrorCode
	// BaseOffset is the offset of the batch's first record, -1 if the batch was not written or the offset is unknown.
	BaseOffset int64
	// LogAppendTimeMs is the time of the append in milliseconds since 1970 if the topic uses LogAppendTime, else -1.
	LogAppendTimeMs int64
	// LogStartOffset is the first offset still in the log, -1 if unknown.
	LogStartOffset int64
	// RecordErrors name the records to blame for the batch's refusal.
	RecordErrors []RecordError
	// ErrorMessage is the broker's message about ErrorCode; nil is none.
	ErrorMessage *string
	// CurrentLeader is the leader known to the broker, given with NOT_LEADER_OR_FOLLOWER; else nil.
	CurrentLeader *LeaderIDAndEpoch
}

// RecordError names a record refused by the broker.
type RecordError struct {
	// BatchIndex is the record's place in its batch, from 0.
	BatchIndex int32
	// Message says why; nil is nothing.
	Message *string
}

// LeaderIDAndEpoch is a partition's leader.
type LeaderIDAndEpoch struct {
	// LeaderID is -1 if the leader is unknown.
	LeaderID int32
	// LeaderEpoch is -1 if unknown.
	LeaderEpoch int32
}

// NodeEndpoint is a broker with its address.
type NodeEndpoint struct {
	NodeID int32
	Host   string
	Port   int32
	// Rack is nil for a broker without a rack.
	Rack *string
}

// Key returns Produce.
func (*ProduceResponse) Key() APIKey { return Produce }

// Append appends the response's body.
func (m *ProduceResponse) Append(dst []byte, version int16) ([]byte, error) {
	w := newWriter(dst, Produce, version)
	w.arrayLen(len(m.Topics))
	for i := range m.Topics {
		t := &m.Topics[i]
		if version >= 13 {
			w.uuid(t.ID)
		} else {
			w.string(t.Name)
		}
		w.arrayLen(len(t.Partitions))
		for j := range t.Partitions {
			t.Partitions[j].append(&w, version)
		}
		w.noTags()
	}
	w.int32(m.ThrottleMs)
	if version >= 10 && len(m.NodeEndpoints) > 0 {
		w.uvarint(1)
		m.appendEndpoints(&w)
	} else {
		w.noTags()
	}
	return w.finish("response")
}

func (p *ProducePartitionResponse) append(w *writer, version int16) {
	w.int32(p.Index)
	w.errorCode(p.ErrorCode)
	w.int64(p.BaseOffset)
	w.int64(p.LogAppendTimeMs)
	if version >= 5 {
		w.int64(p.LogStartOffset)
	}
	if version >= 8 {
		w.arrayLen(len(p.RecordErrors))
		for i := range p.RecordErrors {
			w.int32(p.RecordErrors[i].BatchIndex)
			w.nullableString(p.RecordErrors[i].Message)
			w.noTags()
		}
		w.nullableString(p.ErrorMessage)
	}
	if version < 10 || p.CurrentLeader == nil {
		w.noTags()
		return
	}
	w.uvarint(1)
	begin := w.tag(0)
	w.int32(p.CurrentLeader.LeaderID)
	w.int32(p.CurrentLeader.LeaderEpoch)
	w.noTags()
	w.endTag(begin)
}

// appendEndpoints writes the tagged field of the endpoints.
func (m *ProduceResponse) appendEndpoints(w *writer) {
	begin := w.tag(0)
	w.arrayLen(len(m.NodeEndpoints))
	for i := range m.NodeEndpoints {
		n := &m.NodeEndpoints[i]
		w.int32(n.NodeID)
		w.string(n.Host)
		w.int32(n.Port)
		w.nullableString(n.Rack)
		w.noTags()
	}
	w.endTag(begin)
}

// ProduceLimits is how much a [ProduceResponse] may name. The request sets the limits: a broker has nothing to say
// about more.
type ProduceLimits struct {
	// Topics and Partitions limit the whole response.
	Topics, Partitions int
	// RecordErrors limits the refused records of all partitions together.
	RecordErrors int
	// NodeEndpoints limits the brokers with addresses in the response.
	NodeEndpoints int
}

// Decode fills the response from a body. It is on the path of every batch: decoding one usual answer after the other
// into the same value allocates nothing, the names of topics apart if they change places. The size of the body is the
// only bound of Decode's memory; a client uses [ProduceResponse.DecodeWithin].
func (m *ProduceResponse) Decode(body []byte, version int16) error {
	return m.DecodeWithin(body, version, ProduceLimits{math.MaxInt, math.MaxInt, math.MaxInt, math.MaxInt})
}

// DecodeWithin is Decode for a response to a request of known size. A response beyond a limit is malformed.
// DecodeWithin reports it before it allocates memory beyond the limit.
func (m *ProduceResponse) DecodeWithin(body []byte, version int16, most ProduceLimits) error {
	r := newReader(body, Produce, version)
	m.Topics = resize(m.Topics, r.limitedLen(3, &most.Topics, "topics"))
	size := producedSize(version)
	for i := range m.Topics {
		t := &m.Topics[i]
		if version >= 13 {
			t.Name, t.ID = "", r.uuid()
		} else {
			t.Name, t.ID = r.string(t.Name), UUID{}
		}
		t.Partitions = resize(t.Partitions, r.limitedLen(size, &most.Partitions, "partitions"))
		for j := range t.Partitions {
			t.Partitions[j].decode(&r, version, &most)
		}
		r.skipTags()
	}
	m.ThrottleMs = r.int32()
	m.NodeEndpoints = m.NodeEndpoints[:0]
	for n := r.tagCount(); n > 0; n-- {
		tag, field := r.tag()
		if tag == 0 && version >= 10 {
			m.decodeEndpoints(&field, &most)
			r.done(&field)
		}
	}
	return r.finish("response")
}

// producedSize returns the least bytes of one partition in a response.
func producedSize(version int16) int {
	switch {
	case version < 5:
		return 4 + 2 + 8 + 8
	case version < 8:
		return 4 + 2 + 8 + 8 + 8
	case version < 9:
		return 4 + 2 + 8 + 8 + 8 + 4 + 2
	}
	return 4 + 2 + 8 + 8 + 8 + 1 + 1 + 1
}

func (p *ProducePartitionResponse) decode(r *reader, version int16, most *ProduceLimits) {
	p.Index = r.int32()
	p.ErrorCode = r.errorCode()
	p.BaseOffset = r.int64()
	p.LogAppendTimeMs = r.int64()
	p.LogStartOffset = -1
	if version >= 5 {
		p.LogStartOffset = r.int64()
	}
	p.RecordErrors = p.RecordErrors[:0]
	old := p.ErrorMessage
	p.ErrorMessage, p.CurrentLeader = nil, nil
	if version >= 8 {
		p.RecordErrors = resize(p.RecordErrors, r.limitedLen(6, &most.RecordErrors, "record errors"))
		for i := range p.RecordErrors {
			e := &p.RecordErrors[i]
			e.BatchIndex = r.int32()
			e.Message = r.nullableString(e.Message)
			r.skipTags()
		}
		p.ErrorMessage = r.nullableString(old)
	}
	for n := r.tagCount(); n > 0; n-- {
		tag, field := r.tag()
		if tag == 0 && version >= 10 {
			p.CurrentLeader = &LeaderIDAndEpoch{LeaderID: field.int32(), LeaderEpoch: field.int32()}
			field.skipTags()
			r.done(&field)
		}
	}
}

func (m *ProduceResponse) decodeEndpoints(r *reader, most *ProduceLimits) {
	m.NodeEndpoints = resize(m.NodeEndpoints, r.limitedLen(11, &most.NodeEndpoints, "brokers"))
	for i := range m.NodeEndpoints {
		n := &m.NodeEndpoints[i]
		n.NodeID = r.int32()
		n.Host = r.string(n.Host)
		n.Port = r.int32()
		n.Rack = r.nullableString(n.Rack)
		r.skipTags()
	}
}
