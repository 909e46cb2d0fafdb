package accumulator

import (
	"sync/atomic"
	"time"

	"github.com/gosamsa/samsa/record"
)

// Batch is a sealed batch: its records are fixed, and it waits for an outcome. Its owner writes [Batch.Bytes] as often
// as it must, and ends it with [Partition.Settle], [Partition.Reject] or [Partition.Split].
type Batch struct {
	// Created is when the first record was appended; delivery.timeout.ms counts from here.
	Created time.Time
	// Count is the number of records in the batch.
	Count int32

	extra int32 // the charge on buffer.memory beside the buffer, until the last Release
	part  *Partition
	root  *Result
	index []int32      // the records' indexes in root; nil when the batch has all except canceled ones
	buf   []byte       // header and records, raw until Compress
	box   *[]byte      // buf's container from the pool; buffer.memory is charged with its capacity
	raw   int          // bytes of the records before Compress
	ahead atomic.Int64 // bytes counted as ahead of the network, see unsentLimiter
	holds atomic.Int32 // the missing outcome, and each write under way
	ended atomic.Bool  // it has its outcome, or others stand in its place

	// While the batch is in its queue; guarded by Partition.mu.
	appended int32     // records ever appended; Count is set by the seal
	until    time.Time // records after this go into another batch
	queued   links[Batch]

	baseTime int64
	maxTime  int64
}

func inComplete(b *Batch) *links[Batch] { return &b.queued }

// initBatch makes a new batch ready, with a buffer of the given capacity. The capacity and its descriptionBytes are
// reserved already.
func (p *Partition) initBatch(b *Batch, created time.Time, root *Result, capacity int) {
	b.Created, b.part, b.root, b.box, b.extra = created, p, root, p.acc.buffers.get(capacity),
		int32(p.acc.descriptionBytes(capacity))
	b.buf = (*b.box)[:record.BatchHeaderSize]
	b.holds.Store(1)
}

// Bytes returns the batch's bytes as they go over the wire, from the batch header on.
func (b *Batch) Bytes() []byte { return b.buf }

// MaxTimestamp returns the greatest timestamp of the batch's records, in milliseconds.
func (b *Batch) MaxTimestamp() int64 { return b.maxTime }

// Retain keeps the batch's buffer from being reused while a connection writes it; each Retain needs a Release.
func (b *Batch) Retain() { b.holds.Add(1) }

// Retained reports whether a connection writes the batch. Its bytes must not be changed then.
func (b *Batch) Retained() bool { return b.holds.Load() > 1 }

// size returns how many bytes the batch and its buffer count; 0 after the buffer was given back.
func (b *Batch) size() int64 {
	if b.box == nil {
		return 0
	}
	return int64(cap(*b.box)) + int64(b.extra)
}

// Release ends a Retain. The buffer goes back when the batch has its outcome and no connection holds it.
func (b *Batch) Release() {
	if b.holds.Add(-1) == 0 {
		size := b.size()
		b.part.acc.buffers.put(b.box)
		b.buf, b.box = nil, nil
		b.part.acc.memory.release(&b.part.holder, size)
	}
}

// end notes the end of the batch. It panics at the second time: a record has one outcome.
func (b *Batch) end() {
	if b.ended.Swap(true) {
		panic("samsa: a batch was settled twice")
	}
	b.MarkSent()
}

// bufferOverLimit returns a buffer of the given capacity and counts it in buffer.memory, with or without room.
func (p *Partition) bufferOverLimit(capacity int) *[]byte {
	p.acc.memory.force(&p.holder, int64(capacity))
	return p.acc.buffers.get(capacity)
}

// giveBack returns a buffer to the pool and its bytes to buffer.memory. It is called under no lock of this package.
func (p *Partition) giveBack(box *[]byte) {
	size := int64(cap(*box))
	p.acc.buffers.put(box)
	p.acc.memory.release(&p.holder, size)
}

// use puts another buffer, the holder of buf, in the place of the batch's.
func (b *Batch) use(box *[]byte, buf []byte) {
	old := b.box
	b.box, b.buf = box, buf
	b.part.giveBack(old)
}

// seal leaves out the canceled records and writes the batch's header. It runs once, under no lock of this package: the
// batch has left its queue.
func (b *Batch) seal() {
	b.Count = b.appended
	if b.root.dropped != nil {
		b.compact()
	}
	b.root.mu.Lock()
	b.root.remaining = b.Count
	b.root.dropped.seal()
	b.root.mu.Unlock()
	b.raw = len(b.buf) - record.BatchHeaderSize
	b.putHeader(0)
}

// putHeader writes the header for the bytes as they are: raw with codec 0, or compressed.
func (b *Batch) putHeader(codec int8) {
	h := record.BatchHeader{
		Length: int32(len(b.buf) - record.BatchLengthOverhead), PartitionLeaderEpoch: -1, Magic: record.Magic,
		Attributes: int16(codec), LastOffsetDelta: b.Count - 1, BaseTimestamp: b.baseTime, MaxTimestamp: b.maxTime,
		ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, Count: b.Count,
	}
	h.Put(b.buf)
}

// compact copies the records except canceled ones into another buffer and renumbers them.
func (b *Batch) compact() {
	src := b.buf[record.BatchHeaderSize:]
	box := b.part.bufferOverLimit(cap(*b.box))
	kept := Batch{box: box, buf: (*box)[:record.BatchHeaderSize], baseTime: b.baseTime}
	for i := int32(0); len(src) > 0; i++ {
		raw, rest, err := record.NextRaw(src)
		if err != nil {
			panic("samsa: a batch of our own cannot be read: " + err.Error())
		}
		src = rest
		if !b.root.dropped.has(i) {
			kept.appendRaw(raw)
		}
	}
	b.Count, b.maxTime = kept.Count, kept.maxTime
	b.use(box, kept.buf)
}

// appendRaw appends an encoded record of a batch with the same base timestamp, under the next number.
func (b *Batch) appendRaw(r record.RawRecord) {
	b.buf = record.AppendRaw(b.buf, b.Count, r.TimestampDelta, r.Body)
	if t := b.baseTime + r.TimestampDelta; b.Count == 0 || t > b.maxTime {
		b.maxTime = t
	}
	b.Count++
}

// each calls do for every record of the batch, in order, with its number there and its index in root.
func (b *Batch) each(do func(j, i int32)) {
	if b.index != nil {
		for j, i := range b.index {
			do(int32(j), i)
		}
		return
	}
	j := int32(0)
	for i := range b.appended {
		if !b.root.dropped.has(i) {
			do(j, i)
			j++
		}
	}
}

// compressRoom is the capacity for compressing n bytes. The codecs ask for room for the worst case, a result larger
// than the source; with less they would make a buffer of their own.
func compressRoom(n int) int { return bufferSize(n + n/6 + 256) }

// Compress replaces the batch's raw records by their compressed form and frees the raw ones. If compression makes the
// batch larger, it stays as it is: fewer bytes for client and broker. It runs on a worker, outside every lock.
func (b *Batch) Compress() error {
	p, c := b.part, b.part.acc.cfg.Compressor
	box := p.bufferOverLimit(compressRoom(len(b.buf)))
	out, err := c.Compress((*box)[:record.BatchHeaderSize], b.buf[record.BatchHeaderSize:])
	if err != nil {
		p.giveBack(box)
		return err
	}
	p.topic.observe(b.raw, len(out)-record.BatchHeaderSize)
	if len(out) < len(b.buf) {
		// The room for the worst case is much more than the result needs, perhaps for minutes.
		final := p.bufferOverLimit(p.acc.capacityFor(len(out)))
		b.use(final, append(*final, out...))
		b.putHeader(int8(c.Codec()))
	}
	p.giveBack(box)
	return nil
}
