package producer

import (
	"reflect"
	"runtime"
	"sync/atomic"
)

// Flush and Close must know whether they are called from inside a callback of their own producer, where they would wait for their own
// caller. Go does not say which goroutine one is, but it does say what a goroutine is running. So each producer has a number, and its
// callbacks run beneath calls that spell this number: one function for each digit. Who wants to know reads the calls on its own stack.
// That costs the callbacks a few calls for each run of them, and only the asker a walk: to find out one's goroutine for
// each run was a tenth of what a record of 1,000 bytes costs.

// stackMark is the number of a producer in this process, from 1 on.
type stackMark uint64

var lastStackMark atomic.Uint64

func newStackMark() stackMark { return stackMark(lastStackMark.Add(1)) }

// run runs work beneath the mark.
//
//go:noinline
func (m stackMark) run(work func()) { spell(uint64(m), work) }

// spell spells n to the base of four, beginning with the last digit.
//
//go:noinline
func spell(n uint64, work func()) {
	if n == 0 {
		work()
		return
	}
	switch n % 4 {
	case 0:
		spell0(n/4, work)
	case 1:
		spell1(n/4, work)
	case 2:
		spell2(n/4, work)
	case 3:
		spell3(n/4, work)
	}
}

//go:noinline
func spell0(n uint64, work func()) { spell(n, work) }

//go:noinline
func spell1(n uint64, work func()) { spell(n, work) }

//go:noinline
func spell2(n uint64, work func()) { spell(n, work) }

//go:noinline
func spell3(n uint64, work func()) { spell(n, work) }

// spellers are where the functions for the digits, and that which begins a mark, are in the program.
var (
	spellers = [...]uintptr{entryOf(spell0), entryOf(spell1), entryOf(spell2), entryOf(spell3)}
	marker   = entryOf(stackMark.run)
)

func entryOf(fn any) uintptr { return runtime.FuncForPC(reflect.ValueOf(fn).Pointer()).Entry() }

// isOnStack reports whether the caller runs beneath the mark, however many other marks there are.
func (m stackMark) isOnStack() bool {
	pcs := make([]uintptr, 64)
	n := runtime.Callers(2, pcs)
	for n == len(pcs) {
		pcs = make([]uintptr, 4*len(pcs))
		n = runtime.Callers(2, pcs)
	}
	frames := runtime.CallersFrames(pcs[:n])
	var number stackMark // what was read of the mark around the calls so far: the innermost call is the first digit
	for {
		frame, more := frames.Next()
		own := frame.Func != nil // what was inlined has its host's entry
		for digit, entry := range spellers {
			if own && frame.Entry == entry {
				number = 4*number + stackMark(digit)
			}
		}
		if own && frame.Entry == marker {
			if number == m {
				return true
			}
			number = 0
		}
		if !more {
			return false
		}
	}
}
