package compress

import (
	"encoding/binary"
	"slices"
	"sync"

	"github.com/pierrec/lz4/v4"
)

// Kafka's frame: version 1, independent blocks of at most 64 KiB, no checksums, no content size. This package writes
// the frame, and the library only the blocks: the library's own frame writer would copy more and keep buffers of its
// own. Blocks of 256 KiB would make a batch of 1 MiB 3 % smaller and take a fifth more time (BenchmarkLZ4Blocks); a
// batch of 16 KiB is one block anyway.
const (
	lz4Magic = 0x184d2204
	// Magic, flags, block size, and the checksum byte of those two.
	lz4Header    = "\x04\x22\x4d\x18\x60\x40\x82"
	lz4BlockSize = 64 << 10
	lz4Plain     = 1 << 31 // the bit of a block's length for an uncompressed block
	lz4Length    = 4       // the size of a block's length, and of the end mark
)

type lz4Block interface {
	CompressBlock(src, dst []byte) (int, error)
}

// lz4Engine compresses at Kafka's default level 9 with the fast compressor, as Kafka does; any other level takes the
// high-compression one and gives it 2^(level-1) tries a position, as Kafka's library does.
type lz4Engine struct {
	level  int
	states sync.Pool // of lz4Block
}

func newLZ4(level int) *lz4Engine { return &lz4Engine{level: level} }

func (z *lz4Engine) state() lz4Block {
	if s, _ := z.states.Get().(lz4Block); s != nil {
		return s
	}
	if z.level == LZ4.DefaultLevel() {
		return new(lz4.Compressor)
	}
	return &lz4.CompressorHC{Level: 1 << (z.level - 1)}
}

func (z *lz4Engine) compress(dst, src []byte) ([]byte, error) {
	s := z.state()
	dst = append(dst, lz4Header...)
	for len(src) > 0 {
		block := src[:min(len(src), lz4BlockSize)]
		src = src[len(block):]
		dst = slices.Grow(dst, lz4Length+len(block)+lz4Length)
		at := len(dst)
		room := dst[at+lz4Length : at+lz4Length+len(block)]
		n, err := s.CompressBlock(block, room)
		length := uint32(n)
		// 0 and an error both mean: the compressed block would take more room than the uncompressed one.
		if n == 0 || n >= len(block) || err != nil {
			n = copy(room, block)
			length = uint32(n) | lz4Plain
		}
		dst = dst[:at+lz4Length+n]
		binary.LittleEndian.PutUint32(dst[at:], length)
	}
	z.states.Put(s)
	return append(dst, 0, 0, 0, 0), nil // end mark
}
