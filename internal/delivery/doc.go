// Package delivery decides how the batches of one partition are delivered: in which order, under which identity and
// sequence, how often, and with which outcome. A [Partition] is a pure state machine. It has no clock, socket, lock or
// goroutine, so tests can lead it through every order of events.
//
// The caller owns a Partition, guards it with a lock, and uses it in three ways:
//
//	events     change the state. Events of a batch: Sealed, Prepared, Replaced, Answered, Disconnected, Unsendable,
//	           WriteFinished. Events of the partition: LeaderMoved, TopicIs, ClusterIs, IdentityReceived, Refused, Tick,
//	           Closed.
//	Next       is the one question: what does the partition do now? A Send decision already is the event "sent".
//	outcomes   of batches collect in the Partition until the caller calls Drain. The caller applies them after it has
//	           released its lock.
//
// The product (package sender), the stories, the simulation and the replay of a trace all call the same Next.
//
// # Files
//
//	partition.go  Config and Partition: the state of one partition
//	batch.go      Batch, its enums, the table of transitions
//	next.go       Next and the rules of order
//	prepare.go    batches before their first request, and parts of rebuilt batches
//	answered.go   the responses of brokers
//	lost.go       requests without a response, and former leaders
//	topic.go      recreated topics and replaced clusters
//	end.go        time, refusals and the end of the producer
//	settle.go     afterEvent: renumbering and new identities
//	check.go      the legal states, and the exit from an impossible one
//	text.go       the state and the outcomes as text
//
// # Room for transactions
//
// A transactional producer needs three additions, and each has its place. All partitions share one identity: the
// identity arrives by IdentityReceived as today, and the transaction's owner gives the same one to every partition.
// A partition must be added to the transaction before its first batch: that is one more condition in Next, beside
// the missing identity, with a decision of its own. A doomed transaction must fail all unsent batches: Refused is
// that event, with the abort as its cause.
package delivery
