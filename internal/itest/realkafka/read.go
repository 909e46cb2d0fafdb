package realkafka

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Record is a record as Kafka's own consumer read it. Nil and empty bytes are told apart.
type Record struct {
	Topic         string
	Partition     int32
	Offset        int64
	Timestamp     int64  // milliseconds since 1970
	TimestampType string // CreateTime or LogAppendTime
	Key, Value    []byte
	Headers       []Header
}

// Header is a header of a Record.
type Header struct {
	Key   string
	Value []byte
}

// ReadAll reads all records in the topics at the time of the call with Kafka's own consumer (java/Reader.java). A
// topic's records are ordered by partition, and in one partition as the consumer gave them. A Java process costs about
// two seconds: ask for many topics at once.
func (c *Cluster) ReadAll(ctx context.Context, topics ...string) (map[string][]Record, error) {
	ends, err := c.EndOffsets(ctx, topics...)
	if err != nil {
		return nil, err
	}
	var stdin bytes.Buffer
	for topic, partitions := range ends {
		for partition, end := range partitions {
			fmt.Fprintf(&stdin, "%s\t%d\t%d\n", topic, partition, end)
		}
	}
	out, err := c.runTool(ctx, stdin.Bytes(), filepath.Join(c.jars, "Reader.java"), strings.Join(c.Bootstrap(), ","))
	if err != nil {
		return nil, err
	}
	records, err := parseRecords(out)
	if err != nil {
		return nil, err
	}
	byTopic := make(map[string][]Record, len(topics))
	for _, r := range records {
		byTopic[r.Topic] = append(byTopic[r.Topic], r)
	}
	for _, rs := range byTopic {
		slices.SortStableFunc(rs, func(a, b Record) int { return cmp.Compare(a.Partition, b.Partition) })
	}
	return byTopic, nil
}

func comparePlace(topicA string, partitionA int32, topicB string, partitionB int32) int {
	return cmp.Or(cmp.Compare(topicA, topicB), cmp.Compare(partitionA, partitionB))
}

// parseRecords reads the output of Reader.java: one line a record, and a last line as the proof of a whole output.
func parseRecords(out []byte) ([]Record, error) {
	var records []Record
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, len(out)+1)
	for lines.Scan() {
		if lines.Text() == "end" {
			return records, nil
		}
		r, err := parseRecord(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("line %d of the reader: %w", len(records)+1, err)
		}
		records = append(records, r)
	}
	return nil, errors.Join(errors.New("the reader's output was cut off"), lines.Err())
}

func parseRecord(line string) (Record, error) {
	columns := strings.Split(line, "\t")
	if len(columns) != 8 {
		return Record{}, fmt.Errorf("%d columns", len(columns))
	}
	partition, err1 := strconv.ParseInt(columns[1], 10, 32)
	offset, err2 := strconv.ParseInt(columns[2], 10, 64)
	timestamp, err3 := strconv.ParseInt(columns[3], 10, 64)
	key, err4 := parseBytes(columns[5])
	value, err5 := parseBytes(columns[6])
	headers, err6 := parseHeaders(columns[7])
	return Record{
		Topic: columns[0], Partition: int32(partition), Offset: offset, Timestamp: timestamp, TimestampType: columns[4],
		Key: key, Value: value, Headers: headers,
	}, errors.Join(err1, err2, err3, err4, err5, err6)
}

func parseHeaders(column string) ([]Header, error) {
	if column == "" {
		return nil, nil
	}
	var headers []Header
	for field := range strings.SplitSeq(column, ",") {
		k, v, ok := strings.Cut(field, ":")
		if !ok {
			return nil, fmt.Errorf("header %q", field)
		}
		key, err := hex.DecodeString(k)
		if err != nil {
			return nil, err
		}
		value, err := parseBytes(v)
		if err != nil {
			return nil, err
		}
		headers = append(headers, Header{Key: string(key), Value: value})
	}
	return headers, nil
}

// parseBytes returns nil for null and an empty slice for empty.
func parseBytes(s string) ([]byte, error) {
	if s == "-" {
		return nil, nil
	}
	return hex.DecodeString(s)
}
