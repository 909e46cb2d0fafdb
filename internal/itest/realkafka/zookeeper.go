package realkafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// zookeeper is the one ZooKeeper of a cluster of a version in need of it. It runs from the cluster's start to its end.
type zookeeper struct {
	dir  string
	port int
	proc *process // nil before the start
}

func (z *zookeeper) address() string { return "127.0.0.1:" + strconv.Itoa(z.port) }
func (z *zookeeper) logPath() string { return filepath.Join(z.dir, "zookeeper.log") }

// start writes the configuration and starts the server.
func (z *zookeeper) start(java, jars string) error {
	if err := os.Mkdir(z.dir, 0o755); err != nil {
		return err
	}
	config := filepath.Join(z.dir, "zoo.cfg")
	// dump, the list of registered brokers, needs permission since ZooKeeper 3.5.
	text := fmt.Sprintf("tickTime=500\ndataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\n"+
		"admin.enableServer=false\n4lw.commands.whitelist=srvr,dump\n", filepath.ToSlash(filepath.Join(z.dir, "data")),
		z.port)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return err
	}
	log, err := writeLog4j(z.dir)
	if err != nil {
		return err
	}
	z.proc, err = startProcess(z.dir, z.logPath(), java, "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", log,
		// The data is thrown away, so no write needs to reach the disk.
		"-Dzookeeper.forceSync=no", "-Dzookeeper.jmx.log4j.disable=true",
		"-cp", filepath.Join(jars, "*"), "org.apache.zookeeper.server.quorum.QuorumPeerMain", config)
	return err
}

// waitReady waits until the server answers.
func (z *zookeeper) waitReady(ctx context.Context) error {
	err := pollError(ctx, func(ctx context.Context) error {
		if !z.proc.isRunning() {
			return nil // it will not come any more
		}
		answer, err := z.command(ctx, "srvr")
		if err == nil && !strings.HasPrefix(answer, "Zookeeper version") {
			return fmt.Errorf("the answer is %q", answer)
		}
		return err
	})
	if !z.proc.isRunning() {
		err = errors.New("it ended")
	}
	if err != nil {
		return fmt.Errorf("ZooKeeper is not ready: %w; its log ends with:\n%s", err, z.logTail(60))
	}
	return nil
}

// waitUnregistered waits until no session holds the broker's registration. A killed broker's session lives on for
// zookeeper.session.timeout.ms, and its successor refuses to start for so long.
func (z *zookeeper) waitUnregistered(ctx context.Context, id int32) error {
	return pollError(ctx, func(ctx context.Context) error {
		answer, err := z.command(ctx, "dump")
		if err == nil && !strings.Contains(answer, "Sessions") {
			return fmt.Errorf("ZooKeeper's list of sessions is %q", answer)
		}
		for line := range strings.Lines(answer) {
			if strings.TrimSpace(line) == fmt.Sprintf("/brokers/ids/%d", id) {
				return fmt.Errorf("ZooKeeper still has a registration of broker %d", id)
			}
		}
		return err
	})
}

// command sends one of ZooKeeper's four-letter commands and returns the answer.
func (z *zookeeper) command(ctx context.Context, name string) (string, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", z.address())
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return "", err
		}
	}
	if _, err := conn.Write([]byte(name)); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

func (z *zookeeper) logTail(lines int) string { return fileTail(z.logPath(), lines) }

// close kills the server.
func (z *zookeeper) close() error {
	if !z.proc.isRunning() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return z.proc.end(ctx, signalKill)
}

// writeLog4j writes a configuration of log4j 1 for logs on stdout, and returns the Java option with its name.
func writeLog4j(dir string) (option string, err error) {
	path := filepath.Join(dir, "log4j.properties")
	const text = `log4j.rootLogger=INFO, stdout
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=%d{HH:mm:ss.SSS} [%t] %p %c - %m%n
log4j.logger.state.change.logger=WARN
log4j.logger.org.apache.zookeeper=WARN
`
	return "-Dlog4j.configuration=file:" + filepath.ToSlash(path), os.WriteFile(path, []byte(text), 0o644)
}
