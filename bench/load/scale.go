package load

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// This file has the modes for the growth of a step's cost with the size of the client's state. Their figures count
// steps, not records: a first send to a topic, a partition's first record, a move of a leader, a goroutine's end of
// waiting for the full buffer.

// firstSends is how many topics the mode Topics measures.
const firstSends = 1000

// scale makes a measurement of such a mode.
func (r *run) scale(ctx context.Context) (Result, error) {
	switch r.spec.Mode {
	case Topics:
		if err := r.topics(ctx, 0, r.spec.Known); err != nil {
			return Result{}, err
		}
		return r.count(firstSends, func() error { return r.topics(ctx, r.spec.Known, firstSends) })
	case Each:
		return r.count(r.spec.Partitions, func() error {
			return r.toEach(ctx)
		})
	case Moves:
		if err := r.toEach(ctx); err != nil {
			return Result{}, err
		}
		result, err := r.count(leaderMoves, func() error { return r.moves(ctx) })
		result.Total += int64(r.spec.Partitions)
		return result, err
	default:
		return r.blocked(ctx)
	}
}

// toEach sends a record to each partition.
func (r *run) toEach(ctx context.Context) error {
	for i := range r.spec.Partitions {
		m := r.messages[i%len(r.messages)]
		m.Partition = int32(i) + 1
		r.senders[0].Send(m, -1, i)
	}
	return r.client.Flush(ctx)
}

// leaderMoves is how many leader moves the mode Moves measures.
const leaderMoves = 1000

// moves sends one record at a time, each to another partition. Its leader has moved: the record is refused once, and
// sent to the new leader.
func (r *run) moves(ctx context.Context) error {
	for i := range leaderMoves {
		m := r.messages[i%len(r.messages)]
		m.Partition = int32(i*(r.spec.Partitions/leaderMoves)%r.spec.Partitions) + 1
		r.senders[0].Send(m, -1, i)
		if err := r.client.Flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

// topics sends a record to each of n topics. The topics of one thousand at a time share Metadata requests, as those of
// a busy service do.
func (r *run) topics(ctx context.Context, first, n int) error {
	for from := 0; from < n; from += firstSends {
		for i := from; i < min(from+firstSends, n); i++ {
			m := r.messages[i%len(r.messages)]
			m.Topic = fmt.Sprintf("%s-%d-1", r.spec.Topic, first+i)
			r.senders[i%len(r.senders)].Send(m, -1, i)
		}
		if err := r.client.Flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

// waitOfBlocked is how long each goroutine of the mode Blocked waits for room in the buffer.
const waitOfBlocked = 5 * time.Second

// blocked lets goroutines wait for a constantly full buffer until each gives up. It measures from the moment all of
// them wait.
func (r *run) blocked(ctx context.Context) (Result, error) {
	go func() {
		for i := 0; ; i++ {
			r.senders[0].Send(r.messages[i%len(r.messages)], -1, 0)
		}
	}()
	select {
	case <-time.After(2 * time.Second): // the buffer is full
	case <-ctx.Done():
		return Result{}, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, waitOfBlocked)
	defer cancel()
	var all sync.WaitGroup
	for range r.spec.Waiting {
		sender := r.client.Sender()
		all.Go(func() { _ = sender.Wait(ctx, r.messages[0]) })
	}
	time.Sleep(waitOfBlocked / 2)
	return r.count(r.spec.Waiting, func() error {
		all.Wait()
		return nil
	})
}

// count measures the cost of n steps.
func (r *run) count(n int, steps func() error) (Result, error) {
	if n <= 0 {
		return Result{}, fmt.Errorf("%d steps: there is nothing to measure", n)
	}
	stop, err := startProfile(r.spec.Profile)
	if err != nil {
		return Result{}, err
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, began := processorTime(), time.Now()
	if err := steps(); err != nil {
		return Result{}, err
	}
	seconds := time.Since(began).Seconds()
	cpu = processorTime() - cpu
	if err := stop(); err != nil {
		return Result{}, err
	}
	runtime.ReadMemStats(&after)
	count := float64(n)
	result := Result{
		Client: r.spec.Client, Records: int64(n), Total: int64(n + r.spec.Known), Seconds: seconds,
		Rate: count / seconds, CPU: float64(cpu.Nanoseconds()) / count,
		Allocs:  float64(after.Mallocs-before.Mallocs) / count,
		Alloced: float64(after.TotalAlloc-before.TotalAlloc) / count,
		RSS:     peakMemory(), Failed: r.failed.Load(), Setting: r.client.Settings(),
	}
	if text := r.failure.Load(); text != nil {
		result.Failure = *text
	}
	return result, nil
}
