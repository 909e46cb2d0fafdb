// Profiles runs the three ways to deliver side by side: fast, balanced and safe. For each it prints how many records a second it takes,
// how long one acknowledgement takes, and what that acknowledgement means.
//
//	go run ./examples/profiles
//	go run ./examples/profiles -bootstrap localhost:9092
//
// On kfake, one broker in memory, the three differ little. On three real brokers safe costs the way to the followers.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/gosamsa/samsa/examples/internal/lab"
	"github.com/gosamsa/samsa/producer"
)

const about = `Runs the three delivery profiles side by side: rate, latency, and what an acknowledgement means.`

// profile is one way to deliver.
type profile struct {
	name      string
	topic     string
	configure func(*producer.Config)
	meaning   string
}

var profiles = []profile{
	{
		name: "fast", topic: "samsa-profile-fast",
		configure: func(c *producer.Config) {
			c.Acks = producer.AcksNone
			c.EnableIdempotence = false
		},
		meaning: "The bytes were handed to the operating system. No answer is waited for: a broker that dies takes records with it,\n" +
			"nobody is told, nothing is sent again, and there is no offset.",
	}, {
		name: "balanced", topic: "samsa-profile-balanced",
		configure: func(c *producer.Config) {
			c.Acks = producer.AcksLeader
			c.EnableIdempotence = false
		},
		meaning: "The partition's leader has the record. What its followers have not copied yet is lost when it dies: rare, but possible.\n" +
			"Without idempotence a retry can write a record twice or change the order.",
	}, {
		name: "safe", topic: "samsa-profile-safe",
		configure: func(*producer.Config) {}, // the default
		meaning: "All in-sync replicas have the record, once and in order. How many that are is the topic's business: with replication factor 3\n" +
			"and min.insync.replicas=2 any one broker may die. With min.insync.replicas=1 it is no better than balanced; with 3, one\n" +
			"broker that is down stops every write until it is back.",
	},
}

func main() { lab.Main(run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	flags, bootstrap := lab.Flags("profiles", about, out)
	count := lab.Count(flags, "records", 100000, "how `many` records are sent in each profile for the rate")
	size := lab.Count(flags, "size", 100, "`bytes` of each value")
	waits := lab.Count(flags, "waits", 200, "how `many` records are sent one after the other for the latency")
	if err := lab.Parse(flags, args); err != nil {
		return err
	}
	topics := make([]string, 0, len(profiles))
	for _, p := range profiles {
		topics = append(topics, p.topic)
	}
	l, err := lab.Open(ctx, *bootstrap, 3, topics...)
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Fprintf(out, "The broker is %s.\nEach profile sends %d records of %d bytes for the rate, then %d one after the other for the latency.\n\n",
		l.Describe(), *count, *size, *waits)

	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "profile\tacks\tidempotent\trecords/s\tlatency p50\tp99\tacknowledged\tfailed\twith an offset\tread back")
	for _, p := range profiles { // a first round, not shown, so that no profile pays for a broker that is not warm yet
		if _, err := p.measure(ctx, l, *count, *waits, make([]byte, *size)); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	var errs []error
	for _, p := range profiles {
		r, err := p.measure(ctx, l, *count, *waits, make([]byte, *size))
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		fmt.Fprintf(table, "%s\t%s\t%t\t%.0f\t%v\t%v\t%d\t%d\t%d\t%d\n",
			p.name, r.acks, r.idempotent, r.rate, r.p50, r.p99, r.acknowledged, r.failed, r.placed, r.readBack)
		errs = append(errs, r.problem(p.name))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nWhat an acknowledgement means:")
	for _, p := range profiles {
		fmt.Fprintf(out, "\n%s\n%s\n", p.name, p.meaning)
	}
	return errors.Join(errs...)
}

type result struct {
	acks                                   producer.Acks
	idempotent                             bool
	rate                                   float64
	p50, p99                               time.Duration
	acknowledged, failed, placed, readBack int
}

// problem tells when the log holds less than was acknowledged. With acks=0 that is no broken promise.
func (r result) problem(name string) error {
	if r.readBack < r.acknowledged && r.acks != producer.AcksNone {
		return fmt.Errorf("%s: %d records acknowledged, but %d read back", name, r.acknowledged, r.readBack)
	}
	return nil
}

// measure sends in one profile and reads back what arrived.
func (p profile) measure(ctx context.Context, l *lab.Lab, count, waits int, value []byte) (r result, err error) {
	cfg := producer.DefaultConfig(l.Servers...)
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
	if _, err := kafka.PartitionsFor(ctx, p.topic); err != nil { // so that the first Send need not wait
		return r, err
	}

	var acknowledged, failed, placed atomic.Int64
	outcome := func(m producer.Metadata, err error) {
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
	record := producer.Record{Topic: p.topic, Value: value}
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
	r.p50, r.p99 = lab.Percentile(latencies, 50), lab.Percentile(latencies, 99)
	if err := kafka.Flush(ctx); err != nil { // the last callbacks
		return r, err
	}
	r.acknowledged, r.failed, r.placed = int(acknowledged.Load()), int(failed.Load()), int(placed.Load())
	records, err := l.ReadBack(ctx, p.topic, r.acknowledged)
	r.readBack = len(records)
	return r, err
}
