package chaos

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// Report is the results of several runs, with a comparison of the clients.
type Report struct {
	Runs []*Result `json:"runs"`
	// Clients sums up each client's runs.
	Clients map[string]*Summary `json:"clients"`
	// GapRatio is Samsa's median of the longest gap divided by franz-go's, and PartitionGapRatio the same of the
	// longest gap of one partition. 0 if one client has no run.
	GapRatio          float64 `json:"gap_ratio"`
	PartitionGapRatio float64 `json:"partition_gap_ratio"`
}

// Summary is the medians over one client's runs.
type Summary struct {
	Runs         int                    `json:"runs"`
	Gap          time.Duration          `json:"gap_ns"`
	PartitionGap time.Duration          `json:"partition_gap_ns"`
	GapByFault   map[Kind]time.Duration `json:"gap_by_fault_ns"`
}

// NewReport sums runs up.
func NewReport(runs []*Result) *Report {
	r := &Report{Runs: runs, Clients: map[string]*Summary{}}
	for _, client := range []string{Samsa, Franz} {
		var gaps, partitionGaps []time.Duration
		byFault := map[Kind][]time.Duration{}
		for _, run := range runs {
			if run.Client != client {
				continue
			}
			gaps, partitionGaps = append(gaps, run.Gap), append(partitionGaps, run.PartitionGap)
			for kind, g := range run.GapByFault {
				byFault[kind] = append(byFault[kind], g)
			}
		}
		if len(gaps) == 0 {
			continue
		}
		s := &Summary{Runs: len(gaps), Gap: median(gaps), PartitionGap: median(partitionGaps),
			GapByFault: map[Kind]time.Duration{}}
		for kind, gaps := range byFault {
			s.GapByFault[kind] = median(gaps)
		}
		r.Clients[client] = s
	}
	if ours, theirs := r.Clients[Samsa], r.Clients[Franz]; ours != nil && theirs != nil {
		r.GapRatio, r.PartitionGapRatio = ratio(ours.Gap, theirs.Gap), ratio(ours.PartitionGap, theirs.PartitionGap)
	}
	return r
}

func ratio(a, b time.Duration) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// OK reports whether all runs of Samsa are.
func (r *Report) OK() bool {
	for _, run := range r.Runs {
		if run.Client == Samsa && !run.OK() {
			return false
		}
	}
	return true
}

// Print writes the report for people.
func (r *Report) Print(out io.Writer) error {
	if err := r.printRuns(out); err != nil {
		return err
	}
	fmt.Fprintln(out)
	return r.printGaps(out)
}

// table returns a writer of rows, and the function to end the table.
func table(out io.Writer) (row func(columns ...any), flush func() error) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	return func(columns ...any) {
		for _, c := range columns {
			fmt.Fprintf(t, "%v\t", c)
		}
		fmt.Fprintln(t)
	}, t.Flush
}

// printRuns writes a row for each run: the reports, the broken promises, and times.
func (r *Report) printRuns(out io.Writer) error {
	row, flush := table(out)
	row("client", "seed", "codec", "delivery", "faults", "sent", "acked", "not written", "maybe", "there",
		"lost", "twice", "order", "lied", "told 2x", "untold", "disagree", "foreign", "gap s", "partition gap s",
		"p50 ms", "p99 ms")
	for _, x := range r.Runs {
		delivery := "default"
		if x.DeliveryTimeout > 0 {
			delivery = x.DeliveryTimeout.String()
		}
		row(x.Client, x.Seed, x.Compression, delivery, len(x.Events), x.Sent, x.Acked, x.NotWritten, x.Maybe,
			x.MaybeThere,
			x.Lost, x.Duplicate, x.Reordered, x.Lied, x.ToldTwice, x.NeverTold, x.Disagree, x.Foreign,
			seconds(x.Gap), seconds(x.PartitionGap), millis(x.P50), millis(x.P99))
	}
	return flush()
}

// printGaps writes the medians of the longest gaps, in all and by the causing fault.
func (r *Report) printGaps(out io.Writer) error {
	row, flush := table(out)
	ours, theirs := r.Clients[Samsa], r.Clients[Franz]
	cell := func(s *Summary, value func(*Summary) (time.Duration, bool)) string {
		if s != nil {
			if v, ok := value(s); ok {
				return seconds(v)
			}
		}
		return "–"
	}
	line := func(name string, value func(*Summary) (time.Duration, bool)) {
		q := "–"
		if ours != nil && theirs != nil {
			a, ok := value(ours)
			b, too := value(theirs)
			if ok && too {
				q = fmt.Sprintf("%.2f", ratio(a, b))
			}
		}
		row(name, cell(ours, value), cell(theirs, value), q)
	}
	row("median of the longest gap", "samsa s", "franz s", "ratio")
	line("whole run", func(s *Summary) (time.Duration, bool) { return s.Gap, true })
	line("one partition", func(s *Summary) (time.Duration, bool) { return s.PartitionGap, true })
	for _, kind := range Kinds() {
		line(string(kind), func(s *Summary) (time.Duration, bool) { g, ok := s.GapByFault[kind]; return g, ok })
	}
	return flush()
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) }
func millis(d time.Duration) string  { return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond)) }
