// Package running lists the library's goroutines, so that tests can count them. It is for tests only.
//
// runtime.NumGoroutine is no such count: it includes the goroutines of an earlier test that are still ending, and the
// runtime's goroutine for finalizers while one runs.
package running

import (
	"runtime"
	"strings"
)

// module is the prefix of the names of all our functions.
const module = "github.com/gosamsa/samsa/"

// Goroutines returns the goroutines of the caller's synctest bubble, each by its first function without the module's
// path and its arguments. Outside of a bubble, it returns those outside of all bubbles; some may be of an earlier test.
// It leaves out goroutines without a function of this module.
func Goroutines() (names []string) {
	buf := make([]byte, 64<<10)
	mine := bubbleOf(string(buf[:runtime.Stack(buf, false)]))
	n := runtime.Stack(buf, true)
	for n == len(buf) {
		buf = make([]byte, 2*len(buf))
		n = runtime.Stack(buf, true)
	}
	for stack := range strings.SplitSeq(string(buf[:n]), "\n\n") {
		if bubbleOf(stack) != mine {
			continue
		}
		first := ""
		for line := range strings.Lines(stack) {
			if name, is := strings.CutPrefix(line, module); is {
				first = name[:max(0, strings.LastIndexByte(name, '('))] // without the arguments
			}
		}
		if first != "" {
			names = append(names, first)
		}
	}
	return names
}

// bubbleOf returns the name of a goroutine's bubble from a stack's first line.
func bubbleOf(stack string) string {
	first, _, _ := strings.Cut(stack, "]:")
	_, bubble, _ := strings.Cut(first, "synctest bubble ")
	return bubble
}
