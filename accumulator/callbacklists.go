package accumulator

import (
	"math/bits"
	"sync"

	"github.com/gosamsa/samsa/record"
)

const (
	minListBits = 2
	maxListBits = 17 // as many records as fit into the largest pooled buffer
)

// callbackLists holds empty lists for callbacks.one, with powers of two as capacities: for batches of many small
// records these lists are a large part of all allocations. They travel as pointers, so giving one back allocates
// nothing.
var callbackLists [maxListBits - minListBits + 1]sync.Pool

// listCapacity returns the capacity of a list for n elements: less than 2n.
func listCapacity(n int) int { return 1 << max(bits.Len(uint(n-1)), minListBits) }

// newCallbackList returns an empty list with room for listCapacity(n) elements.
func newCallbackList(n int) *[]func(record.RecordMetadata, error) {
	capacity := listCapacity(n)
	class := bits.Len(uint(capacity)) - 1 - minListBits
	if class < len(callbackLists) {
		if list, _ := callbackLists[class].Get().(*[]func(record.RecordMetadata, error)); list != nil {
			return list
		}
	}
	list := make([]func(record.RecordMetadata, error), 0, capacity)
	return &list
}

// releaseList forgets the plain callbacks. Their list is used again.
func (h *callbacks) releaseList() {
	if h.box == nil {
		return
	}
	clear(h.one)
	*h.box = h.one[:0]
	if class := bits.Len(uint(cap(h.one))) - 1 - minListBits; class < len(callbackLists) {
		callbackLists[class].Put(h.box)
	}
	h.one, h.box = nil, nil
}
