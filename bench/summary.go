package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/gosamsa/samsa/bench/client"
)

const summaryBegin, summaryEnd = "<!-- bench:begin -->\n", "<!-- bench:end -->"

// summary is the rows of the README's table: a section and a workload each, and whether the time of a record counts
// instead of the rate.
var summary = []struct {
	section, workload, title string
	latency                  bool
}{
	{"defaults", "100 B", "100 bytes", false},
	{"defaults", "100 B, 8 goroutines", "the same from 8 goroutines", false},
	{"defaults", "100 B, 100,000 keys", "the same with 100,000 keys", false},
	{"defaults", "1,000 B", "1,000 bytes", false},
	{"defaults", "1,000 B, lz4", "1,000 bytes, lz4", false},
	{"defaults", "1,000 B, zstd", "1,000 bytes, zstd", false},
	{"pinned", "sync, 1 goroutine", "one after the other: median, CPU", true},
	{"defaults", "sync, 64 goroutines", "64 goroutines that wait", false},
	{"kafka-1", "100 B", "a real Kafka, 100 bytes", false},
	{"kafka-1", "1,000 B", "a real Kafka, 1,000 bytes", false},
	{"kafka-1", "100 B, tuned", "each tuned for throughput: a real Kafka, 100 bytes", false},
	{"kafka-1", "1,000 B, tuned", "the same with 1,000 bytes", false},
	{"kafka-3", "1,000 B, tuned", "the same with three nodes", false},
}

// writeSummary puts the summary between the marks of a file.
func writeSummary(name string, r *report) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(text), summaryBegin)
	_, after, ends := strings.Cut(rest, summaryEnd)
	if !found || !ends {
		return fmt.Errorf("%s has no %q with a %q behind it", name, strings.TrimSpace(summaryBegin), summaryEnd)
	}
	return os.WriteFile(name, []byte(before+summaryBegin+summaryTable(r)+summaryEnd+after), 0o644)
}

func summaryTable(r *report) string {
	var b strings.Builder
	all := r.pooled()
	b.WriteString("| records a second, CPU a record |")
	for _, name := range client.Libraries() {
		fmt.Fprintf(&b, " %s |", name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(client.Libraries())) + "\n")
	for _, row := range summary {
		fmt.Fprintf(&b, "| %s |", row.title)
		for _, name := range client.Libraries() {
			found := all.rounds(row.section, row.workload, name)
			v := median(found)
			switch {
			case len(found) == 0:
				b.WriteString(" – |")
			case row.latency:
				fmt.Fprintf(&b, " %s, %s |", nice(v.P50), cpuTime(v.CPU))
			default:
				fmt.Fprintf(&b, " %s, %s |", thousands(v.Rate), cpuTime(v.CPU))
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

func cpuTime(ns float64) string {
	if ns < 10_000 {
		return thousands(ns) + " ns"
	}
	return thousands(ns/1000) + " µs"
}
