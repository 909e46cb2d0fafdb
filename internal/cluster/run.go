package cluster

import (
	"maps"
	"slices"
	"time"

	"github.com/gosamsa/samsa/internal/transport"
	"github.com/gosamsa/samsa/protocol"
)

// run is the client's goroutine: it finds out what is to be asked, asks it, and sleeps until there is more. There is never more
// than one question at a time; what comes up meanwhile goes into the next one.
func (c *Client) run() {
	timer := time.NewTimer(forever)
	defer timer.Stop()
	defer c.Close() // for a connection that came while Close was called
	for c.ctx.Err() == nil {
		q, due, ask := c.plan(time.Now())
		if ask {
			c.inquire(q)
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

// plan returns what to ask now, or when there will be something to ask; zero is never.
func (c *Client) plan(now time.Time) (q question, due time.Time, ask bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Topics that are not known yet come first, and without regard to the backoff of the others.
	due = c.topics.forget(now, c.cfg.RequestTimeout)
	if !due.IsZero() && !due.After(now) {
		if c.firstKnown() {
			q.all, q.wish, c.refresh = true, c.refresh, false
			return q, due, true
		}
		return question{topics: slices.Collect(maps.Keys(c.topics.wanted)), create: c.cfg.AllowAutoTopicCreation}, due, true
	}
	if c.waiting != nil {
		return question{all: true}, now, true
	}
	if len(c.topics.all) == len(c.topics.wanted) {
		c.refresh = false
		return q, due, false
	}
	again := c.renewAt
	if c.refresh {
		again = now
	}
	if again.Before(c.notBefore) {
		again = c.notBefore
	}
	if !again.After(now) {
		q.all, q.wish = true, c.refresh
		c.refresh = false
		return q, now, true
	}
	if due.IsZero() || again.Before(due) {
		due = again
	}
	return q, due, false
}

// others returns the topics that are not wanted separately. It needs mu.
func (c *Client) others() []string {
	names := make([]string, 0, len(c.topics.all)-len(c.topics.wanted))
	for name := range c.topics.all {
		if c.topics.wanted[name] == nil {
			names = append(names, name)
		}
	}
	return names
}

// firstKnown reports whether the known topics are requested before the wanted ones. A new connection may lead to a cluster that was recreated
// under its former id, which only the ids of known topics show. The sender must know that before it uses the new topic. It needs mu.
func (c *Client) firstKnown() bool {
	return (c.conn == nil || c.conn.Err() != nil) && len(c.topics.all) > len(c.topics.wanted)
}

// inquire asks a question and takes the answer in.
func (c *Client) inquire(q question) {
	if q.all {
		// Now is the time to forget, for a topic that is not used is not asked for.
		c.expire()
		c.mu.Lock()
		q.topics = c.others()
		idle := len(q.topics) == 0 && c.waiting == nil
		c.mu.Unlock()
		if idle {
			return
		}
	}
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

// expire forgets the topics that nobody has used for metadata.max.idle.ms.
func (c *Client) expire() {
	done := new(completion)
	c.mu.Lock()
	names := c.topics.expire(time.Now(), c.cfg.MaxIdle)
	c.remove(names, done)
	c.mu.Unlock()
	c.complete(done)
}

// remove takes topics out of the snapshot. It needs mu.
func (c *Client) remove(names []string, done *completion) {
	s := c.Snapshot()
	names = slices.DeleteFunc(names, func(name string) bool { return s.Topics[name] == nil })
	if len(names) > 0 {
		done.snapshot = s.without(names)
		c.snapshot.Store(done.snapshot)
	}
}

// failed takes in that nobody answered.
func (c *Client) failed(q question, err error) {
	now := time.Now()
	done := &completion{err: err}
	c.mu.Lock()
	c.failures++
	c.notBefore = now.Add(c.cfg.retry().Delay(c.failures))
	// A wish that was not granted is still there.
	c.refresh = c.refresh || q.wish
	for _, e := range c.topics.wanted {
		e.missing(nil, now, c.cfg.retry().Delay)
	}
	done.waiting, c.waiting = c.waiting, nil
	first := c.failures == 1
	c.mu.Unlock()
	if c.ctx.Err() == nil && first {
		c.cfg.Logger.Warn("no metadata", "reason", err)
	}
	c.complete(done)
}

// completion collects what is to be done when the lock is free again.
type completion struct {
	now      time.Time
	ready    []chan struct{}
	snapshot *Snapshot
	waiting  *connection
	err      error
	replaced *transport.Conn
	notice   func() // writes to the log
}

// complete wakes those who wait, and tells of the new snapshot.
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
	if done.snapshot == nil {
		return
	}
	c.mu.Lock()
	watchers := c.watchers
	c.mu.Unlock()
	for _, fn := range watchers {
		fn(done.snapshot)
	}
}

// adopt makes the connection over which the answer came the client's. It needs mu.
func (c *Client) adopt(r reply, done *completion) {
	c.servers.succeeded(r.address)
	c.noteThrottle(r.conn)
	c.failures, c.searching = 0, time.Time{}
	if c.conn != r.conn {
		c.conn, done.replaced = r.conn, c.conn
	}
	if c.waiting != nil {
		c.waiting.conn = c.conn
		c.waiting, done.waiting = nil, c.waiting
	}
}

// take makes the next snapshot from an answer, and settles what it says of each topic. It needs mu.
func (c *Client) take(q question, r reply, done *completion) {
	before := c.Snapshot()
	m := merge(before, r.resp, r.version, q.topics, c.topics.oldForLong(q.topics, done.now, c.cfg.grace()))
	c.refresh = c.refresh || m.unsure
	if m.replaced {
		c.discardCluster(done.now)
		done.notice = c.replacementNotice(before.ClusterID, m.snapshot.ClusterID, r.address, done.now)
	}
	var gone []string
	for name, code := range m.codes {
		e := c.topics.all[name]
		t := m.snapshot.Topics[name]
		if t != nil && t.used == nil {
			t.used = e.used
		}
		e.told(m.stale[name], done.now)
		ready, keep := c.judge(e, t != nil, code, done.now)
		if ready != nil {
			done.ready = append(done.ready, ready)
		}
		if !keep {
			gone = append(gone, name)
		}
	}
	if m.replaced {
		c.requestAgain(before.Topics, m, done.now)
	}
	c.snapshot.Store(m.snapshot)
	done.snapshot = m.snapshot
	c.remove(gone, done)
	c.servers.prune(m.snapshot.Brokers)
	throttle := time.Duration(protocol.ThrottleMs(r.resp, r.version)) * time.Millisecond
	c.pace(q, m, min(throttle, c.cfg.longestThrottle()), done.now)
}

// judge settles what an answer says of one topic. ready is to be closed if it is not nil; keep is false when a topic that was
// known is not to be any more. It needs mu.
func (c *Client) judge(e *entry, known bool, code protocol.ErrorCode, now time.Time) (ready chan struct{}, keep bool) {
	pause := c.cfg.retry().Delay
	reaction := reactionTo(code).topic
	if reaction == use {
		return c.topics.known(e), true
	}
	err := &protocol.Error{Code: code}
	if reaction == final {
		return c.topics.failed(e, err, now, pause), false
	}
	if !known {
		e.missing(err, now, pause)
		return nil, true
	}
	e.why = err
	if e.absent(reaction == absent, now, c.cfg.grace()) {
		return nil, false
	}
	c.refresh = true
	return nil, true
}

// pace sets when metadata may and must be asked for next. It needs mu.
func (c *Client) pace(q question, m merged, throttle time.Duration, now time.Time) {
	if !q.all {
		return
	}
	c.renewAt = now.Add(c.cfg.MaxAge)
	if m.changed || !q.wish {
		c.fruitless = 0
	} else {
		c.fruitless++
	}
	c.notBefore = now.Add(max(c.cfg.retry().Delay(max(c.fruitless+1, c.replacements)), throttle))
	// Somebody is sure that there is news, and this broker has none, or tells old things: another one may know more.
	c.turnAway = len(m.stale) > 0 || c.fruitless > 0 && c.fruitless%fruitlessBefore == 0
}
