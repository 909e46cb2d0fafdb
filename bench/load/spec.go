// Package load runs one workload with one client and measures it: rate, processor time, allocations and latency of this
// process. Each measurement is made in a process of its own, so clients do not share a heap.
package load

import (
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/gosamsa/samsa/bench/client"
)

// Mode is how records are sent.
type Mode string

// The modes.
const (
	Async Mode = "async" // Send with a closure and a clock reading for each record
	Plain Mode = "plain" // Send with one callback for all and no clock: the client's own cost
	Sync  Mode = "sync"  // each goroutine waits for each of its records
	Slice Mode = "slice" // 100 records a call
	Open  Mode = "open"  // records at a steady rate, timed from when they were due
	Full  Mode = "full"  // more than fits into the client's buffer, to a broker without reads: only memory is measured

	Topics  Mode = "topics"  // a record to each of 1,000 new topics, when Known others are known
	Each    Mode = "each"    // the first record to each partition
	Moves   Mode = "moves"   // records to partitions, all in use, with a move of the leader before each
	Blocked Mode = "blocked" // waiting goroutines that give up on a full buffer, with a broker without reads
)

// Spec is one measurement.
type Spec struct {
	Client     string  `json:"client"`
	Mode       Mode    `json:"mode"`
	Size       int     `json:"size"`       // bytes of a value
	Keys       int     `json:"keys"`       // how many keys there are; 0 is none
	Goroutines int     `json:"goroutines"` // sending ones
	Partitions int     `json:"partitions"`
	Codec      string  `json:"codec"`
	Tuned      bool    `json:"tuned"` // for throughput, instead of with each client's defaults
	Batch      int     `json:"batch"` // batch.size for all clients with one, or 0
	Rate       int     `json:"rate"`  // records a second of Open
	Seconds    float64 `json:"seconds"`
	Warm       float64 `json:"warm"`              // seconds of sending before the measurement
	Known      int     `json:"known,omitempty"`   // topics with records before, of Topics
	Waiting    int     `json:"waiting,omitempty"` // goroutines of Blocked
	Brokers    int     `json:"brokers,omitempty"` // leading the partitions, for the discarding broker; 0 is one

	Profile string `json:"profile,omitempty"` // file for the processor's profile of the measurement

	Servers []string `json:"servers"`
	Topic   string   `json:"topic"`
}

func (s Spec) config() client.Config {
	return client.Config{
		Servers: s.Servers, Topic: s.Topic, Partitions: s.Partitions, Compression: s.Codec, Tuned: s.Tuned,
		Sync:       s.Mode == Sync,
		Goroutines: s.Goroutines, Keyed: s.Keys > 0, Batch: s.Batch, Placed: s.Mode == Each || s.Mode == Moves,
	}
}

// Result is the result of a measurement.
type Result struct {
	Client  string   `json:"client"`
	Records int64    `json:"records"`
	Total   int64    `json:"total"`   // records with those before the measurement
	Seconds float64  `json:"seconds"` // until the last outcome
	Rate    float64  `json:"rate"`    // records a second
	CPU     float64  `json:"cpu"`     // user and system time of the process, ns a record
	Allocs  float64  `json:"allocs"`  // a record
	Alloced float64  `json:"alloced"` // bytes a record
	P50     float64  `json:"p50"`     // ns until the acknowledgement
	P99     float64  `json:"p99"`
	P999    float64  `json:"p999"`
	RSS     int64    `json:"rss"` // the process's peak memory in bytes
	Failed  int64    `json:"failed"`
	Failure string   `json:"failure,omitempty"`
	Setting []string `json:"settings"`

	// The broker's counts, filled in by the broker's caller.
	Wire     float64 `json:"wire,omitempty"`     // bytes of batches a record
	PerBatch float64 `json:"perBatch,omitempty"` // records a batch
}

// Rounded returns r with no more digits than a measurement is worth, to keep the stored form short.
func (r Result) Rounded() Result {
	for _, v := range []*float64{&r.Seconds, &r.Rate, &r.CPU, &r.Allocs, &r.Alloced, &r.P50, &r.P99, &r.P999, &r.Wire,
		&r.PerBatch} {
		*v, _ = strconv.ParseFloat(strconv.FormatFloat(*v, 'g', 5, 64), 64)
	}
	return r
}

// The same values for all clients: JSON-like text, as compressible as usual events and orders.
const seed = 20261125

// messages makes the records of a workload. There are enough different values to keep every codec from seeing one twice
// in a batch of usual size.
func messages(s Spec) []client.Message {
	rng := rand.New(rand.NewPCG(seed, uint64(s.Size)))
	n := max(4096, s.Keys)
	values := make([][]byte, 4096)
	for i := range values {
		values[i] = value(rng, s.Size)
	}
	ms := make([]client.Message, n)
	for i := range ms {
		ms[i].Value = values[i%len(values)]
		if s.Keys > 0 {
			ms[i].Key = fmt.Appendf(nil, "user-%d", rng.IntN(s.Keys))
		}
	}
	return ms
}

// Payload is the values of a workload, one a line.
func Payload(s Spec) (text []byte) {
	for _, m := range messages(s) {
		text = append(append(text, m.Value...), '\n')
	}
	return text
}

var (
	fields = []string{"id", "user", "amount", "currency", "status", "created_at", "note", "items", "country", "device",
		"session", "price"}
	words = []string{"pending", "paid", "shipped", "EUR", "USD", "web", "ios", "android", "DE", "FR", "US", "gift",
		"express", "standard"}
)

// value makes a JSON-like text of so many bytes.
func value(rng *rand.Rand, size int) []byte {
	b := make([]byte, 0, size+64)
	b = append(b, '{')
	for len(b) < size {
		b = fmt.Appendf(b, "%q:", fields[rng.IntN(len(fields))])
		switch rng.IntN(3) {
		case 0:
			b = fmt.Appendf(b, "%d,", rng.IntN(1_000_000_000))
		case 1:
			b = fmt.Appendf(b, "%q,", words[rng.IntN(len(words))])
		default:
			b = fmt.Appendf(b, "\"%x\",", rng.Uint32())
		}
	}
	b = b[:max(size, 1)]
	b[len(b)-1] = '}'
	return b
}
