package main

import (
	"fmt"

	"github.com/gosamsa/samsa/bench/load"
)

// scaleSections measure steps with many topics, partitions, brokers and goroutines, beside franz-go if it can do the
// same in reasonable time.
func scaleSections() []section {
	both, us := []string{"samsa", "franz-go"}, []string{"samsa"}
	row := func(mode load.Mode, size int, name string, n int, names []string, change func(*load.Spec)) workload {
		return workload{fmt.Sprintf(name, thousands(float64(n))), with(spec(mode, size), change), names}
	}
	firstSends := func(n int, names []string) workload {
		return row(load.Topics, 100, "first sends, %s topics known", n, names,
			func(s *load.Spec) { s.Known, s.Partitions = n, 1 })
	}
	firstRecords := func(n int) workload {
		return row(load.Each, 100, "first records, %s partitions", n, both, func(s *load.Spec) { s.Partitions = n })
	}
	moves := func(n int, names []string) workload {
		return row(load.Moves, 100, "leader moves, %s partitions", n, names, func(s *load.Spec) { s.Partitions = n })
	}
	brokers := func(n int) workload {
		return row(load.Async, 100, "1,000 partitions of %s brokers", n, both,
			func(s *load.Spec) { s.Partitions, s.Brokers = 1000, n })
	}
	waiting := func(n int) workload {
		return row(load.Blocked, 1000, "%s goroutines", n, both, func(s *load.Spec) { s.Waiting = n })
	}
	const about = "These tables show the cost of one step beside many known topics or partitions. Their figures count steps. A first send is a " +
		"record to a topic unknown to the client; a row's name gives the number of known topics. A thousand first sends at a time share their Metadata requests. A first record is the first one to each partition " +
		"of a topic, and includes the topic's metadata. Before a leader move, each partition has had a record. Then the former leader of a partition refuses a record, and its " +
		"response names the new leader; the step includes the record's two requests. franz-go has no row for first sends and leader moves with 100,000: its cost of a step grows " +
		"with the number, as the rows before show. In the tables with brokers, the figures count records as on the rest of the page."
	const blocked = "The broker reads nothing, and the buffer is full. The figures count goroutines: each waits for room, and gives up after five seconds."
	return []section{
		{"scale", "Scale: topics, partitions, brokers", about, place{}, []workload{
			firstSends(1000, both), firstSends(10_000, both), firstSends(100_000, us), firstRecords(1000),
			firstRecords(10_000), firstRecords(100_000),
			moves(1000, both), moves(10_000, both), moves(100_000, us),
			brokers(1), brokers(10), brokers(100), brokers(1000),
		}},
		{"scale-blocked", "Scale: goroutines that wait for a full buffer", blocked, place{deaf: true},
			[]workload{waiting(1000), waiting(10_000), waiting(40_000)}},
	}
}
