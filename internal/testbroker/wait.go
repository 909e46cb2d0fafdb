package testbroker

import (
	"context"
	"fmt"

	"github.com/gosamsa/samsa/protocol"
)

// The Wait methods wait for something to happen without looking at the clock, so they work inside a synctest bubble.
// When ctx ends first they fail the test, so they belong on the test's own goroutine.

// WaitUntil waits until cond is true. It calls cond after every event in the cluster, without a lock. The failure names
// cond as what.
func (c *Cluster) WaitUntil(ctx context.Context, what string, cond func() bool) {
	c.t.Helper()
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		if cond() {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			c.t.Fatalf("testbroker: waited for %s: %v", what, context.Cause(ctx))
		}
	}
}

// WaitRequests waits until n requests of an API have arrived, and returns all of them.
func (c *Cluster) WaitRequests(ctx context.Context, key protocol.APIKey, n int) []Request {
	c.t.Helper()
	c.WaitUntil(ctx, fmt.Sprintf("%d %s requests", n, key), func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.counts[key] >= n
	})
	return c.RequestsOf(key)
}

// WaitProduces waits until n Produce requests have arrived, and returns all of them.
func (c *Cluster) WaitProduces(ctx context.Context, n int) []Request {
	c.t.Helper()
	return c.WaitRequests(ctx, protocol.Produce, n)
}

// WaitRecords waits until there are n records in the partitions of a topic.
func (c *Cluster) WaitRecords(ctx context.Context, topic string, n int) {
	c.t.Helper()
	c.WaitUntil(ctx, fmt.Sprintf("%d records in %s", n, topic), func() bool { return c.Records(topic) >= n })
}
