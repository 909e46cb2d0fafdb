// Package immutable has a map and a vector. Each version shares memory with the versions before it.
//
// Both are tries. A change copies one path, so a new version costs the same with ten elements and with 100,000. A
// goroutine can read a version without a lock while others make the next one:
//
//	var m immutable.Map[int]
//	next := m.With("orders", 1) // m is still empty
package immutable
