package producer_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
)

func TestARefusalThatLastsIsWarnedOfWithinASecond(t *testing.T) {
	for _, code := range []producer.ErrorCode{
		producer.CodeKafkaStorageError, producer.CodeUnknownTopicID, producer.CodeNotLeaderOrFollower,
		producer.CodeNotEnoughReplicas,
	} {
		t.Run(code.Name(), func(t *testing.T) {
			bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
				log := &warnings{Handler: slog.DiscardHandler}
				p := warm(t, c, 1, func(cfg *producer.Config) {
					cfg.Logger, cfg.DeliveryTimeout = slog.New(log),
						40*time.Second
				})
				c.On(protocol.Produce).Times(2).Do(testbroker.Fail(code))
				_, err := p.Send(t.Context(), to(0, "a"), nil).Get(t.Context())
				require.NoError(t, err)
				synctest.Wait()
				line, _ := log.first()
				require.Empty(t, line, "a leader moves")

				c.On(protocol.Produce).Do(testbroker.Fail(code))
				began := time.Now()
				_, err = p.Send(t.Context(), to(0, "b"), nil).Get(t.Context())
				require.ErrorIs(t, err, producer.ErrDeliveryTimeout)
				brokerCode(t, err, code.Name())
				require.Equal(t, "delivery_timeout", producer.Reason(err))
				synctest.Wait()
				line, at := log.first()
				require.Contains(t, line, "the leader refuses a partition's records")
				require.Contains(t, line, code.Name())
				require.LessOrEqual(t, at.Sub(began), time.Second)
			})
		})
	}
}

func TestASendThatWaitsForRoomIsWarnedOfWithinASecond(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		log := &warnings{Handler: slog.DiscardHandler}
		p := warm(t, c, 1, func(cfg *producer.Config) {
			cfg.Logger, cfg.BufferMemory, cfg.BatchSize = slog.New(log),
				4096, 1024
		})
		hold := make(chan struct{})
		p.Send(t.Context(), to(0, "a"), func(producer.RecordMetadata, error) { <-hold })
		began := time.Now()
		var waiting sync.WaitGroup
		for range 5 {
			waiting.Go(func() {
				_, err := p.Send(t.Context(), to(0, strings.Repeat("x", 1000)),
					func(producer.RecordMetadata, error) {}).Get(t.Context())
				if err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(10 * time.Second)
		line, at := log.first()
		require.Contains(t, line, "the buffer is full: Send waits for room, at most for max.block.ms")
		require.Contains(t, line, "have not returned", "it says what holds the room")
		require.LessOrEqual(t, at.Sub(began), time.Second)
		close(hold)
		waiting.Wait()
	})
}

func TestPartitionsForOfAClosedProducerFails(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		require.NoError(t, p.Close(t.Context()))
		for _, topic := range []string{"t", "unknown"} {
			_, err := p.PartitionsFor(t.Context(), topic)
			require.ErrorIs(t, err, producer.ErrClosed, topic)
		}
	})
}

// All records of the slice wait for the same hanging broker, so each error names the same cause.
func TestSendAllNamesTheCauseForEveryRecord(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) { cfg.BufferMemory, cfg.BatchSize = 4096, 1024 })
		c.Hang(1)
		var rs []producer.Record
		for range 10 {
			rs = append(rs, *to(0, strings.Repeat("x", 1000)))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		failed := 0
		for _, f := range p.SendAll(ctx, rs) {
			select {
			case <-f.Done():
				_, err := f.Get(t.Context())
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Contains(t, err.Error(), "has answered nothing for")
				failed++
			default:
			}
		}
		require.Greater(t, failed, 3)
		c.Unhang(1)
	})
}
