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

// The numbers of Windows for the same. Package syscall has other numbers under the POSIX names there; no system call
// returns them.
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
