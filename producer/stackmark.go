package producer

import (
	"reflect"
	"runtime"
	"sync/atomic"
)

// Flush and Close must recognise a call from inside a callback of their own producer: there they would wait for their
// own caller. Go hides the number of a goroutine, but shows the functions on its stack. So each producer has a number,
// and calls its callbacks through functions that spell this number on the stack: one function for each digit. Flush and
// Close look for these functions on their own stack. The mark costs a few calls for each run of callbacks, and only
// Flush and Close walk the stack. Reading the goroutine's number for each run instead took a tenth of the time of a
// record of 1,000 bytes.

// stackMark is the number of a producer in this process, from 1 on.
type stackMark uint64

var lastStackMark atomic.Uint64

func newStackMark() stackMark { return stackMark(lastStackMark.Add(1)) }

// run calls work with the mark on the stack.
//
//go:noinline
func (m stackMark) run(work func()) { spell(uint64(m), work) }

// spell calls work through one function for each base-four digit of n, the last digit first.
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

// spellers are the addresses of the functions for the digits, and of the function that begins a mark.
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
	var number stackMark // the number spelled so far: the innermost call is the first digit
	for {
		frame, more := frames.Next()
		own := frame.Func != nil // an inlined function has the entry of its caller
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
