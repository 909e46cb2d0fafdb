// Package sender serves package producer and promises nothing to others: its API changes without notice.
//
// It delivers the accumulator's batches to brokers. The decisions belong to package internal/delivery: a pure core for
// each partition, without a clock, a socket, a lock or a goroutine. This package drives the cores:
//   - a partition joins the accumulator's queue, the core and the leader's broker (partition.go, prepare.go)
//   - a broker has a queue of partitions, a connection, and the goroutine that builds requests (broker.go, request.go)
//   - the identities have the producer id and its epochs (identity.go)
//   - the workers compress, split and rebuild batches (workers.go)
//
// The package knows nothing of the user's API. Package producer makes one Sender for each Producer:
//
//	s := sender.New(sender.Config{Cluster: client, Accumulator: accumulator.Config{…}, …})
//	part := s.Accumulator().Topic("events").Partition(0)
package sender
