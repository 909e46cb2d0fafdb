package cluster

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gosamsa/samsa/internal/transport"
	"github.com/gosamsa/samsa/protocol"
)

var (
	// ErrClosed: the client was closed.
	ErrClosed = errors.New("cluster client is closed")
	// ErrPending: the topic is not known yet, and the client is requesting it.
	ErrPending = errors.New("its metadata is being fetched")
	// ErrNoServers: the client knows no server.
	ErrNoServers = errors.New("there is no server to ask")
	// ErrNotTried: the client has not tried the server yet.
	ErrNotTried = errors.New("not tried yet")
	// ErrNoAnswer: the server has not answered a request yet.
	ErrNoAnswer = errors.New("no answer yet")
	// ErrNoBrokers: the server answered, but named no broker with a usable address.
	ErrNoBrokers = errors.New("its answer names no usable broker")
	// errReplaced: the client asks another server now, or another server answered first.
	errReplaced = errors.New("connection given up for another server")
	// errRebootstrap: the broker asks the client to bootstrap again.
	errRebootstrap = errors.New("the broker asks to start again from the bootstrap servers")
)

// TopicError is the reason for missing metadata of a topic. errors.Is and errors.As find both Err and Why.
type TopicError struct {
	Topic string
	// Err is the reason for the end of the wait: a context's error, ErrPending, ErrClosed, a *MissingError, or a final
	// *protocol.Error.
	Err error
	// Why is the obstacle until then: a *protocol.Error of the brokers, or an *UnreachableError. It may be nil.
	Why error
	// Missing is set if every response so far has called the topic unknown.
	Missing *MissingError
}

// Error gives the topic and both reasons.
func (e *TopicError) Error() string {
	if e.Why == nil {
		return fmt.Sprintf("topic %q: %v", e.Topic, e.Err)
	}
	return fmt.Sprintf("topic %q: %v: %v", e.Topic, e.Err, e.Why)
}

// Unwrap returns both reasons.
func (e *TopicError) Unwrap() []error {
	if e.Why == nil {
		return []error{e.Err}
	}
	return []error{e.Err, e.Why}
}

// MissingError reports a missing topic: every response for some time has called it unknown.
type MissingError struct {
	// Code is the code of the last response.
	Code protocol.ErrorCode
	// After is how long all responses have called the topic unknown.
	After time.Duration
}

// Error returns a text that continues a sentence about the topic.
func (e *MissingError) Error() string {
	after := ""
	if d := roughly(e.After); d > 0 {
		after = fmt.Sprintf(" after %v", d)
	}
	return "does not exist (" + e.Code.Name() + ")" + after + ": create it or check the name"
}

// Unwrap returns the brokers' error.
func (e *MissingError) Unwrap() error { return &protocol.Error{Code: e.Code} }

// roughly rounds a duration for an error's text.
func roughly(d time.Duration) time.Duration {
	if d >= time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Millisecond)
}

// ServerFailure is the failure of one server to answer.
type ServerFailure struct {
	Address string
	Err     error
}

// UnreachableError reports that no server answered, with the failure of each.
type UnreachableError struct {
	Servers []ServerFailure
}

// namedServers is how many servers the text of an error names: a cluster may claim any number.
const namedServers = 20

// Error lists the servers with their reasons, at most namedServers of them.
func (e *UnreachableError) Error() string { return "no broker answered: " + e.Reasons() }

// IsUntried reports whether the client has not tried any server yet.
func (e *UnreachableError) IsUntried() bool {
	return !slices.ContainsFunc(e.Servers, func(s ServerFailure) bool { return !errors.Is(s.Err, ErrNotTried) })
}

// Reasons returns every server with its reason.
func (e *UnreachableError) Reasons() string {
	named := e.Servers[:min(len(e.Servers), namedServers)]
	reasons := make([]string, len(named))
	for i, s := range named {
		reasons[i] = s.Address + ": " + s.Err.Error()
	}
	text := strings.Join(reasons, "; ")
	if more := len(e.Servers) - len(named); more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

// Unwrap returns the reasons.
func (e *UnreachableError) Unwrap() []error {
	errs := make([]error, len(e.Servers))
	for i, s := range e.Servers {
		errs[i] = s.Err
	}
	return errs
}

// stripAddress removes the address from an error, because the list of reasons already has it.
func stripAddress(err error) error {
	var e *transport.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
