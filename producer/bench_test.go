package producer_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/producer"
)

// toSink is a producer on a sink with immediate answers.
func toSink(b *testing.B, change func(*producer.Config)) *producer.Producer {
	b.Helper()
	cfg := producer.DefaultConfig("sink:9092")
	cfg.Dialer = new(sink).dial
	if change != nil {
		change(&cfg)
	}
	p, err := producer.New(cfg)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, p.Close(context.Background())) })
	_, err = p.Send(b.Context(), &producer.Record{Topic: "t"}, nil).Get(b.Context())
	require.NoError(b, err)
	return p
}

// BenchmarkSend measures one goroutine that sends without waiting for outcomes. The result includes the work for a
// record until its acknowledgement, because a full buffer makes Send wait.
func BenchmarkSend(b *testing.B) {
	callback := func(producer.RecordMetadata, error) {}
	headers := []producer.Header{{Key: "trace", Value: make([]byte, 16)}, {Key: "tenant", Value: []byte("blue")}}
	for _, c := range []struct {
		name     string
		record   producer.Record
		callback producer.Callback
		change   func(*producer.Config)
	}{
		{"value=100", producer.Record{Value: make([]byte, 100)}, nil, nil},
		{"value=1000", producer.Record{Value: make([]byte, 1000)}, nil, nil},
		{"key=10,value=100", producer.Record{Key: make([]byte, 10), Value: make([]byte, 100)}, nil, nil},
		{"value=100,headers=2", producer.Record{Value: make([]byte, 100), Headers: headers}, nil, nil},
		{"value=100,callback", producer.Record{Value: make([]byte, 100)}, callback, nil},
		{"value=100,1MB", producer.Record{Value: make([]byte, 100)}, nil,
			func(cfg *producer.Config) { cfg.BatchSize = 1_000_000 }},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := toSink(b, c.change)
			r := c.record
			r.Topic = "t"
			b.SetBytes(int64(len(r.Key) + len(r.Value)))
			b.ReportAllocs()
			for b.Loop() {
				p.Send(b.Context(), &r, c.callback)
			}
		})
	}
}

// BenchmarkSendParallel measures one goroutine for each processor; all goroutines send to the same partition.
func BenchmarkSendParallel(b *testing.B) {
	p := toSink(b, nil)
	b.SetBytes(100)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := &producer.Record{Topic: "t", Value: make([]byte, 100)}
		for pb.Next() {
			p.Send(b.Context(), r, nil)
		}
	})
}

// BenchmarkSendAll measures SendAll with a hundred records.
func BenchmarkSendAll(b *testing.B) {
	p := toSink(b, nil)
	records, futures := make([]producer.Record, 100), make([]producer.Future, 0, 100)
	for i := range records {
		records[i] = producer.Record{Topic: "t", Value: make([]byte, 100)}
	}
	b.SetBytes(int64(100 * len(records)))
	b.ReportAllocs()
	for b.Loop() {
		futures = p.SendAllFunc(b.Context(), records, nil, futures[:0])
	}
}

// BenchmarkSendAndGet waits for each record's outcome: it measures a synchronous send without the network.
func BenchmarkSendAndGet(b *testing.B) {
	p := toSink(b, nil)
	r := &producer.Record{Topic: "t", Key: make([]byte, 10), Value: make([]byte, 100)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Send(b.Context(), r, nil).Get(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
