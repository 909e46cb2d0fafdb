package record_test

import (
	"fmt"

	"github.com/gosamsa/samsa/record"
)

// A batch is written from the back to the front: first the records, then the header with their count, then the
// checksum.
func Example() {
	const base = 1700000000000 // milliseconds
	b := make([]byte, record.BatchHeaderSize, 1024)
	b = record.AppendRecord(b, 0, 0, []byte("key"), []byte("value"), nil)
	b = record.AppendRecord(b, 1, 5, []byte("key"), nil, []record.Header{{Key: "why", Value: []byte("tombstone")}})
	h := record.BatchHeader{
		Length: int32(len(b) - record.BatchLengthOverhead), PartitionLeaderEpoch: -1, Magic: record.Magic,
		LastOffsetDelta: 1,
		BaseTimestamp:   base, MaxTimestamp: base + 5, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, Count: 2,
	}
	h.Put(b)
	record.SetChecksum(b)

	batch, rest, err := record.ReadBatch(b, nil, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range batch.Records {
		fmt.Printf("offset %d at %d: %s = %q, null: %t, %d headers\n", r.Offset, r.Timestamp, r.Key, r.Value,
			r.Value == nil, len(r.Headers))
	}
	fmt.Println(len(rest), "bytes left")
	// Output:
	// offset 0 at 1700000000000: key = "value", null: false, 0 headers
	// offset 1 at 1700000000005: key = "", null: true, 1 headers
	// 0 bytes left
}

// The records of a log file or a fetch answer lie one batch behind the other; the last one is often cut.
func ExampleReadBatch() {
	var log []byte
	batch, rest, err := record.ReadBatch(log, nil, 0) // compress.Decompress, for compressed batches
	fmt.Println(len(batch.Records), len(rest), err)
	// Output: 0 0 incomplete record batch: 0 bytes of a header of 61
}

// Records get another place in a batch without being decoded: here the second becomes the first.
func ExampleNextRaw() {
	records := record.AppendRecord(nil, 0, 0, nil, []byte("first"), nil)
	records = record.AppendRecord(records, 1, 20, nil, []byte("second"), nil)
	_, rest, err := record.NextRaw(records)
	if err != nil {
		fmt.Println(err)
		return
	}
	second, _, err := record.NextRaw(rest)
	if err != nil {
		fmt.Println(err)
		return
	}
	moved := record.AppendRaw(nil, 0, second.TimestampDelta, second.Body)
	fmt.Println(string(moved) == string(record.AppendRecord(nil, 0, 20, nil, []byte("second"), nil)))
	// Output: true
}
