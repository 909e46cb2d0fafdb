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

// TestOfAThousandBatchesFewAreSplit: the broker takes less than batch.size. Each size that it refuses costs a split, and then the
// topic's batches keep below the size that passed, whatever they compress to.
func TestOfAThousandBatchesFewAreSplit(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	random := func(n int) string {
		b := make([]byte, n)
		_, _ = rng.Read(b)
		return string(b)
	}
	same := strings.Repeat("the same in every record ", 12)
	bodies := map[string]func(i int) string{
		"alike":   func(int) string { return same[:150] + random(150) },
		"random":  func(int) string { return random(300) },
		"mixed":   func(i int) string { return map[bool]string{true: same, false: random(300)}[i%2 == 0] },
		"by turn": func(i int) string { return map[bool]string{true: same, false: random(300)}[i/4000%2 == 0] },
	}
	for _, codec := range []compress.Codec{compress.None, compress.LZ4} {
		for name, body := range bodies {
			if codec == compress.None && name != "alike" {
				continue // to a batch that is not compressed all bodies are alike
			}
			t.Run(fmt.Sprintf("%v, %s", codec, name), func(t *testing.T) {
				brokers := topicT(1, 1)
				brokers.Settings = map[string]testbroker.TopicSettings{"t": {MessageMaxBytes: 6000}}
				onRig(t, brokers, func(c *Config) {
					c.Accumulator.Linger, c.Retries = 10*time.Millisecond, 1
					if codec != compress.None {
						var err error
						c.Accumulator.Compressor, err = compress.NewCompressor(codec, codec.DefaultLevel())
						require.NoError(t, err)
					}
				}, func(r *rig) {
					var all []sent
					batches := func() (passed, refused int) {
						for _, q := range r.c.Produces() {
							for _, part := range q.Parts {
								if part.Code == protocol.MessageTooLarge {
									refused++
								} else if part.Appended {
									passed++
								}
							}
						}
						return passed, refused
					}
					for round := 0; ; round++ {
						for i := range 4000 {
							all = append(all, r.append(0, &record.Record{Topic: "t", Value: fmt.Appendf(nil, "%06d%s", len(all), body(round*4000+i))}))
						}
						for _, s := range all[len(all)-4000:] {
							s.acked()
						}
						if passed, _ := batches(); passed >= 1000 {
							break
						}
					}
					for i, s := range all {
						require.Equal(t, int64(i), s.acked())
					}
					passed, refused := batches()
					require.Less(t, refused, 40, "of %d; all but the first find out before they are sent", passed)
					require.Positive(t, refused)
					for i, v := range r.values(0) {
						require.Equal(t, fmt.Sprintf("%06d", i), v[:6])
					}
				})
			})
		}
	}
}
