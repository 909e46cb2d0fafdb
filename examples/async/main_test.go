package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gosamsa/samsa/examples/internal/lab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAsyncSendsInEveryWayAndTheLogHoldsEachRecordOnce(t *testing.T) {
	broker, err := lab.Open(t.Context(), 3, "samsa-async")
	require.NoError(t, err)
	defer broker.Close()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-bootstrap", broker.Servers[0], "-records", "1050"}, &out),
		out.String())
	require.Contains(t, out.String(), "1050 records accepted in ")
	require.Contains(t, out.String(), "SendAll:   1050 records, 100 a call; 1050 acknowledged")
	require.Contains(t, out.String(), "producer is closed")
	want := 2*1050 + 1
	if strings.Contains(out.String(), "Cancel:    true") {
		require.Contains(t, out.String(), "record was canceled")
	} else {
		want++ // linger.ms was over before Cancel
	}
	records, err := broker.ReadBack(t.Context(), "samsa-async", want)
	require.NoError(t, err)
	require.Len(t, records, want)
}
