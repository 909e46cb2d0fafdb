package accumulator

// list is a doubly linked list with its links in fields of its elements: an element joins and leaves in constant time
// and without an allocation. An element can be in several lists at a time, by different links: each method gets a
// function that returns an element's links for this list. The zero list is empty. It has no lock.
type list[T any] struct {
	first, last *T
	n           int
}

// links are an element's neighbours. An element outside of the list has none: a removed one must not keep its former
// neighbours in memory.
type links[T any] struct{ prev, next *T }

// push puts an element at the end.
func (l *list[T]) push(v *T, of func(*T) *links[T]) {
	if l.last == nil {
		l.first = v
	} else {
		of(v).prev, of(l.last).next = l.last, v
	}
	l.last = v
	l.n++
}

// remove takes an element out. It must be in the list.
func (l *list[T]) remove(v *T, of func(*T) *links[T]) {
	l.n--
	if l.first == l.last {
		l.first, l.last = nil, nil
		return
	}
	n := of(v)
	if n.prev != nil {
		of(n.prev).next = n.next
	} else {
		l.first = n.next
	}
	if n.next != nil {
		of(n.next).prev = n.prev
	} else {
		l.last = n.prev
	}
	*n = links[T]{}
}
