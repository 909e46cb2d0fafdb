// Package lab is what the examples have beside their subject: a broker to send to, and a reader that is not ours. The broker is
// kfake, a Kafka in this process, or a real one; the reader is franz-go.
//
//	l, err := lab.Open(ctx, "", 3, "greetings") // "": kfake
//	defer l.Close()
//	…send to l.Servers…
//	records, err := l.ReadBack(ctx, "greetings", sent)
package lab

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Main runs an example until it is done or interrupted. An error is printed and makes the exit code 1.
func Main(run func(ctx context.Context, args []string, out io.Writer) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// Flags returns an example's flags with -bootstrap among them. -h prints what the example is about before the flags.
func Flags(name, about string, out io.Writer) (flags *flag.FlagSet, bootstrap *string) {
	flags = FlagsAlone(name, about, out)
	bootstrap = flags.String("bootstrap", "", "`host:port` of a real broker, several with commas between; empty starts kfake in this process")
	return flags, bootstrap
}

// FlagsAlone is Flags for an example that no broker of the user's can serve: -bootstrap is not among them.
func FlagsAlone(name, about string, out io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Usage = func() {
		fmt.Fprintf(out, "%s\n\nFlags:\n", about)
		flags.PrintDefaults()
	}
	return flags
}

// Count adds a flag that takes a whole number from 1 on.
func Count(flags *flag.FlagSet, name string, value int, usage string) *int {
	c := count(value)
	flags.Var(&c, name, usage)
	return (*int)(&c)
}

type count int

func (c *count) String() string { return strconv.Itoa(int(*c)) }

func (c *count) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return errors.New("it must be a whole number from 1 on")
	}
	*c = count(n)
	return nil
}

// Parse parses the flags. What is no flag is refused, so that an address without -bootstrap is not passed over.
func Parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%q belongs to no flag; -h shows the flags", flags.Arg(0))
	}
	return nil
}

// Lab is a broker with topics, and how far each topic's log has been read.
type Lab struct {
	// Servers are the brokers to send to.
	Servers []string

	fake   *kfake.Cluster // nil with a real broker
	client *kgo.Client
	starts map[string]map[int32]int64 // by topic and partition: where the next ReadBack begins
}

// Open starts kfake, or goes to the brokers of bootstrap, and makes sure that the topics exist. One that is there already
// is used as it is.
func Open(ctx context.Context, bootstrap string, partitions int32, topics ...string) (*Lab, error) {
	l := &Lab{starts: map[string]map[int32]int64{}}
	if bootstrap == "" {
		fake, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			return nil, fmt.Errorf("starting kfake: %w", err)
		}
		l.fake, l.Servers = fake, fake.ListenAddrs()
	} else {
		l.Servers = strings.Split(bootstrap, ",")
	}
	if err := l.prepare(ctx, partitions, topics); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func (l *Lab) prepare(ctx context.Context, partitions int32, topics []string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 20*time.Second, fmt.Errorf("no answer from %s", strings.Join(l.Servers, ", ")))
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(l.Servers...))
	if err != nil {
		return err
	}
	l.client = client
	for _, topic := range topics {
		_, err := kadm.NewClient(client).CreateTopic(ctx, partitions, -1, nil, topic)
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("creating topic %s: %w", topic, errors.Join(err, context.Cause(ctx)))
		}
		if l.starts[topic], err = l.ends(ctx, topic); err != nil {
			return fmt.Errorf("topic %s: %w", topic, err)
		}
	}
	return nil
}

// ends returns where each partition's log ends. A topic that was just made has no leaders for a moment.
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

// Describe says in a sentence which broker this is.
func (l *Lab) Describe() string {
	if l.fake != nil {
		return "kfake, a Kafka inside this process, on " + l.Servers[0] + " (-bootstrap host:port takes a real one)"
	}
	return "Kafka on " + strings.Join(l.Servers, ", ")
}

// Fake returns kfake for tests that make it misbehave, or nil with a real broker.
func (l *Lab) Fake() *kfake.Cluster { return l.fake }

// quiet is after how long without a record ReadBack gives up on those that are missing.
const quiet = 2 * time.Second

// ReadBack reads with franz-go what the topic got since the lab was opened, or since the last ReadBack of this topic. It reads
// to the end of every partition; when that are fewer records than want, it waits a little for the others, and then returns
// what there is.
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
	reader, err := kgo.NewClient(kgo.SeedBrokers(l.Servers...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
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

// Percentile sorts the durations and returns the smallest one that percent of them do not pass.
func Percentile(durations []time.Duration, percent int) time.Duration {
	if len(durations) == 0 {
		return 0
	}
	slices.Sort(durations)
	at := (len(durations)*percent + 99) / 100
	return durations[max(at, 1)-1].Round(time.Microsecond)
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
