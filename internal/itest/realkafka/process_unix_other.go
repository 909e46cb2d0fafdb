//go:build unix && !linux

package realkafka

import (
	"os/exec"
	"syscall"
)

// setChildAttributes gives the process a group of its own. Only Linux can bind a child's life to its parent's.
func setChildAttributes(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}
