package producer_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
)

// sink is a broker with one topic of one partition. It accepts every batch and, unlike the test broker, does not
// allocate. So counts of the whole process measure the client.
type sink struct {
	listener net.Listener // nil if connections come only from shortcut
}

// sinkVersions are API versions in which requests name topics by name. So the Produce answer is always the same.
var sinkVersions = []protocol.APIVersion{
	{Key: protocol.Produce, Min: 3, Max: 12}, {Key: protocol.Metadata, Min: 0, Max: 12},
	{Key: protocol.ApiVersions, Min: 0, Max: 4}, {Key: protocol.InitProducerID, Min: 0, Max: 5},
}

func startSink(t testing.TB) *sink {
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
	var frame []byte
	answers := answers{sink: s}
	for {
		var err error
		if frame, err = readFrame(conn, frame); err != nil {
			return
		}
		answer, err := answers.to(frame)
		if err != nil {
			return
		}
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

// answers are the answers on one connection.
type answers struct {
	sink     *sink
	produced []byte // the answer to every Produce request
}

// to returns the answer to a request, which begins with API key, version and correlation id. The answer is valid until
// the next call.
func (a *answers) to(request []byte) ([]byte, error) {
	key, version := protocol.APIKey(binary.BigEndian.Uint16(request)), int16(binary.BigEndian.Uint16(request[2:]))
	answer := a.produced
	if key != protocol.Produce || answer == nil {
		var err error
		if answer, err = a.sink.answer(key, version); err != nil {
			return nil, err
		}
	}
	if key == protocol.Produce {
		a.produced = answer
	}
	copy(answer[4:8], request[4:8])
	return answer, nil
}

func (s *sink) answer(key protocol.APIKey, version int16) ([]byte, error) {
	name := "t"
	host, port := "sink", int32(9092)
	if s.listener != nil {
		addr := s.listener.Addr().(*net.TCPAddr)
		host, port = addr.IP.String(), int32(addr.Port)
	}
	var response protocol.Response
	switch key {
	case protocol.ApiVersions:
		response = &protocol.ApiVersionsResponse{APIs: sinkVersions}
	case protocol.InitProducerID:
		response = &protocol.InitProducerIDResponse{ProducerID: 1}
	case protocol.Metadata:
		response = &protocol.MetadataResponse{
			Brokers: []protocol.MetadataBroker{{NodeID: 1, Host: host, Port: port}},
			Topics: []protocol.MetadataTopic{{
				Name: &name, Partitions: []protocol.MetadataPartition{{LeaderID: 1, Replicas: []int32{1},
					ISR: []int32{1}}},
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

// shortcut is a direct connection to a sink: Write parses the header of a request, drops the rest, and prepares the
// answer for Read. It makes no system calls and no copies of the records, so benchmarks measure the library alone.
type shortcut struct {
	net.Conn // nil; the library calls only the methods below
	answer   answers

	mu       sync.Mutex
	readable sync.Cond
	head     [12]byte // length, API key, version and correlation id of the coming request
	have     int      // bytes of head
	rest     int      // bytes of the request after the header
	answers  []byte
	closed   bool
}

// dial is for Config.Dialer.
func (s *sink) dial(context.Context, string, string) (net.Conn, error) {
	c := &shortcut{answer: answers{sink: s}}
	c.readable.L = &c.mu
	return c, nil
}

func (c *shortcut) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for left := b; len(left) > 0; {
		if c.closed {
			return 0, net.ErrClosed
		}
		if c.have < len(c.head) {
			n := copy(c.head[c.have:], left)
			left, c.have = left[n:], c.have+n
			c.rest = int(binary.BigEndian.Uint32(c.head[:])) - 8
			continue
		}
		n := min(c.rest, len(left))
		left, c.rest = left[n:], c.rest-n
		if c.rest == 0 {
			if err := c.answerLocked(); err != nil {
				return 0, err
			}
			c.have = 0
		}
	}
	return len(b), nil
}

func (c *shortcut) answerLocked() error {
	answer, err := c.answer.to(c.head[4:])
	if err != nil {
		return err
	}
	c.answers = append(c.answers, answer...)
	c.readable.Signal()
	return nil
}

func (c *shortcut) Read(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.answers) == 0 && !c.closed {
		c.readable.Wait()
	}
	if c.closed {
		return 0, net.ErrClosed
	}
	n := copy(b, c.answers)
	c.answers = c.answers[:copy(c.answers, c.answers[n:])]
	return n, nil
}

func (c *shortcut) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.readable.Broadcast()
	return nil
}

// Deadlines never pass on this connection.
func (c *shortcut) SetDeadline(time.Time) error      { return nil }
func (c *shortcut) SetReadDeadline(time.Time) error  { return nil }
func (c *shortcut) SetWriteDeadline(time.Time) error { return nil }

// the library uses it like a socket, without extra goroutines
func (c *shortcut) WriteBuffer() int     { return 0 }
func (c *shortcut) RemoteAddr() net.Addr { return &net.TCPAddr{} }
