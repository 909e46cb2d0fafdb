package accumulator

import (
	"slices"

	"github.com/gosamsa/samsa/record"
)

// Hook is what a Send wants to be called when its record has an outcome: One, or All with I as the record's index in a
// slice, or nothing.
type Hook struct {
	One func(record.Metadata, error)
	All func(int, record.Metadata, error)
	I   int
}

func (h Hook) empty() bool { return h.One == nil && h.All == nil }

// hooks are the callbacks of one batch: dense where plain callbacks are used, sparse for those of slices.
type hooks struct {
	one []func(record.Metadata, error) // by record index; shorter than the batch when the last records have none
	all []sliceHook                    // ascending by record index
	n   int
	ran int // how many of all next has given
}

type sliceHook struct {
	record int32
	i      int
	fn     func(int, record.Metadata, error)
}

// hookBytes is what a waiting callback counts in buffer.memory, so that slow callbacks become backpressure, not growth.
const hookBytes = 64

func (h *hooks) add(i int32, hook Hook, expect int) {
	switch {
	case hook.All != nil:
		if h.all == nil {
			h.all = make([]sliceHook, 0, max(expect, int(i)+1))
		}
		h.all = append(h.all, sliceHook{record: i, i: hook.I, fn: hook.All})
	case hook.One != nil:
		if h.one == nil {
			h.one = make([]func(record.Metadata, error), 0, max(expect, int(i)+1))
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

// find returns the place of record i in all, or where it would be.
func (h *hooks) find(i int32) (at int, found bool) {
	return slices.BinarySearchFunc(h.all, i, func(s sliceHook, i int32) int { return int(s.record - i) })
}

// at returns the hook of record i.
func (h *hooks) at(i int32) Hook {
	if int(i) < len(h.one) && h.one[i] != nil {
		return Hook{One: h.one[i]}
	}
	if at, found := h.find(i); found {
		return Hook{All: h.all[at].fn, I: h.all[at].i}
	}
	return Hook{}
}

// next returns the hook of record i, when it is asked for every record in order.
func (h *hooks) next(i int32) Hook {
	if int(i) < len(h.one) && h.one[i] != nil {
		return Hook{One: h.one[i]}
	}
	if h.ran < len(h.all) && h.all[h.ran].record == i {
		h.ran++
		return Hook{All: h.all[h.ran-1].fn, I: h.all[h.ran-1].i}
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
		at, _ := h.find(i)
		h.all = slices.Delete(h.all, at, at+1)
	default:
		return hook
	}
	h.n--
	return hook
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
