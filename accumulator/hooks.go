package accumulator

import (
	"slices"
	"sync"

	"github.com/gosamsa/samsa/record"
)

// Hook is what a Send wants to be called when its record has an outcome: One, or All with I as the record's index in a
// slice, or nothing.
type Hook struct {
	One func(record.Metadata, error)
	All *SliceCallback
	I   int
}

// SliceCallback is called for each record of a slice, with its index. A Hook points at it, so that the records of one call can be seen to
// share it.
type SliceCallback func(int, record.Metadata, error)

func (h Hook) empty() bool { return h.One == nil && h.All == nil }

// hooks are the callbacks of one batch: one by one where plain callbacks are used, in runs where slices are sent.
type hooks struct {
	one []func(record.Metadata, error)  // by record index; shorter than the batch when the last records have none
	box *[]func(record.Metadata, error) // what one came in from callbackLists
	all []sliceRun                      // ascending by record index
	n   int32
	ran int32 // the run of all that next has come to
}

// callbackLists holds empty lists for hooks.one: for batches of many small records these are much of what is allocated at all. They travel
// as pointers, so that giving one back allocates nothing.
var callbackLists sync.Pool

// newCallbackList returns an empty list, which will probably have n elements.
func newCallbackList(n int) *[]func(record.Metadata, error) {
	if list, _ := callbackLists.Get().(*[]func(record.Metadata, error)); list != nil {
		return list
	}
	list := make([]func(record.Metadata, error), 0, n)
	return &list
}

// release forgets all hooks. The list of them is used again, unless it was made for many more.
func (h *hooks) release() {
	if h.box != nil && cap(h.one) <= 4*len(h.one) {
		clear(h.one)
		*h.box = h.one[:0]
		callbackLists.Put(h.box)
	}
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

func (s *sliceRun) hook(record int32) Hook {
	return Hook{All: s.fn, I: s.i + int(record-s.record)}
}

// hookBytes is what a waiting callback counts in buffer.memory, so that slow callbacks become backpressure, not growth.
const hookBytes = 64

func (h *hooks) add(i int32, hook Hook, expect int) {
	switch {
	case hook.All != nil:
		h.addToSlice(i, hook)
	case hook.One != nil:
		if h.one == nil {
			h.box = newCallbackList(max(expect, int(i)+1))
			h.one = *h.box
		}
		for len(h.one) < int(i) {
			h.one = append(h.one, nil)
		}
		h.one = append(h.one, hook.One)
	default:
		return
	}
	h.n++
}

func (h *hooks) addToSlice(i int32, hook Hook) {
	if n := len(h.all); n > 0 {
		if last := &h.all[n-1]; last.end() == i && last.fn == hook.All && last.hook(i).I == hook.I {
			last.n++
			return
		}
	}
	h.all = append(h.all, sliceRun{fn: hook.All, record: i, n: 1, i: hook.I})
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
func (h *hooks) single(i int32) func(record.Metadata, error) {
	if int(i) >= len(h.one) {
		return nil
	}
	return h.one[i]
}

// at returns the hook of record i.
func (h *hooks) at(i int32) Hook {
	if one := h.single(i); one != nil {
		return Hook{One: one}
	}
	if at, found := h.find(i); found {
		return h.all[at].hook(i)
	}
	return Hook{}
}

// next returns the hook of record i, when it is asked for every record in order.
func (h *hooks) next(i int32) Hook {
	if one := h.single(i); one != nil {
		return Hook{One: one}
	}
	for int(h.ran) < len(h.all) && h.all[h.ran].end() <= i {
		h.ran++
	}
	if int(h.ran) < len(h.all) && h.all[h.ran].record <= i {
		return h.all[h.ran].hook(i)
	}
	return Hook{}
}

// has tells whether record i has a hook.
func (h *hooks) has(i int32) bool { return h.n > 0 && !h.at(i).empty() }

// take removes and returns the hook of record i: a cancelled record's callback runs out of order.
func (h *hooks) take(i int32) Hook {
	hook := h.at(i)
	switch {
	case hook.One != nil:
		h.one[i] = nil
	case hook.All != nil:
		h.takeFromSlice(i)
	default:
		return hook
	}
	h.n--
	return hook
}

// takeFromSlice leaves what was before record i of its run, and what was behind it.
func (h *hooks) takeFromSlice(i int32) {
	at, _ := h.find(i)
	run := h.all[at]
	var rest []sliceRun
	if i > run.record {
		rest = append(rest, sliceRun{fn: run.fn, record: run.record, n: i - run.record, i: run.i})
	}
	if i+1 < run.end() {
		rest = append(rest, sliceRun{fn: run.fn, record: i + 1, n: run.end() - i - 1, i: run.hook(i + 1).I})
	}
	h.all = slices.Replace(h.all, at, at+1, rest...)
}

// Listener is the producer's side of delivery: the interceptors on acknowledgement, and what surrounds users' code.
type Listener interface {
	// Run runs work, which calls users' code, on the caller's goroutine. A callback may end it with runtime.Goexit.
	Run(work func())
	// Acknowledges tells whether OnAcknowledgement wants to be called at all.
	Acknowledges() bool
	// OnAcknowledgement runs for every record that has its outcome, before the record's callback. It must not panic.
	OnAcknowledgement(md record.Metadata, err error)
	// Panicked is told of a callback that panicked, on the goroutine that recovered it.
	Panicked(value any)
	// Unheard is told of n records that failed with no callback, and that nobody has asked for a second later.
	Unheard(n int, err *record.Error)
}

// InsideListener is a Listener that can tell whether the calling goroutine is inside Run. Where the Listener is one, a
// Send from inside a callback does not wait for memory that other callbacks hold while they wait to run: they could be
// waiting for this one to return.
type InsideListener interface {
	Listener
	InCallback() bool
}
