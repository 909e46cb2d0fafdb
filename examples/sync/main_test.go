package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSyncWaitsForEachRecordAndShowsWhatErrorsTell(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-records", "200"}, &out), out.String())
	require.Contains(t, out.String(), "16 goroutines: 200 records in ")
	require.Contains(t, out.String(), "record is too large")
	require.Contains(t, out.String(), "invalid partition")
	require.NotContains(t, out.String(), "in the log? true")
}
