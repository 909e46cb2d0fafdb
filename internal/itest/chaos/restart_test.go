package chaos

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/gosamsa/samsa/internal/itest/realkafka"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/sender"
	"github.com/stretchr/testify/require"
)

// TestNothingIsLostDoubledOrReorderedWhileANodeOfAnyVersionRestarts kills and stops a single node while the default producer sends: acks=all,
// idempotent, several batches in flight. Each version of Kafka keeps and recovers the sequences of producers in its own way.
func TestNothingIsLostDoubledOrReorderedWhileANodeOfAnyVersionRestarts(t *testing.T) {
	const partitions = 3
	for _, version := range []string{"4.4.0", "4.3.1", "3.9.2", "3.5.1", "2.8.2", "1.1.1", "0.11.0.3"} {
		t.Run(version, func(t *testing.T) {
			c := realkafka.Start(t, realkafka.Options{Version: version, Config: map[string]string{
				// A flush for each append makes the node slow, so that several batches are in flight when it ends.
				"log.flush.interval.messages": "1",
				// A KRaft node that was killed registers again after this time. Versions with ZooKeeper do not know the name.
				"broker.session.timeout.ms": "6000", "broker.heartbeat.interval.ms": "1000",
			}})
			log, err := os.Create(filepath.Join(c.Dir(), "samsa.log"))
			require.NoError(t, err)
			defer func() { require.NoError(t, log.Close()) }()
			b := startBenchOn(t, c, realkafka.Topic{Name: "restarts", Partitions: partitions}, Load{Rate: 400}, func(cfg *producer.Config) {
				cfg.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: sender.LevelTrace}))
			})
			b.progress(partitions)
			for _, end := range []func(context.Context, int32) error{c.Kill, c.Stop} {
				require.NoError(t, end(b.ctx, 1))
				require.NoError(t, c.Restart(b.ctx, 1))
				b.progress(partitions)
			}
			v := b.finishAndCheck(nil)
			require.Equal(t, v.Written, v.Fates[Acked]+v.MaybeThere)
		})
	}
}
