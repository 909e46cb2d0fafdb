package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gosamsa/samsa/internal/itest/realkafka"
	"github.com/gosamsa/samsa/producer"
)

// profile is one way to deliver.
type profile struct {
	name, settings, means string
	promises              bool // nothing lost, nothing twice
	configure             func(*producer.Config)
}

var profiles = []profile{
	{
		name: "fast", settings: "acks=0", means: "the bytes were handed to the operating system",
		configure: func(c *producer.Config) {
			c.Acks = producer.AcksNone
			c.EnableIdempotence = false
		},
	}, {
		name: "balanced", settings: "acks=1", means: "the partition's leader has the record",
		configure: func(c *producer.Config) {
			c.Acks = producer.AcksLeader
			c.EnableIdempotence = false
		},
	}, {
		name: "safe", settings: "acks=all, idempotent",
		means:    "all in-sync replicas have it, at least two, once and in order",
		promises: true, configure: safe,
	},
}

// leads gives a partition three replicas; the first of them leads it.
func leads(leader int32) [][]int32 { return [][]int32{{leader, leader%3 + 1, (leader+1)%3 + 1}} }

// topics creates one topic for each profile, all of them led by one broker.
func (d *demo) topics(ctx context.Context, suffix string, leader int32) ([]string, error) {
	names := make([]string, 0, len(profiles))
	topics := make([]realkafka.Topic, 0, len(profiles))
	for _, p := range profiles {
		names = append(names, p.name+"-"+suffix)
		topics = append(topics, realkafka.Topic{Name: p.name + "-" + suffix, Assignment: leads(leader)})
	}
	return names, d.create(ctx, topics...)
}

// open makes a producer for topic.
func (d *demo) open(ctx context.Context, topic string, configure func(*producer.Config)) (*producer.Producer, error) {
	cfg := producer.DefaultConfig(d.cluster.Bootstrap()...)
	configure(&cfg)
	kafka, err := producer.New(cfg)
	if err != nil {
		return nil, err
	}
	if _, err := kafka.PartitionsFor(ctx, topic); err != nil { // to spare the first Send a wait
		return nil, errors.Join(err, end(ctx, kafka))
	}
	return kafka, nil
}

// end delivers the buffered records and closes the producer.
func end(ctx context.Context, kafka *producer.Producer) error {
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return kafka.Close(limit)
}

// speed is part 1: each profile on its own, and nothing breaks.
func (d *demo) speed(ctx context.Context) error {
	fmt.Fprintf(d.out, "1. How fast each profile is while nothing breaks: %d records of %d bytes, then %d one after the other\n\n", d.records, d.size, d.waits)
	topics, err := d.topics(ctx, "speed", 1)
	if err != nil {
		return err
	}
	for i, p := range profiles { // a first round, not shown, to warm up the brokers for all profiles
		if _, _, err := d.measure(ctx, p, topics[i], d.records/2); err != nil {
			return err
		}
	}
	var rows []string
	for i, p := range profiles {
		rate, latencies, err := d.measure(ctx, p, topics[i], d.records)
		if err != nil {
			return err
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%.0f\t%v\t%v\t%s", p.name, p.settings, rate, percentile(latencies, 50),
			percentile(latencies, 99), p.means))
	}
	err = d.table("profile\tsettings\trecords/s\tlatency p50\tp99\tan acknowledgement means", rows...)
	fmt.Fprintln(d.out)
	return err
}

// measure sends count records without waiting for each, and then some one after the other.
func (d *demo) measure(ctx context.Context, p profile, topic string, count int) (rate float64,
	latencies []time.Duration, err error) {
	kafka, err := d.open(ctx, topic, p.configure)
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, end(ctx, kafka)) }()
	record := producer.Record{Topic: topic, Value: make([]byte, d.size)}
	begin := time.Now()
	for range count {
		kafka.Send(ctx, &record, nil)
	}
	if err := kafka.Flush(ctx); err != nil {
		return 0, nil, err
	}
	rate = float64(count) / time.Since(begin).Seconds()
	for range d.waits {
		begin := time.Now()
		if _, err := kafka.Send(ctx, &record, nil).Get(ctx); err != nil {
			return 0, nil, err
		}
		latencies = append(latencies, time.Since(begin))
	}
	return rate, latencies, nil
}

// percentile returns the smallest duration not exceeded by at least percent of the durations.
func percentile(durations []time.Duration, percent int) time.Duration {
	slices.Sort(durations)
	at := (len(durations)*percent + 99) / 100
	return durations[max(at, 1)-1].Round(time.Microsecond)
}
