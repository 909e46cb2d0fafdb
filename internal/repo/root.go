// Package repo finds the repository around a program of ours.
package repo

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
)

const modulePath = "github.com/gosamsa/samsa"

// Root returns the repository's folder: the one with the library's go.mod, here or above.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if first, _, _ := bytes.Cut(mod, []byte("\n")); err == nil &&
			strings.TrimSpace(string(first)) == "module "+modulePath {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("run it inside the repository: no go.mod of " + modulePath + " here or above")
		}
		dir = parent
	}
}
