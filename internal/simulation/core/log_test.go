package core

import (
	"github.com/gosamsa/samsa/internal/delivery"
	"github.com/gosamsa/samsa/protocol"
)

// This file is one replica's log in the simulation, and Kafka's memory of the producers beside it.

// simEntry is a batch in the log. Replicas with the same batch share it.
type simEntry struct {
	records  []int
	id       delivery.Identity
	sequence int32
	base     int64
	stray    bool // the client had given its connection up when the broker found it
	lapsed   bool // and has another producer id since, without a fence for the former

	strangers bool // another producer wrote it; its records are not ours
}

func (e *simEntry) end() int64  { return e.base + int64(len(e.records)) }
func (e *simEntry) last() int32 { return seqAdd(e.sequence, len(e.records)-1) }

// simReplica is a partition's log on one broker.
type simReplica struct {
	entries   []*simEntry
	producers map[int64]*simProducer
	remembers int // batches of each producer
}

// simProducer is the broker's knowledge of one producer id: its epoch and its last batches, the newest at the end.
type simProducer struct {
	epoch  int16
	recent []*simEntry
}

func newSimReplica(remembers int) *simReplica {
	return &simReplica{producers: map[int64]*simProducer{}, remembers: remembers}
}

func (r *simReplica) end() int64 {
	if len(r.entries) == 0 {
		return 0
	}
	return r.entries[len(r.entries)-1].end()
}

// add puts a batch at the end. Batches of a client were judged before; a follower copies without judging.
func (r *simReplica) add(e *simEntry) {
	r.entries = append(r.entries, e)
	r.remember(e)
}

func (r *simReplica) remember(e *simEntry) {
	if !e.id.Valid {
		return
	}
	p := r.producers[e.id.ID]
	if p == nil {
		p = &simProducer{}
		r.producers[e.id.ID] = p
	}
	if p.epoch != e.id.Epoch {
		p.epoch, p.recent = e.id.Epoch, nil
	}
	p.recent = append(p.recent, e)
	if len(p.recent) > r.remembers {
		p.recent = p.recent[1:]
	}
}

// judge applies Kafka's rules to a batch: it is a duplicate of a remembered one, or refused, or neither.
func (r *simReplica) judge(part *simPart, kind *simKafka) (duplicate *simEntry, refused protocol.ErrorCode) {
	if !part.id.Valid {
		return nil, protocol.None
	}
	p := r.producers[part.id.ID]
	if p == nil {
		if kind.unknownProducers && part.sequence != 0 {
			return nil, protocol.UnknownProducerID // Kafka before 2.5
		}
		return nil, protocol.None // any first sequence
	}
	last := seqAdd(part.sequence, len(part.records)-1)
	switch {
	case part.id.Epoch < p.epoch:
		return nil, protocol.InvalidProducerEpoch
	case part.id.Epoch > p.epoch:
		if part.sequence != 0 {
			return nil, protocol.OutOfOrderSequenceNumber
		}
		return nil, protocol.None
	}
	for _, e := range p.recent {
		if e.sequence == part.sequence && e.last() == last {
			return e, protocol.None
		}
	}
	if kind.namesDuplicates && last < p.recent[0].sequence {
		return nil, protocol.DuplicateSequenceNumber // Kafka 1.0 ignores the wrap
	}
	if part.sequence != seqAdd(p.recent[len(p.recent)-1].last(), 1) {
		return nil, protocol.OutOfOrderSequenceNumber
	}
	return nil, protocol.None
}

// common returns how many entries two replicas share from the start on.
func (r *simReplica) common(o *simReplica) int {
	n := 0
	for n < len(r.entries) && n < len(o.entries) && r.entries[n] == o.entries[n] {
		n++
	}
	return n
}

// reload cuts the log to n entries and rebuilds the state of producers as Kafka does: from a snapshot after the entry
// at snapshot, with one batch of each producer, and the batches behind it.
func (r *simReplica) reload(n, snapshot int) {
	r.entries = r.entries[:n:n]
	r.producers = map[int64]*simProducer{}
	for i, e := range r.entries {
		if i == snapshot {
			r.forgetAllButLast()
		}
		r.remember(e)
	}
	if snapshot >= n {
		r.forgetAllButLast()
	}
}

func (r *simReplica) forgetAllButLast() {
	for _, p := range r.producers {
		p.recent = p.recent[len(p.recent)-1:]
	}
}
