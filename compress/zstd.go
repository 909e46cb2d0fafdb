package compress

import (
	"sync"

	"github.com/klauspost/compress/zstd"
)

// zstdWindow is a match's longest distance: 256 KiB. An encoder keeps a window of each batch larger than a block of 128
// KiB. A window of 1 MiB makes 1 MiB batches of text 1 % smaller for three times the memory; smaller batches are the
// same.
const zstdWindow = 256 << 10

// zstdEngine writes one frame a call, without a checksum: the batch has one.
type zstdEngine struct {
	level    zstd.EncoderLevel
	encoders sync.Pool // of *zstd.Encoder
}

func newZstd(level int) *zstdEngine { return &zstdEngine{level: zstdLevel(level)} }

// zstdLevel maps zstd's levels onto the library's four speeds. Each speed comes near the size of zstd's own library at
// the named level: below 3 the fastest (1), 3 to 5 the default (3), 6 to 9 better (7), from 10 on the best (11). Level
// 0 is zstd's own name for its default level, 3.
func zstdLevel(level int) zstd.EncoderLevel {
	switch {
	case level == 0:
		return zstdLevel(Zstd.DefaultLevel())
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
