package transport

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gosamsa/samsa/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// peer is a broker's end of a connection, driven by hand.
type peer struct {
	net.Conn
	in *bufio.Reader
}

type request struct {
	protocol.RequestHeader
	body []byte
}

func newPeer(nc net.Conn) *peer { return &peer{Conn: nc, in: bufio.NewReader(nc)} }

// next reads one request.
func (p *peer) next() (request, error) {
	var head [4]byte
	if _, err := io.ReadFull(p.in, head[:]); err != nil {
		return request{}, err
	}
	frame := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(p.in, frame); err != nil {
		return request{}, err
	}
	h, body, err := protocol.DecodeRequestHeader(frame)
	return request{h, body}, err
}

// frameOf is an answer to r with the given body.
func frameOf(r request, body []byte) []byte {
	b := protocol.AppendResponseHeader(make([]byte, 4), r.Key, r.Version, r.CorrelationID)
	b = append(b, body...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// answer answers one request. It ignores errors, because the client's side of the test sees them.
func (p *peer) answer(r request, body string) { _, _ = p.Write(frameOf(r, []byte(body))) }

// reply answers a request with a message.
func (p *peer) reply(r request, version int16, m protocol.Response) {
	body, err := m.Append(nil, version)
	if err != nil {
		panic(err)
	}
	_, _ = p.Write(frameOf(r, body))
}

// versions are the versions of a recent broker.
func versions() *protocol.ApiVersionsResponse {
	return &protocol.ApiVersionsResponse{FinalizedFeaturesEpoch: -1, APIs: []protocol.APIVersion{
		{Key: protocol.Produce, Min: 0, Max: 13}, {Key: protocol.Metadata, Min: 0, Max: 13},
		{Key: protocol.ApiVersions, Min: 0, Max: 4}, {Key: protocol.InitProducerID, Min: 0, Max: 5},
	}}
}

// greet answers the first exchange like a recent broker.
func (p *peer) greet() {
	if r, err := p.next(); err == nil {
		p.reply(r, r.Version, versions())
	}
}

// dialer returns a dialer. It passes the other end of every connection to serve, on a goroutine of its own. Connections
// are unbuffered pipes.
func dialer(serve func(p *peer)) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer func() { _ = theirs.Close() }()
			serve(newPeer(theirs))
		}()
		return ours, nil
	}
}

// connect makes a connection to a broker run by serve after its greeting.
func connect(t *testing.T, o Options, serve func(p *peer)) *Conn {
	t.Helper()
	if o.RequestTimeout == 0 {
		o.RequestTimeout = 30 * time.Second // Kafka's default
	}
	pipes := dialer(func(p *peer) {
		p.greet()
		serve(p)
	})
	o.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := pipes(ctx, network, address)
		return directConn{nc}, err
	}
	c, err := Dial(t.Context(), &o, "broker:9092")
	require.NoError(t, err)
	t.Cleanup(func() { c.Close(nil) })
	return c
}

// directConn is a pipe that the package uses like a socket, without extra goroutines.
type directConn struct{ net.Conn }

// WriteBuffer says that any Write may block.
func (directConn) WriteBuffer() int { return 0 }

// echo answers every request with its own body.
func echo(p *peer) {
	for {
		r, err := p.next()
		if err != nil {
			return
		}
		p.answer(r, string(r.body))
	}
}

// outcome is the arguments of a Done.
type outcome struct {
	body string
	err  error
	at   time.Time
}

// call returns a call with a body of several buffers, and the channel of its outcomes. The channel has room for two, to
// detect a second outcome.
func call(parts ...string) (*Call, chan outcome) {
	done := make(chan outcome, 2)
	c := &Call{Key: protocol.Produce, Version: 9, Done: func(body []byte, err error) {
		done <- outcome{string(body), err, time.Now()}
	}}
	c.Buffers = append(c.Buffers, protocol.AppendRequestHeader(make([]byte, 4), c.Key, c.Version, 0, "test"))
	for _, p := range parts {
		c.Buffers = append(c.Buffers, []byte(p))
	}
	return c, done
}

// failure returns err as the required *Error.
func failure(t *testing.T, err error) *Error {
	t.Helper()
	var e *Error
	require.ErrorAs(t, err, &e)
	return e
}

// listen serves TCP connections on loopback until the test ends, and returns the address.
func listen(t testing.TB, serve func(p *peer)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	stopped := make(chan struct{})
	open := make(chan net.Conn, 100)
	go func() {
		defer close(stopped)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			open <- nc
			go func() {
				defer func() { _ = nc.Close() }()
				serve(newPeer(nc))
			}()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-stopped
		close(open)
		for nc := range open {
			_ = nc.Close()
		}
	})
	return l.Addr().String()
}
