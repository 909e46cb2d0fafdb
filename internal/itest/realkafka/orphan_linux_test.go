package realkafka

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNodesDieWithTheProcessThatStartedThem(t *testing.T) {
	for name, crash := range map[string]func(process *os.Process, stdin io.Closer) error{
		"panic":     func(_ *os.Process, stdin io.Closer) error { return stdin.Close() },
		"interrupt": func(p *os.Process, _ io.Closer) error { return p.Signal(syscall.SIGINT) },
		"kill":      func(p *os.Process, _ io.Closer) error { return p.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), crashEnv+"=1")
			stdin, err := cmd.StdinPipe()
			require.NoError(t, err)
			stdout, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			line, err := bufio.NewReader(stdout).ReadString('\n')
			require.NoError(t, err)
			dir, address, _ := strings.Cut(strings.TrimSpace(line), " ")
			defer func() { require.NoError(t, os.RemoveAll(dir)) }()
			conn, err := net.Dial("tcp", address)
			require.NoError(t, err)
			require.NoError(t, conn.Close())

			require.NoError(t, crash(cmd.Process, stdin))
			require.Error(t, cmd.Wait())
			require.NoError(t, poll(t.Context(), func(context.Context) bool {
				conn, err := net.Dial("tcp", address)
				if err == nil {
					_ = conn.Close()
				}
				return err != nil
			}))
		})
	}
}
