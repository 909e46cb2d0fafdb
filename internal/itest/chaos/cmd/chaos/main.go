// Command chaos breaks a real Kafka cluster while producers send to it, counts the records lost, doubled, reordered or
// reported wrongly, and compares how soon the producers were back. It starts three nodes itself, and needs Java and
// Maven. From the repository's root:
//
//	go -C internal/itest run ./chaos/cmd/chaos -runs 5 -duration 90s
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/gosamsa/samsa/internal/itest/chaos"
	"github.com/gosamsa/samsa/internal/itest/realkafka"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

type flags struct {
	chaos.Options
	clients []string
	codecs  []string
	// deliveries are delivery timeouts; 0 is the client's default.
	deliveries []time.Duration
	requests   time.Duration
	runs       int
	json       bool
}

// of returns the options of one run: each takes the next codec, and after the last one the next delivery timeout.
func (f flags) of(run int) chaos.Options {
	o := f.Options
	o.Seed += uint64(run)
	o.Compression = f.codecs[run%len(f.codecs)]
	o.DeliveryTimeout = f.deliveries[run/len(f.codecs)%len(f.deliveries)]
	if o.RequestTimeout = f.requests; o.RequestTimeout == 0 {
		o.RequestTimeout = o.DeliveryTimeout * 2 / 5
	}
	return o
}

func parse(args []string) (flags, error) {
	var f flags
	var client, kinds, codecs, deliveries string
	set := flag.NewFlagSet("chaos", flag.ContinueOnError)
	set.Uint64Var(&f.Seed, "seed", 1, "the first run's seed; each further run has the next one")
	set.IntVar(&f.runs, "runs", 1, "how many runs of each client")
	set.DurationVar(&f.Duration, "duration", time.Minute,
		"how long faults go on in a run; each kind comes once at least")
	set.StringVar(&client, "client", "both", "samsa, franz, or both in turn")
	set.StringVar(&kinds, "faults", "all",
		"kinds of faults, with commas between: all, nodes, proxy, "+fmt.Sprint(chaos.Kinds()))
	set.BoolVar(&f.Overlap, "overlap", false, "break connections while nodes are broken, not in turn")
	set.StringVar(&codecs, "compression", "none",
		"none, gzip, snappy, lz4, zstd; of several, with commas between, each run takes the next")
	set.StringVar(&deliveries, "delivery-timeout", "0",
		"each client's bound on a record's delivery, or several with commas between; "+
			"0 is its default, 120s for samsa and none for franz-go")
	set.DurationVar(&f.requests, "request-timeout", 0,
		"each client's bound on a request; 0 is its default, or 2/5 of the delivery timeout if that is given")
	set.IntVar(&f.Partitions, "partitions", 6, "of the topic")
	set.IntVar(&f.Load.Async, "async", 4, "goroutines that do not wait for outcomes")
	set.IntVar(&f.Load.Rate, "rate", 200, "records a second of each of them")
	set.IntVar(&f.Load.Sync, "sync", 2, "goroutines that wait for each record's outcome")
	set.BoolVar(&f.json, "json", false, "print the report as JSON")
	if err := set.Parse(args); err != nil {
		return f, err
	}
	switch client {
	case "both":
		f.clients = []string{chaos.Samsa, chaos.Franz}
	case chaos.Samsa, chaos.Franz:
		f.clients = []string{client}
	default:
		return f, fmt.Errorf("there is no client %q: samsa, franz or both", client)
	}
	f.codecs = strings.Split(codecs, ",")
	for word := range strings.SplitSeq(deliveries, ",") {
		d, err := time.ParseDuration(word)
		if err != nil {
			return f, fmt.Errorf("delivery-timeout: %w", err)
		}
		f.deliveries = append(f.deliveries, d)
	}
	var err error
	f.Faults, err = chaos.ParseKinds(kinds)
	return f, err
}

func run(ctx context.Context, args []string) error {
	f, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	say("three nodes of Kafka %s start", realkafka.DefaultVersion)
	cluster, err := chaos.LaunchCluster(ctx)
	if err != nil {
		return err
	}
	report, err := runs(ctx, cluster, f)
	if err != nil || !report.OK() {
		cluster.Keep()
		say("the nodes' data and logs stay in %s", cluster.Dir())
	}
	if err == nil && !report.OK() {
		err = errors.New("samsa broke its word")
	}
	if f.json {
		out := json.NewEncoder(os.Stdout)
		out.SetIndent("", "  ")
		return errors.Join(err, out.Encode(report), cluster.Close())
	}
	return errors.Join(err, report.Print(os.Stdout), cluster.Close())
}

// runs does the runs, the clients in turn, each beginning in turn as well.
func runs(ctx context.Context, cluster *realkafka.Cluster, f flags) (*chaos.Report, error) {
	var results []*chaos.Result
	for i := range f.runs {
		for j := range f.clients {
			o := f.of(i)
			o.Client, o.Say = f.clients[(i+j)%len(f.clients)], say
			o.Topic = fmt.Sprintf("%s-%d-%d", o.Client, o.Seed, i)
			say("run %d of %d: %s, seed %d", i+1, f.runs, o.Client, o.Seed)
			r, err := chaos.Run(ctx, cluster, o)
			if err != nil {
				return chaos.NewReport(results), fmt.Errorf("%s: %w", o.Topic, err)
			}
			results = append(results, r)
			if !r.OK() {
				say("journal: %v", r.WriteJournal(filepath.Join(cluster.Dir(), o.Topic+".journal")))
			} else if err := cluster.DeleteTopics(ctx, o.Topic); err != nil {
				return chaos.NewReport(results), err
			}
		}
	}
	return chaos.NewReport(results), nil
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
