package transport

import (
	"context"
	"fmt"

	"github.com/gosamsa/samsa/protocol"
)

// answer is the outcome of a Call of Do.
type answer struct {
	body []byte
	err  error
}

// Do sends one request in the newest common version, waits for its answer, and decodes it into resp. When ctx ends,
// only the wait ends, for the write as well as for the answer: the connection discards a later answer. Do is for the
// rare requests; the frequent ones use Send.
func (c *Conn) Do(ctx context.Context, req protocol.Request, resp protocol.Response) error {
	version, err := c.Version(req.Key())
	if err != nil {
		return err
	}
	frame, err := c.frame(req, version)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return c.failure(false, err)
	}
	came := make(chan answer, 1)
	call := &Call{Key: req.Key(), Version: version, Buffers: [][]byte{frame}, Done: func(body []byte, err error) {
		// A copy: after the end of the wait, no goroutine may write into resp.
		came <- answer{append([]byte(nil), body...), err}
	}}
	// The write may wait for a broker without reads. It ends with the request's time, or with the connection.
	go func() { _ = c.send(call, ctx.Done()) }() // came is told
	select {
	case a := <-came:
		if a.err != nil {
			return c.explainDo(req.Key(), a.err)
		}
		c.opts.History.note(c.address, answeredRequest)
		return c.decode(a.body, resp, version, req)
	case <-ctx.Done():
		return c.failure(true, ctx.Err())
	}
}

// frame encodes a request with its header, and a hole for the length.
func (c *Conn) frame(req protocol.Request, version int16) ([]byte, error) {
	b := make([]byte, 4, 256)
	b = protocol.AppendRequestHeader(b, req.Key(), version, 0, c.opts.ClientID)
	b, err := req.Append(b, version)
	if err != nil {
		return nil, c.failure(false, err)
	}
	return b, nil
}

// decode reads an answer. An unreadable answer ends the connection: the bytes behind it cannot be trusted.
func (c *Conn) decode(body []byte, resp protocol.Response, version int16, req protocol.Request) error {
	if err := protocol.DecodeResponse(resp, body, version, req); err != nil {
		err = fmt.Errorf("%w: %w", ErrMalformed, err)
		c.end(err)
		return c.failure(true, err)
	}
	c.Throttle(throttleTime(resp, version))
	return nil
}
