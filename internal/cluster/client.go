package cluster

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gosamsa/samsa/internal/fifo"
	"github.com/gosamsa/samsa/internal/lockrank"
	"github.com/gosamsa/samsa/internal/transport"
	"github.com/gosamsa/samsa/protocol"
)

// Client keeps the metadata of one cluster. It is safe for many goroutines.
type Client struct {
	cfg      Config
	snapshot atomic.Pointer[Snapshot]
	// wake makes the client's goroutine look for work. It holds one wake-up, which covers all later ones.
	wake chan struct{}
	// ctx ends with Close.
	ctx    context.Context
	cancel context.CancelFunc

	// No goroutine holds mu during a channel operation, a dial, a request, or a call of code outside the package.
	mu       lockrank.Mutex[lockrank.ClusterClient]
	topics   topics
	servers  servers
	watchers []func(*Change)
	// changes are published and not delivered yet, in order. One goroutine at a time delivers them.
	changes    []*Change
	delivering bool
	// conn carries the requests; it may have ended.
	conn *transport.Conn
	// unproven: conn replaced another connection, and no topic id has yet proved that conn leads to the same cluster.
	unproven bool
	// waiting is not nil while a goroutine needs a connection.
	waiting *connection
	// refresh is a pending request of Refresh, to be served from notBefore on; topics.stale has the requests of
	// RefreshTopic. renewAt is the end of metadata.max.age.ms.
	refresh   bool
	notBefore time.Time
	renewAt   time.Time
	// knownNext: the last request was for wanted topics, so due known topics come before further wanted topics.
	knownNext bool
	// failures counts fetches in a row without an answer; noProgress counts fetches in a row without news in the
	// answer.
	failures, noProgress int
	// searching is the time of the first unanswered request since the last answer; zero after an answer.
	searching time.Time
	// avoidCurrent: the next request goes to another broker, because the present broker may be out of date.
	avoidCurrent bool
	// startOver: the next fetch tries the bootstrap servers first, over new connections. See Rebootstrap.
	startOver bool
	// replacements counts successive changes of the cluster, each within Config.grace of the last. replacedAt is the
	// time of the last change, warnedAt the time of the last warning about one.
	replacements         int
	replacedAt, warnedAt time.Time
	// alarm runs warnDue when the oldest wait in watches, or a search without an answer, has lasted for warnAfter.
	// alarmAt is the time of the alarm, zero for none. searchWarned: the client has logged the warning about the
	// present search.
	alarm        *time.Timer
	alarmAt      time.Time
	watches      fifo.Queue[watch]
	searchWarned bool
}

// connection is the state shared by the waits for a connection.
type connection struct {
	done chan struct{}
	conn *transport.Conn
	err  error
}

// New starts a client. The client sends no request before its first use.
func New(cfg Config) *Client {
	c := newClient(cfg)
	go c.run()
	return c
}

// newClient returns a client without its goroutine.
func newClient(cfg Config) *Client {
	c := &Client{
		cfg:     cfg.withDefaults(),
		wake:    make(chan struct{}, 1),
		topics:  newTopics(time.Now()),
		servers: make(servers),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.snapshot.Store(&Snapshot{})
	for _, address := range c.cfg.Bootstrap {
		c.servers.get(address).bootstrap = true
	}
	return c
}

// Close ends the client's goroutine and connection, and wakes every waiting goroutine with ErrClosed. It returns at
// once.
func (c *Client) Close() {
	c.cancel()
	c.mu.Lock()
	conn := c.conn
	if c.alarm != nil {
		c.alarm.Stop()
	}
	c.mu.Unlock()
	if conn != nil {
		conn.Close(ErrClosed)
	}
}

// Snapshot returns the current snapshot. It is never nil.
func (c *Client) Snapshot() *Snapshot { return c.snapshot.Load() }

// OnChange calls fn with every later change, in order and one at a time. A Change may be without differences: then a
// waiting caller can check again. fn runs without a lock, on the client's goroutine or on a goroutine that calls
// ApplyLeaderHints. It must not block. Snapshot may be newer than the change.
func (c *Client) OnChange(fn func(*Change)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Copy the slice, because deliver may be using the old one.
	c.watchers = append(c.watchers[:len(c.watchers):len(c.watchers)], fn)
}

// publish makes the snapshot of a change the current one. The caller holds mu, and calls deliver after it has released
// mu.
func (c *Client) publish(change *Change) {
	c.snapshot.Store(change.Snapshot)
	c.changes = append(c.changes, change)
}

// deliver passes the published changes to the watchers. If another goroutine is already delivering, that goroutine
// delivers these changes too.
func (c *Client) deliver() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.delivering {
		return
	}
	c.delivering = true
	defer func() { c.delivering = false }()
	for len(c.changes) > 0 {
		change, watchers := c.changes[0], c.watchers
		c.changes = slices.Delete(c.changes, 0, 1)
		c.mu.Unlock()
		for _, fn := range watchers {
			fn(change)
		}
		c.mu.Lock()
	}
}

// Topic returns a topic, at once if it is known. Otherwise the client requests the topic until the brokers know it, the
// brokers answer with a final error (TOPIC_AUTHORIZATION_FAILED, …), or ctx ends. The error is a *TopicError.
func (c *Client) Topic(ctx context.Context, name string) (*Topic, error) {
	for {
		t, e, ready, err := c.await(name)
		if t != nil || err != nil {
			return t, err
		}
		select {
		case <-ready:
		case <-ctx.Done():
		case <-c.ctx.Done():
		}
		if err := c.awaited(ctx, e); err != nil {
			return nil, err
		}
	}
}

// await returns the topic, or the reason for its absence, or a channel to wait on.
func (c *Client) await(name string) (*Topic, *entry, <-chan struct{}, error) {
	now := time.Now()
	if t := c.Snapshot().Topic(name); t != nil {
		t.Touch(now)
		return t, nil, nil, nil
	}
	if protocol.TopicNameProblem(name) != "" {
		return nil, nil, nil, &TopicError{Topic: name, Err: errIllegalName}
	}
	c.mu.Lock()
	defer c.wakeUp()
	defer c.mu.Unlock()
	if t := c.Snapshot().Topic(name); t != nil {
		return t, nil, nil, nil
	}
	e := c.track(name, now)
	if e.failure != nil {
		return nil, nil, nil, &TopicError{Topic: name, Err: e.failure}
	}
	e.waiters++
	if e.ready == nil {
		e.ready = make(chan struct{})
	}
	return nil, e, e.ready, nil
}

// awaited ends a wait of Topic. It returns nil if the caller can read the entry's outcome.
func (c *Client) awaited(ctx context.Context, e *entry) error {
	closed, over := c.ctx.Err(), ctx.Err()
	c.mu.Lock()
	defer c.mu.Unlock()
	e.waiters--
	switch {
	case closed != nil:
		return &TopicError{Topic: e.name, Err: ErrClosed, Why: c.whyNot(e)}
	case over == nil || c.Snapshot().Topic(e.name) != nil || e.failure != nil:
		return nil
	}
	return c.unknownYet(e, over)
}

// unknownYet returns the error of a call that reason ended before the topic became known. It needs mu.
func (c *Client) unknownYet(e *entry, reason error) *TopicError {
	err := &TopicError{Topic: e.name, Err: reason, Why: c.whyNot(e)}
	var answer *protocol.Error
	if !e.unknownSince.IsZero() && errors.As(err.Why, &answer) && reactionTo(answer.Code).topic == absent {
		err.Missing = &MissingError{Code: answer.Code, After: time.Since(e.unknownSince)}
	}
	return err
}

// TryTopic returns a topic if it is known. Otherwise it makes the client request the topic, and returns why the topic
// is not known yet.
func (c *Client) TryTopic(name string) (*Topic, error) {
	now := time.Now()
	if t := c.Snapshot().Topic(name); t != nil {
		t.Touch(now)
		return t, nil
	}
	switch {
	case c.ctx.Err() != nil:
		return nil, &TopicError{Topic: name, Err: ErrClosed}
	case protocol.TopicNameProblem(name) != "":
		return nil, &TopicError{Topic: name, Err: errIllegalName}
	}
	c.mu.Lock()
	defer c.wakeUp()
	defer c.mu.Unlock()
	if t := c.Snapshot().Topic(name); t != nil {
		return t, nil // it became known while this goroutine waited for the lock
	}
	var missing *MissingError
	if e := c.topics.all[name]; e != nil {
		errors.As(e.failure, &missing)
	}
	e := c.track(name, now)
	switch {
	case e.failure != nil:
		return nil, &TopicError{Topic: name, Err: e.failure}
	case missing != nil: // the last response counts until the next one
		return nil, &TopicError{Topic: name, Err: missing}
	}
	return nil, c.unknownYet(e, ErrPending)
}

// track makes the client request a topic until the topic is known. It needs mu.
func (c *Client) track(name string, now time.Time) *entry {
	if len(c.topics.all) == 0 {
		c.renewAt = now.Add(c.cfg.MaxAge)
	}
	return c.topics.track(name, now)
}

// whyNot returns the obstacle of a topic: the brokers' answer, or the servers' failures. It needs mu.
func (c *Client) whyNot(e *entry) error {
	if e.why != nil && c.failures == 0 {
		return e.why
	}
	if len(c.servers) == 0 {
		return ErrNoServers
	}
	return c.servers.report(time.Now())
}

// Refresh makes the client request new metadata of all topics: at once, or as soon as retry.backoff.ms allows. The
// backoff grows while answers contain no news. Refresh does not wait; OnChange reports the answer.
func (c *Client) Refresh() {
	c.mu.Lock()
	c.refresh = true
	c.mu.Unlock()
	c.wakeUp()
}

// RefreshTopic is Refresh for one topic. It does nothing if the topic is not known.
func (c *Client) RefreshTopic(name string) {
	c.mu.Lock()
	c.refreshTopic(name)
	c.mu.Unlock()
	c.wakeUp()
}

// refreshTopic needs mu.
func (c *Client) refreshTopic(name string) {
	if e := c.topics.all[name]; e != nil && !e.wanted {
		c.topics.stale[name] = e
	}
}

// AwaitLeader makes the client request a topic, with retry.backoff.ms between the requests, until the partition has a
// leader. The client gives up request.timeout.ms after the last call.
func (c *Client) AwaitLeader(topic string, partition int32) {
	now := time.Now()
	if c.ctx.Err() != nil || protocol.TopicNameProblem(topic) != "" {
		return
	}
	c.mu.Lock()
	e := c.topics.all[topic]
	if t := c.Snapshot().Topic(topic); t != nil && e != nil {
		t.Touch(now)
		c.refreshTopic(topic)
	} else if e = c.track(topic, now); e.failure != nil {
		c.topics.want(e, e.failedUntil)
	}
	if e.awaited == nil {
		e.awaited = make(map[int32]struct{})
	}
	e.awaited[partition] = struct{}{}
	e.awaitedUntil = now.Add(c.cfg.RequestTimeout)
	c.watchLeaders(e, now)
	c.mu.Unlock()
	c.wakeUp()
}

// awaitsLeader reports whether the client keeps requesting a topic because a caller waits for the leader of a
// partition.
func (e *entry) awaitsLeader(t *Topic, now time.Time) bool {
	if !now.Before(e.awaitedUntil) {
		e.awaited = nil
		return false
	}
	maps.DeleteFunc(e.awaited, func(partition int32, _ struct{}) bool { return t.hasLeader(partition) })
	return len(e.awaited) > 0
}

// wakeUp makes the client's goroutine look for work.
func (c *Client) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
