// Package immutable has a map and a vector that share their memory with the versions before them.
//
// A new version costs a few small copies, however many elements there are: the map copies one path of a trie of 32 branches, the vector
// copies one block and a list of the blocks. So a goroutine can read a version without a lock while others make the next one:
//
//	var m immutable.Map[int]
//	next := m.With("orders", 1) // m is still empty
package immutable
