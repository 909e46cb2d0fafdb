//go:build !windows

package transport

import "syscall"

func isReset(errno syscall.Errno) bool { return posixReset(errno) }
