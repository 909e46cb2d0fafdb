package sender

import (
	"fmt"
	"hash/maphash"
	"math/bits"
	"slices"

	"github.com/gosamsa/samsa/protocol"
)

// Kafka's brokers return the partitions of a response in the order of a hash map, and the protocol allows any order. A
// response in the request's order needs no search. For all others, the request gets an index on first need: so in any
// order the cost of matching is proportional to the request.

// noMatch is the match of a part without a batch in the request.
const noMatch int32 = -1

// match finds the batch of every part of the response, in the order of the response. A response beyond the request is
// an error, and changes nothing.
func (r *request) match() error {
	r.found = slices.Grow(r.found[:0], len(r.attempts))[:len(r.attempts)]
	clear(r.found)
	r.matches = r.matches[:0]
	r.places.clear()
	next := 0
	for i := range r.answer.Topics {
		t := &r.answer.Topics[i]
		for k := range t.Partitions {
			part := &t.Partitions[k]
			at := r.find(&next, t, part.Index)
			if blamed := len(part.RecordErrors); blamed > 0 && at != noMatch &&
				blamed > int(r.attempts[at].state.Count()) {
				return fmt.Errorf("%w: %d refused records of partition %d, whose batch has %d", protocol.ErrMalformed,
					blamed, part.Index,
					r.attempts[at].state.Count())
			}
			r.matches = append(r.matches, at)
		}
	}
	return nil
}

// find returns the batch of a part of the response, or noMatch. next is the batch behind the last found one. Each batch
// is found once.
func (r *request) find(next *int, t *protocol.ProduceTopicResponse, index int32) int32 {
	at := *next
	if at == len(r.attempts) || r.found[at] || !r.isFor(at, t, index) {
		if at = r.search(t, index); at < 0 || r.found[at] {
			return noMatch
		}
	}
	r.found[at] = true
	*next = at + 1
	return int32(at)
}

// shortRequest is up to how many batches are searched faster than indexed.
const shortRequest = 8

// search is find for a response in another order.
func (r *request) search(t *protocol.ProduceTopicResponse, index int32) int {
	if len(r.attempts) > shortRequest {
		return r.places.find(r, t, index)
	}
	for at := range r.attempts {
		if !r.found[at] && r.isFor(at, t, index) {
			return at
		}
	}
	return -1
}

// isFor reports whether a batch is for a partition of a topic of the response.
func (r *request) isFor(at int, t *protocol.ProduceTopicResponse, index int32) bool {
	return r.attempts[at].part.acc.Index() == index && r.isOf(at, t)
}

// isOf reports whether a batch is for a topic of the response.
func (r *request) isOf(at int, t *protocol.ProduceTopicResponse) bool {
	if protocol.ProduceNamesTopicsByID(r.call.Version) {
		return r.attempts[at].topicID == t.ID
	}
	return r.attempts[at].part.acc.Topic() == t.Name
}

// places is an open-addressed hash table of a request's batches by topic and partition. It is twice as large as the
// request, and the next request uses the same memory.
type places struct {
	seed  maphash.Seed
	slots []placeSlot
	shift uint8 // 64 less the bits of a slot's number
	built bool

	// The last hashed topic: parts of one topic stand together.
	name string
	id   protocol.UUID
	hash uint64
}

// placeSlot is a batch's number plus one, or zero, and its partition.
type placeSlot struct{ at, partition int32 }

func (h *places) clear() { h.built, h.name, h.id, h.hash = false, "", protocol.UUID{}, 0 }

// build puts all batches of a request into the table. If a lying broker gave two topics of the request the same id, the
// second of two batches is left out: its fate stays open.
func (h *places) build(r *request) {
	if h.seed == (maphash.Seed{}) {
		h.seed = maphash.MakeSeed()
	}
	width := max(bits.Len(uint(2*len(r.attempts)-1)), 1)
	h.shift, h.built = uint8(64-width), true
	if size := 1 << width; size <= cap(h.slots) {
		h.slots = h.slots[:size]
		clear(h.slots)
	} else {
		h.slots = make([]placeSlot, size)
	}
	var t protocol.ProduceTopicResponse
	for i := range r.attempts {
		one := &r.attempts[i]
		t.Name, t.ID = one.part.acc.Topic(), one.topicID
		if slot, taken := h.seek(r, &t, one.part.acc.Index()); !taken {
			h.slots[slot] = placeSlot{int32(i) + 1, one.part.acc.Index()}
		}
	}
}

// find returns the batch of a partition, or -1.
func (h *places) find(r *request, t *protocol.ProduceTopicResponse, index int32) int {
	if !h.built {
		h.build(r)
	}
	slot, _ := h.seek(r, t, index)
	return int(h.slots[slot].at) - 1
}

// seek returns the slot of a partition, or the free slot for it. At least half of the slots are free.
func (h *places) seek(r *request, t *protocol.ProduceTopicResponse, index int32) (slot int, taken bool) {
	for slot = h.home(r, t, index); ; slot = (slot + 1) & (len(h.slots) - 1) {
		one := h.slots[slot]
		if one.at == 0 {
			return slot, false
		}
		if one.partition == index && r.isOf(int(one.at)-1, t) {
			return slot, true
		}
	}
}

// home returns the first slot in the search for a partition.
func (h *places) home(r *request, t *protocol.ProduceTopicResponse, index int32) int {
	const golden = 0x9e3779b97f4a7c15 // multiplied by it, partitions in a row lie far apart
	return int((h.topic(r, t) + uint64(uint32(index))) * golden >> h.shift)
}

// topic hashes the name or id of a topic in the response.
func (h *places) topic(r *request, t *protocol.ProduceTopicResponse) uint64 {
	if protocol.ProduceNamesTopicsByID(r.call.Version) {
		if h.hash == 0 || h.id != t.ID {
			h.id, h.hash = t.ID, maphash.Bytes(h.seed, t.ID[:])|1
		}
		return h.hash
	}
	if h.hash == 0 || h.name != t.Name {
		h.name, h.hash = t.Name, maphash.String(h.seed, t.Name)|1
	}
	return h.hash
}
