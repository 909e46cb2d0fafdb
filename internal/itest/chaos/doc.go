// Package chaos breaks a real Kafka cluster in every way that a seed draws while a producer sends to it, and then compares what the
// producer told about each record with what an independent reader finds in the log.
//
//   - [Net] is a proxy in front of each node, through which the producer dials: it resets connections, loses answers, cuts requests,
//     goes silent and drips.
//   - [Run] sends numbered, keyed records from several goroutines while nodes are killed, hung and restarted, leaders and replicas moved,
//     and connections broken.
//   - [Check] counts what is lost, doubled, out of order or told wrongly.
//
// The same runs through franz-go are the measure for how quickly Samsa is back after each fault. The program cmd/chaos does as many runs as one
// likes; the package's tests do two short ones, and some that need a real cluster for one behaviour.
package chaos
