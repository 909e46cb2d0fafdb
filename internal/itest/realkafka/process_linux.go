package realkafka

import (
	"os/exec"
	"syscall"
)

// setChildAttributes gives the process a group of its own, so that a terminal's interrupt reaches it through us alone, and makes
// the kernel kill it when the thread that started it ends: whatever becomes of the test, no JVM stays behind.
func setChildAttributes(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
