package testbroker

import (
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/gosamsa/samsa/protocol"
)

// memoryPort is the port of every broker on the in-memory network.
const memoryPort = 9092

// broker is one broker. Its cluster's mutex guards all of it.
type broker struct {
	c        *Cluster
	id       int32
	host     string
	port     int32
	rack     *string
	features bool // it has some, if its version of ApiVersions can list them
	versions map[protocol.APIKey]protocol.VersionRange
	// clusterID is the broker's own cluster id in place of its cluster's, empty for none.
	clusterID string
	// stopped: nothing listens. isolated: Dial hangs.
	stopped, isolated bool
	// hung and mute are not nil while the broker hangs or is mute, and closed at the end of that.
	hung, mute chan struct{}
	// frozen is the broker's answer to Metadata requests while it has old news.
	frozen   *view
	listener net.Listener
	conns    map[*conn]struct{}
}

// AddBroker adds a broker, started, and returns its id. It leads nothing yet.
func (c *Cluster) AddBroker() int32 {
	c.mu.Lock()
	b := &broker{
		c: c, id: int32(len(c.brokers) + 1), stopped: true, conns: make(map[*conn]struct{}),
		versions: withVersions(c.cfg.Versions),
	}
	b.host, b.port = fmt.Sprintf("broker-%d", b.id), memoryPort
	b.draw()
	if c.cfg.Network == TCP {
		b.host, b.port = "127.0.0.1", 0
	}
	c.brokers = append(c.brokers, b)
	c.mu.Unlock()
	c.StartBroker(b.id)
	return b.id
}

func (b *broker) address() string { return net.JoinHostPort(b.host, strconv.Itoa(int(b.port))) }

// SetVersions changes a broker's versions, as an upgrade does; ranges of other APIs stay. Stop the broker first:
// clients ask only when they connect.
func (c *Cluster) SetVersions(broker int32, versions map[protocol.APIKey]protocol.VersionRange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.broker(broker)
	for key, v := range versions {
		b.versions[key] = v
	}
}

// StartBroker starts a stopped broker at the same address; on TCP at another one if the port was taken meanwhile. The
// broker gets back the leaderless partitions of which it was the last in-sync replica, and joins the in-sync replicas
// of the others.
func (c *Cluster) StartBroker(id int32) {
	b := c.find(id)
	var listener net.Listener
	if c.cfg.Network == TCP {
		if listener = b.listen(); listener == nil {
			return
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !b.stopped || c.closed {
		if listener != nil {
			_ = listener.Close()
		}
		return
	}
	b.stopped = false
	if listener != nil {
		b.listener, b.port = listener, int32(listener.Addr().(*net.TCPAddr).Port)
		c.running.Go(func() { b.accept(listener) })
	}
	c.brokerUp(id)
	c.wake()
}

// listen opens a listener for a broker without one.
func (b *broker) listen() net.Listener {
	c := b.c
	c.mu.Lock()
	running, addr := !b.stopped || c.closed, b.address()
	c.mu.Unlock()
	if running {
		return nil
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		listener, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		c.violation("broker %d does not start: %v", b.id, err)
		return nil
	}
	return listener
}

// accept takes connections until the listener is closed.
func (b *broker) accept(listener net.Listener) {
	for {
		nc, err := listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				b.c.violation("broker %d takes no more connections: %v", b.id, err)
			}
			return
		}
		b.c.mu.Lock()
		if b.listener == listener && !b.stopped {
			b.serve(nc)
		} else {
			_ = nc.Close()
		}
		b.c.mu.Unlock()
	}
}

// StopBroker ends a broker as kill -9 does: its port is closed, its connections are reset. Its partitions get another
// leader from their in-sync replicas, or none (LEADER_NOT_AVAILABLE). When it comes back, it knows only the last batch
// of each producer, as Kafka's snapshots do: an older batch is no duplicate for it.
func (c *Cluster) StopBroker(id int32) {
	c.find(id).stop()
}

// find is broker without c.mu held.
func (c *Cluster) find(id int32) *broker {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broker(id)
}

func (b *broker) stop() {
	c := b.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if b.stopped {
		return
	}
	b.stopped = true
	b.unhang()
	if b.listener != nil {
		_ = b.listener.Close()
		b.listener = nil
	}
	b.disconnect()
	if !c.closed {
		c.brokerDown(b.id)
	}
	c.wake()
}

// Disconnect resets all connections of a broker. The broker continues.
func (c *Cluster) Disconnect(id int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broker(id).disconnect()
	c.wake()
}

func (b *broker) disconnect() {
	for k := range b.conns {
		k.kill(true)
	}
}

// Hang makes a broker stand still as kill -STOP does: connections are accepted and stay open, nothing is read, handled
// or answered. It stays the leader of its partitions. Afterwards it goes on with the contents of its sockets.
func (c *Cluster) Hang(id int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.broker(id); b.hung == nil && !b.stopped {
		b.hung = make(chan struct{})
	}
}

// Isolate makes a broker hang, and connecting to it too, as when its packets are dropped.
func (c *Cluster) Isolate(id int32) {
	c.Hang(id)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broker(id).isolated = true
}

// Mute makes a broker read and handle requests without answering them, one of each connection, as the next is handled
// only after the answer.
func (c *Cluster) Mute(id int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.broker(id); b.mute == nil && !b.stopped {
		b.mute = make(chan struct{})
	}
}

// Unhang ends Hang, Isolate and Mute. Connections begun to an isolated broker stay lost.
func (c *Cluster) Unhang(id int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broker(id).unhang()
	c.wake()
}

func (b *broker) unhang() {
	if b.hung != nil {
		close(b.hung)
	}
	if b.mute != nil {
		close(b.mute)
	}
	b.hung, b.mute, b.isolated = nil, nil, false
}

// Connections returns how many connections a broker has.
func (c *Cluster) Connections(id int32) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.broker(id).conns)
}
