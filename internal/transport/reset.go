package transport

import (
	"errors"
	"io"
	"syscall"
)

// isEndedByPeer reports whether err means that the other side closed, reset or aborted the connection.
func isEndedByPeer(err error) bool {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) {
		return true
	}
	var errno syscall.Errno
	return errors.As(err, &errno) && isReset(errno)
}

// posixReset reports whether a POSIX error number means that the other side ended the connection.
func posixReset(errno syscall.Errno) bool {
	switch errno {
	case syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE:
		return true
	}
	return false
}

// Windows has these error numbers for the end of a connection. On Windows package syscall defines the POSIX names with
// other numbers, which no system call returns.
const (
	errorNetnameDeleted = 64
	wsaeNetReset        = 10052
	wsaeConnAborted     = 10053
	wsaeConnReset       = 10054
	wsaeShutdown        = 10058
)

// windowsReset reports whether an error number of Windows means that the other side ended the connection.
func windowsReset(errno syscall.Errno) bool {
	switch errno {
	case errorNetnameDeleted, wsaeNetReset, wsaeConnAborted, wsaeConnReset, wsaeShutdown:
		return true
	}
	return false
}
