// Sync sends records one at a time and waits for each: the simplest way to send, and the slowest. Many goroutines may do so with one
// producer; their records share batches. It also shows what the error of a send tells.
//
//	go run ./examples/sync
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/gosamsa/samsa/examples/internal/lab"
	"github.com/gosamsa/samsa/producer"
)

const about = `Sends records and waits for each, from one goroutine and from many, and shows what the errors tell.`

func main() { lab.Main(run) }

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags, bootstrap := lab.Flags("sync", about, out)
	topic := flags.String("topic", "samsa-sync", "`name` of the topic; created if it is not there")
	count := lab.Count(flags, "records", 1000, "how `many` records are sent, in all")
	goroutines := lab.Count(flags, "goroutines", 16, "how `many` goroutines send together")
	if err := lab.Parse(flags, args); err != nil {
		return err
	}
	l, err := lab.Open(ctx, *bootstrap, 3, *topic)
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Fprintf(out, "The broker is %s.\n\n", l.Describe())

	p, err := producer.New(producer.DefaultConfig(l.Servers...))
	if err != nil {
		return err
	}
	defer func() {
		// Nothing is buffered, each record was waited for: this only ends the connections.
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

// one sends a single record, with all that a record can have.
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

// many sends from several goroutines. Somebody who waits makes his batch go at once: linger.ms is for those who do not.
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
	fmt.Fprintf(out, "%d goroutines: %d records in %v, each one waited for: %v a record and goroutine\n\n",
		goroutines, count, took.Round(time.Millisecond), (took * time.Duration(goroutines) / time.Duration(max(count, 1))).Round(time.Microsecond))
	return nil
}

// failures sends what cannot be sent, and asks the error the two questions that matter.
func failures(ctx context.Context, p *producer.Producer, topic string, out io.Writer) error {
	over, cancel := context.WithCancel(ctx)
	cancel()
	attempts := []struct {
		what   string
		ctx    context.Context
		record producer.Record
		want   error
	}{
		{"a record larger than max.request.size", ctx, producer.Record{Topic: topic, Value: make([]byte, 2<<20)}, producer.ErrRecordTooLarge},
		{"a partition that the topic does not have", ctx, producer.Record{Topic: topic, Partition: producer.PartitionOf(999)}, producer.ErrInvalidPartition},
		{"a topic that cannot be", ctx, producer.Record{Topic: "no spaces, please"}, producer.ErrInvalidTopic},
		{"a context that is over", over, producer.Record{Topic: topic}, context.Canceled},
	}
	fmt.Fprintln(out, "What errors tell:")
	for _, a := range attempts {
		_, err := p.Send(a.ctx, &a.record, nil).Get(ctx)
		if !errors.Is(err, a.want) {
			return fmt.Errorf("%s: got %w", a.what, err)
		}
		fmt.Fprintf(out, "- %s\n    %v\n    fate: %v; reason: %s\n", a.what, err, producer.FateOf(err), producer.Reason(err))
	}
	return nil
}
