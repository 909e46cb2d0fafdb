package examples

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEveryExampleIsOneFileToCopy: quickstart's demo.go is only for the parts that its comment tells to delete from a
// copy.
func TestEveryExampleIsOneFileToCopy(t *testing.T) {
	programs, err := filepath.Glob(filepath.Join("*", "main.go"))
	require.NoError(t, err)
	require.Greater(t, len(programs), 5)
	for _, program := range programs {
		dir := filepath.Dir(program)
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		for _, e := range entries {
			require.True(t, e.Name() == "main.go" || dir == "quickstart" && e.Name() == "demo.go" ||
				strings.HasSuffix(e.Name(), "_test.go"), "%s needs %s beside main.go", dir, e.Name())
		}
		file, err := parser.ParseFile(token.NewFileSet(), program, nil, parser.ImportsOnly)
		require.NoError(t, err)
		for _, i := range file.Imports {
			path, err := strconv.Unquote(i.Path.Value)
			require.NoError(t, err)
			require.NotContains(t, path+"/", "/internal/", program)
			require.NotEqual(t, "embed", path, "%s needs a file beside it", program)
		}
	}
}
