package compress

import (
	"errors"
	"math"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// zstdBlockMax is the largest content of one block of a frame.
const zstdBlockMax = 128 << 10

// unzstd reads one frame, or several one behind the other.
//
// Each call makes a decoder: the library's decoder holds a channel, and a pool of the process would carry it from one
// testing/synctest bubble into another. Producers decompress only to rebuild a batch; this, tests and tools can bear
// the cost.
func unzstd(dst, src []byte, limit int) ([]byte, error) {
	most, err := zstdBound(src)
	if err != nil {
		return nil, err
	}
	d, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	// With room for one more block than allowed, the library fails for want of room only when the limit is passed
	// already.
	room := int(min(most, min(int64(limit), math.MaxInt-zstdBlockMax)+zstdBlockMax))
	dst = slices.Grow(dst, room)
	at := len(dst)
	out, err := d.DecodeAll(src, dst[at:at:at+room])
	switch {
	case len(out) > limit, errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return nil, ErrTooLarge
	case err != nil:
		return nil, corrupt(err)
	}
	return append(dst, out...), nil // already in place, unless the library moved them
}

// zstdBound walks over the frames' blocks and returns the maximum of their content. A frame's announced size counts
// only as far as its blocks can hold it.
func zstdBound(src []byte) (int64, error) {
	if len(src) == 0 {
		return 0, corruptf("no frame")
	}
	var total int64
	for len(src) > 0 {
		var h zstd.Header
		if err := h.Decode(src); err != nil {
			return 0, corrupt(err)
		}
		if h.Skippable {
			if int64(h.SkippableSize) > int64(len(src)-h.HeaderSize) {
				return 0, corruptf("skippable frame of %d bytes, but %d remain", h.SkippableSize, len(src)-h.HeaderSize)
			}
			src = src[h.HeaderSize+int(h.SkippableSize):]
			continue
		}
		n, rest, err := zstdBlocks(src[h.HeaderSize:])
		if err != nil {
			return 0, err
		}
		src = rest
		if h.HasFCS {
			if h.FrameContentSize > uint64(n) {
				return 0, corruptf("blocks that hold %d bytes at most cannot hold the %d announced", n,
					h.FrameContentSize)
			}
			n = int64(h.FrameContentSize)
		}
		total += n
		if h.HasCheckSum {
			if len(src) < 4 {
				return 0, corruptf("%d bytes where a checksum should be", len(src))
			}
			src = src[4:]
		}
	}
	return total, nil
}

// zstdBlocks walks over one frame's blocks. It returns the maximum of their content, and the bytes after them.
func zstdBlocks(src []byte) (int64, []byte, error) {
	const (
		raw = iota // as it is
		rle        // one byte, many times
		compressed
	)
	var total int64
	for last := false; !last; {
		if len(src) < 3 {
			return 0, nil, corruptf("%d bytes where a block should be", len(src))
		}
		header := int(src[0]) | int(src[1])<<8 | int(src[2])<<16
		src = src[3:]
		last = header&1 != 0
		kind, size := header>>1&3, header>>3
		holds, takes := size, size
		switch kind {
		case raw:
		case rle:
			takes = 1
		case compressed:
			holds = zstdBlockMax
		default:
			return 0, nil, corruptf("block of reserved type %d", kind)
		}
		if size > zstdBlockMax {
			return 0, nil, corruptf("block of %d bytes where %d are the most", size, zstdBlockMax)
		}
		if takes > len(src) {
			return 0, nil, corruptf("block of %d bytes, but %d remain", takes, len(src))
		}
		src = src[takes:]
		total += int64(holds)
	}
	return total, src, nil
}
