package producer

import (
	"reflect"
	"runtime"
	"sync/atomic"
)

// Flush and Close must recognise a call from inside a callback of their own producer: there they would wait for their
// own caller. Go does not reveal the number of a goroutine, but its running functions. So each producer has a number,
// and its callbacks run beneath calls that spell this number: one function for each digit. Flush and Close read the
// calls on their own stack. That costs the callbacks a few calls for each run of them, and only Flush and Close a walk.
// The alternative, a goroutine's number for each run, cost a tenth of a record of 1,000 bytes.

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
	var number stackMark // the mark around the calls so far: the innermost call is the first digit
	for {
		frame, more := frames.Next()
		own := frame.Func != nil // an inlined function has its host's entry
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
