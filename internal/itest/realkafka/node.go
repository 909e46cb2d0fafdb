package realkafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var errNotRunning = errors.New("the node does not run")

// node is one Kafka process: its files, its ports, and the process while it runs.
type node struct {
	id             int32
	dir            string
	port           int
	controllerPort int
	directoryID    string

	mu   sync.Mutex
	proc *process // nil before the first start

	paused atomic.Bool
}

// process is one run of a node. exited is closed when it has ended; err is set then.
type process struct {
	os     *os.Process
	exited chan struct{}
	err    error
}

func (n *node) address() string    { return "127.0.0.1:" + strconv.Itoa(n.port) }
func (n *node) configPath() string { return filepath.Join(n.dir, "server.properties") }
func (n *node) dataPath() string   { return filepath.Join(n.dir, "data") }
func (n *node) logPath() string    { return filepath.Join(n.dir, "node.log") }

// running returns the process, or nil where there is none.
func (n *node) running() *process {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc == nil {
		return nil
	}
	select {
	case <-n.proc.exited:
		return nil
	default:
		return n.proc
	}
}

// start runs the node. What it prints is appended to its log.
func (n *node) start(java, jars string, jvm []string) error {
	if n.running() != nil {
		return fmt.Errorf("node %d runs already", n.id)
	}
	log, err := os.OpenFile(n.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	args := append(append([]string{}, jvm...),
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=info", "-Dorg.slf4j.simpleLogger.showDateTime=true",
		"-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
		"-Dorg.slf4j.simpleLogger.log.state.change.logger=warn", // several lines a partition at every change
		"-cp", filepath.Join(jars, "*"), "kafka.Kafka", n.configPath())
	cmd := exec.Command(java, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = n.dir, log, log
	setChildAttributes(cmd)
	proc := &process{exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Linux kills the child when the thread that started it ends, so that thread is kept until the child is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		_ = log.Close()
		if err != nil {
			started <- err
			return
		}
		proc.os = cmd.Process
		started <- nil
		proc.err = cmd.Wait()
		close(proc.exited)
	}()
	if err := <-started; err != nil {
		return err
	}
	n.paused.Store(false)
	n.mu.Lock()
	n.proc = proc
	n.mu.Unlock()
	return nil
}

// signal sends sig to the running process.
func (n *node) signal(sig syscall.Signal) error {
	proc := n.running()
	if proc == nil {
		return fmt.Errorf("node %d: %w", n.id, errNotRunning)
	}
	if err := signalGroup(proc.os, sig); err != nil {
		return err
	}
	n.paused.Store(sig == signalPause)
	return nil
}

// end sends sig, and waits until the process is gone. When ctx ends first, the process is killed.
func (n *node) end(ctx context.Context, sig syscall.Signal) error {
	proc := n.running()
	if proc == nil {
		return fmt.Errorf("node %d: %w", n.id, errNotRunning)
	}
	if err := signalGroup(proc.os, sig); err != nil {
		return err
	}
	select {
	case <-proc.exited:
		return nil
	case <-ctx.Done():
		err := signalGroup(proc.os, signalKill)
		<-proc.exited
		return errors.Join(fmt.Errorf("node %d did not end: %w", n.id, ctx.Err()), err)
	}
}

// request asks this very node, whatever the cluster thinks.
func (n *node) request(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(n.address()), kgo.RequestRetries(0), kgo.DialTimeout(2*time.Second))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return client.SeedBrokers()[0].Request(ctx, req)
}

// waitReady waits until the node answers and sees the brokers that must be there.
func (n *node) waitReady(ctx context.Context, brokers []int32) error {
	err := pollError(ctx, func(ctx context.Context) error {
		if n.running() == nil {
			return nil // it will not come any more
		}
		return n.sees(ctx, brokers)
	})
	if n.running() == nil {
		err = errors.New("it ended")
	}
	if err != nil {
		return fmt.Errorf("node %d is not ready: %w; its log ends with:\n%s", n.id, err, n.logTail(60))
	}
	return nil
}

// sees returns nil when the node's metadata holds all of brokers.
func (n *node) sees(ctx context.Context, brokers []int32) error {
	resp, err := n.request(ctx, metadataRequest(nil))
	if err != nil {
		return err
	}
	known := map[int32]bool{}
	for _, b := range resp.(*kmsg.MetadataResponse).Brokers {
		known[b.NodeID] = true
	}
	for _, id := range brokers {
		if !known[id] {
			return fmt.Errorf("node %d does not see broker %d yet", n.id, id)
		}
	}
	return nil
}

func (n *node) logTail(lines int) string {
	b, err := os.ReadFile(n.logPath())
	if err != nil {
		return err.Error()
	}
	return tail(b, lines)
}

// poll calls done until it says yes or ctx ends; each call gets at most two seconds.
func poll(ctx context.Context, done func(context.Context) bool) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		attempt, cancel := context.WithTimeout(ctx, 2*time.Second)
		ok := done(attempt)
		cancel()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// pollError calls try until it gives no error or ctx ends; then the error is the last one, too.
func pollError(ctx context.Context, try func(context.Context) error) error {
	var last error
	if err := poll(ctx, func(ctx context.Context) bool { last = try(ctx); return last == nil }); err != nil {
		return errors.Join(err, last)
	}
	return nil
}
