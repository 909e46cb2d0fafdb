package producer_test

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/running"
	"github.com/gosamsa/samsa/producer"
)

var soakHours = flag.Int("soak-hours", 8, "virtual hours of the soak")

// TestASoakStaysFlat is a service that writes to 1,000 new topics an hour, in virtual time, while brokers come and go,
// callbacks and a logger hang for a while, and records are canceled. After the first hours nothing may grow: heap,
// goroutines, the account, the work of a send. A month takes some minutes:
//
//	go test ./producer -run Soak -args -soak-hours 720
func TestASoakStaysFlat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSoak(t)
		for range 3 {
			s.hour()
		}
		first := s.measure()
		for range *soakHours {
			s.hour()
		}
		last := s.measure()
		t.Logf("first %+v, last %+v", first, last)
		require.Less(t, last.heap, first.heap*1.25+(1<<20), "bytes of the heap")
		require.LessOrEqual(t, last.goroutines, first.goroutines+2)
		require.Less(t, last.sending, first.sending*2, "bytes that a send allocates, with new buffers or old ones")
		require.LessOrEqual(t, last.woken, first.woken+20, "goroutines that an hour without records starts: its timers")
		require.Zero(t, last.buffered)
		s.close()
	})
}

// soak is a run of the service.
type soak struct {
	t     *testing.T
	c     *crowd
	p     *producer.Producer
	log   *stalling
	hours int
	told  outcomes
}

func newSoak(t *testing.T) *soak {
	s := &soak{t: t, c: newCrowd(5, 6), log: new(stalling)}
	cfg := producer.DefaultConfig("b1:9092")
	cfg.Dialer, cfg.Logger, cfg.BufferMemory = s.c.dial, s.log.logger(), 4<<20
	p, err := producer.New(cfg)
	require.NoError(t, err)
	s.p = p
	return s
}

// footprint has the measured values that must not grow.
type footprint struct {
	heap, sending float64
	goroutines    int
	woken         int // goroutines started in an hour without records
	buffered      int64
}

// measure waits until the topics of the last hour are forgotten.
func (s *soak) measure() footprint {
	time.Sleep(20 * time.Minute)
	s.order(1)
	synctest.Wait()
	f := footprint{heap: liveHeap(), goroutines: len(running.Goroutines())}
	_, f.buffered = s.p.Buffered()
	before := goroutinesMade()
	time.Sleep(time.Hour)
	synctest.Wait()
	f.woken = goroutinesMade() - before
	f.sending = allocatedBy(func() { s.order(1000) }) / 1000
	return f
}

// order sends records to the one topic in constant use.
func (s *soak) order(n int) {
	for range n {
		_, err := s.p.Send(s.t.Context(), &producer.Record{Topic: "orders", Value: []byte("an order")},
			nil).Get(s.t.Context())
		require.NoError(s.t, err)
	}
}

// hour is an hour of the service.
func (s *soak) hour() {
	s.hours++
	hung := make(chan struct{})
	s.p.Send(s.t.Context(), &producer.Record{Topic: "orders"}, func(producer.RecordMetadata, error) { <-hung })
	s.log.stall()
	time.AfterFunc(10*time.Minute, func() {
		close(hung)
		s.log.resume()
	})
	s.c.exchange()
	for minute := range 60 {
		s.minute(minute)
		if minute%7 == 0 {
			s.c.turnOver()
		}
		time.Sleep(time.Minute)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	require.NoError(s.t, s.p.Flush(ctx))
	require.Empty(s.t, s.told.failed(), "records that failed")
	s.told.forget()
}

// minute sends to some new topics from several goroutines, and cancels the records of one more topic.
func (s *soak) minute(minute int) {
	const topics, senders = 1000 / 60, 4
	var wg sync.WaitGroup
	for g := range senders {
		wg.Go(func() {
			for i := g; i < topics; i += senders {
				name := fmt.Sprintf("tenant-%d-%d-%d", s.hours, minute, i)
				for range 3 {
					s.p.Send(s.t.Context(), &producer.Record{Topic: name, Value: []byte("an event")}, s.told.add)
				}
			}
		})
	}
	wg.Wait()
	for range 3 {
		record := &producer.Record{Topic: fmt.Sprint("taken-back-", s.hours, "-", minute)}
		s.p.Send(s.t.Context(), record, nil).Cancel()
	}
	s.order(1)
}

// close ends the service. If a goroutine is left, the bubble does not end, and the test fails.
func (s *soak) close() {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	err := s.p.Close(ctx)
	cancel() // its timer does not belong to the producer
	require.NoError(s.t, err)
	records, bytes := s.p.Buffered()
	require.Zero(s.t, records)
	require.Zero(s.t, bytes)
	synctest.Wait()
	runtime.GC() // the collector's goroutines have all started
	withoutCollector(s.t)
	before := goroutinesMade()
	time.Sleep(1000 * time.Hour)
	require.Equal(s.t, before, goroutinesMade(), "a timer of a closed producer has fired")
}

// goroutinesMade counts goroutines since the start of the process: a timer that fires starts one. It is 0 before Go
// 1.26.
func goroutinesMade() int {
	sample := []metrics.Sample{{Name: "/sched/goroutines-created:goroutines"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return int(sample[0].Value.Uint64())
}

// failed returns the outcomes with an error.
func (o *outcomes) failed() (errs []error) {
	for _, one := range o.all() {
		if one.err != nil {
			errs = append(errs, one.err)
		}
	}
	return errs
}

func (o *outcomes) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = nil
}
