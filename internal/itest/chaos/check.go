package chaos

import (
	"bytes"
	"fmt"

	"github.com/gosamsa/samsa/internal/itest/realkafka"
)

// Counts are the ways in which a producer can break its word, and how often it did.
type Counts struct {
	// Lost are records that were acknowledged and do not lie where they were said to be.
	Lost int `json:"lost"`
	// Duplicate are records of the log that were there already.
	Duplicate int `json:"duplicate"`
	// Reordered are records that lie behind one that the same goroutine sent later to the same partition.
	Reordered int `json:"reordered"`
	// Lied are records that were told "not written" and are there.
	Lied int `json:"lied"`
	// ToldTwice are callbacks that ran again.
	ToldTwice int `json:"told_twice"`
	// NeverTold are records whose callback or future never told anything.
	NeverTold int `json:"never_told"`
	// Disagree are records whose future says another thing than the callback.
	Disagree int `json:"disagree"`
	// Foreign are records of the log that nobody sent, or whose bytes are not those that were sent.
	Foreign int `json:"foreign"`
}

// Clean reports whether the producer kept its word.
func (c Counts) Clean() bool { return c == Counts{} }

// Verdict is what Check found.
type Verdict struct {
	Counts
	// Findings describe the first of what was counted.
	Findings []string
	// Fates counts what was told.
	Fates map[Fate]int
	// Written is how many records the log holds, and MaybeThere how many of those told "maybe written" are among them.
	Written, MaybeThere int
}

// maxFindings bounds what is described; everything is counted.
const maxFindings = 20

// Checker compares what was told with what is there.
type Checker struct {
	// Futures says that the client has futures, so that each must have told.
	Futures bool
	// MayBeGone tells of a record that the log need not hold even though it was acknowledged: its topic was deleted. Nil is none.
	MayBeGone func(*Sent) bool
}

// place is where a record lies.
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

// Check counts in what the journal, each sender's records in the order of sending, and the log disagree. The log's records are those of one
// topic, each partition's in the order of their offsets.
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

// readLog finds whose each record is, and looks for duplicates and for what is out of order.
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
			k.find(&k.v.Foreign, "foreign: partition %d offset %d holds key %q value %.60q", r.Partition, r.Offset, r.Key, r.Value)
			continue
		}
		before := k.where[s]
		k.where[s] = append(before, place{r.Partition, r.Offset})
		if len(before) > 0 {
			k.find(&k.v.Duplicate, "duplicate: %s lies at %v and again at partition %d offset %d", s, before, r.Partition, r.Offset)
			continue
		}
		at := stream{s.Sender, r.Partition}
		if highest, seen := last[at]; seen && s.N < highest {
			k.find(&k.v.Reordered, "reordered: %s lies at partition %d offset %d, behind number %d", s, r.Partition, r.Offset, highest)
			continue
		}
		last[at] = s.N
	}
}

// owner returns what was sent as r, or nil.
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

// checkPlace looks whether a record is where it was said to be.
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
			k.find(&k.v.Lost, "lost: %s was acknowledged at partition %d offset %d and lies at %v", s, o.Partition, o.Offset, places)
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
