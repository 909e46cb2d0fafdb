package client

import (
	"context"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

type kafkaGo struct {
	w        *kafka.Writer
	outcomes Outcomes
	settings []string
	open     sync.WaitGroup
}

func openKafkaGo(cfg Config, outcomes Outcomes) (Client, error) {
	k := &kafkaGo{outcomes: outcomes}
	k.w = &kafka.Writer{
		Addr: kafka.TCP(cfg.Servers...), Topic: cfg.Topic, RequiredAcks: kafka.RequireAll, Async: !cfg.Sync,
		Completion:   k.completed,
		BatchTimeout: tunedLinger, Balancer: &kafka.RoundRobin{},
	}
	k.settings = append(k.settings,
		"RequiredAcks=RequireAll Async=true BatchTimeout=10ms (the default of 1s suits few records); it has no idempotence")
	if cfg.Keyed {
		k.w.Balancer = kafka.Murmur2Balancer{}
		k.settings = append(k.settings, "Balancer=Murmur2Balancer")
	}
	if cfg.Sync {
		k.w.BatchTimeout = time.Millisecond
		k.settings = []string{"RequiredAcks=RequireAll Async=false BatchTimeout=1ms; it has no idempotence"}
	}
	compression, err := codec(cfg.Compression, map[string]kafka.Compression{
		"none": 0, "gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd,
	})
	if err != nil {
		return nil, err
	}
	if k.w.Compression = compression; compression != 0 {
		k.settings = append(k.settings, "Compression="+cfg.Compression)
	}
	if cfg.Tuned {
		k.w.BatchSize, k.w.BatchBytes = 10_000, tunedBatch
		k.settings = append(k.settings, "BatchSize=10000 BatchBytes=1000000")
	}
	return k, nil
}

func (k *kafkaGo) completed(ms []kafka.Message, err error) {
	for i := range ms {
		t, ok := ms[i].WriterData.(ticket)
		if !ok {
			return // the sender waits for it
		}
		k.outcomes.Done(t.i, t.at, err)
		k.open.Done()
	}
}

func (k *kafkaGo) Sender() Sender     { return &kafkaGoSender{kafkaGo: k, one: make([]kafka.Message, 1)} }
func (k *kafkaGo) Settings() []string { return k.settings }
func (k *kafkaGo) Close() error       { return k.w.Close() }

func (k *kafkaGo) Flush(context.Context) error {
	k.open.Wait()
	return nil
}

type kafkaGoSender struct {
	*kafkaGo
	one []kafka.Message
}

func (k *kafkaGoSender) Send(m Message, at int64, i int) {
	k.open.Add(1)
	k.one[0] = kafka.Message{Key: m.Key, Value: m.Value, WriterData: ticket{i, at}}
	if err := k.w.WriteMessages(context.Background(), k.one...); err != nil {
		k.outcomes.Done(i, -1, err)
		k.open.Done()
	}
}

func (k *kafkaGoSender) Wait(ctx context.Context, m Message) error {
	return k.w.WriteMessages(ctx, kafka.Message{Key: m.Key, Value: m.Value})
}
