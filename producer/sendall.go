package producer

import (
	"context"
	"errors"
	"slices"

	"github.com/gosamsa/samsa/accumulator"
	"github.com/gosamsa/samsa/internal/cluster"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// pieceSize is how many records of a slice SendAll handles at a time.
const pieceSize = 128

// SendAll sends the records of a slice and returns their futures in the order of the slice. It costs less than the same
// number of Sends: records of one partition are appended under one lock.
//
// Each record succeeds or fails alone. Within a partition the records keep the order of the slice. SendAll appends
// records that fit into the buffer at once; for the others it waits like Send, at most MaxBlock for the whole call.
// When MaxBlock or ctx ends, the remaining records fail, not written. SendAll requests the metadata of all topics of
// the slice before it waits, and no record waits for another record's topic.
//
// When SendAll returns, the caller may reuse rs and the bytes of its records.
//
// If a partitioner or an interceptor's OnSend calls runtime.Goexit, SendAll does not return. The records that it has
// appended keep their outcomes and callbacks; it appends 128 at a time. The others are not sent and have no outcome.
func (p *Producer) SendAll(ctx context.Context, rs []Record) []Future {
	return p.SendAllFunc(ctx, rs, nil, nil)
}

// SendAllFunc is SendAll with a callback, nil for none. The callback runs once for each record, with its index in rs.
// SendAllFunc appends the futures to out, so that a caller can reuse a slice.
func (p *Producer) SendAllFunc(ctx context.Context, rs []Record, cb func(i int, m RecordMetadata, err error),
	out []Future) []Future {
	wait := p.newBudget(ctx)
	defer wait.end()
	call := sendAll{p: p, wait: wait}
	if cb != nil {
		call.cb = (*accumulator.SliceCallback)(&cb)
	}
	out = slices.Grow(out, len(rs))
	for from := 0; from < len(rs); p.acc.ThrottleUnsent() {
		rest, sent := rs[from:min(from+pieceSize, len(rs))], len(out)
		if out = call.sendRun(rest, from, out); len(out) == sent {
			piece := sendPiece{sendAll: call, from: from, rs: rest}
			if !call.requested && p.listener.chain.empty() && piece.hasUnknownTopic() {
				call.requested = true
				call.requestTopics(rs[from:])
			}
			out = piece.send(out)
		}
		from += len(out) - sent
	}
	return out
}

// sendAll is one call of SendAll.
type sendAll struct {
	p         *Producer
	wait      *budget
	cb        *accumulator.SliceCallback // nil if the caller has none
	requested bool                       // the client requests the metadata of all topics of the slice
}

// requestTopics has the client request the metadata of all topics of some records, so that one topic does not wait for
// another.
func (s *sendAll) requestTopics(rs []Record) {
	requested := make(map[string]bool)
	for i := range rs {
		name := rs[i].Topic
		if requested[name] || s.p.topic(name).isKnown() || !s.p.canWait(&rs[i]) || s.stopped() != nil {
			continue
		}
		requested[name] = true
		_, _ = s.p.cluster.TryTopic(name)
	}
}

// callback returns the callback of record i of the slice.
func (s *sendAll) callback(i int) accumulator.Callback {
	if s.cb == nil {
		return accumulator.Callback{}
	}
	return accumulator.Callback{All: s.cb, I: i}
}

// shortRun is the largest number of records that SendAll appends one by one: for so few, an append under one lock is
// not faster.
const shortRun = 8

// sendRun appends the first of rs as far as they are usual records of one partition and there is room. Most slices need
// only this step. The first of rs has the index from in the slice.
func (s *sendAll) sendRun(rs []Record, from int, out []Future) []Future {
	t, part := s.p.fastPartition(&rs[0])
	n := 1
	for part != nil && n < len(rs) {
		if _, other := s.p.fastPartition(&rs[n]); other != part {
			break
		}
		n++
	}
	if part == nil || n <= shortRun || s.over() != nil {
		return out
	}
	s.appendAll(t, part, n, func(k int) (*Record, accumulator.Callback) {
		return &rs[k], s.callback(from + k)
	}, func(_ int, f Future) { out = append(out, f) })
	return out
}

// appendAll appends n records as far as there is room, and returns how many; pick gives record k, and took receives its
// future.
func (s *sendAll) appendAll(t *topic, part *accumulator.Partition, n int,
	pick func(k int) (*Record, accumulator.Callback), took func(k int, f Future)) int {
	// Most records need no entry here: the accumulator reports appended bytes once for several records.
	counts := make([]accumulator.AppendResult, 0, 16)
	appended := part.AppendAll(n, pick, func(k int, a *accumulator.AppendResult) {
		took(k, Future{result: a.Result, index: a.Index})
		if a.Bytes != 0 {
			counts = append(counts, *a)
		}
	})
	for i := range counts {
		s.p.appended(t, part.Index(), &counts[i])
	}
	return appended
}

// stopped returns an error if the producer was closed or ctx has ended.
func (s *sendAll) stopped() *record.Error {
	if s.p.closed.Load() {
		return &record.Error{Partition: -1, Err: record.ErrClosed}
	}
	if user := s.wait.user; user != nil && user.Err() != nil {
		return &record.Error{Partition: -1, Err: accumulator.ContextError(user), Detail: s.p.acc.WhyPending()}
	}
	return nil
}

// over returns the reason to append no more records: the end of the producer, of ctx, or of MaxBlock.
func (s *sendAll) over() *record.Error {
	if err := s.stopped(); err != nil {
		return err
	}
	if s.wait.ctx != nil && s.wait.ctx.Err() != nil {
		detail := because("max.block.ms has passed for this call", s.p.acc.WhyPending())
		return &record.Error{Partition: -1, Err: record.ErrBufferFull, Detail: detail}
	}
	return nil
}

// sendPiece is a part of a slice. SendAll chooses the partitions of a whole piece before it appends the first record.
type sendPiece struct {
	sendAll
	from int
	rs   []Record

	records [pieceSize]*Record // as the interceptors returned them; nil once appended or failed
	topics  [pieceSize]*topic
	parts   [pieceSize]*accumulator.Partition
	futures [pieceSize]Future
	waiting [pieceSize]bool // its topic's partitions are not known
	behind  [pieceSize]bool // did not fit, or follows such a record of its partition
	full    bool            // an element of behind is true
}

func (s *sendPiece) send(out []Future) []Future {
	// Records with known metadata are appended first. After a topic's first waiting record, its later records wait too.
	var later []string
	for k := range s.rs {
		if name := s.rs[k].Topic; !slices.Contains(later, name) &&
			(s.p.topic(name).isKnown() || !s.p.canWait(&s.rs[k])) {
			s.place(k)
		} else {
			later = append(later, name)
			s.waiting[k] = true
		}
	}
	s.admitAll()
	for len(later) > 0 {
		changed := *s.p.metadataChanged.Load()
		if !s.p.listener.chain.empty() {
			s.placeAll(later, s.place) // an interceptor may change the topic, so each record waits alone
			break
		}
		if later = s.placeSettled(later); len(later) == 0 {
			break
		}
		select {
		case <-changed:
		case <-s.wait.context().Done():
			s.placeAll(later, s.choose)
			later = nil
		}
	}
	s.admitOneByOne()
	return append(out, s.futures[:len(s.rs)]...)
}

// hasUnknownTopic reports whether the partitions of a record's topic are not known.
func (s *sendPiece) hasUnknownTopic() bool {
	for k := range s.rs {
		if !s.p.topic(s.rs[k].Topic).isKnown() {
			return true
		}
	}
	return false
}

// canWait reports whether a record may wait for the metadata of its topic. An invalid record may not, unless there are
// interceptors: they may change the topic and repair the record.
func (p *Producer) canWait(r *Record) bool {
	if !p.listener.chain.empty() {
		return true
	}
	n, named := r.Partition.Number()
	return p.checkRecord(r) == nil && protocol.TopicNameProblem(r.Topic) == "" && (!named || n >= 0)
}

// placeSettled places the waiting records of the topics that have become known or have failed. It returns the other
// topics.
func (s *sendPiece) placeSettled(topics []string) (pending []string) {
	for _, name := range topics {
		_, err := s.p.cluster.TryTopic(name)
		if err != nil && errors.Is(err, cluster.ErrPending) && s.stopped() == nil {
			pending = append(pending, name)
		} else {
			s.placeAll([]string{name}, s.place)
		}
	}
	return pending
}

// placeAll places the waiting records of some topics, and appends them as far as there is room.
func (s *sendPiece) placeAll(topics []string, place func(k int)) {
	for k := range s.rs {
		if s.waiting[k] && slices.Contains(topics, s.rs[k].Topic) {
			s.waiting[k] = false
			place(k)
		}
	}
	s.admitAll()
}

// admitOneByOne waits for room for one remaining record at a time. It reserves no room for the later records.
func (s *sendPiece) admitOneByOne() {
	for k := range s.rs {
		if s.records[k] == nil {
			continue
		}
		if err := s.over(); err != nil {
			s.futures[k] = s.p.failed(s.records[k], s.callback(s.from+k), err)
			continue
		}
		s.futures[k] = s.p.append(s.wait, s.topics[k], s.parts[k], s.records[k], s.callback(s.from+k))
		s.records[k] = nil
	}
}

// admitAll appends, as far as there is room, the records with a partition and without an earlier unappended record of
// the same partition. A record can get its partition late, because its topic had disappeared for a moment. Then an
// earlier record of the partition may already be waiting for room.
func (s *sendPiece) admitAll() {
	for k := range s.rs {
		switch {
		case s.records[k] == nil || s.behind[k]:
		case s.full && s.isBehind(k):
			s.behind[k] = true
		default:
			s.admit(k)
		}
	}
}

// isBehind reports whether a record before record k, of the same partition, did not fit. Like admit, it looks at
// pieceSize records at most, so the work for a slice grows with its length.
func (s *sendPiece) isBehind(k int) bool {
	for j := range k {
		// After the producer forgot a topic, a partition is another object, so compare indexes and topics.
		if s.behind[j] && s.parts[j].Index() == s.parts[k].Index() && s.parts[j].Topic() == s.parts[k].Topic() {
			return true
		}
	}
	return false
}

// place chooses the partition of record k, or fails the record.
func (s *sendPiece) place(k int) {
	if failed := s.stopped(); failed != nil {
		s.futures[k] = s.p.failed(&s.rs[k], s.callback(s.from+k), failed)
		return
	}
	s.choose(k)
}

// choose is place after the wait has ended: its error names the obstacle.
func (s *sendPiece) choose(k int) {
	r := &s.rs[k]
	var failed *record.Error
	s.topics[k], s.parts[k], r, failed = s.p.place(s.wait, r)
	if failed == nil {
		failed = s.over()
	}
	if failed != nil {
		s.futures[k] = s.p.failed(r, s.callback(s.from+k), failed)
		return
	}
	s.records[k] = r
}

// admit appends record k and all later ones of its partition as far as there is room.
func (s *sendPiece) admit(k int) {
	part := s.parts[k]
	var group [pieceSize]int
	n := 0
	for j := k; j < len(s.rs); j++ {
		if s.records[j] != nil && s.parts[j] == part {
			group[n] = j
			n++
		}
	}
	admitted := s.appendAll(s.topics[k], part, n, func(i int) (*Record, accumulator.Callback) {
		return s.records[group[i]], s.callback(s.from + group[i])
	}, func(i int, f Future) { s.futures[group[i]] = f })
	for i, j := range group[:n] {
		if i < admitted {
			s.records[j] = nil
		} else {
			s.behind[j], s.full = true, true
		}
	}
}
