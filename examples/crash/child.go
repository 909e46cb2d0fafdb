package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"

	"github.com/gosamsa/samsa/producer"
)

// childEnv is set in the process that crashes; it holds its task.
const childEnv = "SAMSA_CRASH_TASK"

// failed is the child's exit code when it could not do its task.
const failed = 3

// The lines that the child writes: one of these, the record's number, and its partition.
const (
	noteSent         = "sent"
	noteAcknowledged = "acknowledged"
)

// task is what the child has to do.
type task struct {
	servers []string
	topic   string
	after   int // acknowledgements
}

func (t task) String() string {
	return fmt.Sprintf("%d %s %s", t.after, strings.Join(t.servers, ","), t.topic)
}

// child is the process that crashes. It does not return.
func child(text string) {
	err := sendUntilDeath(text)
	fmt.Fprintln(os.Stderr, err)
	os.Exit(failed)
}

// sendUntilDeath sends as fast as it can and writes to its standard output, a pipe, what it hands to Send and what is acknowledged.
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
	var heard atomic.Int64
	failure := make(chan error, 1)
	for number := 0; ; number++ {
		partition := int32(number % len(partitions))
		fmt.Println(noteSent, number, partition)
		record := producer.Record{Topic: t.topic, Partition: producer.PartitionOf(partition), Value: fmt.Appendf(nil, "%d", number)}
		p.Send(ctx, &record, func(_ producer.Metadata, err error) {
			if err != nil {
				select {
				case failure <- err:
				default: // one is enough
				}
				return
			}
			fmt.Println(noteAcknowledged, number, partition)
			if heard.Add(1) == int64(t.after) {
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
