package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gosamsa/samsa/internal/repo"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout)
	stop()
	os.Exit(code)
}

// run is the program; it returns the exit code: 1 when a mutation was not caught.
func run(ctx context.Context, args []string, out io.Writer) int {
	flags := flag.NewFlagSet("mutate", flag.ContinueOnError)
	flags.SetOutput(out)
	only := flags.String("only", "",
		"run the mutations with this `text` in their name; \"five\" are those of the test command")
	seed := flags.Int64("seed", 1, "first seed of the simulations")
	verbose := flags.Bool("v", false, "print what the simulation said")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	chosen := choose(*only)
	if len(chosen) == 0 {
		_, _ = fmt.Fprintf(out, "mutate: no mutation is named like %q\n", *only)
		return 2
	}
	root, err := repo.Root()
	if err != nil {
		_, _ = fmt.Fprintln(out, "mutate:", err)
		return 2
	}
	missed := 0
	for _, m := range chosen {
		start := time.Now()
		said, caught, err := m.try(ctx, root, *seed)
		switch {
		case ctx.Err() != nil:
			return 2
		case err != nil:
			missed++
			_, _ = fmt.Fprintf(out, "ERROR   %s: %v\n", m.name, err)
		case !caught:
			missed++
			_, _ = fmt.Fprintf(out, "MISSED  %s: %s has noticed nothing\n", m.name, m.by)
		default:
			_, _ = fmt.Fprintf(out, "caught  %s: %s (%v)\n", m.name, verdict(said),
				time.Since(start).Round(100*time.Millisecond))
		}
		if *verbose {
			_, _ = fmt.Fprintln(out, said)
		}
	}
	_, _ = fmt.Fprintf(out, "%d mutations, %d caught\n", len(chosen), len(chosen)-missed)
	if missed > 0 {
		return 1
	}
	return 0
}

// choose returns the mutations to run.
func choose(only string) (chosen []mutation) {
	for _, m := range mutations {
		if only == "five" && m.daily || only != "five" && strings.Contains(m.name, only) {
			chosen = append(chosen, m)
		}
	}
	return chosen
}

// try runs the simulation on the mutated code.
func (m mutation) try(ctx context.Context, root string, seed int64) (said string, caught bool, err error) {
	dir, err := os.MkdirTemp("", "samsa-mutate-")
	if err != nil {
		return "", false, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	overlay, err := m.overlay(root, dir)
	if err != nil {
		return "", false, err
	}
	sim := simulations[m.by]
	args := []string{"test", "-overlay=" + overlay, "-count=1", "-timeout=15m", "-run=^" + sim.test + "$", sim.folder}
	args = append(args, "-args", "-seed="+strconv.FormatInt(seed, 10), "-count="+strconv.Itoa(sim.runs))
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "GOWORK=off")
	text, err := cmd.CombinedOutput()
	said = string(text)
	var exit *exec.ExitError
	switch {
	case err == nil && !strings.HasPrefix(said, "ok"):
		return said, false, fmt.Errorf("it ran no test: %s", said)
	case err == nil:
		return said, false, nil
	case !errors.As(err, &exit):
		return said, false, err
	case strings.Contains(said, "[build failed]"), strings.Contains(said, "[setup failed]"):
		return said, false, fmt.Errorf("it does not compile:\n%s", said)
	}
	return said, true, nil
}

// overlay writes the mutated file and the compiler's overlay file for it.
func (m mutation) overlay(root, dir string) (path string, err error) {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(m.file)))
	if err != nil {
		return "", err
	}
	mutated, err := m.apply(string(text))
	if err != nil {
		return "", err
	}
	changed := filepath.Join(dir, filepath.Base(m.file))
	if err := os.WriteFile(changed, []byte(mutated), 0o644); err != nil {
		return "", err
	}
	replace := map[string]map[string]string{"Replace": {filepath.Join(root, filepath.FromSlash(m.file)): changed}}
	list, err := json.Marshal(replace)
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, list, 0o644)
}

// apply puts the wrong text in the place of the right one. The right text must be there exactly once.
func (m mutation) apply(text string) (string, error) {
	if n := strings.Count(text, m.right); n != 1 {
		return "", fmt.Errorf("%s has this text %d times: %q", m.file, n, m.right)
	}
	return strings.Replace(text, m.right, m.wrong, 1), nil
}

// complaint finds a simulation's message about its first failed run; failure is the test's own line before it.
var (
	complaint = regexp.MustCompile(`seed \d+:\s[^\n]*|panic: [^\n]*|WARNING: DATA RACE`)
	failure   = regexp.MustCompile(`--- FAIL: [^\n]*`)
)

// verdict is the simulation's complaint in a line.
func verdict(said string) string {
	const most = 160
	line := complaint.FindString(said)
	if line == "" {
		line = failure.FindString(said)
	}
	line = strings.Join(strings.Fields(line), " ")
	if len(line) > most {
		line = line[:most] + "…"
	}
	return line
}
