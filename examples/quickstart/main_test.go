package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gosamsa/samsa/examples/internal/lab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestQuickstartReadsItsRecordsBack(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), nil, &out), out.String())
	require.Contains(t, out.String(), "10003 sent, 10003 read: 0 missing, 0 twice, 0 out of order\n")
	require.Regexp(t, regexp.MustCompile(`greeting-2 is in partition \d at offset \d`), out.String())
}

func TestTheLastLineOfQuickstartNamesTheNextPage(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-records", "10"}, &out), out.String())
	require.Regexp(t, `\nRead next: examples/quickstart/main\.go, .*README\.md\.\n$`, out.String())
	require.FileExists(t, "../../README.md")
}

func TestQuickstartCanRunAgainOnAGivenBroker(t *testing.T) {
	broker, err := lab.Open(t.Context(), 1, "mine")
	require.NoError(t, err)
	defer broker.Close()
	for range 2 {
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), []string{"-bootstrap", broker.Servers[0], "-records", "500", "-topic",
			"mine"}, &out), out.String())
		require.Contains(t, out.String(), "503 sent, 503 read: 0 missing, 0 twice, 0 out of order\n")
		require.NotContains(t, out.String(), "kfake")
	}
}

func TestQuickstartFailsWithWrongFlags(t *testing.T) {
	var out bytes.Buffer
	require.Error(t, run(t.Context(), []string{"-no-such-flag"}, &out))
	require.Contains(t, out.String(), "empty starts an embedded broker")
}

// The file names the parts to delete from a copy. The rest is a program of its own, with the standard library and
// package producer only.
func TestTheCopiedPartOfQuickstartBuildsWithSamsaAlone(t *testing.T) {
	text, err := os.ReadFile("main.go")
	require.NoError(t, err)
	kept := string(text)
	kept = regexp.MustCompile(`(?ms)^\t*// Demo begins.*?^\t*// Demo ends\.\n`).ReplaceAllString(kept, "")
	_, code, _ := strings.Cut(kept, "\npackage main\n")
	require.NotContains(t, code, "kfake")
	require.NotContains(t, code, "franz")
	copied := filepath.Join(t.TempDir(), "main.go")
	require.NoError(t, os.WriteFile(copied, []byte(kept), 0o600))
	out, err := exec.CommandContext(t.Context(), "go", "vet", copied).CombinedOutput()
	require.NoError(t, err, "%s", out)
}
