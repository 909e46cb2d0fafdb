package chaos

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// Net is the network between a producer and a cluster: one proxy in front of each broker. A producer with [Net.Dial] as
// its dialer gets the proxy for each broker's own address, so the advertised addresses work.
type Net struct {
	proxies map[string]*Proxy
	list    []*Proxy
}

// NewNet starts a proxy for each broker. The caller closes it.
func NewNet(brokers []string) (*Net, error) {
	n := &Net{proxies: map[string]*Proxy{}}
	for _, b := range brokers {
		p, err := newProxy(b)
		if err != nil {
			return nil, errors.Join(err, n.Close())
		}
		n.proxies[b], n.list = p, append(n.list, p)
	}
	return n, nil
}

// Dial connects to the proxy of a broker, and to any other address directly. It fits Samsa's and franz-go's Dialer.
func (n *Net) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	p := n.proxies[address]
	if p == nil {
		return d.DialContext(ctx, network, address)
	}
	// The broker comes first: a stopped broker refuses the connection, and an accepting proxy would hide it.
	broker, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if !p.offer(broker) {
		return nil, net.ErrClosed
	}
	return d.DialContext(ctx, network, p.Address())
}

// Node returns the proxy of a broker; nodes count from 1 in the order of NewNet's brokers.
func (n *Net) Node(id int32) *Proxy { return n.list[id-1] }

// Close ends all proxies and their connections, and returns when their goroutines have ended.
func (n *Net) Close() error {
	var errs []error
	for _, p := range n.list {
		errs = append(errs, p.close())
	}
	return errors.Join(errs...)
}

// Proxy passes connections on to one broker, and breaks them when asked to.
type Proxy struct {
	broker   string
	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex
	links   map[*link]bool
	brokers []net.Conn // connections to the broker without a client's yet
	pace    pace
	changed chan struct{} // closed when pace changes
	closed  bool
}

// pace says how bytes pass. The zero pace lets them.
type pace struct {
	silent bool // nothing passes, in either direction
	chunk  int  // so many bytes at a time, after a delay each; only if delay is above 0
	delay  time.Duration
}

func newProxy(broker string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{broker: broker, listener: l, links: map[*link]bool{}, changed: make(chan struct{})}
	p.running.Go(p.accept)
	return p, nil
}

// Address is the address of the proxy's listener.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

func (p *Proxy) close() error {
	err := p.listener.Close()
	p.mu.Lock()
	p.closed = true // held bytes stay held: each link's end lets go of its bytes
	links, unused := p.linksLocked(), p.brokers
	p.brokers = nil
	p.mu.Unlock()
	for _, l := range links {
		l.abort()
	}
	for _, c := range unused {
		_ = c.Close()
	}
	p.running.Wait()
	return err
}

// offer keeps a connection to the broker for the next client. It returns false when the proxy was closed.
func (p *Proxy) offer(broker net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = broker.Close()
		return false
	}
	p.brokers = append(p.brokers, broker)
	return true
}

// takeBroker returns a connection to the broker, or nil for a client from outside [Net.Dial].
func (p *Proxy) takeBroker() net.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.brokers) == 0 {
		return nil
	}
	c := p.brokers[0]
	p.brokers = p.brokers[1:]
	return c
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(client) })
	}
}

// serve passes bytes in both directions until one side ends. While the proxy is silent, a new connection stands and
// nothing answers, as with a hanging host.
func (p *Proxy) serve(client net.Conn) {
	broker := p.takeBroker()
	if broker == nil {
		reset(client)
		return
	}
	l := &link{p: p, client: client, broker: broker, done: make(chan struct{}), loseAnswers: make(chan struct{})}
	p.mu.Lock()
	closed := p.closed
	p.links[l] = !closed
	p.mu.Unlock()
	if closed {
		l.abort()
	}
	var pumps sync.WaitGroup
	pumps.Go(func() { l.pump(broker, client, l.upstream); l.end() })
	pumps.Go(func() { l.pump(client, broker, l.downstream); l.end() })
	pumps.Wait()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

func (p *Proxy) linksLocked() []*link {
	links := make([]*link, 0, len(p.links))
	for l := range p.links {
		links = append(links, l)
	}
	return links
}

// each runs fn for every open connection and returns how many there were.
func (p *Proxy) each(fn func(*link)) int {
	p.mu.Lock()
	links := p.linksLocked()
	p.mu.Unlock()
	for _, l := range links {
		fn(l)
	}
	return len(links)
}

// Reset breaks every open connection with a TCP reset. It returns how many there were, as the other strikes do.
func (p *Proxy) Reset() int { return p.each((*link).abort) }

// LoseAnswers lets every open connection pass requests on but drops the broker's answers. After a lost answer the
// connection is closed a while later.
func (p *Proxy) LoseAnswers(closeAfter time.Duration) int {
	return p.each(func(l *link) { l.loseFrom(closeAfter) })
}

// Cut lets every open connection pass so many more bytes on to the broker, and then resets both sides: the request is
// cut in its middle.
func (p *Proxy) Cut(after int) int { return p.each(func(l *link) { l.cutAfter(after) }) }

// Silence holds all bytes in both directions, of old and new connections, until Heal.
func (p *Proxy) Silence() { p.setPace(pace{silent: true}) }

// Slow passes at most chunk bytes at a time, each after a delay, until Heal.
func (p *Proxy) Slow(chunk int, delay time.Duration) { p.setPace(pace{chunk: chunk, delay: delay}) }

// Heal lets bytes pass again. Struck connections stay so.
func (p *Proxy) Heal() { p.setPace(pace{}) }

func (p *Proxy) setPace(to pace) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pace = to
	close(p.changed)
	p.changed = make(chan struct{})
}

// admit waits until bytes may pass, and returns how many of n may. It returns 0 when the link has ended.
func (p *Proxy) admit(l *link, n int) int {
	for {
		p.mu.Lock()
		pace, changed := p.pace, p.changed
		p.mu.Unlock()
		if !pace.silent && pace.delay == 0 {
			return n
		}
		var after <-chan time.Time
		if !pace.silent {
			after = time.After(pace.delay)
		}
		select {
		case <-l.done:
			return 0
		case <-changed:
		case <-after:
			return min(n, max(1, pace.chunk))
		}
	}
}
