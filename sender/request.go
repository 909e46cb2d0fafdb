package sender

import (
	"cmp"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/gosamsa/samsa/internal/delivery"
	"github.com/gosamsa/samsa/internal/transport"
	"github.com/gosamsa/samsa/protocol"
)

// request is one Produce request with the batches in it. The broker reuses it after the connection has released its
// bytes and the client has handled its answer.
type request struct {
	b        *broker
	conn     *transport.Conn
	number   uint64    // counts the fills
	cluster  string    // the cluster id of conn's server; empty while it is unknown
	version  int16     // the version of its encoding
	attempts []attempt // not changed between fill and recycle
	records  int       // in all of attempts
	body     protocol.ProduceRequest
	answer   protocol.ProduceResponse
	found    []bool  // the attempts with a part in the answer
	matches  []int32 // of each part of the answer the index in attempts, or noMatch
	places   places
	topics   map[string]int // index in body.Topics
	head     []byte
	call     transport.Call
	holders  atomic.Int32
	began    time.Time
	full     bool // there was more than it had room for
	room     int  // while it is free: how many batches it has memory for
}

// fill makes a request of the ready partitions: one batch of each, up to max.request.size as framed. If bound is not 0,
// the request also has at most that size. fill returns nil if no partition had anything to send after all, or nothing
// of that size.
func (b *broker) fill(conn *transport.Conn, bound int) *request {
	// The first batch always fits: a batch of one record may be as large as max.request.size without the rest of the
	// request. If no frame can hold it, write reports this for the batch alone.
	frame := cmp.Or(b.s.cfg.Transport.MaxRequest, transport.LargestFrame)
	first, most := math.MaxInt, min(b.s.cfg.MaxRequestSize, frame)
	if bound > 0 {
		first, most = bound, min(bound, most)
	}
	r := b.newRequest(conn)
	size := newFramed(r.version, b.s.cfg.Transport.ClientID)
	now := time.Now()
	r.number = b.s.fills.Add(1)
	for {
		p, ok := b.pop()
		if !ok {
			break
		}
		limit := most
		if len(r.attempts) == 0 {
			limit = first
		}
		name := p.part.acc.Topic()
		at, partitions := r.topic(name)
		t, full := p.part.next(r, at, p.queueGen, now, size.space(limit, name, partitions))
		if full {
			b.pushFront(p)
			r.full = true
			break
		}
		if t.outBatch == nil {
			continue
		}
		if t.topicID.IsZero() {
			// as the first one's id is not known, all go by their names
			r.version = min(r.version, protocol.ProduceByTopicID-1)
			size.version = r.version
		}
		size.add(name, partitions, len(t.batch.Bytes()))
		r.add(t, at)
		if size.size >= most {
			break
		}
	}
	if len(r.attempts) == 0 {
		b.recycle(r)
		return nil
	}
	return r
}

func (b *broker) newRequest(conn *transport.Conn) *request {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.free); n > 0 {
		r := b.free[n-1]
		b.free[n-1] = nil
		b.free = b.free[:n-1]
		b.freeRoom -= r.room
		r.conn, r.cluster, r.version = conn, b.cluster, b.version
		return r
	}
	r := &request{b: b, conn: conn, cluster: b.cluster, version: b.version, topics: make(map[string]int)}
	r.call.Done = r.done
	return r
}

// A broker keeps requests for their memory, up to mostFree of them, and with room for mostFreeRoom batches together.
// That is about a megabyte. Larger requests are rare, and their batches cost far more than their memory.
const (
	mostFree     = 8
	mostFreeRoom = 4096
)

func (b *broker) recycle(r *request) {
	clear(r.attempts)
	r.attempts, r.records = r.attempts[:0], 0
	for i := range r.body.Topics {
		t := &r.body.Topics[i]
		clear(t.Partitions)
		t.Partitions = t.Partitions[:0]
	}
	r.body.Topics = r.body.Topics[:0]
	clear(r.topics)
	clear(r.call.Buffers)
	r.dropWords()
	r.conn, r.full = nil, false
	r.room = r.capacity()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.free) < mostFree && b.freeRoom+r.room <= mostFreeRoom {
		b.freeRoom += r.room
		b.free = append(b.free, r)
	}
}

// capacity returns how many batches r has memory for. The lists of its topics may each have been long in another
// request.
func (r *request) capacity() int {
	n := cap(r.attempts) + cap(r.answer.Topics) + cap(r.answer.NodeEndpoints)
	for _, t := range r.body.Topics[:cap(r.body.Topics)] {
		n += cap(t.Partitions)
	}
	for _, t := range r.answer.Topics[:cap(r.answer.Topics)] {
		n += cap(t.Partitions)
	}
	return n / 2 // a batch has a place in the request, and one in the answer
}

// longestName is the longest topic name in Kafka.
const longestName = 249

// dropWords drops the broker's texts: the next answer has no use for them. Names of topics stay, for they come again.
func (r *request) dropWords() {
	for i := range r.answer.Topics {
		t := &r.answer.Topics[i]
		if len(t.Name) > longestName {
			t.Name = ""
		}
		for k := range t.Partitions {
			if part := &t.Partitions[k]; part.ErrorCode != protocol.None || part.ErrorMessage != nil ||
				part.RecordErrors != nil {
				*part = protocol.ProducePartitionResponse{}
			}
		}
	}
	r.answer.NodeEndpoints = nil
}

// add puts a batch into the request's body, under the topic at that index. A negative index is a new topic.
func (r *request) add(one attempt, at int) {
	one.batch.MarkSent()
	if at < 0 {
		at = r.addTopic(one.part.acc.Topic(), one.topicID)
	}
	t := &r.body.Topics[at]
	r.attempts = append(r.attempts, one)
	r.records += int(one.batch.Count)
	t.Partitions = append(t.Partitions, protocol.ProducePartition{Index: one.part.acc.Index(),
		Records: one.batch.Bytes()})
}

// topic returns the index of a topic in the request's body, and the number of its partitions there; -1 and none if the
// topic is new. Usually it is the topic of the last call.
func (r *request) topic(name string) (at, partitions int) {
	at = len(r.body.Topics) - 1
	if at < 0 || r.body.Topics[at].Name != name {
		var ok bool
		if at, ok = r.topics[name]; !ok {
			return -1, 0
		}
	}
	return at, len(r.body.Topics[at].Partitions)
}

// addTopic adds a topic to the request's body and returns its index.
func (r *request) addTopic(name string, id protocol.UUID) int {
	n := len(r.body.Topics)
	r.topics[name] = n
	if n < cap(r.body.Topics) {
		r.body.Topics = r.body.Topics[:n+1] // with its list of partitions from an earlier request
	} else {
		r.body.Topics = append(r.body.Topics, protocol.ProduceTopic{})
	}
	r.body.Topics[n].Name, r.body.Topics[n].ID = name, id
	return n
}

// write sends the request. done gets its outcome, on any goroutine. If the response is awaited, the caller calls
// Conn.ReadUntil next.
func (b *broker) write(conn *transport.Conn, r *request, awaited bool) {
	r.began = time.Now()
	b.began(r.began)
	r.call.ReadInline = awaited
	// One for the bytes, one for the answer.
	r.holders.Store(2)
	if err := r.encode(); err == nil {
		_ = conn.Send(&r.call) // done gets the error too
	} else {
		r.done(nil, &transport.Error{Address: conn.Address(), Err: fmt.Errorf("%w: %w", transport.ErrBadCall, err)})
	}
	for _, t := range r.attempts {
		t.writeDone()
	}
	r.release()
}

// began counts a request.
func (b *broker) began(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.handover.sent()
	if b.inFlight++; b.inFlight == 1 {
		b.lastReply = now
		b.watchLocked(now.Add(suspectAfter))
	}
}

func (r *request) encode() error {
	cfg, version := &r.b.s.cfg, r.version
	r.body.Acks = cfg.Acks
	r.body.TimeoutMs = int32(min(cfg.RequestTimeout.Milliseconds(), 1<<31-1))
	r.call.Key, r.call.Version = protocol.Produce, version
	r.call.NoResponse = cfg.Acks == 0
	r.call.Timeout = cfg.RequestTimeout
	head := append(r.head[:0], 0, 0, 0, 0)
	head = protocol.AppendRequestHeader(head, protocol.Produce, version, 0, cfg.Transport.ClientID)
	var err error
	r.head, r.call.Buffers, err = r.body.AppendVectored(head, r.call.Buffers[:0], version)
	return err
}

// done takes the answer, or the failure.
func (r *request) done(body []byte, err error) {
	b, now := r.b, time.Now()
	b.mu.Lock()
	b.inFlight--
	b.lastReply = now
	var awaited bool
	if err == nil && now.Sub(r.began) < fastReply {
		awaited = b.handover.repliedFast()
	} else {
		awaited = b.handover.repliedSlow()
	}
	if err == nil && !r.call.NoResponse {
		b.breaks = 0
		b.largest = max(b.largest, r.call.Size())
	}
	// A partition that is queued later wakes the broker, or its goroutine in Get has found this request in flight.
	more := b.ready.Len() > 0 || b.leaves
	b.mu.Unlock()
	switch {
	case err != nil:
		r.failed(err, now)
	case r.call.NoResponse:
		written := delivery.Answer{Offset: -1, Time: -1}
		for _, t := range r.attempts {
			t.part.answered(t, &written, now)
		}
	default:
		if err := r.decode(body); err != nil {
			conn := r.conn
			r.failed(&transport.Error{Address: conn.Address(), Sent: true, Err: err}, now)
			conn.Close(err)
		} else {
			r.answered(now)
		}
	}
	switch {
	case more && awaited:
		b.sendNext()
	case more:
		b.signal()
	}
	r.release()
}

func (r *request) release() {
	if r.holders.Add(-1) == 0 {
		r.b.recycle(r)
	}
}
