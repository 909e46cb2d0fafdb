package testbroker

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/gosamsa/samsa/protocol"
)

// Cluster is a running cluster. All its methods may be called from any goroutine, from hooks too, Close and the Wait
// methods excepted.
type Cluster struct {
	t   testing.TB
	cfg Config

	// mu guards everything below and reachable from there: brokers, connections, topics, logs, seen requests. It is
	// held for short computations only, never while waiting, reading, writing or dialling.
	mu      sync.Mutex
	closed  bool
	brokers []*broker
	aliases map[string]int32
	topics  map[string]*topic
	byID    map[protocol.UUID]*topic // deleted ones too
	denied  map[string]bool
	conns   int // connections made so far
	// strangers are servers other than brokers, and guests the connections to them.
	strangers map[string]func(net.Conn)
	guests    []*pipe

	id             string
	nextTopicID    uint64
	nextProducerID int64
	claims         map[claim]*claimed
	seen           []*seen
	counts         map[protocol.APIKey]int // of seen
	violations     []string
	hooks          []hook
	// changed is closed and replaced at every event of possible interest to a Wait.
	changed chan struct{}

	running sync.WaitGroup
}

const firstProducerID = 1000

// New starts a cluster for the rest of the test. It fails the test at its end after any act impossible for a correct
// client; see Violations.
func New(t testing.TB, cfg Config) *Cluster {
	t.Helper()
	cfg = cfg.withDefaults()
	c := &Cluster{
		t: t, cfg: cfg, id: cfg.ClusterID, aliases: make(map[string]int32), topics: make(map[string]*topic),
		byID: make(map[protocol.UUID]*topic), denied: make(map[string]bool), claims: make(map[claim]*claimed),
		strangers: make(map[string]func(net.Conn)), counts: make(map[protocol.APIKey]int),
		nextProducerID: firstProducerID, changed: make(chan struct{}),
	}
	t.Cleanup(c.finish)
	for range c.cfg.Brokers {
		c.AddBroker()
	}
	for _, name := range slices.Sorted(maps.Keys(c.cfg.Topics)) {
		c.CreateTopic(name, c.cfg.Topics[name])
	}
	return c
}

// finish is the end of the test.
func (c *Cluster) finish() {
	c.Close()
	for _, v := range c.Violations() {
		c.t.Errorf("testbroker: %s", v)
	}
	if c.t.Failed() {
		c.t.Logf("testbroker: Config.Seed %d; what the brokers saw, the end of it:\n%s", c.cfg.Seed, c.trace(100))
	}
}

// Close stops all brokers and waits until nothing of the cluster runs any more. The test's end calls it; it may be
// called twice, but not from a hook. The seen requests and the logs stay readable.
func (c *Cluster) Close() {
	c.mu.Lock()
	c.closed = true
	brokers := c.brokers
	for _, g := range c.guests {
		g.Reset()
	}
	c.mu.Unlock()
	for _, b := range brokers {
		b.stop()
	}
	c.running.Wait()
}

// Bootstrap returns the addresses of all brokers, also of stopped ones.
func (c *Cluster) Bootstrap() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]string, len(c.brokers))
	for i, b := range c.brokers {
		list[i] = b.address()
	}
	return list
}

// Address returns a broker's address.
func (c *Cluster) Address(broker int32) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broker(broker).address()
}

// Alias makes Dial take another address ("kafka.test:9092") for a broker. An alias can be given to another broker
// later.
func (c *Cluster) Alias(address string, broker int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broker(broker)
	c.aliases[address] = broker
}

// Dial opens a connection to a broker. It is for the client's dialer, in the place of net.Dialer; with TCP it is needed
// for aliases and Isolate only. An address without a listener refuses the connection.
func (c *Cluster) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, dialError(addr, err)
	}
	c.mu.Lock()
	if serve := c.strangers[addr]; serve != nil && !c.closed {
		defer c.mu.Unlock()
		return c.welcome(addr, serve), nil
	}
	b := c.lookup(addr)
	if b == nil || b.stopped {
		c.mu.Unlock()
		if b == nil && c.cfg.Network == TCP {
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}
		return nil, dialError(addr, os.NewSyscallError("connect", syscall.ECONNREFUSED))
	}
	if b.isolated {
		c.mu.Unlock()
		<-ctx.Done()
		return nil, dialError(addr, ctx.Err())
	}
	if c.cfg.Network == TCP {
		target := b.address()
		c.mu.Unlock()
		return (&net.Dialer{}).DialContext(ctx, network, target)
	}
	defer c.mu.Unlock()
	client, server := c.newPipe(address(b.address()))
	b.serve(server)
	return client, nil
}

// Serve makes Dial reach a server other than a broker ("proxy.test:80"), always on the in-memory network. f gets each
// connection on a goroutine of its own, and the connection is closed when f returns. At the end of the test the
// connections are reset, and f must return.
func (c *Cluster) Serve(address string, f func(net.Conn)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.strangers[address] = f
}

// welcome makes a connection to a stranger. c.mu is held.
func (c *Cluster) welcome(addr string, serve func(net.Conn)) net.Conn {
	c.conns++
	client, server := c.newPipe(address(addr))
	c.guests = append(c.guests, server)
	c.running.Go(func() {
		defer func() { _ = server.Close() }()
		serve(server)
	})
	return client
}

// newPipe returns the ends of the next connection. c.mu is held.
func (c *Cluster) newPipe(server address) (client, broker *pipe) {
	rng := rand.New(rand.NewPCG(c.cfg.Seed+aboutPieces, uint64(c.conns)))
	return newPipe(address(fmt.Sprintf("client:%d", 10000+c.conns)), server, rng.Uint64())
}

func dialError(addr string, err error) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: address(addr), Err: err}
}

// lookup finds the broker behind an address, or nil.
func (c *Cluster) lookup(addr string) *broker {
	if id, ok := c.aliases[addr]; ok {
		return c.broker(id)
	}
	for _, b := range c.brokers {
		if b.address() == addr {
			return b
		}
	}
	return nil
}

// broker returns the broker with an id. Naming an unknown one is a mistake of the test.
func (c *Cluster) broker(id int32) *broker {
	if id < 1 || int(id) > len(c.brokers) {
		panic(fmt.Sprintf("testbroker: there is no broker %d", id))
	}
	return c.brokers[id-1]
}

// wake wakes the Wait methods. c.mu is held.
func (c *Cluster) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}
