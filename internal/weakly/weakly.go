// Package weakly makes functions for timers without keeping their data alive.
package weakly

import "weak"

// Do returns a function that calls do with v, for a timer. The function does not keep v alive: the runtime removes a
// stopped timer from its heap only when other timers change, and until then the timer would keep v and everything
// reachable from it. Once no owner holds v, the function does nothing.
func Do[T any](v *T, do func(*T)) func() {
	pointer := weak.Make(v)
	return func() {
		if v := pointer.Value(); v != nil {
			do(v)
		}
	}
}
