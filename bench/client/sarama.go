package client

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/IBM/sarama"
)

type saramaClient struct {
	async    sarama.AsyncProducer
	sync     sarama.SyncProducer
	topic    string
	outcomes Outcomes
	settings []string

	open    sync.WaitGroup // records without an outcome
	reading sync.WaitGroup
}

// ticket is a message's companion on the way to its outcome.
type ticket struct {
	i  int
	at int64
}

func openSarama(cfg Config, outcomes Outcomes) (Client, error) {
	s := &saramaClient{topic: cfg.Topic, outcomes: outcomes}
	c := sarama.NewConfig()
	c.Version = sarama.V4_0_0_0
	c.Producer.RequiredAcks, c.Producer.Idempotent, c.Net.MaxOpenRequests = sarama.WaitForAll, true, 1
	c.Producer.Return.Successes, c.Producer.Return.Errors = true, true
	s.settings = append(s.settings, "RequiredAcks=WaitForAll Idempotent=true Net.MaxOpenRequests=1 (sarama requires 1)")
	compression, err := codec(cfg.Compression, map[string]sarama.CompressionCodec{
		"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
		"lz4":  sarama.CompressionLZ4,
		"zstd": sarama.CompressionZSTD,
	})
	if err != nil {
		return nil, err
	}
	if c.Producer.Compression = compression; compression != sarama.CompressionNone {
		s.settings = append(s.settings, "Compression="+cfg.Compression)
	}
	if cfg.Tuned {
		c.Producer.Flush.Bytes, c.Producer.Flush.Frequency, c.ChannelBufferSize = tunedBatch, tunedLinger, 4096
		s.settings = append(s.settings, "Flush.Bytes=1000000 Flush.Frequency=10ms ChannelBufferSize=4096")
	}
	if cfg.Sync {
		s.sync, err = sarama.NewSyncProducer(cfg.Servers, c)
		return s, err
	}
	if s.async, err = sarama.NewAsyncProducer(cfg.Servers, c); err != nil {
		return nil, err
	}
	s.reading.Go(func() {
		for m := range s.async.Successes() {
			s.done(m, nil)
		}
	})
	s.reading.Go(func() {
		for e := range s.async.Errors() {
			s.done(e.Msg, e.Err)
		}
	})
	return s, nil
}

func (s *saramaClient) done(m *sarama.ProducerMessage, err error) {
	t := m.Metadata.(ticket)
	s.outcomes.Done(t.i, t.at, err)
	s.open.Done()
}

func (s *saramaClient) Sender() Sender     { return s }
func (s *saramaClient) Settings() []string { return []string{strings.Join(s.settings, " ")} }

func (s *saramaClient) Flush(context.Context) error {
	s.open.Wait()
	return nil
}

func (s *saramaClient) Close() error {
	if s.sync != nil {
		return s.sync.Close()
	}
	s.async.AsyncClose()
	s.reading.Wait()
	return nil
}

func (s *saramaClient) message(m Message) *sarama.ProducerMessage {
	p := &sarama.ProducerMessage{Topic: s.topic, Value: sarama.ByteEncoder(m.Value)}
	if m.Key != nil {
		p.Key = sarama.ByteEncoder(m.Key)
	}
	return p
}

func (s *saramaClient) Send(m Message, at int64, i int) {
	p := s.message(m)
	p.Metadata = ticket{i, at}
	s.open.Add(1)
	s.async.Input() <- p
}

func (s *saramaClient) Wait(_ context.Context, m Message) error {
	if s.sync == nil {
		return errors.New("sarama was opened for asynchronous sending")
	}
	_, _, err := s.sync.SendMessage(s.message(m))
	return err
}
