package transport

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/gosamsa/samsa/protocol"
)

// explain adds the likely cause to an error from before the first answer on this connection.
func (h *handshake) explain(err error) error {
	h.ended = h.asked == 1 && h.reader.end == 0 && !h.reader.known && isEndedByPeer(err)
	switch {
	case errors.Is(err, ErrNotKafka):
		return err
	case errors.Is(err, ErrMalformed):
		return fmt.Errorf("%w: %w", ErrNotKafka, err)
	case !h.reader.known && isEndedByPeer(err):
		return fmt.Errorf("%w: it closed the connection upon the first request (ApiVersions)%s: %w", ErrDisconnected,
			h.whyClosed(), plain(err))
	}
	return fmt.Errorf("%w: %w", ErrDisconnected, plain(err))
}

// whyClosed returns the likely reasons of a server to close a connection before any answer.
func (h *handshake) whyClosed() string {
	if h.opts.History.of(h.address) >= answeredHello {
		return ", though this address has answered before: perhaps max.connections.per.ip or max.connections of the broker is reached, " +
			"the broker is stopping, or a proxy cannot reach it"
	}
	return ": a broker older than 0.10, a listener that wants TLS or SASL, or no Kafka broker; use a plaintext listener, or a dialer for TLS"
}

// whySilent returns the likely kind of a server that accepts a connection but sends nothing.
func (o *Options) whySilent(address string) string {
	const silent = "connected, but the server does not answer ApiVersions"
	if o.History.of(address) >= answeredHello {
		return silent + ", though this address has answered before: it hangs, or max.connections of the broker is reached"
	}
	return silent + ": it hangs, or is no Kafka broker"
}

// explainDo adds the likely cause if a server answers ApiVersions, but has ended the connection without ever answering
// another request.
func (c *Conn) explainDo(key protocol.APIKey, err error) error {
	var e *Error
	if c.opts.History == nil || !errors.As(err, &e) || !errors.Is(err, ErrDisconnected) ||
		c.opts.History.of(c.address) >= answeredRequest {
		return err
	}
	explained := *e
	explained.Err = fmt.Errorf("it answered ApiVersions and closed the connection upon the first %v request: perhaps a listener that wants SASL, which is not supported yet: %w", key, e.Err)
	return &explained
}

// plainError is a failure of the network, in few words.
type plainError struct {
	text string
	err  error
}

func (e *plainError) Error() string { return e.text }
func (e *plainError) Unwrap() error { return e.err }

// plain shortens the standard library's text of a failure to connect, read or write: the addresses and the name of the
// system call do not help the reader.
func plain(err error) error {
	var failed *net.OpError
	var unresolved *net.DNSError
	var system *os.SyscallError
	switch {
	case errors.As(err, &unresolved) && unresolved.IsNotFound:
		return &plainError{"no such host", err}
	case errors.As(err, &failed) && errors.As(failed.Err, &system):
		return &plainError{system.Err.Error(), err}
	}
	return err
}

// Of all servers with Kafka's protocol, only controllers accept these kinds of requests.
const (
	vote               protocol.APIKey = 52
	brokerRegistration protocol.APIKey = 62
)

// lacks returns the error for a kind of request that the server does not support.
func (c *Conn) lacks(key protocol.APIKey) error {
	err := fmt.Errorf("%w: it does not know %v requests", ErrUnsupported, key)
	_, votes := c.apis[vote]
	_, registers := c.apis[brokerRegistration]
	if votes || registers {
		return fmt.Errorf("%w; this is a KRaft controller's listener: use the address of a broker's listener", err)
	}
	return err
}

// Size returns the frame's size in bytes. Done may call it after Send has registered the call.
func (call *Call) Size() int64 { return call.size }
