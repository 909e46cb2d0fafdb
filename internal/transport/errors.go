package transport

import "errors"

// These are the reasons for the end of a connection or the failure of a request. Find them with errors.Is.
var (
	// ErrClosed: Close was called without a reason of its own.
	ErrClosed = errors.New("connection closed")
	// ErrIdle: nothing was in flight for connections.max.idle.ms.
	ErrIdle = errors.New("connection closed because it was idle")
	// ErrRequestTimeout: a request had no answer within its timeout, so the connection was closed.
	ErrRequestTimeout = errors.New("no answer within the request timeout")
	// ErrSetupTimeout: the connection was not usable within socket.connection.setup.timeout.ms.
	ErrSetupTimeout = errors.New("connection setup timed out")
	// ErrDisconnected: the other side closed or reset the connection.
	ErrDisconnected = errors.New("disconnected by the broker")
	// ErrMalformed: the received bytes are not a valid answer: their length, correlation id, or contents are wrong, or
	// no request is in flight.
	ErrMalformed = errors.New("malformed answer")
	// ErrNotKafka: the server speaks another protocol.
	ErrNotKafka = errors.New("not a Kafka broker")
	// ErrUnsupported: broker and client have no version of the request in common.
	ErrUnsupported = errors.New("not supported by the broker")
	// ErrUserCode: the user's dialer or resolver panicked, called runtime.Goexit, or did not return; or a method of the
	// dialer's connection panicked, called runtime.Goexit, or returned an impossible count.
	ErrUserCode = errors.New("the user's code failed")
	// ErrBadCall: the Call is not a frame. Nothing was written, and the connection stays open. A retry of the same Call
	// would fail again.
	ErrBadCall = errors.New("call is not a request frame")
	// ErrRequestTooLarge: the Call is an ErrBadCall because of its size.
	ErrRequestTooLarge = errors.New("request is larger than a frame can be")
)

// Error is the error of Dial, Do, Send and Done for a request without an answer.
type Error struct {
	// Address is the broker's.
	Address string
	// Sent: a byte of the request may have been sent. If it is false, certainly no byte was sent.
	Sent bool
	// Timeout: the reason is a timeout.
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
