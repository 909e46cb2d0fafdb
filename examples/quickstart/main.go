// Quickstart sends records to Kafka, synchronously and asynchronously, and reads them back with another client:
//
//	go -C examples run ./quickstart                             # with an embedded broker
//	go -C examples run ./quickstart -bootstrap localhost:9092   # with your Kafka; the topic exists, or the brokers create it
//
// Copy this file into a program of your own. Delete the parts between "Demo begins" and "Demo ends": the embedded broker and the reader, and
// with them the imports of github.com/twmb/franz-go. The other parts need only package producer.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gosamsa/samsa/producer"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		log.Fatal(err)
	}
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(out)
	bootstrap := flags.String("bootstrap", "", "`host:port` of a broker, several with commas between; empty starts an embedded broker")
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
	defer func() { // Close delivers what is buffered, within its own context
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
		fates[producer.FateOf(err)]++ // the fate decides what to do next; examples/import shows it
	}
	fmt.Fprintf(out, "   %d sent: %d acknowledged, %d failed\n\n", count, fates[producer.FateAcknowledged], count-fates[producer.FateAcknowledged])
	return errors.Join(errs...)
}

// Demo begins: the rest of the file.

// startBroker starts a Kafka inside this process. Kfake keeps its records in memory, and is for trials and tests only.
func startBroker(topic string) (*kfake.Cluster, error) {
	return kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, topic))
}

// recorder is an interceptor that collects the metadata of acknowledged records.
type recorder struct {
	mu   sync.Mutex
	sent []producer.RecordMetadata
}

// OnSend leaves the record as it is.
func (r *recorder) OnSend(record *producer.Record) *producer.Record { return record }

// OnAcknowledgement runs for each outcome, before the record's callback.
func (r *recorder) OnAcknowledgement(metadata producer.RecordMetadata, err error) {
	if err == nil {
		r.mu.Lock()
		r.sent = append(r.sent, metadata)
		r.mu.Unlock()
	}
}

// Close has nothing to do.
func (r *recorder) Close() {}

// compare reads, with another client, the part of the log that holds the sent records. It looks for records that are missing, duplicated, or
// out of order.
func compare(ctx context.Context, servers []string, topic string, sent []producer.RecordMetadata, out io.Writer) error {
	fmt.Fprintln(out, "4. What another client reads back (franz-go)")
	first, last := map[int32]int64{}, map[int32]int64{}
	for _, m := range sent {
		if offset, known := first[m.Partition]; !known || m.Offset < offset {
			first[m.Partition] = m.Offset
		}
		last[m.Partition] = max(last[m.Partition], m.Offset)
	}
	records, err := read(ctx, servers, topic, first, last)
	if err != nil {
		return err
	}
	partitions := map[int32]int{}
	times := map[string]int{}  // how often each record was read
	number := map[string]int{} // the last number that was read of each key
	disordered := 0
	for _, r := range records {
		partitions[r.Partition]++
		times[string(r.Key)+"="+string(r.Value)]++
		var n int
		if _, err := fmt.Sscan(string(r.Value), &n); err != nil {
			continue // a greeting
		}
		if before, seen := number[string(r.Key)]; seen && n < before {
			disordered++
		}
		number[string(r.Key)] = n
	}
	for _, partition := range slices.Sorted(maps.Keys(partitions)) {
		fmt.Fprintf(out, "   partition %d: %d records\n", partition, partitions[partition])
	}
	missing, twice := len(sent)-len(times), len(records)-len(times)
	fmt.Fprintf(out, "   %d sent, %d read: %d missing, %d twice, %d out of order\n", len(sent), len(records), missing, twice, disordered)
	if missing != 0 || twice != 0 || disordered != 0 {
		return errors.New("the log differs from what was sent")
	}
	return nil
}

// read returns the records of each partition from its first to its last offset.
func read(ctx context.Context, servers []string, topic string, first, last map[int32]int64) ([]*kgo.Record, error) {
	from := map[int32]kgo.Offset{}
	for partition, offset := range first {
		from[partition] = kgo.NewOffset().At(offset)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(servers...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var records []*kgo.Record
	for unread := maps.Clone(last); len(unread) > 0; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset <= last[r.Partition] {
				records = append(records, r)
			}
			if r.Offset >= last[r.Partition] {
				delete(unread, r.Partition)
			}
		})
	}
	return records, nil
}

// Demo ends.
