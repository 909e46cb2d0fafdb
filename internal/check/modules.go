package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

const modulePath = "github.com/gosamsa/samsa"

// findRoot returns the repository's folder: the one with the library's go.mod, here or above.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if first, _, _ := bytes.Cut(mod, []byte("\n")); err == nil && strings.TrimSpace(string(first)) == "module "+modulePath {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("run it inside the repository: no go.mod of " + modulePath + " here or above")
		}
		dir = parent
	}
}

// findModules returns every folder with a go.mod, relative to root and with slashes; "." comes first. They are looked for, not
// listed here, so that a new module cannot be forgotten.
func findModules(root string) ([]string, error) {
	var modules []string
	err := walk(root, func(name string) error {
		if path.Base(name) == "go.mod" {
			modules = append(modules, path.Dir(name))
		}
		return nil
	})
	slices.Sort(modules)
	return modules, err
}

// walk calls fn for each file of the repository, relative to root and with slashes. What git does not keep is left out.
func walk(root string, fn func(name string) error) error {
	return fs.WalkDir(os.DirFS(root), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !e.IsDir():
			return fn(name)
		case name == ".git" || name == ".cache" || name == "bin": // git's own, and what .gitignore names
			return fs.SkipDir
		}
		return nil
	})
}
