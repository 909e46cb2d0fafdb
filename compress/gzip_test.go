package compress

import (
	"bytes"
	"compress/gzip"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGzipOfTheJavaClientIsRead(t *testing.T) {
	got, err := Decompress(nil, 1, testdata(t, "gzip-text.bin"), 140000)
	require.NoError(t, err)
	requireEqual(t, text(140000), got)
}

func TestGzipAgreesWithTheStandardLibrary(t *testing.T) {
	c := newCompressor(t, Gzip)
	for _, n := range sizes {
		data := mixed(n)
		packed, err := c.Compress(nil, data)
		require.NoError(t, err)
		r, err := gzip.NewReader(bytes.NewReader(packed))
		require.NoError(t, err)
		got, err := io.ReadAll(r)
		require.NoError(t, err)
		requireEqual(t, data, got)

		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Name, w.Comment, w.Extra = "name", "comment", []byte("extra")
		_, err = w.Write(data)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		got, err = Decompress(nil, 1, b.Bytes(), n)
		require.NoError(t, err)
		requireEqual(t, data, got)
	}
}

func TestGzipMembersOneBehindTheOtherAreRead(t *testing.T) {
	c := newCompressor(t, Gzip)
	packed, err := c.Compress(nil, []byte("one "))
	require.NoError(t, err)
	packed, err = c.Compress(packed, []byte("two"))
	require.NoError(t, err)
	got, err := Decompress(nil, 1, packed, 7)
	require.NoError(t, err)
	require.Equal(t, "one two", string(got))
	_, err = Decompress(nil, 1, packed, 6)
	require.ErrorIs(t, err, ErrTooLarge)
}

func TestGzipChecksumIsChecked(t *testing.T) {
	packed, err := newCompressor(t, Gzip).Compress(nil, []byte("data"))
	require.NoError(t, err)
	packed[len(packed)-8]++
	_, err = Decompress(nil, 1, packed, 100)
	require.EqualError(t, err, "compress: gzip: compressed data is corrupt: gzip: invalid checksum")
}
