//go:build !unix

package main

import (
	"os/exec"
	"strconv"
)

// ownGroup makes a canceled command take its own processes with it.
func ownGroup(cmd *exec.Cmd) {
	cmd.Cancel = func() error {
		return exec.Command("taskkill", "/T", "/F", "/PID", strconv.Itoa(cmd.Process.Pid)).Run()
	}
}

// endGroup has nothing left to do.
func endGroup(*exec.Cmd) {}
