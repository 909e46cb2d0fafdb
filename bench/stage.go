package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/gosamsa/samsa/bench/discard"
	"github.com/gosamsa/samsa/bench/load"
	"github.com/gosamsa/samsa/internal/itest/realkafka"
)

// place describes the target of the records.
type place struct {
	bootstrap string
	kafka     string
	nodes     int
	pinned    bool
	deaf      bool    // the discarding broker reads no records
	warm      float64 // seconds of warm-up of a real Kafka before the measurements
}

// stage is a running target.
type stage struct {
	servers []string
	broker  *brokerProcess // nil with a real Kafka
	cluster *realkafka.Cluster
	logs    string // the place of the cluster's logs: memory or disk
	nodes   int
	topics  int
}

func (p place) open(ctx context.Context, partitions int) (*stage, error) {
	switch {
	case p.bootstrap != "":
		return &stage{servers: strings.Split(p.bootstrap, ",")}, nil
	case p.kafka != "":
		folder, logs := memoryFolder(), "in memory"
		if folder == "" {
			logs = "on disk"
		}
		o := realkafka.Options{
			Version: p.kafka, Nodes: p.nodes, MinInSync: min(2, p.nodes),
			// As Kafka's own start script has it. It deletes measured records at once: else the next measurement would
			// be one of the disk.
			JVM: []string{"-Xms1g", "-Xmx1g"}, Config: map[string]string{"log.segment.delete.delay.ms": "0"},
			Dir: folder,
		}
		c, err := realkafka.Launch(ctx, o)
		if err != nil {
			return nil, err
		}
		s := &stage{servers: c.Bootstrap(), cluster: c, logs: logs, nodes: p.nodes}
		if err := s.warm(ctx, partitions, p.warm); err != nil {
			return nil, errors.Join(err, s.close())
		}
		return s, nil
	}
	b, err := startBroker(ctx, p.pinned, p.deaf)
	if err != nil {
		return nil, err
	}
	return &stage{servers: []string{b.address}, broker: b}, nil
}

// warm sends to a new cluster for some seconds before anything is measured: a Java broker is several times as fast
// after the compilation of its hot code, and the first client would be the slowest.
func (s *stage) warm(ctx context.Context, partitions int, seconds float64) error {
	// In many short pieces, each with a topic of its own, to keep the logs at the size of a measurement's.
	for end := time.Now().Add(time.Duration(seconds * float64(time.Second))); time.Now().Before(end); {
		for _, size := range []int{100, 1000} {
			for _, name := range []string{"franz-go", "samsa"} {
				spec := load.Spec{Mode: load.Async, Size: size, Goroutines: 1, Partitions: partitions, Codec: "none",
					Seconds: 1.5, Warm: 0.5}
				if _, err := s.one(ctx, spec, name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (s *stage) close() error {
	switch {
	case s.cluster != nil:
		return s.cluster.Close()
	case s.broker != nil:
		return s.broker.close()
	}
	return nil
}

// topic makes a new topic for each measurement in a real Kafka, so none begins with the leftovers of another.
func (s *stage) topic(ctx context.Context, spec load.Spec) (string, error) {
	partitions := spec.Partitions
	switch {
	case s.cluster == nil && spec.Mode == load.Moves:
		return discard.MovingTopic(partitions), nil
	case s.cluster == nil && spec.Brokers > 1:
		return discard.SpreadTopic(spec.Brokers, partitions), nil
	case s.cluster == nil:
		return discard.Topic(partitions), nil
	}
	s.topics++
	name := fmt.Sprintf("bench-%d", s.topics)
	return name, s.cluster.CreateTopics(ctx, realkafka.Topic{Name: name, Partitions: partitions,
		Replicas: min(3, s.nodes)})
}

// workload is a row of a table: the measurement and its clients.
type workload struct {
	Name    string    `json:"name"`
	Spec    load.Spec `json:"spec"`
	Clients []string  `json:"clients"`
}

// measured is a workload with its results.
type measured struct {
	workload
	Results map[string][]load.Result `json:"results"`
}

// measure goes through the workloads again and again, so all share a machine's bad minutes. The clients of a workload
// follow each other, in another order in each round: a client may leave a broker much to clear away, and its successor
// must not always be the same.
func (s *stage) measure(ctx context.Context, workloads []workload, rounds int,
	tell func(w workload, r load.Result)) ([]measured, error) {
	all := make([]measured, len(workloads))
	for i, w := range workloads {
		all[i] = measured{workload: w, Results: map[string][]load.Result{}}
	}
	for round := range rounds {
		for i, w := range workloads {
			for _, k := range order(len(w.Clients), round) {
				name := w.Clients[k]
				r, err := s.one(ctx, w.Spec, name)
				if err != nil {
					return all, fmt.Errorf("%s, %s: %w", w.Name, name, err)
				}
				all[i].Results[name] = append(all[i].Results[name], r.Rounded())
				tell(w, r)
			}
		}
	}
	return all, nil
}

// order is the order of n clients in a round: always the same one, and random.
func order(n, round int) []int { return rand.New(rand.NewPCG(uint64(n), uint64(round))).Perm(n) }

// one makes one measurement, in a process of its own.
func (s *stage) one(ctx context.Context, spec load.Spec, name string) (load.Result, error) {
	var err error
	if spec.Topic, err = s.topic(ctx, spec); err != nil {
		return load.Result{}, err
	}
	spec.Client, spec.Servers = name, s.servers
	var before, after discard.Counts
	if s.broker != nil {
		if before, err = s.broker.counts(); err != nil {
			return load.Result{}, err
		}
	}
	measure := measureInProcess
	if name == javaClient {
		measure = s.java
	}
	r, err := measure(ctx, spec)
	if s.cluster != nil {
		err = errors.Join(err, s.cluster.DeleteTopics(ctx, spec.Topic))
	}
	if err != nil || s.broker == nil || spec.Mode == load.Full || spec.Mode == load.Blocked {
		return r, err
	}
	if after, err = s.broker.counts(); err != nil {
		return r, err
	}
	seen := after.Minus(before)
	if r.Failed == 0 && seen.Records != r.Total {
		return r, fmt.Errorf("%d records were acknowledged, and the broker has got %d", r.Total, seen.Records)
	}
	r.Wire, r.PerBatch = float64(seen.Bytes)/float64(seen.Records), float64(seen.Records)/float64(seen.Batches)
	return r, nil
}

// measureInProcess runs a worker.
func measureInProcess(ctx context.Context, spec load.Spec) (r load.Result, err error) {
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	task, err := json.Marshal(spec)
	if err != nil {
		return r, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "worker")
	var said bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(task), &said
	printed, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("%w: %s", err, strings.TrimSpace(said.String()))
	}
	return r, json.Unmarshal(printed, &r)
}

// brokerProcess is a discarding broker in a process of its own, to keep its work out of the client's counts.
type brokerProcess struct {
	cmd     *exec.Cmd
	ask     io.WriteCloser
	answers *bufio.Scanner
	address string
}

func startBroker(ctx context.Context, pinned, deaf bool) (*brokerProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	b := &brokerProcess{cmd: exec.CommandContext(ctx, self, "broker", fmt.Sprint("-pinned=", pinned),
		fmt.Sprint("-deaf=", deaf))}
	b.cmd.Stderr = os.Stderr
	if b.ask, err = b.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	answers, err := b.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := b.cmd.Start(); err != nil {
		return nil, err
	}
	b.answers = bufio.NewScanner(answers)
	if !b.answers.Scan() {
		return nil, errors.Join(errors.New("the broker has not started"), b.close())
	}
	b.address = b.answers.Text()
	return b, nil
}

func (b *brokerProcess) counts() (c discard.Counts, err error) {
	if _, err := fmt.Fprintln(b.ask, "counts"); err != nil {
		return c, err
	}
	if !b.answers.Scan() {
		return c, errors.New("the broker has ended")
	}
	return c, json.Unmarshal(b.answers.Bytes(), &c)
}

// close ends the broker: its input ends.
func (b *brokerProcess) close() error { return errors.Join(b.ask.Close(), b.cmd.Wait()) }

// serve is the broker's process: it prints its address, and its counts for each line of its input, until there are no
// more.
func serve(args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("broker", flag.ContinueOnError)
	pinned := flags.Bool("pinned", false, "stay on one processor")
	deaf := flags.Bool("deaf", false, "read no records")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *pinned {
		if err := pin(); err != nil {
			return err
		}
	}
	b, err := discard.Listen()
	if err != nil {
		return err
	}
	if *deaf {
		b.GoDeaf()
	}
	fmt.Fprintln(out, b.Address())
	for lines := bufio.NewScanner(in); lines.Scan(); {
		if err := json.NewEncoder(out).Encode(b.Counts()); err != nil {
			return errors.Join(err, b.Close())
		}
	}
	return errors.Join(b.Trouble(), b.Close())
}

// median returns the median of each figure of several measurements.
func median(rs []load.Result) load.Result {
	if len(rs) == 0 {
		return load.Result{}
	}
	of := func(pick func(load.Result) float64) float64 {
		values := make([]float64, len(rs))
		for i, r := range rs {
			values[i] = pick(r)
		}
		return middle(values)
	}
	m := rs[0]
	m.Rate = of(func(r load.Result) float64 { return r.Rate })
	m.CPU = of(func(r load.Result) float64 { return r.CPU })
	m.Allocs = of(func(r load.Result) float64 { return r.Allocs })
	m.Alloced = of(func(r load.Result) float64 { return r.Alloced })
	m.P50 = of(func(r load.Result) float64 { return r.P50 })
	m.P99 = of(func(r load.Result) float64 { return r.P99 })
	m.P999 = of(func(r load.Result) float64 { return r.P999 })
	m.Wire = of(func(r load.Result) float64 { return r.Wire })
	m.PerBatch = of(func(r load.Result) float64 { return r.PerBatch })
	m.RSS = int64(of(func(r load.Result) float64 { return float64(r.RSS) }))
	for _, r := range rs[1:] {
		m.Failed += r.Failed
	}
	return m
}

// nice is a time in nanoseconds, rounded for a human reader.
func nice(ns float64) time.Duration {
	d := time.Duration(ns)
	switch {
	case d < 10*time.Microsecond:
		return d.Round(100 * time.Nanosecond)
	case d < 10*time.Millisecond:
		return d.Round(time.Microsecond)
	default:
		return d.Round(100 * time.Microsecond)
	}
}
