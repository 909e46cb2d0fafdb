package producer_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gosamsa/samsa/producer"
)

// One producer serves a whole program. Close delivers the buffered records.
func ExampleNew() {
	cfg := producer.DefaultConfig("localhost:9092") // acks=all and idempotence
	cfg.ClientID = "shop"
	cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil)) // nil is slog.Default() for warnings and errors
	p, err := producer.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			log.Print(err)
		}
	}()

	ctx := context.Background()
	record := &producer.Record{Topic: "orders", Key: []byte("42"), Value: []byte("one book")}
	metadata, err := p.Send(ctx, record, nil).Get(ctx)
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Println("partition", metadata.Partition, "offset", metadata.Offset)
}

// Asynchronous: Send puts the record into the buffer, and the callback gets its outcome.
func ExampleProducer_Send() {
	ctx := context.Background()
	p, err := producer.New(producer.DefaultConfig("localhost:9092"))
	if err != nil {
		log.Fatal(err)
	}
	record := producer.Record{Topic: "orders"}
	for _, item := range []string{"book", "lamp", "chair"} {
		record.Value = []byte(item) // the record is free for reuse when Send returns
		p.Send(ctx, &record, func(metadata producer.RecordMetadata, err error) {
			if err != nil {
				log.Printf("%s: %v", item, err)
				return
			}
			log.Printf("%s is in partition %d at offset %d", item, metadata.Partition, metadata.Offset)
		})
	}
	if err := p.Close(ctx); err != nil { // waits for the callbacks
		log.Print(err)
	}
}

// TrySend does not wait. If the buffer is full or the topic is not known yet, the record fails at once, and can be sent
// again later.
func ExampleProducer_TrySend() {
	cfg := producer.DefaultConfig("localhost:9092")
	cfg.Logger = slog.New(slog.DiscardHandler)
	p, err := producer.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	defer func() { _ = p.Close(ctx) }()

	_, err = p.TrySend(&producer.Record{Topic: "orders", Value: []byte("a book")}, nil).Get(ctx)
	fmt.Println(errors.Is(err, producer.ErrMetadataTimeout), producer.FateOf(err))
	// Output: true not written
}

// One SendAll costs less than many Sends. Each record has its own outcome.
func ExampleProducer_SendAll() {
	ctx := context.Background()
	p, err := producer.New(producer.DefaultConfig("localhost:9092"))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = p.Close(ctx) }()

	records := []producer.Record{
		{Topic: "orders", Key: []byte("1"), Value: []byte("a book")},
		{Topic: "orders", Key: []byte("2"), Value: []byte("a lamp")},
	}
	for i, future := range p.SendAll(ctx, records) {
		if _, err := future.Get(ctx); err != nil {
			log.Printf("record %d is %v: %v", i, producer.FateOf(err), err)
		}
	}
}

// Synchronous: Get waits for the broker. It sends the record's batch without waiting for linger.ms.
func ExampleFuture_Get() {
	p, err := producer.New(producer.DefaultConfig("localhost:9092"))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = p.Close(context.Background()) }()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	metadata, err := p.Send(ctx, &producer.Record{Topic: "orders", Value: []byte("a book")}, nil).Get(ctx)
	if err != nil {
		log.Printf("%v: %v", producer.FateOf(err), err)
		return
	}
	fmt.Println("partition", metadata.Partition, "offset", metadata.Offset)
}

// Done is for a select with other events.
func ExampleFuture_Done() {
	ctx := context.Background()
	p, err := producer.New(producer.DefaultConfig("localhost:9092"))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = p.Close(ctx) }()

	future := p.Send(ctx, &producer.Record{Topic: "orders", Value: []byte("a book")}, nil)
	select {
	case <-future.Done():
		_, err := future.Get(ctx) // returns at once
		fmt.Println("outcome:", err)
	case <-time.After(time.Second):
		fmt.Println("no outcome yet")
	}
}

// Cancel withdraws a record until its batch is sealed. Here the batch waits for linger.ms.
func ExampleFuture_Cancel() {
	ctx := context.Background()
	cfg := producer.DefaultConfig("localhost:9092")
	cfg.Linger = time.Second
	p, err := producer.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = p.Close(ctx) }()

	future := p.Send(ctx, &producer.Record{Topic: "orders", Value: []byte("a book")}, nil)
	if future.Cancel() {
		_, err := future.Get(ctx)
		fmt.Println(errors.Is(err, producer.ErrCanceled), producer.FateOf(err)) // true not written
	}
}

// Flush sends the buffered records without waiting for linger.ms, and waits for their outcomes and callbacks. Its error
// concerns the wait only.
func ExampleProducer_Flush() {
	ctx := context.Background()
	p, err := producer.New(producer.DefaultConfig("localhost:9092"))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = p.Close(ctx) }()

	for range 100 {
		p.Send(ctx, &producer.Record{Topic: "orders", Value: []byte("a book")},
			func(_ producer.RecordMetadata, err error) {
				if err != nil {
					log.Print(err)
				}
			})
	}
	if err := p.Flush(ctx); err != nil {
		log.Print(err)
	}
}

// Close delivers the buffered records until its context ends. Its error counts the other records.
func ExampleProducer_Close() {
	p, err := producer.New(producer.DefaultConfig("localhost:9092"))
	if err != nil {
		log.Fatal(err)
	}
	p.Send(context.Background(), &producer.Record{Topic: "orders", Value: []byte("a book")}, nil)

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = p.Close(ctx)
	var left *producer.CloseError
	if errors.As(err, &left) {
		log.Printf("%d records have no acknowledgement, %d of them may be written", left.Undelivered, left.MaybeWritten)
	}
}

// PartitionsFor at the start of a program reports a missing topic or missing brokers early.
func ExampleProducer_PartitionsFor() {
	p, err := producer.New(producer.DefaultConfig("localhost:9092"))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = p.Close(context.Background()) }()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	partitions, err := p.PartitionsFor(ctx, "orders")
	if err != nil {
		log.Print(err)
		return
	}
	for _, partition := range partitions {
		fmt.Printf("partition %d: leader %d, replicas %v\n", partition.Partition, partition.Leader, partition.Replicas)
	}
}

// The fate of an error decides the program's reaction.
func ExampleFateOf() {
	for _, err := range []error{nil, producer.ErrBufferFull, producer.ErrRecordTooLarge, producer.ErrDisconnected} {
		switch producer.FateOf(err) {
		case producer.FateAcknowledged:
			fmt.Println("done")
		case producer.FateNotWritten:
			fmt.Println("send it again:", producer.Reason(err))
		case producer.FateRejected:
			fmt.Println("put it into the reject file:", producer.Reason(err))
		case producer.FateMaybeWritten:
			fmt.Println("a second Send may write it twice:", producer.Reason(err))
		}
	}
	// Output:
	// done
	// send it again: buffer_full
	// put it into the reject file: record_too_large
	// a second Send may write it twice: disconnected
}

// A Java producer's properties file works as it is.
func ExampleLoadProperties() {
	dir, err := os.MkdirTemp("", "samsa")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "producer.properties")
	const text = "bootstrap.servers = localhost:9092\nacks = all\nlinger.ms = 20\ncompression.type = lz4\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		fmt.Println(err)
		return
	}

	cfg, err := producer.LoadProperties(file)
	fmt.Println(cfg.Acks, cfg.Linger, cfg.Compression, err)
	// Output: all 20ms lz4 <nil>
}

// Fast: the producer expects no response. A dying broker loses records without an error.
func Example_fastMayLose() {
	cfg := producer.DefaultConfig("localhost:9092")
	cfg.Acks = producer.AcksNone
	cfg.EnableIdempotence = false
	fmt.Println(cfg.Validate())
	// Output: <nil>
}

// Balanced: the leader acknowledges alone. If it dies, records without a copy on its followers are lost.
func Example_balanced() {
	cfg := producer.DefaultConfig("localhost:9092")
	cfg.Acks = producer.AcksLeader
	cfg.EnableIdempotence = false
	fmt.Println(cfg.Validate())
	// Output: <nil>
}

// No loss: all in-sync replicas acknowledge, and the topic's min.insync.replicas=2 sets their minimum. With fewer
// in-sync replicas the leader refuses the write, and the producer retries it until DeliveryTimeout.
func Example_noLoss() {
	cfg := producer.DefaultConfig("localhost:9092")
	fmt.Println(cfg.Acks, cfg.EnableIdempotence, cfg.DeliveryTimeout)
	// Output: all true 2m0s
}
