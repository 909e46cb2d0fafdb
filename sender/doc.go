// Package sender serves package producer and promises nothing to others: its API changes without notice.
//
// It delivers what the accumulator holds: which batch goes when to which broker, how many are in flight, what is
// tried again, which sequence it carries, when it expires, and what an error code means for its records.
//
// Decisions are a pure core (deliveryState): one partition's delivery state, fed with events and answering with actions, without
// a clock, a socket, a lock or a goroutine. Around it are the parts that do things: a partition's glue between the
// accumulator and the core, a broker with its queue of partitions that have something to send and its connection, the
// producer's identity, and the workers that compress.
//
// The package knows nothing of the user's API. Package producer makes one Sender for each Producer:
//
//	s := sender.New(sender.Config{Cluster: client, Accumulator: accumulator.Config{…}, …})
//	part := s.Accumulator().Topic("events").Partition(0)
package sender
