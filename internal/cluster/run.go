package cluster

import (
	"maps"
	"slices"
	"time"

	"github.com/gosamsa/samsa/internal/transport"
	"github.com/gosamsa/samsa/protocol"
)

// run is the client's goroutine: it fetches the next query, and then sleeps until another query is due. It fetches one
// query at a time; new requests become part of the next query.
func (c *Client) run() {
	timer := time.NewTimer(forever)
	defer timer.Stop()
	defer c.Close() // closes a connection made during Close
	for c.ctx.Err() == nil {
		q, due, ask := c.plan(time.Now())
		if ask {
			c.fetchMetadata(q)
			continue
		}
		timer.Stop()
		var expired <-chan time.Time
		if !due.IsZero() {
			timer.Reset(time.Until(due))
			expired = timer.C
		}
		select {
		case <-c.wake:
		case <-expired:
		case <-c.ctx.Done():
		}
	}
}

// plan returns the query to fetch now, or the time of the next query; zero means never. If new topics are wanted all
// the time, every second request is for the known topics, if these are due.
func (c *Client) plan(now time.Time) (q metadataQuery, due time.Time, ask bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	again := c.knownDue(now)
	if c.knownNext && !again.IsZero() && !again.After(now) {
		return c.refreshKnown(now), now, true
	}
	// Unknown topics come first, and ignore the backoff of the known topics.
	if len(c.topics.due) > 0 && !c.topics.due[0].next.After(now) && c.firstKnown() {
		return c.refreshAll(), now, true
	}
	names, due := c.topics.takeDue(now, c.cfg.RequestTimeout)
	if len(names) > 0 {
		c.knownNext = true
		return metadataQuery{topics: names, create: c.cfg.AllowAutoTopicCreation}, now, true
	}
	if c.waiting != nil {
		// Over a new connection the topics show whether the cluster is the same.
		return metadataQuery{all: c.conn == nil || c.conn.Err() != nil}, now, true
	}
	if again = c.knownDue(now); again.IsZero() { // takeDue may have dropped topics
		c.refresh = false
		return q, due, false
	}
	if !again.After(now) {
		return c.refreshKnown(now), now, true
	}
	if due.IsZero() || again.Before(due) {
		due = again
	}
	return q, due, false
}

// knownDue returns the time of the next request for known topics, zero if there are none. It needs mu.
func (c *Client) knownDue(now time.Time) time.Time {
	if len(c.topics.all) == c.topics.wanted {
		return time.Time{}
	}
	at := c.renewAt
	if c.refresh || len(c.topics.stale) > 0 {
		at = now
	}
	if at.Before(c.notBefore) {
		at = c.notBefore
	}
	return at
}

// refreshKnown returns the query for the due known topics. It needs mu.
func (c *Client) refreshKnown(now time.Time) metadataQuery {
	if c.refresh || !c.renewAt.After(now) {
		return c.refreshAll()
	}
	c.knownNext = false
	return metadataQuery{topics: slices.Collect(maps.Keys(c.topics.stale)), refreshRequested: true}
}

// refreshAll returns the query for all known topics, and clears the request of Refresh. It needs mu.
func (c *Client) refreshAll() metadataQuery {
	q := metadataQuery{all: true, refreshRequested: c.refresh || len(c.topics.stale) > 0}
	c.refresh, c.knownNext = false, false
	return q
}

// others returns all topics except the wanted ones, which have requests of their own. It needs mu.
func (c *Client) others() []string {
	names := make([]string, 0, len(c.topics.all)-c.topics.wanted)
	for name, e := range c.topics.all {
		if !e.wanted {
			names = append(names, name)
		}
	}
	return names
}

// firstKnown reports whether the client requests the known topics before the wanted ones. A new connection may lead to
// a cluster recreated under its former id, and only the ids of known topics show this. The sender must learn of the
// recreation before it uses the new topic. It needs mu.
func (c *Client) firstKnown() bool {
	return (c.conn == nil || c.conn.Err() != nil) && len(c.topics.all) > c.topics.wanted
}

// fetchMetadata fetches a query and processes the answer.
func (c *Client) fetchMetadata(q metadataQuery) {
	if q.all {
		// Forget unused topics before the request, so that the request does not name them.
		c.expire()
		c.mu.Lock()
		q.topics = c.others()
		idle := len(q.topics) == 0 && c.waiting == nil
		c.mu.Unlock()
		if idle {
			return
		}
	}
	c.mu.Lock()
	for _, name := range q.topics {
		delete(c.topics.stale, name)
	}
	c.mu.Unlock()
	r, err := c.fetch(q)
	if err != nil {
		c.failed(q, err)
		return
	}
	done := &completion{now: time.Now()}
	c.mu.Lock()
	c.adopt(r, done)
	if r.resp != nil {
		c.take(q, r, done)
	}
	c.mu.Unlock()
	c.complete(done)
}

// expire forgets the topics unused for metadata.max.idle.ms, if Config.LetGo agrees.
func (c *Client) expire() {
	now := time.Now()
	c.mu.Lock()
	names := c.topics.idleFor(now, c.cfg.MaxIdle)
	c.mu.Unlock()
	names = slices.DeleteFunc(names, func(name string) bool { return !c.cfg.LetGo(name) })
	if len(names) == 0 {
		return
	}
	c.mu.Lock()
	change := &Change{Snapshot: c.Snapshot().next()}
	for _, name := range names {
		if c.topics.forget(name, now, c.cfg.MaxIdle) { // otherwise a Send has used it since
			change.remove(name)
		}
	}
	if len(change.Topics) > 0 {
		c.publish(change)
	}
	c.mu.Unlock()
	c.deliver()
}

// failed records a query without an answer of any server.
func (c *Client) failed(q metadataQuery, err error) {
	now := time.Now()
	done := &completion{err: err}
	c.mu.Lock()
	c.failures++
	c.notBefore = now.Add(c.cfg.retry().Delay(c.failures))
	c.askAgain(q, now)
	done.waiting, c.waiting = c.waiting, nil
	c.mu.Unlock()
	if c.ctx.Err() == nil {
		c.warnUnanswered(err)
	}
	c.complete(done)
}

// askAgain schedules the topics of an unanswered query again. It needs mu.
func (c *Client) askAgain(q metadataQuery, now time.Time) {
	// Restore the request of Refresh that this query served.
	c.refresh = c.refresh || q.all && q.refreshRequested
	wanted := q.topics
	if q.all {
		wanted, _ = c.topics.takeDue(now, c.cfg.RequestTimeout)
	}
	for _, name := range wanted {
		e := c.topics.all[name]
		switch {
		case e == nil:
		case e.wanted:
			c.topics.missing(e, nil, now, c.cfg.retry().Delay)
		default:
			c.topics.stale[name] = e
		}
	}
}

// completion collects the steps to do after releasing the lock.
type completion struct {
	now      time.Time
	ready    []chan struct{}
	waiting  *connection
	err      error
	replaced *transport.Conn
	notice   func() // writes to the log
}

// complete wakes the waiting goroutines, and delivers the changes.
func (c *Client) complete(done *completion) {
	if done.notice != nil {
		done.notice()
	}
	for _, ready := range done.ready {
		close(ready)
	}
	if w := done.waiting; w != nil {
		w.err = done.err
		close(w.done)
	}
	if done.replaced != nil {
		done.replaced.Close(errReplaced)
	}
	c.deliver()
}

// adopt makes the connection of the answer the client's connection. It needs mu.
func (c *Client) adopt(r reply, done *completion) {
	c.servers.succeeded(r.address)
	c.noteThrottle(r.conn)
	c.failures, c.searching = 0, time.Time{}
	c.searchAnswered()
	if c.conn != r.conn {
		c.conn, done.replaced = r.conn, c.conn
		c.unproven = done.replaced != nil
	}
	if c.waiting != nil {
		c.waiting.conn = c.conn
		c.waiting, done.waiting = nil, c.waiting
	}
}

// take makes the next snapshot from an answer, and updates the entry of each requested topic. It needs mu.
func (c *Client) take(q metadataQuery, r reply, done *completion) {
	before := c.Snapshot()
	m := merge(before, r.resp, r.version, q.topics, c.topics.oldForLong(q.topics, done.now, c.cfg.grace()))
	if m.replaced {
		c.discardCluster(done.now)
		done.notice = c.replacementNotice(before.ClusterID, m.Snapshot.ClusterID, r.address, done.now)
	}
	m.Snapshot.Server = r.address
	c.prove(before, &m)
	for name, code := range m.codes {
		if e := c.topics.all[name]; e != nil { // otherwise the client has forgotten it meanwhile
			c.takeTopic(e, code, &m, done)
		}
	}
	for name := range m.unsure {
		c.refreshTopic(name)
	}
	if m.replaced {
		c.requestAgain(before, m, done.now)
	}
	c.publish(&m.Change)
	c.servers.prune(m.Snapshot.Brokers)
	throttle := time.Duration(protocol.ThrottleMs(r.resp, r.version)) * time.Millisecond
	c.pace(q, m, min(throttle, c.cfg.longestThrottle()), done.now)
}

// prove looks for a topic id as the proof that a new connection leads to the same cluster as the one before. A cluster
// recreated under its former id may lack the known topics, or report errors for them. If the first new topic arrives
// before such a proof, the snapshot's field Recreated reports it: in this cluster the producer id may belong to another
// producer. It needs mu.
func (c *Client) prove(before *Snapshot, m *merged) {
	if !c.unproven {
		return
	}
	c.unproven = !m.replaced
	doubt := false
	for name, code := range m.codes {
		was, is := before.Topic(name), m.Snapshot.Topic(name)
		switch {
		case !c.unproven, code != protocol.None || is == nil:
		case was == nil, was.ID != is.ID:
			doubt = true
		default:
			c.unproven = false
		}
	}
	if doubt && c.unproven {
		m.Snapshot.Recreated, c.unproven = m.Snapshot.Generation, false
	}
}

// takeTopic updates the entry of one topic of an answer. It needs mu.
func (c *Client) takeTopic(e *entry, code protocol.ErrorCode, m *merged, done *completion) {
	t := m.Snapshot.Topic(e.name)
	if t != nil && t.used == nil {
		t.used = e.used
	}
	e.told(m.stale[e.name], done.now)
	ready, keep := c.judge(e, t != nil, code, done.now)
	if ready != nil {
		done.ready = append(done.ready, ready)
	}
	switch {
	case !keep:
		m.remove(e.name)
	case t != nil && e.awaitsLeader(t, done.now):
		c.refreshTopic(e.name)
	}
}

// judge decides about one topic of an answer. The caller closes ready if it is not nil. keep is false if the snapshot
// must drop a known topic. It needs mu.
func (c *Client) judge(e *entry, known bool, code protocol.ErrorCode, now time.Time) (ready chan struct{}, keep bool) {
	pause := c.cfg.retry().Delay
	reaction := reactionTo(code).topic
	if reaction == use {
		return c.topics.known(e), true
	}
	err := &protocol.Error{Code: code}
	if reaction == final {
		return c.refused(e, err, now, pause), false
	}
	switch {
	case known:
	case reaction != absent:
		e.unknownSince = time.Time{}
		c.topics.missing(e, err, now, pause)
		c.watchTopic(e, now)
		return nil, true
	case c.topics.unknown(e, err, now, c.cfg.PropagationMax, pause):
		missing := &MissingError{Code: code, After: now.Sub(e.unknownSince)}
		return c.refused(e, missing, now, func(int) time.Duration { return failFast }), true
	default:
		c.watchTopic(e, now)
		return nil, true
	}
	e.why = err
	if e.absent(reaction == absent, now, c.cfg.grace()) {
		return nil, false
	}
	c.topics.unwant(e)
	c.refreshTopic(e.name)
	return nil, true
}

// failFast is how long every wait for a missing topic fails at once with the last response. Then the client requests it
// again.
const failFast = time.Second

// refused fails every wait for a topic. It needs mu.
func (c *Client) refused(e *entry, err error, now time.Time, pause func(int) time.Duration) (ready chan struct{}) {
	ready = c.topics.failed(e, err, now, pause)
	if now.Before(e.awaitedUntil) {
		c.topics.want(e, e.failedUntil) // a partition with batches waits for its leader
	}
	return ready
}

// pace sets when the next metadata request may and must be sent. It needs mu.
func (c *Client) pace(q metadataQuery, m merged, throttle time.Duration, now time.Time) {
	if q.all {
		c.renewAt = now.Add(c.cfg.MaxAge)
	} else if !q.refreshRequested {
		return
	}
	if m.changed || !q.refreshRequested {
		c.noProgress = 0
	} else {
		c.noProgress++
	}
	c.notBefore = now.Add(max(c.cfg.retry().Delay(max(c.noProgress+1, c.replacements)), throttle))
	// A caller expects news, but this broker has none, or has only old leaders. Another broker may have the news.
	c.avoidCurrent = len(m.stale) > 0 || c.noProgress > 0 && c.noProgress%noProgressBefore == 0
}
