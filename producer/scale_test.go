package producer_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
)

// crowd is two brokers with any number of topics. Unlike those of package testbroker their work follows the request, so that what is
// counted beside them is the client's. Every topic exists.
type crowd struct {
	partitions int32

	mu      sync.Mutex
	leader  map[int32]int32 // by partition, of all topics; broker 1 if missing
	epoch   int32
	ids     map[string]protocol.UUID
	names   map[protocol.UUID]string
	refuses int // Produce requests to a broker that does not lead
	asked   int // topics in Metadata requests
}

func newCrowd(partitions int32) *crowd {
	return &crowd{
		partitions: partitions, leader: make(map[int32]int32), ids: make(map[string]protocol.UUID), names: make(map[protocol.UUID]string),
	}
}

// dial is for Config.Dialer.
func (c *crowd) dial(_ context.Context, _, address string) (net.Conn, error) {
	client, server := net.Pipe()
	id := int32(1)
	if address == "two:9092" {
		id = 2
	}
	go c.serve(server, id)
	return client, nil
}

func (c *crowd) serve(conn net.Conn, id int32) {
	defer func() { _ = conn.Close() }()
	var frame []byte
	for {
		var err error
		if frame, err = readFrame(conn, frame); err != nil {
			return
		}
		answer, err := c.answer(frame, id)
		if err != nil {
			panic(err)
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

func (c *crowd) answer(frame []byte, id int32) ([]byte, error) {
	header, body, err := protocol.DecodeRequestHeader(frame)
	if err != nil {
		return nil, err
	}
	var response protocol.Response
	version := header.Version
	switch header.Key {
	case protocol.ApiVersions:
		response = &protocol.ApiVersionsResponse{APIs: []protocol.APIVersion{
			{Key: protocol.Produce, Min: 3, Max: 13}, {Key: protocol.Metadata, Min: 0, Max: 13},
			{Key: protocol.ApiVersions, Min: 0, Max: 4}, {Key: protocol.InitProducerID, Min: 0, Max: 5},
		}}
	case protocol.InitProducerID:
		response = &protocol.InitProducerIDResponse{ProducerID: 1}
	case protocol.Metadata:
		m := new(protocol.MetadataRequest)
		if err := m.Decode(body, version); err != nil {
			return nil, err
		}
		response = c.metadata(m)
	default:
		m := new(protocol.ProduceRequest)
		if err := m.Decode(body, version); err != nil {
			return nil, err
		}
		response = c.produce(m, id)
	}
	answer := protocol.AppendResponseHeader(make([]byte, 4), header.Key, version, header.CorrelationID)
	if answer, err = response.Append(answer, version); err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint32(answer, uint32(len(answer)-4))
	return answer, nil
}

func (c *crowd) metadata(m *protocol.MetadataRequest) *protocol.MetadataResponse {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &protocol.MetadataResponse{Brokers: []protocol.MetadataBroker{{NodeID: 1, Host: "one", Port: 9092}, {NodeID: 2, Host: "two", Port: 9092}}}
	for _, asked := range m.Topics {
		name := *asked.Name
		c.asked++
		if _, known := c.ids[name]; !known {
			id := protocol.UUID{1}
			binary.BigEndian.PutUint64(id[8:], uint64(len(c.ids)+1))
			c.ids[name], c.names[id] = id, name
		}
		t := protocol.MetadataTopic{Name: &name, ID: c.ids[name]}
		for i := range c.partitions {
			t.Partitions = append(t.Partitions, protocol.MetadataPartition{Index: i, LeaderID: c.leaderOf(i), LeaderEpoch: c.epoch})
		}
		r.Topics = append(r.Topics, t)
	}
	return r
}

func (c *crowd) leaderOf(partition int32) int32 { return max(1, c.leader[partition]) }

func (c *crowd) produce(m *protocol.ProduceRequest, id int32) *protocol.ProduceResponse {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := new(protocol.ProduceResponse)
	for i := range m.Topics {
		t := protocol.ProduceTopicResponse{Name: m.Topics[i].Name, ID: m.Topics[i].ID}
		for _, p := range m.Topics[i].Partitions {
			answer := protocol.ProducePartitionResponse{Index: p.Index, BaseOffset: -1, LogAppendTimeMs: -1}
			if leader := c.leaderOf(p.Index); leader != id {
				c.refuses++
				answer.ErrorCode = protocol.NotLeaderOrFollower
				answer.CurrentLeader = &protocol.LeaderIDAndEpoch{LeaderID: leader, LeaderEpoch: c.epoch}
			}
			t.Partitions = append(t.Partitions, answer)
		}
		r.Topics = append(r.Topics, t)
	}
	return r
}

// move gives partition 0 of all topics to the other broker.
func (c *crowd) move() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leader[0] = 3 - c.leaderOf(0)
	c.epoch++
}

func startOnCrowd(t testing.TB, c *crowd) *producer.Producer {
	t.Helper()
	cfg := producer.DefaultConfig("one:9092")
	cfg.Dialer, cfg.Linger, cfg.BufferMemory = c.dial, 0, 1<<30
	p, err := producer.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close(context.Background())) })
	return p
}

// sendTo sends a record and waits for its outcome.
func sendTo(t testing.TB, p *producer.Producer, topic string) {
	t.Helper()
	_, err := p.Send(t.Context(), &producer.Record{Topic: topic, Partition: producer.PartitionOf(0)}, nil).Get(t.Context())
	require.NoError(t, err)
}

// allocatedBy is how many bytes f allocates, by all goroutines.
func allocatedBy(f func()) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return float64(after.TotalAlloc - before.TotalAlloc)
}

// Work is counted as the bytes that it allocates, which do not depend on the machine. Both kinds of work copied all topics or all partitions.
func TestAFirstSendCostsTheSameWithManyKnownTopics(t *testing.T) {
	const sends = 100
	p := startOnCrowd(t, newCrowd(1))
	known := 0
	cost := func(topics int) float64 {
		var sent sync.WaitGroup
		for from := known; from < topics; from += topics / 10 {
			sent.Go(func() {
				for i := from; i < from+topics/10; i++ {
					sendTo(t, p, fmt.Sprint("known-", i))
				}
			})
		}
		sent.Wait()
		known = topics
		return allocatedBy(func() {
			for i := range sends {
				sendTo(t, p, fmt.Sprint("first-", topics, "-", i))
			}
		}) / sends
	}
	few := cost(10)
	many := cost(10_000)
	require.Less(t, many, 2*few, "bytes for a first send")
}

func TestALeaderHintCostsTheSameInATopicOfManyPartitions(t *testing.T) {
	const moves = 100
	cost := func(partitions int32) float64 {
		c := newCrowd(partitions)
		p := startOnCrowd(t, c)
		sendTo(t, p, "t")
		c.mu.Lock()
		asked := c.asked
		c.mu.Unlock()
		spent := allocatedBy(func() {
			for range moves {
				c.move()
				sendTo(t, p, "t")
			}
		}) / moves
		c.mu.Lock()
		defer c.mu.Unlock()
		require.Equal(t, moves, c.refuses)
		require.Equal(t, asked, c.asked, "the hint makes a Metadata request needless")
		return spent
	}
	few := cost(100)
	many := cost(10_000)
	require.Less(t, many, 3*few, "bytes for a leader hint")
}
