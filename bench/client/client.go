// Package client has one small adapter for each measured Kafka client, so all run the same workloads. Each is
// configured as its own documentation advises; Settings says how.
package client

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Config holds a workload's demands on a client.
type Config struct {
	Servers     []string `json:"servers"`
	Topic       string   `json:"topic"`
	Partitions  int      `json:"partitions"`  // of the topic
	Compression string   `json:"compression"` // none, gzip, snappy, lz4 or zstd
	Tuned       bool     `json:"tuned"`       // for throughput, instead of the client's own defaults
	Sync        bool     `json:"sync"`        // each record is waited for
	Goroutines  int      `json:"goroutines"`  // sending ones
	Keyed       bool     `json:"keyed"`       // records have keys, and the keys choose the partition
	Batch       int      `json:"batch"`       // batch.size, if the workload sets it for all; else 0
	Placed      bool     `json:"placed"`      // messages name their partition
}

// Message is a record to send. Its bytes stay unchanged.
type Message struct {
	Key, Value []byte
	Topic      string // if it is not Config.Topic
	Partition  int32  // from 1 on; 0 leaves the choice to the client
}

// Client is a client under measurement. The client calls Done once for each record given to Send, from any goroutine.
type Client interface {
	// Sender returns the sender of one goroutine.
	Sender() Sender
	// Flush waits until each sent record is done.
	Flush(ctx context.Context) error
	// Close ends the client.
	Close() error
	// Settings are the deviations from the client's defaults, in its own words.
	Settings() []string
}

// Sender sends for one goroutine.
type Sender interface {
	// Send hands a record over, and lets outcomes know when it is acknowledged. It waits while the client's buffer is
	// full.
	Send(m Message, at int64, i int)
	// Wait sends a record and returns when it is acknowledged.
	Wait(ctx context.Context, m Message) error
}

// SliceSender sends many records in one call.
type SliceSender interface {
	SendSlice(ms []Message, at int64, first int)
}

// Outcomes receives the outcomes of the sent records.
type Outcomes interface {
	// Done receives the outcome of record i, handed over at a time of [Now]. With a negative time only err counts.
	Done(i int, at int64, err error)
}

// codec returns a client's own value for a codec.
func codec[T any](name string, all map[string]T) (T, error) {
	c, ok := all[name]
	if !ok {
		return c, fmt.Errorf("compression %q", name)
	}
	return c, nil
}

var start = time.Now()

// Now is a time in nanoseconds since the program began.
func Now() int64 { return int64(time.Since(start)) }

// opener makes a client.
type opener struct {
	name, module string
	open         func(cfg Config, outcomes Outcomes) (Client, error)
}

// The order is the tables' order.
var openers = []opener{
	{"samsa", "github.com/gosamsa/samsa", openSamsa},
	{"franz-go", "github.com/twmb/franz-go", openFranz},
	{"sarama", "github.com/IBM/sarama", openSarama},
	{"kafka-go", "github.com/segmentio/kafka-go", openKafkaGo},
	{"confluent-kafka-go", "github.com/confluentinc/confluent-kafka-go/v2", openConfluent},
	{"floor", "", openFloor},
}

// Names are the names of all clients.
func Names() (names []string) {
	for _, o := range openers {
		if o.open != nil {
			names = append(names, o.name)
		}
	}
	return names
}

// Libraries are the clients without the floor.
func Libraries() []string {
	return slices.DeleteFunc(Names(), func(name string) bool { return name == "floor" })
}

// Module returns the module path of a client, or "".
func Module(name string) string {
	for _, o := range openers {
		if o.name == name {
			return o.module
		}
	}
	return ""
}

// Open makes a client by its name.
func Open(name string, cfg Config, outcomes Outcomes) (Client, error) {
	i := slices.IndexFunc(openers, func(o opener) bool { return o.name == name })
	switch {
	case i < 0:
		return nil, fmt.Errorf("no client is named %q; there are %v", name, Names())
	case openers[i].open == nil:
		return nil, fmt.Errorf("%s needs cgo", name)
	}
	return openers[i].open(cfg, outcomes)
}

const (
	tunedBatch  = 1_000_000
	tunedLinger = 10 * time.Millisecond
)
