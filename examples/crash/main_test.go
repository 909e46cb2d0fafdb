package main

import (
	"bytes"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/gosamsa/samsa/examples/internal/lab"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if task := os.Getenv(childEnv); task != "" {
		child(task)
	}
	goleak.VerifyTestMain(m)
}

func TestACrashLosesOnlyUnacknowledgedRecords(t *testing.T) {
	broker, err := lab.Open(t.Context(), 3, "samsa-crash")
	require.NoError(t, err)
	defer broker.Close()
	for range 2 { // the topic of the second run holds the records of the first run
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), []string{"-after", "3000", "-bootstrap", broker.Servers[0]}, &out),
			out.String())
		found := regexp.MustCompile(` (\d+) records were handed to Send\n +(\d+) were acknowledged before the crash; 0 of them are missing in the log\n` +
			` +(\d+) were not acknowledged; (\d+) of them are in the log all the same, (\d+) died with the process\n` +
			` +(\d+) are in the log; 0 twice, 0 out of order or behind a gap\n`).FindStringSubmatch(out.String())
		require.NotNil(t, found, out.String())
		var n []int
		for _, text := range found[1:] {
			figure, err := strconv.Atoi(text)
			require.NoError(t, err)
			n = append(n, figure)
		}
		sent, acknowledged, open, openInLog, died, inLog := n[0], n[1], n[2], n[3], n[4], n[5]
		require.GreaterOrEqual(t, acknowledged, 3000)
		require.Equal(t, sent, acknowledged+open)
		require.Equal(t, open, openInLog+died)
		require.Equal(t, inLog, acknowledged+openInLog)
	}
}

func TestAChildThatFailsIsNotTakenForOneThatCrashes(t *testing.T) {
	broker, err := lab.Open(t.Context(), 1)
	require.NoError(t, err)
	defer broker.Close()
	_, err = crash(t.Context(), task{servers: broker.Servers, topic: "not/legal", after: 1})
	require.ErrorContains(t, err, "it failed: samsa: ")
}

func TestMissingDoubledAndMisplacedRecordsAreFound(t *testing.T) {
	n, err := readNotes(strings.NewReader(
		"sent 0 0\nsent 1 1\nsent 2 0\nacknowledged 0 0\nsent 3 1\nsent 4 0\nacknowledged 1 1\nacknowledged 3 1\nsent 5 0\nacknowledged 2"))
	require.NoError(t, err)
	require.Len(t, n.sent, 6)
	require.False(t, n.sent[2].acknowledged, "the line is not whole")

	record := func(partition int32, value string) *kgo.Record {
		return &kgo.Record{Partition: partition, Value: []byte(value)}
	}
	require.Equal(t, figures{sent: 6, acknowledged: 3, inLog: 4, open: 3, openInLog: 1},
		n.compare([]*kgo.Record{record(0, "0"), record(1, "1"), record(1, "3"), record(0, "2")}))
	require.Equal(t, figures{sent: 6, acknowledged: 3, inLog: 3, missing: 1, open: 3, openInLog: 1, twice: 1,
		misplaced: 1, strangers: 2},
		n.compare([]*kgo.Record{record(0, "0"), record(0, "0"), record(1, "3"), record(0, "2"), record(0, "6"),
			record(0, "x")}))

	_, err = readNotes(strings.NewReader("acknowledged 0 0\n"))
	require.ErrorContains(t, err, "makes no sense")
}
