package itest

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/gosamsa/samsa/internal/itest/realkafka"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
	"github.com/stretchr/testify/require"
)

// TestARealOldBrokersRefusalIsAClearError shows that zstd before 2.1, a batch over the broker's
// limit, and a record without a key in a compacted topic fail as not written.
func TestARealOldBrokersRefusalIsAClearError(t *testing.T) {
	for _, version := range []string{"1.1.1", "0.11.0.3"} {
		t.Run(version, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			cluster := realkafka.Start(t, realkafka.Options{Version: version}) // message.max.bytes is 1000012
			compacted := realkafka.Topic{Name: "compacted", Config: map[string]string{"cleanup.policy": "compact"}}
			require.NoError(t, cluster.CreateTopics(ctx, realkafka.Topic{Name: "t"}, compacted))
			send := func(cfg producer.Config, size int) error {
				p, err := producer.New(cfg)
				require.NoError(t, err)
				_, err = p.Send(ctx, &producer.Record{Topic: "t", Value: bytes.Repeat([]byte("text"), size/4)},
					nil).Get(ctx)
				require.NoError(t, p.Close(ctx))
				return err
			}

			zstd := producer.DefaultConfig(cluster.Bootstrap()...)
			zstd.Compression = producer.CompressionZstd
			err := send(zstd, 4000)
			require.ErrorContains(t, err, "zstd")
			require.False(t, producer.MaybeWritten(err))

			plain := producer.DefaultConfig(cluster.Bootstrap()...)
			err = send(plain, 1<<20-1000)
			require.ErrorIs(t, err, &producer.BrokerError{Code: protocol.MessageTooLarge})
			require.ErrorContains(t, err, "message.max.bytes")
			require.False(t, producer.MaybeWritten(err))
			require.NoError(t, send(plain, 900_000))

			p := newProducer(t, plain)
			_, err = p.Send(ctx, &producer.Record{Topic: "compacted", Value: []byte("no key")}, nil).Get(ctx)
			require.ErrorIs(t, err, &producer.BrokerError{Code: protocol.CorruptMessage})
			require.ErrorContains(t, err, "compacted")
			require.False(t, producer.MaybeWritten(err) || producer.Retriable(err))
			_, err = p.Send(ctx, &producer.Record{Topic: "compacted", Key: []byte("key"), Value: []byte("v")},
				nil).Get(ctx)
			require.NoError(t, err)
			records, err := cluster.ReadAll(ctx, "t", "compacted")
			require.NoError(t, err)
			require.Len(t, records["t"], 1)
			require.Len(t, records["compacted"], 1)
		})
	}
}
