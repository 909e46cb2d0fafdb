package producer_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
)

// This file tests faults and recoveries as the user sees them.

// TestSendInsideTheCallbackOfAnExpiredRecord: a callback may send its failed record again. The producer must not
// deadlock, and must deliver the record.
func TestSendInsideTheCallbackOfAnExpiredRecord(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) {
			cfg.RequestTimeout, cfg.DeliveryTimeout = 2*time.Second,
				5*time.Second
		})
		c.StopBroker(1)
		again := make(chan producer.Future, 10)
		for i := range 10 {
			value := fmt.Sprint(i)
			p.Send(t.Context(), to(0, value), func(_ producer.RecordMetadata, err error) {
				if producer.Retriable(err) {
					again <- p.Send(context.Background(), to(0, value), nil)
				}
			})
		}
		time.Sleep(6 * time.Second)
		c.StartBroker(1)
		for range 10 {
			_, err := (<-again).Get(t.Context())
			require.NoError(t, err)
		}
		require.Equal(t, strings.Fields("0 1 2 3 4 5 6 7 8 9"), written(c, 0))
	})
}

// TestFlushWaitsForThePartsOfASplit: smaller batches replace the batch that Flush waits for, and even smaller batches
// replace these.
func TestFlushWaitsForThePartsOfASplit(t *testing.T) {
	cfg := topics(1, 1)
	cfg.Settings = map[string]testbroker.TopicSettings{"t": {MessageMaxBytes: 1000}}
	bubble(t, cfg, func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, lingering(time.Hour))
		c.On(protocol.Produce).Do(testbroker.DelayAnswer(time.Second))
		var futures []producer.Future
		var told outcomes
		for range 100 {
			futures = append(futures, p.Send(t.Context(), sized(100), told.add))
		}
		require.NoError(t, p.Flush(t.Context()))
		require.Len(t, told.all(), 100)
		for i, f := range futures {
			require.True(t, isOver(f))
			md, err := f.Get(t.Context())
			require.NoError(t, err)
			require.EqualValues(t, 1+i, md.Offset)
		}
		require.Greater(t, len(c.Batches("t", 0)), 10)
	})
}

// TestPartitionsThatWereAddedAreUsedWithoutAKey: after metadata.max.age.ms the new partitions get their share of
// records, without a restart.
func TestPartitionsThatWereAddedAreUsedWithoutAKey(t *testing.T) {
	bubble(t, topics(2, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) { cfg.BatchSize, cfg.MetadataMaxAge = 0, time.Minute })
		c.AddPartitions("t", 4)
		time.Sleep(61 * time.Second)
		seen := map[int32]int{}
		for range 200 {
			md, err := p.Send(t.Context(), &producer.Record{Topic: "t", Value: []byte("x")}, nil).Get(t.Context())
			require.NoError(t, err)
			seen[md.Partition]++
		}
		require.Len(t, seen, 4, "%v", seen)
	})
}

// TestCloseDoesNotHangWhileTheProducerIDIsReplaced: the epochs of the first id are used up, and the brokers assign no
// other id.
func TestCloseDoesNotHangWhileTheProducerIDIsReplaced(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		last := testbroker.Edit(func(a *protocol.InitProducerIDResponse) { a.ProducerEpoch = math.MaxInt16 })
		c.On(protocol.InitProducerID).Nth(1).Do(last)
		p := warm(t, c, 1, nil)
		c.On(protocol.InitProducerID).Do(testbroker.SwallowAnswer())
		c.On(protocol.Produce).Nth(1).Do(testbroker.Fail(protocol.UnknownProducerID))
		f := p.Send(t.Context(), to(0, "x"), nil)
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		require.ErrorIs(t, p.Close(ctx), context.DeadlineExceeded)
		require.Equal(t, 3*time.Second, time.Since(began))
		notWritten(t, f, producer.ErrClosed)
	})
}

// TestRecordsWithoutAKeyAvoidABrokerThatHangs: after partitioner.availability.timeout.ms the producer avoids the
// partitions of the broker, and chooses them again when the broker is back.
func TestRecordsWithoutAKeyAvoidABrokerThatHangs(t *testing.T) {
	bubble(t, topics(2, 4), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 4, func(cfg *producer.Config) {
			cfg.BatchSize, cfg.PartitionerAvailabilityTimeout = 0,
				time.Second
		})
		c.Hang(2)
		for i := range int32(20) { // more than the limit in flight, so some wait for the broker
			p.Send(t.Context(), to(1+2*(i%2), "stuck"), nil)
			synctest.Wait()
		}
		time.Sleep(2 * time.Second)
		began := time.Now()
		for range 100 {
			md, err := p.Send(t.Context(), &producer.Record{Topic: "t", Value: []byte("x")}, nil).Get(t.Context())
			require.NoError(t, err)
			require.Zero(t, md.Partition%2, "led by broker 1")
		}
		require.Zero(t, time.Since(began))
		c.Unhang(2)
		require.NoError(t, p.Flush(t.Context()))
		seen := map[int32]int{}
		for range 200 {
			md, err := p.Send(t.Context(), &producer.Record{Topic: "t", Value: []byte("x")}, nil).Get(t.Context())
			require.NoError(t, err)
			seen[md.Partition]++
		}
		require.Len(t, seen, 4, "%v", seen)
	})
}

// TestTheFirstRecordOfATopicWaitsForNothingButItsMetadata: a backoff or a refresh of the known topics does not delay
// it.
func TestTheFirstRecordOfATopicWaitsForNothingButItsMetadata(t *testing.T) {
	cfg := testbroker.Config{Brokers: 3, Topics: map[string]int32{}}
	for i := range 50 {
		cfg.Topics[fmt.Sprint("t", i)] = 3
	}
	bubble(t, cfg, func(t *testing.T, c *testbroker.Cluster) {
		p := start(t, c, nil)
		for i := range 50 {
			began := time.Now()
			_, err := p.Send(t.Context(), &producer.Record{Topic: fmt.Sprint("t", i)}, nil).Get(t.Context())
			require.NoError(t, err)
			require.Zero(t, time.Since(began))
		}
	})
}
