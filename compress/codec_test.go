package compress

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCodecsHaveKafkasNumbersAndNames(t *testing.T) {
	for number, name := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		c, err := ParseCodec(name)
		require.NoError(t, err)
		require.Equal(t, Codec(number), c)
		require.Equal(t, name, c.String())
	}
	require.Equal(t, "codec(5)", Codec(5).String())
	require.Equal(t, "codec(-1)", Codec(-1).String())
}

func TestAnUnknownNameIsRefusedWithTheKnownOnes(t *testing.T) {
	for _, name := range []string{"", "GZIP", "zip", "lz4 "} {
		_, err := ParseCodec(name)
		require.ErrorContains(t, err, "there are none, gzip, snappy, lz4, zstd")
	}
}

func TestLevelsAreKafkas(t *testing.T) {
	for _, c := range []struct {
		codec    Codec
		standard int
		good     []int
		bad      []int
	}{
		{None, 0, []int{0}, []int{-1, 1}},
		{Gzip, -1, []int{-1, 1, 9}, []int{-2, 0, 10, math.MinInt, math.MaxInt}},
		{Snappy, 0, []int{0}, []int{-1, 1}},
		{LZ4, 9, []int{1, 9, 17}, []int{0, -1, 18}},
		{Zstd, 3, []int{-131072, -1, 0, 3, 22}, []int{-131073, 23}},
		{Codec(5), 0, nil, []int{0}},
		{Codec(-1), 0, nil, []int{0}},
	} {
		require.Equal(t, c.standard, c.codec.DefaultLevel())
		for _, level := range c.good {
			require.NoError(t, c.codec.CheckLevel(level), "%s %d", c.codec, level)
		}
		for _, level := range c.bad {
			require.Error(t, c.codec.CheckLevel(level), "%s %d", c.codec, level)
			_, err := NewCompressor(c.codec, level)
			require.Error(t, err)
		}
	}
	require.EqualError(t, Gzip.CheckLevel(0), "compress: gzip has levels 1 to 9 and -1 for the default, got 0")
	require.EqualError(t, LZ4.CheckLevel(18), "compress: lz4 has levels 1 to 17, got 18")
	require.EqualError(t, Snappy.CheckLevel(1), "compress: snappy has no levels, got 1")
}

func TestNoneIsNoCompressor(t *testing.T) {
	_, err := NewCompressor(None, 0)
	require.EqualError(t, err, "compress: none compresses nothing")
}
