package producer

import (
	"encoding/hex"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

type murmur2Vector struct {
	key        []byte
	hash       int32
	partitions map[int32]int32 // number of partitions → the key's
}

// murmur2Vectors reads the Java client's results; testdata/murmur2/Vectors.java describes their origin.
func murmur2Vectors(t testing.TB) []murmur2Vector {
	text, err := os.ReadFile("testdata/murmur2/vectors.txt")
	require.NoError(t, err)
	var vectors []murmur2Vector
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Fields(line)
		require.Len(t, fields, 6, line)
		v := murmur2Vector{partitions: map[int32]int32{}}
		if fields[0] != "-" {
			v.key, err = hex.DecodeString(fields[0])
			require.NoError(t, err)
		}
		v.hash = murmur2Int32(t, fields[1])
		for i, n := range []int32{1, 3, 12, 1000} {
			v.partitions[n] = murmur2Int32(t, fields[2+i])
		}
		vectors = append(vectors, v)
	}
	return vectors
}

func murmur2Int32(t testing.TB, s string) int32 {
	n, err := strconv.ParseInt(s, 10, 32)
	require.NoError(t, err)
	return int32(n)
}

func TestKeysHashAsInTheJavaClient(t *testing.T) {
	vectors := murmur2Vectors(t)
	require.GreaterOrEqual(t, len(vectors), 300)
	for _, v := range vectors {
		require.Equal(t, v.hash, int32(murmur2(v.key)), "key %x", v.key)
	}
}

func TestKeysGetThePartitionOfTheJavaClient(t *testing.T) {
	for _, v := range murmur2Vectors(t) {
		for n, want := range v.partitions {
			require.Equal(t, want, PartitionForKey(v.key, n), "key %x among %d", v.key, n)
		}
	}
}

func TestPartitionForKeyOfNoPartitionsIsNone(t *testing.T) {
	require.EqualValues(t, -1, PartitionForKey([]byte("k"), 0))
	require.EqualValues(t, -1, PartitionForKey([]byte("k"), -3))
}

func TestPartitionForKeyAllocatesNothing(t *testing.T) {
	key := []byte("some-key-of-usual-length")
	require.Zero(t, testing.AllocsPerRun(100, func() { PartitionForKey(key, 12) }))
}
