package realkafka

import (
	"bufio"
	"bytes"
	"context"
	"errors"
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

// BatchRecord is the segment's description of one record. Sizes are -1 for null.
type BatchRecord struct {
	Offset, Timestamp, Sequence, KeySize, ValueSize int64
}

// DumpSegments reads the topics' segment files at each partition's leader with Kafka's DumpLogSegments. A topic's
// batches are ordered by partition and offset. Keys and values are not dumped: the tool prints them raw, so a line
// break in one would forge lines. ReadAll gives them.
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
	batches, err := c.dump(ctx, files)
	if err != nil {
		return nil, fmt.Errorf("DumpLogSegments: %w", err)
	}
	byTopic := make(map[string][]Batch, len(topics))
	for _, b := range batches {
		byTopic[b.Topic] = append(byTopic[b.Topic], b)
	}
	return byTopic, nil
}

// dump runs DumpLogSegments on segment files. Old versions print either batches or records, so it runs twice.
func (c *Cluster) dump(ctx context.Context, files []string) ([]Batch, error) {
	class := "org.apache.kafka.tools.DumpLogSegments"
	if !atLeast(c.opts.Version, 4, 0) {
		class = "kafka.tools.DumpLogSegments"
	}
	records, err := c.runTool(ctx, nil, class, "--deep-iteration", "--files", strings.Join(files, ","))
	if err != nil {
		return nil, err
	}
	if atLeast(c.opts.Version, 2, 8) {
		return parseSegments(records)
	}
	batches, err := c.runTool(ctx, nil, class, "--files", strings.Join(files, ","))
	if err != nil {
		return nil, err
	}
	return parseSeparateSegments(batches, records)
}

// segmentParser reads the lines of DumpLogSegments. It refuses unknown lines, and checks that batches follow each other
// without a hole, so a batch cannot be overlooked.
type segmentParser struct {
	batches   []Batch
	topic     string
	partition int32
	next      int64 // position of the next batch in the file

	// separate is nil if each batch is followed by its records. Otherwise it holds the batches' indexes by file and
	// position.
	separate map[filePosition]int
	path     string
}

type filePosition struct {
	path     string
	position int64
}

func parseSegments(out []byte) ([]Batch, error) {
	var p segmentParser
	if err := p.lines(out); err != nil {
		return nil, err
	}
	return p.batches, p.endOfBatch()
}

// parseSeparateSegments joins the output of a tool run for the batches with the output of a run for the records.
func parseSeparateSegments(batches, records []byte) ([]Batch, error) {
	p := segmentParser{separate: map[filePosition]int{}}
	if err := errors.Join(p.lines(batches), p.lines(records)); err != nil {
		return nil, err
	}
	for _, b := range p.batches {
		if err := b.checkCount(); err != nil {
			return nil, err
		}
	}
	return p.batches, nil
}

func (p *segmentParser) lines(out []byte) error {
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, len(out)+1)
	for lines.Scan() {
		if err := p.line(lines.Text()); err != nil {
			return fmt.Errorf("%w, in the line %q", err, lines.Text())
		}
	}
	return lines.Err()
}

func (p *segmentParser) line(line string) error {
	switch {
	case strings.HasPrefix(line, "Dumping "):
		if err := p.endOfBatch(); err != nil {
			return err
		}
		return p.file(strings.TrimPrefix(line, "Dumping "))
	case strings.HasPrefix(line, "Log starting offset: "), strings.HasPrefix(line, "Starting offset: "):
		return nil
	case strings.HasPrefix(line, "baseOffset: "):
		if err := p.endOfBatch(); err != nil {
			return err
		}
		return p.batch(line)
	case strings.HasPrefix(line, "| offset: "):
		return p.record(strings.TrimPrefix(line, "| "))
	case p.separate != nil && strings.HasPrefix(line, "offset: "):
		return p.separateRecord(line)
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
	p.topic, p.partition, p.next, p.path = folder[:dash], int32(partition), 0, path
	return err
}

func (p *segmentParser) batch(line string) error {
	f, err := parseFields(line)
	if err != nil {
		return err
	}
	b := Batch{
		Topic: p.topic, Partition: p.partition,
		BaseOffset: f.number("baseOffset"), LastOffset: f.number("lastOffset"),
		BaseSequence: f.number("baseSequence"), LastSequence: f.number("lastSequence"),
		ProducerID: f.number("producerId"), ProducerEpoch: f.number("producerEpoch"),
		LeaderEpoch:   f.number("partitionLeaderEpoch"),
		Transactional: f.values["isTransactional"] == "true", Control: f.values["isControl"] == "true",
		Position: f.number("position"), Size: f.number("size"), Magic: f.number("magic"),
		Codec: strings.ToLower(f.values["compresscodec"]),
		CRC:   f.number("crc"), Valid: f.values["isvalid"] == "true",
	}
	b.TimestampType, b.Timestamp = f.timestamp()
	if p.separate == nil {
		b.Count = f.number("count")
	} else {
		b.Count = b.LastOffset - b.BaseOffset + 1 // older versions than 2.0 do not print the count
		p.separate[filePosition{p.path, b.Position}] = len(p.batches)
	}
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
	r, _, err := parseBatchRecord(line, "keySize", "valueSize")
	if err != nil {
		return err
	}
	if len(p.batches) == 0 {
		return fmt.Errorf("a record outside of a batch")
	}
	b := &p.batches[len(p.batches)-1]
	b.Records = append(b.Records, r)
	return nil
}

// separateRecord adds a record to the batch at the record's position.
func (p *segmentParser) separateRecord(line string) error {
	r, f, err := parseBatchRecord(line, "keysize", "valuesize")
	if err != nil {
		return err
	}
	position := f.number("position")
	if f.err != nil {
		return f.err
	}
	i, ok := p.separate[filePosition{p.path, position}]
	if !ok {
		return fmt.Errorf("a record outside of a batch")
	}
	b := &p.batches[i]
	b.Valid = b.Valid && f.values["isvalid"] == "true"
	b.Records = append(b.Records, r)
	return nil
}

func parseBatchRecord(line, keySize, valueSize string) (BatchRecord, *fields, error) {
	line, _, _ = strings.Cut(line, " headerKeys: ")
	f, err := parseFields(line)
	if err != nil {
		return BatchRecord{}, nil, err
	}
	r := BatchRecord{
		Offset: f.number("offset"), Sequence: f.number("sequence"), KeySize: f.number(keySize),
		ValueSize: f.number(valueSize),
	}
	_, r.Timestamp = f.timestamp()
	return r, f, f.err
}

// endOfBatch checks the last batch if its records follow it.
func (p *segmentParser) endOfBatch() error {
	if len(p.batches) == 0 || p.separate != nil {
		return nil
	}
	return p.batches[len(p.batches)-1].checkCount()
}

// checkCount compares a batch's number of records with its header's claim.
func (b Batch) checkCount() error {
	if int64(len(b.Records)) != b.Count {
		return fmt.Errorf("batch at offset %d claims %d records and has %d", b.BaseOffset, b.Count, len(b.Records))
	}
	return nil
}

// fields are the "name: value" pairs of a line; err is the first missing or wrong one.
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

// timestamp returns the type (the field's name) and the milliseconds.
func (f *fields) timestamp() (string, int64) {
	for _, name := range []string{"CreateTime", "LogAppendTime"} {
		if _, ok := f.values[name]; ok {
			return name, f.number(name)
		}
	}
	f.err = fmt.Errorf("no timestamp")
	return "", 0
}
