package compress

import (
	"errors"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// zstdWindow is how far back a match may lie. A window bounds what one encoder keeps; batches are rarely larger.
const zstdWindow = 128 << 10

// zstdEngine writes one frame a call, without a checksum: the batch has one.
type zstdEngine struct {
	level    zstd.EncoderLevel
	encoders sync.Pool // of *zstd.Encoder
}

func newZstd(level int) *zstdEngine { return &zstdEngine{level: zstdLevel(level)} }

// zstdLevel maps zstd's levels onto the library's four speeds: up to 2 the fastest, 3 to 5 the default, 6 to 9 better
// compression, from 10 on the best.
func zstdLevel(level int) zstd.EncoderLevel {
	switch {
	case level < 3:
		return zstd.SpeedFastest
	case level < 6:
		return zstd.SpeedDefault
	case level < 10:
		return zstd.SpeedBetterCompression
	default:
		return zstd.SpeedBestCompression
	}
}

func (z *zstdEngine) compress(dst, src []byte) ([]byte, error) {
	e, _ := z.encoders.Get().(*zstd.Encoder)
	if e == nil {
		var err error
		e, err = zstd.NewWriter(nil,
			zstd.WithEncoderLevel(z.level),
			zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(zstdWindow),
			zstd.WithLowerEncoderMem(true),
			zstd.WithEncoderCRC(false),
			zstd.WithZeroFrames(true)) // nothing is a frame too: readers expect one
		if err != nil {
			return nil, err
		}
	}
	dst = e.EncodeAll(src, dst)
	z.encoders.Put(e)
	return dst, nil
}

// unzstd makes its decoder anew: the library's holds a channel, which must not wander between testing/synctest bubbles through
// a pool of the process.
func unzstd(dst, src []byte, max int) ([]byte, error) {
	d, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(uint64(max)+zstdWindow))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	start := len(dst)
	dst, err = d.DecodeAll(src, dst)
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), err == nil && len(dst)-start > max:
		return nil, tooLarge(max)
	case err != nil:
		return nil, corrupt(err)
	}
	return dst, nil
}
