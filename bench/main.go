// Bench measures Samsa beside the other Kafka clients for Go, with the same workload through one small adapter each.
//
//	go run . -clients samsa,franz-go -mode async -size 100          # one workload, as flags say
//	go run . suite -out ../BENCHMARKS.md                             # all of them: make bench
//
// Each measurement runs in a process of its own, against a broker in another process that takes everything and keeps
// nothing, or against a real Kafka (-kafka 4.3.1, or -bootstrap host:port). Clients take turns; medians and ratios are
// printed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/gosamsa/samsa/bench/client"
	"github.com/gosamsa/samsa/bench/load"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	command := "run"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		command, args = args[0], args[1:]
	}
	switch command {
	case "run":
		return runOne(ctx, args, out)
	case "suite":
		return runSuite(ctx, args, out)
	case "worker":
		return work(ctx, in, out)
	case "broker":
		return serve(args, in, out)
	}
	return fmt.Errorf("no command is named %q; there are run, suite, and for its own use worker and broker", command)
}

// work is a measuring process: it reads the workload, and prints the result.
func work(ctx context.Context, in io.Reader, out io.Writer) error {
	var s load.Spec
	if err := json.NewDecoder(in).Decode(&s); err != nil {
		return fmt.Errorf("the workload: %w", err)
	}
	result, err := load.Run(ctx, s)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(result)
}

// runOne measures the workload described by the flags.
func runOne(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(out)
	var s load.Spec
	var where place
	clients := flags.String("clients", "samsa,franz-go", "`names` of those to measure, of "+strings.Join(client.Names(),
		", "))
	mode := flags.String("mode", string(load.Async),
		"`how` to send: async, plain (one callback, no clock), sync, slice, open (a steady rate), full (memory of a full buffer, with -deaf), topics, each, moves, blocked (see -known, -partitions, -waiting)")
	flags.IntVar(&s.Size, "size", 100, "`bytes` of a value")
	flags.IntVar(&s.Keys, "keys", 0, "how many different `keys`; 0 is records without one")
	flags.IntVar(&s.Goroutines, "goroutines", 1, "how `many` send")
	flags.IntVar(&s.Partitions, "partitions", 12, "how `many` the topic has")
	flags.StringVar(&s.Codec, "codec", "none", "none, gzip, snappy, lz4 or zstd")
	flags.BoolVar(&s.Tuned, "tuned", false, "for throughput, instead of each client's defaults")
	flags.IntVar(&s.Batch, "batch", 0, "batch size in `bytes` for all who can; 0 is each client's own")
	flags.IntVar(&s.Rate, "rate", 50_000, "records a `second` of the mode open")
	flags.IntVar(&s.Known, "known", 1000, "how `many` topics were sent to before, of the mode topics")
	flags.IntVar(&s.Waiting, "waiting", 1000, "how `many` goroutines give up, of the mode blocked with -deaf")
	flags.IntVar(&s.Brokers, "brokers", 1, "how `many` lead the partitions; all are the discarding one")
	flags.Float64Var(&s.Seconds, "seconds", 3, "how many `seconds` a measurement takes, about")
	flags.Float64Var(&s.Warm, "warm", 1, "how many `seconds` are sent before it")
	flags.StringVar(&s.Profile, "cpuprofile", "", "`file` for the profile of the last measurement; for go tool pprof")
	flags.StringVar(&where.bootstrap, "bootstrap", "", "`host:port` of a broker that is there already")
	flags.StringVar(&where.kafka, "kafka", "", "`version` of a real Kafka to start, such as 4.3.1")
	flags.IntVar(&where.nodes, "nodes", 1, "how `many` nodes it has")
	flags.BoolVar(&where.pinned, "pinned", false, "keep the discarding broker on one processor")
	flags.Float64Var(&where.warm, "warm-kafka", warmKafka,
		"how many `seconds` a real Kafka that was started here is sent to before the measurements")
	flags.BoolVar(&where.deaf, "deaf", false, "the discarding broker reads no records, for the mode full")
	runs := flags.Int("runs", 5, "how `many` measurements of each client")
	asJSON := flags.Bool("json", false, "print every measurement as JSON")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%q is no flag", flags.Arg(0))
	}
	if s.Mode = load.Mode(*mode); s.Mode != load.Topics {
		s.Known = 0
	}
	w := workload{Name: "as the flags say", Spec: s, Clients: strings.Split(*clients, ",")}
	stage, err := where.open(ctx, s.Partitions)
	if err != nil {
		return err
	}
	all, err := stage.measure(ctx, []workload{w}, *runs, func(_ workload, r load.Result) {
		if !*asJSON {
			fmt.Fprintln(out, line(r))
		}
	})
	if err = errors.Join(err, stage.close()); err != nil {
		return err
	}
	measured := all[0]
	if *asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(measured)
	}
	printMedians(out, measured, *runs)
	return nil
}

// printMedians prints the medians of each client, and their ratios to the last one.
func printMedians(out io.Writer, m measured, runs int) {
	last := m.Clients[len(m.Clients)-1]
	fmt.Fprintf(out, "\nMedians of %d, and ratios to %s:\n", runs, last)
	base := median(m.Results[last])
	for _, name := range m.Clients {
		r := median(m.Results[name])
		fmt.Fprintf(out, "%s   rate ×%.2f  CPU ×%.2f  p50 ×%.2f  p99 ×%.2f  wire ×%.3f\n", line(r), r.Rate/base.Rate,
			r.CPU/base.CPU,
			r.P50/base.P50, r.P99/base.P99, r.Wire/base.Wire)
	}
}

// line is a result in one line.
func line(r load.Result) string {
	return fmt.Sprintf("%-19s %9.0f rec/s  CPU %6.0f ns  %6.2f allocs %6.0f B  p50 %-9v p99 %-9v p99.9 %-9v wire %6.1f B  %5.0f rec/batch  RSS %3d MiB%s",
		r.Client, r.Rate, r.CPU, r.Allocs, r.Alloced, nice(r.P50), nice(r.P99), nice(r.P999), r.Wire, r.PerBatch,
		r.RSS>>20, trouble(r))
}

func trouble(r load.Result) string {
	if r.Failed == 0 {
		return ""
	}
	return fmt.Sprintf("  %d FAILED: %s", r.Failed, r.Failure)
}
