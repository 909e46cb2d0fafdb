// Package accumulator serves package producer and promises nothing to others: its API changes without notice.
//
// It holds records between Send and the wire: a queue of batches for each partition, bounded by
// buffer.memory.
//
// A record is encoded into its partition's open batch while the sender's goroutine holds that partition's lock, and for
// no longer. A batch becomes ready when it is full, when its linger is over, when a caller waits for it, or when a
// flush or want of memory demands it. Ready is not sealed: it takes records until it is full or [Partition.Take] seals
// it. [Partition.Settle] gives a batch its outcome: it releases the Results behind the futures, and then runs
// callbacks, in the order of sending.
//
// buffer.memory counts the capacity of every buffer with records, in any hands: open, compressed beside raw, or still
// held by a connection. It also counts the results and lists of a batch until its last callback and interceptor have
// returned. Append never blocks; without room it says how much must be reserved first, and [Partition.Reserve] waits
// for as much in its broker's queue.
//
// The package knows nothing of brokers, requests or sequences. The owner of a partition (see [Drainer]) is told when
// there is something to take:
//
//	acc := accumulator.New(accumulator.Config{BatchSize: 16384, MaxRequestSize: 1 << 20, Memory: 32 << 20, Linger: 5 * time.Millisecond})
//	p := acc.Topic("events").Partition(0)
//	var a accumulator.AppendResult
//	p.Append(&rec, accumulator.Callback{}, nil, &a) // a.Result and a.Index are what a future holds
//	for b := p.Take(); b != nil; b = p.Take() {
//		// … write b.Bytes() …
//		p.Settle(b, accumulator.Outcome{BaseOffset: 42, LogAppendTime: -1})
//	}
package accumulator
