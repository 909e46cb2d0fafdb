package chaos

import (
	"bytes"
	"fmt"

	"github.com/gosamsa/samsa/internal/itest/realkafka"
)

// Counts are the counts of a producer's broken promises, by kind.
type Counts struct {
	// Lost are acknowledged records missing at their place in the log.
	Lost int `json:"lost"`
	// Duplicate are second copies of records in the log.
	Duplicate int `json:"duplicate"`
	// Reordered are records behind a later record of the same goroutine and partition.
	Reordered int `json:"reordered"`
	// Lied are records in the log despite the outcome "not written".
	Lied int `json:"lied"`
	// ToldTwice are callbacks with a second run.
	ToldTwice int `json:"told_twice"`
	// NeverTold are records without an outcome from the callback or the future.
	NeverTold int `json:"never_told"`
	// Disagree are records with different outcomes from the future and the callback.
	Disagree int `json:"disagree"`
	// Foreign are unsent records in the log, and records with other bytes than the sent ones.
	Foreign int `json:"foreign"`
}

// Clean reports whether the producer kept its word.
func (c Counts) Clean() bool { return c == Counts{} }

// Verdict is the result of Check.
type Verdict struct {
	Counts
	// Findings describe the first counted faults.
	Findings []string
	// Fates counts the reported fates.
	Fates map[Fate]int
	// Written is how many records the log holds, and MaybeThere how many of those told "maybe written" are among them.
	Written, MaybeThere int
}

// maxFindings bounds the descriptions; the counts have everything.
const maxFindings = 20

// Checker compares the reports with the log.
type Checker struct {
	// Futures says that the client has futures; then each must have an outcome.
	Futures bool
	// MayBeGone reports whether the log may lack an acknowledged record: its topic was deleted. Nil is never.
	MayBeGone func(*Sent) bool
}

// place is a record's place.
type place struct {
	partition int32
	offset    int64
}

type checking struct {
	Checker
	v     Verdict
	sent  [][]*Sent // by sender and number
	where map[*Sent][]place
}

// Check counts the differences between the journal, each sender's records in the order of sending, and the log. The
// log's records are the records of one topic, each partition's in the order of their offsets.
func (c Checker) Check(journal [][]*Sent, log []realkafka.Record) Verdict {
	k := &checking{Checker: c, sent: journal, where: make(map[*Sent][]place, len(log))}
	k.v.Fates = map[Fate]int{}
	k.readLog(log)
	for _, records := range journal {
		for _, s := range records {
			k.checkTold(s)
			k.checkPlace(s)
		}
	}
	return k.v
}

func (k *checking) find(count *int, format string, args ...any) {
	*count++
	if len(k.v.Findings) < maxFindings {
		k.v.Findings = append(k.v.Findings, fmt.Sprintf(format, args...))
	}
}

// readLog finds the sender of each record, and looks for duplicates and for records out of order.
func (k *checking) readLog(log []realkafka.Record) {
	type stream struct {
		sender    int
		partition int32
	}
	last := map[stream]int{} // the highest number so far
	for _, r := range log {
		k.v.Written++
		s := k.owner(r)
		if s == nil {
			k.find(&k.v.Foreign, "foreign: partition %d offset %d holds key %q value %.60q", r.Partition, r.Offset,
				r.Key, r.Value)
			continue
		}
		before := k.where[s]
		k.where[s] = append(before, place{r.Partition, r.Offset})
		if len(before) > 0 {
			k.find(&k.v.Duplicate, "duplicate: %s lies at %v and again at partition %d offset %d", s, before,
				r.Partition, r.Offset)
			continue
		}
		at := stream{s.Sender, r.Partition}
		if highest, seen := last[at]; seen && s.N < highest {
			k.find(&k.v.Reordered, "reordered: %s lies at partition %d offset %d, behind number %d", s, r.Partition,
				r.Offset, highest)
			continue
		}
		last[at] = s.N
	}
}

// owner returns the sent record behind r, or nil.
func (k *checking) owner(r realkafka.Record) *Sent {
	sender, n, ok := parseValue(r.Value)
	if !ok || sender < 0 || sender >= len(k.sent) || n < 0 || n >= len(k.sent[sender]) {
		return nil
	}
	s := k.sent[sender][n]
	if !bytes.Equal(s.Key, r.Key) || !bytes.Equal(s.value(), r.Value) {
		return nil
	}
	return s
}

// checkTold looks whether a record's outcome was told once, and by callback and future alike.
func (k *checking) checkTold(s *Sent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, again := range s.told[min(1, len(s.told)):] {
		k.find(&k.v.ToldTwice, "told twice: %s: first %v, then %v", s, s.told[0], again)
	}
	switch {
	case len(s.told) == 0:
		k.find(&k.v.NeverTold, "never told: %s, by the callback", s)
	case k.Futures && s.futures == 0:
		k.find(&k.v.NeverTold, "never told: %s, by the future", s)
	case k.Futures && s.future != s.told[0]:
		k.find(&k.v.Disagree, "disagree: %s: the callback says %v, the future %v", s, s.told[0], s.future)
	}
	if len(s.told) > 0 {
		k.v.Fates[s.told[0].Fate]++
	}
}

// checkPlace looks for a record at its acknowledged place.
func (k *checking) checkPlace(s *Sent) {
	o, _, ok := s.Told()
	if !ok {
		return
	}
	places := k.where[s]
	switch o.Fate {
	case Acked:
		if k.MayBeGone != nil && k.MayBeGone(s) {
			return
		}
		// DUPLICATE_SEQUENCE is an acknowledgement without an offset.
		if len(places) == 0 || places[0].partition != o.Partition || o.Offset != -1 && places[0].offset != o.Offset {
			k.find(&k.v.Lost, "lost: %s was acknowledged at partition %d offset %d and lies at %v", s, o.Partition,
				o.Offset, places)
		}
	case NotWritten:
		if len(places) > 0 {
			k.find(&k.v.Lied, "lied: %s was told %v and lies at %v", s, o, places)
		}
	case Maybe:
		if len(places) > 0 {
			k.v.MaybeThere++
		}
	}
}

// String names a record by its sender and number.
func (s *Sent) String() string { return fmt.Sprintf("record %d of sender %d", s.N, s.Sender) }

// String gives the fate with its place or reason.
func (o Outcome) String() string {
	if o.Fate == Acked {
		return fmt.Sprintf("%s at partition %d offset %d", o.Fate, o.Partition, o.Offset)
	}
	return fmt.Sprintf("%s (%s)", o.Fate, o.Err)
}
