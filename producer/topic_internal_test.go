package producer

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
)

// A goroutine may have loaded a snapshot from before the topic left. This snapshot must not make the topic known again.
func TestATopicThatIsNotInTheSnapshotIsNotAdded(t *testing.T) {
	p, err := New(DefaultConfig("nowhere:9092"))
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close(context.Background())) }()
	require.Nil(t, p.addTopic("t"))
	require.Nil(t, p.topic("t"))
}

// A Send may use metadata from before the topic grew, while the sticky partition is already one of the new partitions.
func TestAStickyPartitionNewerThanTheMetadataIsUsed(t *testing.T) {
	badInput(t, nil, func(t *testing.T, _ *testbroker.Cluster, p *Producer) {
		_, err := p.SendSync(t.Context(), &Record{Topic: "t"})
		require.NoError(t, err)
		topic := p.topic("t")
		before := *topic.meta.Load()
		before.view = newTopicView("t", 1, []int32{0})
		topic.meta.Store(&before)
		topic.sticky.update(newTopicView("t", 3, []int32{2}))
		got, err := p.TrySend(&Record{Topic: "t", Timestamp: time.Now()}, nil).Get(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 2, got.Partition)
		_, err = p.TrySend(&Record{Topic: "t", Partition: InPartition(7)}, nil).Get(t.Context())
		require.ErrorIs(t, err, ErrInvalidPartition, "the topic lacks a partition in the record")
	})
}
