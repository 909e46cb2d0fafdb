// Async sends without waiting for each record: with callbacks, as slices, and with a record taken back. It is the way to send
// many records.
//
//	go run ./examples/async
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/gosamsa/samsa/examples/internal/lab"
	"github.com/gosamsa/samsa/producer"
)

const about = `Sends records without waiting for each: callbacks, slices, Cancel, Flush and Close.`

func main() { lab.Main(run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	flags, bootstrap := lab.Flags("async", about, out)
	topic := flags.String("topic", "samsa-async", "`name` of the topic; created if it is not there")
	count := lab.Count(flags, "records", 20000, "how `many` records are sent in each of the two ways")
	if err := lab.Parse(flags, args); err != nil {
		return err
	}
	l, err := lab.Open(ctx, *bootstrap, 3, *topic)
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Fprintf(out, "The broker is %s.\n\n", l.Describe())

	cfg := producer.DefaultConfig(l.Servers...)
	cfg.Linger = 10 * time.Millisecond
	cfg.Compression = producer.CompressionLZ4
	p, err := producer.New(cfg)
	if err != nil {
		return err
	}
	if err := callbacks(ctx, p, *topic, *count, out); err != nil {
		return err
	}
	if err := inSlices(ctx, p, *topic, *count, out); err != nil {
		return err
	}
	kept, err := takenBack(ctx, p, *topic, out)
	if err != nil {
		return err
	}
	if err := closed(p, out); err != nil {
		return err
	}

	want := 2**count + kept
	records, err := l.ReadBack(ctx, *topic, want)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nAnother client (franz-go) reads %d records; %d were acknowledged.\n", len(records), want)
	if len(records) != want {
		return errors.New("what was read is not what was acknowledged")
	}
	return nil
}

// tally counts outcomes. Callbacks of one partition run one after the other, in the order of sending; those of different
// partitions run at the same time, so what they share is atomic.
type tally struct {
	acknowledged, failed atomic.Int64
	first                atomic.Pointer[error] // the first failure
}

func (t *tally) outcome(_ producer.Metadata, err error) {
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

// callbacks sends records one by one. Send only waits when buffer.memory is full: that is the backpressure.
func callbacks(ctx context.Context, p *producer.Producer, topic string, count int, out io.Writer) error {
	var t tally
	record := producer.Record{Topic: topic}
	start := time.Now()
	for i := range count {
		// What Send was given is free for reuse when it returns.
		record.Key = fmt.Appendf(record.Key[:0], "user-%d", i%1000)
		record.Value = fmt.Appendf(record.Value[:0], `{"event":"click","number":%d}`, i)
		p.Send(ctx, &record, t.outcome)
	}
	accepted := time.Since(start)
	records, bytes := p.Buffered()
	if err := p.Flush(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "Callbacks: %d records accepted in %v, with %d (%d bytes) still on their way; %d acknowledged after %v\n",
		count, accepted.Round(time.Millisecond), records, bytes, t.acknowledged.Load(), time.Since(start).Round(time.Millisecond))
	return t.err()
}

// inSlices sends a hundred records with each call, which costs less than a hundred calls.
func inSlices(ctx context.Context, p *producer.Producer, topic string, count int, out io.Writer) error {
	var t tally
	batch := make([]producer.Record, 0, 100)
	send := func() {
		p.SendAll(ctx, batch, func(_ int, m producer.Metadata, err error) { t.outcome(m, err) }, nil)
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

// takenBack cancels a record while it lingers, and returns how many of its two records were sent.
func takenBack(ctx context.Context, p *producer.Producer, topic string, out io.Writer) (sent int, err error) {
	regretted := p.Send(ctx, &producer.Record{Topic: topic, Partition: producer.PartitionOf(0), Value: []byte("no, wait")}, nil)
	neighbour := p.Send(ctx, &producer.Record{Topic: topic, Partition: producer.PartitionOf(0), Value: []byte("goes")}, nil)
	sent = 2
	if regretted.Cancel() {
		sent--
	}
	_, outcome := regretted.Get(ctx)
	place, err := neighbour.Get(ctx)
	if err != nil {
		return sent, err
	}
	fmt.Fprintf(out, "Cancel:    the record's outcome is %q; its neighbour is at offset %d\n", fmt.Sprint(outcome), place.Offset)
	return sent, nil
}

// closed shows the end: Close delivers what is buffered, and whatever is sent later fails.
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
	fmt.Fprintf(out, "Close:     done; a later Send says %q\n", err)
	return nil
}
