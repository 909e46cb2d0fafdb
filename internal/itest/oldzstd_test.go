package itest

import (
	"slices"
	"testing"

	"github.com/gosamsa/samsa/producer"
	"github.com/stretchr/testify/require"
)

func TestZstdOnABrokerWithoutItIsAClearError(t *testing.T) {
	for _, broker := range oldBrokers {
		if broker.zstd {
			continue
		}
		t.Run(broker.name, func(t *testing.T) {
			cluster := fakeCluster(t, broker.versions)
			cfg := producer.DefaultConfig(cluster.ListenAddrs()...)
			cfg.Compression = producer.CompressionZstd
			p, err := producer.New(cfg)
			require.NoError(t, err)
			_, err = p.Send(t.Context(), &producer.Record{Topic: "t", Value: slices.Repeat([]byte("text"), 1000)},
				nil).Get(t.Context())
			require.ErrorContains(t, err, "zstd")
			require.False(t, producer.MaybeWritten(err))
			require.NoError(t, p.Close(t.Context()))
		})
	}
}
