package compress

import (
	"bytes"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

func TestZstdOfTheJavaClientIsRead(t *testing.T) {
	file := testdata(t, "zstd-text.bin")
	var h zstd.Header
	require.NoError(t, h.Decode(file))
	require.False(t, h.HasFCS, "the Java client does not announce the size")
	require.Greater(t, h.WindowSize, uint64(140000), "its window is larger than the content")
	got, err := Decompress(nil, 4, file, 140000)
	require.NoError(t, err)
	requireEqual(t, text(140000), got)
	_, err = Decompress(nil, 4, file, 139999)
	require.ErrorIs(t, err, ErrTooLarge)
}

func TestZstdIsReadAsAStream(t *testing.T) {
	c := newCompressor(t, Zstd)
	for _, n := range sizes {
		data := mixed(n)
		packed, err := c.Compress(nil, data)
		require.NoError(t, err)
		d, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1))
		require.NoError(t, err)
		got, err := io.ReadAll(d)
		require.NoError(t, err)
		d.Close()
		requireEqual(t, data, got)
	}
}

func TestNothingIsAFrameOfZstdToo(t *testing.T) {
	packed, err := newCompressor(t, Zstd).Compress(nil, nil)
	require.NoError(t, err)
	require.NotEmpty(t, packed)
	var h zstd.Header
	require.NoError(t, h.Decode(packed))
}

func TestZstdFramesNeedASmallWindowOnly(t *testing.T) {
	packed, err := newCompressor(t, Zstd).Compress(nil, mixed(2<<20))
	require.NoError(t, err)
	var h zstd.Header
	require.NoError(t, h.Decode(packed))
	require.LessOrEqual(t, h.WindowSize, uint64(zstdWindow))
	require.False(t, h.HasCheckSum, "the batch has a checksum")
}

func TestZstdLevelsMapOntoTheLibrarysSpeeds(t *testing.T) {
	for level, want := range map[int]zstd.EncoderLevel{
		-131072: zstd.SpeedFastest, -1: zstd.SpeedFastest, 0: zstd.SpeedDefault, 1: zstd.SpeedFastest,
		2: zstd.SpeedFastest,
		3: zstd.SpeedDefault, 5: zstd.SpeedDefault,
		6: zstd.SpeedBetterCompression, 9: zstd.SpeedBetterCompression,
		10: zstd.SpeedBestCompression, 22: zstd.SpeedBestCompression,
	} {
		require.Equal(t, want, zstdLevel(level), "%d", level)
	}
}

func TestZstdFramesOfEveryKindAreRead(t *testing.T) {
	data := mixed(300000)
	for _, options := range [][]zstd.EOption{
		{zstd.WithEncoderCRC(true)},
		{zstd.WithSingleSegment(true)},
		{zstd.WithWindowSize(8 << 20)},
		{zstd.WithEncoderPadding(4096)}, // a skippable frame behind it
	} {
		e, err := zstd.NewWriter(nil, options...)
		require.NoError(t, err)
		packed := e.EncodeAll(data, nil)
		packed = e.EncodeAll(data, packed) // frames one behind the other
		require.NoError(t, e.Close())
		got, err := Decompress(nil, 4, packed, 2*len(data))
		require.NoError(t, err)
		requireEqual(t, append(bytes.Clone(data), data...), got)
		_, err = Decompress(nil, 4, packed, 2*len(data)-1)
		require.ErrorIs(t, err, ErrTooLarge)
	}
}

func TestDamagedZstdIsRefusedWithTheReason(t *testing.T) {
	const prefix = "compress: zstd: compressed data is corrupt: "
	magic := []byte{0x28, 0xb5, 0x2f, 0xfd}
	frame := func(rest ...byte) []byte { return append(bytes.Clone(magic), rest...) }
	for _, c := range []struct {
		name string
		in   []byte
		want string
	}{
		{"nothing", nil, "no frame"},
		{"no blocks", frame(0x00, 0x00), "0 bytes where a block should be"},
		{"half a block header", frame(0x00, 0x00, 0x01, 0x00), "2 bytes where a block should be"},
		{"reserved block", frame(0x00, 0x00, 0x07, 0x00, 0x00), "block of reserved type 3"},
		{"half a block", frame(0x00, 0x00, 0x29, 0x00, 0x00, 'x'), "block of 5 bytes, but 1 remain"},
		{"a huge block", frame(0x00, 0x00, 0xff&^6|2, 0xff, 0xff, 'x'),
			"block of 2097151 bytes where 131072 are the most"},
		{"no checksum", frame(0x04, 0x00, 0x09, 0x00, 0x00, 'x', 1, 2), "2 bytes where a checksum should be"},
		{"a claim of 2^62 bytes", frame(0xe0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x09, 0x00, 0x00, 'x'),
			"blocks that hold 1 bytes at most cannot hold the 4611686018427387904 announced"},
		{"half a skippable frame", []byte{0x50, 0x2a, 0x4d, 0x18, 5, 0, 0, 0, 'x'},
			"skippable frame of 5 bytes, but 1 remain"},
		{"a greatest skippable frame", []byte{0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0xff, 'x'},
			"skippable frame of 4294967295 bytes, but 1 remain"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Decompress(nil, 4, c.in, 1<<20)
			require.ErrorIs(t, err, ErrCorrupt)
			require.EqualError(t, err, prefix+c.want)
		})
	}
}

func TestZstdClaimsAllocateByTheirBlocks(t *testing.T) {
	// 64 MiB in runs of one byte: only the limit bounds it.
	run := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38}
	for range 511 {
		run = append(run, 0x02, 0x00, 0x10, 0)
	}
	run = append(run, 0x03, 0x00, 0x10, 0)
	var err error
	const limit = 1 << 20
	require.Less(t, allocated(func() { _, err = Decompress(nil, 4, run, limit) }), uint64(6*limit))
	require.ErrorIs(t, err, ErrTooLarge)
	got, err := Decompress(nil, 4, run, 64<<20)
	require.NoError(t, err)
	require.Len(t, got, 64<<20)

	// A window of 128 MiB, and one byte.
	wide := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88, 0x09, 0x00, 0x00, 'x'}
	require.Less(t, allocated(func() { got, err = Decompress(nil, 4, wide, limit) }), uint64(limit))
	require.NoError(t, err)
	require.Equal(t, "x", string(got))

	// 4 MiB announced, and too little for it.
	announced := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0x40, 0, 0x09, 0x00, 0x00, 'x'}
	require.Less(t, allocated(func() { _, err = Decompress(nil, 4, announced, 64<<20) }), uint64(16<<10))
	require.ErrorIs(t, err, ErrCorrupt)
}
