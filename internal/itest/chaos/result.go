package chaos

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gosamsa/samsa/internal/itest/realkafka"
)

// Result is the result of one run.
type Result struct {
	Topic           string        `json:"topic"`
	Client          string        `json:"client"`
	Seed            uint64        `json:"seed"`
	Compression     string        `json:"compression"`
	DeliveryTimeout time.Duration `json:"delivery_timeout_ns"` // 0 is the client's default
	// Begin and End bound the time of faults and recovery, since the run's beginning.
	Begin  time.Duration `json:"begin_ns"`
	End    time.Duration `json:"end_ns"`
	Events []Event       `json:"events"`

	Counts
	Findings []string `json:"findings,omitempty"`
	// Sent is the number of sent records, and the next three count them by their outcome.
	Sent       int `json:"sent"`
	Acked      int `json:"acked"`
	NotWritten int `json:"not_written"`
	Maybe      int `json:"maybe"`
	// MaybeThere is how many of Maybe were in the log.
	MaybeThere int `json:"maybe_there"`
	Written    int `json:"written"`
	// Stalled are partitions without any progress after the end of the faults.
	Stalled []int32 `json:"stalled,omitempty"`
	// CloseError is the error of Close: nothing, if all is well.
	CloseError string `json:"close_error,omitempty"`

	// Gap is the longest time without an acknowledgement while faults happened, PartitionGap the same for the partition
	// with the longest.
	Gap          time.Duration `json:"gap_ns"`
	PartitionGap time.Duration `json:"partition_gap_ns"`
	// GapByFault is the longest time without an acknowledgement for each kind of fault.
	GapByFault map[Kind]time.Duration `json:"gap_by_fault_ns"`
	// P50 and P99 are latencies of acknowledged records, from before Send to the callback.
	P50 time.Duration `json:"p50_ns"`
	P99 time.Duration `json:"p99_ns"`

	journal [][]*Sent // kept while the run is not OK
}

// OK reports whether the producer kept its word, and went on when the faults were over.
func (r *Result) OK() bool { return r.Clean() && len(r.Stalled) == 0 && r.CloseError == "" }

// String is the result on one line, and the findings on further ones.
func (r *Result) String() string {
	delivery := "default delivery timeout"
	if r.DeliveryTimeout > 0 {
		delivery = fmt.Sprintf("delivery timeout %v", r.DeliveryTimeout)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, seed %d, compression %s, %s: %d sent, %d acknowledged, %d not written, %d maybe (%d of them there); "+
		"lost %d, duplicate %d, reordered %d, lied %d, told twice %d, never told %d, disagree %d, foreign %d; longest gap %v, of one partition %v",
		r.Client, r.Seed, r.Compression, delivery, r.Sent, r.Acked, r.NotWritten, r.Maybe, r.MaybeThere,
		r.Lost, r.Duplicate, r.Reordered, r.Lied, r.ToldTwice, r.NeverTold, r.Disagree, r.Foreign,
		r.Gap.Round(time.Millisecond), r.PartitionGap.Round(time.Millisecond))
	if len(r.Stalled) > 0 {
		fmt.Fprintf(&b, "\n  partitions %v take no records after the faults", r.Stalled)
	}
	if r.CloseError != "" {
		fmt.Fprintf(&b, "\n  close: %s", r.CloseError)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "\n  %s", f)
	}
	return b.String()
}

// judge compares the journal with the log and measures.
func (r *Result) judge(w *workload, log []realkafka.Record) {
	v := Checker{Futures: r.Client == Samsa}.Check(w.journal, log)
	r.Counts, r.Findings = v.Counts, v.Findings
	r.Acked, r.NotWritten, r.Maybe = v.Fates[Acked], v.Fates[NotWritten], v.Fates[Maybe]
	r.MaybeThere, r.Written = v.MaybeThere, v.Written
	for _, records := range w.journal {
		r.Sent += len(records)
	}
	r.measure(acksOf(w.journal))
	if !r.OK() {
		r.journal = w.journal
	}
}

// ack is one acknowledgement.
type ack struct {
	at, took  time.Duration
	partition int32
}

// acksOf returns the acknowledgements of a journal in the order of time.
func acksOf(journal [][]*Sent) []ack {
	var acks []ack
	for _, records := range journal {
		for _, s := range records {
			if o, at, ok := s.Told(); ok && o.Fate == Acked {
				acks = append(acks, ack{at: at, took: at - s.At, partition: o.Partition})
			}
		}
	}
	slices.SortFunc(acks, func(a, b ack) int { return int(a.at - b.at) })
	return acks
}

// gap is a time without an acknowledgement.
type gap struct{ from, to time.Duration }

func (g gap) length() time.Duration { return g.to - g.from }

func (r *Result) measure(acks []ack) {
	all := r.gaps(acks)
	r.Gap = longest(all)
	byPartition := map[int32][]ack{}
	for _, a := range acks {
		byPartition[a.partition] = append(byPartition[a.partition], a)
	}
	for _, acks := range byPartition {
		r.PartitionGap = max(r.PartitionGap, longest(r.gaps(acks)))
	}
	r.GapByFault = map[Kind]time.Duration{}
	for _, g := range all {
		if e := r.blame(g); e != nil {
			r.GapByFault[e.Kind] = max(r.GapByFault[e.Kind], g.length())
		}
	}
	took := make([]time.Duration, 0, len(acks))
	for _, a := range acks {
		took = append(took, a.took)
	}
	slices.Sort(took)
	r.P50, r.P99 = quantile(took, 0.5), quantile(took, 0.99)
}

// gaps returns the times between acknowledgements from Begin to End.
func (r *Result) gaps(acks []ack) []gap {
	gaps := make([]gap, 0, len(acks)+1)
	last := r.Begin
	for _, a := range acks {
		if a.at > r.Begin && a.at <= r.End {
			gaps = append(gaps, gap{last, a.at})
			last = a.at
		}
	}
	return append(gaps, gap{last, r.End})
}

func longest(gaps []gap) time.Duration {
	var most time.Duration
	for _, g := range gaps {
		most = max(most, g.length())
	}
	return most
}

// blame returns a gap's fault. A fault's time lasts up to the next fault's beginning; the gap belongs to the fault with
// the largest common time.
func (r *Result) blame(g gap) *Event {
	var most *Event
	var shared time.Duration
	for i := range r.Events {
		from, to := r.Events[i].At, r.End
		if i+1 < len(r.Events) {
			to = r.Events[i+1].At
		}
		if s := min(g.to, to) - max(g.from, from); s > shared {
			most, shared = &r.Events[i], s
		}
	}
	return most
}

// quantile returns the value above the part q of sorted values.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func median(values []time.Duration) time.Duration {
	values = slices.Clone(values)
	slices.Sort(values)
	switch n := len(values); {
	case n == 0:
		return 0
	case n%2 == 1:
		return values[n/2]
	default:
		return (values[n/2-1] + values[n/2]) / 2
	}
}

// WriteJournal writes the report about each record to a file, sender by sender, for the search for a finding's reason.
func (r *Result) WriteJournal(name string) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out := bufio.NewWriter(f)
	for _, e := range r.Events {
		fmt.Fprintf(out, "%v to %v: %v\n", e.At, e.Until, e.Fault)
	}
	for _, records := range r.journal {
		for _, s := range records {
			o, at, _ := s.Told()
			fmt.Fprintf(out, "%v: sent at %v, told at %v: %v\n", s, s.At, at, o)
		}
	}
	return out.Flush()
}
