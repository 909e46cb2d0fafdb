package protocol

import (
	"math/rand/v2"
	"strings"
)

// messageKind is one message in one direction, for tests of all messages.
type messageKind struct {
	name   string
	key    APIKey
	fresh  func() Message
	random func(g *generator) Message
}

// versions returns every version of the message.
func (k messageKind) versions() []int16 {
	var versions []int16
	for v := SupportedVersions(k.key).Min; v <= SupportedVersions(k.key).Max; v++ {
		versions = append(versions, v)
	}
	return versions
}

var requestKinds = []messageKind{
	{"ApiVersionsRequest", ApiVersions, func() Message { return new(ApiVersionsRequest) },
		func(g *generator) Message { return g.apiVersionsRequest() }},
	{"MetadataRequest", Metadata, func() Message { return new(MetadataRequest) },
		func(g *generator) Message { return g.metadataRequest() }},
	{"ProduceRequest", Produce, func() Message { return new(ProduceRequest) },
		func(g *generator) Message { return g.produceRequest() }},
	{"InitProducerIDRequest", InitProducerID, func() Message { return new(InitProducerIDRequest) },
		func(g *generator) Message { return g.initProducerIDRequest() }},
}

var responseKinds = []messageKind{
	{"ApiVersionsResponse", ApiVersions, func() Message { return new(ApiVersionsResponse) },
		func(g *generator) Message { return g.apiVersionsResponse() }},
	{"MetadataResponse", Metadata, func() Message { return new(MetadataResponse) },
		func(g *generator) Message { return g.metadataResponse() }},
	{"ProduceResponse", Produce, func() Message { return new(ProduceResponse) },
		func(g *generator) Message { return g.produceResponse() }},
	{"InitProducerIDResponse", InitProducerID, func() Message { return new(InitProducerIDResponse) },
		func(g *generator) Message { return g.initProducerIDResponse() }},
}

var allKinds = append(append([]messageKind(nil), requestKinds...), responseKinds...)

// generator makes random messages of one version: fields of other versions hold Decode's defaults. The version of each
// field is written out here once more, from Kafka's schemas, to notice a field forgotten by the codecs.
type generator struct {
	*rand.Rand
	version int16
}

func newGenerator(seed uint64, version int16) *generator {
	return &generator{rand.New(rand.NewPCG(seed, uint64(version))), version}
}

// since reports whether the version has a field introduced with v.
func (g *generator) since(v int16) bool { return g.version >= v }

func (g *generator) bool() bool      { return g.IntN(2) == 0 }
func (g *generator) int16() int16    { return int16(g.Uint64()) }
func (g *generator) int32() int32    { return int32(g.Uint64()) }
func (g *generator) int64() int64    { return int64(g.Uint64()) }
func (g *generator) code() ErrorCode { return ErrorCode(g.IntN(140) - 1) }
func (g *generator) nonZero() UUID   { return UUID(g.bytes(16)) }
func (g *generator) maybe(s *string) *string {
	if g.bool() {
		return nil
	}
	return s
}

func (g *generator) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

// length is a count, often 0 or 1, and sometimes of two bytes as a varint.
func (g *generator) length() int {
	switch g.IntN(8) {
	case 0, 1:
		return 0
	case 2, 3:
		return 1
	case 4:
		return 120 + g.IntN(20)
	default:
		return g.IntN(5)
	}
}

func (g *generator) string() string {
	if g.IntN(1000) == 0 {
		return strings.Repeat("x", maxString)
	}
	return string(g.bytes(g.length()))
}

func (g *generator) pointer() *string {
	s := g.string()
	return &s
}

// list returns n random elements, nil when n is 0.
func list[T any](n int, element func() T) []T {
	var s []T
	for range n {
		s = append(s, element())
	}
	return s
}

func (g *generator) apiVersionsRequest() *ApiVersionsRequest {
	m := &ApiVersionsRequest{}
	if g.since(3) {
		m.SoftwareName, m.SoftwareVersion = g.string(), g.string()
	}
	return m
}

func (g *generator) apiVersionsResponse() *ApiVersionsResponse {
	m := &ApiVersionsResponse{ErrorCode: g.code(), FinalizedFeaturesEpoch: -1}
	m.APIs = list(g.length(), func() APIVersion { return APIVersion{APIKey(g.int16()), g.int16(), g.int16()} })
	if m.ErrorCode == UnsupportedVersion {
		return m
	}
	if g.since(1) {
		m.ThrottleMs = g.int32()
	}
	if g.since(3) && g.bool() {
		m.SupportedFeatures = list(g.length(), func() SupportedFeature {
			return SupportedFeature{g.string(), g.int16(), g.int16()}
		})
		m.FinalizedFeaturesEpoch = g.int64()
		m.FinalizedFeatures = list(g.length(), func() FinalizedFeature {
			return FinalizedFeature{g.string(), g.int16(), g.int16()}
		})
		m.ZkMigrationReady = g.bool()
	}
	return m
}

func (g *generator) metadataRequest() *MetadataRequest {
	m := &MetadataRequest{AllowAutoTopicCreation: true}
	if n := g.length(); n > 0 || g.since(1) {
		m.Topics = make([]MetadataRequestTopic, n)
	}
	if g.IntN(4) == 0 {
		m.Topics = nil
	}
	for i := range m.Topics {
		t := &m.Topics[i]
		t.Name = g.pointer()
		if g.since(10) {
			t.Name, t.ID = g.maybe(t.Name), g.nonZero()
		}
	}
	if g.since(4) {
		m.AllowAutoTopicCreation = g.bool()
	}
	if g.since(8) {
		m.IncludeTopicAuthorizedOperations = g.bool()
		m.IncludeClusterAuthorizedOperations = g.bool() && !g.since(11)
	}
	return m
}

func (g *generator) metadataResponse() *MetadataResponse {
	m := &MetadataResponse{ControllerID: -1, ClusterAuthorizedOperations: OperationsUnknown}
	if g.since(3) {
		m.ThrottleMs = g.int32()
	}
	m.Brokers = list(g.length(), func() MetadataBroker {
		b := MetadataBroker{NodeID: g.int32(), Host: g.string(), Port: g.int32()}
		if g.since(1) {
			b.Rack = g.maybe(g.pointer())
		}
		return b
	})
	if g.since(1) {
		m.ControllerID = g.int32()
	}
	if g.since(2) {
		m.ClusterID = g.maybe(g.pointer())
	}
	m.Topics = list(g.length(), g.metadataTopic)
	if g.since(8) && !g.since(11) {
		m.ClusterAuthorizedOperations = g.int32()
	}
	if g.since(13) {
		m.ErrorCode = g.code()
	}
	return m
}

func (g *generator) metadataTopic() MetadataTopic {
	t := MetadataTopic{ErrorCode: g.code(), Name: g.pointer(), AuthorizedOperations: OperationsUnknown}
	if g.since(1) {
		t.IsInternal = g.bool()
	}
	if g.since(8) {
		t.AuthorizedOperations = g.int32()
	}
	if g.since(10) {
		t.ID = g.nonZero()
	}
	if g.since(12) {
		t.Name = g.maybe(t.Name)
	}
	t.Partitions = list(g.IntN(4), func() MetadataPartition {
		p := MetadataPartition{ErrorCode: g.code(), Index: g.int32(), LeaderID: g.int32(), LeaderEpoch: -1}
		p.Replicas, p.ISR = list(g.length(), g.int32), list(g.length(), g.int32)
		if g.since(5) {
			p.Offline = list(g.length(), g.int32)
		}
		if g.since(7) {
			p.LeaderEpoch = g.int32()
		}
		return p
	})
	return t
}

func (g *generator) produceRequest() *ProduceRequest {
	m := &ProduceRequest{TransactionalID: g.maybe(g.pointer()), Acks: g.int16(), TimeoutMs: g.int32()}
	m.Topics = list(g.length(), func() ProduceTopic {
		t := ProduceTopic{}
		if g.since(13) {
			t.ID = g.nonZero()
		} else {
			t.Name = g.string()
		}
		t.Partitions = list(g.IntN(4), func() ProducePartition {
			p := ProducePartition{Index: g.int32()}
			if g.IntN(10) > 0 {
				p.Records = g.bytes(g.IntN(300))
			}
			return p
		})
		return t
	})
	return m
}

func (g *generator) produceResponse() *ProduceResponse {
	m := &ProduceResponse{ThrottleMs: g.int32()}
	m.Topics = list(g.length(), func() ProduceTopicResponse {
		t := ProduceTopicResponse{Partitions: list(g.IntN(4), g.producePartitionResponse)}
		if g.since(13) {
			t.ID = g.nonZero()
		} else {
			t.Name = g.string()
		}
		return t
	})
	if g.since(10) {
		m.NodeEndpoints = list(g.length(), func() NodeEndpoint {
			return NodeEndpoint{g.int32(), g.string(), g.int32(), g.maybe(g.pointer())}
		})
	}
	return m
}

func (g *generator) producePartitionResponse() ProducePartitionResponse {
	p := ProducePartitionResponse{Index: g.int32(), ErrorCode: g.code(), BaseOffset: g.int64(),
		LogAppendTimeMs: g.int64()}
	p.LogStartOffset = -1
	if g.since(5) {
		p.LogStartOffset = g.int64()
	}
	if g.since(8) {
		p.RecordErrors = list(g.length(), func() RecordError { return RecordError{g.int32(), g.maybe(g.pointer())} })
		p.ErrorMessage = g.maybe(g.pointer())
	}
	if g.since(10) && g.bool() {
		p.CurrentLeader = &LeaderIDAndEpoch{g.int32(), g.int32()}
	}
	return p
}

func (g *generator) initProducerIDRequest() *InitProducerIDRequest {
	m := &InitProducerIDRequest{TransactionalID: g.maybe(g.pointer()), TransactionTimeoutMs: g.int32(), ProducerID: -1,
		ProducerEpoch: -1}
	if g.since(3) {
		m.ProducerID, m.ProducerEpoch = g.int64(), g.int16()
	}
	return m
}

func (g *generator) initProducerIDResponse() *InitProducerIDResponse {
	return &InitProducerIDResponse{ThrottleMs: g.int32(), ErrorCode: g.code(), ProducerID: g.int64(),
		ProducerEpoch: g.int16()}
}
