// Package client has one small adapter for each Kafka client that is measured, so that all run the same workloads. Each is
// configured as its own documentation advises; Settings says how.
package client

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Config is what a workload asks of a client.
type Config struct {
	Servers     []string `json:"servers"`
	Topic       string   `json:"topic"`
	Partitions  int      `json:"partitions"`  // that the topic has
	Compression string   `json:"compression"` // none, gzip, snappy, lz4 or zstd
	Tuned       bool     `json:"tuned"`       // for throughput, instead of the client's own defaults
	Sync        bool     `json:"sync"`        // each record is waited for
	Goroutines  int      `json:"goroutines"`  // that send
	Keyed       bool     `json:"keyed"`       // records have keys, which choose the partition
	Batch       int      `json:"batch"`       // batch.size, where the workload sets it for all; else 0
	Placed      bool     `json:"placed"`      // messages name their partition
}

// Message is a record that is sent. Nobody changes its bytes.
type Message struct {
	Key, Value []byte
	Topic      string // if it is not Config.Topic
	Partition  int32  // from 1 on; 0 leaves the choice to the client
}

// Client is a client under measurement. Done is called once for each record that Send was given, from any goroutine.
type Client interface {
	// Sender returns what one goroutine sends with.
	Sender() Sender
	// Flush waits until each record that was sent is done.
	Flush(ctx context.Context) error
	// Close ends the client.
	Close() error
	// Settings are those that differ from the client's defaults, in its own words.
	Settings() []string
}

// Sender sends for one goroutine.
type Sender interface {
	// Send hands a record over, and lets outcomes know when it is acknowledged. It waits where the client's buffer is full.
	Send(m Message, at int64, i int)
	// Wait sends a record and returns when it is acknowledged.
	Wait(ctx context.Context, m Message) error
}

// SliceSender sends many records in one call.
type SliceSender interface {
	SendSlice(ms []Message, at int64, first int)
}

// Outcomes is told what becomes of the records that were sent.
type Outcomes interface {
	// Done is told that record i, which was handed over at a time of [Now], has its outcome. Of one with a negative time only err counts.
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

// The order is that of the tables.
var openers = []opener{
	{"samsa", "github.com/gosamsa/samsa", openSamsa},
	{"franz-go", "github.com/twmb/franz-go", openFranz},
	{"sarama", "github.com/IBM/sarama", openSarama},
	{"kafka-go", "github.com/segmentio/kafka-go", openKafkaGo},
	{"confluent-kafka-go", "github.com/confluentinc/confluent-kafka-go/v2", openConfluent},
	{"floor", "", openFloor},
}

// Names are the clients that there are.
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
