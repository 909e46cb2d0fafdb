package main

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnExampleThatNeedsAnInternalPackageOrAnotherFileIsFound(t *testing.T) {
	const text = `package a_test

import (
	"fmt"

	"example.org/a/internal/b"
)

func helper() { b.Do() }

func Example() { fmt.Println("fine") }

func ExampleHelper() { helper() }

func ExampleOther() { elsewhere() }
`
	file, err := parser.ParseFile(token.NewFileSet(), "a_test.go", text, parser.ParseComments)
	require.NoError(t, err)
	problems := map[string]string{}
	for _, example := range doc.Examples([]*ast.File{file}...) {
		problems[example.Name] = notOnItsOwn(example)
	}
	require.Equal(t, map[string]string{"": "", "Helper": `needs "example.org/a/internal/b"`,
		"Other": "needs declarations of another file"}, problems)
}
