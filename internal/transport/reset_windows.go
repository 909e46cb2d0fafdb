package transport

import "syscall"

// isReset takes POSIX numbers too: a user's dialer may return them.
func isReset(errno syscall.Errno) bool { return windowsReset(errno) || posixReset(errno) }
