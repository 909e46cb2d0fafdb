package itest

import (
	"bytes"
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gosamsa/samsa/internal/itest/realkafka"
	"github.com/gosamsa/samsa/producer"
	"github.com/stretchr/testify/require"
)

// TestAThrottleLongerThanTheRequestTimeoutWritesEachRecordOnceToARealKafka sends seven records of 250 kB under a quota
// of 200 kB/s, with a request.timeout.ms of 3 s. A request waits behind several throttles of over a second each. A
// quota of 20 kB/s and the default of 30 s show the same in ten times the time.
func TestAThrottleLongerThanTheRequestTimeoutWritesEachRecordOnceToARealKafka(t *testing.T) {
	const records, size, quota = 7, 250_000, 200_000
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	// Kafka measures a rate over all windows. With eleven of a second, its default, no record here is over the quota.
	cluster := realkafka.Start(t, realkafka.Options{Config: map[string]string{"quota.window.num": "2",
		"quota.window.size.seconds": "1"}})
	for name, profile := range map[string]func(*producer.Config){
		"leader":     func(cfg *producer.Config) { cfg.Acks, cfg.EnableIdempotence = producer.AcksLeader, false },
		"idempotent": func(*producer.Config) {},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, cluster.SetProducerQuota(ctx, name, quota))
			require.NoError(t, cluster.CreateTopics(ctx, realkafka.Topic{Name: name}))
			cfg := producer.DefaultConfig(cluster.Bootstrap()...)
			cfg.ClientID, cfg.RequestTimeout = name, 3*time.Second
			profile(&cfg)
			var dials atomic.Int64
			cfg.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
				dials.Add(1)
				return new(net.Dialer).DialContext(ctx, network, address)
			}
			p, err := producer.New(cfg)
			require.NoError(t, err)
			begin := time.Now()
			var futures []producer.Future
			called := make([]int, records)
			for i := range records {
				value := bytes.Repeat([]byte{byte(i)}, size)
				futures = append(futures, p.Send(ctx, &producer.Record{Topic: name, Value: value},
					func(_ producer.RecordMetadata, err error) {
						called[i]++
					}))
			}
			var connections int64
			for i, f := range futures {
				md, err := f.Get(ctx)
				require.NoError(t, err)
				require.EqualValues(t, i, md.Offset)
				if i == 0 {
					connections = dials.Load()
				}
			}
			took := time.Since(begin)
			require.Equal(t, connections, dials.Load(), "a new connection bypasses the quota of the old one")
			require.NoError(t, p.Close(ctx))
			for i := range called {
				require.Equal(t, 1, called[i], "calls of record %d", i)
			}
			log, err := cluster.ReadAll(ctx, name)
			require.NoError(t, err)
			require.Len(t, log[name], records)
			for i, r := range log[name] {
				require.True(t, bytes.Equal(bytes.Repeat([]byte{byte(i)}, size), r.Value), "record %d", i)
			}
			require.Greater(t, took, cfg.RequestTimeout, "the broker did not throttle for long enough to show anything")
			t.Logf("the quota was kept for %v", took)
		})
	}
}
