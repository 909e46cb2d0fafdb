package accumulator

import (
	"fmt"

	"github.com/gosamsa/samsa/compress"
	"github.com/gosamsa/samsa/record"
)

// Reject settles the blamed records of b (reasons has them by their index in the batch) and returns a new batch with
// the others, in order, or nil when none is left. It stands in b's place, uncompressed; b itself must not be touched
// any more. After an error b is as it was.
func (p *Partition) Reject(b *Batch, reasons map[int32]*record.Error) (*Batch, error) {
	place := make([]int32, b.Count)
	rejected := make([]blamed, 0, len(reasons))
	b.each(func(j, i int32) {
		if err := reasons[j]; err != nil {
			place[j] = leftOut
			rejected = append(rejected, blamed{i, err})
		}
	})
	var parts []*Batch
	if len(rejected) < int(b.Count) {
		raw, done, err := b.rawRecords()
		if err != nil {
			return nil, err
		}
		parts, err = b.rebuild(raw, place)
		done()
		if err != nil {
			return nil, err
		}
	}
	b.end()
	p.countUnobserved(b, nil, reasons)
	b.Release()
	p.forgetSome(b, len(rejected), 0)
	woken, settled := b.root.reject(rejected)
	woken.call()
	if settled {
		p.settled(b.root)
	}
	if parts == nil {
		return nil, nil
	}
	return parts[0], nil
}

// Split returns new batches with the records of b, in order: each of at most target bytes on the wire, by the
// compression of b, or of one record. They stand in b's place, uncompressed; the caller must not touch b any more.
// After an error b is unchanged. A batch of several records gives at least two, and after a split the topic gets no
// larger ones for a while; if its limit was lower before, the parts keep to that limit.
func (p *Partition) Split(b *Batch, target int) ([]*Batch, error) {
	p.topic.lower(target)
	target = min(target, int(p.topic.most.Load()))
	raw, done, err := b.rawRecords()
	if err != nil {
		return nil, err
	}
	defer done()
	place, err := b.divide(raw, target)
	if err != nil {
		return nil, err
	}
	parts, err := b.rebuild(raw, place)
	if err != nil {
		return nil, err
	}
	b.end()
	b.Release()
	return parts, nil
}

// ExceedsTopicLimit returns how many bytes b may have on the wire, if it has more than one record and is larger than
// the likely limit since the split of a batch of its topic; else 0.
func (p *Partition) ExceedsTopicLimit(b *Batch) (target int) {
	if most := int(p.topic.most.Load()); most < p.acc.cfg.BatchSize && b.Count > 1 && len(b.buf) > most {
		return most
	}
	return 0
}

// divide returns the part of each record.
func (b *Batch) divide(raw []byte, target int) ([]int32, error) {
	// The target in raw bytes. Half of the batch is the most, or there would be no end of splitting.
	wire := max(len(b.buf)-record.BatchHeaderSize, 1)
	most := int64(max(target-record.BatchHeaderSize, 0)) * int64(len(raw)) / int64(wire)
	most = min(most, int64(len(raw)/2))
	place := make([]int32, 0, b.Count)
	part, size := int32(0), int64(0)
	for len(raw) > 0 {
		_, rest, err := record.NextRaw(raw)
		if err != nil {
			return nil, ownBatch(err)
		}
		n := int64(len(raw) - len(rest))
		raw = rest
		if size > 0 && size+n > most {
			part, size = part+1, 0
		}
		place = append(place, part)
		size += n
	}
	return place, nil
}

// rawRecords returns the batch's records uncompressed; done ends their use. Their decompressed bytes count in
// buffer.memory until then.
func (b *Batch) rawRecords() (raw []byte, done func(), err error) {
	h, err := record.ReadBatchHeader(b.buf)
	if err != nil {
		return nil, nil, ownBatch(err)
	}
	data := b.buf[record.BatchHeaderSize:]
	codec := int8(h.Attributes & record.AttributeCodecMask)
	if codec == 0 {
		return data, func() {}, nil
	}
	box := b.part.bufferOverLimit(b.part.acc.capacityFor(b.raw))
	raw, err = compress.Decompress(*box, codec, data, b.raw)
	if err != nil {
		b.part.giveBack(box)
		return nil, nil, ownBatch(err)
	}
	return raw, func() { b.part.giveBack(box) }, nil
}

// leftOut is the place of a record without a part.
const leftOut = -1

// rebuild makes sealed, uncompressed batches of b's raw records: place is the part of each, ascending, or leftOut.
// Their memory is taken without waiting: b's own comes free at once.
func (b *Batch) rebuild(raw []byte, place []int32) (parts []*Batch, err error) {
	sizes := make([]int, 0, 2)
	records := make([]record.RawRecord, len(place))
	for j, k := range place {
		before := len(raw)
		if records[j], raw, err = record.NextRaw(raw); err != nil {
			return nil, ownBatch(err)
		}
		if k == leftOut {
			continue
		}
		if int(k) == len(sizes) {
			sizes = append(sizes, record.BatchHeaderSize)
		}
		sizes[k] += before - len(raw) // smaller numbers take no more bytes
	}
	for _, size := range sizes {
		parts = append(parts, b.newPart(size))
	}
	b.each(func(j, i int32) {
		if k := place[j]; k != leftOut {
			parts[k].index = append(parts[k].index, i)
			parts[k].appendRaw(records[j])
		}
	})
	for _, part := range parts {
		index := int64(cap(part.index)) * indexBytes
		b.part.acc.memory.force(&b.part.holder, index)
		part.extra += int32(index)
		part.raw = len(part.buf) - record.BatchHeaderSize
		part.putHeader(0)
	}
	return parts, nil
}

func (b *Batch) newPart(size int) *Batch {
	capacity := b.part.acc.capacityFor(size)
	b.part.acc.memory.force(&b.part.holder, int64(capacity)+b.part.acc.descriptionBytes(capacity))
	part := &Batch{}
	b.part.initBatch(part, b.Created, b.root, capacity)
	part.baseTime = b.baseTime
	return part
}

// ownBatch is an error that cannot happen while our own bytes are intact.
func ownBatch(err error) error { return fmt.Errorf("a batch of our own cannot be read: %w", err) }
