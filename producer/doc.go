// Package producer sends records to Apache Kafka. It is the only package of Samsa that a program needs to import.
//
// [New] makes a [Producer] from a [Config], and [DefaultConfig] is where a Config begins. One Producer serves a whole program:
//
//	cfg := producer.DefaultConfig("localhost:9092")
//	p, err := producer.New(cfg)
//	…
//	metadata, err := p.SendSync(ctx, &producer.Record{Topic: "greetings", Value: []byte("hello")})
//	…
//	limit, cancel := context.WithTimeout(context.Background(), 10*time.Second)
//	defer cancel()
//	err = p.Close(limit)
//
// # Sending
//
//   - [Producer.SendSync] waits until the record is acknowledged or has failed.
//   - [Producer.Send] puts the record into the buffer and returns a [Future]. A [Callback] gets the outcome.
//   - [Producer.SendAll] does the same for a slice of records.
//   - [Producer.TrySend] waits neither for room nor for metadata.
//   - [Producer.Flush] waits for the outcomes and the callbacks of all records.
//   - [Producer.Close] delivers what is buffered and ends the Producer. A program that exits without it loses the buffered records.
//
// # Fates
//
// Every record ends with one of four fates, and [FateOf] returns the one that belongs to an error: acknowledged, not written, rejected, or maybe
// written. Only a rejected record would be refused again. A second Send of a record that is maybe written may duplicate it. [Reason] returns a word
// for metrics.
//
// # Partitions
//
// A record with a key goes to the partition that Kafka's Java producer chooses for it ([PartitionForKey]). A record can name its partition
// ([InPartition]), and a [Partitioner] can choose.
//
// # Concurrency
//
// All methods of a Producer and of a Future may be called from many goroutines. Callbacks run on goroutines of the Producer: one at a time for each
// partition, in the order of sending. A callback may block, at the cost of the records behind it and of the room that these take in the buffer.
package producer
