//go:build race

package accumulator

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/record"
)

// Bytes written by a connection after the return of the batch's buffer have a checksum refused by every broker.
func TestABufferThatIsReadAfterItWasGivenBackIsPoison(t *testing.T) {
	a := newTest(Config{})
	p := a.Topic("t").Partition(0)
	putMany(t, p, 0, 10)
	b := take(t, p)
	record.SetChecksum(b.Bytes())
	wire := b.Bytes()
	_, _, err := record.ReadBatch(wire, nil, 0)
	require.NoError(t, err)

	b.Retain() // a connection writes it
	p.Settle(b, acked(0))
	_, _, err = record.ReadBatch(wire, nil, 0)
	require.NoError(t, err, "it is held")

	b.Release()
	require.Equal(t, len(wire), bytes.Count(wire, []byte{poisonByte}))
	_, _, err = record.ReadBatch(wire, nil, 0)
	require.Error(t, err)
	requireEmpty(t, a)
}

func TestABufferThatIsWrittenAfterItWasGivenBackIsFoundWhenItIsUsedAgain(t *testing.T) {
	b := make([]byte, 0, 512)
	poison(b)
	require.NotPanics(t, func() { checkPoison(b) })
	for _, at := range []int{0, 1, 511} {
		poison(b)
		b[:cap(b)][at] = 0
		require.PanicsWithValue(t, "samsa: a batch's buffer was written after it had been given back",
			func() { checkPoison(b) })
	}
}

// The pool checks its buffers before it hands them out: an append to a batch after its end does not go unnoticed.
func TestThePoolHandsOutNoBufferThatIsStillWritten(t *testing.T) {
	var pool bufferPool
	box := pool.get(512)
	late := (*box)[:512]
	pool.put(box)
	late[100] = 'x'
	require.Panics(t, func() {
		// The pool may have dropped the buffer, or keep it for another processor; it is put back until it comes.
		for {
			pool.put(box)
			late[100] = 'x'
			pool.get(512)
		}
	})
}
