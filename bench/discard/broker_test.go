package discard

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gosamsa/samsa/producer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEverythingIsTakenAndCounted(t *testing.T) {
	b, err := Listen()
	require.NoError(t, err)
	p, err := producer.New(producer.DefaultConfig(b.Address()))
	require.NoError(t, err)
	ctx := t.Context()
	for part := range int32(3) {
		m, err := p.Send(ctx, &producer.Record{Topic: Topic(3), Partition: producer.PartitionOf(part), Value: []byte("x")}, nil).Get(ctx)
		require.NoError(t, err)
		require.Equal(t, part, m.Partition)
	}
	require.NoError(t, p.Close(context.WithoutCancel(ctx)))
	require.NoError(t, b.Close())
	require.NoError(t, b.Trouble())
	c := b.Counts()
	require.Equal(t, Counts{Requests: 3, Batches: 3, Records: 3, Bytes: c.Bytes}, c)
	require.Greater(t, c.Bytes, int64(3*61))
}
