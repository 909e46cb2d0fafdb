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

// Do sends one request in the newest common version, waits for its answer, and decodes it into resp. The end of ctx
// ends only the wait for the write and the answer: the connection stays open, and discards a later answer. Do is for
// rare requests; frequent requests use Send.
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
	// The write may block if the broker does not read. The request timeout ends the write, and so does the end of the
	// connection.
	go func() { _ = c.send(call, ctx.Done()) }() // came gets the error
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

// frame encodes a request with its header, and leaves space for the length.
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
