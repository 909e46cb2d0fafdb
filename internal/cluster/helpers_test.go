package cluster

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gosamsa/samsa/internal/transport"
	"github.com/gosamsa/samsa/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a cluster in memory: a server at each address, and the metadata. Tests change it under its lock.
type world struct {
	mu sync.Mutex
	// at has the server's behaviour for each address; other addresses refuse connections.
	at map[string]behaviour
	// answer makes the answer to a metadata request; nil closes the connection.
	answer   func(address string, req *protocol.MetadataRequest) *protocol.MetadataResponse
	metadata protocol.VersionRange
	asked    []asked
	dialled  []string
	open     map[net.Conn]string
}

// behaviour is a server's reaction to a new connection.
type behaviour func(w *world, address string, nc net.Conn)

// asked is one Metadata request as received by a broker.
type asked struct {
	address string
	topics  []string
	create  bool
	version int16
	at      time.Time
}

// newWorld returns a world with brokers at a:1, b:2 and c:3 with ids 1 to 3. topics sets their answers.
func newWorld() *world {
	w := &world{
		at:       map[string]behaviour{"a:1": kafka, "b:2": kafka, "c:3": kafka},
		metadata: protocol.VersionRange{Min: 0, Max: 13},
		open:     make(map[net.Conn]string),
	}
	w.topics()
	return w
}

func brokers() []protocol.MetadataBroker {
	return []protocol.MetadataBroker{{NodeID: 1, Host: "a", Port: 1}, {NodeID: 2, Host: "b", Port: 2},
		{NodeID: 3, Host: "c", Port: 3}}
}

// topics sets the topics that the brokers know.
func (w *world) topics(topics ...protocol.MetadataTopic) {
	w.set(func() {
		w.answer = func(_ string, req *protocol.MetadataRequest) *protocol.MetadataResponse {
			return reply3(req,
				topics)
		}
	})
}

// reply3 is the answer of a cluster of three brokers about the requested topics.
func reply3(req *protocol.MetadataRequest, topics []protocol.MetadataTopic) *protocol.MetadataResponse {
	id := "the cluster"
	resp := &protocol.MetadataResponse{Brokers: brokers(), ClusterID: &id, ControllerID: 1}
	for _, want := range req.Topics {
		t := protocol.MetadataTopic{Name: want.Name, ErrorCode: protocol.UnknownTopicOrPartition}
		for _, known := range topics {
			if *known.Name == *want.Name {
				t = known
			}
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

// topicOf is a topic with these leaders of its partitions, all in epoch.
func topicOf(name string, id byte, epoch int32, leaders ...int32) protocol.MetadataTopic {
	t := protocol.MetadataTopic{Name: &name, ID: protocol.UUID{id}}
	for i, leader := range leaders {
		t.Partitions = append(t.Partitions, protocol.MetadataPartition{Index: int32(i), LeaderID: leader,
			LeaderEpoch: epoch})
	}
	return t
}

// refusedTopic is a topic with an error as the brokers' only answer.
func refusedTopic(name string, code protocol.ErrorCode) protocol.MetadataTopic {
	return protocol.MetadataTopic{Name: &name, ErrorCode: code}
}

func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *world) become(b behaviour, addresses ...string) {
	w.set(func() {
		for _, address := range addresses {
			w.at[address] = b
		}
	})
}

// requests returns the metadata requests so far and forgets them.
func (w *world) requests() []asked {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() { w.asked = nil }()
	return w.asked
}

// cut closes the connections to an address.
func (w *world) cut(address string) {
	w.set(func() {
		for nc, at := range w.open {
			if at == address {
				_ = nc.Close()
			}
		}
	})
}

var errRefused = errors.New("connection refused")

func (w *world) dial(ctx context.Context, _, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dialled = append(w.dialled, address)
	serve := w.at[address]
	w.mu.Unlock()
	if err := ctx.Err(); err != nil || serve == nil {
		return nil, errors.Join(errRefused, err)
	}
	ours, theirs := net.Pipe()
	w.set(func() { w.open[theirs] = address })
	go func() {
		defer func() { _ = theirs.Close() }()
		serve(w, address, theirs)
		w.set(func() { delete(w.open, theirs) })
	}()
	return ours, nil
}

// hang reads everything and answers nothing.
func hang(_ *world, _ string, nc net.Conn) { _, _ = io.Copy(io.Discard, nc) }

// http is a web server.
func http(_ *world, _ string, nc net.Conn) {
	if _, _, err := nextRequest(bufio.NewReader(nc)); err == nil {
		_, _ = io.WriteString(nc, "HTTP/1.1 400 Bad Request\r\n\r\n")
	}
}

// deaf answers the first exchange and no other request.
func deaf(w *world, address string, nc net.Conn) {
	serve(w, nc, func(request) protocol.Response { return nil })
}

// kafka is a broker.
func kafka(w *world, address string, nc net.Conn) {
	serve(w, nc, func(r request) protocol.Response {
		if r.Key == protocol.InitProducerID {
			return &protocol.InitProducerIDResponse{ProducerID: 4711}
		}
		req := new(protocol.MetadataRequest)
		if req.Decode(r.body, r.Version) != nil {
			return nil
		}
		a := asked{address: address, create: req.AllowAutoTopicCreation, version: r.Version, at: time.Now()}
		for _, t := range req.Topics {
			a.topics = append(a.topics, *t.Name)
		}
		slices.Sort(a.topics)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.asked = append(w.asked, a)
		if resp := w.answer(address, req); resp != nil {
			return resp
		}
		return closing
	})
}

// closing makes a server close the connection instead of answering.
const closing = raw("close")

type request struct {
	protocol.RequestHeader
	body []byte
}

// serve answers the first exchange, and then each request with the result of a function. Without a result the request
// stays unanswered.
func serve(w *world, nc net.Conn, answer func(request) protocol.Response) {
	in := bufio.NewReader(nc)
	for {
		h, body, err := nextRequest(in)
		if err != nil {
			return
		}
		var resp protocol.Response
		if h.Key == protocol.ApiVersions {
			w.mu.Lock()
			resp = &protocol.ApiVersionsResponse{FinalizedFeaturesEpoch: -1, APIs: []protocol.APIVersion{
				{Key: protocol.Metadata, Min: w.metadata.Min, Max: w.metadata.Max},
				{Key: protocol.InitProducerID, Min: 0, Max: 5},
			}}
			w.mu.Unlock()
		} else {
			resp = answer(request{h, body})
		}
		if resp == closing {
			return
		}
		if resp == nil {
			continue
		}
		frame := protocol.AppendResponseHeader(make([]byte, 4), h.Key, h.Version, h.CorrelationID)
		if frame, err = resp.Append(frame, h.Version); err != nil {
			panic(err)
		}
		binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
		if _, err := nc.Write(frame); err != nil {
			return
		}
	}
}

func nextRequest(in io.Reader) (protocol.RequestHeader, []byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return protocol.RequestHeader{}, nil, err
	}
	frame := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(in, frame); err != nil {
		return protocol.RequestHeader{}, nil, err
	}
	return protocol.DecodeRequestHeader(frame)
}

// config returns Kafka's defaults, with the world as the network.
func config(w *world, bootstrap ...string) Config {
	return Config{
		Bootstrap: bootstrap, Transport: &transport.Options{Dialer: w.dial},
		RetryBackoff: 100 * time.Millisecond, RetryBackoffMax: time.Second,
		ReconnectBackoff: 50 * time.Millisecond, ReconnectBackoffMax: time.Second,
		MaxAge: 5 * time.Minute, MaxIdle: 5 * time.Minute, RequestTimeout: 30 * time.Second,
		SetupTimeoutMax: 10 * time.Second,
		PropagationMax:  -1, MaxBlock: time.Minute,
		AllowAutoTopicCreation: true, Rebootstrap: true, RebootstrapTrigger: 5 * time.Minute,
	}
}

// run runs a test in virtual time with a client of the world; adjust may change its config.
func run(t *testing.T, w *world, adjust func(*Config), test func(t *testing.T, c *Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg := config(w, "a:1", "b:2", "c:3")
		if adjust != nil {
			adjust(&cfg)
		}
		c := New(cfg)
		defer synctest.Wait()
		defer c.Close()
		test(t, c)
	})
}

// within returns a context with the timeout d.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// known waits for a topic and requires it to become known. When known returns, the client has delivered its snapshot.
func known(t *testing.T, c *Client, name string) *Topic {
	t.Helper()
	topic, err := c.Topic(within(t, time.Minute), name)
	require.NoError(t, err)
	synctest.Wait()
	return topic
}

// took requires that f returns within d.
func took(t *testing.T, d time.Duration, f func()) {
	t.Helper()
	began := time.Now()
	f()
	require.LessOrEqual(t, time.Since(began), d)
}

// deafForProducers answers metadata requests only.
func deafForProducers(w *world, address string, nc net.Conn) {
	serve(w, nc, func(r request) protocol.Response {
		if r.Key == protocol.InitProducerID {
			return nil
		}
		return reply3(new(protocol.MetadataRequest), nil)
	})
}

// raw is an answer of any bytes.
type raw string

func (raw) Key() protocol.APIKey                         { return protocol.Metadata }
func (r raw) Append(dst []byte, _ int16) ([]byte, error) { return append(dst, r...), nil }
func (raw) Decode([]byte, int16) error                   { return nil }
