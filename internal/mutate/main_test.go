package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gosamsa/samsa/internal/repo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The table follows the code: each mutation finds its place, and changes it.
func TestEveryMutationFindsItsPlace(t *testing.T) {
	root, err := repo.Root()
	require.NoError(t, err)
	names := map[string]bool{}
	for _, m := range mutations {
		require.False(t, names[m.name], "%q stands there twice", m.name)
		names[m.name] = true
		require.Contains(t, simulations, m.by, m.name)
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(m.file)))
		require.NoError(t, err, m.name)
		mutated, err := m.apply(string(text))
		require.NoError(t, err, m.name)
		require.NotEqual(t, string(text), mutated, m.name)
	}
	require.GreaterOrEqual(t, len(mutations), 20)
	require.Len(t, choose("five"), 5)
}

func TestAMutationWithoutItsTextIsAnError(t *testing.T) {
	m := mutation{file: "a.go", right: "x := 1", wrong: "x := 2"}
	for _, text := range []string{"y := 1", "x := 1; x := 1"} {
		_, err := m.apply(text)
		require.ErrorContains(t, err, "a.go")
	}
}

func TestVerdictIsTheFirstComplaint(t *testing.T) {
	require.Equal(t, "seed 12: record 3 is in the log twice",
		verdict("--- FAIL: TestX (0.1s)\n    x_test.go:1: seed 12: record 3 is in the log twice\n  0s seal\n"))
	require.Equal(t, "panic: no", verdict("panic: no\n\ngoroutine 1"))
	require.Equal(t, "--- FAIL: TestX (0.1s)", verdict("--- FAIL: TestX (0.1s)\nno more"))
	require.Empty(t, verdict("ok"))
}

func TestWrongUseIsSaid(t *testing.T) {
	var out bytes.Buffer
	require.Equal(t, 2, run(t.Context(), []string{"-only", "nothing of the kind"}, &out))
	require.Contains(t, out.String(), `no mutation is named like "nothing of the kind"`)
	require.Equal(t, 2, run(t.Context(), []string{"-nonsense"}, &out))
	require.Zero(t, run(t.Context(), []string{"-h"}, &out))
}
