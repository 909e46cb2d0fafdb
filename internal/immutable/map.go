package immutable

import (
	"hash/maphash"
	"iter"
	"math/bits"
)

// Map is a map from strings. The zero Map is empty. It is a hash array mapped trie: each node has up to 32 children, which five bits of the
// key's hash choose.
type Map[V any] struct {
	root *node[V]
	size int
}

// seed is one for the process, so that maps can share nodes.
var seed = maphash.MakeSeed()

const (
	branchBits = 5
	branchMask = 1<<branchBits - 1
)

// node is either a branch, with a bit in used for each child, or a leaf with the entries of one hash.
type node[V any] struct {
	used     uint32
	children []*node[V]
	hash     uint64
	entries  []entry[V]
}

type entry[V any] struct {
	key   string
	value V
}

// Len returns the number of keys.
func (m Map[V]) Len() int { return m.size }

// Get returns the value of a key; ok is false when the map does not have the key.
func (m Map[V]) Get(key string) (value V, ok bool) {
	n, hash := m.root, maphash.String(seed, key)
	for shift := 0; n != nil; shift += branchBits {
		if n.entries != nil {
			return n.entryOf(hash, key)
		}
		n = n.child(hash >> shift)
	}
	return value, false
}

// With returns a map in which the key has the value.
func (m Map[V]) With(key string, value V) Map[V] {
	root, added := m.root.with(maphash.String(seed, key), 0, entry[V]{key, value})
	if added {
		m.size++
	}
	m.root = root
	return m
}

// Without returns a map that does not have the key.
func (m Map[V]) Without(key string) Map[V] {
	root, removed := m.root.without(maphash.String(seed, key), 0, key)
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

// bit returns the bit of the child that a part of a hash chooses.
func bit(part uint64) uint32 { return 1 << (part & branchMask) }

// at returns the index of a bit's child.
func (n *node[V]) at(bit uint32) int { return bits.OnesCount32(n.used & (bit - 1)) }

// child returns a branch's child, or nil.
func (n *node[V]) child(part uint64) *node[V] {
	b := bit(part)
	if n.used&b == 0 {
		return nil
	}
	return n.children[n.at(b)]
}

func (n *node[V]) entryOf(hash uint64, key string) (value V, ok bool) {
	if n.hash == hash {
		for i := range n.entries {
			if n.entries[i].key == key {
				return n.entries[i].value, true
			}
		}
	}
	return value, false
}

// with returns a node that has the entry as well; added is false when it replaces one.
func (n *node[V]) with(hash uint64, shift int, e entry[V]) (next *node[V], added bool) {
	switch {
	case n == nil:
		return &node[V]{hash: hash, entries: []entry[V]{e}}, true
	case n.entries == nil:
		b := bit(hash >> shift)
		i := n.at(b)
		if n.used&b == 0 {
			leaf := &node[V]{hash: hash, entries: []entry[V]{e}}
			return &node[V]{used: n.used | b, children: inserted(n.children, i, leaf)}, true
		}
		child, added := n.children[i].with(hash, shift+branchBits, e)
		return &node[V]{used: n.used, children: replaced(n.children, i, child)}, added
	case n.hash != hash:
		// A leaf becomes a branch with that leaf, which then takes the entry too.
		branch := &node[V]{used: bit(n.hash >> shift), children: []*node[V]{n}}
		return branch.with(hash, shift, e)
	}
	for i := range n.entries {
		if n.entries[i].key == e.key {
			return &node[V]{hash: hash, entries: replaced(n.entries, i, e)}, false
		}
	}
	return &node[V]{hash: hash, entries: inserted(n.entries, len(n.entries), e)}, true
}

// without returns a node that does not have the key, or nil for an empty one.
func (n *node[V]) without(hash uint64, shift int, key string) (next *node[V], removed bool) {
	switch {
	case n == nil:
		return nil, false
	case n.entries == nil:
		return n.withoutBelow(hash, shift, key)
	case n.hash != hash:
		return n, false
	}
	for i := range n.entries {
		if n.entries[i].key != key {
			continue
		}
		if len(n.entries) == 1 {
			return nil, true
		}
		return &node[V]{hash: hash, entries: deleted(n.entries, i)}, true
	}
	return n, false
}

// withoutBelow is without for a branch. A branch whose only child is a leaf gives way to the leaf.
func (n *node[V]) withoutBelow(hash uint64, shift int, key string) (next *node[V], removed bool) {
	b := bit(hash >> shift)
	if n.used&b == 0 {
		return n, false
	}
	i := n.at(b)
	child, removed := n.children[i].without(hash, shift+branchBits, key)
	if !removed {
		return n, false
	}
	if child != nil {
		if len(n.children) == 1 && child.entries != nil {
			return child, true
		}
		return &node[V]{used: n.used, children: replaced(n.children, i, child)}, true
	}
	switch {
	case len(n.children) == 1:
		return nil, true
	case len(n.children) == 2 && n.children[1-i].entries != nil:
		return n.children[1-i], true
	}
	return &node[V]{used: n.used &^ b, children: deleted(n.children, i)}, true
}

func (n *node[V]) all(yield func(string, V) bool) bool {
	if n == nil {
		return true
	}
	for i := range n.entries {
		if !yield(n.entries[i].key, n.entries[i].value) {
			return false
		}
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
