package transport

import "errors"

// The reasons for which a connection ends or a request fails here, found with errors.Is.
var (
	// ErrClosed: Close was called without a reason of its own.
	ErrClosed = errors.New("connection closed")
	// ErrIdle: nothing was in flight for connections.max.idle.ms.
	ErrIdle = errors.New("connection closed because it was idle")
	// ErrRequestTimeout: a request had no answer within its time, so nothing more is expected from this connection.
	ErrRequestTimeout = errors.New("no answer within the request timeout")
	// ErrSetupTimeout: the connection was not usable within socket.connection.setup.timeout.ms.
	ErrSetupTimeout = errors.New("connection setup timed out")
	// ErrDisconnected: the other side closed or reset the connection.
	ErrDisconnected = errors.New("disconnected by the broker")
	// ErrMalformed: what came is no valid answer: its length, its correlation id, or its contents are wrong, or
	// nothing was asked.
	ErrMalformed = errors.New("malformed answer")
	// ErrNotKafka: the server speaks something else.
	ErrNotKafka = errors.New("not a Kafka broker")
	// ErrUnsupported: the broker has no version of the request that this client speaks.
	ErrUnsupported = errors.New("not supported by the broker")
	// ErrUserCode: the user's dialer or resolver panicked, called runtime.Goexit, or does not return; or a method of the dialer's connection
	// panicked, called runtime.Goexit, or returned an impossible count.
	ErrUserCode = errors.New("the user's code failed")
	// ErrBadCall: the Call is not a frame. Nothing was written and the connection lives on. The same Call would meet it again.
	ErrBadCall = errors.New("call is not a request frame")
	// ErrRequestTooLarge: the Call is an ErrBadCall because of its size.
	ErrRequestTooLarge = errors.New("request is larger than a frame can be")
)

// Error is what Dial, Do, Send and Done report when a request got no answer.
type Error struct {
	// Address is the broker's.
	Address string
	// Sent: some byte of the request may have left. False means for certain that none did.
	Sent bool
	// Timeout: the reason is that time ran out.
	Timeout bool
	// Err is the reason.
	Err error
}

// Error gives the address and the reason.
func (e *Error) Error() string { return "broker " + e.Address + ": " + e.Err.Error() }

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// isTimeout reports whether err means that time ran out.
func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, ErrRequestTimeout) || errors.Is(err, ErrSetupTimeout) || errors.As(err, &t) && t.Timeout()
}
