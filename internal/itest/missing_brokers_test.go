package itest

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gosamsa/samsa/internal/itest/realkafka"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
	"github.com/stretchr/testify/require"
)

// countedConn counts the reads of its client.
type countedConn struct {
	net.Conn
	reads *atomic.Int64
}

func (c countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.reads.Add(1)
	return n, err
}

// TestTheFirstRecordOfATopicWaitsForBrokersThatAreMissing sends to new topics of one broker, configured to create them
// with three replicas: it answers INVALID_REPLICATION_FACTOR until enough brokers are up.
func TestTheFirstRecordOfATopicWaitsForBrokersThatAreMissing(t *testing.T) {
	for _, version := range []string{"2.8.2", "1.1.1"} {
		t.Run(version, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			cluster := realkafka.Start(t, realkafka.Options{Version: version,
				Config: map[string]string{"auto.create.topics.enable": "true", "default.replication.factor": "3"}})

			t.Run("until max.block.ms", func(t *testing.T) {
				cfg := producer.DefaultConfig(cluster.Bootstrap()...)
				cfg.MaxBlock = 2 * time.Second
				p, err := producer.New(cfg)
				require.NoError(t, err)
				begin := time.Now()
				_, err = p.Send(ctx, &producer.Record{Topic: "never", Value: []byte("v")}, nil).Get(ctx)
				require.GreaterOrEqual(t, time.Since(begin), cfg.MaxBlock, "%v", err)
				require.ErrorContains(t, err, protocol.InvalidReplicationFactor.Name())
				require.True(t, producer.Retriable(err))
				require.False(t, producer.MaybeWritten(err))
				require.NoError(t, p.Close(ctx))
			})

			t.Run("until the topic is there", func(t *testing.T) {
				var reads atomic.Int64
				cfg := producer.DefaultConfig(cluster.Bootstrap()...)
				cfg.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
					conn, err := new(net.Dialer).DialContext(ctx, network, address)
					return countedConn{conn, &reads}, err
				}
				p, err := producer.New(cfg)
				require.NoError(t, err)
				sent := make(chan error, 1)
				go func() {
					_, err := p.Send(ctx, &producer.Record{Topic: "late", Value: []byte("v")}, nil).Get(ctx)
					sent <- err
				}()
				// So many answers can only be those to repeated requests for the topic.
				ticker := time.NewTicker(10 * time.Millisecond)
				defer ticker.Stop()
				for reads.Load() < 6 {
					select {
					case <-ticker.C:
					case err := <-sent:
						t.Fatalf("the record did not wait: %v", err)
					}
				}
				require.NoError(t, cluster.CreateTopics(ctx, realkafka.Topic{Name: "late"}))
				require.NoError(t, <-sent)
				require.NoError(t, p.Close(ctx))
				records, err := cluster.ReadAll(ctx, "late")
				require.NoError(t, err)
				require.Len(t, records["late"], 1)
			})
		})
	}
}
