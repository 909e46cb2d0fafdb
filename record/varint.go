package record

import (
	"encoding/binary"
	"errors"
	"math"
)

// zigzag puts the sign into the lowest bit, so numbers near zero are short with either sign. The 64-bit form serves
// Kafka's 32-bit varint too: the bytes are the same.
func zigzag(v int64) uint64 { return uint64(v)<<1 ^ uint64(v>>63) }

// unzigzag is the way back.
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

// putUvarint writes u at b[i] and returns its end.
func putUvarint(b []byte, i int, u uint64) int {
	if u < 1<<7 {
		b[i] = byte(u)
		return i + 1
	}
	return putUvarintAny(b, i, u)
}

//go:noinline
func putUvarintAny(b []byte, i int, u uint64) int {
	for u >= 1<<7 {
		b[i] = byte(u) | 0x80
		u >>= 7
		i++
	}
	b[i] = byte(u)
	return i + 1
}

// putShort is putUvarint for u below 1<<14.
func putShort(b []byte, i int, u uint64) int {
	if u < 1<<7 {
		b[i] = byte(u)
		return i + 1
	}
	b[i] = byte(u) | 0x80
	b[i+1] = byte(u >> 7)
	return i + 2
}

var (
	errVarintEnd  = errors.New("the bytes end inside a varint")
	errVarintLong = errors.New("a varint is longer than its type allows")
)

// readVarint reads Kafka's 32-bit varint and returns the number of its bytes. Longer forms than needed are taken, as
// the Java client takes them; more than 32 bits are not.
func readVarint(b []byte) (int32, int, error) {
	if len(b) > 0 && b[0] < 0x80 {
		return int32(unzigzag(uint64(b[0]))), 1, nil
	}
	u, n, err := readUvarint(b, binary.MaxVarintLen32)
	if err != nil {
		return 0, 0, err
	}
	if u > math.MaxUint32 {
		return 0, 0, errVarintLong
	}
	return int32(unzigzag(u)), n, nil
}

// readVarlong reads Kafka's 64-bit varint.
func readVarlong(b []byte) (int64, int, error) {
	if len(b) > 0 && b[0] < 0x80 {
		return unzigzag(uint64(b[0])), 1, nil
	}
	u, n, err := readUvarint(b, binary.MaxVarintLen64)
	if err != nil {
		return 0, 0, err
	}
	return unzigzag(u), n, nil
}

// readUvarint reads at most most bytes.
func readUvarint(b []byte, most int) (uint64, int, error) {
	var u uint64
	for i := range most {
		if i == len(b) {
			return 0, 0, errVarintEnd
		}
		c := b[i]
		if i == binary.MaxVarintLen64-1 && c > 1 {
			return 0, 0, errVarintLong
		}
		u |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return u, i + 1, nil
		}
	}
	return 0, 0, errVarintLong
}
