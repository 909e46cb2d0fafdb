package immutable

import "iter"

// Vector is a list of a fixed length. The zero Vector is empty. It is a trie: each block has up to 32 children or
// elements, and five bits of the index choose one.
type Vector[E any] struct {
	root  *block[E]
	size  int
	shift int // of the index, for the root's children; 0 if the root has the elements
}

const (
	branchBits = 5
	branchMask = 1<<branchBits - 1
)

type block[E any] struct {
	children []*block[E]
	elements []E
}

// VectorOf returns a vector of the elements, and keeps the slice.
func VectorOf[E any](elements []E) Vector[E] {
	v := Vector[E]{size: len(elements)}
	var level []*block[E]
	for len(elements) > 0 {
		n := min(len(elements), branchMask+1)
		level = append(level, &block[E]{elements: elements[:n:n]})
		elements = elements[n:]
	}
	for len(level) > 1 {
		v.shift += branchBits
		var above []*block[E]
		for len(level) > 0 {
			n := min(len(level), branchMask+1)
			above = append(above, &block[E]{children: level[:n:n]})
			level = level[n:]
		}
		level = above
	}
	if len(level) == 1 {
		v.root = level[0]
	}
	return v
}

// Len returns the number of elements.
func (v Vector[E]) Len() int { return v.size }

// At returns element i. The caller must not change it.
func (v Vector[E]) At(i int) *E {
	if i < 0 || i >= v.size {
		panic("immutable: the vector has no such element")
	}
	b := v.root
	for shift := v.shift; shift > 0; shift -= branchBits {
		b = b.children[i>>shift&branchMask]
	}
	return &b.elements[i&branchMask]
}

// With returns a vector with another element i.
func (v Vector[E]) With(i int, e E) Vector[E] {
	v.root = v.root.with(i, v.shift, e)
	return v
}

func (b *block[E]) with(i, shift int, e E) *block[E] {
	if shift == 0 {
		return &block[E]{elements: replaced(b.elements, i&branchMask, e)}
	}
	at := i >> shift & branchMask
	return &block[E]{children: replaced(b.children, at, b.children[at].with(i, shift-branchBits, e))}
}

// All iterates over the elements in order.
func (v Vector[E]) All() iter.Seq2[int, *E] {
	return func(yield func(int, *E) bool) {
		for i := range v.size {
			if !yield(i, v.At(i)) {
				return
			}
		}
	}
}
