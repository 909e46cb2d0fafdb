package whole

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/gosamsa/samsa/accumulator"
	"github.com/gosamsa/samsa/internal/delivery/replay"
	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// log names a partition's log: a recreated topic has others.
type log struct {
	topic     protocol.UUID
	name      string
	partition int32
}

func (l log) String() string { return fmt.Sprintf("%s/%d", l.name, l.partition) }

// found is a record in a log.
type found struct {
	log
	offset int64
	stamp  int64
}

// entry is a record in its log, with its producer id.
type entry struct {
	*item
	producer int64
	epoch    int16
}

// verdict compares a run with its logs.
type verdict struct {
	*world
	items   map[string]*item
	present map[*item][]found // in the logs of all topics, the deleted ones too
	ever    map[*item]int     // how often it was appended, also if it was lost with a leader
	latest  map[*item]int64   // the greatest of its batch's own timestamps
	logs    map[log][]entry   // in order
	// final is the result of each record's Future at the end.
	final map[*item]outcome
	maybe int // records with ErrClosed and maybe written as their outcome
}

func (w *world) check() {
	v := &verdict{
		world: w, items: map[string]*item{}, present: map[*item][]found{}, ever: map[*item]int{},
		latest: map[*item]int64{}, logs: map[log][]entry{},
		final: map[*item]outcome{},
	}
	for _, it := range w.items {
		v.items[it.String()] = it
	}
	v.readLogs()
	for _, it := range w.items {
		if v.told(it) {
			v.compare(it)
		}
	}
	v.order()
	v.cluster()
	v.memory()
	if w.left != nil && w.left.MaybeWritten != v.maybe {
		w.fail("Close counted %d records as maybe written; %d were told so", w.left.MaybeWritten, v.maybe)
	}
	if _, err := replay.Run(strings.NewReader(w.deliveries.String())); err != nil {
		w.fail("the delivery core's log does not replay: %v", err)
	}
}

// memory checks that all memory was given back, and that at most buffer.memory was in use. Callbacks, compression and
// rebuilding may exceed it, because they do not wait.
func (v *verdict) memory() {
	if records, used := v.p.Buffered(); records != 0 || used != 0 {
		v.fail("%d records with %d bytes are still buffered", records, used)
	}
	if left := v.accumulator().Remains(); len(left) > 0 {
		v.fail("the accumulator still has %v", left)
	}
	takes := v.cfg.Compression != producer.CompressionNone
	for _, r := range v.c.Produces() {
		for _, p := range r.Parts {
			takes = takes || p.Code == protocol.MessageTooLarge || p.Code == protocol.InvalidRecord
		}
	}
	const callback = 256 // of a refused record
	if v.most > v.cfg.BufferMemory+callback*int64(len(v.world.items)) && !takes {
		v.fail("%d bytes were buffered", v.most)
	}
}

// accumulator returns the producer's accumulator, a private field.
func (w *world) accumulator() *accumulator.Accumulator {
	return (*accumulator.Accumulator)(reflect.ValueOf(w.p).Elem().FieldByName("acc").UnsafePointer())
}

// readLogs finds the places of all records.
func (v *verdict) readLogs() {
	seen := map[log]bool{}
	for _, r := range v.c.Produces() {
		for _, p := range r.Parts {
			if !p.Appended {
				continue
			}
			seen[log{p.TopicID, p.Topic, p.Partition}] = true
			for i := range p.Batch.Records {
				if it := v.item(&p.Batch.Records[i], p.Topic); it != nil {
					v.ever[it]++
					v.latest[it] = p.Batch.Header.MaxTimestamp
				}
			}
		}
	}
	for l := range seen {
		for _, b := range v.c.BatchesOf(l.topic, l.partition) {
			for i := range b.Records {
				if it := v.item(&b.Records[i], l.name); it != nil {
					v.present[it] = append(v.present[it], found{l, b.Records[i].Offset, b.Records[i].Timestamp})
					v.logs[l] = append(v.logs[l], entry{it, b.Header.ProducerID, b.Header.ProducerEpoch})
				}
			}
		}
	}
}

// item finds a broker's record among those sent, and compares their bytes.
func (v *verdict) item(r *record.ParsedRecord, topic string) *item {
	name, _, _ := strings.Cut(string(r.Value), "|")
	it := v.items[name]
	switch {
	case name == strangersClient:
	case it == nil:
		v.fail("a record in %s was never sent: %.60q", topic, r.Value)
	case string(r.Value) != it.value || string(r.Key) != it.key || topic != it.record.Topic ||
		len(r.Headers) != len(it.record.Headers):
		v.fail("%v arrived in %s as key %q value %.60q; it was sent to %s as key %q value %.60q", it, topic, r.Key,
			r.Value,
			it.record.Topic, it.key, it.value)
	}
	return it
}

// told checks that the future, the callback and every Get had the same outcome.
func (v *verdict) told(it *item) bool {
	select {
	case <-it.future.Done():
	default:
		v.fail("%v was never told", it)
		return false
	}
	m, err := it.future.Get(v.t.Context())
	last := outcome{place: m, err: err}
	v.final[it] = last
	if it.listens && len(it.told) != 1 || !it.listens && len(it.told) != 0 {
		v.fail("%v has a callback: %t, which was called %d times", it, it.listens, len(it.told))
	}
	for _, o := range append(it.told, it.got...) {
		if o.place != last.place || fmt.Sprint(o.err) != fmt.Sprint(last.err) {
			v.fail("%v was told %v, and at the end: %v", it, o, last)
		}
	}
	for _, o := range it.told {
		if took := o.at.Sub(it.accepted); took > v.cfg.DeliveryTimeout && !v.plan.slow && !v.plan.stalls {
			v.fail("%v was told %v after its send", it, took)
		}
	}
	var failure *producer.Error
	if err != nil && !errors.As(err, &failure) {
		v.fail("%v was told an error of another kind: %v", it, err)
	}
	if it.canceled != errors.Is(err, producer.ErrCanceled) {
		v.fail("%v: Cancel said %t, and it was told %v", it, it.canceled, last)
	}
	if errors.Is(err, producer.ErrClosed) && producer.MaybeWritten(err) {
		v.maybe++
	}
	return true
}

// compare compares the outcome of a record with the logs.
func (v *verdict) compare(it *item) {
	last, where := v.final[it], v.present[it]
	if v.cfg.EnableIdempotence {
		for i, a := range where {
			for _, b := range where[:i] {
				if a.log == b.log {
					v.fail("%v is in %v twice, at %d and %d", it, a.log, b.offset, a.offset)
				}
			}
		}
	}
	switch {
	case last.err == nil:
		v.acknowledged(it, last.place, where)
	case producer.MaybeWritten(last.err):
		if producer.Retriable(last.err) {
			v.fail("%v was told to be maybe written and retriable: %v", it, last)
		}
	case len(where) > 0:
		v.fail("%v is in %v at %d, and was told %v", it, where[0].log, where[0].offset, last)
	case v.ever[it] > 0:
		v.fail("%v was written, though it was lost with its leader, and was told %v", it, last)
	}
}

// acknowledged checks an acknowledgement: the record is there, and in that place.
func (v *verdict) acknowledged(it *item, m producer.RecordMetadata, where []found) {
	named, is := it.record.Partition.Number()
	if m.Topic != it.record.Topic || is && m.Partition != named {
		v.fail("%v was acknowledged in %s/%d, and sent to %s/%d", it, m.Topic, m.Partition, it.record.Topic, named)
	}
	if v.cfg.Acks == producer.AcksNone {
		if m.Offset != -1 {
			v.fail("%v has offset %d, which nobody told", it, m.Offset)
		}
		return
	}
	lost := v.ever[it] - len(where) // with a leader
	if len(where) == 0 && (v.cfg.Acks == producer.AcksAll || lost == 0 || v.plan.lag == 0) {
		v.fail("%v was acknowledged in %s/%d at %d, and is in no log", it, m.Topic, m.Partition, m.Offset)
		return
	}
	// A recreated topic may have it at the offset of the one before. Then the acknowledged copy may be the lost one.
	there := slices.DeleteFunc(slices.Clone(where), func(f found) bool {
		return f.partition != m.Partition || f.offset != m.Offset
	})
	mustBeThere := v.cfg.Acks == producer.AcksAll || lost == 0
	told := m.Timestamp.UnixMilli()
	switch {
	case slices.ContainsFunc(there, func(f found) bool { return v.mayBeTold(it, told, f.stamp) }), !mustBeThere:
	case len(there) > 0:
		v.fail("%v was acknowledged with timestamp %d, and is in %v at %d with %d", it, told, there[0],
			there[0].offset, there[0].stamp)
	default:
		v.fail("%v was acknowledged in %s/%d at %d, and is in %v", it, m.Topic, m.Partition, m.Offset, where)
	}
}

// mayBeTold reports whether a record with the timestamp logged in a log may be acknowledged with the timestamp told. A
// broker answers a duplicate with the batch's greatest own timestamp, for every timestamp type of the topic. If the
// broker's clock shows the same time, no test can distinguish the two answers to a retry.
func (v *verdict) mayBeTold(it *item, told, logged int64) bool {
	return told == logged || logged == v.latest[it] && told <= logged
}

// order checks that each sender's records are in the logs, and had their outcomes, in the order of sending. Without
// idempotence, and with one request in flight, the promise is for acknowledged records, and their retries may be there
// twice. With acks=0 a broker may find the requests of a broken connection after those of the next one. With
// idempotence all keep their order, except for records of unknown fate after the end of their producer id's epochs: a
// broker fences older epochs, but not older ids. A client that requests topics by name does not notice a quick
// recreation. The new log accepts any first sequence, so the broker can refuse one batch and append the next. The
// partition then gets a new identity, but the order is lost.
func (v *verdict) order() {
	for l, entries := range v.logs {
		last := map[int]entry{}
		for _, it := range entries {
			before := last[it.sender]
			switch {
			case v.cfg.EnableIdempotence:
				newID := before.producer != it.producer
				newIdentity := newID || before.epoch != it.epoch
				unnoticed := !v.byID && v.recreated[l.topic]
				if before.item != nil && (newID && v.final[it.item].err != nil || newIdentity && unnoticed) {
					continue
				}
			case v.cfg.MaxInFlight > 1 || v.cfg.Acks == producer.AcksNone || v.final[it.item].err != nil ||
				len(v.present[it.item]) > 1:
				continue
			}
			if before.item != nil && before.number > it.number {
				v.fail("%v stands behind %v in %v", it.item, before.item, l)
			}
			last[it.sender] = it
		}
	}
	type place struct {
		sender    int
		topic     string
		partition int32
	}
	turns := map[place]*item{}
	for _, it := range v.world.items {
		if v.final[it].err != nil || len(it.told) != 1 {
			continue
		}
		p := place{it.sender, it.record.Topic, v.final[it].place.Partition}
		if before := turns[p]; before != nil && before.told[0].turn > it.told[0].turn {
			v.fail("the callback of %v ran before that of %v, in %s/%d", it, before, p.topic, p.partition)
		}
		turns[p] = it
	}
}

// cluster checks the brokers' observations.
func (v *verdict) cluster() {
	for _, violation := range v.c.Violations() {
		// The test broker counts a batch as possibly written until an answer for that very batch denies it. The client
		// may know it from the answer for another batch: see reuse.
		if !strings.Contains(violation, "is used again for another batch") {
			v.fail("violation: %s", violation)
		}
	}
	if most := v.c.MaxInFlight(); most > v.cfg.MaxInFlight && v.cfg.Acks != producer.AcksNone {
		v.fail("%d requests were in flight on a connection", most)
	}
	v.reuse()
	v.identities()
}

// identities checks that no batch reached a cluster before the producer had requested a producer id from it.
func (v *verdict) identities() {
	if !v.cfg.EnableIdempotence {
		return
	}
	clusters, asked := v.replacedAt, true
	for _, r := range v.c.Requests() {
		for len(clusters) > 0 && r.Number > clusters[0] {
			clusters, asked = clusters[1:], false
		}
		switch {
		case r.Header.ClientID == nil || *r.Header.ClientID == strangersClient:
		case r.Header.Key == protocol.InitProducerID:
			asked = true
		case r.Header.Key == protocol.Produce && !asked:
			v.fail("request %d has batches under an identity of a former cluster", r.Number)
			return
		}
	}
}

// reuse checks that no other batch got a sequence while the first one was written.
func (v *verdict) reuse() {
	type claim struct {
		log
		producer int64
		epoch    int16
		sequence int32
	}
	written := map[log]map[int]bool{}
	first := map[claim]testbroker.Part{}
	requests := map[claim]int{}
	for _, r := range v.c.Produces() {
		for _, p := range r.Parts {
			h := &p.Batch.Header
			if h.ProducerID < 0 || p.Topic == "" {
				continue
			}
			c := claim{log{p.TopicID, p.Topic, p.Partition}, h.ProducerID, h.ProducerEpoch, h.BaseSequence}
			if written[c.log] == nil {
				written[c.log] = map[int]bool{}
				for _, b := range v.c.BatchesOf(p.TopicID, p.Partition) {
					written[c.log][b.Request] = true
				}
			}
			before, used := first[c]
			if used && before.Batch.Header.CRC != h.CRC && written[c.log][requests[c]] {
				v.fail("request %d has the sequence of the batch that request %d wrote: producer %d epoch %d sequence %d in %v",
					r.Number, requests[c], h.ProducerID, h.ProducerEpoch, h.BaseSequence, c.log)
			}
			if !used || p.Appended {
				first[c], requests[c] = p, r.Number
			}
		}
	}
}

// checkClose checks Close's report of undelivered records.
func (w *world) checkClose(err error) {
	var left *producer.CloseError
	switch {
	case err == nil:
	case !errors.As(err, &left):
		w.fail("Close returned %v", err)
	case (w.plan.closing == closeHealed || w.plan.closing == closeBroken) &&
		(left.Undelivered != 0 || left.MaybeWritten != 0 || left.Err != nil):
		w.fail("Close had all its time and returned %v", err)
	}
	w.left = left
}
