package itest

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gosamsa/samsa/internal/itest/realkafka"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/record"
	"github.com/stretchr/testify/require"
)

// cell is one way to send, with a topic of its own.
type cell struct {
	topic string
	acks  producer.Acks
	codec producer.Compression
	level int
	// config is the topic's.
	config map[string]string

	sent  []record.ParsedRecord     // the accepted records, in order
	acked []producer.RecordMetadata // its outcome
}

const matrixPartitions = 2

// matrix is every codec with every acks, and if the version asks for it, every codec at its other levels with acks=all.
func matrix(version kafkaVersion) []*cell {
	var cells []*cell
	for codec := producer.CompressionNone; codec <= producer.CompressionZstd; codec++ {
		if codec == producer.CompressionZstd && !version.zstd {
			continue
		}
		for _, acks := range []producer.Acks{producer.AcksNone, producer.AcksLeader, producer.AcksAll} {
			cells = append(cells, &cell{topic: fmt.Sprintf("%s-acks-%s", codec, acks), acks: acks, codec: codec,
				level: codec.DefaultLevel()})
		}
		for _, level := range levels[codec] {
			if version.levels && level != codec.DefaultLevel() {
				cells = append(cells, &cell{topic: fmt.Sprintf("%s-level%d", codec, level), acks: producer.AcksAll,
					codec: codec, level: level})
			}
		}
	}
	for _, acks := range []producer.Acks{producer.AcksLeader, producer.AcksAll} {
		cells = append(cells, &cell{topic: fmt.Sprintf("append-time-acks-%s", acks), acks: acks,
			config: map[string]string{"message.timestamp.type": "LogAppendTime"}})
	}
	return cells
}

func (c *cell) appendTime() bool { return c.config != nil }
func (c *cell) idempotent() bool { return c.acks == producer.AcksAll }

func (c *cell) producerConfig(servers []string) producer.Config {
	cfg := producer.DefaultConfig(servers...)
	cfg.Acks, cfg.EnableIdempotence, cfg.Compression = c.acks, c.idempotent(), c.codec
	switch c.codec {
	case producer.CompressionGzip:
		cfg.CompressionGzipLevel = c.level
	case producer.CompressionLZ4:
		cfg.CompressionLZ4Level = c.level
	case producer.CompressionZstd:
		cfg.CompressionZstdLevel = c.level
	}
	return cfg
}

// TestRealKafkaHoldsTheSentBytes sends records of every shape and size in every way to real brokers, and
// reads them back with the consumer and the DumpLogSegments of the same version.
func TestRealKafkaHoldsTheSentBytes(t *testing.T) {
	for _, version := range kafkaVersions {
		t.Run(version.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			cluster := version.node(t)
			lap := stopwatch(t)
			cells := matrix(version)
			createTopics(ctx, t, cluster, cells)
			lap("topics made")
			for _, c := range cells {
				c.send(ctx, t, cluster.Bootstrap())
			}
			lap("sent")
			awaitRecords(ctx, t, cluster, cells)
			records, err := cluster.ReadAll(ctx, topicNames(cells)...)
			require.NoError(t, err)
			lap("read by Kafka's consumer")
			batches, err := cluster.DumpSegments(ctx, topicNames(cells)...)
			require.NoError(t, err)
			lap("dumped by DumpLogSegments")
			for _, c := range cells {
				t.Run(c.topic, func(t *testing.T) {
					c.checkRecords(t, records[c.topic])
					c.checkBatches(t, batches[c.topic])
				})
			}
			lap("compared")
		})
	}
}

// stopwatch logs how long each stage took.
func stopwatch(t *testing.T) func(stage string) {
	begin := time.Now()
	return func(stage string) {
		t.Helper()
		t.Logf("%-28s %6d ms", stage, time.Since(begin).Milliseconds())
		begin = time.Now()
	}
}

func createTopics(ctx context.Context, t *testing.T, cluster *realkafka.Cluster, cells []*cell) {
	t.Helper()
	topics := each(cells, func(c *cell) realkafka.Topic {
		return realkafka.Topic{Name: c.topic, Partitions: matrixPartitions, Config: c.config}
	})
	require.NoError(t, cluster.CreateTopics(ctx, topics...))
}

func topicNames(cells []*cell) []string {
	return each(cells, func(c *cell) string { return c.topic })
}

// shapes are the records of each cell: all keys with all values and all headers, then the sizes at the limits of cfg.
func (c *cell) shapes(cfg producer.Config) []record.ParsedRecord {
	f := newFiller(11, uint64(len(c.topic)))
	text := func(n int) []byte { return bytes.Repeat([]byte("line one\nline two\r\n\x00\ttext "), n/25+1)[:n] }
	keys := [][]byte{nil, {}, []byte("k"), []byte("a\nkey\r\n"), f.bytes(300)}
	values := [][]byte{nil, {}, {7}, []byte("\n"), text(900), f.bytes(700)}
	headers := [][]record.Header{
		nil, {{Key: "h", Value: []byte("v")}}, {{Key: "h"}, {Key: "h", Value: []byte{}}, {Key: "", Value: f.bytes(150)},
			{Key: "ключ", Value: text(90)}},
	}
	var records []record.ParsedRecord
	now := time.Now().UnixMilli()
	add := func(r record.ParsedRecord) {
		if n := len(records); n%3 != 0 { // the rest gets the time of the send
			r.Timestamp = now - 1000*int64(n%7)
		}
		records = append(records, r)
	}
	for _, key := range keys {
		for _, value := range values {
			for _, hs := range headers {
				add(record.ParsedRecord{Key: key, Value: value, Headers: hs})
			}
		}
	}
	for _, size := range []int{cfg.BatchSize - 1, cfg.BatchSize, cfg.BatchSize + 1, cfg.MaxRequestSize} {
		add(record.ParsedRecord{Key: []byte("size"), Value: text(valueSize(size, len("size")))})
		add(record.ParsedRecord{Key: []byte("size"), Value: f.bytes(valueSize(size, len("size")))})
	}
	for range 200 { // some more, for batches of many records
		add(record.ParsedRecord{Value: text(100 + f.IntN(100))})
	}
	return records
}

// valueSize returns the length of the value for a batch of one record with total bytes.
func valueSize(total, key int) int {
	k := make([]byte, key)
	for n := total - record.BatchHeaderSize; ; n-- {
		if record.BatchHeaderSize+record.RecordSize(0, 0, k, make([]byte, n), nil) <= total {
			return n
		}
	}
}

// send sends the cell's records and waits for their acknowledgements. Each way of sending gets its part.
func (c *cell) send(ctx context.Context, t *testing.T, servers []string) {
	t.Helper()
	cfg := c.producerConfig(servers)
	p, err := producer.New(cfg)
	require.NoError(t, err)
	c.sent = c.shapes(cfg)
	called := make([]int, len(c.sent))
	acked := make([]producer.RecordMetadata, len(c.sent))
	futures := make([]producer.Future, 0, len(c.sent))
	for i, r := range c.sent {
		out := &producer.Record{Topic: c.topic, Key: r.Key, Value: r.Value, Headers: r.Headers}
		if r.Timestamp != 0 {
			out.Timestamp = time.UnixMilli(r.Timestamp)
		}
		if i%5 == 0 {
			out.Partition = producer.InPartition(int32(i % matrixPartitions))
		}
		futures = append(futures, p.Send(ctx, out, func(md producer.RecordMetadata, err error) {
			if err == nil {
				called[i]++
				acked[i] = md
			}
		}))
	}
	c.requireTooLarge(ctx, t, p, cfg)
	require.NoError(t, p.Flush(ctx))
	for i, f := range futures {
		md, err := f.Get(ctx)
		require.NoError(t, err)
		require.Equal(t, 1, called[i])
		require.Equal(t, md, acked[i])
	}
	c.acked = acked
	require.NoError(t, p.Close(ctx))
}

// requireTooLarge requires the local refusal of one byte more than max.request.size.
func (c *cell) requireTooLarge(ctx context.Context, t *testing.T, p *producer.Producer, cfg producer.Config) {
	t.Helper()
	value := make([]byte, valueSize(cfg.MaxRequestSize, 0)+1)
	_, err := p.Send(ctx, &producer.Record{Topic: c.topic, Value: value}, nil).Get(ctx)
	require.ErrorIs(t, err, producer.ErrRecordTooLarge)
	require.False(t, producer.MaybeWritten(err))
}

// awaitRecords waits until the brokers hold all sent records: with acks=0 no answer tells.
func awaitRecords(ctx context.Context, t *testing.T, cluster *realkafka.Cluster, cells []*cell) {
	t.Helper()
	missing := func() string {
		ends, err := cluster.EndOffsets(ctx, topicNames(cells)...)
		if err != nil {
			return err.Error()
		}
		for _, c := range cells {
			written := int64(0)
			for _, end := range ends[c.topic] {
				written += end
			}
			if written < int64(len(c.sent)) {
				return fmt.Sprintf("%s has %d of %d records", c.topic, written, len(c.sent))
			}
		}
		return ""
	}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for what := missing(); what != ""; what = missing() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatal(what)
		}
	}
}

// checkRecords compares the records from Kafka's consumer with the sent ones, byte for byte and in order.
func (c *cell) checkRecords(t *testing.T, got []realkafka.Record) {
	t.Helper()
	require.Len(t, got, len(c.sent))
	byPartition := map[int32][]realkafka.Record{}
	for _, r := range got {
		byPartition[r.Partition] = append(byPartition[r.Partition], r)
	}
	next := map[int32]int{}
	for i, want := range c.sent {
		md := c.acked[i]
		require.Equal(t, c.topic, md.Topic)
		at := next[md.Partition]
		next[md.Partition]++
		require.Less(t, at, len(byPartition[md.Partition]))
		r := byPartition[md.Partition][at]
		require.EqualValues(t, at, r.Offset, "record %d", i)
		if c.acks != producer.AcksNone {
			require.Equal(t, r.Offset, md.Offset, "record %d", i)
		} else {
			require.EqualValues(t, -1, md.Offset)
		}
		c.checkPartition(t, i, md)
		c.checkTimestamp(t, want, md, r)
		requireSame(t, want.Key, r.Key, i)
		requireSame(t, want.Value, r.Value, i)
		require.Equal(t, want.Headers, each(r.Headers,
			func(h realkafka.Header) record.Header { return record.Header(h) }), "record %d", i)
	}
}

// checkPartition checks a record's partition: the one given to Send, or the key's.
func (c *cell) checkPartition(t *testing.T, i int, md producer.RecordMetadata) {
	t.Helper()
	switch key := c.sent[i].Key; {
	case i%5 == 0:
		require.EqualValues(t, i%matrixPartitions, md.Partition)
	case key != nil:
		require.Equal(t, producer.PartitionForKey(key, matrixPartitions), md.Partition)
	}
}

func (c *cell) checkTimestamp(t *testing.T, want record.ParsedRecord, md producer.RecordMetadata, r realkafka.Record) {
	t.Helper()
	require.Equal(t, md.Timestamp.UnixMilli(), r.Timestamp)
	require.WithinDuration(t, time.Now(), time.UnixMilli(r.Timestamp), 10*time.Minute)
	if c.appendTime() {
		require.Equal(t, "LogAppendTime", r.TimestampType)
		return
	}
	require.Equal(t, "CreateTime", r.TimestampType)
	if want.Timestamp != 0 {
		require.Equal(t, want.Timestamp, r.Timestamp)
	}
}

// requireSame compares bytes and null, without printing a megabyte.
func requireSame(t *testing.T, want, got []byte, i int) {
	t.Helper()
	require.Equal(t, want == nil, got == nil, "record %d", i)
	requireSameBytes(t, want, got)
}

// checkBatches looks at the batches on the broker's disk.
func (c *cell) checkBatches(t *testing.T, batches []realkafka.Batch) {
	t.Helper()
	records := c.recordsByPlace()
	var alone []int64 // sizes of the batches of one record
	producers := map[int64]bool{}
	sequence := map[int32]int64{}
	for _, b := range batches {
		require.True(t, b.Valid)
		require.EqualValues(t, record.Magic, b.Magic)
		require.False(t, b.Transactional || b.Control)
		require.Equal(t, b.LastOffset-b.BaseOffset+1, b.Count)
		c.checkCodec(t, b, records)
		if b.Count == 1 {
			alone = append(alone, b.Size)
		} else if c.codec == producer.CompressionNone {
			require.LessOrEqual(t, b.Size, int64(16384), "batch.size")
		}
		if !c.idempotent() {
			require.Equal(t, [4]int64{-1, -1, -1, -1}, [4]int64{b.ProducerID, b.ProducerEpoch, b.BaseSequence,
				b.LastSequence})
			continue
		}
		producers[b.ProducerID] = true
		require.EqualValues(t, 0, b.ProducerEpoch)
		require.Equal(t, sequence[b.Partition], b.BaseSequence)
		require.Equal(t, b.BaseSequence+b.Count-1, b.LastSequence)
		sequence[b.Partition] = b.LastSequence + 1
	}
	if c.idempotent() {
		require.Len(t, producers, 1)
	}
	if c.codec == producer.CompressionNone {
		require.Subset(t, alone, []int64{16383, 16384, 16385, 1048576})
	}
}

// recordsByPlace gives each record by its partition and offset.
func (c *cell) recordsByPlace() map[[2]int64]record.ParsedRecord {
	records := make(map[[2]int64]record.ParsedRecord, len(c.sent))
	next := map[int32]int64{}
	for i, r := range c.sent {
		p := c.acked[i].Partition
		records[[2]int64{int64(p), next[p]}] = r
		next[p]++
	}
	return records
}

// checkCodec checks a batch's codec. A batch stays uncompressed if compression would only make it longer; a batch of
// more than a few words, with text for the greater part, must be compressed.
func (c *cell) checkCodec(t *testing.T, b realkafka.Batch, records map[[2]int64]record.ParsedRecord) {
	t.Helper()
	asked := c.codec.String()
	text, all := 0, 0
	for offset := b.BaseOffset; offset <= b.LastOffset; offset++ {
		r := records[[2]int64{int64(b.Partition), offset}]
		all += record.RecordSize(0, 0, r.Key, r.Value, r.Headers)
		if len(r.Value) >= 100 && bytes.HasPrefix(r.Value, []byte("line one\nline two\r\n")) {
			text += len(r.Value)
		}
	}
	if 2*text >= all {
		require.Equal(t, asked, b.Codec, "batch at %d", b.BaseOffset)
		return
	}
	require.Contains(t, []string{asked, "none"}, b.Codec)
}
