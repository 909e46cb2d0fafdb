package protocol

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// usualRequest is a request of one topic with the given number of partitions, one batch of 16 KiB each.
func usualRequest(partitions int) *ProduceRequest {
	m := &ProduceRequest{Acks: -1, TimeoutMs: 30000, Topics: []ProduceTopic{{Name: "orders", ID: goldenID}}}
	records := make([]byte, 16384)
	for i := range partitions {
		m.Topics[0].Partitions = append(m.Topics[0].Partitions, ProducePartition{Index: int32(i), Records: records})
	}
	return m
}

// usualResponse is the answer to usualRequest.
func usualResponse(partitions int) *ProduceResponse {
	m := &ProduceResponse{Topics: []ProduceTopicResponse{{Name: "orders", ID: goldenID}}}
	for i := range partitions {
		m.Topics[0].Partitions = append(m.Topics[0].Partitions,
			ProducePartitionResponse{Index: int32(i), BaseOffset: int64(i) * 1000, LogAppendTimeMs: -1})
	}
	return m
}

// perRound returns how many allocations a round costs. AllocsPerRun rounds down, so one run has many rounds.
func perRound(round func()) float64 {
	const rounds = 1000
	return testing.AllocsPerRun(1, func() {
		for range rounds {
			round()
		}
	}) / rounds
}

func TestFramesAllocateNothingWithRoom(t *testing.T) {
	for _, version := range produceVersions() {
		m := usualRequest(12)
		hdr, bufs := make([]byte, 0, 1024), make([][]byte, 0, 32)
		allocs := perRound(func() {
			h := AppendRequestHeader(append(hdr[:0], 0, 0, 0, 0), Produce, version, 1, "client")
			var err error
			if _, bufs, err = m.AppendVectored(h, bufs[:0], version); err != nil {
				panic(err)
			}
		})
		require.Less(t, allocs, 0.01, version)
	}
}

func TestDecodingUsualAnswersAllocatesNothing(t *testing.T) {
	for _, version := range produceVersions() {
		answer := AppendResponseHeader(nil, Produce, version, 1)
		answer, err := usualResponse(12).Append(answer, version)
		require.NoError(t, err)
		var m ProduceResponse
		allocs := perRound(func() {
			_, body, err := DecodeResponseHeader(answer, Produce, version)
			if err != nil {
				panic(err)
			}
			if err := m.Decode(body, version); err != nil {
				panic(err)
			}
		})
		require.Less(t, allocs, 0.01, version)
	}
}

func TestDecodingMetadataThatHasNotChangedAllocatesNothing(t *testing.T) {
	for _, version := range responseKinds[1].versions() {
		body, err := goldenMetadataResponse().Append(nil, version)
		require.NoError(t, err)
		var m MetadataResponse
		require.Less(t, perRound(func() {
			if err := m.Decode(body, version); err != nil {
				panic(err)
			}
		}), 0.01, version)
	}
}

func BenchmarkProduceAppendFrames(b *testing.B) {
	for _, partitions := range []int{1, 12, 1000} {
		for _, version := range []int16{8, 12, 13} {
			b.Run(fmt.Sprintf("partitions=%d/version=%d", partitions, version), func(b *testing.B) {
				m := usualRequest(partitions)
				header, total := m.EncodedSize(version)
				hdr, bufs := make([]byte, 0, 64+header), make([][]byte, 0, 2*partitions+1)
				b.ReportAllocs()
				b.SetBytes(int64(total))
				for b.Loop() {
					h := AppendRequestHeader(append(hdr[:0], 0, 0, 0, 0), Produce, version, 1, "client")
					var err error
					if _, bufs, err = m.AppendVectored(h, bufs[:0], version); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkProduceResponseDecode(b *testing.B) {
	for _, partitions := range []int{1, 12, 1000} {
		for _, version := range []int16{8, 12, 13} {
			b.Run(fmt.Sprintf("partitions=%d/version=%d", partitions, version), func(b *testing.B) {
				body, err := usualResponse(partitions).Append(nil, version)
				require.NoError(b, err)
				var m ProduceResponse
				b.ReportAllocs()
				for b.Loop() {
					if err := m.Decode(body, version); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkMetadataResponseDecode(b *testing.B) {
	const partitions = 10000
	m := &MetadataResponse{Topics: []MetadataTopic{{Name: ptr("orders"), ID: goldenID}}}
	for i := range int32(partitions) {
		replicas := []int32{i % 3, (i + 1) % 3, (i + 2) % 3}
		m.Topics[0].Partitions = append(m.Topics[0].Partitions,
			MetadataPartition{Index: i, LeaderID: i % 3, Replicas: replicas, ISR: replicas})
	}
	body, err := m.Append(nil, 13)
	require.NoError(b, err)
	for _, reused := range []bool{false, true} {
		b.Run(fmt.Sprintf("partitions=%d/reused=%t", partitions, reused), func(b *testing.B) {
			got := new(MetadataResponse)
			b.ReportAllocs()
			for b.Loop() {
				if !reused {
					got = new(MetadataResponse)
				}
				if err := got.Decode(body, 13); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
