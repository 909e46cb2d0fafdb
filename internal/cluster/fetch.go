package cluster

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gosamsa/samsa/internal/transport"
	"github.com/gosamsa/samsa/protocol"
)

// metadataQuery is the content of one Metadata request.
type metadataQuery struct {
	topics []string
	// create: the brokers may create missing topics.
	create bool
	// all: topics has all known topics; wanted topics have queries of their own. refreshRequested: a caller called
	// Refresh or RefreshTopic.
	all, refreshRequested bool
}

// reply is one server's answer to a query, or its failure.
type reply struct {
	candidate
	resp    *protocol.MetadataResponse
	version int16
	err     error
}

// fetch asks one server after another until one answers. If a server has not answered after its head start, fetch asks
// the next one in parallel (hedged), and the first answer counts. So a dead or hanging server delays a fetch for a
// bounded time, once. fetch returns an error if no server answered or the client was closed.
func (c *Client) fetch(q metadataQuery) (reply, error) {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	f := fetching{client: c, ctx: ctx, question: q, replies: make(chan reply)}
	f.begin(time.Now())
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wait, more := f.advance()
		if !more {
			return reply{}, c.unreachable()
		}
		timer.Reset(wait)
		select {
		case r := <-f.replies:
			if f.received(r) {
				return r, nil
			}
		case <-timer.C:
		case <-ctx.Done():
			return reply{}, ErrClosed
		}
	}
}

// fetching is the state of one fetch. It belongs to the client's goroutine.
type fetching struct {
	client     *Client
	ctx        context.Context
	question   metadataQuery
	replies    chan reply
	candidates []candidate
	running    int
	// nextStart is when the client asks the next server without the answers of others.
	nextStart time.Time
	// started counts the servers asked so far; tried has the servers asked over a new connection.
	started int
	tried   map[string]bool
	// rebootstrapped: the search has begun again with the bootstrap servers.
	rebootstrapped bool
}

// forever is longer than anything here waits.
const forever = time.Hour

// begin makes the list of servers to ask.
func (f *fetching) begin(now time.Time) {
	c := f.client
	c.mu.Lock()
	defer c.mu.Unlock()
	f.tried = make(map[string]bool)
	if c.searching.IsZero() {
		c.searching = now
		c.armAlarm(now)
	} else {
		f.rebootstrapped = c.overdue(now)
	}
	f.rebootstrapped = f.rebootstrapped || c.startOver
	c.startOver = false
	f.candidates = c.candidates(f.rebootstrapped)
}

// overdue reports whether the time without an answer is long enough to ask the bootstrap servers first. It needs mu.
func (c *Client) overdue(now time.Time) bool {
	return c.cfg.Rebootstrap && now.Sub(c.searching) >= c.cfg.RebootstrapTrigger
}

// rebootstrap puts the bootstrap servers first after too long a time without an answer.
func (f *fetching) rebootstrap(now time.Time) {
	c := f.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.rebootstrapped || f.started == 0 || !c.overdue(now) {
		return
	}
	f.rebootstrapped = true
	f.candidates = slices.DeleteFunc(c.candidates(true), func(v candidate) bool { return f.tried[v.address] })
}

// advance asks the next server if its time has come, and returns how long to wait for the next step. It returns false
// when no server and no reply is left.
func (f *fetching) advance() (wait time.Duration, more bool) {
	for len(f.candidates) > 0 {
		now := time.Now()
		f.rebootstrap(now)
		if len(f.candidates) == 0 {
			break
		}
		next, due := f.soonest(now)
		if due.After(now) {
			return due.Sub(now), true
		}
		v := f.candidates[next]
		f.candidates = slices.Delete(f.candidates, next, next+1)
		f.running++
		f.started++
		if v.conn == nil {
			f.tried[v.address] = true
		}
		f.nextStart = now.Add(f.client.cfg.headStart())
		f.client.mu.Lock()
		f.client.servers.get(v.address).since = now
		f.client.mu.Unlock()
		go f.client.attempt(f.ctx, v, f.question, f.replies)
	}
	return forever, f.running > 0
}

// soonest returns the next candidate: the first one without a backoff now, otherwise the one with the earliest end of
// its backoff.
func (f *fetching) soonest(now time.Time) (next int, due time.Time) {
	f.client.mu.Lock()
	defer f.client.mu.Unlock()
	for i, v := range f.candidates {
		at := now
		if v.conn == nil {
			at = f.client.servers.wait(v.address, now)
		}
		if i == 0 || at.Before(due) {
			next, due = i, at
		}
		if !due.After(now) {
			break // no candidate is due earlier
		}
	}
	if f.running > 0 && due.Before(f.nextStart) {
		due = f.nextStart
	}
	return next, due
}

// received processes a reply, and reports whether the reply answers the query.
func (f *fetching) received(r reply) bool {
	f.running--
	c := f.client
	if r.err == nil {
		r.err = c.misrouted(&r)
	}
	if r.err == nil {
		return true
	}
	f.nextStart = time.Now()
	if r.conn != nil {
		r.conn.Close(r.err)
	}
	c.cfg.Logger.Debug("server did not answer", "address", r.address, "reason", r.err)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.servers.failed(r.address, c.ExplainDial(r.address, stripAddress(r.err)), c.cfg.reconnect())
	if errors.Is(r.err, errRebootstrap) && c.cfg.Rebootstrap && !f.rebootstrapped {
		f.rebootstrapped = true
		f.candidates = c.candidates(true)
	}
	return false
}

// attempt sends the query to one server. If fetch has returned by the time of the reply, attempt abandons the
// connection.
func (c *Client) attempt(ctx context.Context, v candidate, q metadataQuery, replies chan<- reply) {
	r := reply{candidate: v}
	if r.conn == nil {
		c.mu.Lock()
		opts := c.cfg.dial(c.servers.get(v.address).failures)
		c.mu.Unlock()
		r.conn, r.err = transport.Dial(ctx, opts, v.address)
	}
	if r.err == nil {
		r.resp, r.version, r.err = ask(ctx, r.conn, q)
	}
	select {
	case replies <- r:
	case <-ctx.Done():
		c.abandon(r)
	}
}

// abandon closes the connection of a reply that fetch no longer waits for.
func (c *Client) abandon(r reply) {
	c.mu.Lock()
	c.servers.get(r.address).since = time.Time{}
	c.mu.Unlock()
	if r.conn != nil {
		r.conn.Close(errReplaced)
	}
}

// ask requests metadata over a connection.
func ask(ctx context.Context, conn *transport.Conn, q metadataQuery) (*protocol.MetadataResponse, int16, error) {
	version, err := conn.Version(protocol.Metadata)
	if err != nil {
		return nil, 0, err
	}
	if version == 0 && len(q.topics) == 0 {
		// In version 0 an empty list of topics means all topics, so an empty query sends no request. The connection
		// itself is the answer.
		return nil, 0, nil
	}
	// Before version 4 a request cannot forbid the creation of topics.
	req := &protocol.MetadataRequest{Topics: make([]protocol.MetadataRequestTopic, len(q.topics)),
		AllowAutoTopicCreation: q.create || version < 4}
	for i := range q.topics {
		req.Topics[i].Name = &q.topics[i]
	}
	resp := new(protocol.MetadataResponse)
	if err := conn.Do(ctx, req, resp); err != nil {
		return nil, 0, err
	}
	switch reactionTo(resp.ErrorCode).response {
	case startAgain:
		return nil, 0, errRebootstrap
	case nextServer:
		return nil, 0, &protocol.Error{Code: resp.ErrorCode}
	}
	if !namesBroker(resp) {
		return nil, 0, ErrNoBrokers
	}
	return resp, version, nil
}

// unreachable returns the failures of all servers.
func (c *Client) unreachable() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.servers.report(time.Now()); err != nil {
		return err
	}
	return ErrNoServers
}
