package main

import (
	"sync"

	"github.com/gosamsa/samsa/producer"
)

// fate is the report to a caller about one record.
type fate uint8

const (
	untold fate = iota
	acknowledged
	notWritten
	maybeWritten
)

// ledger holds the report about each record of one stream. The records are numbered from 0.
type ledger struct {
	mu     sync.Mutex
	fates  []fate
	count  [maybeWritten + 1]int
	again  int   // outcomes for records with one already
	reason error // of the first failed record
}

// add notes a record before its Send, and returns its number.
func (l *ledger) add() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fates = append(l.fates, untold)
	l.count[untold]++
	return len(l.fates) - 1
}

// tell notes a record's outcome.
func (l *ledger) tell(number int, err error) {
	told := acknowledged
	switch {
	case producer.MaybeWritten(err):
		told = maybeWritten
	case err != nil:
		told = notWritten
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reason == nil {
		l.reason = err
	}
	if l.fates[number] != untold {
		l.again++
		return
	}
	l.fates[number] = told
	l.count[untold]--
	l.count[told]++
}

// number returns how many records have a fate.
func (l *ledger) number(f fate) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count[f]
}

// account compares the reports with the log.
type account struct {
	sent, acknowledged, notWritten, maybeWritten int

	untold, again int // records without an outcome, and outcomes too many: both must be 0
	found         int // different records in the log
	lost          int // told acknowledged, not in the log
	twice         int // in the log more than once
	lies          int // told not written, and in the log all the same: must be 0
	strangers     int // in the log, never sent: must be 0
	reason        error
}

// close makes the account of a stream with the numbers of the records in its log.
func (l *ledger) close(log []int) account {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := account{
		sent: len(l.fates), acknowledged: l.count[acknowledged], notWritten: l.count[notWritten],
		maybeWritten: l.count[maybeWritten],
		untold:       l.count[untold], again: l.again, reason: l.reason,
	}
	times := make([]int, len(l.fates))
	for _, number := range log {
		if number < 0 || number >= len(times) {
			a.strangers++
			continue
		}
		times[number]++
	}
	for number, n := range times {
		if n > 0 {
			a.found++
		}
		if n > 1 {
			a.twice++
		}
		switch {
		case n == 0 && l.fates[number] == acknowledged:
			a.lost++
		case n > 0 && l.fates[number] == notWritten:
			a.lies++
		}
	}
	return a
}
