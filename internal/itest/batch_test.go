package itest

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gosamsa/samsa/compress"
	"github.com/gosamsa/samsa/record"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// levels are the tested levels of each codec: the lowest, the default, the highest, and some between.
var levels = map[compress.Codec][]int{
	compress.None:   {0},
	compress.Gzip:   {-1, 1, 9},
	compress.Snappy: {0},
	compress.LZ4:    {1, 2, 9, 17},
	compress.Zstd:   {-131072, 1, 3, 7, 22},
}

// eachLevel runs a test for each codec at each of its levels. The compressor is nil for none.
func eachLevel(t *testing.T, test func(t *testing.T, codec compress.Codec, c *compress.Compressor)) {
	t.Helper()
	for codec := compress.None; codec <= compress.Zstd; codec++ {
		for _, level := range levels[codec] {
			t.Run(fmt.Sprintf("%s/%d", codec, level), func(t *testing.T) {
				if codec == compress.None {
					test(t, codec, nil)
					return
				}
				c, err := compress.NewCompressor(codec, level)
				require.NoError(t, err)
				test(t, codec, c)
			})
		}
	}
}

// records makes n random records with ascending offsets and with timestamps around now, not in order.
func (f *filler) records(n int) []record.ParsedRecord {
	words := f.bytes(64)
	blob := func() []byte {
		switch f.IntN(5) {
		case 0:
			return nil
		case 1:
			return []byte{}
		case 2:
			return f.bytes(f.length())
		default:
			return bytes.Repeat(words, f.IntN(40)) // compressible
		}
	}
	records := make([]record.ParsedRecord, n)
	for i := range records {
		records[i] = record.ParsedRecord{
			Offset: int64(i), Timestamp: time.Now().UnixMilli() + int64(f.IntN(200_000)) - 100_000, Key: blob(),
			Value: blob(),
		}
		for range f.IntN(3) {
			records[i].Headers = append(records[i].Headers, record.Header{Key: f.text(), Value: blob()})
		}
	}
	return records
}

// encode makes a batch as the producer does.
func encode(t *testing.T, records []record.ParsedRecord, codec compress.Codec, c *compress.Compressor) []byte {
	t.Helper()
	h := record.BatchHeader{
		PartitionLeaderEpoch: -1, Magic: record.Magic, Attributes: int16(codec),
		LastOffsetDelta: int32(len(records) - 1),
		BaseTimestamp:   records[0].Timestamp, MaxTimestamp: records[0].Timestamp,
		ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, Count: int32(len(records)),
	}
	var body []byte
	for i, r := range records {
		delta, before := r.Timestamp-h.BaseTimestamp, len(body)
		body = record.AppendRecord(body, int32(i), delta, r.Key, r.Value, r.Headers)
		require.Equal(t, record.RecordSize(int32(i), delta, r.Key, r.Value, r.Headers), len(body)-before)
		h.MaxTimestamp = max(h.MaxTimestamp, r.Timestamp)
	}
	batch := make([]byte, record.BatchHeaderSize)
	if c == nil {
		batch = append(batch, body...)
	} else {
		var err error
		batch, err = c.Compress(batch, body)
		require.NoError(t, err)
	}
	h.Length = int32(len(batch) - record.BatchLengthOverhead)
	h.Put(batch)
	record.SetProducer(batch, 1<<40, 12, 1<<30)
	record.SetChecksum(batch)
	return batch
}

func TestBatchesAreReadByFranzGo(t *testing.T) {
	f := newFiller(5, 0)
	decompressor := kgo.DefaultDecompressor()
	eachLevel(t, func(t *testing.T, codec compress.Codec, c *compress.Compressor) {
		for range 10 {
			want := f.records(1 + f.length()%300)
			fetched := kmsg.FetchResponseTopicPartition{RecordBatches: encode(t, want, codec, c)}
			partition, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{}, &fetched, decompressor, nil)
			require.NoError(t, partition.Err)
			require.Equal(t, want, fromKgo(partition.Records))
			for _, r := range partition.Records {
				require.EqualValues(t, 1<<40, r.ProducerID)
				require.EqualValues(t, 12, r.ProducerEpoch)
			}
		}
	})
}

func fromKgo(in []*kgo.Record) []record.ParsedRecord {
	return each(in, func(r *kgo.Record) record.ParsedRecord {
		return record.ParsedRecord{Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli(), Key: r.Key, Value: r.Value,
			Headers: each(r.Headers, func(h kgo.RecordHeader) record.Header { return record.Header(h) })}
	})
}

func TestBatchesHaveKmsgsBytes(t *testing.T) {
	f := newFiller(6, 0)
	for range 300 {
		records := f.records(1 + f.length()%300)
		batch := encode(t, records, compress.None, nil)
		var theirs kmsg.RecordBatch
		require.NoError(t, theirs.ReadFrom(batch))
		require.EqualValues(t, len(records), theirs.NumRecords)
		require.EqualValues(t, 1<<30, theirs.FirstSequence)
		requireSameBytes(t, batch, theirs.AppendTo(nil))

		var body []byte
		for i, r := range records {
			k := kmsg.Record{TimestampDelta64: r.Timestamp - theirs.FirstTimestamp, OffsetDelta: int32(i), Key: r.Key,
				Value:   r.Value,
				Headers: each(r.Headers, func(h record.Header) kmsg.Header { return kmsg.Header(h) })}
			k.TimestampDelta = int32(k.TimestampDelta64)
			k.Length = int32(len(k.AppendTo(nil)) - 1) // the length 0 took one byte
			body = k.AppendTo(body)
		}
		requireSameBytes(t, batch[record.BatchHeaderSize:], body)
	}
}

func TestFranzGosBatchesAreRead(t *testing.T) {
	f := newFiller(7, 0)
	for codec := compress.None; codec <= compress.Zstd; codec++ {
		t.Run(codec.String(), func(t *testing.T) {
			want := f.records(300)
			var got []record.ParsedRecord
			compressed := 0
			for _, batch := range produceWithKgo(t, want, kgo.ProducerBatchCompression(franzCodec(codec))) {
				b, rest, err := record.ReadBatch(batch, compress.Decompress, 0)
				require.NoError(t, err)
				require.Empty(t, rest)
				require.NoError(t, b.ValidateProduced())
				if b.Header.Codec() == int8(codec) {
					compressed++
				}
				for _, r := range b.Records {
					r.Offset = int64(len(got))
					got = append(got, r)
				}
			}
			require.Equal(t, want, got)
			require.NotZero(t, compressed)
		})
	}
}

// produceWithKgo sends records to a fake broker with franz-go and returns the received batches, in order.
func produceWithKgo(t *testing.T, records []record.ParsedRecord, opts ...kgo.Opt) [][]byte {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"))
	require.NoError(t, err)
	defer cluster.Close()
	var batches [][]byte
	cluster.ControlKey(0, func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		for _, topic := range req.(*kmsg.ProduceRequest).Topics {
			for _, p := range topic.Partitions {
				batches = append(batches, bytes.Clone(p.Records))
			}
		}
		return nil, nil, false
	})
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.DefaultProduceTopic("t"),
		kgo.ProducerLinger(20*time.Millisecond), kgo.MaxProduceRequestsInflightPerBroker(1))...)
	require.NoError(t, err)
	defer client.Close()
	results := client.ProduceSync(t.Context(), each(records, func(r record.ParsedRecord) *kgo.Record {
		return &kgo.Record{Key: r.Key, Value: r.Value, Timestamp: time.UnixMilli(r.Timestamp),
			Headers: each(r.Headers, func(h record.Header) kgo.RecordHeader { return kgo.RecordHeader(h) })}
	})...)
	require.NoError(t, results.FirstErr())
	return batches
}

func TestCodecsAndFranzGosReadEachOther(t *testing.T) {
	f := newFiller(8, 0)
	// Nothing at all does not occur, since batches have records. The rest is around the blocks of the codecs: 64 KiB
	// and more for lz4, 128 KiB for zstd, 256 KiB for xerial snappy, with 32 from other writers.
	sizes := []int{1, 2, 100, 1 << 10, 1<<15 - 1, 1 << 15, 1<<15 + 1, 1<<16 - 1, 1 << 16, 1<<16 + 1, 1<<17 + 1,
		1<<18 - 1, 1 << 18, 1<<18 + 1, 300_000}
	decompressor := kgo.DefaultDecompressor()
	eachLevel(t, func(t *testing.T, codec compress.Codec, c *compress.Compressor) {
		if c == nil {
			return
		}
		theirs, err := kgo.DefaultCompressor(franzCodec(codec))
		require.NoError(t, err)
		for _, size := range sizes {
			for name, data := range map[string][]byte{
				"random": f.bytes(size),
				"text":   bytes.Repeat([]byte(`{"id":17,"name":"samsa"}`), size/24+1)[:size],
				"mixed":  slices.Concat(f.bytes(size/2), make([]byte, size-size/2)),
			} {
				out, err := c.Compress(nil, data)
				require.NoError(t, err)
				back, err := decompressor.Decompress(out, kgo.CompressionCodecType(codec))
				require.NoError(t, err, "%s %d", name, size)
				requireSameBytes(t, data, back)

				out, used := theirs.Compress(new(bytes.Buffer), data)
				require.EqualValues(t, codec, used)
				back, err = compress.Decompress(nil, int8(codec), out, size)
				require.NoError(t, err, "%s %d", name, size)
				requireSameBytes(t, data, back)
			}
		}
	})
}

func franzCodec(codec compress.Codec) kgo.CompressionCodec {
	switch codec {
	case compress.Gzip:
		return kgo.GzipCompression()
	case compress.Snappy:
		return kgo.SnappyCompression()
	case compress.LZ4:
		return kgo.Lz4Compression()
	case compress.Zstd:
		return kgo.ZstdCompression()
	}
	return kgo.NoCompression()
}
