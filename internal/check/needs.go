package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

// tool is a need beyond Go's own fetching. It returns the missing program and a way to get it.
type tool func(ctx context.Context) error

func missing(ctx context.Context, needs []tool) []error {
	var errs []error
	for _, need := range needs {
		errs = append(errs, need(ctx))
	}
	return errs
}

// cCompiler is needed by the race detector, except on macOS.
func cCompiler(ctx context.Context) error {
	if runtime.GOOS == "darwin" {
		return nil
	}
	out, err := exec.CommandContext(ctx, "go", "env", "CC").Output()
	if err != nil {
		return fmt.Errorf("go env CC: %w", err)
	}
	compiler, _, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if _, err := exec.LookPath(compiler); err != nil {
		return fmt.Errorf("a C compiler is missing: the race detector needs one (Debian: apt-get install gcc libc6-dev): %w", err)
	}
	return nil
}

const javaCure = "(Debian: apt-get install openjdk-17-jdk-headless)"

var javaVersion = regexp.MustCompile(`version "(?:1\.)?(\d+)`)

// java runs the real Kafka. $JAVA_HOME comes before the PATH, as in the tests with it.
func java(ctx context.Context) error {
	program := "java"
	if home := os.Getenv("JAVA_HOME"); home != "" {
		if found, err := exec.LookPath(filepath.Join(home, "bin", "java")); err == nil {
			program = found
		}
	}
	out, err := exec.CommandContext(ctx, program, "-version").CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("java is missing: the tests run a real Kafka with it, 17 or newer %s: %w", javaCure, err)
	}
	if err != nil {
		return fmt.Errorf("%s -version: %w", program, err)
	}
	return checkJava(string(out))
}

func checkJava(printed string) error {
	found := javaVersion.FindStringSubmatch(printed)
	if found == nil {
		return fmt.Errorf("java -version prints no version: %q", printed)
	}
	if major, _ := strconv.Atoi(found[1]); major < 17 {
		return fmt.Errorf("java %s is too old: Kafka needs 17 or newer %s", found[1], javaCure)
	}
	return nil
}

// maven fetches the real Kafka.
func maven(context.Context) error {
	if _, err := exec.LookPath("mvn"); err != nil {
		return fmt.Errorf("mvn is missing: the tests fetch a real Kafka with it (Debian: apt-get install maven): %w",
			err)
	}
	return nil
}
