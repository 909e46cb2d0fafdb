// Package immutable has a map and a vector that share their memory with the versions before them.
//
// A new version costs a few small copies, however many elements there are: each is a trie, of which
// a change copies one path. So a goroutine can read a version without a lock while others make the next one:
//
//	var m immutable.Map[int]
//	next := m.With("orders", 1) // m is still empty
package immutable
