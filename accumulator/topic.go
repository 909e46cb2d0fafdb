package accumulator

import (
	"math"
	"sync"
	"sync/atomic"

	"github.com/gosamsa/samsa/record"
)

// Topic is what the partitions of one topic share.
type Topic struct {
	acc    *Accumulator
	name   string
	ratio  atomic.Uint64 // bits of a float64: compressed bytes for each raw one, a running estimate
	most   atomic.Int64  // bytes that a batch of several records may have on the wire: batch.size, or what the broker takes
	passed atomic.Int64  // batches acknowledged since most was changed, while it is below batch.size

	mu         sync.Mutex
	partitions atomic.Pointer[[]*Partition] // by number, nil where nothing was sent yet; copied on growth
}

func newTopic(a *Accumulator, name string) *Topic {
	t := &Topic{acc: a, name: name}
	t.ratio.Store(math.Float64bits(1))
	t.most.Store(int64(a.cfg.BatchSize))
	t.partitions.Store(&[]*Partition{})
	return t
}

// Name returns the topic's name.
func (t *Topic) Name() string { return t.name }

// Partition returns partition n, made at its first use. n is not checked against the cluster.
func (t *Topic) Partition(n int32) *Partition {
	if all := *t.partitions.Load(); int(n) < len(all) && all[n] != nil {
		return all[n]
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	all := *t.partitions.Load()
	if int(n) < len(all) && all[n] != nil {
		return all[n]
	}
	p := &Partition{acc: t.acc, topic: t, index: n, owner: nobody{}}
	p.closed = t.acc.isClosed()
	t.acc.memory.move(&p.holder, NoLeader)
	if t.acc.cfg.NewOwner != nil {
		p.owner = t.acc.cfg.NewOwner(p)
	}
	grown := make([]*Partition, max(len(all), int(n)+1))
	copy(grown, all)
	grown[n] = p
	t.partitions.Store(&grown)
	return p
}

// Partitions returns the partitions that were sent to so far; entries are nil where nothing was.
func (t *Topic) Partitions() []*Partition { return *t.partitions.Load() }

// rawLimit returns how many bytes, header included, a batch of several records may have before compression, as far as is
// known now. However wrong the estimate is, it breaks no limit: raw bytes keep within max.request.size, a small multiple of
// batch.size, and a small part of buffer.memory.
func (t *Topic) rawLimit() int {
	most := t.most.Load()
	if t.acc.cfg.Compressor != nil {
		ratio := math.Float64frombits(t.ratio.Load())
		most = record.BatchHeaderSize + int64(float64(most-record.BatchHeaderSize)/ratio)
	}
	return int(min(most, int64(t.acc.maxRaw)))
}

// leastRatio is the best compression that is told apart: beyond it the bound on raw bytes decides.
const leastRatio = 1.0 / 32

// observe moves the estimate halfway to what a batch compressed to, and at once to a worse ratio: batches that come out
// too large are worse than small ones. Small batches say little: what repeats from record to record is rare in them.
func (t *Topic) observe(raw, compressed int) {
	if raw == 0 || raw < t.acc.cfg.BatchSize/2 {
		return
	}
	seen := min(max(float64(compressed)/float64(raw), leastRatio), 1)
	for {
		old := t.ratio.Load()
		ratio := max(seen, (math.Float64frombits(old)+seen)/2)
		if t.ratio.CompareAndSwap(old, math.Float64bits(ratio)) {
			return
		}
	}
}

// lower keeps later batches to a size after the broker has refused a larger one.
func (t *Topic) lower(size int) {
	for {
		most := t.most.Load()
		if int64(size) >= most {
			return
		}
		if t.most.CompareAndSwap(most, int64(size)) {
			t.passed.Store(0)
			return
		}
	}
}

// raiseEvery is how many batches must have passed before a slightly larger one is tried again.
const raiseEvery = 1024

// raise notes a batch that passed. The broker's limit may have been lifted, so batches grow again, but slowly: each one that
// is refused costs a split.
func (t *Topic) raise() {
	most, full := t.most.Load(), int64(t.acc.cfg.BatchSize)
	if most >= full || t.passed.Add(1)%raiseEvery != 0 {
		return
	}
	t.most.CompareAndSwap(most, min(most+most/16+1, full))
}
