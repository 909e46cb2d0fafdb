package itest

import (
	"testing"
	"time"

	"github.com/gosamsa/samsa/internal/itest/realkafka"
	"github.com/gosamsa/samsa/producer"
	"github.com/stretchr/testify/require"
)

func TestAProducerNamesARealControllersListener(t *testing.T) {
	cfg := producer.DefaultConfig(realCluster(t, realkafka.DefaultVersion).Controllers()...)
	cfg.MaxBlock = 5 * time.Second
	_, err := newProducer(t, cfg).PartitionsFor(t.Context(), "orders")
	require.ErrorIs(t, err, producer.ErrMetadataTimeout)
	require.ErrorContains(t, err, "a KRaft controller's listener")
}
