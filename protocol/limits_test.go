package protocol

import (
	"bytes"
	"math"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// decodeSize returns how many bytes a decoder takes from the heap, and its error. The runtime counts the whole process,
// so the smallest of several attempts counts.
func decodeSize(decode func() error) (least uint64, err error) {
	least = math.MaxUint64
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err = decode()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least, err
}

// denseProduceResponse is a body of n topics without name and partitions: three bytes each, twenty times as many in
// memory.
func denseProduceResponse(n int) []byte {
	w := newWriter(nil, Produce, 9)
	w.arrayLen(n)
	w.b = append(w.b, bytes.Repeat([]byte{1, 1, 0}, n)...)
	w.int32(0)
	w.noTags()
	return w.b
}

// TestAResponseBeyondItsLimitsIsRefusedBeforeItTakesMemory: 9 MB of topics would be 168 MB decoded.
func TestAResponseBeyondItsLimitsIsRefusedBeforeItTakesMemory(t *testing.T) {
	many := 100_000
	partitions := make([]ProducePartitionResponse, many)
	tests := map[string]*ProduceResponse{
		"partitions of one topic": {Topics: []ProduceTopicResponse{{Partitions: partitions}}},
		"partitions of the second topic": {Topics: []ProduceTopicResponse{
			{Partitions: partitions[:2]}, {Partitions: partitions},
		}},
		"record errors": {Topics: []ProduceTopicResponse{{
			Partitions: []ProducePartitionResponse{{RecordErrors: make([]RecordError, 3)},
				{RecordErrors: make([]RecordError, many)}},
		}}},
		"brokers": {NodeEndpoints: make([]NodeEndpoint, many)},
	}
	most := ProduceLimits{Topics: 10, Partitions: 10, RecordErrors: 5, NodeEndpoints: 10}
	for name, m := range tests {
		t.Run(name, func(t *testing.T) {
			for _, version := range []int16{10, 13} {
				body, err := m.Append(nil, version)
				require.NoError(t, err)
				size, err := decodeSize(func() error { return new(ProduceResponse).DecodeWithin(body, version, most) })
				require.ErrorIs(t, err, ErrMalformed)
				require.Less(t, size, uint64(20_000))
			}
		})
	}
	t.Run("topics", func(t *testing.T) {
		body := denseProduceResponse(3_000_000)
		size, err := decodeSize(func() error { return new(ProduceResponse).DecodeWithin(body, 9, most) })
		require.ErrorIs(t, err, ErrMalformed)
		require.ErrorContains(t, err, "3000000 topics, where at most 10 more can be")
		require.Less(t, size, uint64(20_000))
	})
}

func TestAResponseWithinItsLimitsIsDecoded(t *testing.T) {
	m := ProduceResponse{
		Topics: []ProduceTopicResponse{
			{ID: UUID{1}, Partitions: []ProducePartitionResponse{{Index: 1, RecordErrors: make([]RecordError, 2)}}},
			{ID: UUID{2}, Partitions: []ProducePartitionResponse{{Index: 1, RecordErrors: make([]RecordError, 1)},
				{Index: 2}}},
		},
		NodeEndpoints: make([]NodeEndpoint, 2),
	}
	body, err := m.Append(nil, 13)
	require.NoError(t, err)
	exact := ProduceLimits{Topics: 2, Partitions: 3, RecordErrors: 3, NodeEndpoints: 2}
	require.NoError(t, new(ProduceResponse).DecodeWithin(body, 13, exact))
	for _, less := range []func(*ProduceLimits){
		func(l *ProduceLimits) { l.Topics-- },
		func(l *ProduceLimits) { l.Partitions-- },
		func(l *ProduceLimits) { l.RecordErrors-- },
		func(l *ProduceLimits) { l.NodeEndpoints-- },
	} {
		most := exact
		less(&most)
		require.ErrorIs(t, new(ProduceResponse).DecodeWithin(body, 13, most), ErrMalformed)
	}
}

func TestMetadataHasNoMoreTopicsThanTheRequest(t *testing.T) {
	name := "t"
	one, two := []MetadataRequestTopic{{Name: &name}}, []MetadataRequestTopic{{Name: &name}, {Name: &name}}
	m := MetadataResponse{Topics: []MetadataTopic{{Name: &name}, {Name: &name}}}
	for version := range int16(14) {
		body, err := m.Append(nil, version)
		require.NoError(t, err)
		decode := func(topics []MetadataRequestTopic) error {
			return DecodeResponse(new(MetadataResponse), body, version, &MetadataRequest{Topics: topics})
		}
		require.NoError(t, decode(two))
		require.NoError(t, decode(nil), "all topics")
		require.ErrorIs(t, decode(one), ErrMalformed)
		if version > 0 {
			require.ErrorIs(t, decode([]MetadataRequestTopic{}), ErrMalformed, "no topics")
		}
	}
}

func TestAServerHasNoThousandsOfAPIs(t *testing.T) {
	for version := range int16(5) {
		for n, ok := range map[int]bool{mostAPIs: true, mostAPIs + 1: false} {
			m := ApiVersionsResponse{APIs: make([]APIVersion, n), FinalizedFeaturesEpoch: -1}
			body, err := m.Append(nil, version)
			require.NoError(t, err)
			err = new(ApiVersionsResponse).Decode(body, version)
			if ok {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, ErrMalformed)
			}
		}
	}
	for _, m := range []ApiVersionsResponse{
		{SupportedFeatures: make([]SupportedFeature, mostFeatures+1)},
		{FinalizedFeatures: make([]FinalizedFeature, mostFeatures+1)},
	} {
		body, err := m.Append(nil, 4)
		require.NoError(t, err)
		require.ErrorIs(t, new(ApiVersionsResponse).Decode(body, 4), ErrMalformed)
	}
}

// TestMetadataTakesASmallMultipleOfItsBytes: brokers, topics and partitions with the fewest bytes each.
func TestMetadataTakesASmallMultipleOfItsBytes(t *testing.T) {
	empty, n := "", 10_000
	topics, partitions := make([]MetadataTopic, n), make([]MetadataPartition, n)
	for i := range topics {
		topics[i].Name = &empty
	}
	for i := range partitions {
		partitions[i].Replicas = []int32{1}
	}
	for version := range int16(14) {
		for name, m := range map[string]MetadataResponse{
			"brokers": {Brokers: make([]MetadataBroker, n)}, "topics": {Topics: topics},
			"partitions": {Topics: []MetadataTopic{{Name: &empty, Partitions: partitions}}},
		} {
			body, err := m.Append(nil, version)
			require.NoError(t, err)
			size, err := decodeSize(func() error { return new(MetadataResponse).Decode(body, version) })
			require.NoError(t, err)
			require.LessOrEqual(t, size, uint64(12*len(body)+4096), "%s in version %d", name, version)
		}
	}
}
