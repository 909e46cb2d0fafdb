package accumulator

import (
	"math/bits"
	"slices"
	"sync"

	"github.com/gosamsa/samsa/record"
)

// Hook is what a Send wants to be called when its record has an outcome: One, or All with I as the record's index in a
// slice, or nothing.
type Callback struct {
	One func(record.RecordMetadata, error)
	All *SliceCallback
	I   int
}

// SliceCallback is called for each record of a slice, with its index. A Hook points at it, so that the records of one call can be seen to
// share it.
type SliceCallback func(int, record.RecordMetadata, error)

func (h Callback) empty() bool { return h.One == nil && h.All == nil }

// hooks are the callbacks of one batch: one by one where plain callbacks are used, in runs where slices are sent.
type hooks struct {
	one  []func(record.RecordMetadata, error)  // by record index; shorter than the batch when the last records have none
	box  *[]func(record.RecordMetadata, error) // holds one in callbackLists
	all  []sliceRun                            // ascending by record index
	ones int32                                 // plain callbacks, also of records that were cancelled
	rest int32                                 // callbacks of slices, less all callbacks of records that were cancelled
	paid int32                                 // plain callbacks that size counts, now and soon
	ran  int32                                 // the run of all that next has come to
}

// n returns how many records have a hook.
func (h *hooks) n() int32 { return h.ones + h.rest }

const (
	minListBits = 2
	maxListBits = 17 // as many records as fit into the largest pooled buffer
)

// callbackLists holds empty lists for hooks.one, whose capacities are powers of two: for batches of many small records these lists are much of
// what is allocated at all. They travel as pointers, so that giving one back allocates nothing.
var callbackLists [maxListBits - minListBits + 1]sync.Pool

// listCapacity returns how many elements a list for n has room for: less than twice as many.
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
func (h *hooks) releaseList() {
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

// release forgets all hooks.
func (h *hooks) release() {
	h.releaseList()
	*h = hooks{}
}

// sliceRun is a row of records that are neighbours in their batch, as they were in a slice.
type sliceRun struct {
	fn     *SliceCallback
	record int32 // the first one's index in the batch
	n      int32
	i      int // the first one's index in the slice
}

func (s *sliceRun) end() int32 { return s.record + s.n }

func (s *sliceRun) hook(record int32) Callback {
	return Callback{All: s.fn, I: s.i + int(record-s.record)}
}

// takes tells whether the lists have room for the hook of the next record, whose index is i.
func (h *hooks) takes(i int32, hook Callback) bool {
	switch {
	case hook.One != nil:
		return int(i) < cap(h.one) && h.ones < h.paid
	case hook.All != nil:
		return len(h.all) < cap(h.all) || h.continued(i, &hook) != nil
	}
	return true
}

// continued returns the last run, if the hook of record i belongs to it, or nil.
func (h *hooks) continued(i int32, hook *Callback) *sliceRun {
	if n := len(h.all); n > 0 {
		if last := &h.all[n-1]; last.end() == i && last.fn == hook.All && last.hook(i).I == hook.I {
			return last
		}
	}
	return nil
}

// addOne notes the plain callback of record i. The lists have room for it.
func (h *hooks) addOne(i int32, fn func(record.RecordMetadata, error)) {
	h.one = h.one[:i+1] // the elements between are nil
	h.one[i] = fn
	h.ones++
}

// addToSlice notes the callback of a slice for record i. The lists have room for it.
func (h *hooks) addToSlice(i int32, hook Callback) {
	h.rest++
	if last := h.continued(i, &hook); last != nil {
		last.n++
		return
	}
	h.all = append(h.all, sliceRun{fn: hook.All, record: i, n: 1, i: hook.I})
}

// growList makes room for n plain callbacks.
func (h *hooks) growList(n int) {
	box := newCallbackList(n)
	one := append(*box, h.one...)
	h.releaseList()
	h.one, h.box = one, box
}

// find returns the run of record i, or where it would be.
func (h *hooks) find(i int32) (at int, found bool) {
	return slices.BinarySearchFunc(h.all, i, func(s sliceRun, i int32) int {
		switch {
		case s.end() <= i:
			return -1
		case s.record > i:
			return 1
		}
		return 0
	})
}

// single returns the plain callback of record i, or nil.
func (h *hooks) single(i int32) func(record.RecordMetadata, error) {
	if int(i) >= len(h.one) {
		return nil
	}
	return h.one[i]
}

// at returns the hook of record i.
func (h *hooks) at(i int32) Callback {
	if one := h.single(i); one != nil {
		return Callback{One: one}
	}
	if at, found := h.find(i); found {
		return h.all[at].hook(i)
	}
	return Callback{}
}

// next returns the hook of record i, when it is asked for every record in order.
func (h *hooks) next(i int32) Callback {
	if one := h.single(i); one != nil {
		return Callback{One: one}
	}
	for int(h.ran) < len(h.all) && h.all[h.ran].end() <= i {
		h.ran++
	}
	if int(h.ran) < len(h.all) && h.all[h.ran].record <= i {
		return h.all[h.ran].hook(i)
	}
	return Callback{}
}

// has tells whether record i has a hook.
func (h *hooks) has(i int32) bool { return h.n() > 0 && !h.at(i).empty() }

// drop takes record i, which was cancelled, off those that have a hook, and reports whether it had one. The hook stays until take.
func (h *hooks) drop(i int32) (had bool) {
	if had = h.has(i); had {
		h.rest--
	}
	return had
}

// take returns the hook of record i, which was cancelled: its callback runs out of order. The runs of slices stay as they are, for each cut
// would move all runs behind it. The caller asks for the hook of a cancelled record no more.
func (h *hooks) take(i int32) Callback {
	hook := h.at(i)
	if hook.One != nil {
		h.one[i] = nil
	}
	return hook
}

// Listener is the producer's side of delivery: the interceptors on acknowledgement, and what surrounds users' code.
type Listener interface {
	// Run runs work, which calls users' code, on the caller's goroutine, which is one of the accumulator's. A callback may end it with
	// runtime.Goexit.
	Run(work func())
	// Acknowledges tells whether OnAcknowledgement wants to be called at all.
	WantsAcknowledgements() bool
	// OnAcknowledgement runs inside Run, for every record that has its outcome, before the record's callback. It must not panic.
	OnAcknowledgement(md record.RecordMetadata, err error)
	// Panicked is told of a callback that panicked, on the goroutine that recovered it.
	Panicked(value any)
	// Unobserved is told of n records that failed with no callback, and that nobody has asked for a second later.
	Unobserved(n int, err *record.Error)
}

// CallbackDetector is a Listener that can tell whether the calling goroutine is inside Run. Where the Listener is one, a
// Send from inside a callback does not wait for memory that other callbacks hold while they wait to run: they could be
// waiting for this one to return.
type CallbackDetector interface {
	Listener
	InCallback() bool
}

// RefusedListener is a Listener that distinguishes the callbacks of refused records. Where the Listener is none, no Send from inside any
// callback waits for callbacks of refused records.
type RefusedListener interface {
	CallbackDetector
	// RunRefused is Run for the callbacks of refused records. InCallback reports true inside of it, too.
	RunRefused(work func())
	// InRefusedCallback reports whether the calling goroutine is inside RunRefused.
	InRefusedCallback() bool
}
