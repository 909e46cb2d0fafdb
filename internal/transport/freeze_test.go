package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// foreignError is an error of the user's. Each of its methods fails the test after freeze has returned.
type foreignError struct {
	t       *testing.T
	frozen  *bool
	inner   []error
	is, as  any
	timeout bool
}

func (e *foreignError) asked() {
	require.False(e.t, *e.frozen, "a method of the user's error is called outside the gate")
}
func (e *foreignError) Error() string {
	e.asked()
	return "foreign"
}

func (e *foreignError) Unwrap() []error {
	e.asked()
	return e.inner
}

func (e *foreignError) Timeout() bool {
	e.asked()
	return e.timeout
}

func (e *foreignError) Is(target error) bool {
	e.asked()
	return target == e.is
}

func (e *foreignError) As(target any) bool {
	e.asked()
	switch target := target.(type) {
	case *syscall.Errno:
		n, ok := e.as.(syscall.Errno)
		*target = n
		return ok
	case **net.DNSError:
		n, ok := e.as.(*net.DNSError)
		*target = n
		return ok
	}
	return false
}

// frozenFrom freezes an error of the user's.
func frozenFrom(t *testing.T, e foreignError) error {
	frozen := false
	e.t, e.frozen = t, &frozen
	err := freeze(&e)
	frozen = true
	require.Equal(t, "foreign", err.Error())
	return err
}

// userAddr is an address of the user's.
type userAddr struct{ text func() string }

func (userAddr) Network() string  { return "mine" }
func (a userAddr) String() string { return a.text() }

func TestAnErrorOfTheStandardLibraryIsKept(t *testing.T) {
	for _, err := range []error{
		io.EOF, net.ErrClosed, os.ErrDeadlineExceeded, context.Canceled, context.DeadlineExceeded, errors.New("mine"),
		syscall.ECONNREFUSED,
		errno(syscall.ECONNREFUSED), &net.DNSError{Err: "no such host", IsNotFound: true}, x509.UnknownAuthorityError{},
		tls.RecordHeaderError{Msg: "text"}, &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}},
		fmt.Errorf("wrapped: %w", errors.Join(io.EOF, errno(syscall.EPIPE))),
		&net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{Port: 1}, Err: os.ErrDeadlineExceeded},
	} {
		require.Equal(t, err, freeze(err))
		require.NotEqual(t, "*transport.frozenError", fmt.Sprintf("%T", freeze(err)))
	}
}

func TestAFrozenErrorHasTheStandardErrorsOfTheUsers(t *testing.T) {
	op := &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	err := frozenFrom(t, foreignError{inner: []error{nil, fmt.Errorf("inner: %w", x509.UnknownAuthorityError{}), op},
		is: io.EOF, as: syscall.EPIPE})
	for _, target := range []error{io.EOF, syscall.ECONNRESET, syscall.EPIPE} {
		require.ErrorIs(t, err, target)
	}
	require.NotErrorIs(t, err, context.Canceled)
	var gotOp *net.OpError
	require.ErrorAs(t, err, &gotOp)
	require.Same(t, op, gotOp)
	var authority x509.UnknownAuthorityError
	require.ErrorAs(t, err, &authority)
	require.False(t, isTimeout(err))
	var user *foreignError
	require.False(t, errors.As(err, &user), "a user's type in the chain")

	err = frozenFrom(t, foreignError{as: &net.DNSError{Err: "no such host", IsNotFound: true}})
	var unresolved *net.DNSError
	require.ErrorAs(t, err, &unresolved)
	require.True(t, unresolved.IsNotFound)
}

func TestAFrozenErrorIsATimeoutIfTheUsersIs(t *testing.T) {
	require.True(t, isTimeout(frozenFrom(t, foreignError{timeout: true})))
	require.False(t, isTimeout(frozenFrom(t, foreignError{inner: []error{os.ErrDeadlineExceeded}})),
		"the first answer counts")
	require.ErrorIs(t, frozenFrom(t, foreignError{inner: []error{os.ErrDeadlineExceeded}}), os.ErrDeadlineExceeded)
	frozen := false
	err := freeze(fmt.Errorf("read: %w", errors.Join(&stubbornError{&frozen},
		fmt.Errorf("by: %w", os.ErrDeadlineExceeded))))
	frozen = true
	require.True(t, isTimeout(err))
	require.Equal(t, "read: stubborn\nby: i/o timeout", err.Error())
}

// stubbornError is an error of the user's without further methods. It panics after it was frozen.
type stubbornError struct{ frozen *bool }

func (e *stubbornError) Error() string {
	if *e.frozen {
		panic("asked again")
	}
	return "stubborn"
}

func TestAStandardErrorWithAnAddressOfTheUsersIsCopiedWithoutIt(t *testing.T) {
	frozen := false
	address := userAddr{func() string {
		if frozen {
			panic("asked again")
		}
		return "there"
	}}
	err := freeze(&net.OpError{Op: "read", Net: "mine", Addr: address,
		Err: os.NewSyscallError("read", syscall.ECONNRESET)})
	frozen = true
	require.Equal(t, "read mine there: read: connection reset by peer", err.Error())
	require.True(t, isEndedByPeer(err))
	var op *net.OpError
	require.ErrorAs(t, err, &op)
	require.Nil(t, op.Addr)
	require.Equal(t, "read", op.Op)
}

// cyclicError wraps itself.
type cyclicError struct{}

func (cyclicError) Error() string   { return "cycle" }
func (c cyclicError) Unwrap() error { return c }

func TestTheCopyOfAnErrorIsBounded(t *testing.T) {
	err := freeze(errors.New(strings.Repeat("ä", maxErrorText)))
	require.LessOrEqual(t, len(err.Error()), maxErrorText+3)
	require.True(t, strings.HasPrefix(err.Error(), "ää"))
	require.NotErrorIs(t, freeze(cyclicError{}), io.EOF)
	cycle := &os.PathError{Op: "open", Path: "x"}
	cycle.Err = errors.Join(io.EOF)
	require.ErrorIs(t, freeze(cycle), io.EOF)
	many := make([]error, 10*maxErrorNodes)
	for i := range many {
		many[i] = fmt.Errorf("%d: %w", i, cyclicError{})
	}
	frozen := false
	_ = freeze(&foreignError{t: t, frozen: &frozen, inner: many})
}
