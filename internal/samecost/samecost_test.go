package samecost

import (
	"sync"
	"testing"
)

// verdict notes whether a check fails.
type verdict struct {
	testing.TB
	failed bool
}

func (v *verdict) Errorf(string, ...any) { v.failed = true }

// locked is a value behind a lock.
type locked struct {
	sync.Mutex
	n int
}

// visit returns steps; each takes so many locks.
func visit(locks int) func() {
	all := make([]locked, locks)
	return func() {
		for range 1000 {
			for i := range all {
				all[i].Lock()
				all[i].n++
				all[i].Unlock()
			}
		}
	}
}

func TestAVisitOfEverythingFailsTheCheck(t *testing.T) {
	v := &verdict{TB: t}
	Check(v, visit(10), visit(10))
	if v.failed {
		t.Error("the same steps differ")
	}
	Check(v, visit(10), visit(1000))
	if !v.failed {
		t.Error("100 times as many locks were not found")
	}
}
