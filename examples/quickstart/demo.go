package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/gosamsa/samsa/producer"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// This file is the demo's plumbing: an embedded broker, and another client that reads the log back. A program of your
// own does not need it.

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

// compare reads, with another client, the part of the log that holds the sent records. It looks for records that are
// missing, duplicated, or out of order.
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
	fmt.Fprintf(out, "   %d sent, %d read: %d missing, %d twice, %d out of order\n", len(sent), len(records), missing,
		twice, disordered)
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
	client, err := kgo.NewClient(kgo.SeedBrokers(servers...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
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
