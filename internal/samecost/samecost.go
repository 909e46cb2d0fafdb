// Package samecost lets tests show that a step's time stays the same however much the program holds already. It detects
// a copy and a visit of everything, even a visit without allocations. It is for tests only.
package samecost

import (
	"runtime"
	"testing"
	"time"
)

const (
	// rounds is the number of measurements of each side. The fastest round counts, so a busy machine or a garbage
	// collection does not matter.
	rounds = 20
	// enough is a measuring time; after it a few rounds decide: a visit of everything takes long.
	enough    = time.Second
	fewRounds = 3
	// limit is the largest growth of the time allowed by Check, as a factor. Work for everything grows by nearly the
	// ratio of the sizes.
	limit = 10
)

// Check fails the test if a round of steps takes much longer beside much than beside little. There should be at least
// 100 times as much, and a round should take at least 10 µs.
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
