package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// command is a program to run.
type command struct {
	dir  string   // relative to the repository
	env  []string // beside the process's own; these win
	name string
	args []string
}

// goTool is the go command in one module. Workspaces are off: each module must stand alone.
func goTool(module string, args ...string) command {
	return command{dir: module, env: []string{"GOWORK=off"}, name: "go", args: args}
}

func (c command) with(env ...string) command {
	c.env = append(append([]string{}, c.env...), env...)
	return c
}

func (c command) String() string {
	words := append(append([]string{}, c.env...), c.name)
	text := strings.Join(append(words, c.args...), " ")
	if c.dir != "." {
		return "(cd " + c.dir + " && " + text + ")"
	}
	return text
}

// run prints the command and runs it; its output goes to the checker's.
func (c *checker) run(cmd command) error {
	return c.runTo(c.out, cmd)
}

// output runs the command and returns its output; a failure shows the output.
func (c *checker) output(cmd command) (string, error) {
	var out bytes.Buffer
	err := c.runTo(&out, cmd)
	if err != nil {
		_, _ = c.out.Write(out.Bytes())
	}
	return out.String(), err
}

func (c *checker) runTo(out io.Writer, cmd command) error {
	c.say("$ %s", cmd)
	process := exec.CommandContext(c.ctx, cmd.name, cmd.args...)
	process.Dir = filepath.Join(c.root, filepath.FromSlash(cmd.dir))
	process.Env = append(append(os.Environ(), "TMPDIR="+c.temp, "TMP="+c.temp, "TEMP="+c.temp), cmd.env...)
	process.Stdout, process.Stderr = out, out
	process.WaitDelay = c.patience
	ownGroup(process)
	err := process.Run()
	if c.ctx.Err() != nil {
		endGroup(process)
		return errInterrupted
	}
	if err != nil {
		return fmt.Errorf("%s: %w", cmd, err)
	}
	return nil
}

// withParent returns a context that also ends with the parent process: go run dies of SIGTERM without telling its
// program.
func withParent(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	parent := os.Getppid()
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for os.Getppid() == parent {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
		cancel()
	}()
	return ctx, cancel
}
