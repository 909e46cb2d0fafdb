// Package discard is a Kafka broker that takes every record and keeps none. It checks only its counts, to leave as much
// of the machine as possible to the measured client. It is for benchmarks only; the strict broker of the tests is
// another one.
package discard

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// Counts are the numbers of a broker's input so far.
type Counts struct {
	Requests int64 `json:"requests"`
	Batches  int64 `json:"batches"`
	Records  int64 `json:"records"`
	Bytes    int64 `json:"bytes"` // of batches, as they were on the wire
}

// Minus returns the counts since before.
func (c Counts) Minus(before Counts) Counts {
	return Counts{c.Requests - before.Requests, c.Batches - before.Batches, c.Records - before.Records,
		c.Bytes - before.Bytes}
}

// SpreadTopic is the name of a topic with so many partitions, led by so many brokers. All of them are this one.
func SpreadTopic(brokers, partitions int) string {
	return fmt.Sprintf("spread-%d-%d", brokers, partitions)
}

// brokersOf returns how many brokers lead the partitions of a topic.
func brokersOf(name string) (n int32) {
	if isMoving(name) {
		return 2
	}
	var partitions int32
	if _, err := fmt.Sscanf(name, "spread-%d-%d", &n, &partitions); err != nil || n < 1 {
		return 1
	}
	return n
}

// Topic is the name of a topic with so many partitions. The broker has any topic, as soon as a client asks for it; a
// topic without such a number in its name has one partition.
func Topic(partitions int) string { return fmt.Sprintf("bench-%d", partitions) }

// partitionsOf returns how many partitions a topic has.
func partitionsOf(name string) int32 {
	if n, err := strconv.ParseInt(name[strings.LastIndex(name, "-")+1:], 10, 32); err == nil && n > 0 {
		return int32(n)
	}
	return 1
}

// Broker is a running broker.
type Broker struct {
	listener net.Listener
	host     string
	port     int32

	requests, batches, records, bytes atomic.Int64
	lastID                            atomic.Int64 // the last producer id

	deaf  atomic.Bool
	ended chan struct{} // closed by Close

	running sync.WaitGroup
	mu      sync.Mutex
	closed  bool
	wrong   error
	conns   map[net.Conn]bool
	names   map[protocol.UUID]string // topics by id
	moves   map[partitionKey]moved

	moving atomic.Bool // a client has asked for a moving topic
}

// Listen starts a broker on a free port of the loopback interface.
func Listen() (*Broker, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	b := &Broker{listener: l, host: host, port: int32(n), conns: map[net.Conn]bool{}, ended: make(chan struct{}),
		names: map[protocol.UUID]string{}, moves: map[partitionKey]moved{}}
	b.running.Go(b.accept)
	return b, nil
}

// Address is the address of the broker's listener.
func (b *Broker) Address() string { return b.listener.Addr().String() }

// Counts returns the broker's counts so far.
func (b *Broker) Counts() Counts {
	return Counts{b.requests.Load(), b.batches.Load(), b.records.Load(), b.bytes.Load()}
}

// GoDeaf makes the broker read nothing more from a connection with records.
func (b *Broker) GoDeaf() { b.deaf.Store(true) }

// Close ends the broker and its connections, and returns when its goroutines have ended.
func (b *Broker) Close() error {
	err := b.listener.Close()
	b.mu.Lock()
	if !b.closed {
		close(b.ended)
	}
	b.closed = true
	for c := range b.conns {
		_ = c.Close()
	}
	b.mu.Unlock()
	b.running.Wait()
	return err
}

func (b *Broker) accept() {
	for {
		c, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.mu.Lock()
		if b.closed {
			_ = c.Close()
		} else {
			b.conns[c] = true
			b.running.Go(func() { b.serve(c) })
		}
		b.mu.Unlock()
	}
}

// serve answers a connection's requests, one after the other, until it ends.
func (b *Broker) serve(c net.Conn) {
	defer func() {
		_ = c.Close()
		b.mu.Lock()
		delete(b.conns, c)
		b.mu.Unlock()
	}()
	s := session{b: b, in: bufio.NewReaderSize(c, 64<<10)}
	for {
		answer, err := s.next()
		if err == nil && answer != nil {
			_, err = c.Write(answer)
		}
		if err != nil {
			// A client's treatment of its connection is its own affair: it resets the connection if it closes with an
			// answer on its way. The counts show any loss of records.
			var broken *net.OpError
			if !errors.Is(err, io.EOF) && !errors.As(err, &broken) {
				b.trouble(err)
			}
			return
		}
	}
}

// trouble keeps the client's first message beyond the broker's understanding.
func (b *Broker) trouble(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wrong == nil && !b.closed {
		b.wrong = err
	}
}

// Trouble is the client's first message that the broker has not understood, or only in part.
func (b *Broker) Trouble() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.wrong
}

// session is one connection, with its reusable memory.
type session struct {
	b       *Broker
	in      *bufio.Reader
	frame   []byte
	out     []byte
	produce protocol.ProduceRequest
	answer  protocol.ProduceResponse
}

const largestRequest = 100 << 20

// next reads a request and returns its answer, or nil for one without an answer.
func (s *session) next() ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(s.in, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > largestRequest {
		return nil, fmt.Errorf("a request of %d bytes", n)
	}
	if int(n) > cap(s.frame) {
		s.frame = make([]byte, n+n/4)
	}
	s.frame = s.frame[:n]
	if _, err := io.ReadFull(s.in, s.frame); err != nil {
		return nil, err
	}
	h, body, err := protocol.DecodeRequestHeader(s.frame)
	if err != nil {
		return nil, err
	}
	response, err := s.handle(&h, body)
	if err != nil || response == nil {
		return nil, err
	}
	version := h.Version
	if h.Key == protocol.ApiVersions && !contains(spoken[h.Key], version) {
		version = 0 // readable for every client; its error has the right version
	}
	s.out = protocol.AppendResponseHeader(append(s.out[:0], 0, 0, 0, 0), h.Key, version, h.CorrelationID)
	if s.out, err = response.Append(s.out, version); err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint32(s.out, uint32(len(s.out)-4))
	return s.out, nil
}

// spoken are the requests understood by the broker. Produce claims to begin at 0, as it does in Kafka 4 (KIP-896):
// librdkafka compresses nothing for a broker with another range.
var spoken = map[protocol.APIKey]protocol.VersionRange{
	protocol.Produce: {Min: 0, Max: 13}, protocol.Metadata: {Min: 0, Max: 13}, protocol.ApiVersions: {Min: 0, Max: 4},
	protocol.InitProducerID: {Min: 0, Max: 5},
}

// claimed are requests unused by producers. librdkafka sees from them the batches and codecs accepted by a broker:
// Fetch, and FindCoordinator.
var claimed = map[protocol.APIKey]protocol.VersionRange{1: {Min: 4, Max: 17}, 10: {Min: 0, Max: 6}}

func contains(r protocol.VersionRange, version int16) bool {
	return r.Min <= version && version <= r.Max
}

func (s *session) handle(h *protocol.RequestHeader, body []byte) (protocol.Response, error) {
	switch h.Key {
	case protocol.ApiVersions:
		r := &protocol.ApiVersionsResponse{}
		if !contains(spoken[h.Key], h.Version) {
			r.ErrorCode = protocol.UnsupportedVersion
		}
		for _, those := range []map[protocol.APIKey]protocol.VersionRange{spoken, claimed} {
			for key, v := range those {
				r.APIs = append(r.APIs, protocol.APIVersion{Key: key, Min: v.Min, Max: v.Max})
			}
		}
		return r, nil
	case protocol.Metadata:
		var m protocol.MetadataRequest
		if err := m.Decode(body, h.Version); err != nil {
			return nil, err
		}
		return s.b.metadata(&m), nil
	case protocol.InitProducerID:
		return &protocol.InitProducerIDResponse{ProducerID: s.b.lastID.Add(1)}, nil
	case protocol.Produce:
		if s.b.deaf.Load() {
			<-s.b.ended
			return nil, net.ErrClosed
		}
		if err := s.produce.Decode(body, h.Version); err != nil {
			return nil, err
		}
		return s.take()
	}
	return nil, fmt.Errorf("a request of kind %d", h.Key)
}

// metadata describes the requested topics: this broker leads them all.
func (b *Broker) metadata(m *protocol.MetadataRequest) *protocol.MetadataResponse {
	cluster := "discard"
	r := &protocol.MetadataResponse{
		ClusterID: &cluster, ControllerID: 1,
		Brokers: []protocol.MetadataBroker{{NodeID: 1, Host: b.host, Port: b.port}},
	}
	brokers := int32(1)
	b.mu.Lock()
	defer b.mu.Unlock()
	topics := m.Topics
	if topics == nil {
		for id := range b.names {
			topics = append(topics, protocol.MetadataRequestTopic{ID: id})
		}
	}
	for _, asked := range topics {
		name := b.names[asked.ID]
		if asked.Name != nil {
			name = *asked.Name
		}
		topic := protocol.MetadataTopic{Name: &name, ID: idOf(name)}
		b.names[topic.ID] = name
		leaders := brokersOf(name)
		brokers = max(brokers, leaders)
		if isMoving(name) {
			b.moving.Store(true)
		}
		for i := range partitionsOf(name) {
			leader, epoch := b.leader(partitionKey{topic.ID, i}, leaders)
			topic.Partitions = append(topic.Partitions, protocol.MetadataPartition{
				Index: i, LeaderID: leader, LeaderEpoch: epoch, Replicas: []int32{leader}, ISR: []int32{leader},
			})
		}
		r.Topics = append(r.Topics, topic)
	}
	for id := int32(2); id <= brokers; id++ {
		r.Brokers = append(r.Brokers, protocol.MetadataBroker{NodeID: id, Host: b.host, Port: b.port})
	}
	return r
}

// idOf makes a topic's id from its name.
func idOf(name string) protocol.UUID {
	sum := sha256.Sum256([]byte(name))
	return protocol.UUID(sum[:16])
}

// take counts a request's records, and answers it.
func (s *session) take() (protocol.Response, error) {
	var batches, records, bytes int64
	r := &s.answer
	r.Topics, r.NodeEndpoints = r.Topics[:0], nil
	moving := s.b.moving.Load()
	for i := range s.produce.Topics {
		t := &s.produce.Topics[i]
		if i == cap(r.Topics) {
			r.Topics = append(r.Topics, protocol.ProduceTopicResponse{})
		}
		r.Topics = r.Topics[:i+1]
		a := &r.Topics[i]
		a.Name, a.ID, a.Partitions = t.Name, t.ID, a.Partitions[:0]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			h, err := record.ReadBatchHeader(p.Records)
			if err != nil {
				return nil, err
			}
			answer := protocol.ProducePartitionResponse{Index: p.Index, LogAppendTimeMs: -1}
			if !moving || !s.b.refuse(t, &h, r, &answer) {
				batches, records, bytes = batches+1, records+int64(h.Count), bytes+int64(len(p.Records))
			}
			a.Partitions = append(a.Partitions, answer)
		}
	}
	s.b.requests.Add(1)
	s.b.batches.Add(batches)
	s.b.records.Add(records)
	s.b.bytes.Add(bytes)
	if s.produce.Acks == 0 {
		return nil, nil
	}
	return r, nil
}
