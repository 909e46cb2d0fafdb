package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gosamsa/samsa/examples/internal/lab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSyncWaitsForEachRecordAndShowsFates(t *testing.T) {
	broker, err := lab.Open(t.Context(), 3, "samsa-sync")
	require.NoError(t, err)
	defer broker.Close()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-bootstrap", broker.Servers[0], "-records", "200"}, &out),
		out.String())
	require.Contains(t, out.String(), "16 goroutines: 200 records in ")
	require.Contains(t, out.String(), "fate: rejected; reason: record_too_large\n")
	require.Contains(t, out.String(), "fate: rejected; reason: invalid_partition\n")
	require.Contains(t, out.String(), "fate: not written; reason: context_canceled\n")
	records, err := broker.ReadBack(t.Context(), "samsa-sync", 201)
	require.NoError(t, err)
	require.Len(t, records, 201)
}
