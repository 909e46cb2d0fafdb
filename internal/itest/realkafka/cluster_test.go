package realkafka

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// codecs are the names printed by DumpLogSegments and franz-go's names of the same codecs.
var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

// samples are records of every shape. They compress well, to keep every codec useful.
func samples() []Record {
	text := bytes.Repeat([]byte("line one\nline two\r\n\x00\t"), 40)
	now := time.Now().UnixMilli()
	records := []Record{
		{Key: nil, Value: text},
		{Key: []byte{}, Value: nil},
		{Key: []byte("k\ney"), Value: []byte{}},
		{Key: []byte{0xff}, Value: text, Headers: []Header{{Key: "h", Value: nil}, {Key: "h", Value: []byte{}},
			{Key: "é", Value: []byte{10}}}},
	}
	for i := range records {
		records[i].Timestamp, records[i].TimestampType = now+int64(i), "CreateTime"
	}
	return records
}

func produce(t *testing.T, c *Cluster, topic string, records []Record, opts ...kgo.Opt) {
	t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(c.Bootstrap()...),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	require.NoError(t, err)
	defer client.Close()
	batch := make([]*kgo.Record, 0, len(records))
	for _, r := range records {
		kr := &kgo.Record{Topic: topic, Partition: r.Partition, Key: r.Key, Value: r.Value,
			Timestamp: time.UnixMilli(r.Timestamp)}
		for _, h := range r.Headers {
			kr.Headers = append(kr.Headers, kgo.RecordHeader(h))
		}
		batch = append(batch, kr)
	}
	require.NoError(t, client.ProduceSync(t.Context(), batch...).FirstErr())
}

func TestRecordsComeBackFromOneNodeAsTheyWereSent(t *testing.T) {
	for _, version := range []string{"4.3.1", "3.9.2", "1.1.1"} {
		t.Run(version, func(t *testing.T) {
			c := Start(t, Options{Version: version})
			var topics []Topic
			var names []string
			for codec := range codecs {
				if codec == "zstd" && !atLeast(version, 2, 1) {
					continue
				}
				names = append(names, codec)
				topics = append(topics, Topic{Name: codec, Partitions: 2})
			}
			topics = append(topics, Topic{Name: "append-time",
				Config: map[string]string{"message.timestamp.type": "LogAppendTime"}})
			require.NoError(t, c.CreateTopics(t.Context(), topics...))
			produce(t, c, "append-time", samples())
			want := map[string][]Record{}
			for _, name := range names {
				for partition := range int32(2) {
					records := samples()
					for i := range records {
						records[i].Topic, records[i].Partition, records[i].Offset = name, partition, int64(i)
					}
					produce(t, c, name, records, kgo.ProducerBatchCompression(codecs[name]),
						kgo.ProducerLinger(50*time.Millisecond))
					want[name] = append(want[name], records...)
				}
			}

			got, err := c.ReadAll(t.Context(), append(names, "append-time")...)
			require.NoError(t, err)
			for _, r := range got["append-time"] {
				require.Equal(t, "LogAppendTime", r.TimestampType)
			}
			require.Len(t, got["append-time"], len(samples()))
			delete(got, "append-time")
			require.Equal(t, want, got)

			batches, err := c.DumpSegments(t.Context(), names...)
			require.NoError(t, err)
			for _, name := range names {
				requireBatches(t, name, want[name], batches[name])
			}

			require.Error(t, c.CreateTopics(t.Context(), topics[0]), "a topic that exists")
		})
	}
}

// requireBatches checks that the batches hold exactly these records, sent by an idempotent producer with this codec.
func requireBatches(t *testing.T, codec string, want []Record, batches []Batch) {
	t.Helper()
	var got []Record
	sequence := map[int32]int64{}
	for _, b := range batches {
		require.True(t, b.Valid)
		require.Equal(t, codec, b.Codec)
		require.EqualValues(t, 2, b.Magic)
		require.GreaterOrEqual(t, b.ProducerID, int64(0))
		require.Equal(t, sequence[b.Partition], b.BaseSequence)
		sequence[b.Partition] = b.LastSequence + 1
		for _, r := range b.Records {
			got = append(got, Record{Topic: b.Topic, Partition: b.Partition, Offset: r.Offset, Timestamp: r.Timestamp})
		}
	}
	place := func(r Record) string { return fmt.Sprint(r.Topic, r.Partition, r.Offset, r.Timestamp) }
	require.Equal(t, mapSlice(want, place), mapSlice(got, place))
}

func mapSlice[A, B any](in []A, fn func(A) B) []B {
	out := make([]B, 0, len(in))
	for _, a := range in {
		out = append(out, fn(a))
	}
	return out
}

func TestThreeNodesSurviveKillPauseStopAndRestart(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	c := Start(t, Options{Nodes: 3})
	require.NoError(t, c.CreateTopics(ctx, Topic{Name: "t", Assignment: [][]int32{{1, 2, 3}, {2, 3, 1}, {3, 1, 2}}}))
	sent := 0
	send := func() {
		t.Helper()
		for partition := range int32(3) {
			records := samples()
			for i := range records {
				records[i].Partition = partition
			}
			produce(t, c, "t", records, kgo.RequestTimeoutOverhead(time.Second),
				kgo.ProduceRequestTimeout(5*time.Second),
				kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond }))
			sent += len(records)
		}
	}
	send()

	require.NoError(t, c.Kill(ctx, 1))
	require.Error(t, c.Kill(ctx, 1), "a node that does not run")
	send()
	require.NoError(t, c.Restart(ctx, 1))
	require.Error(t, c.Restart(ctx, 1), "a node that runs")
	waitInSync(ctx, t, c)

	require.NoError(t, c.Pause(2))
	waitLeadersElsewhere(ctx, t, c, 2)
	send()
	require.NoError(t, c.Resume(2))
	waitInSync(ctx, t, c)

	require.NoError(t, c.Stop(ctx, 3))
	send()
	require.NoError(t, c.Restart(ctx, 3))
	waitInSync(ctx, t, c)
	send()

	got, err := c.ReadAll(ctx, "t")
	require.NoError(t, err)
	require.Len(t, got["t"], sent)
	batches, err := c.DumpSegments(ctx, "t")
	require.NoError(t, err)
	require.False(t, slices.ContainsFunc(batches["t"], func(b Batch) bool { return !b.Valid }))
}

func waitInSync(ctx context.Context, t *testing.T, c *Cluster) {
	t.Helper()
	require.NoError(t, poll(ctx, func(ctx context.Context) bool {
		partitions, err := c.Partitions(ctx, "t")
		return err == nil && !slices.ContainsFunc(partitions,
			func(p Partition) bool { return len(p.ISR) < len(p.Replicas) })
	}))
}

func waitLeadersElsewhere(ctx context.Context, t *testing.T, c *Cluster, node int32) {
	t.Helper()
	require.NoError(t, poll(ctx, func(ctx context.Context) bool {
		partitions, err := c.Partitions(ctx, "t")
		return err == nil && !slices.ContainsFunc(partitions,
			func(p Partition) bool { return p.Leader == node || p.Leader < 0 })
	}))
}

func TestTopicsChangeAsAsked(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	c := Start(t, Options{Nodes: 3})
	require.NoError(t, c.CreateTopics(ctx, Topic{Name: "t", Assignment: [][]int32{{1, 2, 3}}}))

	require.NoError(t, c.Reassign(ctx, "t", 0, []int32{3, 2}))
	require.NoError(t, c.ElectPreferred(ctx, "t"))
	partitions, err := c.Partitions(ctx, "t")
	require.NoError(t, err)
	require.Len(t, partitions, 1)
	require.Equal(t, []int32{3, 2}, partitions[0].Replicas)
	require.EqualValues(t, 3, partitions[0].Leader)

	require.NoError(t, c.AddPartitions(ctx, "t", 2))
	require.Error(t, c.AddPartitions(ctx, "t", 1), "fewer than there are")
	partitions, err = c.Partitions(ctx, "t")
	require.NoError(t, err)
	require.Len(t, partitions, 2)

	require.NoError(t, c.DeleteTopics(ctx, "t"))
	require.Error(t, c.DeleteTopics(ctx, "t"), "a topic that does not exist")
	require.NoError(t, c.CreateTopics(ctx, Topic{Name: "t"}))
}

func TestAStartThatCannotSucceedSaysWhy(t *testing.T) {
	_, err := Launch(t.Context(), Options{Config: map[string]string{"num.io.threads": "-1"}})
	require.ErrorContains(t, err, "num.io.threads")
	t.Setenv("PATH", t.TempDir())
	t.Setenv("JAVA_HOME", "")
	_, err = Launch(t.Context(), Options{})
	require.ErrorContains(t, err, "java 17 or newer is needed")
	t.Setenv("SAMSA_CACHE", t.TempDir())
	_, err = Jars(t.Context(), DefaultVersion)
	require.ErrorContains(t, err, "maven is needed")
}
