package accumulator

import (
	"math"
	"sync/atomic"

	"github.com/gosamsa/samsa/internal/lockrank"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// Topic is the shared state of the partitions of one topic.
type Topic struct {
	acc    *Accumulator
	name   string
	ratio  atomic.Uint64 // bits of a float64: compressed bytes for each raw one, a running estimate
	learnt atomic.Int32  // how many batches it was learnt from at once; see Partition.Learn
	most   atomic.Int64  // the most bytes of a batch of several records on the wire: batch.size, or the broker's limit
	passed atomic.Int64  // batches acknowledged since most was changed, while it is below batch.size
	limit  atomic.Int64  // rawLimit, kept because every record asks for it

	mu        lockrank.Mutex[lockrank.AccumulatorTopic] // held while a partition is made or forgotten
	forgotten bool                                      // the topic has left the accumulator
	// by number, empty where nothing was sent yet; copied on growth
	slots   atomic.Pointer[[]atomic.Pointer[Partition]]
	version atomic.Int64 // counts the partitions made or forgotten
	list    atomic.Pointer[partitionList]
}

// partitionList is the result of Partitions at a version of the topic.
type partitionList struct {
	version int64
	all     []*Partition
}

func newTopic(a *Accumulator, name string) *Topic {
	t := &Topic{acc: a, name: name}
	t.ratio.Store(math.Float64bits(1))
	t.most.Store(int64(a.cfg.BatchSize))
	t.slots.Store(&[]atomic.Pointer[Partition]{})
	t.limited()
	return t
}

// Name returns the topic's name.
func (t *Topic) Name() string { return t.name }

// Lookup returns partition n, or nil while nothing was sent to it.
func (t *Topic) Lookup(n int32) *Partition {
	if slots := *t.slots.Load(); int(n) < len(slots) {
		return slots[n].Load()
	}
	return nil
}

// Partition returns partition n, made at its first use. n is not checked against the cluster. It returns nil after the
// topic has left the accumulator; see [Accumulator.Forget].
func (t *Topic) Partition(n int32) *Partition {
	if p := t.Lookup(n); p != nil {
		return p
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.Lookup(n); p != nil {
		return p
	}
	if t.forgotten {
		return nil
	}
	p := &Partition{acc: t.acc, topic: t, index: n, owner: nobody{}}
	p.closed = t.acc.isClosed()
	p.delivery.work = p.deliverAll
	t.acc.memory.move(&p.holder, protocol.NoLeader)
	if t.acc.cfg.NewDrainer != nil {
		p.owner = t.acc.cfg.NewDrainer(p)
	}
	t.slotLocked(n).Store(p)
	t.version.Add(1)
	return p
}

// slotLocked returns the place of partition n. Places double in number: ten thousand partitions, one by one, must not
// copy all of the others each time.
func (t *Topic) slotLocked(n int32) *atomic.Pointer[Partition] {
	slots := *t.slots.Load()
	if int(n) >= len(slots) {
		grown := make([]atomic.Pointer[Partition], max(int(n)+1, 2*len(slots)))
		for i := range slots {
			grown[i].Store(slots[i].Load())
		}
		t.slots.Store(&grown)
		slots = grown
	}
	return &slots[n]
}

// Partitions returns the partitions with records so far; the other entries are nil. The caller must not change the
// slice. See [Topic.Lookup] for one of them.
func (t *Topic) Partitions() []*Partition {
	version := t.version.Load()
	if list := t.list.Load(); list != nil && list.version == version {
		return list.all
	}
	var all []*Partition
	slots := *t.slots.Load()
	for i := range slots {
		if p := slots[i].Load(); p != nil {
			all = append(all, make([]*Partition, i+1-len(all))...)
			all[i] = p
		}
	}
	t.list.Store(&partitionList{version: version, all: all})
	return all
}

// rawLimit returns how many bytes, header included, a batch of several records may have before compression, as far as
// is known now. However wrong the estimate is, it breaks no limit: raw bytes keep within max.request.size, a small
// multiple of batch.size, and a small part of buffer.memory.
func (t *Topic) rawLimit() int { return int(t.limit.Load()) }

// limited follows a change of the limit's inputs. After another change meanwhile it notices, and follows that one.
func (t *Topic) limited() {
	for {
		limit := t.limitNow()
		t.limit.Store(limit)
		if t.limitNow() == limit {
			return
		}
	}
}

func (t *Topic) limitNow() int64 {
	most := t.most.Load()
	if t.acc.cfg.Compressor != nil {
		ratio := math.Float64frombits(t.ratio.Load())
		most = record.BatchHeaderSize + int64(float64(most-record.BatchHeaderSize)/ratio)
	}
	return min(most, int64(t.acc.maxRaw))
}

// learnFrom is how many full batches of a topic are measured before the next one is filled, to bring the estimate near
// the truth. From then on the estimate follows the workers' measurements, however far behind they are.
const learnFrom = 8

// CompressInline reports whether the topic's estimate is to be learnt from the partition's next full batch: the
// goroutine that filled it should seal and compress it itself, before it fills another one. It returns true for few
// batches of a topic.
func (p *Partition) CompressInline() bool {
	t := p.topic
	return t.acc.cfg.Compressor != nil && t.learnt.Load() < learnFrom && p.HasFullBatch() &&
		t.learnt.Add(1) <= learnFrom
}

// leastRatio is the best distinguished compression: beyond it the bound on raw bytes decides.
const leastRatio = 1.0 / 32

// observe moves the estimate halfway to a batch's ratio, and at once to a worse ratio: too large batches are worse than
// small ones. Small batches say little: repetitions from record to record are rare in them.
func (t *Topic) observe(raw, compressed int) {
	if raw == 0 || raw < t.acc.cfg.BatchSize/2 {
		return
	}
	seen := min(max(float64(compressed)/float64(raw), leastRatio), 1)
	for {
		old := t.ratio.Load()
		ratio := max(seen, (math.Float64frombits(old)+seen)/2)
		if t.ratio.CompareAndSwap(old, math.Float64bits(ratio)) {
			t.limited()
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
			t.limited()
			return
		}
	}
}

// raiseEvery is how many batches must have passed before a slightly larger one is tried again.
const raiseEvery = 1024

// raise notes a batch accepted by the broker. The broker's limit may have been lifted, so batches grow again, but
// slowly: each refused one costs a split.
func (t *Topic) raise() {
	most, full := t.most.Load(), int64(t.acc.cfg.BatchSize)
	if most >= full || t.passed.Add(1)%raiseEvery != 0 {
		return
	}
	if t.most.CompareAndSwap(most, min(most+most/16+1, full)) {
		t.limited()
	}
}
