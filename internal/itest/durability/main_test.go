package main

import (
	"bytes"
	"flag"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rows returns the figures of the table rows found by an expression; each of its groups is a figure.
func rows(t *testing.T, out, expression string) [][]int {
	t.Helper()
	var rows [][]int
	for _, found := range regexp.MustCompile(expression).FindAllStringSubmatch(out, -1) {
		var row []int
		for _, text := range found[1:] {
			n, err := strconv.Atoi(text)
			require.NoError(t, err)
			row = append(row, n)
		}
		rows = append(rows, row)
	}
	return rows
}

func TestSafeLosesNothingAndReportsRightly(t *testing.T) {
	var buffer bytes.Buffer
	err := run(t.Context(), []string{"-records", "3000", "-waits", "20", "-rate", "2000"}, &buffer)
	out := buffer.String()
	t.Log(out)
	require.NoError(t, err)

	for _, p := range profiles {
		died := rows(t, out, `(?m)^   `+p.name+strings.Repeat(` +(\d+)`, 7)+`$`)
		require.Len(t, died, 2, "one row for each death")
		for _, row := range died {
			sent, told, not, maybe, found, lost, twice := row[0], row[1], row[2], row[3], row[4], row[5], row[6]
			require.Greater(t, told, 3*warm-1)
			require.Equal(t, sent, told+not+maybe, "each record has one outcome")
			require.LessOrEqual(t, found, told+maybe, "what was told not written is not there")
			require.LessOrEqual(t, told-lost, found, "what is not lost is there")
			if p.promises {
				require.Zero(t, lost)
				require.Zero(t, twice)
			}
		}
	}

	const copies = ` +(\d) of (\d)`
	require.Equal(t, [][]int{{1, 2, 3, 500, 500, 0, 0, 500}, {1, 1, 2, 500, 500, 0, 0, 500},
		{2, 2, 3, 500, 500, 0, 0, 500}},
		rows(t, out, `(?m)^   ([12])`+copies+strings.Repeat(` +(\d+)`, 5)))
	three := rows(t, out, `(?m)^   3`+copies+strings.Repeat(` +(\d+)`, 5))
	require.Len(t, three, 2)
	hasty, patient := three[0], three[1]
	require.Zero(t, hasty[3], "acknowledged while a broker was down")
	require.Equal(t, 500, hasty[4]+hasty[5])
	require.LessOrEqual(t, hasty[6], hasty[5], "what was told not written is not there")
	require.Equal(t, []int{2, 3, 500, 500, 0, 0, 500}, patient)
	require.Contains(t, out, "NOT_ENOUGH_REPLICAS")
	require.Regexp(t, `(?s): 0 acknowledged, 0 failed, 500 wait\n.*broker 3 is started\n.*the records that waited: 500 acknowledged\n`, out)
	require.Contains(t, out, "nothing is there twice.\n")
	requireReadmeShows(t, out)
}

func TestWithoutJavaTheErrorNamesIt(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("JAVA_HOME", "")
	require.ErrorContains(t, run(t.Context(), nil, io.Discard), "java 17 or newer is needed")
}

func TestItBringsItsBrokersAndSaysWhy(t *testing.T) {
	var out bytes.Buffer
	require.ErrorIs(t, run(t.Context(), []string{"-h"}, &out), flag.ErrHelp)
	require.Contains(t, out.String(), "takes no -bootstrap")
	require.ErrorContains(t, run(t.Context(), []string{"-bootstrap", "localhost:9092"}, &out), "-bootstrap")
	require.ErrorContains(t, run(t.Context(), []string{"-rate", "0"}, &out), "from 1 on")
}
