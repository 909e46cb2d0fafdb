package sender

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/compress"
	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// TestOfAThousandBatchesFewAreSplit: the broker takes less than batch.size. Each refused size costs a split, and then
// the topic's batches keep below the accepted size, with any compression. Batches complete before that are cut before
// they are sent.
func TestOfAThousandBatchesFewAreSplit(t *testing.T) {
	const burst = 4000
	rng := rand.New(rand.NewSource(1))
	random := func(n int) string {
		b := make([]byte, n)
		_, _ = rng.Read(b)
		return string(b)
	}
	same := strings.Repeat("the same in every record ", 12)
	for _, v := range []struct {
		codec compress.Codec
		name  string
		body  func(i int) string
	}{
		{compress.None, "of one kind", func(int) string { return same }},
		{compress.LZ4, "of one kind", func(int) string { return same[:150] + random(150) }},
		{compress.LZ4, "random", func(int) string { return random(300) }},
		{compress.LZ4, "mixed", func(i int) string { return []string{same, random(300)}[i%2] }},
		{compress.LZ4, "by turn", func(i int) string { return []string{same, random(300)}[i/burst%2] }},
	} {
		t.Run(fmt.Sprintf("%v, %s", v.codec, v.name), func(t *testing.T) {
			brokers := topicT(1, 1)
			brokers.Settings = map[string]testbroker.TopicSettings{"t": {MessageMaxBytes: 6000}}
			onRig(t, brokers, func(c *Config) {
				c.Accumulator.Linger, c.Retries = 10*time.Millisecond, 1
				if v.codec != compress.None {
					var err error
					c.Accumulator.Compressor, err = compress.NewCompressor(v.codec, v.codec.DefaultLevel())
					require.NoError(t, err)
				}
			}, func(r *rig) {
				var all []sent
				for len(r.c.Batches("t", 0)) < 1000 {
					for range burst {
						value := fmt.Appendf(nil, "%06d%s", len(all), v.body(len(all)))
						all = append(all, r.append(0, &record.Record{Topic: "t", Value: value}))
					}
					for i, s := range all[len(all)-burst:] {
						require.Equal(t, int64(len(all)-burst+i), s.acked())
					}
				}
				for i, value := range r.values(0) {
					require.Equal(t, fmt.Sprintf("%06d", i), value[:6])
				}
				require.Positive(t, r.refused(protocol.MessageTooLarge))
				require.Less(t, r.refused(protocol.MessageTooLarge), 15)
			})
		})
	}
}

// refused counts the batches with a code as their answer.
func (r *rig) refused(code protocol.ErrorCode) (n int) {
	for _, q := range r.c.Produces() {
		for _, part := range q.Parts {
			if part.Code == code {
				n++
			}
		}
	}
	return n
}
