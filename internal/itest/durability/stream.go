package main

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gosamsa/samsa/internal/itest/realkafka"
	"github.com/gosamsa/samsa/producer"
)

// stream sends numbered records at an even pace until it is finished.
type stream struct {
	ledger
	producer *producer.Producer
	stop     func()
	sender   sync.WaitGroup
}

// start makes a producer and begins to send with it.
func (d *demo) start(ctx context.Context, p profile, topic string) (*stream, error) {
	kafka, err := d.open(ctx, topic, p.configure)
	if err != nil {
		return nil, err
	}
	stopped := make(chan struct{})
	s := &stream{producer: kafka, stop: sync.OnceFunc(func() { close(stopped) })}
	s.sender.Go(func() {
		begin, pace := time.Now(), time.NewTicker(10*time.Millisecond)
		defer pace.Stop()
		for sent := 0; ; {
			select {
			case <-pace.C:
			case <-stopped:
				return
			}
			for due := int(time.Since(begin).Seconds() * float64(d.rate)); sent < due; sent++ {
				s.send(ctx, kafka, topic, d.size)
			}
		}
	})
	return s, nil
}

// finish stops sending and waits until each record has its outcome.
func (s *stream) finish(ctx context.Context) error {
	s.stop()
	s.sender.Wait()
	return end(ctx, s.producer)
}

// send sends the ledger's next record. Its value begins with its number.
func (l *ledger) send(ctx context.Context, kafka *producer.Producer, topic string, size int) {
	number := l.add()
	value := strconv.Itoa(number)
	value += strings.Repeat(" ", max(0, size-len(value)))
	kafka.Send(ctx, &producer.Record{Topic: topic, Value: []byte(value)},
		func(_ producer.RecordMetadata, err error) { l.tell(number, err) })
}

// numbers returns the numbers of the read records, or -1 for a record without one.
func numbers(records []realkafka.Record) []int {
	read := make([]int, 0, len(records))
	for _, r := range records {
		number, err := strconv.Atoi(strings.TrimRight(string(r.Value), " "))
		if err != nil {
			number = -1
		}
		read = append(read, number)
	}
	return read
}
