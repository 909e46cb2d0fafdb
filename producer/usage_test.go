package producer_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
)

// The examples of the package page have no broker. These tests run the same calls against one.

// shop is a cluster of three brokers, known as kafka:9092, with a topic "orders" of two partitions.
func shop(t *testing.T) *testbroker.Cluster {
	t.Helper()
	c := testbroker.New(t, testbroker.Config{Brokers: 3, Topics: map[string]int32{"orders": 2}, MinInSyncReplicas: 2})
	c.Alias("kafka:9092", 1)
	return c
}

// openShop returns a producer of the cluster. The test closes it.
func openShop(t *testing.T, c *testbroker.Cluster, configure func(*producer.Config)) *producer.Producer {
	t.Helper()
	cfg := producer.DefaultConfig("kafka:9092")
	cfg.Dialer = c.Dial
	if configure != nil {
		configure(&cfg)
	}
	p, err := producer.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Close(context.WithoutCancel(t.Context())) })
	return p
}

func inOrders(partition int32, value string) *producer.Record {
	return &producer.Record{Topic: "orders", Partition: producer.InPartition(partition), Value: []byte(value)}
}

func TestGetReturnsThePlaceOfARecord(t *testing.T) {
	p := openShop(t, shop(t), nil)
	metadata, err := p.Send(t.Context(), &producer.Record{Topic: "orders", Key: []byte("42"),
		Value: []byte("one book")}, nil).Get(t.Context())
	require.NoError(t, err)
	require.Equal(t, "orders", metadata.Topic)
	require.Zero(t, metadata.Partition)
	require.Zero(t, metadata.Offset)
	require.NoError(t, p.Close(t.Context()))
}

func TestCloseRunsTheCallbacksInTheOrderOfSending(t *testing.T) {
	p := openShop(t, shop(t), nil)
	var items []string
	record := producer.Record{Topic: "orders", Partition: producer.InPartition(0)}
	for i, item := range []string{"book", "lamp", "chair"} {
		record.Value = []byte(item)
		p.Send(t.Context(), &record, func(metadata producer.RecordMetadata, err error) {
			if err == nil && metadata.Offset == int64(i) {
				items = append(items, item)
			}
		})
	}
	require.NoError(t, p.Close(t.Context()))
	require.Equal(t, []string{"book", "lamp", "chair"}, items)
}

func TestTrySendWorksOnceThePartitionsAreKnown(t *testing.T) {
	p := openShop(t, shop(t), nil)
	_, err := p.TrySend(inOrders(0, "a book"), nil).Get(t.Context())
	require.ErrorIs(t, err, producer.ErrMetadataTimeout)
	require.Equal(t, producer.FateNotWritten, producer.FateOf(err))
	_, err = p.PartitionsFor(t.Context(), "orders")
	require.NoError(t, err)
	_, err = p.TrySend(inOrders(0, "a book"), nil).Get(t.Context())
	require.NoError(t, err)
}

func TestEachRecordOfSendAllHasItsOwnOutcome(t *testing.T) {
	p := openShop(t, shop(t), nil)
	records := []producer.Record{*inOrders(0, "a book"), {Topic: "no such name!"}, *inOrders(0, "a chair")}
	fates := make([]producer.Fate, 0, len(records))
	for _, f := range p.SendAll(t.Context(), records) {
		_, err := f.Get(t.Context())
		fates = append(fates, producer.FateOf(err))
	}
	require.Equal(t, []producer.Fate{producer.FateAcknowledged, producer.FateRejected, producer.FateAcknowledged},
		fates)
}

func TestDoneIsClosedWithTheOutcome(t *testing.T) {
	p := openShop(t, shop(t), nil)
	f := p.Send(t.Context(), inOrders(1, "a book"), nil)
	<-f.Done()
	metadata, err := f.Get(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, metadata.Partition)
}

func TestCancelWithdrawsALingeringRecordAndNoOther(t *testing.T) {
	p := openShop(t, shop(t), func(c *producer.Config) { c.Linger = time.Minute })
	book := p.Send(t.Context(), inOrders(0, "a book"), nil)
	lamp := p.Send(t.Context(), inOrders(0, "a lamp"), nil)
	require.True(t, book.Cancel())
	require.NoError(t, p.Close(t.Context()))
	_, err := book.Get(t.Context())
	require.ErrorIs(t, err, producer.ErrCanceled)
	require.False(t, producer.MaybeWritten(err))
	metadata, err := lamp.Get(t.Context())
	require.NoError(t, err)
	require.Zero(t, metadata.Offset)
}

func TestFlushWaitsForEveryCallback(t *testing.T) {
	p := openShop(t, shop(t), nil)
	delivered := make(chan bool, 100)
	for range 100 {
		p.Send(t.Context(), &producer.Record{Topic: "orders"},
			func(_ producer.RecordMetadata, err error) { delivered <- err == nil })
	}
	require.NoError(t, p.Flush(t.Context()))
	require.Len(t, delivered, 100)
	records, _ := p.Buffered()
	require.Zero(t, records)
}

func TestCloseWithAnEndedContextCountsTheRecordsThatAreLeft(t *testing.T) {
	c := shop(t)
	p := openShop(t, c, nil)
	_, err := p.PartitionsFor(t.Context(), "orders")
	require.NoError(t, err)
	c.Hang(1)
	p.Send(t.Context(), inOrders(0, "a book"), nil)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	var left *producer.CloseError
	require.ErrorAs(t, p.Close(ended), &left)
	require.Equal(t, 1, left.Undelivered)
	_, err = p.Send(t.Context(), inOrders(0, "a lamp"), nil).Get(t.Context())
	require.ErrorIs(t, err, producer.ErrClosed)
}

func TestPartitionsForReturnsLeadersAndReplicas(t *testing.T) {
	p := openShop(t, shop(t), nil)
	partitions, err := p.PartitionsFor(t.Context(), "orders")
	require.NoError(t, err)
	require.Len(t, partitions, 2)
	require.EqualValues(t, 1, partitions[0].Leader)
	require.Equal(t, []int32{1, 2, 3}, partitions[0].Replicas)
	require.EqualValues(t, 2, partitions[1].Leader)
	require.Equal(t, []int32{2, 3, 1}, partitions[1].Replicas)
}

func TestTheContextOfGetBoundsTheWaitAndNotTheRecord(t *testing.T) {
	c := shop(t)
	p := openShop(t, c, nil)
	_, err := p.PartitionsFor(t.Context(), "orders")
	require.NoError(t, err)
	_, err = p.Send(t.Context(), inOrders(0, string(make([]byte, 2_000_000))), nil).Get(t.Context())
	require.Equal(t, producer.FateRejected, producer.FateOf(err))

	c.Hang(1)
	f := p.Send(t.Context(), inOrders(0, "a book"), nil)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = f.Get(ended)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, producer.FateMaybeWritten, producer.FateOf(err))
	c.Unhang(1)
	_, err = f.Get(t.Context())
	require.NoError(t, err)
}

func TestAPropertiesFileConfiguresAProducer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "producer.properties")
	const text = "# the shop's producer\nbootstrap.servers = kafka:9092\nacks = all\nlinger.ms = 20\ncompression.type = lz4\n"
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	cfg, err := producer.LoadProperties(file)
	require.NoError(t, err)
	require.Equal(t, 20*time.Millisecond, cfg.Linger)
	require.Equal(t, producer.CompressionLZ4, cfg.Compression)
	c := shop(t)
	cfg.Dialer = c.Dial
	p, err := producer.New(cfg)
	require.NoError(t, err)
	_, err = p.Send(t.Context(), inOrders(0, "a book"), nil).Get(t.Context())
	require.NoError(t, err)
	require.NoError(t, p.Close(t.Context()))
}

func TestTheProfilesDifferInTheMeaningOfAnAcknowledgement(t *testing.T) {
	c := shop(t)
	fast := openShop(t, c, func(c *producer.Config) { c.Acks, c.EnableIdempotence = producer.AcksNone, false })
	metadata, err := fast.Send(t.Context(), inOrders(1, "a book"), nil).Get(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, -1, metadata.Offset, "fast: no response, so no offset")

	safe := openShop(t, c, func(c *producer.Config) { c.Retries, c.RetryBackoff = 3, 10*time.Millisecond })
	_, err = safe.Send(t.Context(), inOrders(0, "a book"), nil).Get(t.Context())
	require.NoError(t, err, "safe: all replicas are in sync")

	c.SetISR("orders", 0, 1) // two of three replicas are not in sync, and min.insync.replicas is 2
	balanced := openShop(t, c, func(c *producer.Config) { c.Acks, c.EnableIdempotence = producer.AcksLeader, false })
	metadata, err = balanced.Send(t.Context(), inOrders(0, "a lamp"), nil).Get(t.Context())
	require.NoError(t, err, "balanced: the leader alone acknowledges")
	require.EqualValues(t, 1, metadata.Offset)
	_, err = safe.Send(t.Context(), inOrders(0, "a chair"), nil).Get(t.Context())
	var reason *producer.BrokerError
	require.True(t, errors.As(err, &reason))
	require.Equal(t, "NOT_ENOUGH_REPLICAS", reason.Code.Name())
	require.Equal(t, producer.FateNotWritten, producer.FateOf(err))
}
