package producer_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
)

// Outcomes that wait for an interceptor count in buffer.memory, with and without a callback. Outcomes that wait for a
// hanging callback count too.
func TestSlowInterceptorsBecomeBackpressure(t *testing.T) {
	const memory = 64 << 10
	release := make(chan struct{})
	for name, change := range map[string]func(*producer.Config){
		"interceptor": func(cfg *producer.Config) {
			onAck := func(_ producer.RecordMetadata, err error) {
				if err == nil { // a refused record: its outcome comes from the goroutine of its Send
					<-release
				}
			}
			cfg.Interceptors = []producer.Interceptor{&watcher{name: "slow", seen: new(sights), onAck: onAck}}
		},
		"callback before them": func(*producer.Config) {},
	} {
		scene(t, name, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
			release = make(chan struct{})
			p := start(t, c, func(cfg *producer.Config) {
				cfg.BufferMemory, cfg.BatchSize, cfg.Linger, cfg.MaxBlock = memory, 500, 0, time.Second
				change(cfg)
			})
			held := p.Send(t.Context(), to(0, "held"), func(producer.RecordMetadata, error) { <-release })
			sent := 0
			for ; sent < 10_000; sent++ {
				if _, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context()); err != nil {
					require.ErrorIs(t, err, producer.ErrBufferFull)
					require.ErrorContains(t, err, "callbacks of topic \"t\" partition 0 have not returned")
					break
				}
			}
			require.Less(t, sent, memory/500)
			records, used := p.Buffered()
			require.Zero(t, records)
			require.Greater(t, used, int64(memory*9/10))
			_, err := held.Get(t.Context())
			require.NoError(t, err)
			close(release)
			require.NoError(t, p.Flush(t.Context()))
			_, used = p.Buffered()
			require.Zero(t, used)
			_, err = p.Send(t.Context(), to(0, "there is room again"), nil).Get(t.Context())
			require.NoError(t, err)
		})
	}
}

// The callbacks of canceled records run without a broker.
func TestCanceledRecordsHoldNoMemoryWhileTheBrokerCannotBeReached(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) { cfg.BufferMemory, cfg.BatchSize = 1<<20, 500 })
		c.StopBroker(1)
		synctest.Wait() // until the connection has ended
		for range 2 {
			var all []producer.Future
			for range 540 { // each is a batch of its own
				f := p.TrySend(sized(450), nil)
				require.False(t, isOver(f))
				all = append(all, f)
			}
			_, used := p.Buffered()
			require.Greater(t, used, int64(900<<10))
			time.Sleep(time.Second) // the partitions are in the queue of their broker
			for _, f := range all {
				require.True(t, f.Cancel())
			}
			records, used := p.Buffered()
			require.Zero(t, records)
			require.Zero(t, used)
		}
		began := time.Now()
		require.NoError(t, p.Flush(t.Context()))
		require.NoError(t, p.Close(t.Context()))
		require.Zero(t, time.Since(began))
		synctest.Wait()
	})
}
