package repo

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRootIsFoundFromBelow(t *testing.T) {
	root, err := Root()
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(root, "LICENSE"))
	require.FileExists(t, filepath.Join(root, "internal", "repo", "root.go"))
}

func TestOutsideTheRepositoryThereIsNone(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module github.com/gosamsa/samsa/other\n"),
		0o644))
	t.Chdir(dir)
	_, err := Root()
	require.ErrorContains(t, err, "run it inside the repository")
}
