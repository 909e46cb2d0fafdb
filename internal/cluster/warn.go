package cluster

import (
	"fmt"
	"time"

	"github.com/gosamsa/samsa/internal/weakly"
)

// This file logs warnings about waits of warnAfter and longer: for an answer of any server, for a topic, and for the
// leader of a partition. The logger of the producer limits repeated lines.

// warnAfter is the longest normal wait: a new connection, the creation of a topic, or an election may take this long.
const warnAfter = 750 * time.Millisecond

// watch is a wait for a topic that the client checks after warnAfter.
type watch struct {
	at      time.Time
	entry   *entry
	leaders bool // the wait is for leaders of the topic's partitions
}

// watchTopic makes the client check the wait for a topic after warnAfter. It needs mu.
func (c *Client) watchTopic(e *entry, now time.Time) {
	if !e.watched {
		e.watched = true
		c.watch(watch{at: now.Add(warnAfter), entry: e}, now)
	}
}

// watchLeaders makes the client check the wait for the leaders of a topic after warnAfter. It needs mu.
func (c *Client) watchLeaders(e *entry, now time.Time) {
	if !e.leaderWatched {
		e.leaderWatched = true
		c.watch(watch{at: now.Add(warnAfter), entry: e, leaders: true}, now)
	}
}

func (c *Client) watch(w watch, now time.Time) {
	c.watches.Push(w)
	c.armAlarm(now)
}

// armAlarm sets the alarm for the earliest wait. It needs mu.
func (c *Client) armAlarm(now time.Time) {
	var at time.Time
	if c.watches.Len() > 0 {
		at = c.watches.At(0).at
	}
	if search := c.searching.Add(warnAfter); !c.searching.IsZero() && !c.searchWarned &&
		(at.IsZero() || search.Before(at)) {
		at = search
	}
	if at.IsZero() || !c.alarmAt.IsZero() && !at.Before(c.alarmAt) || c.ctx.Err() != nil {
		return
	}
	c.alarmAt = at
	if c.alarm == nil {
		c.alarm = time.AfterFunc(at.Sub(now), weakly.Do(c, (*Client).warnDue))
	} else {
		c.alarm.Reset(at.Sub(now))
	}
}

// searchAnswered ends the watch of a search, and stops the alarm if no other wait is left. It needs mu.
func (c *Client) searchAnswered() {
	c.searchWarned = false
	if c.watches.Len() == 0 && !c.alarmAt.IsZero() {
		c.alarm.Stop()
		c.alarmAt = time.Time{}
	}
}

// warnDue logs a warning for each wait longer than warnAfter.
func (c *Client) warnDue() {
	now := time.Now()
	var notices []func()
	c.mu.Lock()
	c.alarmAt = time.Time{}
	if !c.searching.IsZero() && !c.searchWarned && now.Sub(c.searching) >= warnAfter {
		c.searchWarned = true
		if err := c.servers.report(now); err != nil {
			notices = append(notices, func() { c.warnUnanswered(err) })
		}
	}
	for c.watches.Len() > 0 && !now.Before(c.watches.At(0).at) {
		if notice := c.noticeOf(c.watches.Pop(), now); notice != nil {
			notices = append(notices, notice)
		}
	}
	c.armAlarm(now)
	c.mu.Unlock()
	for _, notice := range notices {
		notice()
	}
}

// noticeOf returns a function to log the warning about a wait, or nil if the wait is over. It needs mu; the function
// does not.
func (c *Client) noticeOf(w watch, now time.Time) func() {
	e, log := w.entry, c.cfg.Logger
	if w.leaders {
		e.leaderWatched = false
		n := len(e.awaited)
		if t := c.Snapshot().Topic(e.name); t == nil || n == 0 || !now.Before(e.awaitedUntil) ||
			!e.awaitsLeader(t, now) {
			return nil
		}
		n = len(e.awaited)
		return func() {
			log.Warn("partitions have no leader: their records wait for one; check that the brokers with their replicas are up", "topic", e.name, "partitions", n)
		}
	}
	e.watched = false
	why := e.why
	if !e.wanted || why == nil {
		return nil
	}
	if e.unknownSince.IsZero() {
		bound := c.boundOf(false)
		return func() {
			log.Warn("topic is not available: waiting until it is, at most "+bound, "topic", e.name, "error", why)
		}
	}
	text := "topic does not exist: waiting until it exists, at most " + c.boundOf(true)
	if len(e.awaited) > 0 && now.Before(e.awaitedUntil) {
		text = "topic does not exist: its records wait until it exists, at most for delivery.timeout.ms"
	}
	return func() { log.Warn(text, "topic", e.name) }
}

// boundOf returns the bound of a caller's wait for a topic, with the name of its property. missing means that every
// response calls the topic unknown.
func (c *Client) boundOf(missing bool) string {
	if most := c.cfg.PropagationMax; missing && most >= 0 && most < c.cfg.MaxBlock {
		return fmt.Sprintf("%v (topic.metadata.propagation.max.ms)", most)
	}
	return fmt.Sprintf("%v (max.block.ms)", c.cfg.MaxBlock)
}

// warnUnanswered logs that no server answers.
func (c *Client) warnUnanswered(err error) { c.cfg.Logger.Warn("no broker answers", "error", err) }
