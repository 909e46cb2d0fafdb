package main

import (
	"bytes"
	"regexp"
	"testing"

	"github.com/gosamsa/samsa/examples/internal/lab"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestQuickstartReadsBackWhatItSent(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), nil, &out), out.String())
	require.Contains(t, out.String(), "10003 sent, 10003 read: 0 missing, 0 twice, 0 out of order\n")
	require.Regexp(t, regexp.MustCompile(`greeting-2 is in partition \d at offset \d`), out.String())
}

func TestQuickstartCreatesItsTopicOnAGivenBrokerAndCanRunThereAgain(t *testing.T) {
	broker, err := lab.Open(t.Context(), "", 1)
	require.NoError(t, err)
	defer broker.Close()
	for range 2 {
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), []string{"-bootstrap", broker.Servers[0], "-records", "500", "-topic", "mine"}, &out), out.String())
		require.Contains(t, out.String(), "503 sent, 503 read: 0 missing, 0 twice, 0 out of order\n")
	}
	require.Len(t, broker.Fake().PartitionInfos("mine"), 3)
}

func TestQuickstartFailsWithWrongFlags(t *testing.T) {
	var out bytes.Buffer
	require.Error(t, run(t.Context(), []string{"-no-such-flag"}, &out))
	require.Contains(t, out.String(), "reads them back with another client")
}
