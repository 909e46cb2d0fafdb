package producer_test

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/gosamsa/samsa/protocol"
)

// crowd is a cluster with every topic. Unlike the brokers of package testbroker it stores and checks nothing, and its
// work depends only on the size of the request. So counts of the whole process measure the client.
type crowd struct {
	partitions int32
	leaderless int32 // this many of the last partitions of each topic have no leader

	mu      sync.Mutex
	brokers []int32 // in the cluster; the broker at p modulo their number leads partition p of each topic
	epoch   int32
	conns   map[net.Conn]int32
	refuses int // batches sent to a broker that does not lead the partition
	asked   int // topics in Metadata requests
}

// newCrowd returns a cluster with brokers 1 to brokers. Its first address is b1:9092.
func newCrowd(brokers, partitions int32) *crowd {
	c := &crowd{partitions: partitions, conns: make(map[net.Conn]int32)}
	for id := range brokers {
		c.brokers = append(c.brokers, id+1)
	}
	return c
}

// turnOver moves all partitions to the next broker.
func (c *crowd) turnOver() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.brokers = append(c.brokers[1:], c.brokers[0])
	c.epoch++
}

// exchange removes the first broker for good, and adds a broker with a new id and address.
func (c *crowd) exchange() {
	c.mu.Lock()
	defer c.mu.Unlock()
	gone := c.brokers[0]
	c.brokers = append(c.brokers[1:], slices.Max(c.brokers)+1)
	c.epoch++
	for conn, id := range c.conns {
		if id == gone {
			_ = conn.Close()
		}
	}
}

// dial is for Config.Dialer. The bootstrap address leads to any broker.
func (c *crowd) dial(_ context.Context, _, address string) (net.Conn, error) {
	number, _ := strings.CutSuffix(strings.TrimPrefix(address, "b"), ":9092")
	id, err := strconv.Atoi(number)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.brokers, int32(id)) {
		if id != 1 {
			return nil, syscall.ECONNREFUSED
		}
		id = int(c.brokers[0])
	}
	client, server := net.Pipe()
	c.conns[server] = int32(id)
	go c.serve(server, int32(id))
	return client, nil
}

func (c *crowd) serve(conn net.Conn, id int32) {
	defer func() {
		_ = conn.Close()
		c.mu.Lock()
		delete(c.conns, conn)
		c.mu.Unlock()
	}()
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
		response = &protocol.InitProducerIDResponse{ProducerID: rand.Int64N(1 << 60)}
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
	cluster := "crowd"
	r := &protocol.MetadataResponse{ClusterID: &cluster}
	for _, id := range c.brokers {
		r.Brokers = append(r.Brokers, protocol.MetadataBroker{NodeID: id, Host: "b" + strconv.Itoa(int(id)),
			Port: 9092})
	}
	for _, asked := range m.Topics {
		name := *asked.Name
		c.asked++
		h := fnv.New128a()
		_, _ = h.Write([]byte(name))
		t := protocol.MetadataTopic{Name: &name, ID: protocol.UUID(h.Sum(nil))}
		for i := range c.partitions {
			t.Partitions = append(t.Partitions, protocol.MetadataPartition{Index: i, LeaderID: c.leaderOf(i),
				LeaderEpoch: c.epoch})
		}
		r.Topics = append(r.Topics, t)
	}
	return r
}

func (c *crowd) leaderOf(partition int32) int32 {
	if partition >= c.partitions-c.leaderless {
		return -1
	}
	return c.brokers[int(partition)%len(c.brokers)]
}

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
