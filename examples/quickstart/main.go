// Quickstart sends records to Kafka, synchronously and asynchronously, and reads them back with another client:
//
//	go -C examples run ./quickstart                             # with an embedded broker
//	go -C examples run ./quickstart -bootstrap localhost:9092   # with your Kafka; the topic exists, or the brokers create it
//
// Copy this file into a program of your own, without the parts between "Demo begins" and "Demo ends". The demo's
// plumbing is in demo.go: the embedded broker and the reader. The other parts need only package producer.
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
	"strings"
	"time"

	"github.com/gosamsa/samsa/producer"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		log.Fatal(err)
	}
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(out)
	bootstrap := flags.String("bootstrap", "",
		"`host:port` of a broker, several with commas between; empty starts an embedded broker")
	topic := flags.String("topic", "samsa-quickstart", "`name` of the topic")
	count := flags.Int("records", 10_000, "`number` of records that are sent asynchronously")
	if err := flags.Parse(args); err != nil {
		return err
	}

	fmt.Fprintln(out, "1. A broker and a topic")
	servers := strings.Split(*bootstrap, ",")
	// Demo begins: the embedded broker.
	if *bootstrap == "" {
		broker, err := startBroker(*topic)
		if err != nil {
			return err
		}
		defer broker.Close()
		servers = broker.ListenAddrs()
		fmt.Fprintln(out, "   The broker is kfake (github.com/twmb/franz-go/pkg/kfake), a fake Kafka embedded in this process.")
	}
	// Demo ends.
	fmt.Fprintf(out, "   It listens on %s. The topic is %s.\n\n", strings.Join(servers, ", "), *topic)

	cfg := producer.DefaultConfig(servers...)                  // acks=all and idempotence
	cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil)) // nil is slog.Default() for warnings and errors
	// Demo begins: the acknowledgements, to compare them with the log.
	acknowledged := &recorder{}
	cfg.Interceptors = []producer.Interceptor{acknowledged}
	// Demo ends.
	p, err := producer.New(cfg) // one for the whole program, safe for many goroutines
	if err != nil {
		return err
	}
	defer func() { // Close delivers the buffered records, within its own context
		limit, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = errors.Join(err, p.Close(limit))
	}()

	if err := sendSync(ctx, p, *topic, out); err != nil {
		return err
	}
	if err := sendAsync(ctx, p, *topic, *count, out); err != nil {
		return err
	}
	// Demo begins: another client reads the log.
	if err := compare(ctx, servers, *topic, acknowledged.sent, out); err != nil {
		return err
	}
	// Demo ends.
	fmt.Fprintln(out, "\nRead next: examples/quickstart/main.go, the program that ran just now; then README.md.")
	return nil
}

// sendSync sends records one after the other: Get waits until the broker has acknowledged the record.
func sendSync(ctx context.Context, p *producer.Producer, topic string, out io.Writer) error {
	fmt.Fprintln(out, "2. Synchronous: Send, then Get waits until the broker has the record")
	for i := range 3 {
		record := &producer.Record{Topic: topic, Key: fmt.Appendf(nil, "greeting-%d", i), Value: []byte("hello, Kafka")}
		metadata, err := p.Send(ctx, record, nil).Get(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "   %s is in partition %d at offset %d\n", record.Key, metadata.Partition, metadata.Offset)
	}
	fmt.Fprintln(out)
	return nil
}

// sendAsync sends records without waiting for each. A callback gets the outcome of its record.
func sendAsync(ctx context.Context, p *producer.Producer, topic string, count int, out io.Writer) error {
	fmt.Fprintln(out, "3. Asynchronous: Send returns at once, a callback gets the outcome")
	errs := make([]error, count)
	record := producer.Record{Topic: topic}
	for i := range count {
		// The record and its bytes are free for reuse when Send returns.
		record.Key = fmt.Appendf(record.Key[:0], "key-%d", i%100)
		record.Value = fmt.Appendf(record.Value[:0], "%d", i)
		p.Send(ctx, &record, func(_ producer.RecordMetadata, err error) { errs[i] = err })
	}
	if err := p.Flush(ctx); err != nil { // waits for all outcomes and their callbacks
		return err
	}
	fates := map[producer.Fate]int{}
	for _, err := range errs {
		fates[producer.FateOf(err)]++ // the fate decides the next step; examples/import shows it
	}
	fmt.Fprintf(out, "   %d sent: %d acknowledged, %d failed\n\n", count, fates[producer.FateAcknowledged],
		count-fates[producer.FateAcknowledged])
	return errors.Join(errs...)
}
