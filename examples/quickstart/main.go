// Quickstart shows the whole way once: a broker, a topic, records sent synchronously and asynchronously, and what another
// client reads back.
//
//	go run ./examples/quickstart                             # brings its own broker
//	go run ./examples/quickstart -bootstrap localhost:9092   # a real one; the topic is created there
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gosamsa/samsa/examples/internal/lab"
	"github.com/gosamsa/samsa/producer"
)

const about = `Sends records into Kafka, synchronously and asynchronously, and reads them back with another client.`

func main() { lab.Main(run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	flags, bootstrap := lab.Flags("quickstart", about, out)
	topic := flags.String("topic", "samsa-quickstart", "`name` of the topic; created if it is not there")
	count := lab.Count(flags, "records", 10000, "how `many` records are sent asynchronously")
	if err := lab.Parse(flags, args); err != nil {
		return err
	}

	fmt.Fprintln(out, "1. A broker and a topic")
	l, err := lab.Open(ctx, *bootstrap, 3, *topic)
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Fprintf(out, "   The broker is %s.\n   The topic is %s.\n\n", l.Describe(), *topic)

	cfg := producer.DefaultConfig(l.Servers...)
	cfg.ClientID = "quickstart"
	p, err := producer.New(cfg)
	if err != nil {
		return err
	}
	const synchronous = 3
	err = errors.Join(sendSync(ctx, p, *topic, synchronous, out), sendAsync(ctx, p, *topic, *count, out), closeWithin(p, 10*time.Second))
	if err != nil {
		return err
	}

	fmt.Fprintln(out, "4. What another client reads back (franz-go)")
	return compare(ctx, l, *topic, synchronous, *count, out)
}

// sendSync sends one record after the other and waits for each.
func sendSync(ctx context.Context, p *producer.Producer, topic string, count int, out io.Writer) error {
	fmt.Fprintln(out, "2. Synchronous: Send, then Get waits until the broker has the record")
	for i := range count {
		record := &producer.Record{Topic: topic, Key: fmt.Appendf(nil, "greeting-%d", i), Value: []byte("hello, Kafka")}
		place, err := p.Send(ctx, record, nil).Get(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "   %s is in partition %d at offset %d\n", record.Key, place.Partition, place.Offset)
	}
	fmt.Fprintln(out)
	return nil
}

// sendAsync sends without waiting; the callback gets each outcome.
func sendAsync(ctx context.Context, p *producer.Producer, topic string, count int, out io.Writer) error {
	fmt.Fprintln(out, "3. Asynchronous: Send returns at once, a callback gets the outcome")
	var acknowledged, failed atomic.Int64
	var first atomic.Pointer[error]
	outcome := func(_ producer.Metadata, err error) {
		if err != nil {
			failed.Add(1)
			first.CompareAndSwap(nil, &err)
			return
		}
		acknowledged.Add(1)
	}
	record := producer.Record{Topic: topic}
	for i := range count {
		// The record and its bytes may be used again as soon as Send has returned.
		record.Key = fmt.Appendf(record.Key[:0], "key-%d", i%100)
		record.Value = fmt.Appendf(record.Value[:0], "%d", i)
		p.Send(ctx, &record, outcome)
	}
	if err := p.Flush(ctx); err != nil { // waits for all of them, and for their callbacks
		return err
	}
	fmt.Fprintf(out, "   %d sent: %d acknowledged, %d failed\n\n", count, acknowledged.Load(), failed.Load())
	if err := first.Load(); err != nil {
		return *err
	}
	return nil
}

func closeWithin(p *producer.Producer, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return p.Close(ctx)
}

// compare reads the topic and looks for what is missing, there twice, or out of order.
func compare(ctx context.Context, l *lab.Lab, topic string, synchronous, asynchronous int, out io.Writer) error {
	records, err := l.ReadBack(ctx, topic, synchronous+asynchronous)
	if err != nil {
		return err
	}
	partitions := map[int32]int{}
	times := map[string]int{} // how often each record was read
	last := map[string]int{}  // the last number read of each key
	disordered := 0
	for _, r := range records {
		partitions[r.Partition]++
		times[string(r.Key)+"="+string(r.Value)]++
		var number int
		if _, err := fmt.Sscan(string(r.Value), &number); err != nil {
			continue // a greeting
		}
		if before, seen := last[string(r.Key)]; seen && number < before {
			disordered++
		}
		last[string(r.Key)] = number
	}
	for _, partition := range slices.Sorted(maps.Keys(partitions)) {
		fmt.Fprintf(out, "   partition %d: %d records\n", partition, partitions[partition])
	}
	missing, twice := synchronous+asynchronous-len(times), len(records)-len(times)
	fmt.Fprintf(out, "   %d sent, %d read: %d missing, %d twice, %d out of order\n",
		synchronous+asynchronous, len(records), missing, twice, disordered)
	if missing != 0 || twice != 0 || disordered != 0 {
		return errors.New("what was read is not what was sent")
	}
	return nil
}
