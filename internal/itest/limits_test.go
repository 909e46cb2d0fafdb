package itest

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/gosamsa/samsa/internal/itest/realkafka"
	"github.com/gosamsa/samsa/producer"
	"github.com/stretchr/testify/require"
)

// TestErrorsNameARealBrokersLimits is about limits enforced by a broker through closing connections, without a word.
func TestErrorsNameARealBrokersLimits(t *testing.T) {
	cluster := realkafka.Start(t, realkafka.Options{Config: map[string]string{
		"socket.request.max.bytes": "300000", "max.connections.per.ip": "16",
	}})
	require.NoError(t, cluster.CreateTopics(t.Context(), realkafka.Topic{Name: "orders", Partitions: 1}))
	t.Run("socket.request.max.bytes", func(t *testing.T) {
		cfg := producer.DefaultConfig(cluster.Bootstrap()...)
		cfg.RequestTimeout, cfg.DeliveryTimeout, cfg.Linger = time.Second, 2*time.Second, 0
		p := newProducer(t, cfg)
		_, err := p.Send(t.Context(), &producer.Record{Topic: "orders", Value: make([]byte, 400_000)},
			nil).Get(t.Context())
		require.ErrorIs(t, err, producer.ErrDeliveryTimeout)
		require.ErrorContains(t, err, "the request has 400")
		require.ErrorContains(t, err, "socket.request.max.bytes")
	})
	t.Run("max.connections.per.ip", func(t *testing.T) {
		d := &gatedDialer{}
		cfg := producer.DefaultConfig(cluster.Bootstrap()...)
		cfg.RequestTimeout, cfg.DeliveryTimeout, cfg.Linger = time.Second, 2*time.Second, 0
		cfg.Dialer = d.dial
		p := newProducer(t, cfg)
		r := producer.Record{Topic: "orders", Value: []byte("v")}
		_, err := p.Send(t.Context(), &r, nil).Get(t.Context())
		require.NoError(t, err)
		open := d.shut()
		for !occupy(t, cluster.Bootstrap()[0]) {
		}
		open()
		_, err = p.Send(t.Context(), &r, nil).Get(t.Context())
		require.ErrorIs(t, err, producer.ErrDeliveryTimeout)
		require.ErrorContains(t, err, "has answered before")
		require.ErrorContains(t, err, "max.connections.per.ip")
	})
}

// gatedDialer dials TCP, but not while it is shut.
type gatedDialer struct {
	mu    sync.Mutex
	gate  chan struct{} // nil while it is open
	conns []net.Conn
}

func (d *gatedDialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d.mu.Lock()
	gate := d.gate
	d.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	nc, err := new(net.Dialer).DialContext(ctx, network, address)
	if err == nil {
		d.mu.Lock()
		d.conns = append(d.conns, nc)
		d.mu.Unlock()
	}
	return nc, err
}

// shut closes all connections and makes no others before open is called.
func (d *gatedDialer) shut() (open func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	gate := make(chan struct{})
	d.gate = gate
	for _, nc := range d.conns {
		_ = nc.Close()
	}
	return func() { close(gate) }
}

// occupy makes a connection for the time of the test, and reports whether the broker closed it instead.
func occupy(t *testing.T, address string) (closed bool) {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = nc.Close() })
	// ApiVersions version 0, correlation id 0, no client id: a broker answers if it keeps the connection.
	_, err = nc.Write([]byte{0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 0, 255, 255})
	if err == nil {
		_, err = io.ReadFull(nc, make([]byte, 4))
	}
	return err != nil
}
