// Durability shows the losses of each of the three ways to deliver when brokers die. It starts three real Kafka
// brokers, sends numbered records through each profile, kills (-9) the partition's leader in the middle, and then
// compares the producer's outcomes with the records from Kafka's own consumer. Last, it sends with one broker down and
// min.insync.replicas 1, 2 and 3.
//
//	go -C internal/itest run ./durability
//
// It is a demonstration and no example to copy: it starts and kills brokers with the packages of the tests. It needs
// Java 17 and Maven (to fetch Kafka once), and runs for about two minutes. The profiles are in profiles.go, the sending
// in ledger.go and stream.go; kill.go and insync.go break things.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/gosamsa/samsa/internal/itest/realkafka"
)

const about = `Shows what the profiles fast, balanced and safe lose when the broker that leads the partition is killed, and what
min.insync.replicas changes when one broker is down.

It kills brokers, so it starts its own, three of them, and takes no -bootstrap. That needs Java 17 or newer, and Maven, which
fetches Kafka at the first run. It runs for about two minutes.`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		log.Fatal(err)
	}
}

// demo is one run of the program.
type demo struct {
	cluster *realkafka.Cluster
	out     io.Writer

	records, waits int           // for the speed
	rate, size     int           // of the streams
	pause          time.Duration // of the followers
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	d := demo{out: out}
	flags := flag.NewFlagSet("durability", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Usage = func() {
		fmt.Fprintf(out, "%s\n\nFlags:\n", about)
		flags.PrintDefaults()
	}
	flags.IntVar(&d.records, "records", 100000, "how `many` records each profile sends for its speed")
	flags.IntVar(&d.waits, "waits", 200, "how `many` records each profile sends one after the other for its latency")
	flags.IntVar(&d.rate, "rate", 5000, "records a `second` that each profile sends while brokers die")
	flags.IntVar(&d.size, "size", 100, "`bytes` of each value")
	flags.DurationVar(&d.pause, "pause", 700*time.Millisecond,
		"how long the followers are behind in part 3; more than 2s, and they may be taken for dead")
	version := flags.String("kafka", realkafka.DefaultVersion, "`version` of Kafka")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if min(d.records, d.waits, d.rate, d.size) < 1 {
		return errors.New("-records, -waits, -rate, and -size are numbers from 1 on")
	}
	fmt.Fprintf(out, "Three brokers, Kafka %s, start on this machine. Topics have one partition with three replicas and min.insync.replicas=2.\n\n", *version)
	d.cluster, err = realkafka.Launch(ctx, realkafka.Options{Version: *version, Nodes: 3, MinInSync: 2})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.cluster.Close()) }()
	return d.show(ctx)
}

// show runs the four parts. A broken promise does not end it: the rest is shown, too.
func (d *demo) show(ctx context.Context) error {
	if err := d.speed(ctx); err != nil {
		return err
	}
	var broken []error
	for _, r := range rounds(d.pause) {
		accounts, err := d.kill(ctx, r)
		if err != nil {
			return errors.Join(append(broken, err)...)
		}
		for i, a := range accounts {
			broken = append(broken, a.broken(profiles[i].name, profiles[i].promises))
		}
	}
	accounts, err := d.inSync(ctx)
	for i, a := range accounts {
		broken = append(broken, a.broken(settings[i].topic, true))
	}
	if err := errors.Join(append(broken, err)...); err != nil {
		return err
	}
	fmt.Fprintln(d.out, `
Every record was told its fate once. None that was told "not written" is in a log. With acks=all and idempotence
nothing that was told acknowledged is lost, and nothing is there twice.`)
	return nil
}

// broken lists the broken promises. promises are the promises of acks=all and idempotence: nothing lost, nothing twice.
// The others hold always.
func (a account) broken(name string, promises bool) error {
	var errs []error
	must := func(n int, what string) {
		if n != 0 {
			errs = append(errs, fmt.Errorf("%s: %d %s", name, n, what))
		}
	}
	must(a.untold, "without an outcome")
	must(a.again, "outcomes too many")
	must(a.lies, "told not written, and in the log")
	must(a.strangers, "in the log that nobody sent")
	if promises {
		must(a.lost, "acknowledged and lost")
		must(a.twice, "in the log twice")
	}
	return errors.Join(errs...)
}

// table prints rows in columns, indented as the text around it.
func (d *demo) table(head string, rows ...string) error {
	table := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	for _, row := range append([]string{head}, rows...) {
		fmt.Fprintln(table, "   "+row)
	}
	return table.Flush()
}

// clock prints the events, with the time since its start.
type clock struct {
	out   io.Writer
	begin time.Time
}

func (d *demo) newClock() clock { return clock{out: d.out, begin: time.Now()} }

func (c clock) say(format string, args ...any) {
	fmt.Fprintf(c.out, "   %5.1f s  %s\n", time.Since(c.begin).Seconds(), fmt.Sprintf(format, args...))
}

// create creates topics and waits until they can be written to.
func (d *demo) create(ctx context.Context, topics ...realkafka.Topic) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("creating topics took too long"))
	defer cancel()
	return d.cluster.CreateTopics(ctx, topics...)
}

// read reads topics to their end with Kafka's own consumer.
func (d *demo) read(ctx context.Context, topics []string) (map[string][]realkafka.Record, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("reading took too long"))
	defer cancel()
	return d.cluster.ReadAll(ctx, topics...)
}

// patience is how long one step may take before the demonstration gives up.
const patience = 3 * time.Minute

// await asks until the answer is yes.
func await(ctx context.Context, what string, done func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("it took too long"))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		attempt, end := context.WithTimeout(ctx, 5*time.Second)
		yes, err := done(attempt)
		end()
		if yes && err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", what, errors.Join(context.Cause(ctx), err))
		}
	}
}
