package main

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"strings"
)

// pageExamples requires every example on a package page of the library to be a program of its own, without internal
// packages: a reader copies it, or runs it on the page.
func (c *checker) pageExamples() []error {
	files := map[string][]*ast.File{} // by folder
	var errs []error
	err := walk(c.root, func(name string) error {
		if !strings.HasSuffix(name, "_test.go") || strings.Contains("/"+name, "/internal/") || c.moduleOf(name) != "." {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(c.root, filepath.FromSlash(name)), nil,
			parser.ParseComments)
		files[path.Dir(name)] = append(files[path.Dir(name)], file)
		return err
	})
	for dir, parsed := range files {
		for _, example := range doc.Examples(parsed...) {
			if problem := notOnItsOwn(example); problem != "" {
				errs = append(errs, fmt.Errorf("%s: Example%s %s", dir, example.Name, problem))
			}
		}
	}
	if err != nil {
		errs = append(errs, err)
	}
	return errs
}

// moduleOf returns the nested module of a file, or "." for the library's.
func (c *checker) moduleOf(name string) string {
	for _, module := range c.modules {
		if module != "." && strings.HasPrefix(name, module+"/") {
			return module
		}
	}
	return "."
}

// notOnItsOwn returns the obstacle to an example as a program, or "".
func notOnItsOwn(example *doc.Example) string {
	if example.Play == nil {
		return "needs declarations of another file"
	}
	problem := ""
	ast.Inspect(example.Play, func(n ast.Node) bool {
		if i, ok := n.(*ast.ImportSpec); ok && strings.Contains(i.Path.Value, "/internal/") {
			problem = "needs " + i.Path.Value
		}
		return true
	})
	return problem
}
