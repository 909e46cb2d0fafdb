//go:build !race

package producer_test

import (
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
)

// sink is a broker with one topic of one partition that takes everything and, unlike the test broker, allocates nothing for
// it: what is counted beside it is the client's.
type sink struct {
	listener net.Listener
}

// sinkVersions are versions in which a Produce answer is always the same: topics go by their name.
var sinkVersions = []protocol.APIVersion{
	{Key: protocol.Produce, Min: 3, Max: 12}, {Key: protocol.Metadata, Min: 0, Max: 12},
	{Key: protocol.ApiVersions, Min: 0, Max: 4}, {Key: protocol.InitProducerID, Min: 0, Max: 5},
}

func startSink(t *testing.T) *sink {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &sink{listener: listener}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	return s
}

func (s *sink) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	var frame, produced []byte // produced is the answer to every Produce request
	for {
		var err error
		if frame, err = readFrame(conn, frame); err != nil {
			return
		}
		key, version := protocol.APIKey(binary.BigEndian.Uint16(frame)), int16(binary.BigEndian.Uint16(frame[2:]))
		id := int32(binary.BigEndian.Uint32(frame[4:]))
		answer := produced
		if key != protocol.Produce || produced == nil {
			if answer, err = s.answer(key, version); err != nil {
				return
			}
		}
		if key == protocol.Produce {
			produced = answer
		}
		binary.BigEndian.PutUint32(answer[4:], uint32(id))
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

func readFrame(conn net.Conn, frame []byte) ([]byte, error) {
	if cap(frame) < 4 {
		frame = make([]byte, 4, 2<<20)
	}
	frame = frame[:4]
	if _, err := io.ReadFull(conn, frame); err != nil {
		return frame, err
	}
	frame = frame[:binary.BigEndian.Uint32(frame)]
	_, err := io.ReadFull(conn, frame)
	return frame, err
}

func (s *sink) answer(key protocol.APIKey, version int16) ([]byte, error) {
	name := "t"
	addr := s.listener.Addr().(*net.TCPAddr)
	var response protocol.Response
	switch key {
	case protocol.ApiVersions:
		response = &protocol.ApiVersionsResponse{APIs: sinkVersions}
	case protocol.InitProducerID:
		response = &protocol.InitProducerIDResponse{ProducerID: 1}
	case protocol.Metadata:
		response = &protocol.MetadataResponse{
			Brokers: []protocol.MetadataBroker{{NodeID: 1, Host: addr.IP.String(), Port: int32(addr.Port)}},
			Topics: []protocol.MetadataTopic{{
				Name: &name, Partitions: []protocol.MetadataPartition{{LeaderID: 1, Replicas: []int32{1}, ISR: []int32{1}}},
			}},
		}
	default:
		response = &protocol.ProduceResponse{Topics: []protocol.ProduceTopicResponse{{
			Name: name, Partitions: []protocol.ProducePartitionResponse{{LogAppendTimeMs: -1}},
		}}}
	}
	answer := protocol.AppendResponseHeader(make([]byte, 4), key, version, 0)
	answer, err := response.Append(answer, version)
	if err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint32(answer, uint32(len(answer)-4))
	return answer, nil
}

// Of a record nothing stays on the heap, and of a batch little: a fifth of an allocation a record is the budget of the whole
// way, from Send to the callback.
func TestARecordCostsAtMostAFifthOfAnAllocation(t *testing.T) {
	const records = 10_000
	s := startSink(t)
	cfg := producer.DefaultConfig(s.listener.Addr().String())
	cfg.Linger = time.Minute // batches go when they are full, however slow the machine is
	p, err := producer.New(cfg)
	require.NoError(t, err)
	var delivered atomic.Int64
	cb := func(_ producer.Metadata, err error) {
		if err == nil {
			delivered.Add(1)
		}
	}
	r := &producer.Record{Topic: "t", Key: make([]byte, 10), Value: make([]byte, 100)}
	run := func() {
		for range records {
			p.Send(t.Context(), r, cb)
		}
		if err := p.Flush(t.Context()); err != nil {
			t.Error(err)
		}
	}
	run()
	a := testing.AllocsPerRun(3, run) / records
	t.Logf("%.3f allocations a record", a)
	require.LessOrEqual(t, a, 0.2)
	require.EqualValues(t, 5*records, delivered.Load())
	require.NoError(t, p.Close(t.Context()))
}
