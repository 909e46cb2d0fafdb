//go:build race

package accumulator

import "bytes"

// Under the race detector a buffer given back is filled with poison. A late reader, such as a connection in a write,
// sends bytes with a broken checksum; a late writer is found when the buffer is handed out again. The detector alone
// would not do: it does not see the reads of a vectored write.

const poisonByte = 0xDB

func poison(b []byte) {
	b = b[:cap(b)]
	for i := range b {
		b[i] = poisonByte
	}
}

// checkPoison panics when a buffer from the pool was written after it was given back.
func checkPoison(b []byte) {
	b = b[:cap(b)]
	if bytes.Count(b, []byte{poisonByte}) != len(b) {
		panic("samsa: a batch's buffer was written after it had been given back")
	}
}
