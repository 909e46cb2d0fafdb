package compress

import (
	"errors"
	"fmt"
	"io"
)

// The reasons for Decompress's failures, to be found with errors.Is.
var (
	// ErrTooLarge: there is more data than the caller allows.
	ErrTooLarge = errors.New("decompressed data is larger than allowed")
	// ErrCorrupt: the data violates the codec's format.
	ErrCorrupt = errors.New("compressed data is corrupt")
	// ErrUnknownCodec: the number is no codec of Kafka's.
	ErrUnknownCodec = errors.New("unknown codec")
)

// engine is one codec at one level.
type engine interface {
	compress(dst, src []byte) ([]byte, error)
}

// Compressor is one codec at one level, with codec states for reuse. It may be used by many goroutines at once. It
// needs no closing. Codec states belong to it alone, so a state made inside a testing/synctest bubble stays there.
type Compressor struct {
	codec  Codec
	engine engine
}

// NewCompressor returns a compressor. It gives an error for [None], for an unknown codec, and for a level refused by
// [Codec.CheckLevel].
func NewCompressor(codec Codec, level int) (*Compressor, error) {
	if err := codec.CheckLevel(level); err != nil {
		return nil, err
	}
	c := &Compressor{codec: codec}
	switch codec {
	case Gzip:
		c.engine = newGzip(level)
	case Snappy:
		c.engine = new(snappyEngine)
	case LZ4:
		c.engine = newLZ4(level)
	case Zstd:
		c.engine = newZstd(level)
	default:
		return nil, fmt.Errorf("compress: %s compresses nothing", codec)
	}
	return c, nil
}

// Codec returns the codec.
func (c *Compressor) Codec() Codec { return c.codec }

// Compress appends src in compressed form to dst and returns the longer slice. It keeps neither; they must not overlap.
// Once its states are made it allocates only when dst has too little room. On an error it returns dst as it was.
func (c *Compressor) Compress(dst, src []byte) ([]byte, error) {
	out, err := c.engine.compress(dst, src)
	if err != nil {
		return dst, fmt.Errorf("compress: %s: %w", c.codec, err)
	}
	return out, nil
}

// Decompress appends the decompressed data of src to dst and returns the longer slice: at most limit bytes, or it fails
// with [ErrTooLarge]. codec is the number in a batch's attributes; 0 copies, and a number unknown to Kafka gives
// [ErrUnknownCodec]. src may come from anywhere: damage in it gives [ErrCorrupt], never a panic, and Decompress
// allocates by the possible contents of src, not by its claims. dst and src must not overlap. On an error dst comes
// back with its old length.
func Decompress(dst []byte, codec int8, src []byte, limit int) ([]byte, error) {
	limit = max(limit, 0)
	var out []byte
	var err error
	switch Codec(codec) {
	case None:
		if len(src) <= limit {
			return append(dst, src...), nil
		}
		err = ErrTooLarge
	case Gzip:
		out, err = gunzip(dst, src, limit)
	case Snappy:
		out, err = unsnappy(dst, src, limit)
	case LZ4:
		out, err = unlz4(dst, src, limit)
	case Zstd:
		out, err = unzstd(dst, src, limit)
	default:
		return dst, fmt.Errorf("compress: %w %d", ErrUnknownCodec, codec)
	}
	if errors.Is(err, ErrTooLarge) {
		return dst, fmt.Errorf("compress: %s: %w: %d bytes", Codec(codec), err, limit)
	}
	if err != nil {
		return dst, fmt.Errorf("compress: %s: %w", Codec(codec), err)
	}
	return out, nil
}

// corrupt is the error for a src found damaged by a library. An end of data is never the right end there.
func corrupt(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, err)
}

func corruptf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}
