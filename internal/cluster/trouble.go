package cluster

import (
	"slices"
	"time"

	"github.com/gosamsa/samsa/internal/transport"
)

// quietSearch is how long a search for a server that answers is no trouble.
const quietSearch = time.Second

// Trouble returns why there is no newer metadata of a topic, or nil: what the servers do instead of answering, an *UnreachableError, or
// the error code of the last answer. It does not wait and requests nothing.
func (c *Client) Trouble(topic string) error {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failures > 0 || !c.searching.IsZero() && now.Sub(c.searching) >= quietSearch {
		if err := c.servers.report(now); err != nil {
			return err
		}
	}
	if e := c.topics.all[topic]; e != nil {
		return e.why
	}
	return nil
}

// IsBootstrap reports whether an address is one of the bootstrap servers.
func (c *Client) IsBootstrap(address string) bool { return slices.Contains(c.cfg.Bootstrap, address) }

// explain adds to a server's failure where its address comes from, if that is likely to be wrong: only the metadata names it, and it has
// never answered.
func (c *Client) explain(address string, err error) error {
	if c.IsBootstrap(address) || c.cfg.Transport.History.Answered(address) {
		return err
	}
	return transport.ExplainAdvertised(err)
}
