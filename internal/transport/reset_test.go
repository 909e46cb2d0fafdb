package transport

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// errno wraps an error number as package net does.
func errno(n syscall.Errno) error {
	return &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", n)}
}

func TestAConnectionThatTheOtherSideEndsIsNoticed(t *testing.T) {
	for _, err := range []error{
		io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, fmt.Errorf("after 3 bytes: %w", io.ErrUnexpectedEOF),
		errno(syscall.ECONNRESET), errno(syscall.ECONNABORTED), errno(syscall.EPIPE),
	} {
		require.True(t, isEndedByPeer(err), "%v", err)
	}
	for _, err := range []error{nil, net.ErrClosed, os.ErrDeadlineExceeded, errno(syscall.ECONNREFUSED),
		errno(syscall.EHOSTUNREACH), errors.New("reset")} {
		require.False(t, isEndedByPeer(err), "%v", err)
	}
}

func TestResetsHaveOtherNumbersOnWindows(t *testing.T) {
	// WSAENETRESET, WSAECONNABORTED, WSAECONNRESET, WSAESHUTDOWN, ERROR_NETNAME_DELETED.
	for _, n := range []syscall.Errno{10052, 10053, 10054, 10058, 64} {
		require.True(t, windowsReset(n), "%d", n)
		require.False(t, posixReset(n), "%d", n)
	}
	// WSAECONNREFUSED, WSAETIMEDOUT, WSAEHOSTUNREACH, ERROR_OPERATION_ABORTED (closed by this side).
	for _, n := range []syscall.Errno{0, 10061, 10060, 10065, 995} {
		require.False(t, windowsReset(n), "%d", n)
	}
	for _, n := range []syscall.Errno{syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE} {
		require.True(t, posixReset(n), "%d", n)
	}
}
