package producer

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
)

// meddler stands between a producer and a good broker, on real sockets, and changes the broker's answers byte by byte.
// The producer dials the meddler.
type meddler struct {
	c       *testbroker.Cluster
	address string

	mu     sync.Mutex
	tamper func(x *exchange) error // nil forwards every answer unchanged
	conns  int
	turns  map[protocol.APIKey]int
}

// exchange is one request and the good broker's answer.
type exchange struct {
	client     net.Conn
	connection int // counted from 0
	turn       int // of this API's exchanges, counted from 0
	key        protocol.APIKey
	version    int16
	answer     []byte // the whole frame
}

// pass sends the good answer to the client.
func (x *exchange) pass() error { return x.write(x.answer) }

func (x *exchange) write(b []byte) error {
	_, err := x.client.Write(b)
	return err
}

// body sends the client a whole frame with the good header and this body.
func (x *exchange) body(b []byte) error {
	head := 8
	if x.key != protocol.ApiVersions {
		head = 9 // the newest versions have tagged fields in the header
	}
	frame := append(x.answer[:head:head], b...)
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	return x.write(frame)
}

func newMeddler(t *testing.T, tamper func(x *exchange) error) *meddler {
	c := testbroker.New(t, testbroker.Config{Network: testbroker.TCP, Topics: map[string]int32{"t": 2}})
	m := &meddler{c: c, tamper: tamper, turns: make(map[protocol.APIKey]int)}
	addresses, _ := listening(m.serve)(t)
	m.address = addresses[0]
	return m
}

// dial is for Config.Dialer. It returns a *net.TCPConn, as without a dialer.
func (m *meddler) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, m.address)
}

func (m *meddler) heal() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tamper = nil
}

func (m *meddler) serve(client net.Conn) {
	m.mu.Lock()
	connection := m.conns
	m.conns++
	m.mu.Unlock()
	broker, err := net.Dial("tcp", m.c.Address(1))
	if err != nil {
		return
	}
	defer func() { _ = broker.Close() }()
	for {
		request, err := readFrame(client)
		if err != nil {
			return
		}
		if _, err := broker.Write(request); err != nil {
			return
		}
		x := &exchange{client: client, connection: connection}
		x.key = protocol.APIKey(binary.BigEndian.Uint16(request[4:]))
		x.version = int16(binary.BigEndian.Uint16(request[6:]))
		if x.answer, err = readFrame(broker); err != nil {
			return
		}
		m.mu.Lock()
		x.turn = m.turns[x.key]
		m.turns[x.key]++
		tamper := m.tamper
		m.mu.Unlock()
		if tamper == nil {
			tamper = (*exchange).pass
		}
		if tamper(x) != nil {
			return
		}
	}
}

// readFrame reads a frame, its length included.
func readFrame(r io.Reader) ([]byte, error) {
	frame := make([]byte, 4)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, err
	}
	frame = append(frame, make([]byte, binary.BigEndian.Uint32(frame))...)
	_, err := io.ReadFull(r, frame[4:])
	return frame, err
}

// meddled is a case with a meddler before the broker.
func meddled(name string, check func(require.TestingT, error), tamper func(x *exchange) error) *hostileCase {
	var m *meddler
	return &hostileCase{
		name: name, check: check,
		servers: func(t *testing.T) ([]string, func()) {
			m = newMeddler(t, tamper)
			return m.c.Bootstrap(), m.heal
		},
		change: func(cfg *Config) { cfg.Dialer = m.dial },
	}
}

// bodies returns a case for each body in list: every answer of the API has this body.
func bodies(key protocol.APIKey, check func(require.TestingT, error), list map[string][]byte) (cases []*hostileCase) {
	for name, body := range list {
		cases = append(cases, meddled(name, check, func(x *exchange) error {
			if x.key != key {
				return x.pass()
			}
			return x.body(body)
		}))
	}
	return cases
}

// through returns a producer connected to a meddler, with the shortest backoffs and the default delivery timeout.
func through(t *testing.T, tamper func(x *exchange) error) (*Producer, *meddler) {
	t.Helper()
	m := newMeddler(t, tamper)
	cfg := DefaultConfig(m.c.Bootstrap()...)
	cfg.Dialer, cfg.Linger = m.dial, 0
	cfg.RetryBackoff, cfg.RetryBackoffMax, cfg.ReconnectBackoff, cfg.ReconnectBackoffMax = 0, 0, 0, 0
	p, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close(context.Background())) })
	return p, m
}
