package main

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// fuzzBudget is the time of all fuzz targets together, builds included, when -fuzztime does not say otherwise.
const fuzzBudget = 4 * time.Minute

// fuzzTarget is one Fuzz function.
type fuzzTarget struct{ pkg, name string }

// fuzzAll runs every fuzz target of the library, one after the other. go test writes a target's find to its
// testdata/fuzz: the target fails from then on until the fault is mended.
func (c *checker) fuzzAll() error {
	start := time.Now()
	listed, err := c.output(goTool(".", "test", "-run=^$", "-list=^Fuzz", "./..."))
	if err != nil {
		return err
	}
	var targets []fuzzTarget
	for _, t := range parseFuzzList(listed) {
		if c.fuzz.MatchString(t.name) {
			targets = append(targets, t)
		}
	}
	if len(targets) == 0 {
		return errors.New("no fuzz target found")
	}
	var errs []error
	for i, target := range targets {
		// Each gets its share of the remaining time: a slow build makes the others shorter and not the stage longer.
		share := max((fuzzBudget-time.Since(start))/time.Duration(len(targets)-i), time.Second)
		if c.fuzztime > 0 {
			share = c.fuzztime
		}
		errs = append(errs, c.fuzzOne(target, share.Round(100*time.Millisecond)))
		if c.ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

func (c *checker) fuzzOne(target fuzzTarget, share time.Duration) error {
	cmd := goTool(".", "test", "-run=^$", "-fuzz=^"+target.name+"$", fmt.Sprintf("-fuzztime=%v", share),
		"-fuzzminimizetime=10s",
		fmt.Sprintf("-timeout=%v", share+5*time.Minute), target.pkg)
	printed, err := c.output(cmd)
	if err == nil {
		c.say("%s", lastProgress(printed))
		return nil
	}
	if endedByTime(printed) {
		c.say("%s found nothing; its workers were stopped in the middle of an input when its time was over",
			target.name)
		return nil
	}
	return err
}

// endedByTime recognises a false failure: when the time ends in an unlucky moment, go test fails the target with its
// own deadline (golang.org/issue/75804). A real failure names the input.
func endedByTime(printed string) bool {
	return strings.Contains(printed, "\n    context deadline exceeded\n") &&
		!strings.Contains(printed, "Failing input written")
}

// parseFuzzList reads the output of go test -list: names, and behind them their package.
func parseFuzzList(listed string) []fuzzTarget {
	var targets []fuzzTarget
	var names []string
	for line := range strings.Lines(listed) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 1 && strings.HasPrefix(fields[0], "Fuzz"):
			names = append(names, fields[0])
		case len(fields) >= 2 && fields[0] == "ok":
			for _, name := range names {
				targets = append(targets, fuzzTarget{pkg: fields[1], name: name})
			}
			names = nil
		}
	}
	return targets
}

// lastProgress returns the last progress line of the fuzzing.
func lastProgress(printed string) string {
	last := ""
	for line := range strings.Lines(printed) {
		if strings.HasPrefix(line, "fuzz: elapsed") {
			last = line
		}
	}
	return strings.TrimSpace(last)
}
