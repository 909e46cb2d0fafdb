package protocol

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// framedSize is the size of a request with its header and length, as the encoder makes it.
func framedSize(t *testing.T, m *ProduceRequest, version int16, clientID string) int {
	t.Helper()
	frame := AppendRequestHeader(make([]byte, 4), Produce, version, 1, clientID)
	_, pieces, err := m.AppendVectored(frame, nil, version)
	require.NoError(t, err)
	size := 0
	for _, p := range pieces {
		size += len(p)
	}
	return size
}

// addedSize is the size as a producer adds it up.
func addedSize(m *ProduceRequest, version int16, clientID string) int {
	size := ProduceFrameSize(version, clientID)
	for i, topic := range m.Topics {
		size += ProduceTopicSize(version, i, topic.Name)
		for k, p := range topic.Partitions {
			size += ProducePartitionSize(version, k, len(p.Records))
		}
	}
	return size
}

func TestProduceSizesAddUpToTheEncodedRequest(t *testing.T) {
	shared := make([]byte, 40_000)
	clients := []string{"", "samsa", "größe-日本語-🪲", strings.Repeat("c", 200), strings.Repeat("é", maxString)}
	for _, version := range produceVersions() {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, uint64(version)))
			for i := range 25 {
				m := &ProduceRequest{Acks: -1, TimeoutMs: 30_000}
				for n := range random.IntN(300) >> random.IntN(5) {
					topic := ProduceTopic{Name: fmt.Sprint(n) + strings.Repeat("t", random.IntN(247)),
						ID: UUID{byte(n)}}
					for k := range random.IntN(300) >> random.IntN(9) {
						records := shared[:random.IntN(len(shared))>>random.IntN(16)]
						topic.Partitions = append(topic.Partitions, ProducePartition{Index: int32(k), Records: records})
					}
					m.Topics = append(m.Topics, topic)
				}
				client := clients[i%len(clients)]
				require.Equal(t, framedSize(t, m, version, client), addedSize(m, version, client))
			}
		})
	}
}

// Lengths of one, two and three bytes: of names, of batches, of partitions and of topics.
func TestProduceSizesAtGrowingLengths(t *testing.T) {
	shared := make([]byte, maxString)
	for _, version := range produceVersions() {
		for _, n := range []int{0, 1, 125, 126, 127, 128, 129, 249, 16381, 16382, 16383, 16384, maxString} {
			batch := ProducePartition{Records: shared[:n]}
			for _, m := range []*ProduceRequest{
				{Topics: []ProduceTopic{{Name: strings.Repeat("x", n)}}},
				{Topics: []ProduceTopic{{Partitions: []ProducePartition{batch}}}},
				{Topics: []ProduceTopic{{Partitions: make([]ProducePartition, n)}}},
				{Topics: make([]ProduceTopic, n)},
			} {
				require.Equal(t, framedSize(t, m, version, ""), addedSize(m, version, ""), "version %d, %d", version, n)
			}
		}
	}
}
