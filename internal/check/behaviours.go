package main

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// The page of behaviours names tests and stories. It must name existing ones only, and each of its rows must name a
// proof.
const (
	behavioursPage = "docs/behaviours.md"
	storiesFolder  = "internal/delivery/testdata/stories"
)

var (
	testFunc  = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	namedTest = regexp.MustCompile("`(\\w+\\.(?:Test|Fuzz)\\w+)`")
)

// tests returns the Go tests of all modules, as package.TestName. A package is called by its folder.
func (c *checker) tests() (map[string]bool, error) {
	known := make(map[string]bool)
	err := walk(c.root, func(name string) error {
		if !strings.HasSuffix(name, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(filepath.Join(c.root, filepath.FromSlash(name)))
		for _, found := range testFunc.FindAllStringSubmatch(string(text), -1) {
			known[path.Base(path.Dir(name))+"."+found[1]] = true
		}
		return err
	})
	return known, err
}

// unshown finds a page's names of missing tests, and rows of its tables with neither a test nor a file.
func unshown(page, text string, known map[string]bool) []error {
	var errs []error
	number := 0
	for line := range strings.Lines(text) {
		number++
		tests := namedTest.FindAllStringSubmatch(line, -1)
		for _, found := range tests {
			if !known[found[1]] {
				errs = append(errs, fmt.Errorf("%s:%d: there is no test %s", page, number, found[1]))
			}
		}
		row := strings.HasPrefix(line, "|") && !strings.HasPrefix(line, "|--") &&
			!strings.HasSuffix(line, "shown by |\n")
		if row && len(tests) == 0 && !link.MatchString(line) {
			errs = append(errs, fmt.Errorf("%s:%d: nothing shows this", page, number))
		}
	}
	return errs
}

// behaviours checks the page of behaviours. The check of its links is the same as for every page.
func (c *checker) behaviours() []error {
	text, err := os.ReadFile(filepath.Join(c.root, filepath.FromSlash(behavioursPage)))
	if err != nil {
		return []error{err}
	}
	known, err := c.tests()
	if err != nil {
		return []error{err}
	}
	errs := unshown(behavioursPage, string(text), known)
	stories, err := os.ReadDir(filepath.Join(c.root, filepath.FromSlash(storiesFolder)))
	if err != nil {
		errs = append(errs, err)
	}
	for _, story := range stories {
		if !strings.Contains(string(text), "/"+storiesFolder+"/"+story.Name()+")") {
			errs = append(errs, fmt.Errorf("%s does not name the story %s", behavioursPage, story.Name()))
		}
	}
	return errs
}
