package chaos

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const second = time.Second

func TestGapsAreMeasuredInAllByPartitionAndByFault(t *testing.T) {
	r := &Result{Begin: 10 * second, End: 40 * second, Events: []Event{
		{Fault: Fault{Kind: Kill}, At: 12 * second}, {Fault: Fault{Kind: Slow}, At: 25 * second},
	}}
	r.measure([]ack{
		{at: 1 * second, took: second}, {at: 11 * second, took: second}, {at: 17 * second, took: second, partition: 1},
		{at: 24 * second, took: second}, {at: 28 * second, took: 5 * second, partition: 1},
		{at: 38 * second, took: second},
		{at: 60 * second, took: second},
	})
	require.Equal(t, 10*second, r.Gap, "from 28 to 38")
	require.Equal(t, 14*second, r.PartitionGap, "partition 0, from 24 to 38")
	require.Equal(t, map[Kind]time.Duration{Kill: 7 * second, Slow: 10 * second}, r.GapByFault)
	require.Equal(t, second, r.P50)
	require.Equal(t, 5*second, r.P99)
}

func TestASilenceUntilTheEndIsAGap(t *testing.T) {
	r := &Result{Begin: 10 * second, End: 40 * second}
	r.measure([]ack{{at: 15 * second}})
	require.Equal(t, 25*second, r.Gap)
	r.measure(nil)
	require.Equal(t, 30*second, r.Gap)
}

func TestReportComparesMediansAndPrintsThem(t *testing.T) {
	run := func(client string, gap time.Duration) *Result {
		return &Result{Client: client, Gap: gap, PartitionGap: 2 * gap, GapByFault: map[Kind]time.Duration{Kill: gap}}
	}
	report := NewReport([]*Result{
		run(Samsa, 3*second), run(Franz, 9*second), run(Samsa, 1*second), run(Franz, 4*second), run(Samsa, 2*second),
		run(Franz, 3*second),
	})
	require.InDelta(t, 0.5, report.GapRatio, 1e-9)
	require.Equal(t, 4*second, report.Clients[Samsa].PartitionGap)
	require.Equal(t, 4*second, report.Clients[Franz].GapByFault[Kill])
	require.True(t, report.OK())
	var out bytes.Buffer
	require.NoError(t, report.Print(&out))
	require.Regexp(t, `(?m)whole run +2\.00 +4\.00 +0\.50`, out.String())
	require.Regexp(t, `(?m)kill +2\.00 +4\.00 +0\.50`, out.String())
	require.Regexp(t, `(?m)hang +– +– +–`, out.String())

	report.Runs[1].Lost = 1
	require.True(t, report.OK(), "franz-go is not judged")
	report.Runs[0].Lost = 1
	require.False(t, report.OK())
}

func TestAResultWithAStalledPartitionOrAFailedCloseIsNotOK(t *testing.T) {
	require.True(t, (&Result{}).OK())
	require.False(t, (&Result{Stalled: []int32{1}}).OK())
	require.False(t, (&Result{CloseError: "x"}).OK())
}

func TestTheJournalIsWrittenForARunThatIsNotOK(t *testing.T) {
	s := newStory()
	w := newWorkload(nil, "t", 0)
	w.journal = s.journal
	r := &Result{Client: Samsa}
	r.judge(w, s.log[1:])
	require.Equal(t, Counts{Lost: 1}, r.Counts)
	name := filepath.Join(t.TempDir(), "journal")
	require.NoError(t, r.WriteJournal(name))
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Contains(t, string(text), "record 4 of sender 1: sent at 0s, told at 0s: not written (refused)")
}
