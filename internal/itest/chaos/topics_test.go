package chaos

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gosamsa/samsa/internal/itest/realkafka"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
	"github.com/stretchr/testify/require"
)

// bench is a Samsa with a topic of its own.
type bench struct {
	*workload
	t       *testing.T
	ctx     context.Context
	cluster *realkafka.Cluster
	topic   realkafka.Topic
}

// startBench makes the topic on the shared cluster and starts the senders.
func startBench(t *testing.T, topic realkafka.Topic, change func(*producer.Config)) *bench {
	t.Helper()
	topic.Name = t.Name()
	return startBenchOn(t, wholeCluster(t), topic, Load{}, change)
}

// startBenchOn makes the topic on a cluster and starts the senders.
func startBenchOn(t *testing.T, c *realkafka.Cluster, topic realkafka.Topic, load Load,
	change func(*producer.Config)) *bench {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(cancel)
	require.NoError(t, c.CreateTopics(ctx, topic))
	cfg := producer.DefaultConfig(c.Bootstrap()...)
	if change != nil {
		change(&cfg)
	}
	p, err := producer.New(cfg)
	require.NoError(t, err)
	w := startWorkload(ctx, samsaClient{p}, topic.Name, load)
	t.Cleanup(w.stop)
	return &bench{workload: w, t: t, ctx: ctx, cluster: c, topic: topic}
}

// progress waits until each partition acknowledges a record sent from now on.
func (b *bench) progress(partitions int) {
	b.t.Helper()
	require.Empty(b.t, b.awaitProgress(b.ctx, partitions), "partitions that take nothing")
}

// finishAndCheck ends the sending and compares the reports with the log.
func (b *bench) finishAndCheck(mayBeGone func(*Sent) bool) Verdict {
	b.t.Helper()
	require.NoError(b.t, b.finish(b.ctx))
	log, err := readSettled(b.ctx, b.cluster, b.topic.Name)
	require.NoError(b.t, err)
	v := Checker{Futures: true, MayBeGone: mayBeGone}.Check(b.journal, log)
	require.True(b.t, v.Clean(), "%+v: %v", v.Counts, v.Findings)
	b.t.Logf("told: %v, in the log: %d", v.Fates, v.Written)
	return v
}

func TestRecordsGoToARecreatedTopic(t *testing.T) {
	b := startBench(t, realkafka.Topic{Assignment: assignment(3)}, nil)
	b.progress(3)
	require.NoError(t, b.cluster.DeleteTopics(b.ctx, b.topic.Name))
	require.NoError(t, b.cluster.CreateTopics(b.ctx, b.topic))
	again := b.now()
	b.progress(3)
	v := b.finishAndCheck(func(s *Sent) bool { return s.At < again }) // those may have been in the old topic
	require.NotZero(t, v.Written)
}

func TestRecordsWaitWhileThereAreNotEnoughReplicas(t *testing.T) {
	b := startBench(t, realkafka.Topic{Assignment: assignment(3),
		Config: map[string]string{"min.insync.replicas": "3"}}, nil)
	b.progress(3)
	probe := newProbe(b)
	require.NoError(t, b.cluster.Kill(b.ctx, 2))
	probe.await(protocol.NotEnoughReplicas)
	require.NoError(t, b.cluster.Restart(b.ctx, 2))
	b.progress(3)
	v := b.finishAndCheck(nil)
	require.NotZero(t, v.Fates[Acked])
}

// probe is a producer without retries, so its errors are the brokers' answers.
type probe struct {
	*bench
	p     *producer.Producer
	topic string
}

func newProbe(b *bench) *probe {
	b.t.Helper()
	topic := b.topic
	topic.Name += "-probe"
	require.NoError(b.t, b.cluster.CreateTopics(b.ctx, topic))
	cfg := producer.DefaultConfig(b.cluster.Bootstrap()...)
	cfg.EnableIdempotence, cfg.Retries, cfg.RequestTimeout = false, 0, 2*time.Second
	p, err := producer.New(cfg)
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = p.Close(context.Background()) })
	return &probe{bench: b, p: p, topic: topic.Name}
}

// await sends until a broker answers with this code.
func (p *probe) await(code protocol.ErrorCode) {
	p.t.Helper()
	for {
		_, err := p.p.Send(p.ctx, &producer.Record{Topic: p.topic}, nil).Get(p.ctx)
		if errors.Is(err, &producer.BrokerError{Code: code}) {
			return
		}
		require.NoError(p.t, p.ctx.Err(), "the last answer was %v", err)
	}
}

func TestRecordsGoToPartitionsThatAreAddedWhileSending(t *testing.T) {
	b := startBench(t, realkafka.Topic{Assignment: assignment(2)},
		func(cfg *producer.Config) { cfg.MetadataMaxAge = 500 * time.Millisecond })
	b.progress(2)
	require.NoError(t, b.cluster.AddPartitions(b.ctx, b.topic.Name, 5))
	b.progress(5)
	v := b.finishAndCheck(nil)
	require.Equal(t, v.Fates[Acked], v.Written)
}
