package realkafka

import (
	"os/exec"
	"syscall"
)

// setChildAttributes gives the process a group of its own, so a terminal's interrupt reaches it through us alone, and
// makes the kernel kill it when its parent thread ends: no JVM stays behind after any end of the test.
func setChildAttributes(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
