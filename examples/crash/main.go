// Crash shows the losses of a program that dies while it sends: records without an acknowledgement, and no others. It
// starts itself a second time as a child. The child sends numbered records asynchronously and kills itself in the
// middle. Then crash compares the child's acknowledgements with the records that another client reads.
//
//	go -C examples run ./crash -bootstrap localhost:9092
//
// The program is one file; it needs package producer, and github.com/twmb/franz-go to read the log. The topic exists,
// or the brokers create it. Without a Kafka, start examples/broker. For an importer that resumes after a crash see
// examples/import.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/gosamsa/samsa/producer"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	if task := os.Getenv(childEnv); task != "" {
		child(task)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		log.Fatal(err)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("crash", flag.ContinueOnError)
	flags.SetOutput(out)
	bootstrap := flags.String("bootstrap", "localhost:9092", "`host:port` of a broker, several with commas between")
	topic := flags.String("topic", "samsa-crash", "`name` of the topic")
	after := flags.Int("after", 10_000, "`number` of acknowledgements after which the child kills itself")
	if err := flags.Parse(args); err != nil {
		return err
	}
	fmt.Fprintf(out, "A child of this process sends numbered records asynchronously. After %d acknowledgements it kills itself.\n\n", *after)
	servers := strings.Split(*bootstrap, ",")
	begin, err := ends(ctx, servers, *topic)
	if err != nil {
		return err
	}
	n, err := crash(ctx, task{servers: servers, topic: *topic, after: *after})
	if err != nil {
		return err
	}
	records, err := read(ctx, servers, *topic, begin)
	if err != nil {
		return err
	}
	f := n.compare(records)
	fmt.Fprintf(out, "%7d records were handed to Send\n", f.sent)
	fmt.Fprintf(out, "%7d were acknowledged before the crash; %d of them are missing in the log\n", f.acknowledged,
		f.missing)
	fmt.Fprintf(out, "%7d were not acknowledged; %d of them are in the log all the same, %d died with the process\n",
		f.open, f.openInLog, f.open-f.openInLog)
	fmt.Fprintf(out, "%7d are in the log; %d twice, %d out of order or behind a gap\n\n", f.inLog, f.twice, f.misplaced)
	if f.missing+f.twice+f.misplaced+f.strangers != 0 {
		return fmt.Errorf("the log is not what the acknowledgements said: %+v", f)
	}
	fmt.Fprint(out, "The log holds every acknowledged record. Of the other records each partition has the first ones, in order and without a gap.\n"+
		"A program that must not lose the others keeps them until their acknowledgement, and sends them again after the crash.\n"+
		"Some are then in the log twice.\n")
	return nil
}

// note is a record that the child handed to Send.
type note struct {
	partition    int32
	acknowledged bool
}

// notes are the child's records before its death, by number.
type notes struct{ sent []note }

// crash runs the child until it kills itself, and returns its notes. The content of the pipe outlives the child.
func crash(ctx context.Context, t task) (notes, error) {
	program, err := os.Executable()
	if err != nil {
		return notes{}, err
	}
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(os.Environ(), childEnv+"="+t.String())
	var complaint strings.Builder
	cmd.Stderr = &complaint
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return notes{}, err
	}
	if err := cmd.Start(); err != nil {
		return notes{}, err
	}
	n, err := readNotes(pipe)
	died := cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return notes{}, context.Cause(ctx)
	case died == nil, cmd.ProcessState.ExitCode() == failed:
		return notes{}, fmt.Errorf("the child did not crash, it failed: %s", strings.TrimSpace(complaint.String()))
	}
	return n, err
}

// readNotes reads to the child's end. A line cut off by the crash does not count.
func readNotes(r io.Reader) (notes, error) {
	var n notes
	for lines := bufio.NewReader(r); ; {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		var what string
		var number int
		var partition int32
		if _, err := fmt.Sscan(line, &what, &number, &partition); err != nil {
			return n, fmt.Errorf("the child's note %q: %w", line, err)
		}
		switch {
		case what == noteSent && number == len(n.sent):
			n.sent = append(n.sent, note{partition: partition})
		case what == noteAcknowledged && number < len(n.sent):
			n.sent[number].acknowledged = true
		default:
			return n, fmt.Errorf("the child's note %q makes no sense", line)
		}
	}
}

// figures compares the child's acknowledgements with the log.
type figures struct {
	sent, acknowledged, inLog int

	missing         int // acknowledged, not in the log
	open, openInLog int // not acknowledged; and in the log all the same
	twice           int // in the log more than once
	misplaced       int // in the log, but not in its place: out of order, or behind a missing one
	strangers       int // in the log, never sent
}

func (n notes) compare(log []*kgo.Record) figures {
	f := figures{sent: len(n.sent)}
	times := make([]int, len(n.sent))
	next := map[int32][]int{} // by partition: the numbers still to come
	for number, s := range n.sent {
		next[s.partition] = append(next[s.partition], number)
	}
	for _, r := range log {
		var number int
		if _, err := fmt.Sscan(string(r.Value), &number); err != nil || number < 0 || number >= len(times) {
			f.strangers++
			continue
		}
		if times[number]++; times[number] > 1 {
			f.twice++
			continue
		}
		if want := next[r.Partition]; len(want) == 0 || want[0] != number {
			f.misplaced++
			continue
		}
		next[r.Partition] = next[r.Partition][1:]
	}
	for number, s := range n.sent {
		there := times[number] > 0
		if there {
			f.inLog++
		}
		switch {
		case s.acknowledged && !there:
			f.acknowledged++
			f.missing++
		case s.acknowledged:
			f.acknowledged++
		case there:
			f.open++
			f.openInLog++
		default:
			f.open++
		}
	}
	return f
}

// ends returns the end offset of each partition. PartitionsFor creates the topic, if the brokers allow it, and waits
// for it.
func ends(ctx context.Context, servers []string, topic string) (map[int32]int64, error) {
	p, err := producer.New(producer.DefaultConfig(servers...))
	if err != nil {
		return nil, err
	}
	_, err = p.PartitionsFor(ctx, topic)
	if err := errors.Join(err, p.Close(ctx)); err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(servers...))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	offsets, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err := errors.Join(err, offsets.Error()); err != nil {
		return nil, err
	}
	end := map[int32]int64{}
	offsets.Each(func(o kadm.ListedOffset) { end[o.Partition] = o.Offset })
	return end, nil
}

// read returns the records from begin to the end of each partition.
func read(ctx context.Context, servers []string, topic string, begin map[int32]int64) ([]*kgo.Record, error) {
	end, err := ends(ctx, servers, topic)
	if err != nil {
		return nil, err
	}
	from := map[int32]kgo.Offset{}
	for partition, offset := range begin {
		from[partition] = kgo.NewOffset().At(offset)
	}
	maps.DeleteFunc(end, func(partition int32, offset int64) bool { return offset == begin[partition] })
	client, err := kgo.NewClient(kgo.SeedBrokers(servers...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var records []*kgo.Record
	for len(end) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			records = append(records, r)
			if last, unread := end[r.Partition]; unread && r.Offset >= last-1 {
				delete(end, r.Partition)
			}
		})
	}
	return records, nil
}

// The child.

// childEnv is set in the crashing process; it holds its task.
const childEnv = "SAMSA_CRASH_TASK"

// failed is the child's exit code when it could not do its task.
const failed = 3

// The lines of the child: one of these, the record's number, and its partition.
const (
	noteSent         = "sent"
	noteAcknowledged = "acknowledged"
)

// task is the child's work.
type task struct {
	servers []string
	topic   string
	after   int // acknowledgements
}

func (t task) String() string {
	return fmt.Sprintf("%d %s %s", t.after, strings.Join(t.servers, ","), t.topic)
}

// child is the crashing process. It does not return.
func child(text string) {
	err := sendUntilDeath(text)
	fmt.Fprintln(os.Stderr, err)
	os.Exit(failed)
}

// sendUntilDeath sends as fast as it can. It writes each record at its Send, and at its acknowledgement, to its
// standard output, a pipe.
func sendUntilDeath(text string) error {
	var t task
	var servers string
	if _, err := fmt.Sscanf(text, "%d %s %s", &t.after, &servers, &t.topic); err != nil {
		return fmt.Errorf("%s=%q: %w", childEnv, text, err)
	}
	ctx := context.Background()
	p, err := producer.New(producer.DefaultConfig(strings.Split(servers, ",")...))
	if err != nil {
		return err
	}
	partitions, err := p.PartitionsFor(ctx, t.topic)
	if err != nil {
		return err
	}
	var acknowledged atomic.Int64
	failure := make(chan error, 1)
	for number := 0; ; number++ {
		partition := int32(number % len(partitions))
		fmt.Println(noteSent, number, partition)
		record := producer.Record{Topic: t.topic, Partition: producer.InPartition(partition),
			Value: fmt.Appendf(nil, "%d", number)}
		p.Send(ctx, &record, func(_ producer.RecordMetadata, err error) {
			if err != nil {
				select {
				case failure <- err:
				default: // one is enough
				}
				return
			}
			fmt.Println(noteAcknowledged, number, partition)
			if acknowledged.Add(1) == int64(t.after) {
				die()
			}
		})
		select {
		case err := <-failure:
			return err
		default:
		}
	}
}

// die ends this process as kill -9 does: nothing is flushed, nothing is closed, no deferred function runs.
func die() {
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	panic(fmt.Sprint("still alive: ", err))
}
