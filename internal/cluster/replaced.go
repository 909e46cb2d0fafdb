package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/gosamsa/samsa/protocol"
)

// This file is about the change from one cluster to another. doc.go gives the reasons.

// discardCluster drops the state of the former cluster, except the snapshot, which merge replaces, and the addresses of
// brokers, which prune removes. It needs mu.
func (c *Client) discardCluster(now time.Time) {
	if now.Sub(c.replacedAt) >= c.cfg.grace() {
		c.replacements = 0
	}
	c.replacements++
	c.replacedAt = now
	for _, e := range c.topics.all {
		e.attempts, e.why, e.failure, e.failedUntil = 0, nil, nil, time.Time{}
		e.lostSince, e.oldSince = time.Time{}, time.Time{}
	}
	c.noProgress, c.avoidCurrent = 0, false
	c.notBefore = now.Add(c.cfg.retry().Delay(c.replacements))
}

// misrouted returns an error for a response of another cluster, unless a bootstrap server sent it. The address of a
// broker may belong to another cluster by now, with topics unrelated to the user's; the user chose only the bootstrap
// servers. With metadata.recovery.strategy=none the client does not return to the bootstrap servers, so it accepts a
// response of every server.
func (c *Client) misrouted(r *reply) error {
	known := c.Snapshot().ClusterID
	if r.resp == nil || r.resp.ClusterID == nil || protocol.SameCluster(*r.resp.ClusterID, known) {
		return nil
	}
	if !c.cfg.Rebootstrap || c.isBootstrap(r.address) {
		return nil
	}
	return fmt.Errorf("the server belongs to cluster %q, and the known brokers to cluster %q", brief(*r.resp.ClusterID),
		brief(known))
}

// requestAgain requests topics of the former cluster that are missing from the response. If the request did not name a
// topic, the client requests it at once. But after several changes of the cluster in a row all these topics wait for
// the backoff; otherwise changes could follow each other as fast as servers answer. It needs mu.
func (c *Client) requestAgain(former *Snapshot, m merged, now time.Time) {
	at := now
	if c.replacements > 1 {
		at = c.notBefore
	}
	for name, e := range c.topics.all {
		if m.Snapshot.Topic(name) != nil || e.failure != nil {
			continue
		}
		_, named := m.codes[name]
		switch {
		case former.Topic(name) == nil && !e.wanted:
		case !named || e.next.Before(at):
			c.topics.want(e, at)
		default:
			c.topics.want(e, e.next)
		}
	}
}

// replacementNotice returns a function that logs a change of the cluster: as a warning at most once in
// retry.backoff.max.ms, otherwise at debug level. It needs mu; the function does not.
func (c *Client) replacementNotice(before, after, server string, now time.Time) func() {
	level := slog.LevelDebug
	if now.Sub(c.warnedAt) >= max(c.cfg.RetryBackoffMax, c.cfg.RetryBackoff) {
		level, c.warnedAt = slog.LevelWarn, now
	}
	return func() {
		c.cfg.Logger.Log(context.Background(), level, "the servers belong to another cluster now",
			"before", brief(before), "now", brief(after), "server", server)
	}
}

// brief shortens a name for the log.
func brief(name string) string { return name[:min(len(name), longestHost)] }
