package accumulator

import (
	"slices"
	"time"

	"github.com/gosamsa/samsa/internal/lockrank"
	"github.com/gosamsa/samsa/internal/weakly"
	"github.com/gosamsa/samsa/record"
)

const (
	// unobservedAfter is how long a failure may wait for a question before it is reported: a caller that sends and then
	// asks does both within moments.
	unobservedAfter = time.Second
	// mostSuspects bounds the results kept for it; further failures are reported at once.
	mostSuspects = 1000
)

// pendingReports are failures without an observer so far. mu guards what stands below it, and is a leaf.
type pendingReports struct {
	mu      lockrank.Mutex[lockrank.AccumulatorReports]
	results []suspect
	timer   *time.Timer // runs while there are any
	first   []suspect   // the first failures of all, for FirstUnobserved
}

// firstSuspects is how many failures are kept for FirstUnobserved.
const firstSuspects = 8

type suspect struct {
	result *Result
	err    *record.Error
}

// suspect counts n failures of r without a listener, and reports them later without a question by then. It is called
// under no lock.
func (a *Accumulator) suspect(r *Result, n int, err *record.Error) {
	a.unobserved.Add(int64(n))
	s := &a.pendingReports
	s.noteFirst(suspect{result: r, err: err})
	s.mu.Lock()
	reportsLater := len(s.results) < mostSuspects
	if reportsLater {
		s.results = append(s.results, suspect{result: r, err: err})
		if s.timer == nil {
			s.timer = time.AfterFunc(unobservedAfter, weakly.Do(a, (*Accumulator).reportUnobserved))
		}
	}
	s.mu.Unlock()
	if !reportsLater {
		a.listener.Unobserved(n, err)
	}
}

// ReportUnobserved reports all unobserved failures without a further wait: the producer closes. A record sent later has
// its second for a question, as before.
func (a *Accumulator) ReportUnobserved() {
	s := &a.pendingReports
	s.mu.Lock()
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	a.reportUnobserved()
}

// noteFirst keeps one of the first failures. When there are many, it replaces the oldest one if that one is observed.
func (s *pendingReports) noteFirst(one suspect) {
	s.mu.Lock()
	if len(s.first) < firstSuspects {
		s.first = append(s.first, one)
		s.mu.Unlock()
		return
	}
	oldest := s.first[0].result
	s.mu.Unlock()
	if oldest.stillUnobserved() > 0 {
		return
	}
	s.mu.Lock()
	if s.first[0].result == oldest {
		s.first = append(slices.Clone(s.first[1:]), one)
	}
	s.mu.Unlock()
}

// FirstUnobserved returns the first unobserved failure, or nil: there is none, or it is not among the first failures.
func (a *Accumulator) FirstUnobserved() error {
	a.pendingReports.mu.Lock()
	first := a.pendingReports.first
	a.pendingReports.mu.Unlock()
	for _, one := range first {
		if one.result.stillUnobserved() > 0 {
			return one.err
		}
	}
	return nil
}

// reportUnobserved tells the listener about unobserved failures, once for each topic and reason.
func (a *Accumulator) reportUnobserved() {
	s := &a.pendingReports
	s.mu.Lock()
	results := s.results
	s.results, s.timer = nil, nil
	s.mu.Unlock()
	type reason struct{ topic, text string }
	at := make(map[reason]int)
	var sums []int
	var errs []*record.Error
	for _, one := range results {
		n := one.result.stillUnobserved()
		if n == 0 {
			continue
		}
		key := reason{one.err.Topic, one.err.Err.Error()}
		i, known := at[key]
		if !known {
			i = len(sums)
			at[key] = i
			sums, errs = append(sums, 0), append(errs, one.err)
		}
		sums[i] += n
	}
	for i, n := range sums {
		a.listener.Unobserved(n, errs[i])
	}
}

// stillUnobserved returns how many failed records of the result have no observer.
func (r *Result) stillUnobserved() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.unobserved.count()
}
