package testbroker

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// producerWindow is how many batches of a producer a partition remembers.
const producerWindow = 5

// log is a partition's log with the state of its producers.
type log struct {
	batches   []Batch
	records   int // in batches
	start     int64
	next      int64
	copied    int64 // all in-sync replicas have the batches before this offset, and copies of all batches old enough
	producers map[int64]*producerState
}

// Batch is a batch as it lies in a log.
type Batch struct {
	// Header has the base offset, the leader epoch and, if the topic uses LogAppendTime, the broker's time.
	Header record.BatchHeader
	// Records have their offsets in the log.
	Records []record.ParsedRecord
	// Raw is the batch as it would lie in Kafka's log.
	Raw []byte
	// Request is the number of its request.
	Request int

	appended time.Time
}

// producerState is a partition's state of a producer id.
type producerState struct {
	epoch   int16
	batches []producerBatch // the last producerWindow ones
}

// producerBatch is a batch remembered by a partition.
type producerBatch struct {
	first, last int32
	offset      int64
	timestamp   int64
}

func newLog() log { return log{producers: make(map[int64]*producerState)} }

// verdict is a log's decision about a batch.
type verdict struct {
	code         protocol.ErrorCode
	message      string
	recordErrors []protocol.RecordError
	offset       int64
	appendTime   int64
	appended     bool
}

func refused(code protocol.ErrorCode, message string) verdict {
	return verdict{code: code, message: message, offset: -1, appendTime: -1}
}

// append writes a batch, unless the log has it already or its place in the producer's sequence is wrong.
func (p *partition) append(part *Part, s *TopicSettings, request int, now time.Time) verdict {
	l := &p.log
	stored := store(part, l.next, p.epoch, s.LogAppendTime, now)
	h := &stored.Header
	if h.ProducerID >= 0 {
		state := l.producers[h.ProducerID]
		if d := state.duplicate(h, p.stopped[p.leader]); d != nil {
			// Kafka tells the duplicate's greatest timestamp as LogAppendTimeMs, with any type of timestamps.
			return verdict{offset: d.offset, appendTime: d.timestamp}
		}
		if code, message := state.check(h); code != protocol.None {
			return refused(code, message)
		}
		l.remember(h)
	}
	stored.Request, stored.appended = request, now
	l.batches = append(l.batches, stored)
	l.records += len(stored.Records)
	l.next += int64(h.LastOffsetDelta) + 1
	v := verdict{offset: h.BaseOffset, appendTime: -1, appended: true}
	if s.LogAppendTime {
		v.appendTime = h.MaxTimestamp
	}
	return v
}

// store turns a batch into the form written by a broker.
func store(p *Part, offset int64, epoch int32, appendTime bool, now time.Time) Batch {
	b := Batch{Header: p.Batch.Header, Records: slices.Clone(p.Batch.Records), Raw: slices.Clone(p.Raw)}
	b.Header.BaseOffset, b.Header.PartitionLeaderEpoch = offset, epoch
	if appendTime {
		b.Header.Attributes |= record.AttributeLogAppendTime
		b.Header.MaxTimestamp = now.UnixMilli()
	}
	b.Header.Put(b.Raw)
	if appendTime {
		record.SetChecksum(b.Raw)
		b.Header.CRC = record.Checksum(b.Raw)
	}
	for i := range b.Records {
		b.Records[i].Offset += offset
		if appendTime {
			b.Records[i].Timestamp = b.Header.MaxTimestamp
		}
	}
	return b
}

// duplicate finds a batch with the same epoch and sequences in the leader's memory. The broker was stopped when the log
// ended at an offset: of the batches before it, the broker's snapshot had only the last.
func (s *producerState) duplicate(h *record.BatchHeader, stopped int64) *producerBatch {
	if s == nil || s.epoch != h.ProducerEpoch {
		return nil
	}
	for i := range s.batches {
		if i+1 < len(s.batches) && s.batches[i+1].offset < stopped {
			continue
		}
		if b := &s.batches[i]; b.first == h.BaseSequence && b.last == lastSequence(h) {
			return b
		}
	}
	return nil
}

// check says whether the batch is the next one. A partition without state of a producer takes any sequence.
func (s *producerState) check(h *record.BatchHeader) (protocol.ErrorCode, string) {
	switch {
	case s == nil:
		return protocol.None, ""
	case h.ProducerEpoch < s.epoch:
		return protocol.InvalidProducerEpoch, fmt.Sprintf("epoch %d of producer %d, the last one was %d",
			h.ProducerEpoch, h.ProducerID, s.epoch)
	case h.ProducerEpoch > s.epoch && h.BaseSequence != 0:
		return protocol.OutOfOrderSequenceNumber,
			fmt.Sprintf("sequence %d of producer %d at the beginning of epoch %d", h.BaseSequence, h.ProducerID,
				h.ProducerEpoch)
	case h.ProducerEpoch > s.epoch:
		return protocol.None, ""
	}
	last := s.batches[len(s.batches)-1].last
	if h.BaseSequence != addSequence(last, 1) {
		return protocol.OutOfOrderSequenceNumber,
			fmt.Sprintf("sequence %d of producer %d epoch %d after %d", h.BaseSequence, h.ProducerID, h.ProducerEpoch,
				last)
	}
	return protocol.None, ""
}

// remember notes an appended batch.
func (l *log) remember(h *record.BatchHeader) {
	state := l.producers[h.ProducerID]
	if state == nil || state.epoch != h.ProducerEpoch {
		state = &producerState{epoch: h.ProducerEpoch}
		l.producers[h.ProducerID] = state
	}
	if len(state.batches) == producerWindow {
		state.batches = state.batches[1:]
	}
	state.batches = append(state.batches, producerBatch{
		first: h.BaseSequence, last: lastSequence(h), offset: h.BaseOffset, timestamp: h.MaxTimestamp,
	})
}

// lastSequence is the sequence of the batch's last record.
func lastSequence(h *record.BatchHeader) int32 { return addSequence(h.BaseSequence, h.LastOffsetDelta) }

// addSequence adds to a sequence: after 2³¹−1 comes 0.
func addSequence(sequence, n int32) int32 {
	return int32((int64(sequence) + int64(n)) & math.MaxInt32)
}

// copiedUpTo is the end of the log common to all in-sync replicas.
func (l *log) copiedUpTo(now time.Time, lag time.Duration) int64 {
	for i := len(l.batches) - 1; i >= 0; i-- {
		b := &l.batches[i]
		end := b.Header.BaseOffset + int64(b.Header.LastOffsetDelta) + 1
		if end <= l.copied || now.Sub(b.appended) >= lag {
			return max(end, l.copied)
		}
	}
	return max(l.copied, l.start)
}

// truncate drops the batches from an offset on, and the state of producers known only through them.
func (l *log) truncate(offset int64) {
	for len(l.batches) > 0 && l.batches[len(l.batches)-1].Header.BaseOffset >= offset {
		last := len(l.batches) - 1
		l.records -= len(l.batches[last].Records)
		l.batches = l.batches[:last:last]
	}
	l.next = l.start
	l.producers = make(map[int64]*producerState)
	for i := range l.batches {
		h := &l.batches[i].Header
		l.next = h.BaseOffset + int64(h.LastOffsetDelta) + 1
		if h.ProducerID >= 0 {
			l.remember(h)
		}
	}
	l.copied = min(l.copied, l.next)
}

// Log returns the records of a partition.
func (c *Cluster) Log(topic string, partition int32) []record.ParsedRecord {
	var list []record.ParsedRecord
	for _, b := range c.Batches(topic, partition) {
		list = append(list, b.Records...)
	}
	return list
}

// Batches returns the batches of a partition.
func (c *Cluster) Batches(topic string, partition int32) []Batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.partition(topic, partition).log.batches)
}

// BatchesOf returns the batches of a partition of the topic with an id. The topic may have been deleted.
func (c *Cluster) BatchesOf(id protocol.UUID, partition int32) []Batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.byID[id]
	if t == nil || int(partition) >= len(t.partitions) {
		return nil
	}
	return slices.Clone(t.partitions[partition].log.batches)
}

// Records returns how many records are in all partitions of a topic.
func (c *Cluster) Records(topic string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, p := range c.topic(topic).partitions {
		n += p.log.records
	}
	return n
}

// TruncateLog drops the batches of a partition from an offset on, as happens when a leader is lost with its
// unreplicated batches.
func (c *Cluster) TruncateLog(topic string, partition int32, offset int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.partition(topic, partition).truncate(offset)
	c.wake()
}

// DeleteRecords drops a partition's batches with their end before an offset, as retention does. The state of their
// producers stays; see ForgetProducers.
func (c *Cluster) DeleteRecords(topic string, partition int32, before int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &c.partition(topic, partition).log
	l.start = min(max(l.start, before), l.next)
	for len(l.batches) > 0 && l.batches[0].Header.BaseOffset+int64(l.batches[0].Header.LastOffsetDelta) < l.start {
		l.records -= len(l.batches[0].Records)
		l.batches = l.batches[1:]
	}
	c.wake()
}

// ForgetProducers makes all partitions forget their producers, as happens after producer.id.expiration.ms. They take
// any sequence then.
func (c *Cluster) ForgetProducers() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p := range c.allPartitions {
		clear(p.log.producers)
	}
}
