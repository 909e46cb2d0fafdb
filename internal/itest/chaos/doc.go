// Package chaos breaks a real Kafka cluster in ways drawn from a seed while a producer sends to it. Then it compares
// the producer's report about each record with the log, as read by an independent reader.
//
//   - [Net] is a proxy in front of each node, between the producer and the node: it resets connections, loses answers,
//     cuts requests, goes silent and drips.
//   - [Run] sends numbered, keyed records from several goroutines while nodes are killed, hung and restarted, leaders
//     and replicas moved, and connections broken.
//   - [Check] counts records lost, doubled, out of order or reported wrongly.
//
// The same runs through franz-go are the measure for how quickly Samsa is back after each fault. The program cmd/chaos
// does any number of runs; the package's tests do two short ones, and some tests of one behaviour with a real cluster.
package chaos
