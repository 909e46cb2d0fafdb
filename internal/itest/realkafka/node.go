package realkafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	directoryID    string   // KRaft's
	logging        []string // Java options

	mu   sync.Mutex
	proc *process // nil before the first start

	paused atomic.Bool
}

func (n *node) address() string    { return "127.0.0.1:" + strconv.Itoa(n.port) }
func (n *node) configPath() string { return filepath.Join(n.dir, "server.properties") }
func (n *node) dataPath() string   { return filepath.Join(n.dir, "data") }
func (n *node) logPath() string    { return filepath.Join(n.dir, "node.log") }

// running returns the process, or nil if there is none.
func (n *node) running() *process {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.proc.isRunning() {
		return nil
	}
	return n.proc
}

// start runs the node. Its output is appended to its log.
func (n *node) start(java, jars string, jvm []string) error {
	if n.running() != nil {
		return fmt.Errorf("node %d runs already", n.id)
	}
	args := append(append([]string{}, jvm...), n.logging...)
	args = append(args, "-cp", filepath.Join(jars, "*"), "kafka.Kafka", n.configPath())
	proc, err := startProcess(n.dir, n.logPath(), java, args...)
	if err != nil {
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
	if err := proc.end(ctx, sig); err != nil {
		return fmt.Errorf("node %d: %w", n.id, err)
	}
	return nil
}

// request asks this very node, regardless of the cluster's state.
func (n *node) request(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(n.address()), kgo.RequestRetries(0), kgo.DialTimeout(2*time.Second))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return client.SeedBrokers()[0].Request(ctx, req)
}

// waitReady waits until the node answers and sees the expected brokers.
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

func (n *node) logTail(lines int) string { return fileTail(n.logPath(), lines) }

// fileTail returns the last lines of a file, or the reason why it cannot be read.
func fileTail(path string, lines int) string {
	b, err := os.ReadFile(path)
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
