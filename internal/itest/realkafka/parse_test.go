package realkafka

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReaderLinesKeepNullAndEmptyApart(t *testing.T) {
	out := "t\t3\t7\t1700000000000\tCreateTime\t-\t\t\n" +
		"t\t3\t8\t1700000000001\tLogAppendTime\t\t0a0d09\t68:-,:,68c3a9:00ff\n" +
		"end\n"
	records, err := parseRecords([]byte(out))
	require.NoError(t, err)
	require.Equal(t, []Record{
		{Topic: "t", Partition: 3, Offset: 7, Timestamp: 1700000000000, TimestampType: "CreateTime", Value: []byte{}},
		{Topic: "t", Partition: 3, Offset: 8, Timestamp: 1700000000001, TimestampType: "LogAppendTime",
			Key: []byte{}, Value: []byte("\n\r\t"),
			Headers: []Header{{Key: "h"}, {Value: []byte{}}, {Key: "hé", Value: []byte{0, 0xff}}}},
	}, records)
}

func TestReaderOutputThatIsCutOffOrMalformedIsRefused(t *testing.T) {
	for _, out := range []string{
		"",
		"t\t0\t0\t1\tCreateTime\t-\t-\t\n",      // no last line
		"t\t0\t0\t1\tCreateTime\t-\t-\nend\n",   // a column is missing
		"t\tx\t0\t1\tCreateTime\t-\t-\t\nend\n", // no number
		"t\t0\t0\t1\tCreateTime\t0\t-\t\nend\n", // half a byte
		"t\t0\t0\t1\tCreateTime\t-\t-\t68\nend\n",
	} {
		_, err := parseRecords([]byte(out))
		require.Error(t, err, "%q", out)
	}
}

const dump = `Dumping /data/my-topic-12/00000000000000000000.log
Log starting offset: 0
baseOffset: 0 lastOffset: 1 count: 2 baseSequence: 5 lastSequence: 6 producerId: 9 producerEpoch: 1 partitionLeaderEpoch: 4 isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty position: 0 CreateTime: 1700000000001 size: 109 magic: 2 compresscodec: zstd crc: 2675872161 isvalid: true
| offset: 0 CreateTime: 1700000000000 keySize: -1 valueSize: 3 sequence: 5 headerKeys: [a b: c,]
| offset: 1 CreateTime: 1700000000001 keySize: 0 valueSize: 1000 sequence: 6 headerKeys: []
baseOffset: 2 lastOffset: 2 count: 1 baseSequence: -1 lastSequence: -1 producerId: -1 producerEpoch: -1 partitionLeaderEpoch: 4 isTransactional: true isControl: true deleteHorizonMs: OptionalLong.empty position: 109 LogAppendTime: 1700000000002 size: 76 magic: 2 compresscodec: none crc: 1 isvalid: false
| offset: 2 LogAppendTime: 1700000000002 keySize: 1 valueSize: -1 sequence: -1 headerKeys: []
`

func TestSegmentDumpGivesBatchesAndTheirRecords(t *testing.T) {
	batches, err := parseSegments([]byte(dump))
	require.NoError(t, err)
	require.Equal(t, []Batch{
		{Topic: "my-topic", Partition: 12, LastOffset: 1, Count: 2, BaseSequence: 5, LastSequence: 6, ProducerID: 9,
			ProducerEpoch: 1,
			LeaderEpoch:   4, Size: 109, TimestampType: "CreateTime", Timestamp: 1700000000001, Magic: 2, Codec: "zstd",
			CRC:   2675872161,
			Valid: true, Records: []BatchRecord{
				{Offset: 0, Timestamp: 1700000000000, Sequence: 5, KeySize: -1, ValueSize: 3},
				{Offset: 1, Timestamp: 1700000000001, Sequence: 6, KeySize: 0, ValueSize: 1000},
			}},
		{Topic: "my-topic", Partition: 12, BaseOffset: 2, LastOffset: 2, Count: 1, BaseSequence: -1, LastSequence: -1,
			ProducerID:    -1,
			ProducerEpoch: -1, LeaderEpoch: 4, Transactional: true, Control: true, Position: 109, Size: 76,
			TimestampType: "LogAppendTime",
			Timestamp:     1700000000002, Magic: 2, Codec: "none", CRC: 1,
			Records: []BatchRecord{{Offset: 2, Timestamp: 1700000000002, Sequence: -1, KeySize: 1, ValueSize: -1}}},
	}, batches)
}

func TestSegmentDumpWithAHoleOrAnUnknownLineIsRefused(t *testing.T) {
	for name, change := range map[string][2]string{
		"a batch is missing":          {"position: 109", "position: 110"},
		"a record is missing":         {"count: 1", "count: 2"},
		"a number is missing":         {"producerId: 9", "producerId: x"},
		"a timestamp is missing":      {"LogAppendTime: 1700000000002 size", "Time: 1700000000002 size"},
		"bytes behind the last batch": {"| offset: 2", "Found 3 invalid bytes at the end of it\n| offset: 2"},
		"a folder without partition":  {"my-topic-12", "topic"},
	} {
		_, err := parseSegments([]byte(strings.Replace(dump, change[0], change[1], 1)))
		require.Error(t, err, name)
	}
}

// The two outputs of an old DumpLogSegments: batches, and records.
const (
	oldBatches = `Dumping /data/my-topic-12/00000000000000000000.log
Starting offset: 0
baseOffset: 0 lastOffset: 1 baseSequence: 5 lastSequence: 6 producerId: 9 producerEpoch: 1 partitionLeaderEpoch: 4 isTransactional: false position: 0 CreateTime: 1700000000001 isvalid: true size: 109 magic: 2 compresscodec: GZIP crc: 2675872161
Dumping /data/my-topic-13/00000000000000000000.log
Starting offset: 0
baseOffset: 0 lastOffset: 0 baseSequence: -1 lastSequence: -1 producerId: -1 producerEpoch: -1 partitionLeaderEpoch: 4 isTransactional: true position: 0 LogAppendTime: 1700000000002 isvalid: true size: 76 magic: 2 compresscodec: NONE crc: 1
`
	oldRecords = `Dumping /data/my-topic-12/00000000000000000000.log
Starting offset: 0
offset: 0 position: 0 CreateTime: 1700000000000 isvalid: true keysize: -1 valuesize: 3 magic: 2 compresscodec: GZIP producerId: 9 producerEpoch: 1 sequence: 5 isTransactional: false headerKeys: [a b: c,]
offset: 1 position: 0 CreateTime: 1700000000001 isvalid: true keysize: 0 valuesize: 1000 magic: 2 compresscodec: GZIP producerId: 9 producerEpoch: 1 sequence: 6 isTransactional: false headerKeys: []
Dumping /data/my-topic-13/00000000000000000000.log
Starting offset: 0
offset: 0 position: 0 LogAppendTime: 1700000000002 isvalid: false keysize: 1 valuesize: -1 magic: 2 compresscodec: NONE producerId: -1 producerEpoch: -1 sequence: -1 isTransactional: true headerKeys: []
`
)

func TestSeparateDumpsOfBatchesAndRecordsAreJoined(t *testing.T) {
	batches, err := parseSeparateSegments([]byte(oldBatches), []byte(oldRecords))
	require.NoError(t, err)
	require.Equal(t, []Batch{
		{Topic: "my-topic", Partition: 12, LastOffset: 1, Count: 2, BaseSequence: 5, LastSequence: 6, ProducerID: 9,
			ProducerEpoch: 1,
			LeaderEpoch:   4, Size: 109, TimestampType: "CreateTime", Timestamp: 1700000000001, Magic: 2, Codec: "gzip",
			CRC:   2675872161,
			Valid: true, Records: []BatchRecord{
				{Offset: 0, Timestamp: 1700000000000, Sequence: 5, KeySize: -1, ValueSize: 3},
				{Offset: 1, Timestamp: 1700000000001, Sequence: 6, KeySize: 0, ValueSize: 1000},
			}},
		{Topic: "my-topic", Partition: 13, Count: 1, BaseSequence: -1, LastSequence: -1, ProducerID: -1,
			ProducerEpoch: -1, LeaderEpoch: 4,
			Transactional: true, Size: 76, TimestampType: "LogAppendTime", Timestamp: 1700000000002, Magic: 2,
			Codec: "none", CRC: 1,
			Records: []BatchRecord{{Offset: 0, Timestamp: 1700000000002, Sequence: -1, KeySize: 1, ValueSize: -1}}},
	}, batches)
	for name, change := range map[string][2]string{
		"a record is missing":      {"offset: 1 position: 0 ", "offset: 1 position: 7 "},
		"a record has no position": {"offset: 1 position: 0 ", "offset: 1 "},
		"bytes behind the last record": {"offset: 1 position: 0 ",
			"Found 3 invalid bytes at the end of it\noffset: 1 position: 0 "},
	} {
		_, err := parseSeparateSegments([]byte(oldBatches),
			[]byte(strings.Replace(oldRecords, change[0], change[1], 1)))
		require.Error(t, err, name)
	}
	_, err = parseSeparateSegments([]byte(oldBatches), nil)
	require.Error(t, err, "all records are missing")
}

func TestVersionsChooseScalaAndZooKeeper(t *testing.T) {
	for version, want := range map[string]struct {
		scala     string
		zookeeper bool
	}{
		"0.11.0.3": {"2.12", true}, "1.1.1": {"2.12", true}, "2.3.1": {"2.12", true}, "2.4.0": {"2.13", true},
		"2.8.2": {"2.13", true},
		"3.5.1": {"2.13", true}, "3.9.2": {"2.13", false}, "4.0.0": {"2.13", false}, "4.4.0": {"2.13", false},
	} {
		require.Equal(t, want.scala, scalaVersion(version), version)
		require.Equal(t, want.zookeeper, needsZooKeeper(version), version)
	}
	for _, version := range []string{"4", "4.3", "4.x.1", "latest", "../3.9.2", "3.9.2/.."} {
		_, err := Launch(t.Context(), Options{Version: version})
		require.ErrorContains(t, err, "is no version of Kafka")
	}
}

func TestTailGivesTheLastLines(t *testing.T) {
	require.Equal(t, "b\nc", tail([]byte("a\nb\nc\n"), 2))
	require.Equal(t, "a\nb", tail([]byte("a\nb"), 9))
	require.Empty(t, tail(nil, 3))
}
