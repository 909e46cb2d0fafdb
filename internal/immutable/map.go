package immutable

import (
	"hash/maphash"
	"iter"
	"math/bits"
)

// Map is a map from strings. The zero Map is empty. It is a hash array mapped trie: each node has up to 64 children,
// and six bits of the key's hash choose one.
type Map[V any] struct {
	root *node[V]
	size int
}

// The whole process has one seed, so maps can share nodes.
var seed = maphash.MakeSeed()

const mapBits = 6

// node is either a branch, with a bit in used for each child, or a leaf with one key. Leaves of the same hash form a
// list.
type node[V any] struct {
	used     uint64
	children []*node[V]

	hash  uint64
	key   string
	value V
	next  *node[V]
}

// Len returns the number of keys.
func (m Map[V]) Len() int { return m.size }

// Get returns the value of a key; ok is false when the map does not have the key.
func (m Map[V]) Get(key string) (value V, ok bool) {
	n, hash := m.root, maphash.String(seed, key)
	for rest := hash; n != nil && n.used != 0; rest >>= mapBits {
		b := bit(rest)
		if n.used&b == 0 {
			return value, false
		}
		n = n.children[n.at(b)]
	}
	for ; n != nil && n.hash == hash; n = n.next {
		if n.key == key {
			return n.value, true
		}
	}
	return value, false
}

// With returns a map with the value for the key.
func (m Map[V]) With(key string, value V) Map[V] {
	root, added := m.root.with(0, &node[V]{hash: maphash.String(seed, key), key: key, value: value})
	if added {
		m.size++
	}
	m.root = root
	return m
}

// Without returns a map without the key.
func (m Map[V]) Without(key string) Map[V] {
	root, removed := m.root.without(0, maphash.String(seed, key), key)
	if removed {
		m.root = root
		m.size--
	}
	return m
}

// All iterates over the keys and values, in no particular order.
func (m Map[V]) All() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) { m.root.all(yield) }
}

// bit returns the bit of the child chosen by a part of a hash.
func bit(part uint64) uint64 { return 1 << (part & (1<<mapBits - 1)) }

// at returns the index of a bit's child.
func (n *node[V]) at(bit uint64) int { return bits.OnesCount64(n.used & (bit - 1)) }

func (n *node[V]) isLeaf() bool { return n.used == 0 }

// with returns a node with the leaf added; added is false when the leaf replaces one.
func (n *node[V]) with(shift int, leaf *node[V]) (next *node[V], added bool) {
	switch {
	case n == nil:
		return leaf, true
	case !n.isLeaf():
		b := bit(leaf.hash >> shift)
		i := n.at(b)
		if n.used&b == 0 {
			return &node[V]{used: n.used | b, children: inserted(n.children, i, leaf)}, true
		}
		child, added := n.children[i].with(shift+mapBits, leaf)
		return &node[V]{used: n.used, children: replaced(n.children, i, child)}, added
	case n.hash != leaf.hash:
		// The leaf becomes a branch with itself as the child; the branch then takes the other leaf.
		branch := &node[V]{used: bit(n.hash >> shift), children: []*node[V]{n}}
		return branch.with(shift, leaf)
	}
	rest, removed := n.without(shift, leaf.hash, leaf.key)
	leaf.next = rest
	return leaf, !removed
}

// without returns a node without the key, or nil for an empty one.
func (n *node[V]) without(shift int, hash uint64, key string) (rest *node[V], removed bool) {
	switch {
	case n == nil:
		return nil, false
	case !n.isLeaf():
		return n.withoutBelow(shift, hash, key)
	case n.hash != hash:
		return n, false
	case n.key == key:
		return n.next, true
	}
	next, removed := n.next.without(shift, hash, key)
	if !removed {
		return n, false
	}
	return &node[V]{hash: hash, key: n.key, value: n.value, next: next}, true
}

// withoutBelow is without for a branch. A leaf takes the place of a branch without another child.
func (n *node[V]) withoutBelow(shift int, hash uint64, key string) (rest *node[V], removed bool) {
	b := bit(hash >> shift)
	if n.used&b == 0 {
		return n, false
	}
	i := n.at(b)
	child, removed := n.children[i].without(shift+mapBits, hash, key)
	switch {
	case !removed:
		return n, false
	case child != nil && child.isLeaf() && len(n.children) == 1:
		return child, true
	case child != nil:
		return &node[V]{used: n.used, children: replaced(n.children, i, child)}, true
	case len(n.children) == 1:
		return nil, true
	case len(n.children) == 2 && n.children[1-i].isLeaf():
		return n.children[1-i], true
	}
	return &node[V]{used: n.used &^ b, children: deleted(n.children, i)}, true
}

func (n *node[V]) all(yield func(string, V) bool) bool {
	if n == nil {
		return true
	}
	if n.isLeaf() {
		return yield(n.key, n.value) && n.next.all(yield)
	}
	for _, child := range n.children {
		if !child.all(yield) {
			return false
		}
	}
	return true
}

// inserted, replaced and deleted return a changed copy of a slice.
func inserted[E any](s []E, i int, e E) []E {
	next := make([]E, len(s)+1)
	copy(next, s[:i])
	next[i] = e
	copy(next[i+1:], s[i:])
	return next
}

func replaced[E any](s []E, i int, e E) []E {
	next := make([]E, len(s))
	copy(next, s)
	next[i] = e
	return next
}

func deleted[E any](s []E, i int) []E {
	next := make([]E, len(s)-1)
	copy(next, s[:i])
	copy(next[i:], s[i+1:])
	return next
}
