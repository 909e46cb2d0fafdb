package producer

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
)

// This file tests how much memory a server can make a producer allocate. The packages of the decoders test the bounds
// of each decoder.

// factor and slack bound all allocations: factor is a multiple of the received bytes, and slack covers a producer and
// its connections.
const factor, slack = 30, 4 << 20

// flood is a server with a valid answer to ApiVersions, and one prepared frame as the answer to every other request.
type flood struct {
	answer []byte // the frame
	sent   atomic.Int64
}

func (f *flood) serve(nc net.Conn) {
	for {
		request, err := readFrame(nc)
		if err != nil {
			return
		}
		answer := f.answer
		if key := protocol.APIKey(binary.BigEndian.Uint16(request[4:])); key == protocol.ApiVersions {
			answer, _ = (&protocol.ApiVersionsResponse{FinalizedFeaturesEpoch: -1, APIs: []protocol.APIVersion{
				{Key: protocol.Metadata, Max: 13}, {Key: protocol.Produce, Min: 3, Max: 13},
				{Key: protocol.InitProducerID, Max: 5},
			}}).Append(make([]byte, 8), 4)
			binary.BigEndian.PutUint32(answer, uint32(len(answer)-4))
		}
		// The header is written separately, because connections share the frame.
		head := append(append([]byte(nil), answer[:4]...), request[8:12]...)
		if _, err := nc.Write(head); err != nil {
			return
		}
		for rest := answer[8:]; len(rest) > 0; {
			n, err := nc.Write(rest[:min(len(rest), 1<<16)])
			f.sent.Add(int64(n))
			if rest = rest[n:]; err != nil {
				return
			}
		}
	}
}

// metadataFrame is an answer to Metadata with this body.
func metadataFrame(body []byte) []byte {
	answer := append(make([]byte, 9), body...)
	binary.BigEndian.PutUint32(answer, uint32(len(answer)-4))
	return answer
}

func TestAServersBytesBoundTheAllocations(t *testing.T) {
	encoded := func(m *protocol.MetadataResponse) []byte {
		body, err := m.Append(nil, 13)
		require.NoError(t, err)
		return metadataFrame(body)
	}
	host := "h"
	brokers := make([]protocol.MetadataBroker, 100_000)
	for i := range brokers {
		brokers[i] = protocol.MetadataBroker{NodeID: int32(i), Host: host, Port: 1}
	}
	topics := make([]protocol.MetadataTopic, 100_000)
	for i := range topics {
		topics[i] = protocol.MetadataTopic{Name: &host}
	}
	partitions := make([]protocol.MetadataPartition, 100_000)
	for i := range partitions {
		partitions[i].Index = int32(i)
	}
	unusable := []protocol.MetadataBroker{{NodeID: 1, Host: "", Port: 9092}}
	claim := metadataFrame(make([]byte, 100))
	binary.BigEndian.PutUint32(claim, 90<<20) // the server sends nothing more
	name := "t"
	for what, answer := range map[string][]byte{
		"a claim of 90 MiB": claim,
		"100,000 brokers":   encoded(&protocol.MetadataResponse{Brokers: brokers}),
		"100,000 topics":    encoded(&protocol.MetadataResponse{Brokers: unusable, Topics: topics}),
		"100,000 partitions": encoded(&protocol.MetadataResponse{Brokers: unusable,
			Topics: []protocol.MetadataTopic{{Name: &name, Partitions: partitions}}}),
		"4 MiB of zeros": metadataFrame(make([]byte, 4<<20)),
		"4 MiB of ones":  metadataFrame(bytes.Repeat([]byte{1}, 4<<20)),
	} {
		t.Run(what, func(t *testing.T) {
			f := &flood{answer: answer}
			addresses, _ := listening(f.serve)(t)
			cfg := hostileConfig(addresses...)
			cfg.RequestTimeout, cfg.DeliveryTimeout = 3*time.Second, 3*time.Second
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			p, err := New(cfg)
			require.NoError(t, err)
			_, err = p.Send(context.Background(), hostileRecord(), nil).Get(context.Background())
			require.Equal(t, FateNotWritten, FateOf(err), err)
			require.NoError(t, p.Close(context.Background()))
			runtime.ReadMemStats(&after)
			t.Logf("%d bytes came, %d were allocated", f.sent.Load(), after.TotalAlloc-before.TotalAlloc)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(factor*f.sent.Load()+slack))
		})
	}
}
