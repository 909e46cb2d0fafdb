package realkafka

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNodesDieWithTheProcessThatStartedThem(t *testing.T) {
	panics := func(_ *os.Process, stdin io.Closer) error { return stdin.Close() }
	interrupted := func(p *os.Process, _ io.Closer) error { return p.Signal(syscall.SIGINT) }
	killed := func(p *os.Process, _ io.Closer) error { return p.Kill() }
	for name, test := range map[string]struct {
		version   string
		processes int
		crash     func(process *os.Process, stdin io.Closer) error
	}{
		"panic":               {DefaultVersion, 1, panics},
		"interrupt":           {DefaultVersion, 1, interrupted},
		"kill":                {DefaultVersion, 1, killed},
		"kill with ZooKeeper": {"0.11.0.3", 2, killed},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), crashEnv+"="+test.version)
			stdin, err := cmd.StdinPipe()
			require.NoError(t, err)
			stdout, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			line, err := bufio.NewReader(stdout).ReadString('\n')
			require.NoError(t, err)
			words := strings.Fields(line)
			dir, addresses := words[0], words[1:]
			defer func() { require.NoError(t, os.RemoveAll(dir)) }()
			require.Len(t, addresses, test.processes)
			for _, address := range addresses {
				require.True(t, listens(address))
			}

			require.NoError(t, test.crash(cmd.Process, stdin))
			require.Error(t, cmd.Wait())
			require.NoError(t, poll(t.Context(),
				func(context.Context) bool { return !slices.ContainsFunc(addresses, listens) }))
		})
	}
}

func listens(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}
