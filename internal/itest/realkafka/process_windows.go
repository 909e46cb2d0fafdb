package realkafka

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// Windows can only kill: a clean stop is a kill too, and a pause is refused.
const (
	signalStop   = syscall.SIGTERM
	signalKill   = syscall.SIGKILL
	signalPause  = syscall.Signal(-1)
	signalResume = syscall.Signal(-2)
)

func setChildAttributes(*exec.Cmd) {}

func signalGroup(process *os.Process, sig syscall.Signal) error {
	if sig == signalKill || sig == signalStop {
		return process.Kill()
	}
	return errors.New("a process cannot be paused on windows")
}
