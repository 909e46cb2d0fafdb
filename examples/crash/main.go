// Crash shows what is lost when the program that sends dies: what was not acknowledged, and nothing else. It starts itself a second time
// as a child that sends numbered records without waiting and kills itself in the middle, and then compares what the child had heard
// with what another client reads back.
//
//	go run ./examples/crash
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/gosamsa/samsa/examples/internal/lab"
	"github.com/twmb/franz-go/pkg/kgo"
)

const about = `Kills a program while it sends, and shows what that loses: what was not acknowledged, and nothing else.`

func main() {
	if task := os.Getenv(childEnv); task != "" {
		child(task)
	}
	lab.Main(run)
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags, bootstrap := lab.Flags("crash", about, out)
	topic := flags.String("topic", "samsa-crash", "`name` of the topic; created if it is not there")
	after := lab.Count(flags, "after", 10000, "after how many `acknowledgements` the child kills itself")
	if err := lab.Parse(flags, args); err != nil {
		return err
	}
	l, err := lab.Open(ctx, *bootstrap, 3, *topic)
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Fprintf(out, "The broker is %s.\nA child of this process sends numbered records and does not wait for them. After %d acknowledgements it kills itself.\n\n",
		l.Describe(), *after)

	n, err := crash(ctx, task{servers: l.Servers, topic: *topic, after: *after})
	if err != nil {
		return err
	}
	records, err := l.ReadBack(ctx, *topic, len(n.sent))
	if err != nil {
		return err
	}
	f := n.compare(records)
	fmt.Fprintf(out, "%7d records were handed to Send\n", f.sent)
	fmt.Fprintf(out, "%7d were acknowledged before the crash; %d of them are missing in the log\n", f.acknowledged, f.missing)
	fmt.Fprintf(out, "%7d were not acknowledged; %d of them are in the log all the same, %d died with the process\n", f.open, f.openInLog, f.open-f.openInLog)
	fmt.Fprintf(out, "%7d are in the log; %d twice, %d out of order or behind a gap\n\n", f.inLog, f.twice, f.misplaced)
	if f.missing+f.twice+f.misplaced+f.strangers != 0 {
		return fmt.Errorf("the log is not what the acknowledgements said: %+v", f)
	}
	fmt.Fprint(out, "What was acknowledged is there. Of the rest each partition has the first ones, in order and without a gap. Who must not lose the\n"+
		"others keeps them until they are acknowledged and sends them again after the crash; some are in the log twice then.\n")
	return nil
}

// note is a record that the child handed to Send.
type note struct {
	partition    int32
	acknowledged bool
}

// notes is what the child wrote down before it died, by the records' numbers.
type notes struct{ sent []note }

// crash runs the child until it kills itself, and returns what it wrote down. What is in the pipe outlives the child.
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

// readNotes reads to the child's end. A line that the crash cut off does not count.
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

// figures compares what the child heard with what the log holds.
type figures struct {
	sent, acknowledged, inLog int

	missing         int // acknowledged, not in the log
	open, openInLog int // not acknowledged; and in the log all the same
	twice           int // in the log more than once
	misplaced       int // in the log, but not in its place: out of order, or behind one that is missing
	strangers       int // in the log, never sent
}

func (n notes) compare(log []*kgo.Record) figures {
	f := figures{sent: len(n.sent)}
	times := make([]int, len(n.sent))
	next := map[int32][]int{} // by partition: the numbers that were sent there and are still to come
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
