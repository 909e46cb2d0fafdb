// Profiles runs the three ways to deliver side by side: fast, balanced and safe. For each it prints how many records a
// second it takes, how long one acknowledgement takes, and what that acknowledgement means.
//
//	go -C examples run ./profiles -bootstrap localhost:9092
//
// Copy this file into a program of your own: its only dependency is package producer. The topic exists, or the brokers
// create it. On one broker the profiles differ little. On three brokers the safe one costs the way to the followers.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/gosamsa/samsa/producer"
)

// profile is one way to deliver.
type profile struct {
	name      string
	configure func(*producer.Config)
	meaning   string
}

var profiles = []profile{
	{
		name: "fast",
		configure: func(c *producer.Config) {
			c.Acks = producer.AcksNone
			c.EnableIdempotence = false
		},
		meaning: "The bytes were handed to the operating system. No answer is waited for: a broker that dies takes records with it,\n" +
			"nobody is told, nothing is sent again, and there is no offset.",
	}, {
		name: "balanced",
		configure: func(c *producer.Config) {
			c.Acks = producer.AcksLeader
			c.EnableIdempotence = false
		},
		meaning: "The partition's leader has the record. What its followers have not copied yet is lost when it dies: rare, but possible.\n" +
			"Without idempotence a retry can write a record twice or change the order.",
	}, {
		name:      "safe",
		configure: func(*producer.Config) {}, // the default
		meaning: "All in-sync replicas have the record, once and in order. How many that are is the topic's business: with replication factor 3\n" +
			"and min.insync.replicas=2 any one broker may die. With min.insync.replicas=1 it is no better than balanced; with 3, one\n" +
			"broker that is down stops every write until it is back.",
	},
}

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		log.Fatal(err)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("profiles", flag.ContinueOnError)
	flags.SetOutput(out)
	bootstrap := flags.String("bootstrap", "localhost:9092", "`host:port` of a broker, several with commas between")
	topic := flags.String("topic", "samsa-profiles", "`name` of the topic")
	count := flags.Int("records", 100_000, "`number` of records that each profile sends for the rate")
	size := flags.Int("size", 100, "`bytes` of each value")
	waits := flags.Int("waits", 200, "`number` of records that each profile sends one after the other for the latency")
	if err := flags.Parse(args); err != nil {
		return err
	}
	servers := strings.Split(*bootstrap, ",")
	fmt.Fprintf(out, "Each profile sends %d records of %d bytes for the rate, then %d one after the other for the latency.\n\n", *count, *size, *waits)

	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "profile\tacks\tidempotent\trecords/s\tlatency p50\tp99\tacknowledged\tfailed\twith an offset")
	for _, p := range profiles { // the first round warms the broker up; its results are not printed
		if _, err := p.measure(ctx, servers, *topic, *count, *waits, make([]byte, *size)); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	for _, p := range profiles {
		r, err := p.measure(ctx, servers, *topic, *count, *waits, make([]byte, *size))
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		fmt.Fprintf(table, "%s\t%s\t%t\t%.0f\t%v\t%v\t%d\t%d\t%d\n",
			p.name, r.acks, r.idempotent, r.rate, r.p50, r.p99, r.acknowledged, r.failed, r.placed)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nWhat an acknowledgement means:")
	for _, p := range profiles {
		fmt.Fprintf(out, "\n%s\n%s\n", p.name, p.meaning)
	}
	return nil
}

type result struct {
	acks         producer.Acks
	idempotent   bool
	rate         float64
	p50, p99     time.Duration
	acknowledged int64
	failed       int64
	placed       int64 // acknowledged, with an offset
}

// measure sends in one profile.
func (p profile) measure(ctx context.Context, servers []string, topic string, count, waits int, value []byte) (r result,
	err error) {
	cfg := producer.DefaultConfig(servers...)
	cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	p.configure(&cfg)
	r.acks, r.idempotent = cfg.Acks, cfg.EnableIdempotence
	kafka, err := producer.New(cfg)
	if err != nil {
		return r, err
	}
	defer func() {
		limit, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = errors.Join(err, kafka.Close(limit))
	}()
	if _, err := kafka.PartitionsFor(ctx, topic); err != nil { // the first Send finds the topic's metadata
		return r, err
	}

	var acknowledged, failed, placed atomic.Int64
	outcome := func(m producer.RecordMetadata, err error) {
		switch {
		case err != nil:
			failed.Add(1)
		case m.Offset >= 0:
			placed.Add(1)
			acknowledged.Add(1)
		default:
			acknowledged.Add(1)
		}
	}
	record := producer.Record{Topic: topic, Value: value}
	start := time.Now()
	for range count {
		kafka.Send(ctx, &record, outcome)
	}
	if err := kafka.Flush(ctx); err != nil {
		return r, err
	}
	r.rate = float64(count) / time.Since(start).Seconds()

	latencies := make([]time.Duration, 0, waits)
	for range waits {
		start := time.Now()
		if _, err := kafka.Send(ctx, &record, outcome).Get(ctx); err != nil {
			return r, err
		}
		latencies = append(latencies, time.Since(start))
	}
	r.p50, r.p99 = percentile(latencies, 50), percentile(latencies, 99)
	if err := kafka.Flush(ctx); err != nil { // the last callbacks
		return r, err
	}
	r.acknowledged, r.failed, r.placed = acknowledged.Load(), failed.Load(), placed.Load()
	return r, nil
}

// percentile returns the smallest duration that is at least as long as percent of the durations.
func percentile(durations []time.Duration, percent int) time.Duration {
	if len(durations) == 0 {
		return 0
	}
	slices.Sort(durations)
	at := (len(durations)*percent + 99) / 100
	return durations[max(at, 1)-1].Round(time.Microsecond)
}
