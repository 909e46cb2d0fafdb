package producer_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
)

func TestAQuietTrySendDoesNotFailBecauseItsTopicWasForgotten(t *testing.T) {
	bubble(t, topics(1, 3), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 3, forgetful)
		for range 5 {
			time.Sleep(forgotten)
			requests := len(c.RequestsOf(protocol.Metadata))
			f := p.TrySend(to(1, "quiet"), nil)
			md, err := f.Get(t.Context())
			require.NoError(t, err)
			require.EqualValues(t, 1, md.Partition)
			require.Greater(t, len(c.RequestsOf(protocol.Metadata)), requests, "the topic was forgotten")
			_, err = p.TrySend(&producer.Record{Topic: "t", Key: []byte("key")}, nil).Get(t.Context())
			require.NoError(t, err)
		}
	})
}

func TestAQuietTrySendToATopicThatWasDeletedFailsWithTheReason(t *testing.T) {
	bubble(t, topics(1, 3), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 3, func(cfg *producer.Config) {
			forgetful(cfg)
			cfg.DeliveryTimeout = time.Minute
		})
		time.Sleep(forgotten)
		c.DeleteTopic("t")
		f := p.TrySend(to(1, "quiet"), nil)
		time.Sleep(5500 * time.Millisecond)
		_, err := p.TrySend(to(1, "late"), nil).Get(t.Context())
		require.ErrorIs(t, err, producer.ErrUnknownTopic)
		_, err = f.Get(t.Context())
		require.ErrorIs(t, err, producer.ErrDeliveryTimeout)
		require.Equal(t, producer.FateNotWritten, producer.FateOf(err))
		time.Sleep(forgotten)
		_, err = p.TrySend(to(1, "later"), nil).Get(t.Context())
		require.Equal(t, producer.FateNotWritten, producer.FateOf(err))
	})
}

func TestSendSyncReturnsTheOutcome(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		md, err := p.SendSync(t.Context(), to(0, "a"))
		require.NoError(t, err)
		require.EqualValues(t, 1, md.Offset)
		_, err = p.SendSync(t.Context(), &producer.Record{Topic: "not legal"})
		require.ErrorIs(t, err, producer.ErrInvalidTopic)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = p.SendSync(ended, to(0, "b"))
		require.Equal(t, producer.FateNotWritten, producer.FateOf(err))
		c.Hang(1)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = p.SendSync(short, to(0, "c"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, producer.FateMaybeWritten, producer.FateOf(err))
		c.Unhang(1)
	})
}

func TestGetOrCancelWithdrawsARecordThatIsNotSealed(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		md, err := p.Send(t.Context(), to(0, "a"), nil).GetOrCancel(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 1, md.Offset)

		c.StopBroker(1)
		p.Send(t.Context(), to(0, "first"), nil) // this write meets the end of the connection
		time.Sleep(time.Second)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		f := p.Send(t.Context(), to(0, "withdrawn"), nil)
		_, err = f.GetOrCancel(short)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, producer.ErrCanceled)
		require.Equal(t, producer.FateNotWritten, producer.FateOf(err))
		require.Equal(t, "context_deadline_exceeded", producer.Reason(err))
		require.EqualError(t, err, `samsa: topic "t" partition 0: context deadline exceeded: record was canceled (not written)`)
		_, err = f.Get(t.Context())
		require.ErrorIs(t, err, producer.ErrCanceled)
		c.StartBroker(1)
		require.NoError(t, p.Flush(t.Context()))

		c.Hang(1)
		g := p.Send(t.Context(), to(0, "on its way"), nil)
		long, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err = g.GetOrCancel(long)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		c.Unhang(1)
		_, err = g.Get(t.Context())
		require.NoError(t, err)
		require.NoError(t, p.Flush(t.Context()))
		for _, r := range c.Log("t", 0) {
			require.NotEqual(t, "withdrawn", string(r.Value))
		}
	})
}

// keysOnly is a partitioner that chooses only for records with a key.
type keysOnly struct{}

func (keysOnly) Partition(r *producer.Record, _ producer.TopicView) int32 {
	if r.Key == nil {
		return producer.BuiltInDecides
	}
	return 2
}

func TestAPartitionerMayLeaveARecordToTheBuiltInOne(t *testing.T) {
	bubble(t, topics(1, 3), func(t *testing.T, c *testbroker.Cluster) {
		p := start(t, c, func(cfg *producer.Config) { cfg.Partitioner = keysOnly{} })
		md, err := p.SendSync(t.Context(), &producer.Record{Topic: "t", Key: []byte("k")})
		require.NoError(t, err)
		require.EqualValues(t, 2, md.Partition)
		seen := map[int32]bool{}
		for range 200 {
			md, err := p.SendSync(t.Context(), &producer.Record{Topic: "t", Value: make([]byte, 8000)})
			require.NoError(t, err)
			seen[md.Partition] = true
		}
		require.Len(t, seen, 3)
	})
}

// A program in shutdown withdraws as many records as it can: the first GetOrCancel must not send the batch with the
// other records.
func TestGetOrCancelWithAnEndedContextWithdrawsEveryRecord(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, lingering(time.Hour))
		var all []producer.Future
		for range 10 {
			all = append(all, p.Send(t.Context(), to(0, "withdrawn"), nil))
		}
		time.Sleep(time.Second)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for _, f := range all {
			_, err := f.GetOrCancel(ended)
			require.ErrorIs(t, err, context.Canceled)
			require.Equal(t, producer.FateNotWritten, producer.FateOf(err))
			require.Equal(t, "context_canceled", producer.Reason(err))
		}
		require.NoError(t, p.Flush(t.Context()))
		require.Len(t, c.Log("t", 0), 1, "only the record that warmed the producer up")
	})
}
