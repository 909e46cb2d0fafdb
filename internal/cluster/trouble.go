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

// isBootstrap reports whether an address is one of the bootstrap servers.
func (c *Client) isBootstrap(address string) bool { return slices.Contains(c.cfg.Bootstrap, address) }

// ExplainDial adds to a server's failure that the address is a broker's advertised one, if that address is likely to be wrong: only the
// metadata names it, and no server has answered there. It does not wait and needs no lock.
func (c *Client) ExplainDial(address string, err error) error {
	if c.isBootstrap(address) || c.cfg.Transport.History.Answered(address) {
		return err
	}
	return transport.ExplainAdvertised(err)
}
