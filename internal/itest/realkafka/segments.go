package realkafka

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Batch is a record batch as it lies on a broker's disk.
type Batch struct {
	Topic         string
	Partition     int32
	BaseOffset    int64
	LastOffset    int64
	Count         int64
	BaseSequence  int64
	LastSequence  int64
	ProducerID    int64
	ProducerEpoch int64
	LeaderEpoch   int64
	Transactional bool
	Control       bool
	Position      int64  // of the batch's first byte in its segment
	Size          int64  // bytes, header included
	TimestampType string // CreateTime or LogAppendTime
	Timestamp     int64  // the largest of the batch, milliseconds since 1970
	Magic         int64
	Codec         string // none, gzip, snappy, lz4, zstd
	CRC           int64
	Valid         bool // whether the checksum is right
	Records       []BatchRecord
}

// BatchRecord is what the segment tells of one record. Sizes are -1 for null.
type BatchRecord struct {
	Offset, Timestamp, Sequence, KeySize, ValueSize int64
}

// DumpSegments reads the topics' segment files at each partition's leader with Kafka's DumpLogSegments. A topic's batches are ordered by
// partition and offset. Keys and values are not dumped: the tool prints them raw, so that a line break in one would forge lines. ReadAll
// gives them.
func (c *Cluster) DumpSegments(ctx context.Context, topics ...string) (map[string][]Batch, error) {
	partitions, err := c.Partitions(ctx, topics...)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, p := range partitions {
		n, err := c.node(p.Leader)
		if err != nil {
			return nil, fmt.Errorf("leader of %s-%d: %w", p.Topic, p.Partition, err)
		}
		segments, err := filepath.Glob(filepath.Join(n.dataPath(), fmt.Sprintf("%s-%d", p.Topic, p.Partition), "*.log"))
		if err != nil {
			return nil, err
		}
		slices.Sort(segments)
		files = append(files, segments...)
	}
	class := "org.apache.kafka.tools.DumpLogSegments"
	if strings.HasPrefix(c.opts.Version, "3.") {
		class = "kafka.tools.DumpLogSegments"
	}
	out, err := c.runTool(ctx, nil, class, "--deep-iteration", "--files", strings.Join(files, ","))
	if err != nil {
		return nil, err
	}
	batches, err := parseSegments(out)
	if err != nil {
		return nil, fmt.Errorf("DumpLogSegments: %w", err)
	}
	byTopic := make(map[string][]Batch, len(topics))
	for _, b := range batches {
		byTopic[b.Topic] = append(byTopic[b.Topic], b)
	}
	return byTopic, nil
}

// segmentParser reads the lines of DumpLogSegments. It accepts no line that it does not know, and checks that batches follow
// each other without a hole, so that a batch cannot be overlooked.
type segmentParser struct {
	batches   []Batch
	topic     string
	partition int32
	next      int64 // position of the next batch in the file
}

func parseSegments(out []byte) ([]Batch, error) {
	var p segmentParser
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, len(out)+1)
	for lines.Scan() {
		if err := p.line(lines.Text()); err != nil {
			return nil, fmt.Errorf("%w, in the line %q", err, lines.Text())
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	return p.batches, p.endOfBatch()
}

func (p *segmentParser) line(line string) error {
	switch {
	case strings.HasPrefix(line, "Dumping "):
		if err := p.endOfBatch(); err != nil {
			return err
		}
		return p.file(strings.TrimPrefix(line, "Dumping "))
	case strings.HasPrefix(line, "Log starting offset: "):
		return nil
	case strings.HasPrefix(line, "baseOffset: "):
		if err := p.endOfBatch(); err != nil {
			return err
		}
		return p.batch(line)
	case strings.HasPrefix(line, "| offset: "):
		return p.record(strings.TrimPrefix(line, "| "))
	}
	return fmt.Errorf("unexpected output")
}

// file takes topic and partition from the folder's name.
func (p *segmentParser) file(path string) error {
	folder := filepath.Base(filepath.Dir(path))
	dash := strings.LastIndexByte(folder, '-')
	if dash < 0 {
		return fmt.Errorf("no partition's folder")
	}
	partition, err := strconv.ParseInt(folder[dash+1:], 10, 32)
	p.topic, p.partition, p.next = folder[:dash], int32(partition), 0
	return err
}

func (p *segmentParser) batch(line string) error {
	f, err := parseFields(line)
	if err != nil {
		return err
	}
	b := Batch{
		Topic: p.topic, Partition: p.partition,
		BaseOffset: f.number("baseOffset"), LastOffset: f.number("lastOffset"), Count: f.number("count"),
		BaseSequence: f.number("baseSequence"), LastSequence: f.number("lastSequence"),
		ProducerID: f.number("producerId"), ProducerEpoch: f.number("producerEpoch"), LeaderEpoch: f.number("partitionLeaderEpoch"),
		Transactional: f.values["isTransactional"] == "true", Control: f.values["isControl"] == "true",
		Position: f.number("position"), Size: f.number("size"), Magic: f.number("magic"), Codec: f.values["compresscodec"],
		CRC: f.number("crc"), Valid: f.values["isvalid"] == "true",
	}
	b.TimestampType, b.Timestamp = f.timestamp()
	if f.err != nil {
		return f.err
	}
	if b.Position != p.next {
		return fmt.Errorf("a batch at %d where %d was expected", b.Position, p.next)
	}
	p.next = b.Position + b.Size
	p.batches = append(p.batches, b)
	return nil
}

func (p *segmentParser) record(line string) error {
	line, _, _ = strings.Cut(line, " headerKeys: ")
	f, err := parseFields(line)
	if err != nil {
		return err
	}
	r := BatchRecord{
		Offset: f.number("offset"), Sequence: f.number("sequence"), KeySize: f.number("keySize"), ValueSize: f.number("valueSize"),
	}
	_, r.Timestamp = f.timestamp()
	if f.err != nil {
		return f.err
	}
	if len(p.batches) == 0 {
		return fmt.Errorf("a record outside of a batch")
	}
	b := &p.batches[len(p.batches)-1]
	b.Records = append(b.Records, r)
	return nil
}

// endOfBatch checks that the last batch holds as many records as its header claims.
func (p *segmentParser) endOfBatch() error {
	if len(p.batches) == 0 {
		return nil
	}
	if b := p.batches[len(p.batches)-1]; int64(len(b.Records)) != b.Count {
		return fmt.Errorf("batch at offset %d claims %d records and has %d", b.BaseOffset, b.Count, len(b.Records))
	}
	return nil
}

// fields are the "name: value" pairs of a line; err is the first one that was missing or wrong.
type fields struct {
	values map[string]string
	err    error
}

func parseFields(line string) (*fields, error) {
	words := strings.Fields(line)
	if len(words)%2 != 0 {
		return nil, fmt.Errorf("not made of pairs")
	}
	f := &fields{values: make(map[string]string, len(words)/2)}
	for pair := range slices.Chunk(words, 2) {
		f.values[strings.TrimSuffix(pair[0], ":")] = pair[1]
	}
	return f, nil
}

func (f *fields) number(name string) int64 {
	n, err := strconv.ParseInt(f.values[name], 10, 64)
	if err != nil && f.err == nil {
		f.err = fmt.Errorf("%s: %w", name, err)
	}
	return n
}

// timestamp returns the type, which is the field's name, and the milliseconds.
func (f *fields) timestamp() (string, int64) {
	for _, name := range []string{"CreateTime", "LogAppendTime"} {
		if _, ok := f.values[name]; ok {
			return name, f.number(name)
		}
	}
	f.err = fmt.Errorf("no timestamp")
	return "", 0
}
