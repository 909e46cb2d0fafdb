package testbroker

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client is the other end of a connection, driven by hand.
type client struct {
	t    *testing.T
	nc   net.Conn
	id   int32
	name string // client.id
}

// connect dials a broker.
func connect(t *testing.T, c *Cluster, broker int32) *client {
	t.Helper()
	nc, err := c.Dial(context.Background(), "tcp", c.Address(broker))
	require.NoError(t, err)
	t.Cleanup(func() { _ = nc.Close() })
	return &client{t: t, nc: nc, name: "test"}
}

// send writes a request.
func (k *client) send(version int16, m protocol.Request) {
	k.t.Helper()
	k.id++
	frame := protocol.AppendRequestHeader(make([]byte, 4), m.Key(), version, k.id, k.name)
	frame, err := m.Append(frame, version)
	require.NoError(k.t, err)
	k.write(frame)
}

// write writes a frame. It fills in the frame's length.
func (k *client) write(frame []byte) {
	k.t.Helper()
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	_, err := k.nc.Write(frame)
	require.NoError(k.t, err)
}

// frame reads one frame.
func (k *client) frame() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(k.nc, head[:]); err != nil {
		return nil, err
	}
	frame := make([]byte, binary.BigEndian.Uint32(head[:]))
	_, err := io.ReadFull(k.nc, frame)
	return frame, err
}

// receive reads the answer to the request sent as number id on this connection, and puts its lists in order.
func (k *client) receive(id int32, version int16, m protocol.Response) {
	k.t.Helper()
	k.receiveAsIs(id, version, m)
	order(m)
}

// order sorts the lists of an answer, for they come in any order.
func order(m protocol.Response) {
	switch m := m.(type) {
	case *protocol.ProduceResponse:
		slices.SortFunc(m.Topics, func(a, b protocol.ProduceTopicResponse) int {
			return cmp.Or(cmp.Compare(a.Name, b.Name), bytes.Compare(a.ID[:], b.ID[:]))
		})
		for _, t := range m.Topics {
			slices.SortFunc(t.Partitions, func(a, b protocol.ProducePartitionResponse) int {
				return cmp.Compare(a.Index,
					b.Index)
			})
			for _, p := range t.Partitions {
				slices.SortFunc(p.RecordErrors,
					func(a, b protocol.RecordError) int { return cmp.Compare(a.BatchIndex, b.BatchIndex) })
			}
		}
	case *protocol.MetadataResponse:
		name := func(t protocol.MetadataTopic) string {
			if t.Name == nil {
				return "~" // behind all others
			}
			return *t.Name
		}
		slices.SortFunc(m.Brokers, func(a, b protocol.MetadataBroker) int { return cmp.Compare(a.NodeID, b.NodeID) })
		slices.SortFunc(m.Topics, func(a, b protocol.MetadataTopic) int { return cmp.Compare(name(a), name(b)) })
		for _, t := range m.Topics {
			slices.SortFunc(t.Partitions, func(a, b protocol.MetadataPartition) int {
				return cmp.Compare(a.Index,
					b.Index)
			})
		}
	case *protocol.ApiVersionsResponse:
		slices.SortFunc(m.APIs, func(a, b protocol.APIVersion) int { return cmp.Compare(a.Key, b.Key) })
	}
}

// receiveAsIs is receive without the order.
func (k *client) receiveAsIs(id int32, version int16, m protocol.Response) {
	k.t.Helper()
	frame, err := k.frame()
	require.NoError(k.t, err)
	got, body, err := protocol.DecodeResponseHeader(frame, m.Key(), version)
	require.NoError(k.t, err)
	require.Equal(k.t, id, got)
	require.NoError(k.t, m.Decode(body, version))
}

// do has a request answered.
func (k *client) do(version int16, q protocol.Request, r protocol.Response) {
	k.t.Helper()
	k.send(version, q)
	k.receive(k.id, version, r)
}

// gone requires the broker to close or reset the connection.
func (k *client) gone() error {
	k.t.Helper()
	_, err := k.frame()
	require.Error(k.t, err)
	return err
}

// produce has batches of one topic produced, and returns the answer of the first.
func (k *client) produce(topic string, partition int32, batch []byte) protocol.ProducePartitionResponse {
	k.t.Helper()
	var r protocol.ProduceResponse
	k.do(12, request(-1, topic, partition, batch), &r)
	require.Len(k.t, r.Topics, 1)
	require.Len(k.t, r.Topics[0].Partitions, 1)
	return r.Topics[0].Partitions[0]
}

// request is a Produce request with one batch.
func request(acks int16, topic string, partition int32, batch []byte) *protocol.ProduceRequest {
	return &protocol.ProduceRequest{Acks: acks, TimeoutMs: 1000, Topics: []protocol.ProduceTopic{{
		Name: topic, Partitions: []protocol.ProducePartition{{Index: partition, Records: batch}},
	}}}
}

// identity is a producer's mark on a batch.
type identity struct {
	id       int64
	epoch    int16
	sequence int32
}

// plain is the mark of a producer without idempotence.
var plain = identity{-1, -1, -1}

// batch makes a batch of records with these values, and their values as keys.
func batch(who identity, values ...string) []byte {
	b := make([]byte, record.BatchHeaderSize)
	for i, v := range values {
		b = record.AppendRecord(b, int32(i), int64(i), []byte(v), []byte(v), nil)
	}
	return sealed(b, who, values)
}

// keyless is a batch with no key in the records with an empty value.
func keyless(values ...string) []byte {
	b := make([]byte, record.BatchHeaderSize)
	for i, v := range values {
		key := []byte(v)
		if v == "" {
			key = nil
		}
		b = record.AppendRecord(b, int32(i), int64(i), key, []byte(v), nil)
	}
	return sealed(b, plain, values)
}

// sealed gives the records in b[61:] a fitting header.
func sealed(b []byte, who identity, values []string) []byte {
	const now = 1_700_000_000_000
	return seal(b, record.BatchHeader{
		Magic: record.Magic, PartitionLeaderEpoch: -1, LastOffsetDelta: int32(len(values) - 1), BaseTimestamp: now,
		MaxTimestamp: now + int64(len(values)-1), ProducerID: who.id, ProducerEpoch: who.epoch,
		BaseSequence: who.sequence,
		Count:        int32(len(values)),
	})
}

// seal gives the records in b[61:] their header.
func seal(b []byte, h record.BatchHeader) []byte {
	h.Length = int32(len(b) - record.BatchLengthOverhead)
	h.Put(b)
	record.SetChecksum(b)
	return b
}

// values returns the values in a partition.
func values(c *Cluster, topic string, partition int32) []string {
	var list []string
	for _, r := range c.Log(topic, partition) {
		list = append(list, string(r.Value))
	}
	return list
}

// withTimeout bounds a wait expected to end at once.
func withTimeout(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
