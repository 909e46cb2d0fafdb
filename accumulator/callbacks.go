package accumulator

import (
	"slices"

	"github.com/gosamsa/samsa/record"
)

// Callback is a Send's callback for the outcome of its record: One, or All with I as the record's index in a slice, or
// nothing.
type Callback struct {
	One func(record.RecordMetadata, error)
	All *SliceCallback
	I   int
}

// SliceCallback is called for each record of a slice, with its index. A Callback points at it, to show that the records
// of one call share it.
type SliceCallback func(int, record.RecordMetadata, error)

func (h Callback) empty() bool { return h.One == nil && h.All == nil }

// callbacks are the callbacks of one batch: one by one for plain callbacks, in runs for slices.
type callbacks struct {
	// by record index; shorter than the batch when the last records have none
	one  []func(record.RecordMetadata, error)
	box  *[]func(record.RecordMetadata, error) // holds one in callbackLists
	all  []sliceRun                            // ascending by record index
	ones int32                                 // plain callbacks, also of canceled records
	rest int32                                 // callbacks of slices, less all callbacks of canceled records
	paid int32                                 // plain callbacks counted by size, now and soon
	ran  int32                                 // the index in all of the run reached by next
}

// n returns how many records have a callback.
func (h *callbacks) n() int32 { return h.ones + h.rest }

// release forgets all callbacks.
func (h *callbacks) release() {
	h.releaseList()
	*h = callbacks{}
}

// sliceRun is a row of neighbouring records in their batch, neighbours in a slice before.
type sliceRun struct {
	fn     *SliceCallback
	record int32 // the first one's index in the batch
	n      int32
	i      int // the first one's index in the slice
}

func (s *sliceRun) end() int32 { return s.record + s.n }

func (s *sliceRun) callback(record int32) Callback {
	return Callback{All: s.fn, I: s.i + int(record-s.record)}
}

// takes reports whether the lists have room for the callback of the next record, with the index i.
func (h *callbacks) takes(i int32, callback Callback) bool {
	switch {
	case callback.One != nil:
		return int(i) < cap(h.one) && h.ones < h.paid
	case callback.All != nil:
		return len(h.all) < cap(h.all) || h.continued(i, &callback) != nil
	}
	return true
}

// continued returns the last run, if the callback of record i belongs to it, or nil.
func (h *callbacks) continued(i int32, callback *Callback) *sliceRun {
	if n := len(h.all); n > 0 {
		if last := &h.all[n-1]; last.end() == i && last.fn == callback.All && last.callback(i).I == callback.I {
			return last
		}
	}
	return nil
}

// addOne notes the plain callback of record i. The lists have room for it.
func (h *callbacks) addOne(i int32, fn func(record.RecordMetadata, error)) {
	h.one = h.one[:i+1] // the elements between are nil
	h.one[i] = fn
	h.ones++
}

// addToSlice notes the callback of a slice for record i. The lists have room for it.
func (h *callbacks) addToSlice(i int32, callback Callback) {
	h.rest++
	if last := h.continued(i, &callback); last != nil {
		last.n++
		return
	}
	h.all = append(h.all, sliceRun{fn: callback.All, record: i, n: 1, i: callback.I})
}

// growList makes room for n plain callbacks.
func (h *callbacks) growList(n int) {
	box := newCallbackList(n)
	one := append(*box, h.one...)
	h.releaseList()
	h.one, h.box = one, box
}

// find returns the run of record i, or the place for it.
func (h *callbacks) find(i int32) (at int, found bool) {
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
func (h *callbacks) single(i int32) func(record.RecordMetadata, error) {
	if int(i) >= len(h.one) {
		return nil
	}
	return h.one[i]
}

// at returns the callback of record i.
func (h *callbacks) at(i int32) Callback {
	if one := h.single(i); one != nil {
		return Callback{One: one}
	}
	if at, found := h.find(i); found {
		return h.all[at].callback(i)
	}
	return Callback{}
}

// next returns the callback of record i. The caller calls it for every record in order.
func (h *callbacks) next(i int32) Callback {
	if one := h.single(i); one != nil {
		return Callback{One: one}
	}
	for int(h.ran) < len(h.all) && h.all[h.ran].end() <= i {
		h.ran++
	}
	if int(h.ran) < len(h.all) && h.all[h.ran].record <= i {
		return h.all[h.ran].callback(i)
	}
	return Callback{}
}

// has reports whether record i has a callback.
func (h *callbacks) has(i int32) bool { return h.n() > 0 && !h.at(i).empty() }

// drop takes the canceled record i off the records with a callback, and reports whether it had one. The callback stays
// until take.
func (h *callbacks) drop(i int32) (had bool) {
	if had = h.has(i); had {
		h.rest--
	}
	return had
}

// take returns the callback of the canceled record i: its callback runs out of order. The runs of slices stay as they
// are, for each cut would move all runs behind it. The caller asks for the callback of a canceled record no more.
func (h *callbacks) take(i int32) Callback {
	callback := h.at(i)
	if callback.One != nil {
		h.one[i] = nil
	}
	return callback
}
