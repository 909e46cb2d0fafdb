package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/repo"
)

// wallClock are the functions that may read a time without its monotonic part: they make or show the timestamps of
// records. Every other decision by the clock must not notice a step of it.
var wallClock = map[string]bool{
	"accumulator/result.go Settled":        true, // a timestamp of the caller's
	"accumulator/clock.go readClockLocked": true, "accumulator/clock.go timestampLocked": true,
	"accumulator/result.go read":                    true,
	"accumulator/deliver.go runCallbacksUntilPanic": true, "producer/check.go timestampProblem": true,
}

// dropsMonotonic reports whether a call makes a time, or a number, exposed to steps of the wall clock.
func dropsMonotonic(call *ast.CallExpr) bool {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	switch f.Sel.Name {
	case "Unix", "UnixNano", "UnixMicro", "UnixMilli", "UTC", "Local", "In":
		return true
	case "Round", "Truncate":
		zero, isLiteral := call.Args[0].(*ast.BasicLit)
		return len(call.Args) == 1 && isLiteral && zero.Value == "0"
	}
	return false
}

// wallClockIn returns the functions of a file with a use of the wall clock.
func wallClockIn(t *testing.T, root, path string) (functions []string) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	require.NoError(t, err)
	name, err := filepath.Rel(root, path)
	require.NoError(t, err)
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && dropsMonotonic(call) {
				functions = append(functions, filepath.ToSlash(name)+" "+f.Name.Name)
			}
			return true
		})
	}
	return functions
}

func TestDecisionsUseMonotonicTime(t *testing.T) {
	root, err := repo.Root()
	require.NoError(t, err)
	used := make(map[string]bool)
	for _, folder := range []string{
		"accumulator", "compress", "internal/cluster", "internal/fifo", "internal/immutable", "internal/loggate",
		"internal/transport", "internal/weakly",
		"producer", "protocol", "record", "sender",
	} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			for _, f := range wallClockIn(t, root, path) {
				used[f] = true
			}
			return nil
		})
		require.NoError(t, err)
	}
	require.Equal(t, wallClock, used, "functions that use the wall clock")
}
