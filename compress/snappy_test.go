package compress

import (
	"encoding/binary"
	"testing"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/s2"
	"github.com/stretchr/testify/require"
)

// xerialBlocks takes the framing apart by the letter.
func xerialBlocks(t testing.TB, b []byte) [][]byte {
	require.GreaterOrEqual(t, len(b), 16)
	require.Equal(t, []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1}, b[:16])
	var blocks [][]byte
	for b = b[16:]; len(b) > 0; {
		n := int(binary.BigEndian.Uint32(b))
		blocks = append(blocks, b[4:4+n])
		b = b[4+n:]
	}
	return blocks
}

func TestSnappyOfTheJavaClientIsRead(t *testing.T) {
	got, err := Decompress(nil, 2, testdata(t, "snappy-text.bin"), 140000)
	require.NoError(t, err)
	requireEqual(t, text(140000), got)
	got, err = Decompress(nil, 2, testdata(t, "snappy-random.bin"), 33000)
	require.NoError(t, err)
	requireEqual(t, javaRandom(33000), got)
}

// The frames are as Java's, but for the size of the blocks.
func TestSnappyIsFramedAsTheJavaClientFramesIt(t *testing.T) {
	c := newCompressor(t, Snappy)
	for _, f := range []struct {
		file string
		data []byte
	}{{"snappy-text.bin", text(140000)}, {"snappy-random.bin", javaRandom(33000)}} {
		packed, err := c.Compress(nil, f.data)
		require.NoError(t, err)
		theirs := testdata(t, f.file)
		require.Equal(t, theirs[:len(xerialHeader)], packed[:len(xerialHeader)])
		require.Equal(t, []int{len(f.data)}, unpackedSizes(t, packed))
		require.Equal(t, len(f.data), sum(unpackedSizes(t, theirs)))
	}
	packed, err := c.Compress(nil, text(xerialBlockSize+1))
	require.NoError(t, err)
	require.Equal(t, []int{xerialBlockSize, 1}, unpackedSizes(t, packed))

	packed, err = c.Compress(nil, nil)
	require.NoError(t, err)
	require.Len(t, packed, 16, "nothing is the header alone")
}

// unpackedSizes returns how large the blocks of a framed text are when they are decoded.
func unpackedSizes(t *testing.T, packed []byte) (sizes []int) {
	t.Helper()
	for _, block := range xerialBlocks(t, packed) {
		n, err := snappy.DecodedLen(block)
		require.NoError(t, err)
		sizes = append(sizes, n)
	}
	return sizes
}

func sum(all []int) (n int) {
	for _, one := range all {
		n += one
	}
	return n
}

func TestSnappyAgreesWithTheReference(t *testing.T) {
	c := newCompressor(t, Snappy)
	for _, kind := range kinds {
		for _, n := range sizes {
			data := kind.make(n)
			packed, err := c.Compress(nil, data)
			require.NoError(t, err)
			var got []byte
			for _, block := range xerialBlocks(t, packed) {
				part, err := snappy.Decode(nil, block)
				require.NoError(t, err)
				got = append(got, part...)
			}
			requireEqual(t, data, got)

			got, err = Decompress(nil, 2, snappy.Encode(nil, data), n)
			require.NoError(t, err, "a bare block")
			requireEqual(t, data, got)
		}
	}
}

func TestSnappyBlocksOfAnySizeAreRead(t *testing.T) {
	data := mixed(300000)
	packed := []byte(xerialHeader)
	for rest := data; len(rest) > 0; {
		n := min(len(rest), 1+len(packed)%100000)
		block := snappy.Encode(nil, rest[:n])
		packed = append(binary.BigEndian.AppendUint32(packed, uint32(len(block))), block...)
		rest = rest[n:]
	}
	got, err := Decompress(nil, 2, packed, len(data))
	require.NoError(t, err)
	requireEqual(t, data, got)
}

// The encoder's library has a format of its own beside snappy; a reader of snappy must not take it.
func TestBytesThatAreNoSnappyAreRefused(t *testing.T) {
	data := make([]byte, 100000)
	_, err := Decompress(nil, 2, s2.Encode(nil, data), len(data))
	require.ErrorIs(t, err, ErrCorrupt)
}

func TestDamagedSnappyIsRefusedWithTheReason(t *testing.T) {
	const prefix = "compress: snappy: compressed data is corrupt: "
	for _, c := range []struct{ name, in, want string }{
		{"half a header", xerialHeader[:15], "the header ends after 15 of 16 bytes"},
		{"version 0", xerialMagic + "\x00\x00\x00\x00\x00\x00\x00\x00", "framing version 0"},
		{"half a length", xerialHeader + "\x00\x00", "2 bytes where a block's length should be"},
		{"length beyond the end", xerialHeader + "\x00\x00\x00\x05\x00", "block of 5 bytes, but 1 remain"},
		{"negative length", xerialHeader + "\xff\xff\xff\xff\x00", "block of 4294967295 bytes, but 1 remain"},
		{"empty block", xerialHeader + "\x00\x00\x00\x00", "snappy: corrupt input"},
		{"a claim of 2 GiB less one", "\xff\xff\xff\xff\x07\x00", "6 bytes cannot hold the 2147483647 that they claim"},
		{"a claim of 64 bytes", "\x40\x00", "2 bytes cannot hold the 64 that they claim"},
		{"less than claimed", "\x04\x04ab", "snappy: corrupt input"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Decompress(nil, 2, []byte(c.in), 1<<30)
			require.EqualError(t, err, prefix+c.want)
		})
	}
}

func TestTheDensestSnappyIsRead(t *testing.T) {
	data := make([]byte, 1<<16)
	packed := snappy.Encode(nil, data)
	require.Less(t, len(packed), len(data)/21, "the bound is nearly reached")
	got, err := Decompress(nil, 2, packed, len(data))
	require.NoError(t, err)
	requireEqual(t, data, got)
}
