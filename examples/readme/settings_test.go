package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// checkout copies the repository, without git's files and caches.
func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	err := filepath.WalkDir(repository, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(repository, path)
		if err != nil {
			return err
		}
		switch {
		case e.IsDir() && (e.Name() == ".git" || e.Name() == ".cache" || e.Name() == "vendor"):
			return fs.SkipDir
		case e.IsDir():
			return os.MkdirAll(filepath.Join(dir, name), 0o700)
		case !e.Type().IsRegular() || e.Name() == ".git":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name), text, 0o600)
	})
	require.NoError(t, err)
	return dir
}

func TestTheQuickstartCommandWorksInEverySetting(t *testing.T) {
	words := strings.Fields(blocks(t, "sh")[0])
	require.Equal(t, []string{"go", "-C", "examples", "run", "./quickstart"}, words)
	resolve := []string{"go", "-C", "examples", "list", "-deps", "./quickstart"}
	plain := checkout(t)
	for _, setting := range []struct {
		name    string
		vendor  string // folder for vendored modules
		env     []string
		command []string
	}{
		{name: "without a workspace", env: []string{"GOWORK=off"}, command: resolve},
		{name: "mod=mod", env: []string{"GOFLAGS=-mod=mod"}, command: words},
		{name: "mod=mod without a workspace", env: []string{"GOWORK=off", "GOFLAGS=-mod=mod"}, command: resolve},
		{name: "mod=mod as an argument", command: []string{"go", "-C", "examples", "list", "-deps", "-mod=mod",
			"./quickstart"}},
		{name: "a vendored library", vendor: ".", command: resolve},
		{name: "vendored examples", vendor: "examples", command: resolve},
		{name: "vendored examples without a workspace", vendor: "examples",
			env: []string{"GOWORK=off", "GOFLAGS=-mod=vendor"}, command: resolve},
	} {
		t.Run(setting.name, func(t *testing.T) {
			dir := plain
			if setting.vendor != "" {
				dir = checkout(t)
				runCommand(t, filepath.Join(dir, setting.vendor), []string{"GOWORK=off"}, "go", "mod", "vendor")
			}
			out := runCommand(t, dir, setting.env, setting.command...)
			require.True(t, strings.Contains(out, "\nRead next: ") || strings.Contains(out, "samsa/producer\n"), out)
			for _, name := range []string{"go.mod", "go.sum", "examples/go.mod", "examples/go.sum"} {
				before, err := os.ReadFile(filepath.Join(repository, name))
				require.NoError(t, err)
				after, err := os.ReadFile(filepath.Join(dir, name))
				require.NoError(t, err)
				require.Equal(t, string(before), string(after), "the command changed %s", name)
			}
		})
	}
}
