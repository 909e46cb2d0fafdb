package protocol

import "math"

// OperationsUnknown is the value of authorized operations if the request does not ask for them or the version lacks
// them.
const OperationsUnknown int32 = math.MinInt32

// MetadataRequest asks for brokers, topics, partitions and their leaders. It is spoken in versions 0 to 13:
//
//   - 1 tells no topics from all topics
//   - 4 adds AllowAutoTopicCreation
//   - 8 adds IncludeTopicAuthorizedOperations; IncludeClusterAuthorizedOperations is in 8 to 10
//   - 9 is flexible
//   - 10 adds topic ids; only from 12 on do brokers look them up (KIP-516)
type MetadataRequest struct {
	// Topics are the requested topics: nil means all, empty means none. In version 0 none cannot be said, and Append
	// fails.
	Topics []MetadataRequestTopic
	// AllowAutoTopicCreation is allow.auto.create.topics: the broker may create missing topics named in the request.
	// Below version 4 it always may, so Append fails for a false value with named topics.
	AllowAutoTopicCreation bool
	// IncludeClusterAuthorizedOperations and IncludeTopicAuthorizedOperations ask for the client's permitted
	// operations. Versions without these fields answer [OperationsUnknown].
	IncludeClusterAuthorizedOperations bool
	IncludeTopicAuthorizedOperations   bool
}

// MetadataRequestTopic is one requested topic, by name, or by id with a nil Name.
type MetadataRequestTopic struct {
	// ID is sent from version 10 on.
	ID UUID
	// Name may be nil from version 10 on. Brokers understand it from version 12 on.
	Name *string
}

// Key returns Metadata.
func (*MetadataRequest) Key() APIKey { return Metadata }

// Append appends the request's body.
func (m *MetadataRequest) Append(dst []byte, version int16) ([]byte, error) {
	w := newWriter(dst, Metadata, version)
	switch {
	case m.Topics == nil && version >= 1:
		w.arrayLen(-1)
	case m.Topics != nil && len(m.Topics) == 0 && version == 0:
		w.fail("version 0 cannot ask for no topics")
	default:
		w.arrayLen(len(m.Topics))
	}
	for i := range m.Topics {
		t := &m.Topics[i]
		if version >= 10 {
			w.uuid(t.ID)
		} else if t.Name == nil {
			w.fail("a topic without a name needs version 10")
		}
		w.nullableString(t.Name)
		w.noTags()
	}
	if version >= 4 {
		w.bool(m.AllowAutoTopicCreation)
	} else if !m.AllowAutoTopicCreation && len(m.Topics) > 0 {
		w.fail("forbidding the broker to create topics needs version 4")
	}
	if version >= 8 && version <= 10 {
		w.bool(m.IncludeClusterAuthorizedOperations)
	}
	if version >= 8 {
		w.bool(m.IncludeTopicAuthorizedOperations)
	}
	w.noTags()
	return w.finish("request")
}

// Decode fills the request from a body.
func (m *MetadataRequest) Decode(body []byte, version int16) error {
	r := newReader(body, Metadata, version)
	m.decodeTopics(&r, version)
	m.AllowAutoTopicCreation = true
	if version >= 4 {
		m.AllowAutoTopicCreation = r.bool()
	}
	m.IncludeClusterAuthorizedOperations, m.IncludeTopicAuthorizedOperations = false, false
	if version >= 8 && version <= 10 {
		m.IncludeClusterAuthorizedOperations = r.bool()
	}
	if version >= 8 {
		m.IncludeTopicAuthorizedOperations = r.bool()
	}
	r.skipTags()
	return r.finish("request")
}

func (m *MetadataRequest) decodeTopics(r *reader, version int16) {
	n := r.nullableArrayLen(2)
	switch {
	case n < 0 && version == 0:
		r.fail("an array that must be there is null")
		return
	case n < 0, n == 0 && version == 0:
		m.Topics = nil
		return
	case m.Topics == nil:
		m.Topics = make([]MetadataRequestTopic, n)
	default:
		m.Topics = resize(m.Topics, n)
	}
	for i := range m.Topics {
		t := &m.Topics[i]
		t.ID = UUID{}
		if version >= 10 {
			t.ID = r.uuid()
		}
		t.Name = r.nullableString(t.Name)
		if t.Name == nil && version < 10 {
			r.fail("a string that must be there is null")
			return
		}
		r.skipTags()
	}
}

// MetadataResponse tells of brokers, topics, partitions and their leaders. It is spoken in versions 0 to 13:
//
//   - 1 adds racks, ControllerID and IsInternal
//   - 2 adds ClusterID
//   - 3 adds ThrottleMs
//   - 5 adds Offline replicas
//   - 7 adds LeaderEpoch
//   - 8 adds AuthorizedOperations; ClusterAuthorizedOperations is in 8 to 10
//   - 9 is flexible
//   - 10 adds topic ids
//   - 12 may have topics without a name
//   - 13 adds ErrorCode
type MetadataResponse struct {
	// ThrottleMs is how long the client shall send nothing, in milliseconds.
	ThrottleMs int32
	Brokers    []MetadataBroker
	// ClusterID is nil if unknown.
	ClusterID *string
	// ControllerID is -1 if unknown.
	ControllerID int32
	Topics       []MetadataTopic
	// ClusterAuthorizedOperations is a bit field, or [OperationsUnknown].
	ClusterAuthorizedOperations int32
	// ErrorCode concerns the whole answer: REBOOTSTRAP_REQUIRED (KIP-1102).
	ErrorCode ErrorCode
}

// MetadataBroker is a broker with its address.
type MetadataBroker struct {
	NodeID int32
	Host   string
	Port   int32
	// Rack is nil for a broker without a rack.
	Rack *string
}

// MetadataTopic is a topic with its partitions.
type MetadataTopic struct {
	ErrorCode ErrorCode
	// Name is nil for a missing topic requested by id.
	Name *string
	// ID is zero if the broker has no ids, and for a missing topic requested by name.
	ID         UUID
	IsInternal bool
	// Partitions come in any order.
	Partitions []MetadataPartition
	// AuthorizedOperations is a bit field, or [OperationsUnknown].
	AuthorizedOperations int32
}

// MetadataPartition is a partition with its leader and replicas.
type MetadataPartition struct {
	ErrorCode ErrorCode
	Index     int32
	// LeaderID is -1 if the partition has no leader.
	LeaderID int32
	// LeaderEpoch grows with each new leader; -1 if unknown.
	LeaderEpoch int32
	// Replicas, ISR and Offline are ids of brokers: all replicas, those in sync, those not to be reached.
	Replicas, ISR, Offline []int32
}

// Key returns Metadata.
func (*MetadataResponse) Key() APIKey { return Metadata }

// Append appends the response's body.
func (m *MetadataResponse) Append(dst []byte, version int16) ([]byte, error) {
	w := newWriter(dst, Metadata, version)
	if version >= 3 {
		w.int32(m.ThrottleMs)
	}
	w.arrayLen(len(m.Brokers))
	for i := range m.Brokers {
		b := &m.Brokers[i]
		w.int32(b.NodeID)
		w.string(b.Host)
		w.int32(b.Port)
		if version >= 1 {
			w.nullableString(b.Rack)
		}
		w.noTags()
	}
	if version >= 2 {
		w.nullableString(m.ClusterID)
	}
	if version >= 1 {
		w.int32(m.ControllerID)
	}
	w.arrayLen(len(m.Topics))
	for i := range m.Topics {
		m.Topics[i].append(&w, version)
	}
	if version >= 8 && version <= 10 {
		w.int32(m.ClusterAuthorizedOperations)
	}
	if version >= 13 {
		w.errorCode(m.ErrorCode)
	}
	w.noTags()
	return w.finish("response")
}

func (t *MetadataTopic) append(w *writer, version int16) {
	w.errorCode(t.ErrorCode)
	if t.Name == nil && version < 12 {
		w.fail("a topic without a name needs version 12")
	}
	w.nullableString(t.Name)
	if version >= 10 {
		w.uuid(t.ID)
	}
	if version >= 1 {
		w.bool(t.IsInternal)
	}
	w.arrayLen(len(t.Partitions))
	for i := range t.Partitions {
		p := &t.Partitions[i]
		w.errorCode(p.ErrorCode)
		w.int32(p.Index)
		w.int32(p.LeaderID)
		if version >= 7 {
			w.int32(p.LeaderEpoch)
		}
		w.int32s(p.Replicas)
		w.int32s(p.ISR)
		if version >= 5 {
			w.int32s(p.Offline)
		}
		w.noTags()
	}
	if version >= 8 {
		w.int32(t.AuthorizedOperations)
	}
	w.noTags()
}

// Decode fills the response from a body. The size of the body is the only bound of Decode's memory: a small multiple of
// it. A client uses [MetadataResponse.DecodeFor].
func (m *MetadataResponse) Decode(body []byte, version int16) error {
	return m.decode(body, version, math.MaxInt)
}

// DecodeFor is Decode for the response to a request. A response with more topics than the request is malformed, unless
// the request asks for all topics.
func (m *MetadataResponse) DecodeFor(body []byte, version int16, req *MetadataRequest) error {
	if req.Topics == nil || len(req.Topics) == 0 && version == 0 {
		return m.Decode(body, version)
	}
	return m.decode(body, version, len(req.Topics))
}

func (m *MetadataResponse) decode(body []byte, version int16, topics int) error {
	r := newReader(body, Metadata, version)
	m.ThrottleMs = 0
	if version >= 3 {
		m.ThrottleMs = r.int32()
	}
	m.Brokers = resize(m.Brokers, r.arrayLen(10))
	for i := range m.Brokers {
		m.Brokers[i].decode(&r, version)
	}
	if version >= 2 {
		m.ClusterID = r.nullableString(m.ClusterID)
	} else {
		m.ClusterID = nil
	}
	m.ControllerID = -1
	if version >= 1 {
		m.ControllerID = r.int32()
	}
	m.Topics = resize(m.Topics, r.limitedLen(describedSize(version), &topics, "topics"))
	for i := range m.Topics {
		m.Topics[i].decode(&r, version)
	}
	m.ClusterAuthorizedOperations = OperationsUnknown
	if version >= 8 && version <= 10 {
		m.ClusterAuthorizedOperations = r.int32()
	}
	m.ErrorCode = None
	if version >= 13 {
		m.ErrorCode = r.errorCode()
	}
	r.skipTags()
	return r.finish("response")
}

// describedSize returns the least bytes of one topic in a response.
func describedSize(version int16) int {
	switch {
	case version < 9:
		return 2 + 2 + 4
	case version < 10:
		return 2 + 1 + 1 + 1 + 4 + 1
	}
	return 2 + 1 + len(UUID{}) + 1 + 1 + 4 + 1
}

func (b *MetadataBroker) decode(r *reader, version int16) {
	b.NodeID = r.int32()
	b.Host = r.string(b.Host)
	b.Port = r.int32()
	if version >= 1 {
		b.Rack = r.nullableString(b.Rack)
	} else {
		b.Rack = nil
	}
	r.skipTags()
}

func (t *MetadataTopic) decode(r *reader, version int16) {
	t.ErrorCode = r.errorCode()
	t.Name = r.nullableString(t.Name)
	if t.Name == nil && version < 12 {
		r.fail("a string that must be there is null")
	}
	t.ID = UUID{}
	if version >= 10 {
		t.ID = r.uuid()
	}
	t.IsInternal = version >= 1 && r.bool()
	t.Partitions = resize(t.Partitions, r.arrayLen(18))
	for i := range t.Partitions {
		t.Partitions[i].decode(r, version)
	}
	t.AuthorizedOperations = OperationsUnknown
	if version >= 8 {
		t.AuthorizedOperations = r.int32()
	}
	r.skipTags()
}

func (p *MetadataPartition) decode(r *reader, version int16) {
	p.ErrorCode = r.errorCode()
	p.Index = r.int32()
	p.LeaderID = r.int32()
	p.LeaderEpoch = -1
	if version >= 7 {
		p.LeaderEpoch = r.int32()
	}
	p.Replicas = r.int32s(p.Replicas)
	p.ISR = r.int32s(p.ISR)
	p.Offline = p.Offline[:0]
	if version >= 5 {
		p.Offline = r.int32s(p.Offline)
	}
	r.skipTags()
}
