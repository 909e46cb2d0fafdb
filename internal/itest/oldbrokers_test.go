package itest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/record"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

// oldBrokers are the versions to cap kfake at, and whether they have zstd.
var oldBrokers = []struct {
	name     string
	versions *kversion.Versions
	zstd     bool
}{
	{"0.11", kversion.V0_11_0(), false},
	{"1.0", kversion.V1_0_0(), false},
	{"2.1", kversion.V2_1_0(), true},
	{"2.8", kversion.V2_8_0(), true},
	{"4.3", kversion.V4_3_0(), true},
}

func fakeCluster(t *testing.T, versions *kversion.Versions) *kfake.Cluster {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.SeedTopics(3, "t"), kfake.MaxVersions(versions))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	return cluster
}

func newProducer(t *testing.T, cfg producer.Config) *producer.Producer {
	t.Helper()
	p, err := producer.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		require.NoError(t, p.Close(ctx))
	})
	return p
}

// sendAll sends the records one after the other, waits for all, and returns the acknowledgements. With offsets it
// demands one for each.
func sendAll(t *testing.T, p *producer.Producer, topic string, records []record.ParsedRecord,
	offsets bool) []producer.RecordMetadata {
	t.Helper()
	futures := make([]producer.Future, 0, len(records))
	for _, r := range records {
		futures = append(futures, p.Send(t.Context(), &producer.Record{Topic: topic, Key: r.Key, Value: r.Value,
			Headers:   r.Headers,
			Timestamp: time.UnixMilli(r.Timestamp)}, nil))
	}
	acked := make([]producer.RecordMetadata, 0, len(records))
	for i, f := range futures {
		md, err := f.Get(t.Context())
		require.NoError(t, err)
		require.Equal(t, topic, md.Topic)
		require.Equal(t, records[i].Timestamp, md.Timestamp.UnixMilli())
		if offsets {
			require.GreaterOrEqual(t, md.Offset, int64(0))
		} else {
			require.EqualValues(t, -1, md.Offset)
		}
		acked = append(acked, md)
	}
	return acked
}

// byPartition sorts records into their acknowledged partitions, in the order of sending.
func byPartition(records []record.ParsedRecord, acked []producer.RecordMetadata) map[int32][]record.ParsedRecord {
	placed := map[int32][]record.ParsedRecord{}
	for i, md := range acked {
		r := records[i]
		r.Offset = int64(len(placed[md.Partition]))
		placed[md.Partition] = append(placed[md.Partition], r)
	}
	return placed
}

// consume reads n records of a topic with franz-go's consumer.
func consume(t *testing.T, servers []string, topic string, n int) map[int32][]record.ParsedRecord {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(servers...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(100*time.Millisecond))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	read := map[int32][]*kgo.Record{}
	for n > 0 {
		fetches := client.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			read[r.Partition] = append(read[r.Partition], r)
			n--
		})
	}
	got := map[int32][]record.ParsedRecord{}
	for partition, records := range read {
		got[partition] = fromKgo(records)
	}
	return got
}

func TestRecordsReachOldBrokersWithEveryCodecThatTheyHave(t *testing.T) {
	f := newFiller(9, 0)
	for _, broker := range oldBrokers {
		for codec := producer.CompressionNone; codec <= producer.CompressionZstd; codec++ {
			if codec == producer.CompressionZstd && !broker.zstd {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s", broker.name, codec), func(t *testing.T) {
				cluster := fakeCluster(t, broker.versions)
				cfg := producer.DefaultConfig(cluster.ListenAddrs()...)
				cfg.Compression = codec
				records := f.records(300)
				acked := sendAll(t, newProducer(t, cfg), "t", records, true)
				require.Equal(t, byPartition(records, acked), consume(t, cluster.ListenAddrs(), "t", len(records)))
				for i, md := range acked {
					if records[i].Key != nil {
						require.Equal(t, producer.PartitionForKey(records[i].Key, 3), md.Partition)
					}
				}
			})
		}
	}
}

func TestRecordsReachOldBrokersWithEveryAcks(t *testing.T) {
	f := newFiller(10, 0)
	for _, broker := range oldBrokers {
		for _, acks := range []producer.Acks{producer.AcksNone, producer.AcksLeader, producer.AcksAll} {
			t.Run(fmt.Sprintf("%s/%s", broker.name, acks), func(t *testing.T) {
				cluster := fakeCluster(t, broker.versions)
				cfg := producer.ClassicConfig(cluster.ListenAddrs()...)
				cfg.Acks = acks
				records := f.records(300)
				acked := sendAll(t, newProducer(t, cfg), "t", records, acks != producer.AcksNone)
				require.Equal(t, byPartition(records, acked), consume(t, cluster.ListenAddrs(), "t", len(records)))
			})
		}
	}
}

func TestABrokerBefore011IsAClearError(t *testing.T) {
	for missing, config := range map[string]func(...string) producer.Config{
		"InitProducerId": producer.DefaultConfig, "Produce": producer.ClassicConfig,
	} {
		t.Run(missing, func(t *testing.T) {
			cluster := fakeCluster(t, kversion.V0_10_2())
			cfg := config(cluster.ListenAddrs()...)
			cfg.MaxBlock, cfg.DeliveryTimeout, cfg.RequestTimeout = time.Second, time.Second, 500*time.Millisecond
			p, err := producer.New(cfg)
			require.NoError(t, err)
			_, err = p.Send(t.Context(), &producer.Record{Topic: "t", Value: []byte("v")}, nil).Get(t.Context())
			require.ErrorContains(t, err, "not supported by the broker")
			require.ErrorContains(t, err, missing)
			require.False(t, producer.MaybeWritten(err))
			require.NoError(t, p.Close(t.Context()))
		})
	}
}
