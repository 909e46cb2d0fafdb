package producer

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
)

// While SendAll chose the partitions, the topic disappeared for a moment, so the second record gets its partition later
// than the first. The first record does not fit into the buffer. The second record fits, but must not overtake the
// first.
func TestARecordOfASliceThatIsPlacedLaterPassesNoneThatDidNotFit(t *testing.T) {
	badInput(t, func(c *Config) { c.BufferMemory = 32768 }, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		to := func(part int32, size int) Record {
			return Record{Topic: "t", Partition: InPartition(part), Value: bytes.Repeat([]byte("x"), size)}
		}
		first := to(1, 1)
		_, err := p.Send(t.Context(), &first, nil).Get(t.Context())
		require.NoError(t, err)
		c.Hang(1)
		filler := to(1, 9000) // takes up half of the buffer
		filled := p.TrySend(&filler, nil)

		s := sendPiece{sendAll: sendAll{p: p, wait: p.newBudget(t.Context())}, rs: []Record{to(0, 20_000), to(0, 100)}}
		defer s.wait.end()
		s.place(0)
		s.admitAll()
		require.NotNil(t, s.records[0], "it does not fit")
		s.place(1)
		s.admitAll()
		require.NotNil(t, s.records[1], "it waits for the first")

		c.Unhang(1)
		s.admitOneByOne()
		for _, f := range []Future{filled, s.futures[0], s.futures[1]} {
			_, err := f.Get(t.Context())
			require.NoError(t, err)
		}
		var sizes []int
		for _, b := range c.Batches("t", 0) {
			for i := range b.Records {
				sizes = append(sizes, len(b.Records[i].Value))
			}
		}
		require.Equal(t, []int{20_000, 100}, sizes)
	})
}
