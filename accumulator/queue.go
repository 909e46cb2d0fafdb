package accumulator

// queue is first in, first out. It uses its memory again, so that a steady flow through it allocates nothing.
type queue[T any] struct {
	items []T // from head on; what lies before was popped
	head  int
}

// queueKeeps is how many items' room an empty queue keeps.
const queueKeeps = 64

func (q *queue[T]) len() int { return len(q.items) - q.head }

// at returns item i, counted from the oldest on.
func (q *queue[T]) at(i int) T { return q.items[q.head+i] }

func (q *queue[T]) push(v T) {
	// Moving costs no more than the pops that made the room.
	if len(q.items) == cap(q.items) && q.head > len(q.items)/2 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, v)
}

func (q *queue[T]) pop() T {
	var none T
	v := q.items[q.head]
	q.items[q.head] = none
	q.head++
	if q.head < len(q.items) {
		return v
	}
	q.items, q.head = q.items[:0], 0
	if cap(q.items) > queueKeeps {
		q.items = nil
	}
	return v
}
