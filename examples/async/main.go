// Async sends many records without waiting for each: with callbacks, and as slices. It also cancels a record, and
// closes the producer.
//
//	go -C examples run ./async -bootstrap localhost:9092
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
	"sync/atomic"
	"time"

	"github.com/gosamsa/samsa/producer"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		log.Fatal(err)
	}
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("async", flag.ContinueOnError)
	flags.SetOutput(out)
	bootstrap := flags.String("bootstrap", "localhost:9092", "`host:port` of a broker, several with commas between")
	topic := flags.String("topic", "samsa-async", "`name` of the topic")
	count := flags.Int("records", 20_000, "`number` of records that are sent in each of the two ways")
	if err := flags.Parse(args); err != nil {
		return err
	}

	cfg := producer.DefaultConfig(strings.Split(*bootstrap, ",")...)
	cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	cfg.Linger = 10 * time.Millisecond
	cfg.Compression = producer.CompressionLZ4
	p, err := producer.New(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closed(p, out)) }()
	if err := callbacks(ctx, p, *topic, *count, out); err != nil {
		return err
	}
	if err := inSlices(ctx, p, *topic, *count, out); err != nil {
		return err
	}
	return canceled(ctx, p, *topic, out)
}

// tally counts outcomes. Callbacks of one partition run one after the other, in the order of sending; those of
// different partitions run at the same time, so their shared state is atomic.
type tally struct {
	acknowledged, failed atomic.Int64
	first                atomic.Pointer[error] // the first failure
}

func (t *tally) outcome(_ producer.RecordMetadata, err error) {
	if err == nil {
		t.acknowledged.Add(1)
		return
	}
	t.failed.Add(1)
	t.first.CompareAndSwap(nil, &err)
}

func (t *tally) err() error {
	if first := t.first.Load(); first != nil {
		return fmt.Errorf("%d records failed, the first with: %w", t.failed.Load(), *first)
	}
	return nil
}

// callbacks sends records one by one. Send waits only while buffer.memory is full: this is the backpressure.
func callbacks(ctx context.Context, p *producer.Producer, topic string, count int, out io.Writer) error {
	var t tally
	record := producer.Record{Topic: topic}
	start := time.Now()
	for i := range count {
		// The record and its bytes are free for reuse when Send returns.
		record.Key = fmt.Appendf(record.Key[:0], "user-%d", i%1000)
		record.Value = fmt.Appendf(record.Value[:0], `{"event":"click","number":%d}`, i)
		p.Send(ctx, &record, t.outcome)
	}
	accepted := time.Since(start)
	records, bytes := p.Buffered()
	if err := p.Flush(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "Callbacks: %d records accepted in %v, %d of them (%d bytes) still buffered; %d acknowledged after %v\n",
		count, accepted.Round(time.Millisecond), records, bytes, t.acknowledged.Load(),
		time.Since(start).Round(time.Millisecond))
	return t.err()
}

// inSlices sends a hundred records with each call, cheaper than a hundred calls.
func inSlices(ctx context.Context, p *producer.Producer, topic string, count int, out io.Writer) error {
	var t tally
	batch := make([]producer.Record, 0, 100)
	send := func() {
		p.SendAllFunc(ctx, batch, func(_ int, m producer.RecordMetadata, err error) { t.outcome(m, err) }, nil)
		batch = batch[:0]
	}
	start := time.Now()
	for i := range count {
		batch = append(batch, producer.Record{Topic: topic, Value: fmt.Appendf(nil, `{"event":"view","number":%d}`, i)})
		if len(batch) == cap(batch) {
			send()
		}
	}
	send()
	if err := p.Flush(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "SendAll:   %d records, 100 a call; %d acknowledged after %v\n",
		count, t.acknowledged.Load(), time.Since(start).Round(time.Millisecond))
	return t.err()
}

// canceled withdraws a record while its batch waits for linger.ms. The other record of the batch stays.
func canceled(ctx context.Context, p *producer.Producer, topic string, out io.Writer) error {
	first := p.Send(ctx, &producer.Record{Topic: topic, Partition: producer.InPartition(0), Value: []byte("withdrawn")},
		nil)
	second := p.Send(ctx, &producer.Record{Topic: topic, Partition: producer.InPartition(0), Value: []byte("stays")},
		nil)
	withdrawn := first.Cancel() // false if the batch was sent meanwhile
	_, outcome := first.Get(ctx)
	metadata, err := second.Get(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Cancel:    %t; the outcome of the record is \"%v\"; the other record is at offset %d\n",
		withdrawn, outcome, metadata.Offset)
	return nil
}

// closed delivers the buffered records, within a limit. Later Sends fail.
func closed(p *producer.Producer, out io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := p.Close(ctx); err != nil {
		return err
	}
	_, err := p.Send(ctx, &producer.Record{Topic: "any"}, nil).Get(ctx)
	if !errors.Is(err, producer.ErrClosed) {
		return fmt.Errorf("a send after Close: %w", err)
	}
	fmt.Fprintf(out, "Close:     done; a later Send fails with %q\n", err)
	return nil
}
