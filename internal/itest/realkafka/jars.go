package realkafka

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

//go:embed maven/pom.xml
var kraftPom []byte

//go:embed maven/zookeeper.xml
var zookeeperPom []byte

//go:embed java/Reader.java
var readerSource []byte

// CacheDir returns the folder of the jars between runs: $SAMSA_CACHE, or samsa-itest in the user's cache folder.
func CacheDir() (string, error) {
	if dir := os.Getenv("SAMSA_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder to keep Kafka's jars in: set SAMSA_CACHE: %w", err)
	}
	return filepath.Join(dir, "samsa-itest"), nil
}

// Jars returns the folder with the jars of Kafka's version, and the Reader program beside them. The first call for a
// version fetches them with Maven; simultaneous runs do not disturb each other.
func Jars(ctx context.Context, version string) (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	// A changed pom or reader gets a folder of its own, so an old cache is never wrong.
	sum := sha256.Sum256(append(bytes.Clone(pomFor(version)), readerSource...))
	dir := filepath.Join(cache, "kafka-"+version+"-"+hex.EncodeToString(sum[:4]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(cache, "fetching-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(work) }()
	ready := filepath.Join(work, "ready")
	if err := fetchJars(ctx, version, work, ready); err != nil {
		return "", err
	}
	// The rename makes the folder appear, whole. Losing the race against another run is as good as winning it.
	if err := os.Rename(ready, dir); err != nil {
		if _, statErr := os.Stat(dir); statErr != nil {
			return "", err
		}
	}
	return dir, nil
}

// pomFor returns the project with a version's jars as its dependencies.
func pomFor(version string) []byte {
	if needsZooKeeper(version) {
		return zookeeperPom
	}
	return kraftPom
}

func fetchJars(ctx context.Context, version, work, ready string) error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return fmt.Errorf("maven is needed to fetch Kafka %s (Debian: apt-get install maven): %w", version, err)
	}
	if err := os.WriteFile(filepath.Join(work, "pom.xml"), pomFor(version), 0o644); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, mvn, "-q", "-B", "-Dkafka.version="+version,
		"-Dscala.version="+scalaVersion(version),
		"dependency:copy-dependencies", "-DoutputDirectory="+ready)
	cmd.Dir = work
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := run(cmd); err != nil {
		return fmt.Errorf("fetching Kafka %s with Maven: %w\n%s", version, err, out.String())
	}
	return os.WriteFile(filepath.Join(ready, "Reader.java"), readerSource, 0o644)
}

// findJava returns the java program of $JAVA_HOME, or else of the PATH.
func findJava() (string, error) {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		if java, err := exec.LookPath(filepath.Join(home, "bin", "java")); err == nil {
			return java, nil
		}
	}
	java, err := exec.LookPath("java")
	if err != nil {
		return "", fmt.Errorf("java 17 or newer is needed to run Kafka (Debian: apt-get install openjdk-17-jdk-headless): %w", err)
	}
	return java, nil
}

// toolJVM makes a short-lived JVM quick to start and small.
var toolJVM = []string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx768m",
	"-Dorg.slf4j.simpleLogger.defaultLogLevel=error"}

// runTool runs a class or a source file with the cluster's jars. It returns the output; a failure's error holds stderr.
func (c *Cluster) runTool(ctx context.Context, stdin []byte, args ...string) ([]byte, error) {
	printed, _, err := c.runJava(ctx, toolJVM, stdin, args...)
	return printed, err
}

// ProducerPerformance runs Kafka's own measuring program with the Java producer against the cluster, in a virtual
// machine as it comes. It returns the program's output, and its processor time with its start.
func (c *Cluster) ProducerPerformance(ctx context.Context, args ...string) (printed string, cpu time.Duration,
	err error) {
	line := append([]string{"org.apache.kafka.tools.ProducerPerformance"}, args...)
	out, cpu, err := c.runJava(ctx, []string{"-Dorg.slf4j.simpleLogger.defaultLogLevel=error"}, nil, line...)
	return string(out), cpu, err
}

// runJava is runTool with a choice of the virtual machine's options. It also returns the program's processor time.
func (c *Cluster) runJava(ctx context.Context, jvm []string, stdin []byte, args ...string) (printed []byte,
	cpu time.Duration, err error) {
	line := append(append([]string{}, jvm...), "-cp", filepath.Join(c.jars, "*"))
	cmd := exec.CommandContext(ctx, c.java, append(line, args...)...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := run(cmd); err != nil {
		return nil, 0, errors.Join(fmt.Errorf("%s: %w", filepath.Base(args[0]), err),
			errors.New(tail(stderr.Bytes(), 40)))
	}
	return stdout.Bytes(), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// run runs a program to its end. It keeps the thread for so long: on Linux the end of the thread would end the program
// (setChildAttributes).
func run(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	setChildAttributes(cmd)
	return cmd.Run()
}
