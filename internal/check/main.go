package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/gosamsa/samsa/internal/repo"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := withParent(ctx)
	code := run(ctx, os.Args[1:], os.Stdout)
	cancel()
	stop()
	os.Exit(code)
}

// run is the program; it returns the exit code.
func run(ctx context.Context, args []string, out io.Writer) int {
	c := checker{ctx: ctx, out: out, patience: 10 * time.Second}
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	flags.SetOutput(out)
	list := flags.Bool("list", false, "list the stages and run none")
	only := flags.String("only", "", "run these `stages` only, with commas between")
	flags.BoolVar(&c.quick, "quick", false,
		"run what needs nothing but Go, in some minutes: the tests without the race detector and without a real Kafka")
	flags.BoolVar(&c.verbose, "v", false, "print the counts of the stage words also when it passes")
	flags.DurationVar(&c.fuzztime, "fuzztime", 0, "how long each fuzz target runs; 0 shares four minutes between all")
	fuzz := flags.String("fuzz", "", "run only the fuzz targets whose name this `expression` finds")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	stages, err := c.prepare(*only, *fuzz)
	if err != nil {
		fmt.Fprintln(out, "check:", err)
		return 2
	}
	if *list {
		table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		for _, s := range stages {
			fmt.Fprintf(table, "%s\t%s\n", s.name, s.about)
		}
		_ = table.Flush()
		return 0
	}
	return c.runAll(stages)
}

// checker is one run of the command.
type checker struct {
	ctx      context.Context
	out      io.Writer
	root     string        // the repository
	temp     string        // the commands' temporary folder
	modules  []string      // folders with a go.mod, relative to root; the first is root itself, "."
	patience time.Duration // how long an interrupted command may take to end by itself
	quick    bool          // run the stages without other needs than Go
	verbose  bool          // print the figures of a stage that passes
	fuzztime time.Duration
	fuzz     *regexp.Regexp
}

// prepare finds the repository and the stages to run.
func (c *checker) prepare(only, fuzz string) ([]stage, error) {
	var err error
	if c.fuzz, err = regexp.Compile(fuzz); err != nil {
		return nil, fmt.Errorf("-fuzz: %w", err)
	}
	if c.root, err = repo.Root(); err != nil {
		return nil, err
	}
	if c.modules, err = findModules(c.root); err != nil {
		return nil, err
	}
	return choose(c.stages(), only)
}

// choose picks stages by name, in their own order. An empty list is all of them.
func choose(stages []stage, only string) ([]stage, error) {
	if only == "" {
		return stages, nil
	}
	var names []string
	wanted := map[string]bool{}
	for name := range strings.SplitSeq(only, ",") {
		wanted[strings.TrimSpace(name)] = true
	}
	var chosen []stage
	for _, s := range stages {
		names = append(names, s.name)
		if wanted[s.name] {
			chosen = append(chosen, s)
			delete(wanted, s.name)
		}
	}
	for name := range wanted {
		return nil, fmt.Errorf("there is no stage %q; there are %s", name, strings.Join(names, ", "))
	}
	return chosen, nil
}

// outcome is the result of a stage.
type outcome struct {
	stage stage
	took  time.Duration
	err   error
}

var errInterrupted = errors.New("interrupted")

// runAll runs the stages one after the other, also after a failure: one run reports all faults.
func (c *checker) runAll(stages []stage) int {
	start := time.Now()
	var err error
	if c.temp, err = os.MkdirTemp("", "samsa-check-"); err != nil {
		fmt.Fprintln(c.out, "check:", err)
		return 2
	}
	outcomes := make([]outcome, 0, len(stages))
	for _, s := range stages {
		o := outcome{stage: s, err: errInterrupted}
		if c.ctx.Err() == nil {
			o = c.runOne(s)
		}
		outcomes = append(outcomes, o)
	}
	c.tidyUp(outcomes)
	return c.summarise(outcomes, time.Since(start))
}

// tidyUp removes the temporary folder, unless a failure left something there.
func (c *checker) tidyUp(outcomes []outcome) {
	failed := slices.ContainsFunc(outcomes, func(o outcome) bool { return o.err != nil })
	if !failed || c.ctx.Err() != nil {
		_ = os.RemoveAll(c.temp) // a dying process may still write there
	} else if os.Remove(c.temp) != nil {
		c.say("what the failure left is in %s\n", c.temp)
	}
}

func (c *checker) runOne(s stage) outcome {
	start := time.Now()
	c.say("=== %s: %s", s.name, s.about)
	err := errors.Join(missing(c.ctx, s.needs)...)
	if err == nil {
		err = s.run()
	}
	if c.ctx.Err() != nil {
		err = errInterrupted
	}
	o := outcome{stage: s, took: time.Since(start), err: err}
	if err != nil {
		c.say("%v", err)
	}
	c.say("--- %s %s in %s\n", s.name, o.word(), seconds(o.took))
	return o
}

func (o outcome) word() string {
	switch {
	case o.err == nil:
		return "passed"
	case o.took == 0:
		return "not run"
	}
	return "FAILED"
}

// summarise prints the table and returns the exit code. A stage left out is not passed.
func (c *checker) summarise(outcomes []outcome, took time.Duration) int {
	table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	passed := 0
	for _, o := range outcomes {
		if o.err == nil {
			passed++
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", o.stage.name, o.word(), seconds(o.took))
	}
	fmt.Fprintf(table, "all\t\t%s\n", seconds(took))
	_ = table.Flush()
	failed := len(outcomes) - passed
	c.say("%d passed, %d failed", passed, failed)
	if failed > 0 {
		return 1
	}
	return 0
}

func (c *checker) say(format string, args ...any) {
	fmt.Fprintf(c.out, format+"\n", args...)
}

func seconds(d time.Duration) string {
	return d.Round(100 * time.Millisecond).String()
}
