package chaos

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gosamsa/samsa/compress"
	"github.com/gosamsa/samsa/producer"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Client is a producer under test.
type Client interface {
	// Send hands a record over. The client calls told with each outcome of it; there should be one. Send returns a
	// function to wait for the outcome of the client's future, or nil if the client has no futures.
	Send(ctx context.Context, topic string, key, value []byte,
		told func(Outcome)) (future func(context.Context) Outcome)
	// Close delivers the buffered records.
	Close(ctx context.Context) error
}

// ClientOptions are the options of both clients. The zero value of each is the client's own default.
type ClientOptions struct {
	// Compression is a codec's name: none, gzip, snappy, lz4 or zstd. Empty is none, for both clients.
	Compression string
	// DeliveryTimeout bounds a record's delivery, and RequestTimeout one request.
	DeliveryTimeout, RequestTimeout time.Duration
	// Logger gets Samsa's log.
	Logger *slog.Logger
}

// The clients' names.
const (
	Samsa = "samsa"
	Franz = "franz"
)

// NewClient makes a client by name. The client reaches the brokers through net.
func NewClient(name string, brokers []string, network *Net, o ClientOptions) (Client, error) {
	switch name {
	case Samsa:
		return newSamsa(brokers, network, o)
	case Franz:
		return newFranz(brokers, network, o)
	}
	return nil, fmt.Errorf("there is no client %q: samsa or franz", name)
}

// samsaClient is Samsa with acks=all and idempotence, as by default.
type samsaClient struct{ p *producer.Producer }

func newSamsa(brokers []string, network *Net, o ClientOptions) (Client, error) {
	cfg, err := samsaConfig(brokers, network, o)
	if err != nil {
		return nil, err
	}
	p, err := producer.New(cfg)
	return samsaClient{p}, err
}

func samsaConfig(brokers []string, network *Net, o ClientOptions) (producer.Config, error) {
	cfg := producer.DefaultConfig(brokers...)
	cfg.Dialer, cfg.Logger = network.Dial, o.Logger
	if o.Compression != "" {
		codec, err := compress.ParseCodec(o.Compression)
		if err != nil {
			return cfg, err
		}
		cfg.Compression = codec
	}
	if o.DeliveryTimeout > 0 {
		cfg.DeliveryTimeout = o.DeliveryTimeout
	}
	if o.RequestTimeout > 0 {
		cfg.RequestTimeout = o.RequestTimeout
	}
	return cfg, nil
}

func (c samsaClient) Send(ctx context.Context, topic string, key, value []byte,
	told func(Outcome)) func(context.Context) Outcome {
	f := c.p.Send(ctx, &producer.Record{Topic: topic, Key: key, Value: value},
		func(m producer.RecordMetadata, err error) { told(samsaOutcome(m, err)) })
	return func(ctx context.Context) Outcome { return samsaOutcome(f.Get(ctx)) }
}

func samsaOutcome(m producer.RecordMetadata, err error) Outcome {
	switch {
	case err == nil:
		return Outcome{Fate: Acked, Partition: m.Partition, Offset: m.Offset}
	case producer.MaybeWritten(err):
		return Outcome{Fate: Maybe, Err: err.Error()}
	default:
		return Outcome{Fate: NotWritten, Err: err.Error()}
	}
}

func (c samsaClient) Close(ctx context.Context) error { return c.p.Close(ctx) }

// franzClient is franz-go with its defaults: acks=all and idempotence as well, and no bound on a record's delivery.
type franzClient struct{ c *kgo.Client }

var franzCodecs = map[string]kgo.CompressionCodec{
	"": kgo.NoCompression(), "none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

func newFranz(brokers []string, network *Net, o ClientOptions) (Client, error) {
	codec, ok := franzCodecs[o.Compression]
	if !ok {
		return nil, fmt.Errorf("there is no codec %q", o.Compression)
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(brokers...), kgo.Dialer(network.Dial), kgo.ProducerBatchCompression(codec),
		kgo.ProducerLinger(5 * time.Millisecond), // as Samsa
	}
	if o.DeliveryTimeout > 0 {
		opts = append(opts, kgo.RecordDeliveryTimeout(o.DeliveryTimeout))
	}
	if o.RequestTimeout > 0 {
		// A request's bound is the broker's time and the client's addition to it.
		opts = append(opts, kgo.ProduceRequestTimeout(o.RequestTimeout/2),
			kgo.RequestTimeoutOverhead(o.RequestTimeout/2))
	}
	c, err := kgo.NewClient(opts...)
	return franzClient{c}, err
}

func (c franzClient) Send(ctx context.Context, topic string, key, value []byte,
	told func(Outcome)) func(context.Context) Outcome {
	c.c.Produce(ctx, &kgo.Record{Topic: topic, Key: key, Value: value}, func(r *kgo.Record, err error) {
		if err != nil {
			told(Outcome{Fate: Maybe, Err: err.Error()})
			return
		}
		told(Outcome{Fate: Acked, Partition: r.Partition, Offset: r.Offset})
	})
	return nil
}

func (c franzClient) Close(ctx context.Context) error {
	err := c.c.Flush(ctx)
	c.c.Close()
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}
