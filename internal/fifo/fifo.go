// Package fifo is a queue.
package fifo

import (
	"iter"
	"slices"
)

// Queue is first in, first out. It reuses its memory: a steady flow through it allocates nothing. The zero Queue is
// empty. It has no lock.
type Queue[T any] struct {
	items []T // from head on; the items before head are popped
	head  int
}

// keeps is how many items' room an empty queue keeps.
const keeps = 64

// Len returns how many items there are.
func (q *Queue[T]) Len() int { return len(q.items) - q.head }

// At returns item i, counted from the oldest on.
func (q *Queue[T]) At(i int) T { return q.items[q.head+i] }

// All yields the items from the oldest on. The loop must not change the queue, except as its last step.
func (q *Queue[T]) All() iter.Seq2[int, T] { return slices.All(q.items[q.head:]) }

// Replace puts items into the place of item i, counted from the oldest on.
func (q *Queue[T]) Replace(i int, items ...T) {
	q.items = slices.Replace(q.items, q.head+i, q.head+i+1, items...)
}

// Push puts an item at the end.
func (q *Queue[T]) Push(v T) {
	// Moving costs no more than the pops before it.
	if len(q.items) == cap(q.items) && q.head > len(q.items)/2 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, v)
}

// Pop takes the oldest item off. There must be one.
func (q *Queue[T]) Pop() T {
	var none T
	v := q.items[q.head]
	q.items[q.head] = none
	q.head++
	if q.head < len(q.items) {
		return v
	}
	q.items, q.head = q.items[:0], 0
	if cap(q.items) > keeps {
		q.items = nil
	}
	return v
}

// Unpop puts an item before the oldest one, as if it had not been popped.
func (q *Queue[T]) Unpop(v T) {
	switch {
	case q.head > 0:
		q.head--
		q.items[q.head] = v
	case len(q.items) == 0:
		q.items = append(q.items, v)
	default:
		q.items = append([]T{v}, q.items...)
	}
}
