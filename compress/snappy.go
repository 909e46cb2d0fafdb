package compress

import (
	"encoding/binary"
	"slices"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/s2"
)

// Java's clients write snappy through xerial's SnappyOutputStream: a header, and blocks of 32 KiB, each with its compressed
// length as a big-endian integer. Brokers and consumers expect that framing.
const (
	xerialMagic     = "\x82SNAPPY\x00"
	xerialHeader    = xerialMagic + "\x00\x00\x00\x01" + "\x00\x00\x00\x01" // version, oldest compatible version
	xerialBlockSize = 32 << 10
)

type snappyEngine struct{}

func (snappyEngine) compress(dst, src []byte) ([]byte, error) {
	dst = append(dst, xerialHeader...)
	for len(src) > 0 {
		block := src[:min(len(src), xerialBlockSize)]
		src = src[len(block):]
		most := s2.MaxEncodedLen(len(block))
		dst = slices.Grow(dst, 4+most)
		at := len(dst)
		packed := s2.EncodeSnappy(dst[at+4:at+4+most], block)
		dst = dst[:at+4+len(packed)]
		binary.BigEndian.PutUint32(dst[at:], uint32(len(packed)))
	}
	return dst, nil
}

func unsnappy(dst, src []byte, max int) ([]byte, error) {
	if len(src) < len(xerialMagic) || string(src[:len(xerialMagic)]) != xerialMagic {
		return unsnappyBlock(dst, src, max)
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
		if len(src) < 4 {
			return nil, corruptf("%d bytes where a block's length should be", len(src))
		}
		n := binary.BigEndian.Uint32(src)
		src = src[4:]
		if int64(n) > int64(len(src)) {
			return nil, corruptf("block of %d bytes, but %d remain", n, len(src))
		}
		var err error
		if dst, err = unsnappyBlock(dst, src[:n], max-(len(dst)-start)); err != nil {
			return nil, err
		}
		src = src[n:]
	}
	return dst, nil
}

// unsnappyBlock decodes one raw block. Its claimed size is held against what the format can express, 64 bytes for three,
// before room is made for it.
func unsnappyBlock(dst, block []byte, max int) ([]byte, error) {
	n, err := snappy.DecodedLen(block)
	if err != nil {
		return nil, corrupt(err)
	}
	if int64(n) > 22*int64(len(block)) {
		return nil, corruptf("%d bytes cannot hold the %d that they claim", len(block), n)
	}
	if n > max {
		return nil, tooLarge(max)
	}
	at := len(dst)
	dst = slices.Grow(dst, n)[:at+n]
	if _, err := snappy.Decode(dst[at:], block); err != nil {
		return nil, corrupt(err)
	}
	return dst, nil
}
