package producer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/logtext"
	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/record"
)

// scene runs f as a subtest with a cluster, in a synctest bubble: time passes only while all goroutines wait.
func scene(t *testing.T, name string, cfg testbroker.Config, f func(t *testing.T, c *testbroker.Cluster)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { bubble(t, cfg, f) })
}

// bubble runs f with a cluster in a synctest bubble.
func bubble(t *testing.T, cfg testbroker.Config, f func(t *testing.T, c *testbroker.Cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, testbroker.New(t, cfg)) })
}

// topics is a configuration with one topic "t".
func topics(brokers int, partitions int32) testbroker.Config {
	return testbroker.Config{Brokers: brokers, Topics: map[string]int32{"t": partitions}}
}

// start returns a producer on the cluster, with DefaultConfig as modified by change. The end of the test closes the
// producer.
func start(t *testing.T, c *testbroker.Cluster, change func(*producer.Config)) *producer.Producer {
	t.Helper()
	cfg := producer.DefaultConfig(c.Bootstrap()...)
	cfg.Dialer = c.Dial
	if change != nil {
		change(&cfg)
	}
	p, err := producer.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = p.Close(ctx)
	})
	return p
}

// warm is start followed by an acknowledged record in each of the first n partitions of topic t. So the producer has
// connections, metadata and a producer id before the test's own records.
func warm(t *testing.T, c *testbroker.Cluster, n int32, change func(*producer.Config)) *producer.Producer {
	t.Helper()
	p := start(t, c, change)
	for i := range n {
		_, err := p.Send(t.Context(), to(i, "warm"), nil).Get(t.Context())
		require.NoError(t, err)
	}
	synctest.Wait()
	return p
}

// to is a record for a partition of topic t.
func to(partition int32, value string) *producer.Record {
	return &producer.Record{Topic: "t", Partition: producer.InPartition(partition), Value: []byte(value)}
}

// sized is a record for partition 0 of topic t, with n bytes of value.
func sized(n int) *producer.Record { return to(0, strings.Repeat("x", n)) }

// filling is a record for partition 0 of topic t. As record number index of a batch it takes this many bytes.
func filling(t *testing.T, size int, index int32) *producer.Record {
	t.Helper()
	for n := max(0, size-16); n <= size; n++ {
		if r := sized(n); record.RecordSize(index, 0, nil, r.Value, nil) == size {
			return r
		}
	}
	t.Fatalf("no record takes %d bytes", size)
	return nil
}

// values returns the values of all records for topic t in the Produce requests from number first on, in order of
// arrival.
func values(c *testbroker.Cluster, first int) (all []string) {
	for _, r := range c.Produces()[first:] {
		for _, p := range r.Parts {
			for _, rec := range p.Batch.Records {
				all = append(all, string(rec.Value))
			}
		}
	}
	return all
}

// written returns the values in the log of a partition of topic t, in order.
func written(c *testbroker.Cluster, partition int32) (all []string) {
	for _, r := range c.Produces() {
		for _, p := range r.Parts {
			if !p.Appended || p.Partition != partition {
				continue
			}
			for _, rec := range p.Batch.Records {
				if string(rec.Value) != "warm" {
					all = append(all, string(rec.Value))
				}
			}
		}
	}
	return all
}

// outcome has the arguments of a callback.
type outcome struct {
	md  producer.RecordMetadata
	err error
}

// outcomes collects the arguments of callbacks.
type outcomes struct {
	mu   sync.Mutex
	list []outcome
}

func (o *outcomes) add(md producer.RecordMetadata, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = append(o.list, outcome{md, err})
}

func (o *outcomes) all() []outcome {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]outcome(nil), o.list...)
}

// logs is a logger that keeps its lines.
type logs struct{ logtext.Text }

func (l *logs) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// notWritten checks that a send failed for a reason, certainly not written.
func notWritten(t *testing.T, f producer.Future, reason error) {
	t.Helper()
	_, err := f.Get(t.Context())
	require.ErrorIs(t, err, reason)
	require.False(t, producer.MaybeWritten(err), "%v", err)
}

// isOver reports whether a future has its outcome.
func isOver(f producer.Future) bool {
	select {
	case <-f.Done():
		return true
	default:
		return false
	}
}

// brokerCode checks that err is a broker's error with that name.
func brokerCode(t *testing.T, err error, name string) {
	t.Helper()
	var broker *producer.BrokerError
	require.True(t, errors.As(err, &broker), "%v", err)
	require.Equal(t, name, broker.Code.Name(), fmt.Sprint(err))
}

// stalling is a log handler that blocks between stall and resume.
type stalling struct {
	mu      sync.Mutex
	stalled chan struct{} // nil unless it blocks
}

func (l *stalling) Write(b []byte) (int, error) {
	l.mu.Lock()
	stalled := l.stalled
	l.mu.Unlock()
	if stalled != nil {
		<-stalled
	}
	return len(b), nil
}

func (l *stalling) stall() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stalled = make(chan struct{})
}

func (l *stalling) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.stalled)
	l.stalled = nil
}

func (l *stalling) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
