package sender

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/accumulator"
	"github.com/gosamsa/samsa/internal/cluster"
	"github.com/gosamsa/samsa/internal/transport"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// loaded is a sender without a reachable broker, its broker, and a sealed batch of each of the given number of
// partitions of topic t.
func loaded(tb testing.TB, partitions int) (*broker, []attempt) {
	tb.Helper()
	client := cluster.New(cluster.Config{
		Transport: &transport.Options{}, MaxAge: time.Hour, MaxIdle: time.Hour, RequestTimeout: time.Minute,
		RetryBackoff: time.Hour, RetryBackoffMax: time.Hour, // it knows no server, and would allocate with each try
	})
	s := New(Config{
		Cluster: client, Transport: &transport.Options{ClientID: "bench"}, RequestTimeout: 30 * time.Second,
		DeliveryTimeout: time.Hour, Acks: -1,
		Accumulator: accumulator.Config{BatchSize: 16384, MaxRequestSize: 1 << 20, Memory: 1 << 30, Linger: time.Hour},
	})
	var attempts []attempt
	for i := range int32(partitions) {
		acc := s.Accumulator().Topic("t").Partition(i)
		p := acc.Drainer().(*partition)
		for !acc.HasFullBatch() {
			var a accumulator.AppendResult
			acc.Append(&record.Record{Topic: "t", Value: make([]byte, 1000)}, accumulator.Callback{}, nil, &a)
			require.NotNil(tb, a.Result)
		}
		p.mu.Lock()
		c := p.sealLocked()
		p.mu.Unlock()
		attempts = append(attempts, attempt{outBatch: c, topicID: protocol.UUID{1}})
	}
	tb.Cleanup(func() {
		s.Abort(record.ErrClosed)
		s.Stop()
		client.Close()
	})
	return newBroker(s, 1), attempts
}

// build makes a request of the batches, as fill and write do, and returns it.
func build(b *broker, attempts []attempt) *request {
	r := b.newRequest(nil)
	size := newFramed(13, b.s.cfg.Transport.ClientID)
	for _, t := range attempts {
		name := t.part.acc.Topic()
		at, partitions := r.topic(name)
		if size.space(1<<30, name, partitions) < 0 {
			panic("no space")
		}
		size.add(name, partitions, len(t.batch.Bytes()))
		r.add(t, at)
	}
	r.version = 13
	if err := r.encode(); err != nil {
		panic(err)
	}
	return r
}

// read decodes an answer and finds the batch of each part. It returns the number of these batches.
func read(r *request, body []byte) (found int) {
	if err := r.decode(body); err != nil {
		panic(err)
	}
	for range r.parts {
		found++
	}
	return found
}

// answerTo is the body of a broker's answer to a request.
func answerTo(tb testing.TB, r *request) []byte {
	tb.Helper()
	var m protocol.ProduceResponse
	for i := range r.body.Topics {
		t := protocol.ProduceTopicResponse{Name: r.body.Topics[i].Name, ID: r.body.Topics[i].ID}
		for _, p := range r.body.Topics[i].Partitions {
			t.Partitions = append(t.Partitions, protocol.ProducePartitionResponse{Index: p.Index, BaseOffset: 1000,
				LogAppendTimeMs: -1})
		}
		m.Topics = append(m.Topics, t)
	}
	body, err := m.Append(nil, r.call.Version)
	require.NoError(tb, err)
	return body
}

func BenchmarkBuildRequest(b *testing.B) {
	for _, partitions := range []int{1, 12, 1000} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			to, attempts := loaded(b, partitions)
			b.ReportAllocs()
			for b.Loop() {
				to.recycle(build(to, attempts))
			}
		})
	}
}

func BenchmarkReadAnswer(b *testing.B) {
	for _, partitions := range []int{1, 12, 1000} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			to, attempts := loaded(b, partitions)
			r := build(to, attempts)
			body := answerTo(b, r)
			b.ReportAllocs()
			for b.Loop() {
				if read(r, body) != partitions {
					b.Fatal("not all are found")
				}
			}
		})
	}
}

// perRound returns the allocations of a round. AllocsPerRun rounds down, so one run has many rounds. It also counts the
// end of other tests in the process: so the cheapest run counts, and less than one allocation in two rounds is none.
func perRound(round func()) float64 {
	const rounds = 200
	cheapest := math.Inf(1)
	for range 5 {
		cheapest = min(cheapest, testing.AllocsPerRun(1, func() {
			for range rounds {
				round()
			}
		}))
	}
	return cheapest / rounds
}

func TestBuildingARequestAllocatesNothingOnceOneWasBuilt(t *testing.T) {
	to, attempts := loaded(t, 12)
	require.Less(t, perRound(func() { to.recycle(build(to, attempts)) }), 0.5)
}

func TestReadingAnAnswerAllocatesNothingOnceOneWasRead(t *testing.T) {
	to, attempts := loaded(t, 12)
	r := build(to, attempts)
	body := answerTo(t, r)
	require.Less(t, perRound(func() {
		if read(r, body) != 12 {
			t.Error("not all are found")
		}
	}), 0.5)
}
