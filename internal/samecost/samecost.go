// Package samecost helps tests to show that the time of a step does not grow with what the program holds already: neither a copy nor a visit of
// everything, be it a visit that allocates nothing. It is for tests only.
package samecost

import (
	"runtime"
	"testing"
	"time"
)

const (
	// rounds is how often each side is measured. The fastest round counts, so that a busy machine or a garbage collection does not matter.
	rounds = 20
	// enough is the time after which a few rounds decide: a visit of everything takes long.
	enough    = time.Second
	fewRounds = 3
	// limit is the largest factor by which Check lets the time grow. Work for everything grows by nearly the ratio of the sizes.
	limit = 10
)

// Check fails the test if a round of steps takes much longer where there is much than where there is little. There should be at least 100 times
// as much, and a round should take at least 10 µs.
func Check(t testing.TB, little, much func()) {
	t.Helper()
	runtime.GC()
	fast, slow := time.Hour, time.Hour
	began := time.Now()
	for i := 0; i < rounds && (i < fewRounds || time.Since(began) < enough); i++ {
		fast = min(fast, timeOf(little))
		slow = min(slow, timeOf(much))
	}
	t.Logf("%v with little, %v with much", fast, slow)
	if slow > limit*fast {
		t.Errorf("the steps take %v with much, and %v with little", slow, fast)
	}
}

func timeOf(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}
