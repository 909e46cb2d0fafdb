package producer

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
)

// This file tests brokers that read slowly. If a batch expires while a connection still writes it, the batch's bytes
// must not change, even while other records are sent. Under the race detector a freed buffer is poison at once
// (accumulator/poison.go).

// large is the value of the slow batch.
var large = bytes.Repeat([]byte{'A'}, 900_000)

// reuse sends records that would overwrite a wrongly freed buffer of the same size.
func reuse(p *Producer) (all []Future) {
	for i := range 24 {
		other := bytes.Repeat([]byte{'B'}, 900_000)
		all = append(all, p.Send(context.Background(), &Record{Topic: "t", Partition: InPartition(int32(1 + i%2)),
			Value: other}, nil))
	}
	return all
}

// slowConn takes a second for each tenth of the large value.
type slowConn struct{ net.Conn }

func (c slowConn) Write(b []byte) (written int, err error) {
	if len(b) < len(large) || b[len(b)/2] != 'A' {
		return c.Conn.Write(b)
	}
	for size := len(b)/10 + 1; len(b) > 0; {
		n, err := c.Conn.Write(b[:min(size, len(b))])
		written += n
		if b = b[n:]; err != nil {
			return written, err
		}
		time.Sleep(time.Second)
	}
	return written, nil
}

func TestABatchThatExpiresWhileItIsWrittenKeepsItsBytes(t *testing.T) {
	slow := func(c *Config) {
		dial := c.Dialer
		c.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
			nc, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return slowConn{nc}, nil
		}
	}
	badInput(t, slow, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		taken(t, p, &Record{Topic: "t", Partition: InPartition(0)})
		c.StopBroker(1)
		time.AfterFunc(115*time.Second, func() { c.StartBroker(1) })
		took, err := outcomeOf(p, &Record{Topic: "t", Partition: InPartition(0), Value: large})
		require.ErrorIs(t, err, ErrDeliveryTimeout)
		require.True(t, MaybeWritten(err), "its first bytes are on their way: %v", err)
		require.Equal(t, 2*time.Minute, took)
		for _, f := range reuse(p) {
			_, err := f.Get(context.Background())
			require.NoError(t, err)
		}
		log := c.Log("t", 0)
		require.Len(t, log, 2)
		require.True(t, bytes.Equal(large, log[1].Value))
	})
}

// gatedServer forwards bytes to a broker. Of a large request it forwards only the first bytes until the gate opens.
type gatedServer struct {
	broker string
	gate   chan struct{}

	got     []byte        // of the first large request
	done    chan struct{} // closed when got is set
	began   sync.Once
	arrives chan struct{} // closed at the first bytes of that request
}

func (g *gatedServer) serve(client net.Conn) {
	broker, err := net.Dial("tcp", g.broker)
	if err != nil {
		return
	}
	defer func() { _ = broker.Close() }()
	go func() {
		_, _ = io.Copy(client, broker)
		_ = client.Close()
	}()
	for {
		head := make([]byte, 8)
		if _, err := io.ReadFull(client, head); err != nil {
			return
		}
		size := int(head[0])<<24 | int(head[1])<<16 | int(head[2])<<8 | int(head[3])
		body := make([]byte, size-4)
		read, first := 0, false
		if size > len(large) {
			read, _ = io.ReadFull(client, body[:1000])
			g.began.Do(func() {
				first = true
				close(g.arrives)
			})
			<-g.gate
		}
		n, err := io.ReadFull(client, body[read:])
		read += n
		if first {
			g.got = body[:read]
			close(g.done)
		}
		if err != nil {
			return
		}
		if _, err := broker.Write(append(head, body...)); err != nil {
			return
		}
	}
}

// This test is like the one above, but over a real socket: the operating system reads the buffers. On a slow machine
// the connection may end before the gate opens; then the bytes received so far must be right. If the batch expires
// before the socket has taken a byte of it, the test starts again.
func TestABatchThatExpiresWhileASocketTakesItKeepsItsBytes(t *testing.T) {
	for range 20 {
		if expiresInASocket(t) {
			return
		}
	}
	t.Fatal("the batch always expired before the socket took it")
}

// expiresInASocket reports whether the socket had taken bytes of the batch when it expired.
func expiresInASocket(t *testing.T) bool {
	c := testbroker.New(t, testbroker.Config{Network: testbroker.TCP, Topics: map[string]int32{"t": 3}})
	c.On(protocol.InitProducerID).Nth(1).Do(testbroker.DelayAnswer(time.Second))
	g := &gatedServer{broker: c.Address(1), gate: make(chan struct{}), done: make(chan struct{}),
		arrives: make(chan struct{})}
	addresses, _ := listening(g.serve)(t)
	cfg := DefaultConfig(c.Bootstrap()...)
	cfg.Linger, cfg.RequestTimeout, cfg.DeliveryTimeout = 0, 3*time.Second, 3*time.Second
	cfg.Dialer = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addresses[0])
	}
	p, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Close(context.Background()) })

	// The record waits a second for a producer id, so its delivery timeout ends before the timeout of its request.
	_, err = p.Send(context.Background(), &Record{Topic: "t", Partition: InPartition(0), Value: large},
		nil).Get(context.Background())
	require.ErrorIs(t, err, ErrDeliveryTimeout)
	arrived := false
	select {
	case <-g.arrives: // no other record was sent before, so these bytes belong to this record
		arrived = true
	default:
	}
	reused := reuse(p)
	close(g.gate)
	if !arrived {
		return false
	}
	for _, f := range reused {
		<-f.Done()
	}
	<-g.done
	require.GreaterOrEqual(t, len(g.got), 1000)
	values := bytes.TrimRight(g.got[500:], "\x00")
	require.Equal(t, len(values), bytes.Count(values, []byte{'A'}), "something else was written than was sent")
	for _, r := range c.Log("t", 0) {
		require.True(t, bytes.Equal(large, r.Value))
	}
	return true
}
