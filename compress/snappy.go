package compress

import (
	"encoding/binary"
	"slices"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/s2"
)

// Java's clients write snappy through xerial's SnappyOutputStream: a header, and blocks, each with its compressed
// length as a big-endian integer. Brokers and consumers expect this framing, with blocks of any size. Java's have 32
// KiB; ours are larger, since no block can refer to one before: of 1 MB of JSON's 32 KiB blocks are 1.04 times as large
// as one block, those of 256 KiB 1.015 times. Still larger ones gain little and outgrow the processor's caches.
const (
	xerialMagic     = "\x82SNAPPY\x00"
	xerialHeader    = xerialMagic + "\x00\x00\x00\x01" + "\x00\x00\x00\x01" // version, oldest compatible version
	xerialBlockSize = 256 << 10
	xerialLength    = 4 // the size of a block's length
)

// snappyEngine has no state.
//
// The encoder is klauspost's. Measured against golang/snappy on JSON, logs and source text, it takes 0.7 to 1.0 of the
// time, and its output has 0.99 to 1.07 of the size (1.2 for a text with repetitions all over). The decoder is
// golang/snappy's: it is as fast, and it refuses the elements added by klauspost's format, because no other reader
// would understand them.
type snappyEngine struct{}

func (snappyEngine) compress(dst, src []byte) ([]byte, error) {
	dst = append(dst, xerialHeader...)
	for len(src) > 0 {
		block := src[:min(len(src), xerialBlockSize)]
		src = src[len(block):]
		at := len(dst) + xerialLength
		most := s2.MaxEncodedLen(len(block))
		dst = slices.Grow(dst, xerialLength+most)
		packed := s2.EncodeSnappy(dst[at:at+most], block)
		binary.BigEndian.PutUint32(dst[at-xerialLength:at], uint32(len(packed)))
		dst = dst[:at+len(packed)]
	}
	return dst, nil
}

// unsnappy reads xerial's framing, and the bare block written by some clients.
func unsnappy(dst, src []byte, limit int) ([]byte, error) {
	if len(src) < len(xerialMagic) || string(src[:len(xerialMagic)]) != xerialMagic {
		return unsnappyBlock(dst, src, limit)
	}
	if len(src) < len(xerialHeader) {
		return nil, corruptf("the header ends after %d of %d bytes", len(src), len(xerialHeader))
	}
	if v := binary.BigEndian.Uint32(src[len(xerialMagic):]); v < 1 {
		return nil, corruptf("framing version %d", v)
	}
	src = src[len(xerialHeader):]
	start := len(dst)
	for len(src) > 0 {
		if len(src) < xerialLength {
			return nil, corruptf("%d bytes where a block's length should be", len(src))
		}
		n := binary.BigEndian.Uint32(src)
		src = src[xerialLength:]
		if int64(n) > int64(len(src)) {
			return nil, corruptf("block of %d bytes, but %d remain", n, len(src))
		}
		var err error
		if dst, err = unsnappyBlock(dst, src[:n], limit-(len(dst)-start)); err != nil {
			return nil, err
		}
		src = src[n:]
	}
	return dst, nil
}

// unsnappyBlock decodes one raw block. It checks the claimed size against the format's limit, 64 bytes for three,
// before it makes room.
func unsnappyBlock(dst, block []byte, limit int) ([]byte, error) {
	n, err := snappy.DecodedLen(block)
	if err != nil {
		return nil, corrupt(err)
	}
	if int64(n) > 22*int64(len(block)) {
		return nil, corruptf("%d bytes cannot hold the %d that they claim", len(block), n)
	}
	if n > limit {
		return nil, ErrTooLarge
	}
	at := len(dst)
	dst = slices.Grow(dst, n)[:at+n]
	if _, err := snappy.Decode(dst[at:], block); err != nil {
		return nil, corrupt(err)
	}
	return dst, nil
}
