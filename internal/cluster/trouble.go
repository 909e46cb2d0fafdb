package cluster

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// quietSearch is how long a search for a working server may take before Trouble reports it.
const quietSearch = time.Second

// Trouble returns the reason for the lack of newer metadata of a topic, or nil: the servers' failures to answer, an
// *UnreachableError, or the error code of the last answer. It neither waits nor sends a request.
func (c *Client) Trouble(topic string) error {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failures > 0 || !c.searching.IsZero() && now.Sub(c.searching) >= quietSearch {
		if err := c.servers.report(now); err != nil {
			return err
		}
	}
	e := c.topics.all[topic]
	if e == nil {
		return nil
	}
	var missing *MissingError
	if errors.As(e.why, &missing) {
		return fmt.Errorf("the topic %w", missing)
	}
	return e.why
}

// isBootstrap reports whether an address is one of the bootstrap servers.
func (c *Client) isBootstrap(address string) bool { return slices.Contains(c.cfg.Bootstrap, address) }

// AdvertisedError is the failure to connect to an address that only the metadata names and that has never answered.
type AdvertisedError struct {
	// Address is the broker's address, and Server the server with this address in its response.
	Address, Server string
	// Err is the failure.
	Err error
}

// Error returns the failure and advice on what to check.
func (e *AdvertisedError) Error() string {
	return fmt.Sprintf("%v; check advertised.listeners: the address is according to %s", e.Err, e.Server)
}

// Unwrap returns the failure.
func (e *AdvertisedError) Unwrap() error { return e.Err }

// Of returns a text that continues a sentence about the broker.
func (e *AdvertisedError) Of(broker string) string {
	return fmt.Sprintf("%s is at %s according to %s: %v; check advertised.listeners", broker, e.Address, e.Server,
		e.Err)
}

// ExplainDial returns the failure to connect to a server, without the server's address. It is an *AdvertisedError if
// the address is likely to be wrong: only the metadata names it, and no server has answered there. It does not wait and
// needs no lock.
func (c *Client) ExplainDial(address string, err error) error {
	err = stripAddress(err)
	if c.isBootstrap(address) || c.cfg.Transport.History.Answered(address) {
		return err
	}
	return &AdvertisedError{Address: address, Server: c.Snapshot().Server, Err: err}
}
