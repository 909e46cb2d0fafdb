package load

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gosamsa/samsa/bench/client"
)

// Run makes a measurement: it opens the client, sends for a while to set up connections, pools and estimates, and then
// sends and measures.
func Run(ctx context.Context, s Spec) (Result, error) {
	r := &run{spec: s, messages: messages(s)}
	if s.Goroutines <= 0 || s.Seconds <= 0 || s.Partitions <= 0 {
		return Result{}, errors.New("a workload wants goroutines, seconds and partitions")
	}
	c, err := client.Open(s.Client, s.config(), r)
	if err != nil {
		return Result{}, err
	}
	r.client = c
	for range s.Goroutines {
		r.senders = append(r.senders, c.Sender())
	}
	if _, ok := r.senders[0].(client.SliceSender); s.Mode == Slice && !ok {
		return Result{}, fmt.Errorf("%s has no call for a slice", s.Client)
	}
	switch s.Mode {
	case Topics, Each, Moves:
		result, err := r.scale(ctx)
		return result, errors.Join(err, c.Close())
	case Blocked:
		return r.scale(ctx) // the client is left, as below
	case Full:
		return r.fill(ctx) // the client is left: its records will not go for minutes
	}
	result, err := r.measure(ctx)
	return result, errors.Join(err, c.Close())
}

// fill sends until nothing goes any more, and for a while longer.
func (r *run) fill(ctx context.Context) (Result, error) {
	var sent atomic.Int64
	go func() {
		for i := 0; ; i++ {
			r.senders[0].Send(r.messages[i%len(r.messages)], -1, 0)
			sent.Add(1)
		}
	}()
	select {
	case <-time.After(time.Duration(r.spec.Seconds * float64(time.Second))):
	case <-ctx.Done():
		return Result{}, ctx.Err()
	}
	n := sent.Load()
	if n*int64(r.spec.Size) < minFull {
		return Result{}, fmt.Errorf("only %d records of %d bytes went into the buffer", n, r.spec.Size)
	}
	return Result{Client: r.spec.Client, Records: n, Total: n, Seconds: r.spec.Seconds, RSS: peakMemory(),
		Failed: r.failed.Load(), Setting: r.client.Settings()}, nil
}

// minFull is the least content of a full buffer of 32 MiB.
const minFull = 24 << 20

// run is one measurement under way.
type run struct {
	spec     Spec
	client   client.Client
	senders  []client.Sender
	messages []client.Message

	latencies []uint32 // of record i, in ticks; 0 is not done yet
	failed    atomic.Int64
	failure   atomic.Pointer[string]
}

// tick is the unit of latencies.
const tick = 100 * time.Nanosecond

// Done notes an outcome. Each record has its own place, so its callers do not wait for each other.
func (r *run) Done(i int, at int64, err error) {
	if at >= 0 {
		r.latencies[i] = uint32(max(1, (client.Now()-at)/int64(tick)))
	}
	if err != nil {
		r.failed.Add(1)
		text := err.Error()
		r.failure.CompareAndSwap(nil, &text)
	}
}

func (r *run) measure(ctx context.Context) (Result, error) {
	warm, took, err := r.warm(ctx)
	if err != nil {
		return Result{}, err
	}
	n := int(float64(warm) / took.Seconds() * r.spec.Seconds)
	if r.spec.Mode == Open {
		n = int(float64(r.spec.Rate) * r.spec.Seconds)
	}
	n = max(n, 1000)
	if r.spec.Mode != Plain {
		r.latencies = make([]uint32, n)
		// The system gives memory at the first write, and this takes time: here, and not in the measurement.
		clear(r.latencies)
	}
	result, err := r.count(n, func() error { return r.send(ctx, n) })
	if err != nil {
		return Result{}, err
	}
	result.Total = int64(n) + int64(warm)
	return result, r.percentiles(&result)
}

// startProfile writes where the processor's time goes into a file, until it is stopped. Without a name it does nothing.
func startProfile(name string) (stop func() error, err error) {
	if name == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}

// percentiles fills in the latencies, and finds records without an outcome.
func (r *run) percentiles(result *Result) error {
	if r.latencies == nil {
		return nil
	}
	slices.Sort(r.latencies)
	if r.latencies[0] == 0 && result.Failed == 0 {
		return errors.New("some records have no outcome after Flush")
	}
	at := func(q float64) float64 {
		return float64(r.latencies[min(len(r.latencies)-1, int(q*float64(len(r.latencies))))]) * float64(tick)
	}
	result.P50, result.P99, result.P999 = at(0.5), at(0.99), at(0.999)
	return nil
}

// warm sends for a while, to find the number of records for the measurement. It returns the number of acknowledged
// records, and the time.
func (r *run) warm(ctx context.Context) (n int, took time.Duration, err error) {
	var sent atomic.Int64
	began := time.Now()
	err = r.each(func(g int) error {
		s := r.senders[g]
		for i := g; ; i++ {
			m := r.messages[i%len(r.messages)]
			if r.spec.Mode != Sync {
				s.Send(m, -1, 0)
			} else if err := s.Wait(ctx, m); err != nil {
				return err
			}
			sent.Add(1)
			switch {
			case i%16 == 0 && time.Since(began).Seconds() > r.spec.Warm:
				return nil
			case r.spec.Mode == Open && i%16 == 0:
				time.Sleep(16 * time.Second / time.Duration(r.spec.Rate)) // no more than will be sent
			}
		}
	})
	if err = errors.Join(err, r.client.Flush(ctx)); err != nil {
		return 0, 0, err
	}
	if failed := r.failed.Load(); failed > 0 {
		return 0, 0, fmt.Errorf("%d records failed before the measurement, the first with: %s", failed,
			*r.failure.Load())
	}
	return int(sent.Load()), time.Since(began), nil
}

// each runs fn in each sending goroutine and waits for all.
func (r *run) each(fn func(g int) error) error {
	errs := make([]error, len(r.senders))
	var all sync.WaitGroup
	for g := range r.senders {
		all.Go(func() { errs[g] = fn(g) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// send sends n records and waits until each has its outcome.
func (r *run) send(ctx context.Context, n int) error {
	err := r.each(func(g int) error {
		first, last := n*g/len(r.senders), n*(g+1)/len(r.senders)
		s, ms := r.senders[g], r.messages
		switch r.spec.Mode {
		case Async:
			for i := first; i < last; i++ {
				s.Send(ms[i%len(ms)], client.Now(), i)
			}
		case Plain:
			for i := first; i < last; i++ {
				s.Send(ms[i%len(ms)], -1, i)
			}
		case Sync:
			for i := first; i < last; i++ {
				at := client.Now()
				r.Done(i, at, s.Wait(ctx, ms[i%len(ms)]))
			}
		case Slice:
			r.slices(s.(client.SliceSender), first, last)
		case Open:
			r.steady(s, first, last)
		default:
			return fmt.Errorf("no mode is named %q", r.spec.Mode)
		}
		return nil
	})
	return errors.Join(err, r.client.Flush(ctx))
}

const sliceOf = 100

func (r *run) slices(s client.SliceSender, first, last int) {
	for i := first; i < last; {
		from := i % len(r.messages)
		n := min(sliceOf, last-i, len(r.messages)-from)
		s.SendSlice(r.messages[from:from+n], client.Now(), i)
		i += n
	}
}

// steady sends each record when it is due, and counts its time from then: a client that makes the sender wait cannot
// make the waiting records look quick (coordinated omission).
func (r *run) steady(s client.Sender, first, last int) {
	every := float64(time.Second) * float64(len(r.senders)) / float64(r.spec.Rate)
	began := client.Now()
	for i := first; i < last; i++ {
		due := began + int64(float64(i-first)*every)
		if wait := due - client.Now(); wait > 0 {
			time.Sleep(time.Duration(wait))
		}
		s.Send(r.messages[i%len(r.messages)], due, i)
	}
}
