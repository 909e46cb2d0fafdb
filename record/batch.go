package record

import (
	"encoding/binary"
	"hash/crc32"
)

const (
	// BatchHeaderSize is the number of bytes before the first record of a batch.
	BatchHeaderSize = 61
	// BatchLengthOverhead is the number of bytes left out of a batch's Length: base offset and Length itself.
	BatchLengthOverhead = 12
	// Magic is this package's version of the batch format. Kafka has it since 0.11.
	Magic = 2
)

// The bits of a batch's attributes. The three lowest are the codec: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
const (
	AttributeCodecMask     int16 = 0x07
	AttributeLogAppendTime int16 = 0x08 // MaxTimestamp, set by the broker, is the time of every record
	AttributeTransactional int16 = 0x10
	AttributeControl       int16 = 0x20 // the records are a transaction's markers
	AttributeDeleteHorizon int16 = 0x40 // BaseTimestamp is when the cleaner may delete tombstones (KIP-534)

	attributesKnown = AttributeCodecMask | AttributeLogAppendTime | AttributeTransactional | AttributeControl |
		AttributeDeleteHorizon
	maxCodec = 4
)

// The places of the header's fields.
const (
	atBaseOffset      = 0
	atLength          = 8
	atLeaderEpoch     = 12
	atMagic           = 16
	atCRC             = 17
	atAttributes      = 21
	atLastOffsetDelta = 23
	atBaseTimestamp   = 27
	atMaxTimestamp    = 35
	atProducerID      = 43
	atProducerEpoch   = 51
	atBaseSequence    = 53
	atCount           = 57
)

// castagnoli is the polynomial of the batch checksum. The standard library computes it with the processor's own
// instruction.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// BatchHeader is the header of a record batch, in the order of the wire.
type BatchHeader struct {
	// BaseOffset is the first record's offset. A producer writes 0; the broker sets it.
	BaseOffset int64
	// Length counts the batch's bytes after Length itself: the whole batch less [BatchLengthOverhead].
	Length int32
	// PartitionLeaderEpoch is set by the broker. A producer writes -1.
	PartitionLeaderEpoch int32
	// Magic is the format's version, 2.
	Magic int8
	// CRC is the CRC-32C of everything from Attributes on.
	CRC uint32
	// Attributes hold the codec and the Attribute… bits.
	Attributes int16
	// LastOffsetDelta is the last record's offset less BaseOffset.
	LastOffsetDelta int32
	// BaseTimestamp and MaxTimestamp are in milliseconds since 1970. Records keep their distance to BaseTimestamp.
	BaseTimestamp, MaxTimestamp int64
	// ProducerID, ProducerEpoch and BaseSequence identify an idempotent producer's batch; -1 if there is none.
	ProducerID    int64
	ProducerEpoch int16
	BaseSequence  int32
	// Count is the number of records.
	Count int32
}

// Put writes the header into b[0:61]. It writes the fields as they are, Length and CRC too, and panics when b is
// shorter.
func (h *BatchHeader) Put(b []byte) {
	b = b[:BatchHeaderSize]
	binary.BigEndian.PutUint64(b[atBaseOffset:], uint64(h.BaseOffset))
	binary.BigEndian.PutUint32(b[atLength:], uint32(h.Length))
	binary.BigEndian.PutUint32(b[atLeaderEpoch:], uint32(h.PartitionLeaderEpoch))
	b[atMagic] = byte(h.Magic)
	binary.BigEndian.PutUint32(b[atCRC:], h.CRC)
	binary.BigEndian.PutUint16(b[atAttributes:], uint16(h.Attributes))
	binary.BigEndian.PutUint32(b[atLastOffsetDelta:], uint32(h.LastOffsetDelta))
	binary.BigEndian.PutUint64(b[atBaseTimestamp:], uint64(h.BaseTimestamp))
	binary.BigEndian.PutUint64(b[atMaxTimestamp:], uint64(h.MaxTimestamp))
	binary.BigEndian.PutUint64(b[atProducerID:], uint64(h.ProducerID))
	binary.BigEndian.PutUint16(b[atProducerEpoch:], uint16(h.ProducerEpoch))
	binary.BigEndian.PutUint32(b[atBaseSequence:], uint32(h.BaseSequence))
	binary.BigEndian.PutUint32(b[atCount:], uint32(h.Count))
}

// SetProducer gives an encoded batch its producer id, epoch and first sequence. The checksum covers them: call
// [SetChecksum] afterwards. It panics when batch is shorter than a header.
func SetProducer(batch []byte, id int64, epoch int16, sequence int32) {
	b := batch[:BatchHeaderSize]
	binary.BigEndian.PutUint64(b[atProducerID:], uint64(id))
	binary.BigEndian.PutUint16(b[atProducerEpoch:], uint16(epoch))
	binary.BigEndian.PutUint32(b[atBaseSequence:], uint32(sequence))
}

// Checksum returns the CRC-32C of an encoded batch: of everything from the attributes on. The slice must end with the
// batch; Checksum panics if it is shorter than the part before the attributes.
func Checksum(batch []byte) uint32 {
	return crc32.Checksum(batch[atAttributes:], castagnoli)
}

// SetChecksum writes the checksum of an encoded batch into its header. It comes last.
func SetChecksum(batch []byte) {
	binary.BigEndian.PutUint32(batch[atCRC:], Checksum(batch))
}
