package compress

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"

	"github.com/pierrec/lz4/v4"
	"github.com/stretchr/testify/require"
)

func TestLZ4OfTheJavaClientIsRead(t *testing.T) {
	got, err := Decompress(nil, 3, testdata(t, "lz4-text.bin"), 140000)
	require.NoError(t, err)
	requireEqual(t, text(140000), got)
	got, err = Decompress(nil, 3, testdata(t, "lz4-random.bin"), 33000)
	require.NoError(t, err)
	requireEqual(t, javaRandom(33000), got)
}

func TestLZ4IsFramedAsTheJavaClientFramesIt(t *testing.T) {
	c := newCompressor(t, LZ4)
	packed, err := c.Compress(nil, javaRandom(33000))
	require.NoError(t, err)
	requireEqual(t, testdata(t, "lz4-random.bin"), packed) // nothing to choose: byte for byte

	packed, err = c.Compress(nil, nil)
	require.NoError(t, err)
	require.Equal(t, []byte{0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82, 0, 0, 0, 0}, packed)
	require.Equal(t, testdata(t, "lz4-text.bin")[:7], packed[:7])
}

func TestLZ4AgreesWithTheLibrarysFrames(t *testing.T) {
	c := newCompressor(t, LZ4)
	for _, kind := range kinds {
		for _, n := range sizes {
			data := kind.make(n)
			packed, err := c.Compress(nil, data)
			require.NoError(t, err)
			got, err := io.ReadAll(lz4.NewReader(bytes.NewReader(packed)))
			require.NoError(t, err)
			requireEqual(t, data, got)
		}
	}
}

func TestLZ4FramesOfOtherClientsAreRead(t *testing.T) {
	for _, options := range [][]lz4.Option{
		{lz4.BlockSizeOption(lz4.Block64Kb)},
		{lz4.BlockSizeOption(lz4.Block256Kb), lz4.BlockChecksumOption(true)},
		{lz4.BlockSizeOption(lz4.Block1Mb), lz4.ChecksumOption(false)},
		{lz4.BlockSizeOption(lz4.Block4Mb), lz4.ChecksumOption(true), lz4.BlockChecksumOption(true)},
		{lz4.SizeOption(300000)},
	} {
		for _, kind := range kinds {
			data := kind.make(300000)
			var b bytes.Buffer
			w := lz4.NewWriter(&b)
			require.NoError(t, w.Apply(options...))
			_, err := w.Write(data)
			require.NoError(t, err)
			require.NoError(t, w.Close())
			got, err := Decompress(nil, 3, b.Bytes(), len(data))
			require.NoError(t, err, "%v", options)
			requireEqual(t, data, got)
		}
	}
}

// lz4FrameOf builds a frame from flags, block descriptor, content size, and blocks with their lengths.
func lz4FrameOf(flags, bd byte, size []byte, rest ...byte) []byte {
	b := append([]byte{0x04, 0x22, 0x4d, 0x18, flags, bd}, size...)
	b = append(b, byte(xxh32(b[4:])>>8))
	return append(b, rest...)
}

func TestLinkedLZ4BlocksAreRead(t *testing.T) {
	// "abcd" as it is, then a block with a copy of 8 bytes from 4 back, and the literals "wxyz!" at its end.
	blocks := []byte{4, 0, 0, 0x80, 'a', 'b', 'c', 'd', 9, 0, 0, 0, 0x04, 4, 0, 0x50, 'w', 'x', 'y', 'z', '!', 0, 0, 0,
		0}
	got, err := Decompress(nil, 3, lz4FrameOf(0x40, 0x40, nil, blocks...), 100)
	require.NoError(t, err)
	require.Equal(t, "abcdabcdabcdwxyz!", string(got))

	// In an independent block the same copy reaches before the beginning, and so it does behind bytes from outside the
	// frame.
	_, err = Decompress(nil, 3, lz4FrameOf(0x60, 0x40, nil, blocks...), 100)
	require.ErrorIs(t, err, ErrCorrupt)
	_, err = Decompress([]byte("in front"), 3, lz4FrameOf(0x40, 0x40, nil, blocks[8:]...), 100)
	require.ErrorIs(t, err, ErrCorrupt)
}

func TestDamagedLZ4IsRefusedWithTheReason(t *testing.T) {
	const prefix = "compress: lz4: compressed data is corrupt: "
	good := lz4FrameOf(0x60, 0x40, nil)
	with := func(frame []byte, rest ...byte) []byte { return append(bytes.Clone(frame), rest...) }
	badSum := bytes.Clone(good)
	badSum[6]++
	size := binary.LittleEndian.AppendUint64(nil, 3)
	for _, c := range []struct {
		name string
		in   []byte
		want string
	}{
		{"half a header", good[:6], "6 bytes are no frame"},
		{"another magic number", with([]byte{0x02, 0x21, 0x4c, 0x18}, good[4:]...), "magic number 0x184c2102"},
		{"version 2", lz4FrameOf(0xa0, 0x40, nil), "frame version 2"},
		{"a dictionary", lz4FrameOf(0x61, 0x40, nil), "frame flags 0x61: a dictionary, or a reserved bit"},
		{"a reserved flag", lz4FrameOf(0x62, 0x40, nil), "frame flags 0x62: a dictionary, or a reserved bit"},
		{"block size 3", lz4FrameOf(0x60, 0x30, nil), "block descriptor 0x30"},
		{"block size 8", lz4FrameOf(0x60, 0x80, nil), "block descriptor 0x80"},
		{"header checksum", badSum, "wrong checksum of the header"},
		{"half a content size", lz4FrameOf(0x68, 0x40, size[:4]), "the header ends after 11 bytes"},
		{"no end mark", good, "0 bytes where a block's length should be"},
		{"half a block", with(good, 5, 0, 0, 0, 1), "block of 5 bytes, but 1 remain"},
		{"a greatest block", with(good, 0xff, 0xff, 0xff, 0x7f, 1), "block of 2147483647 bytes, but 1 remain"},
		{"a plain block of more than the frame's", with(good, with([]byte{1, 0, 1, 0x80}, make([]byte, 65537)...)...),
			"block of 65537 bytes where 65536 are the most"},
		{"no block checksum", with(lz4FrameOf(0x70, 0x40, nil), 1, 0, 0, 0x80, 'x'),
			"0 bytes where a block's checksum should be"},
		{"block checksum", with(lz4FrameOf(0x70, 0x40, nil), 1, 0, 0, 0x80, 'x', 0, 0, 0, 0),
			"wrong checksum of a block"},
		{"no content checksum", with(lz4FrameOf(0x64, 0x40, nil), 0, 0, 0, 0),
			"0 bytes where the content's checksum should be"},
		{"content checksum", with(lz4FrameOf(0x64, 0x40, nil), 0, 0, 0, 0, 1, 2, 3, 4),
			"wrong checksum of the content"},
		{"less than announced", with(lz4FrameOf(0x68, 0x40, size), 1, 0, 0, 0x80, 'x', 0, 0, 0, 0),
			"content of 1 bytes where 3 were announced"},
		{"something behind", with(good, 0, 0, 0, 0, 9), "1 bytes behind the frame"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Decompress(nil, 3, c.in, 1<<20)
			require.EqualError(t, err, prefix+c.want)
		})
	}
	_, err := Decompress(nil, 3, lz4FrameOf(0x68, 0x40, size), 2)
	require.ErrorIs(t, err, ErrTooLarge, "the frame says so itself")
}

func TestALargeBlockSizeAllocatesNothingByItself(t *testing.T) {
	frame := append(lz4FrameOf(0x60, 0x70, nil), 1, 0, 0, 0, 0) // blocks of 4 MiB, one byte there
	require.Less(t, allocated(func() { _, _ = Decompress(nil, 3, frame, 1<<30) }), uint64(16<<10))
}

func TestXXH32GivesTheKnownSums(t *testing.T) {
	for in, want := range map[string]uint32{
		"":    0x02cc5d05,
		"a":   0x550d7456,
		"abc": 0x32d153ff,
		"Nobody inspects the spammish repetition": 0xe2293b2f,
	} {
		require.Equal(t, want, xxh32([]byte(in)), "%q", in)
	}
}
