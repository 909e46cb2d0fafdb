package client

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

type franz struct {
	c        *kgo.Client
	outcomes Outcomes
	settings []string
}

func openFranz(cfg Config, outcomes Outcomes) (Client, error) {
	f := &franz{outcomes: outcomes}
	set := func(name string) { f.settings = append(f.settings, name) }
	compression, err := codec(cfg.Compression, map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4":  kgo.Lz4Compression(),
		"zstd": kgo.ZstdCompression(),
	})
	if err != nil {
		return nil, err
	}
	options := []kgo.Opt{kgo.SeedBrokers(cfg.Servers...), kgo.DefaultProduceTopic(cfg.Topic),
		kgo.ProducerBatchCompression(compression)}
	set("ProducerBatchCompression(" + cfg.Compression + ")")
	if cfg.Tuned {
		// Its own advice for throughput: linger, and enough buffered records to fill the batches while others are in
		// flight.
		options = append(options, kgo.ProducerLinger(tunedLinger), kgo.MaxBufferedRecords(1_000_000),
			kgo.MaxBufferedBytes(32<<20))
		set("ProducerLinger(10ms) MaxBufferedRecords(1000000) MaxBufferedBytes(32MiB)")
	}
	if cfg.Placed {
		options = append(options, kgo.RecordPartitioner(kgo.ManualPartitioner()))
		set("RecordPartitioner(ManualPartitioner)")
	}
	if cfg.Batch > 0 {
		options = append(options, kgo.ProducerBatchMaxBytes(int32(cfg.Batch)))
		set(fmt.Sprintf("ProducerBatchMaxBytes(%d)", cfg.Batch))
	}
	f.c, err = kgo.NewClient(options...)
	return f, err
}

func (f *franz) Sender() Sender                  { return f }
func (f *franz) Settings() []string              { return f.settings }
func (f *franz) Flush(ctx context.Context) error { return f.c.Flush(ctx) }

func (f *franz) Close() error {
	f.c.Close()
	return nil
}

func (f *franz) Send(m Message, at int64, i int) {
	f.c.Produce(context.Background(), &kgo.Record{Key: m.Key, Value: m.Value, Topic: m.Topic,
		Partition: max(m.Partition-1, 0)}, func(_ *kgo.Record, err error) {
		f.outcomes.Done(i, at, err)
	})
}

func (f *franz) Wait(ctx context.Context, m Message) error {
	return f.c.ProduceSync(ctx, &kgo.Record{Key: m.Key, Value: m.Value}).FirstErr()
}
