package producer_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/gosamsa/samsa/producer"
)

func ExampleDefaultConfig() {
	cfg := producer.DefaultConfig("kafka-1:9092", "kafka-2:9092")
	cfg.ClientID = "orders"
	cfg.Linger = 10 * time.Millisecond
	cfg.Compression = producer.CompressionZstd
	fmt.Println(cfg.Validate(), cfg.Acks, cfg.EnableIdempotence)
	// Output: <nil> all true
}

func ExampleClassicConfig() {
	cfg := producer.ClassicConfig("kafka-1:9092")
	fmt.Println(cfg.Acks, cfg.Retries, cfg.Linger, cfg.EnableIdempotence)
	// Output: 1 0 0s false
}

// New finds contradictory fields before anything is sent, and reports every problem.
func ExampleConfig_Validate() {
	cfg := producer.DefaultConfig("kafka-1")
	cfg.Acks = producer.AcksLeader
	fmt.Println(cfg.Validate())
	// Output:
	// samsa: bootstrap.servers (Config.BootstrapServers) = "kafka-1": not host:port, such as localhost:9092
	// enable.idempotence (Config.EnableIdempotence) = "true": needs Acks (acks) to be AcksAll (all), but it is 1; set Acks so, or EnableIdempotence to false
}

// A Java producer's properties work as they are, as far as they mean something here.
func ExampleParseProperties() {
	cfg, err := producer.ParseProperties(map[string]string{
		"bootstrap.servers": "kafka-1:9092,kafka-2:9092",
		"acks":              "1",
		"key.serializer":    "org.apache.kafka.common.serialization.StringSerializer",
	})
	fmt.Println(cfg.BootstrapServers, cfg.Acks, err)
	for _, notice := range cfg.Warnings() {
		fmt.Println(notice)
	}

	_, err = producer.ParseProperties(map[string]string{"linger": "5"})
	var problem *producer.ConfigError
	fmt.Println(errors.As(err, &problem), err)
	// Output:
	// [kafka-1:9092 kafka-2:9092] 1 <nil>
	// enable.idempotence was not written and is now false: its default true needs Acks (acks) to be AcksAll (all), but it is 1
	// these Java properties mean nothing here and are passed over: key.serializer
	// true samsa: linger: unknown property; the nearest known name is linger.ms
}

// byRegion sends records of a region to the region's own partition, and others by their key.
type byRegion map[string]int32

func (b byRegion) Partition(r *producer.Record, topic producer.TopicView) int32 {
	for _, h := range r.Headers {
		if p, ok := b[string(h.Value)]; ok && h.Key == "region" && p < topic.Partitions() {
			return p
		}
	}
	return producer.PartitionForKey(r.Key, topic.Partitions())
}

func ExamplePartitioner() {
	cfg := producer.DefaultConfig("kafka-1:9092")
	cfg.Partitioner = byRegion{"eu": 0, "us": 1}
	fmt.Println(cfg.Validate())
	// Output: <nil>
}
