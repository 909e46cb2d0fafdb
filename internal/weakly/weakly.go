// Package weakly lets timers call what they do not keep alive.
package weakly

import "weak"

// Do returns a function that calls do with v, for a timer. The function does not keep v alive: the runtime removes a stopped timer from its heap
// at some later time only, and until then the timer would keep everything that v refers to. The owner of v must hold v until the timer
// is stopped.
func Do[T any](v *T, do func(*T)) func() {
	pointer := weak.Make(v)
	return func() {
		if v := pointer.Value(); v != nil {
			do(v)
		}
	}
}
