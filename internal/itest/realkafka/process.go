package realkafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// process is one run of a program. exited is closed when it has ended; err is set then.
type process struct {
	os     *os.Process
	exited chan struct{}
	err    error
}

// startProcess starts a program in dir and appends its output to logPath.
func startProcess(dir, logPath, program string, args ...string) (*process, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	setChildAttributes(cmd)
	proc := &process{exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Linux kills the child when its parent thread ends, so this goroutine keeps the thread until the child is
		// gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		_ = log.Close()
		if err != nil {
			started <- err
			return
		}
		proc.os = cmd.Process
		started <- nil
		proc.err = cmd.Wait()
		close(proc.exited)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return proc, nil
}

// isRunning reports whether the program was started and has not ended.
func (p *process) isRunning() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// end sends sig, and waits until the process is gone. When ctx ends first, the process is killed.
func (p *process) end(ctx context.Context, sig syscall.Signal) error {
	if err := signalGroup(p.os, sig); err != nil {
		return err
	}
	select {
	case <-p.exited:
		return nil
	case <-ctx.Done():
		err := signalGroup(p.os, signalKill)
		<-p.exited
		return errors.Join(fmt.Errorf("the process did not end: %w", ctx.Err()), err)
	}
}
