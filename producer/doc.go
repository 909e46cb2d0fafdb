// Package producer sends records to Apache Kafka. It is the only package of Samsa for a program to import.
//
// [New] makes a [Producer] from a [Config], and a Config begins with [DefaultConfig]. One Producer serves a whole
// program:
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
//   - [Producer.Close] delivers the buffered records and ends the Producer. A program that exits without it loses them.
//
// # Configuration
//
// The fields of [Config] are grouped by theme. Each comment has the Kafka property, the default and the range.
//
//   - Connection: BootstrapServers, ClientID, backoffs and timeouts of connections, socket buffers.
//   - Guarantees: Acks, EnableIdempotence, Retries, MaxInFlight.
//   - Batching: Linger, BatchSize, BufferMemory, MaxRequestSize.
//   - Compression: Compression and the levels of the codecs.
//   - Partitioning: the built-in partitioner.
//   - Time: DeliveryTimeout bounds a record, RequestTimeout a request, MaxBlock a Send.
//   - Metadata: its age, idle topics, unknown topics, lost clusters.
//   - Samsa's own: Dialer (TLS), [Partitioner], [Interceptor], Logger, CompressionWorkers.
//
// [DefaultConfig] has the defaults of Kafka 4, [ClassicConfig] those of Kafka 1. [LoadProperties] reads a file of
// Java's producer.
//
// # Fates
//
// Every record ends with one of four fates: acknowledged, not written, rejected, or maybe written. [FateOf] returns the
// fate of an error. Only a rejected record would fail again for the same reason. A second Send of a maybe written
// record may duplicate it. [Reason] returns a word for metrics.
//
// # Partitions
//
// A record with a key is sent to the same partition as by Kafka's Java producer ([PartitionForKey]). A record can name
// its partition ([InPartition]), and a [Partitioner] can choose.
//
// # Concurrency
//
// All methods of a Producer and of a Future may be called from many goroutines. Callbacks run on goroutines of the
// Producer: one at a time for each partition, in the order of sending. A callback may block, but delays the later
// callbacks of its partition, and their outcomes take room in the buffer.
package producer
