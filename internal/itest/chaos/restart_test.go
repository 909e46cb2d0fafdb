package chaos

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/gosamsa/samsa/internal/itest/realkafka"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/sender"
	"github.com/stretchr/testify/require"
)

const alonePartitions = 3

// startBenchAlone starts a node of the version and a Samsa with it as its cluster.
func startBenchAlone(t *testing.T, version string, change func(*producer.Config)) *bench {
	t.Helper()
	c := realkafka.Start(t, realkafka.Options{Version: version, Config: map[string]string{
		// A flush for each append makes the node slow, to have several batches in flight when it ends.
		"log.flush.interval.messages": "1",
		// A killed KRaft node registers again after this time. Versions with ZooKeeper do not know the name.
		"broker.session.timeout.ms": "6000", "broker.heartbeat.interval.ms": "1000",
	}})
	log, err := os.Create(filepath.Join(c.Dir(), "samsa.log"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, log.Close()) })
	return startBenchOn(t, c, realkafka.Topic{Name: "t", Partitions: alonePartitions}, Load{Rate: 400},
		func(cfg *producer.Config) {
			cfg.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: sender.LevelTrace}))
			if change != nil {
				change(cfg)
			}
		})
}

// TestNothingIsLostDoubledOrReorderedWhileANodeOfAnyVersionRestarts kills and stops a single node while the default
// producer sends: acks=all, idempotent, several batches in flight. Each version of Kafka keeps and recovers the
// sequences of producers in its own way.
func TestNothingIsLostDoubledOrReorderedWhileANodeOfAnyVersionRestarts(t *testing.T) {
	for _, version := range []string{"4.4.0", "4.3.1", "3.9.2", "3.5.1", "2.8.2", "1.1.1", "0.11.0.3"} {
		t.Run(version, func(t *testing.T) {
			b := startBenchAlone(t, version, nil)
			b.progress(alonePartitions)
			for _, end := range []func(context.Context, int32) error{b.cluster.Kill, b.cluster.Stop} {
				require.NoError(t, end(b.ctx, 1))
				require.NoError(t, b.cluster.Restart(b.ctx, 1))
				b.progress(alonePartitions)
			}
			v := b.finishAndCheck(nil)
			require.Equal(t, v.Written, v.Fates[Acked]+v.MaybeThere)
		})
	}
}

// TestPartitionsGoOnUnderTheNextEpochOnAnyVersion lets records expire while their requests are on the way to a hanging
// node. It goes on the first time, and is killed the second time. The records' sequences stay unresolved, so the
// partitions need the next epoch. Old brokers check its first sequence.
func TestPartitionsGoOnUnderTheNextEpochOnAnyVersion(t *testing.T) {
	for _, version := range []string{"4.4.0", "3.5.1", "2.8.2", "1.1.1", "0.11.0.3"} {
		t.Run(version, func(t *testing.T) {
			b := startBenchAlone(t, version, func(cfg *producer.Config) {
				cfg.DeliveryTimeout, cfg.RequestTimeout = 1500*time.Millisecond, time.Second
			})
			b.progress(alonePartitions)
			require.NoError(t, b.cluster.Pause(1))
			b.awaitMaybe()
			require.NoError(t, b.cluster.Resume(1))
			b.progress(alonePartitions)
			require.NoError(t, b.cluster.Pause(1))
			b.awaitMaybe()
			require.NoError(t, b.cluster.Kill(b.ctx, 1))
			require.NoError(t, b.cluster.Restart(b.ctx, 1))
			b.progress(alonePartitions)
			v := b.finishAndCheck(nil)
			require.Equal(t, v.Written, v.Fates[Acked]+v.MaybeThere)
			batches, err := b.cluster.DumpSegments(b.ctx, b.topic.Name)
			require.NoError(t, err)
			epochs := map[int64]int{}
			for _, batch := range batches[b.topic.Name] {
				epochs[batch.ProducerEpoch]++
			}
			t.Logf("batches by epoch: %v", epochs)
			require.Greater(t, len(epochs), 1)
		})
	}
}

// awaitMaybe waits until a record fails as maybe written from now on.
func (b *bench) awaitMaybe() {
	b.t.Helper()
	from := b.now()
	failed := func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, records := range b.journal {
			for _, s := range slices.Backward(records) {
				if o, at, told := s.Told(); told && o.Fate == Maybe && at >= from {
					return true
				}
			}
		}
		return false
	}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for !failed() {
		select {
		case <-ticker.C:
		case <-b.ctx.Done():
			b.t.Fatal("no record failed as maybe written")
		}
	}
}
