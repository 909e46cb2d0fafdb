package accumulator

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/gosamsa/samsa/compress"
	"github.com/gosamsa/samsa/internal/lockrank"
	"github.com/gosamsa/samsa/record"
)

// Config configures an Accumulator. The caller sets every field with a property's name: zero is a value of these
// properties and stands for itself. The zero values of MaxSpan and Listener mean one second or Linger, and no listener.
type Config struct {
	// BatchSize is batch.size: how many bytes of one partition's records travel together, as they are on the wire.
	BatchSize int
	// MaxRequestSize is max.request.size: no batch of several records is larger, compressed or not.
	MaxRequestSize int
	// Memory is buffer.memory.
	Memory int64
	// Linger is linger.ms.
	Linger time.Duration
	// MaxSpan is how far the records of one batch may be apart, to keep each from expiring much before its time.
	MaxSpan time.Duration
	// Compressor compresses batches; nil leaves them as they are.
	Compressor *compress.Compressor
	// NewDrainer makes the owner of a new partition. It is called once for each, while the topic makes no other
	// partition.
	NewDrainer func(*Partition) Drainer
	// Listener surrounds the calls of users' code.
	Listener Listener
}

// Accumulator holds the records of one producer.
//
// Lock order: topicsMu; then Topic.mu, which is held while a partition is created or forgotten, so every lock of
// NewDrainer and Forget comes after it; then Partition.mu; then one of Result.mu, activeMu, memory.mu, periods.mu,
// refusals.mu and pendingReports.mu, which are leaves. No channel is touched under any of them: who is to be woken is
// collected there, and woken when they are free.
type Accumulator struct {
	cfg            Config
	maxRaw         int // the most bytes of a batch of several records before compression
	buffers        bufferPool
	memory         *memory
	listener       Listener
	acknowledges   bool
	inside         func() bool // reports whether the caller is a callback
	refusals       refusals
	periods        periods
	unobserved     atomic.Int64
	pendingReports pendingReports
	inUse          atomic.Int64 // the length of active
	unsent         unsentLimiter
	reason         reason

	topicsMu lockrank.Mutex[lockrank.AccumulatorTopics]
	topics   map[string]*Topic

	activeMu  lockrank.Mutex[lockrank.AccumulatorActive]
	active    map[*Partition]struct{} // partitions with records that are not done
	lingering map[*Partition]struct{} // those that may have a batch which is not ready; see expediteAll
	closed    *record.Error
	closing   atomic.Bool // Close was called
}

// New returns an empty Accumulator.
func New(cfg Config) *Accumulator {
	if cfg.MaxSpan <= 0 {
		cfg.MaxSpan = max(cfg.Linger, time.Second)
	}
	if cfg.Listener == nil {
		cfg.Listener = nobody{}
	}
	inside := func() bool { return false }
	if l, ok := cfg.Listener.(CallbackDetector); ok {
		inside = l.InCallback
	}
	a := &Accumulator{
		unsent: unsentLimiter{limit: max(paceBytes, 2*int64(cfg.BatchSize))},
		cfg:    cfg, inside: inside, memory: newMemory(cfg.Memory), listener: cfg.Listener,
		acknowledges: cfg.Listener.WantsAcknowledgements(),
		maxRaw:       int(min(int64(cfg.MaxRequestSize), 16*int64(cfg.BatchSize), cfg.Memory/8)),
		topics:       make(map[string]*Topic), active: make(map[*Partition]struct{}),
		lingering: make(map[*Partition]struct{}),
	}
	a.initRefusals()
	return a
}

// capacityFor returns the capacity of the buffer for n bytes: a pooled size, unless it exceeds all of the memory.
func (a *Accumulator) capacityFor(n int) int {
	if size := bufferSize(n); int64(size) <= a.cfg.Memory {
		return size
	}
	return n
}

// Topic returns the topic with this name, made at its first use.
func (a *Accumulator) Topic(name string) *Topic {
	a.topicsMu.Lock()
	defer a.topicsMu.Unlock()
	t := a.topics[name]
	if t == nil {
		t = newTopic(a, name)
		a.topics[name] = t
	}
	return t
}

func (a *Accumulator) activate(p *Partition) {
	a.activeMu.Lock()
	a.active[p] = struct{}{}
	a.inUse.Store(int64(len(a.active)))
	a.activeMu.Unlock()
}

func (a *Accumulator) list(p *Partition) {
	a.activeMu.Lock()
	a.lingering[p] = struct{}{}
	a.activeMu.Unlock()
}

func (a *Accumulator) deactivate(p *Partition) {
	a.activeMu.Lock()
	delete(a.active, p)
	delete(a.lingering, p)
	a.inUse.Store(int64(len(a.active)))
	a.activeMu.Unlock()
}

func (a *Accumulator) activePartitions() []*Partition {
	a.activeMu.Lock()
	defer a.activeMu.Unlock()
	all := make([]*Partition, 0, len(a.active))
	for p := range a.active {
		all = append(all, p)
	}
	return all
}

// expediteAll readies every lingering batch: a Send waits for memory. The batches begun since its last call bound its
// work, and not the number of partitions: a partition is listed when a batch of it begins to linger, and taken off
// here, or when it has nothing left.
func (a *Accumulator) expediteAll() {
	a.activeMu.Lock()
	all := make([]*Partition, 0, len(a.lingering))
	for p := range a.lingering {
		all = append(all, p)
	}
	clear(a.lingering)
	a.activeMu.Unlock()
	for _, p := range all {
		p.expediteListed()
	}
}

// Flush readies every record accepted before it and waits until each has its outcome and its callback has returned, or
// until ctx ends. It also waits for the callbacks of records refused before it. Its error is ctx's and concerns the
// wait only: it names the obstacle of the oldest of these records.
func (a *Accumulator) Flush(ctx context.Context) error {
	var waits []flushing
	began := time.Now()
	for _, p := range a.activePartitions() {
		if done := p.startFlush(); done != nil {
			waits = append(waits, flushing{p, done})
		}
	}
	if done := a.refusals.flush(); done != nil {
		waits = append(waits, flushing{nil, done})
	}
	for i, w := range waits {
		select {
		case <-w.done:
		case <-ctx.Done():
			return interrupted(ctx, waits[i:], began)
		}
	}
	return nil
}

// PendingCallbacks returns how many records have their outcome while their callback or interceptors have not returned.
// For a partition whose callback has run since before Close, it counts up to 7 returned ones too.
func (a *Accumulator) PendingCallbacks() int {
	n := a.refusals.pending()
	for _, p := range a.activePartitions() {
		n += p.pendingCallbacks()
	}
	return n
}

// Buffered returns how many accepted records have no outcome yet, and how many bytes of buffer.memory are in use. Bytes
// without records belong to results and refused records behind callbacks and interceptors, or to buffers still held by
// a connection.
func (a *Accumulator) Buffered() (records int, bytes int64) {
	for _, p := range a.activePartitions() {
		p.mu.Lock()
		records += p.records
		p.mu.Unlock()
	}
	return records, a.memory.inUse()
}

// OldestWait returns the beginning of the longest present wait of a Send for room; ok is false when none waits.
func (a *Accumulator) OldestWait() (since time.Time, ok bool) { return a.memory.oldest() }

// Unobserved returns how many failed records had no observer: no callback, and no call of their future.
func (a *Accumulator) Unobserved() int64 { return a.unobserved.Load() }

// Close refuses further records with err and wakes the Sends waiting for memory. Buffered records stay.
func (a *Accumulator) Close(err *record.Error) {
	a.closing.Store(true)
	a.activeMu.Lock()
	a.closed = err
	a.activeMu.Unlock()
	a.topicsMu.Lock()
	topics := make([]*Topic, 0, len(a.topics))
	for _, t := range a.topics {
		topics = append(topics, t)
	}
	a.topicsMu.Unlock()
	for _, t := range topics {
		t.mu.Lock() // a partition in the making has seen closed, or is among these
		all := t.Partitions()
		t.mu.Unlock()
		for _, p := range all {
			if p != nil {
				p.Close(err)
			}
		}
	}
	a.memory.close(err)
	a.periods.stop()
}

func (a *Accumulator) isClosed() *record.Error {
	a.activeMu.Lock()
	defer a.activeMu.Unlock()
	return a.closed
}

// call runs the interceptors and the callback of one record. A panic of the callback is recovered and reported; the
// interceptors' is the Listener's to recover.
func (a *Accumulator) call(callback Callback, md *record.RecordMetadata, err *record.Error) {
	defer a.callBack(callback, md, err) // after runtime.Goexit in an interceptor too
	if a.acknowledges {
		a.listener.OnAcknowledgement(*md, plain(err))
	}
}

func (a *Accumulator) callBack(callback Callback, md *record.RecordMetadata, err *record.Error) {
	defer a.recovered()
	switch {
	case callback.One != nil:
		callback.One(*md, plain(err))
	case callback.All != nil:
		(*callback.All)(callback.I, *md, plain(err))
	}
}

// recovered is deferred around callbacks.
func (a *Accumulator) recovered() {
	if v := recover(); v != nil {
		a.listener.Panicked(v)
	}
}

// plain turns a nil *record.Error into a nil error.
func plain(err *record.Error) error {
	if err == nil {
		return nil
	}
	return err
}

// nobody is the Listener of an accumulator without one, and the Drainer of its partitions.
type nobody struct{}

func (nobody) BatchReady(<-chan struct{}) {}

func (nobody) Run(work func())                                { work() }
func (nobody) WantsAcknowledgements() bool                    { return false }
func (nobody) OnAcknowledgement(record.RecordMetadata, error) {}
func (nobody) Panicked(any)                                   {}
func (nobody) Unobserved(int, *record.Error)                  {}
