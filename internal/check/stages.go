package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/format"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// stage is one check.
type stage struct {
	name  string
	about string
	needs []tool
	run   func() error
}

// stages returns the stages in their order: quick failures come first.
func (c *checker) stages() []stage {
	quick := []stage{
		{name: "format", about: "every Go file is as gofmt writes it", run: c.format},
		{name: "docs", about: "the pages are true: options table, links, commands, examples; no names of machines, nothing unfinished", run: c.docs},
		{name: "words", about: "comments and pages have few relative pronouns, and lines of at most 120 columns",
			run: c.words},
		{name: "vet", about: "go vet for every module", run: c.vet},
		{name: "tidy", about: "every go.mod and go.sum names what is needed and nothing else", run: c.tidy},
		{name: "lint", about: "golangci-lint for every module", run: c.lint},
	}
	if c.quick {
		return append(quick, stage{name: "unit", about: "the library's tests without the race detector",
			run: c.unitQuick})
	}
	all := slices.Concat(quick, []stage{
		{name: "build", about: "the library builds without cgo for " + strings.Join(targets, ", "), run: c.build},
		{name: "unit", about: "the library's tests with the race detector", needs: []tool{cCompiler}, run: c.unit},
		{name: "unit-386", about: "the library's tests on 32 bits", run: c.unit386},
		{name: "simulate", about: "more runs of the simulations, and a month of a service in virtual time",
			run: c.simulate},
		{name: "mutate", about: "five faults put into the sender, each of which the simulations must find",
			run: c.mutate},
		{name: "fuzz", about: "every fuzz target for some seconds", run: c.fuzzAll},
	})
	for _, module := range c.modules[1:] {
		all = append(all, c.nested(module))
	}
	return all
}

// realKafka is the module with many real Kafka clusters in its tests; bench starts one.
const realKafka = "internal/itest"

// nested returns the stage with the tests of a module beside the library's.
func (c *checker) nested(module string) stage {
	s := stage{
		name: path.Base(module), about: "the tests of " + module + " with the race detector",
		needs: []tool{cCompiler, java, maven},
		run:   func() error { return c.race(module) },
	}
	if module == "examples" {
		s.needs = []tool{cCompiler}
	}
	if module == realKafka {
		s.about = "the tests beside other clients, old brokers and a real Apache Kafka, with the race detector"
	}
	return s
}

func (c *checker) format() error {
	var errs []error
	err := walk(c.root, func(name string) error {
		if path.Ext(name) != ".go" {
			return nil
		}
		text, err := os.ReadFile(filepath.Join(c.root, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		formatted, err := format.Source(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		} else if !bytes.Equal(text, formatted) {
			errs = append(errs, fmt.Errorf("%s: gofmt -w would change it", name))
		}
		return nil
	})
	return errors.Join(append(errs, err)...)
}

// everywhere runs a command in each module, also after a failure in one.
func (c *checker) everywhere(args ...string) error {
	var errs []error
	for _, module := range c.modules {
		errs = append(errs, c.run(goTool(module, args...)))
	}
	return errors.Join(errs...)
}

func (c *checker) vet() error { return c.everywhere("vet", "./...") }

func (c *checker) tidy() error { return c.everywhere("mod", "tidy", "-diff") }

// linter is built from the Go proxy; the pinned version keeps a new release from changing the results.
const linter = "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0"

func (c *checker) lint() error {
	return c.everywhere("run", linter, "run", "--config", filepath.Join(c.root, ".golangci.yml"), "./...")
}

// targets are the required platforms of the library.
var targets = []string{"linux/amd64", "linux/arm64", "linux/386", "darwin/arm64", "windows/amd64"}

func (c *checker) build() error {
	var errs []error
	for _, target := range targets {
		goos, goarch, _ := strings.Cut(target, "/")
		for _, what := range []string{"build", "vet"} {
			errs = append(errs, c.run(goTool(".", what, "./...").with("CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+goarch)))
		}
	}
	return errors.Join(errs...)
}

// race runs a module's tests. They run in another order each time; a failure prints the seed of its own.
func (c *checker) race(module string) error {
	args := []string{"test", "-race", "-count=1", "-shuffle=on", "-timeout=20m"}
	if module == realKafka {
		args = append(args, "-p=1") // its packages start clusters, and each wants the machine for itself
	}
	return c.run(goTool(module, append(args, "./...")...).with("CGO_ENABLED=1"))
}

func (c *checker) unit() error { return c.race(".") }

func (c *checker) unitQuick() error {
	return c.run(goTool(".", "test", "-count=1", "-shuffle=on", "-timeout=10m", "./...").with("CGO_ENABLED=0"))
}

// simulate plays other seeds than the unit stage, without the race detector.
func (c *checker) simulate() error {
	simulation := func(of, name string, runs int) error {
		args := []string{"test", "-count=1", "-timeout=20m", "-run=^" + name + "$", "./internal/simulation/" + of,
			"-args", "-seed=10000", "-count=" + strconv.Itoa(runs)}
		return c.run(goTool(".", args...))
	}
	const month = 30 * 24
	return errors.Join(
		simulation("core", "TestSimulatedClusterAgreesWithOutcomes", 20_000),
		simulation("whole", "TestTheWholeProducerKeepsItsWord", 1000),
		c.run(goTool(".", "test", "-count=1", "-timeout=20m", "-run=^TestASoakStaysFlat$", "./producer", "-args",
			"-soak-hours="+strconv.Itoa(month))),
	)
}

func (c *checker) mutate() error {
	return c.run(goTool(".", "run", "./internal/mutate", "-only", "five"))
}

func (c *checker) unit386() error {
	cmd := goTool(".", "test", "-count=1", "-timeout=10m", "./...").with("CGO_ENABLED=0", "GOARCH=386")
	if runtime.GOARCH != "amd64" || runtime.GOOS == "darwin" {
		c.say("%s/%s does not run programs for 386: the tests are only compiled", runtime.GOOS, runtime.GOARCH)
		cmd = goTool(".", "vet", "./...").with("CGO_ENABLED=0", "GOOS=linux", "GOARCH=386")
	}
	return c.run(cmd)
}
