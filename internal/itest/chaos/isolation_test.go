package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gosamsa/samsa/internal/itest/realkafka"
	"github.com/gosamsa/samsa/producer"
	"github.com/stretchr/testify/require"
)

// Topics of one replica keep the coupling of brokers out of these tests: any effect of one hanging broker on the
// partitions of others is then the client's doing.

// oneReplica is a topic with one partition on each of these nodes.
func oneReplica(name string, on ...int32) realkafka.Topic {
	topic := realkafka.Topic{Name: name, Config: map[string]string{"min.insync.replicas": "1"}}
	for _, id := range on {
		topic.Assignment = append(topic.Assignment, []int32{id})
	}
	return topic
}

// keyFor returns a key of a partition.
func keyFor(partition int32, partitions int) []byte {
	for i := 0; ; i++ {
		if key := fmt.Appendf(nil, "key-%d", i); producer.PartitionForKey(key, int32(partitions)) == partition {
			return key
		}
	}
}

// lane is one goroutine with a pace of sends to one partition.
type lane struct {
	w         *workload
	partition int32
	key       []byte
	n         int
}

// startLanes starts one goroutine for each partition. They end with ctx.
func startLanes(ctx context.Context, w *workload, wg *sync.WaitGroup, partitions int) {
	for p := range int32(partitions) {
		l := &lane{w: w, partition: p, key: keyFor(p, partitions)}
		wg.Go(func() {
			ticker := time.NewTicker(tick)
			defer ticker.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-ticker.C:
					l.send()
				}
			}
		})
	}
}

func (l *lane) send() <-chan struct{} {
	told := l.w.sendKey(int(l.partition), l.n, l.key)
	l.n++
	return told
}

// latencies returns how long a sender's acknowledged records took, of the records from a time on, and whether any
// failed.
func (w *workload) latencies(sender int, from time.Duration) (took []time.Duration, failed error) {
	w.mu.Lock()
	records := slices.Clone(w.journal[sender])
	w.mu.Unlock()
	for _, s := range records {
		o, at, told := s.Told()
		switch {
		case s.At < from || !told:
		case o.Fate == Acked:
			took = append(took, at-s.At)
		default:
			failed = errors.New(s.String() + ": " + o.String())
		}
	}
	return took, failed
}

// p99 waits until each of the senders has so many acknowledged records from a time on, and returns the 99th percentile
// of their latencies. ctx only ends a hanging test.
func p99(ctx context.Context, t *testing.T, w *workload, senders []int, from time.Duration) time.Duration {
	t.Helper()
	const enough = 200
	var all []time.Duration
	for _, sender := range senders {
		for {
			took, failed := w.latencies(sender, from)
			require.NoError(t, failed)
			if len(took) >= enough {
				all = append(all, took...)
				break
			}
			pause(ctx, 100*time.Millisecond)
			require.NoError(t, ctx.Err(), "sender %d has %d acknowledgements", sender, len(took))
		}
	}
	slices.Sort(all)
	return quantile(all, 0.99)
}

// isolation is a producer with records for all three nodes, one of them about to hang, and one for comparison with
// records for the two others only.
type isolation struct {
	t             *testing.T
	ctx           context.Context
	cluster       *realkafka.Cluster
	p             *producer.Producer
	main, control *workload
	lanes         sync.WaitGroup
}

const (
	victim       = int32(2)
	bufferMemory = int64(4 << 20)
)

func newIsolation(t *testing.T) *isolation {
	c := wholeCluster(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(cancel)
	require.NoError(t, c.CreateTopics(ctx, oneReplica("main", 1, 2, 3, 1, 2, 3), oneReplica("control", 1, 3, 1, 3),
		oneReplica("fill", victim), oneReplica("burst", 1, 3)))
	i := &isolation{t: t, ctx: ctx, cluster: c}
	cfg := producer.DefaultConfig(c.Bootstrap()...)
	cfg.BufferMemory = bufferMemory
	cfg.DeliveryTimeout = time.Hour // the records in the hanging broker's share stay, however long the test takes
	var err error
	i.p, err = producer.New(cfg)
	require.NoError(t, err)
	other, err := producer.New(cfg)
	require.NoError(t, err)
	i.main, i.control = newWorkload(samsaClient{i.p}, "main", 6), newWorkload(samsaClient{other}, "control", 4)
	for _, topic := range []string{"fill", "burst"} {
		_, err := i.p.PartitionsFor(ctx, topic)
		require.NoError(t, err)
	}
	return i
}

// fill sends to the victim until its share of the memory is taken.
func (i *isolation) fill() {
	for value := make([]byte, 1000); ; {
		f := i.p.TrySend(&producer.Record{Topic: "fill", Value: value}, func(producer.RecordMetadata, error) {})
		select {
		case <-f.Done():
			_, err := f.Get(i.ctx)
			require.ErrorIs(i.t, err, producer.ErrBufferFull)
			return
		default:
		}
		require.NoError(i.t, i.ctx.Err())
	}
}

// settled waits until the last records of the other nodes have left the memory, and returns how much of it is in use
// then, or when the test's time is over.
func (i *isolation) settled() (bytes int64) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		if _, bytes = i.p.Buffered(); bytes <= bufferMemory/2 {
			return bytes
		}
		select {
		case <-ticker.C:
		case <-i.ctx.Done():
			return bytes
		}
	}
}

// burst sends three eighths of buffer.memory to the other nodes without waiting, and returns when all of it is
// acknowledged.
func (i *isolation) burst() {
	futures := make([]producer.Future, 0, bufferMemory*3/8/1000)
	for value := make([]byte, 1000); len(futures) < cap(futures); {
		futures = append(futures, i.p.TrySend(&producer.Record{Topic: "burst", Key: fmt.Append(nil, len(futures)),
			Value: value}, nil))
	}
	for _, f := range futures {
		_, err := f.Get(i.ctx)
		require.NoError(i.t, err)
	}
}

// TestAHungBrokerLeavesTheOthersTheirLatencyAndHalfOfTheMemory compares latencies with twice the latencies of the time
// before, or of a producer without the hanging broker. That producer measures the machine's other load at the same
// time. The bound is a quarter second at least, since a few milliseconds doubled are noise. A partition waiting for the
// hanging broker would wait for many seconds.
func TestAHungBrokerLeavesTheOthersTheirLatencyAndHalfOfTheMemory(t *testing.T) {
	i := newIsolation(t)
	healthy, everybody := []int{0, 2, 3, 5}, []int{0, 1, 2, 3, 4, 5}
	sending, stop := context.WithCancel(i.ctx)
	defer stop()
	startLanes(sending, i.main, &i.lanes, 6)
	startLanes(sending, i.control, &i.lanes, 4)
	p99(i.ctx, t, i.main, everybody, 0) // all is warm then
	normal := p99(i.ctx, t, i.main, healthy, i.main.now())

	require.NoError(t, i.cluster.Pause(victim))
	i.fill()
	hung, begin := i.main.now(), i.control.now()
	disturbed := p99(i.ctx, t, i.main, healthy, hung)
	beside := p99(i.ctx, t, i.control, []int{0, 1, 2, 3}, begin)
	t.Logf("p99: %v before, %v while node %d hangs, %v of a producer that does not send to it", normal, disturbed,
		victim, beside)
	require.LessOrEqual(t, disturbed, max(2*normal, 2*beside, 250*time.Millisecond))

	stop()
	i.burst()
	bytes := i.settled()
	require.LessOrEqual(t, bytes, bufferMemory/2,
		"the hanging broker's partitions hold more than half of buffer.memory")
	require.Greater(t, bytes, bufferMemory*3/8, "its share was filled")

	require.NoError(t, i.cluster.Resume(victim))
	i.lanes.Wait()
	for _, w := range []*workload{i.main, i.control} {
		require.NoError(t, w.finish(i.ctx))
		log, err := readSettled(i.ctx, i.cluster, w.topic)
		require.NoError(t, err)
		v := Checker{Futures: true}.Check(w.journal, log)
		require.True(t, v.Clean(), "%+v: %v", v.Counts, v.Findings)
	}
}

func TestRecordsOfSeveralHungBrokersLeaveByTheirDeliveryTimeout(t *testing.T) {
	c := wholeCluster(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	topic := oneReplica("several", 1, 2, 3)
	require.NoError(t, c.CreateTopics(ctx, topic))
	cfg := producer.DefaultConfig(c.Bootstrap()...)
	cfg.DeliveryTimeout, cfg.RequestTimeout = 5*time.Second, 2*time.Second
	p, err := producer.New(cfg)
	require.NoError(t, err)
	w := newWorkload(samsaClient{p}, topic.Name, 3)
	var lanes []*lane
	for partition := range int32(3) {
		l := &lane{w: w, partition: partition, key: keyFor(partition, 3)}
		<-l.send()
		lanes = append(lanes, l)
	}
	require.NoError(t, c.Pause(1))
	require.NoError(t, c.Pause(2))
	hung := w.now()
	var told []<-chan struct{}
	const each = 1500 // more batches than may be in flight
	for range each {
		for _, l := range lanes {
			told = append(told, l.send())
		}
	}
	for _, done := range told {
		select {
		case <-done:
		case <-ctx.Done():
			require.Fail(t, "a record of a hanging broker has no outcome")
		}
	}
	for _, l := range lanes {
		took, failed := w.latencies(int(l.partition), hung)
		if l.partition == 2 {
			require.NoError(t, failed, "the broker that does not hang")
			require.Len(t, took, each)
			continue
		}
		require.ErrorContains(t, failed, producer.ErrDeliveryTimeout.Error())
		require.Empty(t, took, "nobody acknowledged")
	}
	require.NoError(t, c.Resume(1))
	require.NoError(t, c.Resume(2))
	for _, l := range lanes {
		for o := (Outcome{}); o.Fate != Acked; { // each partition takes records again
			<-l.send()
			o, _, _ = w.journal[l.partition][l.n-1].Told()
			require.NoError(t, ctx.Err(), "%v", o)
		}
	}
	require.NoError(t, w.finish(ctx))
	log, err := readSettled(ctx, c, topic.Name)
	require.NoError(t, err)
	v := Checker{Futures: true}.Check(w.journal, log)
	require.True(t, v.Clean(), "%+v: %v", v.Counts, v.Findings)
	t.Logf("told: %v; %d of those told \"maybe\" are in the log", v.Fates, v.MaybeThere)
	require.NotZero(t, v.Fates[Maybe], "records in flight")
	require.NotZero(t, v.Fates[NotWritten], "records that never left")
}
