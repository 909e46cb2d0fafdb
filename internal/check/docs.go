package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// The two commands for a newcomer. The README shows them, and .ci/run runs the second one and nothing hidden.
const (
	quickstartCommand = "go -C examples run ./quickstart"
	testCommand       = "go run ./internal/check"
)

// pages are the repository's required pages.
var pages = []string{"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "LICENSE",
	behavioursPage}

// docs looks at the pages. The tests of examples/readme run the README's code.
func (c *checker) docs() error {
	errs := slices.Concat(c.checkPages(), c.behaviours(), c.pageExamples())
	err := walk(c.root, func(name string) error {
		text, err := os.ReadFile(filepath.Join(c.root, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		if bytes.IndexByte(text, 0) >= 0 {
			errs = append(errs, strayBinary(name))
			return nil
		}
		if path.Ext(name) == ".sum" {
			return nil // no text of ours
		}
		errs = append(errs, unwanted(name, string(text))...)
		if path.Ext(name) == ".md" {
			errs = append(errs, c.brokenLinks(name, string(text))...)
		}
		return nil
	})
	errs = append(errs, err, c.run(goTool(".", "test", "-count=1", "-run=^TestReadmeShowsTheTable$", "./producer")))
	return errors.Join(errs...)
}

func (c *checker) checkPages() []error {
	var errs []error
	text := map[string]string{}
	for _, page := range append([]string{".ci/run"}, pages...) {
		b, err := os.ReadFile(filepath.Join(c.root, page))
		errs = append(errs, err)
		text[page] = string(b)
	}
	for _, must := range []struct{ page, command string }{
		{"README.md", quickstartCommand + "\n"}, {"README.md", testCommand + "\n"}, {"CONTRIBUTING.md", testCommand},
		{".ci/run", "exec " + testCommand + " \"$@\"\n"},
	} {
		if !strings.Contains(text[must.page], must.command) {
			errs = append(errs, fmt.Errorf("%s does not name the command %q", must.page,
				strings.TrimSpace(must.command)))
		}
	}
	return errs
}

// Texts forbidden in every file. The brackets keep this file from finding itself.
var (
	unfinished  = regexp.MustCompile(`\b(?:TOD[O]|FIXM[E])\b`)
	machineName = regexp.MustCompile(`(?:^|[^\w.])/(?:[w]ork|[r]oot|[h]ome/\w+|[U]sers/\w+)/|bash_job[s]`)
)

func unwanted(name, text string) []error {
	var errs []error
	number := 0
	for line := range strings.Lines(text) {
		number++
		if found := unfinished.FindString(line); found != "" {
			errs = append(errs, fmt.Errorf("%s:%d: unfinished: %s", name, number, found))
		}
		if found := machineName.FindString(line); found != "" {
			errs = append(errs, fmt.Errorf("%s:%d: a path of somebody's machine: %s", name, number, found))
		}
	}
	return errs
}

// leftovers are the names in .gitignore for files of test runs.
var leftovers = []string{".test", ".out", ".prof"}

// strayBinary returns an error for a binary file that is neither test data nor ignored by git. Such a file is most
// likely a program that go build has left, and it contains the paths of its machine.
func strayBinary(name string) error {
	if strings.Contains("/"+name, "/testdata/") || slices.Contains(leftovers, path.Ext(name)) {
		return nil
	}
	return fmt.Errorf("%s: a binary file outside testdata: delete it", name)
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// brokenLinks finds links to missing files of the repository, and to missing headings of the same page.
func (c *checker) brokenLinks(name, text string) []error {
	var errs []error
	for _, found := range link.FindAllStringSubmatch(text, -1) {
		target, heading, _ := strings.Cut(found[1], "#")
		if strings.Contains(target, ":") {
			continue // another site's
		}
		if target == "" {
			if !hasHeading(text, heading) {
				errs = append(errs, fmt.Errorf("%s: there is no heading #%s", name, heading))
			}
			continue
		}
		file := filepath.Join(c.root, filepath.FromSlash(path.Join(path.Dir(name), target)))
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("%s: there is no %s", name, target))
		}
	}
	return errs
}

var notInAnchor = regexp.MustCompile(`[^\w\- ]`)

// hasHeading reports whether a page has a heading with this anchor, made as GitHub makes it.
func hasHeading(text, anchor string) bool {
	for line := range strings.Lines(text) {
		title := strings.TrimSpace(strings.TrimLeft(line, "#"))
		made := strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(title), ""), " ", "-")
		if strings.HasPrefix(line, "#") && made == anchor {
			return true
		}
	}
	return false
}
