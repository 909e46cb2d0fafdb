package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gosamsa/samsa/internal/transport"
	"github.com/gosamsa/samsa/protocol"
)

// Do sends a request for any broker, such as InitProducerId, over the client's connection, and makes a connection first
// if there is none. Do sends the request once; the caller decides about a retry. Besides ctx, the connection's request
// timeout bounds the request, extended by a throttle. Do fails if it has no connection after twice RequestTimeout. It
// returns the cluster id of the answering server, as in Snapshot.ClusterID. A caller that stores a part of the answer
// must store this id with it.
func (c *Client) Do(ctx context.Context, req protocol.Request, resp protocol.Response) (clusterID string, err error) {
	first, cancel := context.WithTimeout(ctx, 2*c.cfg.RequestTimeout)
	conn, err := c.connection(first)
	cancel()
	if err != nil {
		return "", err
	}
	err = conn.Do(ctx, req, resp)
	if errors.Is(err, transport.ErrRequestTimeout) {
		// The next attempt uses another server if there is one.
		c.mu.Lock()
		c.servers.failed(conn.Address(), err, c.cfg.reconnect())
		c.mu.Unlock()
	}
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noteThrottle(conn)
	if c.conn != conn {
		return "", errReplaced // its server may belong to a former cluster
	}
	return c.Snapshot().ClusterID, nil
}

// Rebootstrap requests new metadata from the bootstrap servers, over new connections: callers use it after they have
// found a server of another cluster at the address of a broker. With metadata.recovery.strategy=none it is a Refresh.
func (c *Client) Rebootstrap() {
	c.mu.Lock()
	c.refresh = true
	c.startOver = c.cfg.Rebootstrap
	c.mu.Unlock()
	c.wakeUp()
}

// Ping requests metadata and returns nil with the response. It returns an *UnreachableError after one failed attempt at
// every server, or when ctx ends. After Close it returns ErrClosed.
func (c *Client) Ping(ctx context.Context) error {
	c.mu.Lock()
	for _, v := range c.servers {
		if v.err != nil {
			v.until = time.Time{} // Ping does not wait for a server's backoff
		}
	}
	c.mu.Unlock()
	_, err := c.answered(ctx)
	return err
}

// connection returns the client's connection. If there is none, or it has ended, the client makes a new one.
func (c *Client) connection(ctx context.Context) (*transport.Conn, error) {
	c.mu.Lock()
	if conn := c.conn; conn != nil && conn.Err() == nil && c.ctx.Err() == nil {
		c.mu.Unlock()
		return conn, nil
	}
	c.mu.Unlock()
	return c.answered(ctx)
}

// answered returns the connection of the next response to a Metadata request.
func (c *Client) answered(ctx context.Context) (*transport.Conn, error) {
	c.mu.Lock()
	if c.waiting == nil {
		c.waiting = &connection{done: make(chan struct{})}
	}
	w := c.waiting
	c.mu.Unlock()
	c.wakeUp()
	select {
	case <-w.done:
		return w.conn, w.err
	case <-c.ctx.Done():
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ctx.Err(), c.unreachable())
	}
}
