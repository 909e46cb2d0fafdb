// Sync sends records one at a time and waits for each: the simplest way to send, and the slowest. Many goroutines share
// one producer, and their records share batches. It also shows the fates of records that fail.
//
//	go -C examples run ./sync -bootstrap localhost:9092
//
// Copy this file into a program of your own: its only dependency is package producer. The topic exists, or the brokers
// create it. Without a Kafka, start examples/broker.
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
	"sync"
	"time"

	"github.com/gosamsa/samsa/producer"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		log.Fatal(err)
	}
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("sync", flag.ContinueOnError)
	flags.SetOutput(out)
	bootstrap := flags.String("bootstrap", "localhost:9092", "`host:port` of a broker, several with commas between")
	topic := flags.String("topic", "samsa-sync", "`name` of the topic")
	count := flags.Int("records", 1000, "`number` of records that are sent, in all")
	goroutines := flags.Int("goroutines", 16, "`number` of goroutines that send together")
	if err := flags.Parse(args); err != nil {
		return err
	}
	cfg := producer.DefaultConfig(strings.Split(*bootstrap, ",")...)
	cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	p, err := producer.New(cfg)
	if err != nil {
		return err
	}
	defer func() {
		// No record is buffered, because each Get has returned: Close ends the connections.
		limit, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = errors.Join(err, p.Close(limit))
	}()

	if err := one(ctx, p, *topic, out); err != nil {
		return err
	}
	if err := many(ctx, p, *topic, *count, *goroutines, out); err != nil {
		return err
	}
	return failures(ctx, p, *topic, out)
}

// one sends a single record with all fields.
func one(ctx context.Context, p *producer.Producer, topic string, out io.Writer) error {
	place, err := p.Send(ctx, &producer.Record{
		Topic:     topic,
		Key:       []byte("order-17"), // records with one key go to one partition, in order
		Value:     []byte(`{"state":"paid"}`),
		Headers:   []producer.Header{{Key: "trace", Value: []byte("8b2f")}},
		Timestamp: time.Now(), // the default
	}, nil).Get(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "One record: partition %d, offset %d, timestamp %s\n\n",
		place.Partition, place.Offset, place.Timestamp.UTC().Format(time.RFC3339Nano))
	return nil
}

// many sends from several goroutines. Get sends the record's batch without waiting for linger.ms.
func many(ctx context.Context, p *producer.Producer, topic string, count, goroutines int, out io.Writer) error {
	start := time.Now()
	errs := make([]error, goroutines)
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := g; i < count && errs[g] == nil; i += goroutines {
				_, errs[g] = p.Send(ctx, &producer.Record{Topic: topic, Value: fmt.Appendf(nil, "%d", i)}, nil).Get(ctx)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	took := time.Since(start)
	fmt.Fprintf(out, "%d goroutines: %d records in %v, with a Get for each: %v a record and goroutine\n\n",
		goroutines, count, took.Round(time.Millisecond),
		(took * time.Duration(goroutines) / time.Duration(max(count, 1))).Round(time.Microsecond))
	return nil
}

// failures sends records that fail. The fate of an error decides about the record; the reason is a label for metrics.
func failures(ctx context.Context, p *producer.Producer, topic string, out io.Writer) error {
	ended, cancel := context.WithCancel(ctx)
	cancel()
	attempts := []struct {
		what   string
		ctx    context.Context
		record producer.Record
		want   error
	}{
		{"a record larger than max.request.size", ctx, producer.Record{Topic: topic, Value: make([]byte, 2<<20)},
			producer.ErrRecordTooLarge},
		{"a partition that the topic does not have", ctx, producer.Record{Topic: topic,
			Partition: producer.InPartition(999)}, producer.ErrInvalidPartition},
		{"an illegal topic name", ctx, producer.Record{Topic: "no spaces, please"}, producer.ErrInvalidTopic},
		{"a context that has ended", ended, producer.Record{Topic: topic}, context.Canceled},
	}
	fmt.Fprintln(out, "Errors and their fates:")
	for _, a := range attempts {
		_, err := p.Send(a.ctx, &a.record, nil).Get(ctx)
		if !errors.Is(err, a.want) {
			return fmt.Errorf("%s: got %w", a.what, err)
		}
		fmt.Fprintf(out, "- %s\n    %v\n    fate: %v; reason: %s\n", a.what, err, producer.FateOf(err),
			producer.Reason(err))
	}
	return nil
}
