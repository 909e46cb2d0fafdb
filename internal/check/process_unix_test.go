//go:build unix

package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnInterruptEndsStartedProcessesAndTheirChildren(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	c := checker{ctx: ctx, out: io.Discard, root: ".", patience: 1}
	ended := make(chan error, 1)
	go func() {
		ended <- c.runTo(writer, command{dir: ".", env: []string{helperEnv + "=parent"}, name: os.Args[0]})
	}()
	line, err := bufio.NewReader(reader).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)
	cancel()
	require.ErrorIs(t, <-ended, errInterrupted)
	require.NoError(t, writer.Close())
	_, err = io.Copy(io.Discard, reader) // ends when the last process able to write has ended
	require.NoError(t, err)
	require.NoError(t, reader.Close())
}
