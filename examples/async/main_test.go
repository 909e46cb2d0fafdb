package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAsyncSendsInEveryWayAndReadsBackWhatWasAcknowledged(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-records", "1050"}, &out), out.String())
	require.Contains(t, out.String(), "1050 records accepted in ")
	require.Contains(t, out.String(), "SendAll:   1050 records, 100 a call; 1050 acknowledged")
	require.Contains(t, out.String(), "record was cancelled")
	require.Contains(t, out.String(), "producer is closed")
}
