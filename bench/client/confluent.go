//go:build cgo

package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

type confluent struct {
	p        *kafka.Producer
	topic    string
	outcomes Outcomes
	settings []string
	reading  sync.WaitGroup
	open     sync.WaitGroup // records without an outcome: its own Flush does not wait for the reader of the events
}

func openConfluent(cfg Config, outcomes Outcomes) (Client, error) {
	c := &confluent{topic: cfg.Topic, outcomes: outcomes}
	settings := kafka.ConfigMap{"enable.idempotence": true, "compression.type": cfg.Compression}
	if cfg.Tuned {
		settings["linger.ms"], settings["batch.size"], settings["batch.num.messages"] = 10, tunedBatch, 100_000
		settings["queue.buffering.max.messages"], settings["queue.buffering.max.kbytes"] = 1_000_000, 32<<10
	}
	for key, value := range settings {
		c.settings = append(c.settings, fmt.Sprintf("%s=%v", key, value))
	}
	slices.Sort(c.settings)
	settings["bootstrap.servers"] = strings.Join(cfg.Servers, ",")
	var err error
	if c.p, err = kafka.NewProducer(&settings); err != nil {
		return nil, err
	}
	c.reading.Go(func() {
		for e := range c.p.Events() {
			if m, ok := e.(*kafka.Message); ok {
				c.done(m)
			}
		}
	})
	return c, nil
}

func (c *confluent) done(m *kafka.Message) {
	t := m.Opaque.(ticket)
	c.outcomes.Done(t.i, t.at, m.TopicPartition.Error)
	c.open.Done()
}

func (c *confluent) Sender() Sender     { return c }
func (c *confluent) Settings() []string { return []string{strings.Join(c.settings, " ")} }

func (c *confluent) Flush(context.Context) error {
	for c.p.Flush(1000) > 0 {
	}
	c.open.Wait()
	return nil
}

func (c *confluent) Close() error {
	c.p.Close()
	c.reading.Wait()
	return nil
}

func (c *confluent) message(m Message) *kafka.Message {
	return &kafka.Message{TopicPartition: kafka.TopicPartition{Topic: &c.topic, Partition: kafka.PartitionAny},
		Key: m.Key, Value: m.Value}
}

func (c *confluent) Send(m Message, at int64, i int) {
	message := c.message(m)
	message.Opaque = ticket{i, at}
	c.open.Add(1)
	for {
		err := c.p.Produce(message, nil)
		var full kafka.Error
		if errors.As(err, &full) && full.Code() == kafka.ErrQueueFull {
			c.p.Flush(1) // its documentation's way to wait for room
			continue
		}
		if err != nil {
			c.outcomes.Done(i, -1, err)
			c.open.Done()
		}
		return
	}
}

func (c *confluent) Wait(_ context.Context, m Message) error {
	told := make(chan kafka.Event, 1)
	if err := c.p.Produce(c.message(m), told); err != nil {
		return err
	}
	if e, ok := (<-told).(*kafka.Message); ok {
		return e.TopicPartition.Error
	}
	return errors.New("it was told something else")
}
