package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gosamsa/samsa/bench/client"
	"github.com/gosamsa/samsa/bench/load"
)

// goal is a target for a figure, as a ratio or as it is.
type goal struct {
	name   string
	most   bool // the figure may be at most this, else it must be at least this
	target float64
	unit   string
	// figures are one of each round. Figures of one round are compared with each other: a slow minute of the machine is
	// usually slow for both. The median of such ratios differs less from run to run than the ratio of two medians does.
	figures func(r *report) []float64
}

func (g goal) reached(v float64) bool {
	if g.most {
		return v <= g.target
	}
	return v >= g.target
}

// middle is the median.
func middle(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// reason returns the known reason for a missed goal.
func (g goal) reason() string {
	for _, r := range reasons {
		if strings.HasPrefix(g.name, r.goal) {
			return r.text
		}
	}
	return "not looked into yet."
}

// figures of a result.
func rate(r load.Result) float64    { return r.Rate }
func cpu(r load.Result) float64     { return r.CPU }
func p50(r load.Result) float64     { return r.P50 }
func p99(r load.Result) float64     { return r.P99 }
func p999(r load.Result) float64    { return r.P999 }
func wire(r load.Result) float64    { return r.Wire }
func rss(r load.Result) float64     { return float64(r.RSS >> 20) }
func allocs(r load.Result) float64  { return r.Allocs }
func alloced(r load.Result) float64 { return r.Alloced }

// rounds returns a client's results in a workload, one of each round.
func (r *report) rounds(section, workload, client string) []load.Result {
	for _, s := range r.Sections {
		if s.ID != section {
			continue
		}
		for _, w := range s.Workloads {
			if w.Name == workload {
				return w.Results[client]
			}
		}
	}
	return nil
}

// pairs are one figure's ratios, round by round.
func pairs(ours, theirs []load.Result, pick func(load.Result) float64) (all []float64) {
	for i := range min(len(ours), len(theirs)) {
		all = append(all, pick(ours[i])/pick(theirs[i]))
	}
	return all
}

// ratio compares ours with another client's in the same workload.
func ratio(section, workload, client string, pick func(load.Result) float64) func(r *report) []float64 {
	return func(r *report) []float64 {
		return pairs(r.rounds(section, workload, "samsa"), r.rounds(section, workload, client), pick)
	}
}

// best compares our rate with the rate of the best peer, the one with the highest median.
func best(section, workload string) func(r *report) []float64 {
	return func(r *report) []float64 {
		var peer []load.Result
		for _, name := range append(client.Libraries(), javaClient) {
			if them := r.rounds(section, workload, name); name != "samsa" && median(them).Rate > median(peer).Rate {
				peer = them
			}
		}
		return pairs(r.rounds(section, workload, "samsa"), peer, rate)
	}
}

// own compares two workloads of ours.
func own(section, workload, workload2 string, pick func(load.Result) float64) func(r *report) []float64 {
	return func(r *report) []float64 {
		return pairs(r.rounds(section, workload, "samsa"), r.rounds(section, workload2, "samsa"), pick)
	}
}

func plain(section, workload string, pick func(load.Result) float64) func(r *report) []float64 {
	return func(r *report) (all []float64) {
		for _, us := range r.rounds(section, workload, "samsa") {
			all = append(all, pick(us))
		}
		return all
	}
}

// goals are the project's targets.
func goals() []goal {
	const franz = "franz-go"
	gs := []goal{
		{"async 100 B: CPU a record, of franz-go's", true, 0.50, "×", ratio("defaults", "100 B", franz, cpu)},
		{"async 100 B, tuned: CPU a record, of the floor's", true, 1.15, "×", ratio("tuned", "100 B", "floor", cpu)},
		{"async 100 B: rate, of franz-go's", false, 1.9, "×", ratio("defaults", "100 B", franz, rate)},
		{"async 100 B: p99 of the latency while saturated, of franz-go's", true, 0.25, "×",
			ratio("defaults", "100 B", franz, p99)},
		{"allocations a record, one callback", true, 0.05, "", plain("own", "100 B, one callback", allocs)},
		{"bytes allocated a record, one callback", true, 20, "B", plain("own", "100 B, one callback", alloced)},
		{"8 goroutines: rate, of franz-go's", false, 1.9, "×", ratio("defaults", "100 B, 8 goroutines", franz, rate)},
		{"8 goroutines: CPU, of franz-go's", true, 0.5, "×", ratio("defaults", "100 B, 8 goroutines", franz, cpu)},
		{"8 goroutines: rate, of our own with one", false, 0.9, "×",
			own("defaults", "100 B, 8 goroutines", "100 B", rate)},
		{"100,000 keys: rate, of franz-go's", false, 2.2, "×", ratio("defaults", "100 B, 100,000 keys", franz, rate)},
		{"1,000 B: CPU, of franz-go's", true, 0.67, "×", ratio("defaults", "1,000 B", franz, cpu)},
		{"1,000 B: rate, of franz-go's", false, 1.25, "×", ratio("defaults", "1,000 B", franz, rate)},
		{"sync, 1 goroutine: CPU, of franz-go's", true, 0.5, "×", ratio("pinned", "sync, 1 goroutine", franz, cpu)},
		{"sync, 1 goroutine: p50, of franz-go's", true, 0.8, "×", ratio("pinned", "sync, 1 goroutine", franz, p50)},
		{"sync, 1 goroutine: allocations", true, 4, "", plain("pinned", "sync, 1 goroutine", allocs)},
		{"sync, 64 goroutines: rate, of franz-go's", false, 1.9, "×",
			ratio("defaults", "sync, 64 goroutines", franz, rate)},
	}
	for _, c := range []struct {
		name string
		most float64
	}{{"lz4", 2.2}, {"zstd", 1.8}, {"snappy", 1.5}, {"gzip", 1.8}} {
		w := "1,000 B, " + c.name
		gs = append(gs, goal{w + ": rate, of franz-go's", false, c.most, "×", ratio("defaults", w, franz, rate)},
			goal{w + ": rate, of the best peer's", false, 1, "×", best("defaults", w)},
			goal{w + ": bytes on the wire at the same batch size, of franz-go's", true, 1.02, "×",
				ratio("wire", w, franz, wire)})
	}
	gs = append(gs,
		goal{"1,000 partitions: CPU, of that with 12", true, 1.3, "×",
			own("partitions", "1000 partitions", "12 partitions", cpu)},
		goal{"10,000 partitions: CPU, of that with 12", true, 1.6, "×",
			own("partitions", "10000 partitions", "12 partitions", cpu)},
		goal{"first send with 100,000 topics known: CPU, of that with 1,000", true, 1.5, "×",
			own("scale", "first sends, 100,000 topics known", "first sends, 1,000 topics known", cpu)},
		goal{"first record to each of 100,000 partitions: CPU, of that with 1,000", true, 1.5, "×",
			own("scale", "first records, 100,000 partitions", "first records, 1,000 partitions", cpu)},
		goal{"leader move with 100,000 partitions: CPU, of that with 1,000", true, 1.5, "×",
			own("scale", "leader moves, 100,000 partitions", "leader moves, 1,000 partitions", cpu)},
		goal{"40,000 goroutines that give up waiting: CPU, of that with 1,000", true, 1.5, "×",
			own("scale-blocked", "40,000 goroutines", "1,000 goroutines", cpu)},
		goal{"memory of the process with a full buffer of 32 MiB and a dead broker, 1,000 B", true, 80, "MiB",
			plain("full", "1,000 B", rss)},
		goal{"the same, 100 B", true, 80, "MiB", plain("full", "100 B", rss)},
		goal{"SendAll of 100: rate, of our own Send", false, 1.3, "×",
			own("own", "100 B, SendAll", "100 B, Send", rate)},
		goal{"real Kafka, sync, 1 goroutine: p50, of franz-go's", true, 1, "×",
			ratio("kafka-1", "sync, 1 goroutine", franz, p50)},
		goal{"real Kafka, sync, 1 goroutine: CPU, of franz-go's", true, 0.6, "×",
			ratio("kafka-1", "sync, 1 goroutine", franz, cpu)},
		goal{"real Kafka, sync, 64 goroutines: p50, of franz-go's", true, 1, "×",
			ratio("kafka-1", "sync, 64 goroutines", franz, p50)},
		goal{"real Kafka, sync, 64 goroutines: CPU, of franz-go's", true, 0.6, "×",
			ratio("kafka-1", "sync, 64 goroutines", franz, cpu)},
	)
	for _, place := range []struct{ id, name string }{{"kafka-1", "one node"}, {"kafka-3", "three nodes"}} {
		for _, w := range []string{"100 B", "1,000 B", "100 B, tuned", "1,000 B, tuned"} {
			gs = append(gs, goal{fmt.Sprintf("real Kafka, %s, %s: rate, of the best peer's", place.name, w), false,
				0.97, "×", best(place.id, w)})
		}
	}
	return append(gs,
		goal{"real Kafka, 50,000 records/s: p99, of franz-go's", true, 1.1, "×",
			ratio("kafka-1-open", "100 B", franz, p99)},
		goal{"real Kafka, 50,000 records/s: p99.9, of franz-go's", true, 1.1, "×",
			ratio("kafka-1-open", "100 B", franz, p999)},
	)
}
