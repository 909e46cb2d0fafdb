package transport

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/gosamsa/samsa/protocol"
)

// explain names the likely cause of an error while the server has not answered on this connection.
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

// whyClosed names the likely reasons to close a connection before any answer.
func (h *handshake) whyClosed() string {
	if h.opts.History.of(h.address) >= answeredHello {
		return ", though this address has answered before: perhaps max.connections.per.ip or max.connections of the broker is reached, " +
			"the broker is stopping, or a proxy cannot reach it"
	}
	return ": a broker older than 0.10, a listener that wants TLS or SASL, or no Kafka broker; use a plaintext listener, or a dialer for TLS"
}

// whySilent names the likely nature of a server silent after it accepted a connection.
func (o *Options) whySilent(address string) string {
	const silent = "connected, but the server does not answer ApiVersions"
	if o.History.of(address) >= answeredHello {
		return silent + ", though this address has answered before: it hangs, or max.connections of the broker is reached"
	}
	return silent + ": it hangs, or is no Kafka broker"
}

// explainDo names the likely cause if a server answers ApiVersions and then ends the connection without ever answering
// a request.
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
// system call are nothing new.
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

// Kinds of requests that only controllers accept, among all servers of Kafka's protocol.
const (
	vote               protocol.APIKey = 52
	brokerRegistration protocol.APIKey = 62
)

// lacks is the error for a kind of request unknown to the server.
func (c *Conn) lacks(key protocol.APIKey) error {
	err := fmt.Errorf("%w: it does not know %v requests", ErrUnsupported, key)
	_, votes := c.apis[vote]
	_, registers := c.apis[brokerRegistration]
	if votes || registers {
		return fmt.Errorf("%w; this is a KRaft controller's listener: use the address of a broker's listener", err)
	}
	return err
}

// Size returns the frame's size in bytes. It is for Done, after a Send of some of the frame.
func (call *Call) Size() int64 { return call.size }
