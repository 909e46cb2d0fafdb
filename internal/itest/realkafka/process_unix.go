//go:build unix

package realkafka

import (
	"os"
	"syscall"
)

const (
	signalStop   = syscall.SIGTERM
	signalKill   = syscall.SIGKILL
	signalPause  = syscall.SIGSTOP
	signalResume = syscall.SIGCONT
)

// signalGroup sends sig to the whole process group of the process.
func signalGroup(process *os.Process, sig syscall.Signal) error {
	return syscall.Kill(-process.Pid, sig)
}
