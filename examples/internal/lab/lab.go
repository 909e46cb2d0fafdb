// Package lab supplies the tests of the examples with a broker, kfake, and with a reader of the log, franz-go. The
// examples themselves use neither this package nor any other internal one.
//
//	l, err := lab.Open(ctx, 3, "greetings")
//	defer l.Close()
//	… run the example with -bootstrap l.Servers[0] …
//	records, err := l.ReadBack(ctx, "greetings", sent)
package lab

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Lab is a broker with topics, and a reader that remembers its position in each topic.
type Lab struct {
	// Servers are the addresses for -bootstrap.
	Servers []string

	fake   *kfake.Cluster
	client *kgo.Client
	starts map[string]map[int32]int64 // by topic and partition: the next ReadBack begins here
}

// Open starts kfake with the topics.
func Open(ctx context.Context, partitions int32, topics ...string) (*Lab, error) {
	l := &Lab{starts: map[string]map[int32]int64{}}
	var err error
	if l.fake, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, topics...)); err != nil {
		return nil, fmt.Errorf("starting kfake: %w", err)
	}
	l.Servers = l.fake.ListenAddrs()
	if l.client, err = kgo.NewClient(kgo.SeedBrokers(l.Servers...)); err != nil {
		l.Close()
		return nil, err
	}
	for _, topic := range topics {
		if l.starts[topic], err = l.ends(ctx, topic); err != nil {
			l.Close()
			return nil, fmt.Errorf("topic %s: %w", topic, err)
		}
	}
	return l, nil
}

// ends returns the end of each partition's log. A new topic has no leaders for a moment.
func (l *Lab) ends(ctx context.Context, topic string) (map[int32]int64, error) {
	for {
		offsets, err := kadm.NewClient(l.client).ListEndOffsets(ctx, topic)
		if err == nil {
			err = offsets.Error()
		}
		if err == nil {
			ends := map[int32]int64{}
			offsets.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
			return ends, nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), err)
		}
	}
}

// Fake returns kfake, for tests with a misbehaving broker.
func (l *Lab) Fake() *kfake.Cluster { return l.fake }

// quiet is the time without a record after which ReadBack gives up on the missing ones.
const quiet = 2 * time.Second

// ReadBack reads with franz-go the topic's records since the lab was opened, or since the last ReadBack of this topic.
// It reads to the end of every partition. If these are fewer records than want, it waits a little for the others, and
// then returns the records it has.
func (l *Lab) ReadBack(ctx context.Context, topic string, want int) ([]*kgo.Record, error) {
	ends, err := l.ends(ctx, topic)
	if err != nil {
		return nil, err
	}
	from := map[int32]kgo.Offset{}
	for partition, start := range l.starts[topic] {
		from[partition] = kgo.NewOffset().At(start)
		if ends[partition] == start {
			delete(ends, partition)
		}
	}
	reader, err := kgo.NewClient(kgo.SeedBrokers(l.Servers...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	var records []*kgo.Record
	for len(ends) > 0 || len(records) < want {
		wait, cancel := context.WithTimeout(ctx, quiet)
		fetches := reader.PollFetches(wait)
		over := wait.Err() != nil
		cancel()
		if over && fetches.NumRecords() == 0 {
			return records, ctx.Err()
		}
		if err := fetches.Err(); err != nil && !over {
			return records, err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			records = append(records, r)
			l.starts[topic][r.Partition] = r.Offset + 1
			if end, open := ends[r.Partition]; open && r.Offset >= end-1 {
				delete(ends, r.Partition)
			}
		})
	}
	return records, nil
}

// Close ends the lab, and kfake with it.
func (l *Lab) Close() {
	if l.client != nil {
		l.client.Close()
	}
	if l.fake != nil {
		l.fake.Close()
	}
}
