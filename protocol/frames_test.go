package protocol

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// produceVersions are all versions of Produce.
func produceVersions() []int16 { return requestKinds[2].versions() }

func TestFramesAreTheSameBytesAsAppend(t *testing.T) {
	for _, version := range produceVersions() {
		for seed := range uint64(40) {
			m := newGenerator(seed, version).produceRequest()
			want, err := m.Append([]byte("lead"), version)
			require.NoError(t, err)

			header, total := m.EncodedSize(version)
			require.Equal(t, len(want), 4+total)
			hdr := append(make([]byte, 0, 4+header), "lead"...)
			got, bufs, err := m.AppendVectored(hdr, nil, version)
			require.NoError(t, err)
			require.Equal(t, want, bytes.Join(bufs, nil))
			require.Len(t, got, 4+header)
			require.Same(t, &hdr[0], &got[0], "hdr had room and was moved")
		}
	}
}

func TestFramesGrowTheHeaderBeforeItsPiecesAreTaken(t *testing.T) {
	m := newGenerator(3, 13).produceRequest()
	require.NotEmpty(t, m.Topics)
	want, err := m.Append([]byte("lead"), 13)
	require.NoError(t, err)
	got, bufs, err := m.AppendVectored([]byte("lead"), nil, 13)
	require.NoError(t, err)
	require.Equal(t, want, bytes.Join(bufs, nil))
	got[0] = 'L'
	require.Equal(t, byte('L'), bufs[0][0], "the first piece is not the returned header's memory")
}

func TestFramesDoNotCopyRecords(t *testing.T) {
	for _, version := range produceVersions() {
		records := [][]byte{[]byte("one"), []byte("two"), {}, nil, []byte("three")}
		m := &ProduceRequest{Topics: []ProduceTopic{{Name: "a"}, {Name: "b"}}}
		for i, r := range records {
			topic := &m.Topics[i%2]
			topic.Partitions = append(topic.Partitions, ProducePartition{Index: int32(i), Records: r})
		}
		_, bufs, err := m.AppendVectored(nil, [][]byte{[]byte("before")}, version)
		require.NoError(t, err)
		require.Equal(t, "before", string(bufs[0]))
		var found []string
		for _, b := range bufs {
			for _, r := range records {
				if len(r) > 0 && &r[0] == &b[0] {
					found = append(found, string(b))
				}
			}
			require.Equal(t, len(b), cap(b), "a piece must not be appended to over its neighbour")
		}
		require.Equal(t, []string{"one", "three", "two"}, found)
	}
}

func TestFramesOfABadRequestLeaveHeaderAndBuffersAsTheyWere(t *testing.T) {
	m := &ProduceRequest{Topics: []ProduceTopic{
		{Name: "fine", Partitions: []ProducePartition{{Records: []byte("r")}}},
		{Name: strings.Repeat("x", maxString+1)},
	}}
	before := [][]byte{[]byte("before")}
	hdr, bufs, err := m.AppendVectored([]byte("lead"), before, 9)
	require.ErrorIs(t, err, ErrUnencodable)
	require.Equal(t, "lead", string(hdr))
	require.Equal(t, before, bufs)

	_, _, err = m.AppendVectored(nil, nil, 14)
	require.ErrorIs(t, err, ErrVersion)
}

func TestVarintSizes(t *testing.T) {
	for _, v := range []uint32{0, 1, 127, 128, 16383, 16384, 1<<21 - 1, 1 << 21, 1<<28 - 1, 1 << 28, math.MaxUint32} {
		w := writer{}
		w.uvarint(v)
		require.Equal(t, len(w.b), UvarintSize(uint64(v)), v)
		r := reader{b: w.b}
		require.Equal(t, v, r.uvarint())
		require.NoError(t, r.err)
	}
}
