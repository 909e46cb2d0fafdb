package producer_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
)

// startKafka starts a cluster of three brokers inside this process, known as kafka:9092, with a topic "orders" of two partitions.
// With a real one, leave out this, stop, and Config.Dialer.
func startKafka() *exampleKafka {
	t := new(exampleTest)
	c := testbroker.New(t, testbroker.Config{Brokers: 3, Topics: map[string]int32{"orders": 2}, MinInSyncReplicas: 2})
	c.Alias("kafka:9092", 1)
	return &exampleKafka{Cluster: c, stop: t.end}
}

type exampleKafka struct {
	*testbroker.Cluster
	stop func()
}

// exampleTest is the test that a test cluster wants to belong to. It prints what that has to tell, and so fails the example.
type exampleTest struct {
	testing.TB
	end func()
}

func (t *exampleTest) Cleanup(end func())                { t.end = end }
func (t *exampleTest) Helper()                           {}
func (t *exampleTest) Failed() bool                      { return false }
func (t *exampleTest) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }
func (t *exampleTest) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// open returns a producer with the modern defaults, for the examples that are about something else.
func (k *exampleKafka) open() *producer.Producer {
	cfg := producer.DefaultConfig("kafka:9092")
	cfg.Dialer = k.Dial
	p, err := producer.New(cfg)
	if err != nil {
		panic(err)
	}
	return p
}

// One producer serves a whole program. It must be closed.
func ExampleNew() {
	kafka := startKafka()
	defer kafka.stop()

	cfg := producer.DefaultConfig("kafka:9092")
	cfg.ClientID = "shop"
	cfg.Dialer = kafka.Dial
	p, err := producer.New(cfg)
	if err != nil {
		fmt.Println("wrong configuration:", err)
		return
	}

	md, err := p.Send(context.Background(), &producer.Record{Topic: "orders", Key: []byte("42"), Value: []byte("one book")}, nil).Get(context.Background())
	fmt.Println(md.Topic, md.Partition, md.Offset, err)
	fmt.Println(p.Close(context.Background()))
	// Output:
	// orders 0 0 <nil>
	// <nil>
}

// Asynchronous: Send puts the record into the buffer, and the callback tells what became of it.
func ExampleProducer_Send() {
	kafka := startKafka()
	defer kafka.stop()
	p := kafka.open()
	ctx := context.Background()

	record := producer.Record{Topic: "orders", Partition: producer.PartitionOf(0)}
	for _, item := range []string{"book", "lamp", "chair"} {
		record.Value = []byte(item) // the record may be used again as soon as Send has returned
		p.Send(ctx, &record, func(md producer.Metadata, err error) {
			fmt.Println(item, "lies at offset", md.Offset, err)
		})
	}
	_ = p.Close(ctx)
	// Output:
	// book lies at offset 0 <nil>
	// lamp lies at offset 1 <nil>
	// chair lies at offset 2 <nil>
}

// TrySend never waits: what cannot be buffered now fails, and can be sent again later.
func ExampleProducer_TrySend() {
	kafka := startKafka()
	defer kafka.stop()
	p := kafka.open()
	defer func() { _ = p.Close(context.Background()) }()

	record := &producer.Record{Topic: "orders", Value: []byte("a book")}
	_, err := p.TrySend(record, nil).Get(context.Background())
	fmt.Println(errors.Is(err, producer.ErrMetadataTimeout), producer.Retriable(err))

	if _, err := p.PartitionsFor(context.Background(), "orders"); err != nil {
		fmt.Println(err)
	}
	_, err = p.TrySend(record, nil).Get(context.Background())
	fmt.Println(err)
	// Output:
	// true true
	// <nil>
}

// A slice costs less than as many Sends. Each record has its own outcome.
func ExampleProducer_SendAll() {
	kafka := startKafka()
	defer kafka.stop()
	p := kafka.open()
	ctx := context.Background()
	defer func() { _ = p.Close(ctx) }()

	records := []producer.Record{
		{Topic: "orders", Key: []byte("1"), Value: []byte("a book")},
		{Topic: "no such name!", Value: []byte("a lamp")},
		{Topic: "orders", Key: []byte("1"), Value: []byte("a chair")},
	}
	for i, f := range p.SendAll(ctx, records, nil, nil) {
		_, err := f.Get(ctx)
		fmt.Printf("%s: %v\n", records[i].Value, err)
	}
	// Output:
	// a book: <nil>
	// a lamp: samsa: topic "no such name!": invalid topic name: the character at byte 2 is not allowed; a-z, A-Z, 0-9, '.', '_' and '-' are (not written)
	// a chair: <nil>
}

// Synchronous: Get waits for the broker. It does not wait for linger.ms.
func ExampleFuture_Get() {
	kafka := startKafka()
	defer kafka.stop()
	p := kafka.open()
	defer func() { _ = p.Close(context.Background()) }()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	md, err := p.Send(ctx, &producer.Record{Topic: "orders", Partition: producer.PartitionOf(1), Value: []byte("a book")}, nil).Get(ctx)
	switch {
	case err == nil:
		fmt.Println("partition", md.Partition, "offset", md.Offset)
	case producer.MaybeWritten(err):
		fmt.Println("nobody knows:", err)
	default:
		fmt.Println("not written:", err)
	}
	// Output: partition 1 offset 0
}

// Done is for a select, beside other things to wait for.
func ExampleFuture_Done() {
	kafka := startKafka()
	defer kafka.stop()
	p := kafka.open()
	ctx := context.Background()
	defer func() { _ = p.Close(ctx) }()

	f := p.Send(ctx, &producer.Record{Topic: "orders", Value: []byte("a book")}, nil)
	select {
	case <-f.Done():
		_, err := f.Get(ctx)
		fmt.Println("delivered:", err == nil)
	case <-time.After(time.Minute):
		fmt.Println("still on its way")
	}
	// Output: delivered: true
}

// A record can be taken back as long as its batch waits: here it lingers.
func ExampleFuture_Cancel() {
	kafka := startKafka()
	defer kafka.stop()
	cfg := producer.DefaultConfig("kafka:9092")
	cfg.Dialer = kafka.Dial
	cfg.Linger = time.Minute
	p, err := producer.New(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()

	book := p.Send(ctx, &producer.Record{Topic: "orders", Partition: producer.PartitionOf(0), Value: []byte("a book")}, nil)
	lamp := p.Send(ctx, &producer.Record{Topic: "orders", Partition: producer.PartitionOf(0), Value: []byte("a lamp")}, nil)
	fmt.Println("taken back:", book.Cancel())
	_ = p.Close(ctx)

	_, err = book.Get(ctx)
	fmt.Println(errors.Is(err, producer.ErrCancelled), producer.MaybeWritten(err))
	md, err := lamp.Get(ctx)
	fmt.Println("the lamp lies at offset", md.Offset, err)
	// Output:
	// taken back: true
	// true false
	// the lamp lies at offset 0 <nil>
}

// Flush sends what is buffered now, and waits for it. What became of each record is told by its callback or Future.
func ExampleProducer_Flush() {
	kafka := startKafka()
	defer kafka.stop()
	p := kafka.open()
	ctx := context.Background()
	defer func() { _ = p.Close(ctx) }()

	delivered := make(chan bool, 100)
	for range 100 {
		p.Send(ctx, &producer.Record{Topic: "orders"}, func(_ producer.Metadata, err error) { delivered <- err == nil })
	}
	fmt.Println(p.Flush(ctx), len(delivered))
	records, _ := p.Buffered()
	fmt.Println(records, "left")
	// Output:
	// <nil> 100
	// 0 left
}

// Close delivers what is buffered, as long as its context allows. Its error says what was left.
func ExampleProducer_Close() {
	kafka := startKafka()
	defer kafka.stop()
	p := kafka.open()
	ctx := context.Background()
	if _, err := p.PartitionsFor(ctx, "orders"); err != nil {
		fmt.Println(err)
	}
	kafka.Hang(1)
	p.Send(ctx, &producer.Record{Topic: "orders", Partition: producer.PartitionOf(0), Value: []byte("a book")}, nil)

	hurry, cancel := context.WithCancel(ctx)
	cancel() // there is no time at all
	err := p.Close(hurry)
	var left *producer.CloseError
	if errors.As(err, &left) {
		fmt.Println(left.Left, "record left")
	}
	_, err = p.Send(ctx, &producer.Record{Topic: "orders"}, nil).Get(ctx)
	fmt.Println(errors.Is(err, producer.ErrClosed))
	// Output:
	// 1 record left
	// true
}

func ExampleProducer_PartitionsFor() {
	kafka := startKafka()
	defer kafka.stop()
	p := kafka.open()
	ctx := context.Background()
	defer func() { _ = p.Close(ctx) }()

	partitions, err := p.PartitionsFor(ctx, "orders")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, partition := range partitions {
		fmt.Printf("partition %d is led by broker %d, replicas %v\n", partition.Partition, partition.Leader, partition.Replicas)
	}
	// Output:
	// partition 0 is led by broker 1, replicas [1 2 3]
	// partition 1 is led by broker 2, replicas [2 3 1]
}

// An error tells whether the record may be in the log all the same, and whether sending it again can help.
func ExampleMaybeWritten() {
	kafka := startKafka()
	defer kafka.stop()
	p := kafka.open()
	ctx := context.Background()
	defer func() { _ = p.Close(ctx) }()
	if _, err := p.PartitionsFor(ctx, "orders"); err != nil {
		log.Fatal(err)
	}

	_, err := p.Send(ctx, &producer.Record{Topic: "orders", Value: make([]byte, 2_000_000)}, nil).Get(ctx)
	fmt.Println("too large:", producer.MaybeWritten(err), producer.Retriable(err))

	kafka.Hang(1)
	f := p.Send(ctx, &producer.Record{Topic: "orders", Partition: producer.PartitionOf(0)}, nil)
	impatient, cancel := context.WithCancel(ctx)
	cancel()
	_, err = f.Get(impatient)
	fmt.Println("on its way:", producer.MaybeWritten(err), producer.Retriable(err), errors.Is(err, context.Canceled))

	kafka.Unhang(1)
	_, err = f.Get(ctx)
	fmt.Println("delivered:", producer.MaybeWritten(err), err)
	// Output:
	// too large: false false
	// on its way: true false true
	// delivered: false <nil>
}

// A Java producer's properties file works as it is.
func ExampleLoadProperties() {
	kafka := startKafka()
	defer kafka.stop()
	dir, err := os.MkdirTemp("", "samsa")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "producer.properties")
	text := "# the shop's producer\nbootstrap.servers = kafka:9092\nacks = all\nlinger.ms = 20\ncompression.type = lz4\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		fmt.Println(err)
		return
	}

	cfg, err := producer.LoadProperties(file)
	if err != nil {
		fmt.Println(err)
		return
	}
	cfg.Dialer = kafka.Dial
	p, err := producer.New(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cfg.Linger, cfg.Compression, p.Close(context.Background()))
	// Output: 20ms lz4 <nil>
}

// Fast, may lose: no answer is waited for. A broker that dies takes records with it, and nobody is told.
func Example_fastMayLose() {
	kafka := startKafka()
	defer kafka.stop()

	cfg := producer.DefaultConfig("kafka:9092")
	cfg.Acks = producer.AcksNone
	cfg.EnableIdempotence = false
	cfg.Dialer = kafka.Dial
	p, err := producer.New(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	md, err := p.Send(ctx, &producer.Record{Topic: "orders", Value: []byte("a book")}, nil).Get(ctx)
	fmt.Println("handed over, offset", md.Offset, err)
	_ = p.Close(ctx)
	// Output: handed over, offset -1 <nil>
}

// Balanced: the leader's answer is waited for. What its followers had not copied is lost if it dies; rare, but possible.
func Example_balanced() {
	kafka := startKafka()
	defer kafka.stop()

	cfg := producer.DefaultConfig("kafka:9092")
	cfg.Acks = producer.AcksLeader
	cfg.EnableIdempotence = false
	cfg.Dialer = kafka.Dial
	p, err := producer.New(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	kafka.SetISR("orders", 0, 1) // the leader is alone
	md, err := p.Send(ctx, &producer.Record{Topic: "orders", Partition: producer.PartitionOf(0), Value: []byte("a book")}, nil).Get(ctx)
	fmt.Println("written by the leader, offset", md.Offset, err)
	_ = p.Close(ctx)
	// Output: written by the leader, offset 0 <nil>
}

// No loss: the in-sync replicas have the record, and min.insync.replicas=2 on the brokers says how many these are at least.
// When they are too few, the write is refused rather than made unsafely.
func Example_noLoss() {
	kafka := startKafka()
	defer kafka.stop()

	cfg := producer.DefaultConfig("kafka:9092") // acks=all and idempotence are its defaults
	cfg.Retries = 3
	cfg.RetryBackoff = 10 * time.Millisecond
	cfg.Dialer = kafka.Dial
	p, err := producer.New(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	send := func() error {
		_, err := p.Send(ctx, &producer.Record{Topic: "orders", Partition: producer.PartitionOf(0), Value: []byte("a book")}, nil).Get(ctx)
		return err
	}
	fmt.Println("all replicas in sync:", send())

	kafka.SetISR("orders", 0, 1) // two of three are down
	err = send()
	var reason *producer.BrokerError
	fmt.Println("the leader alone:", errors.As(err, &reason), reason.Code.Name(), producer.MaybeWritten(err), producer.Retriable(err))
	_ = p.Close(ctx)
	// Output:
	// all replicas in sync: <nil>
	// the leader alone: true NOT_ENOUGH_REPLICAS false true
}
