// Package record holds a user's records, the metadata and errors in answer to them, and Kafka's record batch format v2
// (KIP-98): writing it on the way to a broker, and reading and checking it on the way back.
//
// It knows nothing of partitions' queues, sockets, requests or codecs, and imports no other package of this module. A
// reader of compressed batches is given the decompressor as a function.
//
// A batch is a header of [BatchHeaderSize] bytes and the records behind it. It is written in this order: room for the
// header, the records with [AppendRecord], the header with [BatchHeader.Put], and last the checksum:
//
//	b := make([]byte, record.BatchHeaderSize, 1024)
//	b = record.AppendRecord(b, 0, 0, []byte("key"), []byte("value"), nil)
//	h := record.BatchHeader{
//		Length: int32(len(b) - record.BatchLengthOverhead), Magic: record.Magic, PartitionLeaderEpoch: -1,
//		BaseTimestamp: now, MaxTimestamp: now, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, Count: 1,
//	}
//	h.Put(b)
//	record.SetChecksum(b)
//
// Kafka compresses the records only, never the header.
package record
