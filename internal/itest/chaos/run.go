package chaos

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/gosamsa/samsa/internal/itest/realkafka"
)

// Options describe one run.
type Options struct {
	// Topic is made for the run; its name must be new.
	Topic string
	// Client is samsa or franz.
	Client string
	// Seed draws the faults.
	Seed uint64
	// Faults are the kinds to draw from. Default all.
	Faults []Kind
	// Count is how many faults there are. With 0 they go on for Duration, and each kind comes once at least.
	Count    int
	Duration time.Duration
	// Overlap lets the proxy's faults go on beside those of the nodes, instead of in turn.
	Overlap bool
	// Partitions of the topic. Default 6.
	Partitions int
	// Load is the senders' load.
	Load Load
	ClientOptions
	// Say gets a line for each step. Nil is silence.
	Say func(format string, args ...any)
}

const nodes = 3

// LaunchCluster starts the cluster for runs: three nodes, three replicas, min.insync.replicas 2.
func LaunchCluster(ctx context.Context) (*realkafka.Cluster, error) {
	return realkafka.Launch(ctx, realkafka.Options{Nodes: nodes, StartTimeout: healLimit})
}

// limits of waits for certain events. They are long: they end a hanging run, and judge nothing else.
const (
	progressLimit = 5 * time.Minute
	finishLimit   = 5 * time.Minute
	healLimit     = 10 * time.Minute
)

// Run does one run on a whole cluster, and leaves it whole. An error means an impossible run: the cluster did not obey.
// The producer's faults are in the result.
func Run(ctx context.Context, cluster *realkafka.Cluster, o Options) (*Result, error) {
	o = o.withDefaults()
	if err := cluster.CreateTopics(ctx, realkafka.Topic{Name: o.Topic,
		Assignment: assignment(o.Partitions)}); err != nil {
		return nil, err
	}
	network, err := NewNet(cluster.Bootstrap())
	if err != nil {
		return nil, err
	}
	defer func() { _ = network.Close() }()
	logFile, err := os.Create(filepath.Join(cluster.Dir(), o.Topic+".log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = logFile.Close() }()
	o.Logger = slog.New(slog.NewTextHandler(logFile, &slog.HandlerOptions{Level: slog.LevelDebug}))
	client, err := NewClient(o.Client, cluster.Bootstrap(), network, o.ClientOptions)
	if err != nil {
		return nil, err
	}
	w := startWorkload(ctx, client, o.Topic, o.Load)
	r := &Result{Topic: o.Topic, Client: o.Client, Seed: o.Seed, Compression: o.Compression,
		DeliveryTimeout: o.DeliveryTimeout}
	if stalled := within(ctx, progressLimit,
		func(ctx context.Context) []int32 { return w.awaitProgress(ctx, o.Partitions) }); len(stalled) > 0 {
		err = fmt.Errorf("partitions %v take no records before the first fault", stalled)
	}
	r.Begin = w.now()
	if err == nil {
		r.Events, err = injectAll(ctx, injector{cluster: cluster, network: network, nodes: nodes, topic: o.Topic}, o,
			w.now)
	}
	if err == nil {
		o.say("the faults are over; waiting for each partition to go on")
		r.Stalled = within(ctx, progressLimit,
			func(ctx context.Context) []int32 { return w.awaitProgress(ctx, o.Partitions) })
	}
	r.End = w.now()
	finish, cancel := context.WithTimeout(ctx, finishLimit)
	defer cancel()
	if closeErr := w.finish(finish); closeErr != nil {
		r.CloseError = closeErr.Error()
	}
	if err != nil {
		return r, err
	}
	log, err := readSettled(ctx, cluster, o.Topic)
	if err != nil {
		return r, err
	}
	r.judge(w, log)
	o.say("%v", r)
	return r, nil
}

func (o Options) withDefaults() Options {
	if o.Partitions == 0 {
		o.Partitions = 6
	}
	if len(o.Faults) == 0 {
		o.Faults = Kinds()
	}
	if o.Compression == "" {
		o.Compression = "none"
	}
	return o
}

func (o Options) say(format string, args ...any) {
	if o.Say != nil {
		o.Say(format, args...)
	}
}

// assignment spreads leaders and followers evenly over the nodes.
func assignment(partitions int) [][]int32 {
	orders := [][]int32{{1, 2, 3}, {2, 3, 1}, {3, 1, 2}, {1, 3, 2}, {2, 1, 3}, {3, 2, 1}}
	a := make([][]int32, partitions)
	for i := range a {
		a[i] = orders[i%len(orders)]
	}
	return a
}

func within[T any](ctx context.Context, limit time.Duration, fn func(context.Context) T) T {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return fn(ctx)
}

// Event is a fault as it happened, in times since the run's beginning. Until is when all was whole again.
type Event struct {
	Fault
	At    time.Duration `json:"at_ns"`
	Until time.Duration `json:"until_ns"`
}

// injectAll injects faults one after the other, or, if they overlap, the faults of nodes and of connections in two
// rows.
func injectAll(ctx context.Context, in injector, o Options, now func() time.Duration) ([]Event, error) {
	rows := [][]Kind{o.Faults}
	if o.Overlap {
		isProxy := func(k Kind) bool { return slices.Contains(proxyKinds, k) }
		onNodes := slices.DeleteFunc(slices.Clone(o.Faults), isProxy)
		rows = [][]Kind{onNodes, slices.DeleteFunc(slices.Clone(o.Faults), func(k Kind) bool { return !isProxy(k) })}
	}
	events := make([][]Event, len(rows))
	errs := make([]error, len(rows))
	var wg sync.WaitGroup
	for i, kinds := range rows {
		if len(kinds) > 0 {
			wg.Go(func() {
				events[i], errs[i] = injectRow(ctx, in, o, newPlan(o.Seed+uint64(i)<<32, kinds, in.nodes), now)
			})
		}
	}
	wg.Wait()
	all := slices.Concat(events...)
	slices.SortFunc(all, func(a, b Event) int { return int(a.At - b.At) })
	return all, errors.Join(errs...)
}

func injectRow(ctx context.Context, in injector, o Options, p *plan, now func() time.Duration) ([]Event, error) {
	var events []Event
	begin := now()
	for n := 0; ; n++ {
		if o.Count > 0 && n >= o.Count || o.Count == 0 && n >= len(p.kinds) && now()-begin >= o.Duration {
			return events, nil
		}
		f := p.next()
		pause(ctx, f.Pause)
		e := Event{Fault: f, At: now()}
		o.say("%6.1f s  %v", e.At.Seconds(), f)
		limited, cancel := context.WithTimeout(ctx, healLimit)
		err := in.inject(limited, f)
		cancel()
		if e.Until = now(); err != nil {
			return append(events, e), err
		}
		events = append(events, e)
	}
}

// readSettled reads a topic with Kafka's own consumer, once its end does not move any more: requests to a node from
// before its hang may still be on their way through it.
func readSettled(ctx context.Context, cluster *realkafka.Cluster, topic string) ([]realkafka.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, healLimit)
	defer cancel()
	if err := cluster.WaitInSync(ctx, topic); err != nil {
		return nil, err
	}
	var before map[int32]int64
	for settled := false; !settled; pause(ctx, time.Second) {
		// A node may not know yet after its hang that it leads a partition again, as the others say.
		ends, err := cluster.EndOffsets(ctx, topic)
		if ctx.Err() != nil {
			return nil, errors.Join(ctx.Err(), err)
		}
		settled = err == nil && before != nil && maps.Equal(before, ends[topic])
		before = ends[topic]
	}
	records, err := cluster.ReadAll(ctx, topic)
	return records[topic], err
}
