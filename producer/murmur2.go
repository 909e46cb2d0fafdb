package producer

import "encoding/binary"

// Constants of murmur2 as the Java client uses it: changing the seed would send keys to other partitions.
const (
	murmur2Seed  = 0x9747b28c
	murmur2Mul   = 0x5bd1e995
	murmur2Shift = 24
)

// PartitionForKey returns the partition of a key in a topic with this many partitions, as the Java producer's built-in
// partitioner does: murmur2 of the key, its sign bit cleared, modulo partitions. A user's [Partitioner] can call it. If
// partitions is not positive, it returns -1.
func PartitionForKey(key []byte, partitions int32) int32 {
	if partitions <= 0 {
		return -1
	}
	return int32(murmur2(key)&0x7fffffff) % partitions
}

// murmur2 is the 32-bit MurmurHash2 over little-endian words.
func murmur2(data []byte) uint32 {
	h := murmur2Seed ^ uint32(len(data))
	for ; len(data) >= 4; data = data[4:] {
		k := binary.LittleEndian.Uint32(data) * murmur2Mul
		k = (k ^ k>>murmur2Shift) * murmur2Mul
		h = h*murmur2Mul ^ k
	}
	if len(data) > 0 {
		var tail uint32
		for i, b := range data {
			tail |= uint32(b) << (8 * i)
		}
		h = (h ^ tail) * murmur2Mul
	}
	h = (h ^ h>>13) * murmur2Mul
	return h ^ h>>15
}
