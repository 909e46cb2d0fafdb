package main

import (
	"bytes"
	"context"
	"io"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gosamsa/samsa/producer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheBrokerCreatesTopicsAndEndsWithItsContext(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"-port", "0", "-partitions", "2"}, writer) }()
	line := make([]byte, 200)
	n, err := reader.Read(line)
	require.NoError(t, err)
	address := regexp.MustCompile(`127\.0\.0\.1:\d+`).Find(line[:n])
	require.NotNil(t, address, string(line[:n]))

	p, err := producer.New(producer.DefaultConfig(string(address)))
	require.NoError(t, err)
	_, err = p.Send(t.Context(), &producer.Record{Topic: "new"}, nil).Get(t.Context())
	require.NoError(t, err)
	partitions, err := p.PartitionsFor(t.Context(), "new")
	require.NoError(t, err)
	require.Len(t, partitions, 2)
	require.NoError(t, p.Close(t.Context()))
	stop()
	require.NoError(t, <-ended)
}

func TestWrongFlagsAreRefused(t *testing.T) {
	require.Error(t, run(t.Context(), []string{"-port", "x"}, &bytes.Buffer{}))
}
