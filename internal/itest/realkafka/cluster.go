package realkafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Cluster is a running Kafka cluster. Its nodes have the ids 1 to n. Its methods may be called from many goroutines,
// but a node is stopped and started by one at a time.
type Cluster struct {
	opts  Options
	id    string // KRaft's cluster id
	dir   string
	java  string
	jars  string
	nodes []*node
	keep  bool

	zookeeper *zookeeper // nil with KRaft
}

// Start starts a cluster for one test and ends it with the test. When the test failed, the nodes' logs are printed and
// the folder stays.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	c, err := Launch(context.Background(), o)
	if err != nil {
		t.Fatalf("Kafka did not start: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			c.Keep()
			c.PrintLogs(t.Output(), 100)
		}
		if err := c.Close(); err != nil {
			t.Errorf("Kafka did not end: %v", err)
		}
	})
	return c
}

// Launch starts a cluster and returns when every node answers and sees all others. The caller closes it.
func Launch(ctx context.Context, o Options) (*Cluster, error) {
	o = o.withDefaults()
	if _, _, err := parseVersion(o.Version); err != nil {
		return nil, err
	}
	java, err := findJava()
	if err != nil {
		return nil, err
	}
	jars, err := Jars(ctx, o.Version)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, o.StartTimeout)
	defer cancel()
	for {
		c := &Cluster{opts: o, java: java, jars: jars}
		err := c.launch(ctx)
		if err == nil {
			return c, nil
		}
		stolen := c.portStolen()
		err = errors.Join(err, c.Close())
		if !stolen {
			return nil, err
		}
	}
}

func (c *Cluster) launch(ctx context.Context) error {
	var err error
	if c.dir, err = os.MkdirTemp(c.opts.Dir, "samsa-kafka-"); err != nil {
		return err
	}
	ports, err := freePorts(2*c.opts.Nodes + 1)
	if err != nil {
		return err
	}
	for i := range c.opts.Nodes {
		n := &node{id: int32(i + 1), port: ports[2*i], controllerPort: ports[2*i+1], directoryID: newUUID()}
		n.dir = filepath.Join(c.dir, "node-"+strconv.Itoa(i+1))
		c.nodes = append(c.nodes, n)
		if err := os.Mkdir(n.dir, 0o755); err != nil {
			return err
		}
	}
	if needsZooKeeper(c.opts.Version) {
		c.zookeeper = &zookeeper{dir: filepath.Join(c.dir, "zookeeper"), port: ports[len(ports)-1]}
	}
	c.id = newUUID()
	return c.startAll(ctx)
}

// startAll starts a cluster without data.
func (c *Cluster) startAll(ctx context.Context) error {
	start := c.startKRaft
	if c.zookeeper != nil {
		start = c.startWithZooKeeper
	}
	if err := start(ctx); err != nil {
		return err
	}
	return c.each(func(n *node) error { return n.waitReady(ctx, c.ids()) })
}

// Replace discards the cluster and starts another one at the same addresses: without topics, records, and producer ids.
// If sameID is set, the new cluster has the former cluster id, as containers with a fixed id have; with ZooKeeper it
// always has another one.
func (c *Cluster) Replace(ctx context.Context, sameID bool) error {
	ctx, cancel := context.WithTimeout(ctx, c.opts.StartTimeout)
	defer cancel()
	err := c.each(func(n *node) error {
		if err := n.end(ctx, signalKill); err != nil && !errors.Is(err, errNotRunning) {
			return err
		}
		return os.RemoveAll(n.dataPath())
	})
	if err != nil {
		return err
	}
	if c.zookeeper != nil {
		if err := errors.Join(c.zookeeper.close(), os.RemoveAll(c.zookeeper.dir)); err != nil {
			return err
		}
	}
	if !sameID {
		c.id = newUUID()
	}
	return c.startAll(ctx)
}

// startKRaft formats the nodes' data folders and starts the nodes.
func (c *Cluster) startKRaft(ctx context.Context) error {
	var controllers, voters []string
	for _, n := range c.nodes {
		controllers = append(controllers, "127.0.0.1:"+strconv.Itoa(n.controllerPort))
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d:%s", n.id, n.controllerPort, n.directoryID))
	}
	return c.each(func(n *node) error {
		if err := os.WriteFile(n.configPath(), []byte(c.opts.kraftProperties(n, controllers)), 0o644); err != nil {
			return err
		}
		_, err := c.runTool(ctx, nil, "kafka.tools.StorageTool", "format", "-t", c.id, "-c", n.configPath(),
			"--initial-controllers", strings.Join(voters, ","))
		if err != nil {
			return err
		}
		n.logging = []string{"-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
			"-Dorg.slf4j.simpleLogger.showDateTime=true",
			"-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
			"-Dorg.slf4j.simpleLogger.log.state.change.logger=warn"} // several lines a partition at every change
		return n.start(c.java, c.jars, c.opts.JVM)
	})
}

// startWithZooKeeper starts ZooKeeper and then the nodes.
func (c *Cluster) startWithZooKeeper(ctx context.Context) error {
	if err := c.zookeeper.start(c.java, c.jars); err != nil {
		return err
	}
	if err := c.zookeeper.waitReady(ctx); err != nil {
		return err
	}
	return c.each(func(n *node) error {
		if err := os.WriteFile(n.configPath(), []byte(c.opts.zookeeperProperties(n, c.zookeeper)), 0o644); err != nil {
			return err
		}
		log, err := writeLog4j(n.dir)
		if err != nil {
			return err
		}
		n.logging = []string{log}
		return n.start(c.java, c.jars, c.opts.JVM)
	})
}

// each runs fn for all nodes at once and joins their errors.
func (c *Cluster) each(fn func(*node) error) error {
	errs := make([]error, len(c.nodes))
	var wg sync.WaitGroup
	for i, n := range c.nodes {
		wg.Go(func() { errs[i] = fn(n) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// portStolen reports whether a node could not listen because somebody took its port after the kernel had given it to
// us.
func (c *Cluster) portStolen() bool {
	for _, n := range c.nodes {
		if strings.Contains(n.logTail(200), "Address already in use") {
			return true
		}
	}
	return c.zookeeper != nil && strings.Contains(c.zookeeper.logTail(200), "Address already in use")
}

func (c *Cluster) ids() []int32 {
	ids := make([]int32, 0, len(c.nodes))
	for _, n := range c.nodes {
		ids = append(ids, n.id)
	}
	return ids
}

func (c *Cluster) node(id int32) (*node, error) {
	if id < 1 || int(id) > len(c.nodes) {
		return nil, fmt.Errorf("there is no node %d", id)
	}
	return c.nodes[id-1], nil
}

// Version returns Kafka's version.
func (c *Cluster) Version() string { return c.opts.Version }

// Dir returns the folder with the nodes' configuration, data and logs.
func (c *Cluster) Dir() string { return c.dir }

// Bootstrap returns host:port of every node, node 1 first.
func (c *Cluster) Bootstrap() []string {
	addresses := make([]string, 0, len(c.nodes))
	for _, n := range c.nodes {
		addresses = append(addresses, n.address())
	}
	return addresses
}

// Kill ends a node at once, as kill -9 does, and returns when it is gone.
func (c *Cluster) Kill(ctx context.Context, id int32) error { return c.end(ctx, id, signalKill) }

// Stop ends a node cleanly: it hands its partitions over first.
func (c *Cluster) Stop(ctx context.Context, id int32) error { return c.end(ctx, id, signalStop) }

func (c *Cluster) end(ctx context.Context, id int32, sig syscall.Signal) error {
	n, err := c.node(id)
	if err != nil {
		return err
	}
	return n.end(ctx, sig)
}

// Pause hangs a node: its sockets stay open, but nothing answers. Resume lets it go on.
func (c *Cluster) Pause(id int32) error { return c.signal(id, signalPause) }

// Resume lets a paused node go on.
func (c *Cluster) Resume(id int32) error { return c.signal(id, signalResume) }

func (c *Cluster) signal(id int32, sig syscall.Signal) error {
	n, err := c.node(id)
	if err != nil {
		return err
	}
	return n.signal(sig)
}

// Restart starts a killed or stopped node, on its old ports and data, and returns when it answers and is part of the
// cluster again.
func (c *Cluster) Restart(ctx context.Context, id int32) error {
	n, err := c.node(id)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.opts.StartTimeout)
	defer cancel()
	if c.zookeeper != nil {
		if err := c.zookeeper.waitUnregistered(ctx, id); err != nil {
			return err
		}
	}
	for {
		if err := n.start(c.java, c.jars, c.opts.JVM); err != nil {
			return err
		}
		err := n.waitReady(ctx, []int32{id})
		// The port was free for the taking while the node was down: some client's outgoing connection may hold it for a
		// moment.
		if err == nil || n.running() != nil || ctx.Err() != nil ||
			!strings.Contains(n.logTail(60), "Address already in use") {
			return err
		}
	}
}

// Keep makes the folder outlive Close.
func (c *Cluster) Keep() { c.keep = true }

// PrintLogs writes the last lines of each node's log.
func (c *Cluster) PrintLogs(w io.Writer, lines int) {
	for _, n := range c.nodes {
		_, _ = fmt.Fprintf(w, "--- Kafka %s node %d (%s), last %d lines:\n%s\n", c.opts.Version, n.id, n.logPath(),
			lines, n.logTail(lines))
	}
	if c.zookeeper != nil {
		_, _ = fmt.Fprintf(w, "--- ZooKeeper of Kafka %s (%s), last %d lines:\n%s\n", c.opts.Version,
			c.zookeeper.logPath(), lines,
			c.zookeeper.logTail(lines))
	}
}

// Close kills the running processes and removes the folder.
func (c *Cluster) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err := c.each(func(n *node) error {
		if err := n.end(ctx, signalKill); !errors.Is(err, errNotRunning) {
			return err
		}
		return nil
	})
	if c.zookeeper != nil {
		err = errors.Join(err, c.zookeeper.close())
	}
	if c.keep {
		return err
	}
	return errors.Join(err, os.RemoveAll(c.dir))
}

// tail returns the last lines of b.
func tail(b []byte, lines int) string {
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
