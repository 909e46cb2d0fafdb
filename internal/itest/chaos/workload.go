package chaos

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Load describes the senders' load. The zero value of each number is its default.
type Load struct {
	// Async goroutines send Rate records a second each without waiting for outcomes. Default 4 and 200.
	Async, Rate int
	// Sync goroutines send one record at a time and wait for its outcome. Default 2.
	Sync int
}

func (l Load) withDefaults() Load {
	if l.Async == 0 {
		l.Async = 4
	}
	if l.Rate == 0 {
		l.Rate = 200
	}
	if l.Sync == 0 {
		l.Sync = 2
	}
	return l
}

// keysPerSender makes each sender meet every partition, as good as surely.
const keysPerSender = 32

// tick is how often an asynchronous sender sends its share.
const tick = 10 * time.Millisecond

// workload sends numbered, keyed records through one client, from several goroutines, and keeps the journal. The
// records of one goroutine to one partition have an order.
type workload struct {
	client Client
	topic  string
	begin  time.Time
	stop   context.CancelFunc // ends the sending; sent records get their outcomes
	wg     sync.WaitGroup

	mu      sync.Mutex
	journal [][]*Sent

	// proving is a time: acknowledged records sent later count as progress. proven holds their partitions.
	proving atomic.Int64
	proven  sync.Map
	futures sync.Map // *Sent to its future, of those not yet asked
}

// newWorkload makes a workload without senders; the caller has them.
func newWorkload(client Client, topic string, senders int) *workload {
	w := &workload{client: client, topic: topic, begin: time.Now(), stop: func() {}, journal: make([][]*Sent, senders)}
	w.proving.Store(math.MaxInt64)
	return w
}

// startWorkload starts the senders. They end with ctx.
func startWorkload(ctx context.Context, client Client, topic string, load Load) *workload {
	load = load.withDefaults()
	w := newWorkload(client, topic, load.Async+load.Sync)
	ctx, w.stop = context.WithCancel(ctx)
	for sender := range load.Async {
		w.wg.Go(func() { w.sendAsync(ctx, sender, load.Rate) })
	}
	for sender := load.Async; sender < load.Async+load.Sync; sender++ {
		w.wg.Go(func() { w.sendSync(ctx, sender) })
	}
	return w
}

func (w *workload) now() time.Duration { return time.Since(w.begin) }

// send sends a sender's next record. The channel is closed when its outcome was told.
func (w *workload) send(sender, n int) <-chan struct{} {
	return w.sendKey(sender, n, fmt.Appendf(nil, "%d-%d", sender, n%keysPerSender))
}

func (w *workload) sendKey(sender, n int, key []byte) <-chan struct{} {
	s := &Sent{Sender: sender, N: n, Key: key, At: w.now()}
	w.mu.Lock()
	w.journal[sender] = append(w.journal[sender], s)
	w.mu.Unlock()
	told := make(chan struct{})
	var once sync.Once
	// No context bounds a Send: the client's own limits must.
	future := w.client.Send(context.Background(), w.topic, s.Key, s.value(), func(o Outcome) {
		s.Tell(o, w.now())
		if o.Fate == Acked && int64(s.At) >= w.proving.Load() {
			w.proven.Store(o.Partition, true)
		}
		once.Do(func() { close(told) })
	})
	if future != nil {
		w.futures.Store(s, future)
	}
	return told
}

func (w *workload) sendAsync(ctx context.Context, sender, rate int) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	n, due := 0, 0.0
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for due += float64(rate) * tick.Seconds(); due >= 1; due-- {
			w.send(sender, n)
			n++
		}
	}
}

func (w *workload) sendSync(ctx context.Context, sender int) {
	for n := 0; ctx.Err() == nil; n++ {
		select {
		case <-ctx.Done():
		case <-w.send(sender, n):
		}
	}
}

// awaitProgress waits until each partition has acknowledged a record sent after this call. At the end of ctx it returns
// the partitions without one.
func (w *workload) awaitProgress(ctx context.Context, partitions int) []int32 {
	w.proving.Store(int64(w.now()))
	w.proven.Clear()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		var missing []int32
		for p := range int32(partitions) {
			if _, ok := w.proven.Load(p); !ok {
				missing = append(missing, p)
			}
		}
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return missing
		case <-ticker.C:
		}
	}
}

// finish ends the sending, closes the client, and asks the futures. ctx bounds all of it.
func (w *workload) finish(ctx context.Context) error {
	w.stop()
	sent := make(chan struct{})
	go func() { w.wg.Wait(); close(sent) }()
	select {
	case <-sent:
	case <-ctx.Done():
		return fmt.Errorf("a Send does not return: %w", ctx.Err())
	}
	err := w.client.Close(ctx)
	w.futures.Range(func(s, future any) bool {
		// After Close each future has its outcome: it needs no patience, and a future without one tells the end of ctx;
		// the checker notices it.
		s.(*Sent).TellFuture(future.(func(context.Context) Outcome)(ctx))
		return true
	})
	return err
}
