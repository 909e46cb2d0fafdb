package client

import (
	"context"
	"fmt"

	"github.com/gosamsa/samsa/producer"
)

type samsa struct {
	p        *producer.Producer
	topic    string
	outcomes Outcomes
	settings []string
}

func openSamsa(cfg Config, outcomes Outcomes) (Client, error) {
	c := producer.DefaultConfig(cfg.Servers...)
	s := &samsa{topic: cfg.Topic, outcomes: outcomes}
	set := func(format string, args ...any) { s.settings = append(s.settings, fmt.Sprintf(format, args...)) }
	compression, err := codec(cfg.Compression, map[string]producer.Compression{
		"none": producer.CompressionNone, "gzip": producer.CompressionGzip, "snappy": producer.CompressionSnappy,
		"lz4": producer.CompressionLZ4, "zstd": producer.CompressionZstd,
	})
	if err != nil {
		return nil, err
	}
	if c.Compression = compression; compression != producer.CompressionNone {
		set("compression.type=%s", cfg.Compression)
	}
	if cfg.Tuned {
		c.BatchSize, c.Linger, c.MaxRequestSize, c.MaxInFlight = tunedBatch, tunedLinger, 16<<20, 2
		set("batch.size=%d linger.ms=%d max.request.size=%d", c.BatchSize, c.Linger.Milliseconds(), c.MaxRequestSize)
		set("max.in.flight.requests.per.connection=%d", c.MaxInFlight)
	}
	if cfg.Batch > 0 {
		c.BatchSize, c.MaxRequestSize = cfg.Batch, max(c.MaxRequestSize, cfg.Batch)
		set("batch.size=%d", cfg.Batch)
	}
	s.p, err = producer.New(c)
	return s, err
}

func (s *samsa) Settings() []string              { return s.settings }
func (s *samsa) Flush(ctx context.Context) error { return s.p.Flush(ctx) }
func (s *samsa) Close() error                    { return s.p.Close(context.Background()) }

func (s *samsa) Sender() Sender {
	g := &samsaSender{samsa: s, record: producer.Record{Topic: s.topic}}
	g.shared = func(_ producer.RecordMetadata, err error) { s.outcomes.Done(0, -1, err) }
	return g
}

// samsaSender uses one record again and again, as the producer allows.
type samsaSender struct {
	*samsa
	record  producer.Record
	records []producer.Record
	futures []producer.Future
	shared  producer.Callback
}

func (s *samsaSender) Send(m Message, at int64, i int) {
	s.record.Key, s.record.Value = m.Key, m.Value
	if m.Topic != "" {
		s.record.Topic = m.Topic
	}
	if m.Partition > 0 {
		s.record.Partition = producer.InPartition(m.Partition - 1)
	}
	callback := s.shared
	if at >= 0 {
		callback = func(_ producer.RecordMetadata, err error) { s.outcomes.Done(i, at, err) }
	}
	s.p.Send(context.Background(), &s.record, callback)
}

func (s *samsaSender) Wait(ctx context.Context, m Message) error {
	s.record.Key, s.record.Value = m.Key, m.Value
	_, err := s.p.Send(ctx, &s.record, nil).Get(ctx)
	return err
}

func (s *samsaSender) SendSlice(ms []Message, at int64, first int) {
	for len(s.records) < len(ms) {
		s.records = append(s.records, producer.Record{Topic: s.topic})
	}
	for k, m := range ms {
		s.records[k].Key, s.records[k].Value = m.Key, m.Value
	}
	s.futures = s.p.SendAllFunc(context.Background(), s.records[:len(ms)],
		func(i int, _ producer.RecordMetadata, err error) {
			s.outcomes.Done(first+i, at, err)
		}, s.futures[:0])
}
