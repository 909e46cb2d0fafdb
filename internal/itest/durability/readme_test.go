package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// words leaves the constant part of a line: it removes the figures, and the room between columns, because the figures
// decide about it.
func words(line string) string {
	line = regexp.MustCompile(`[\d.]+ ?(µs|ms|s)?\b`).ReplaceAllString(line, "#")
	return strings.Join(strings.Fields(line), " ")
}

// requireReadmeShows requires each line of the README's block about this program to be in the program's present output.
func requireReadmeShows(t *testing.T, out string) {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join("..", "..", "..", "README.md"))
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(readme), "internal/itest/durability](internal/itest/durability/main.go) printed:\n\n```text\n")
	require.True(t, found, "the README has no block for this program")
	block, _, _ := strings.Cut(rest, "```")
	printed := map[string]bool{"": true}
	for line := range strings.Lines(out) {
		printed[words(line)] = true
	}
	n := 0
	for line := range strings.Lines(block) {
		require.True(t, printed[words(line)], "the README says, and the program does not: %s", line)
		n++
	}
	require.Greater(t, n, 20)
}
