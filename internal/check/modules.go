package main

import (
	"io/fs"
	"os"
	"path"
	"slices"
)

// findModules returns every folder with a go.mod, relative to root and with slashes; "." comes first. It searches for
// them, without a list here, so a new module cannot be forgotten.
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

// walk calls fn for each file of the repository, relative to root and with slashes. It leaves out files outside git.
func walk(root string, fn func(name string) error) error {
	return fs.WalkDir(os.DirFS(root), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == ".git" && !e.IsDir(): // in a work tree of git's
			return nil
		case !e.IsDir():
			return fn(name)
		case name == ".git" || name == ".cache" || name == "bin": // git's own, and the folders of .gitignore
			return fs.SkipDir
		}
		return nil
	})
}
