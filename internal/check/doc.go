// Check is the project's test command: it passes when every proof possible on one machine has succeeded.
//
//	go run ./internal/check                             # all stages; .ci/run is the same
//	go run ./internal/check -list                       # what there is
//	go run ./internal/check -only format,vet,unit       # some stages
//	go run ./internal/check -only fuzz -fuzztime 10m    # ten minutes for each fuzz target
//
// It needs Go, a C compiler (for the race detector), and Java and Maven (for a real Kafka), and reports a missing one:
// a stage without its tools fails. Go and Maven fetch everything else. It ends with a table of stages and times, and
// exits with 0 when none failed. Interrupted, it stops its processes.
//
// It is a program for this repository and no library: nothing imports it, and it imports nothing but Go's own packages.
package main
