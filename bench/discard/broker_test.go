package discard

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

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
		m, err := p.Send(ctx, &producer.Record{Topic: Topic(3), Partition: producer.InPartition(part),
			Value: []byte("x")}, nil).Get(ctx)
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

func TestTheLeaderOfAMovingTopicMovesBeforeEachBatchButTheFirst(t *testing.T) {
	b, err := Listen()
	require.NoError(t, err)
	p, err := producer.New(producer.DefaultConfig(b.Address()))
	require.NoError(t, err)
	ctx := t.Context()
	for range 4 {
		_, err := p.Send(ctx, &producer.Record{Topic: MovingTopic(3), Partition: producer.InPartition(1)}, nil).Get(ctx)
		require.NoError(t, err)
	}
	require.NoError(t, p.Close(context.WithoutCancel(ctx)))
	require.NoError(t, b.Close())
	require.NoError(t, b.Trouble())
	require.EqualValues(t, 4, b.Counts().Records)
	require.EqualValues(t, 7, b.Counts().Requests, "three were refused")
	require.Equal(t, int32(3), b.moves[partitionKey{idOf(MovingTopic(3)), 1}].epoch)
}

// hangsUp connects, sends some bytes, and hangs up as told; it returns when the broker has noticed.
func hangsUp(t *testing.T, b *Broker, sent []byte, how func(*net.TCPConn)) {
	t.Helper()
	c, err := net.Dial("tcp", b.Address())
	require.NoError(t, err)
	_, err = c.Write(sent)
	require.NoError(t, err)
	open := func() int {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.conns)
	}
	require.Eventually(t, func() bool { return open() == 1 }, time.Minute, time.Millisecond)
	how(c.(*net.TCPConn))
	require.NoError(t, c.Close())
	require.Eventually(t, func() bool { return open() == 0 }, time.Minute, time.Millisecond)
}

func TestAClientMayResetItsConnection(t *testing.T) {
	b, err := Listen()
	require.NoError(t, err)
	hangsUp(t, b, nil, func(c *net.TCPConn) { require.NoError(t, c.SetLinger(0)) })
	require.NoError(t, b.Trouble())
	require.NoError(t, b.Close())
}

func TestHalfARequestIsTrouble(t *testing.T) {
	b, err := Listen()
	require.NoError(t, err)
	hangsUp(t, b, []byte{0, 0, 0, 9, 1}, func(*net.TCPConn) {})
	require.ErrorIs(t, b.Trouble(), io.ErrUnexpectedEOF)
	require.NoError(t, b.Close())
}
