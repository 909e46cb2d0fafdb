package compress

import (
	"encoding/binary"
	"slices"

	"github.com/pierrec/lz4/v4"
)

// The bits of a frame's flags.
const (
	lz4FlagDict            = 1 << 0
	lz4FlagReserved        = 1 << 1
	lz4FlagContentChecksum = 1 << 2
	lz4FlagContentSize     = 1 << 3
	lz4FlagBlockChecksum   = 1 << 4
	lz4FlagIndependent     = 1 << 5
)

// lz4Frame holds the fields of a frame's header.
type lz4Frame struct {
	flags     byte
	blockSize int
	size      uint64
}

// unlz4 reads one frame as any client may write it: blocks of every size, independent or not, with or without checksums
// and content size.
func unlz4(dst, src []byte, limit int) ([]byte, error) {
	f, src, err := readLZ4Header(src)
	if err != nil {
		return nil, err
	}
	if f.size > uint64(limit) {
		return nil, ErrTooLarge
	}
	start := len(dst)
	for {
		if len(src) < lz4Length {
			return nil, corruptf("%d bytes where a block's length should be", len(src))
		}
		length := binary.LittleEndian.Uint32(src)
		src = src[lz4Length:]
		if length == 0 {
			break
		}
		if dst, src, err = f.block(dst, src, length, start); err != nil {
			return nil, err
		}
		if len(dst)-start > limit {
			return nil, ErrTooLarge
		}
	}
	if f.flags&lz4FlagContentChecksum != 0 {
		if len(src) < 4 {
			return nil, corruptf("%d bytes where the content's checksum should be", len(src))
		}
		if binary.LittleEndian.Uint32(src) != xxh32(dst[start:]) {
			return nil, corruptf("wrong checksum of the content")
		}
		src = src[4:]
	}
	if f.flags&lz4FlagContentSize != 0 && f.size != uint64(len(dst)-start) {
		return nil, corruptf("content of %d bytes where %d were announced", len(dst)-start, f.size)
	}
	if len(src) != 0 {
		return nil, corruptf("%d bytes behind the frame", len(src))
	}
	return dst, nil
}

func readLZ4Header(src []byte) (lz4Frame, []byte, error) {
	var f lz4Frame
	if len(src) < 7 {
		return f, nil, corruptf("%d bytes are no frame", len(src))
	}
	if m := binary.LittleEndian.Uint32(src); m != lz4Magic {
		return f, nil, corruptf("magic number 0x%08x", m)
	}
	f.flags = src[4]
	if v := f.flags >> 6; v != 1 {
		return f, nil, corruptf("frame version %d", v)
	}
	if f.flags&(lz4FlagDict|lz4FlagReserved) != 0 {
		return f, nil, corruptf("frame flags 0x%02x: a dictionary, or a reserved bit", f.flags)
	}
	bd := src[5]
	if bd&0x8f != 0 || bd>>4 < 4 {
		return f, nil, corruptf("block descriptor 0x%02x", bd)
	}
	f.blockSize = 1 << (8 + 2*(bd>>4))
	n := 6
	if f.flags&lz4FlagContentSize != 0 {
		if len(src) < n+9 {
			return f, nil, corruptf("the header ends after %d bytes", len(src))
		}
		f.size = binary.LittleEndian.Uint64(src[n:])
		n += 8
	}
	if src[n] != byte(xxh32(src[4:n])>>8) {
		return f, nil, corruptf("wrong checksum of the header")
	}
	return f, src[n+1:], nil
}

// block decodes one block behind dst and returns the bytes after the block. The content begins at dst[start].
func (f *lz4Frame) block(dst, src []byte, length uint32, start int) ([]byte, []byte, error) {
	plain := length&lz4Plain != 0
	length &^= lz4Plain
	if int64(length) > int64(len(src)) {
		return nil, nil, corruptf("block of %d bytes, but %d remain", length, len(src))
	}
	block := src[:length]
	src = src[length:]
	if f.flags&lz4FlagBlockChecksum != 0 {
		if len(src) < 4 {
			return nil, nil, corruptf("%d bytes where a block's checksum should be", len(src))
		}
		if binary.LittleEndian.Uint32(src) != xxh32(block) {
			return nil, nil, corruptf("wrong checksum of a block")
		}
		src = src[4:]
	}
	if plain {
		if len(block) > f.blockSize {
			return nil, nil, corruptf("block of %d bytes where %d are the most", len(block), f.blockSize)
		}
		return append(dst, block...), src, nil
	}
	// A byte of a block stands for 255 bytes at most.
	room := int(min(int64(f.blockSize), 255*int64(len(block))))
	at := len(dst)
	dst = slices.Grow(dst, room)
	var dict []byte
	if f.flags&lz4FlagIndependent == 0 {
		dict = dst[max(start, at-lz4BlockSize):at]
	}
	n, err := lz4.UncompressBlockWithDict(block, dst[at:at+room], dict)
	if err != nil {
		return nil, nil, corrupt(err)
	}
	return dst[:at+n], src, nil
}
