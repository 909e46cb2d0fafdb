package sender

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/record"
)

// deliveryMeter is a handler of the trace. Trace lines are written under the partition's lock, so it may look at the
// delivery state.
type deliveryMeter struct {
	slog.Handler
	part                 *partition
	largest, parts, pack int
}

func (m *deliveryMeter) Enabled(context.Context, slog.Level) bool { return true }
func (m *deliveryMeter) WithAttrs([]slog.Attr) slog.Handler       { return m }
func (m *deliveryMeter) Handle(_ context.Context, r slog.Record) error {
	if r.Level == LevelTrace && m.part != nil {
		m.largest = max(m.largest, len(m.part.delivery.Window()))
		m.pack = max(m.pack, len(m.part.delivery.Unsent()))
		m.parts = max(m.parts, m.part.delivery.Len()-len(m.part.delivery.Unsent()))
	}
	return nil
}

// TestABatchOfManyRecordsIsSplitIntoAsManyBatches: the topic takes single records only since its limit was lowered, and
// several large batches are complete. The first batch is split after the broker's answer; the workers cut the others
// before they are sent.
func TestABatchOfManyRecordsIsSplitIntoAsManyBatches(t *testing.T) {
	const n = 6000
	for _, idempotent := range []bool{true, false} {
		t.Run(fmt.Sprintf("idempotent=%v", idempotent), func(t *testing.T) {
			meter := &deliveryMeter{}
			onRig(t, topicT(1, 1), func(c *Config) {
				c.Logger = slog.New(meter)
				c.Accumulator.BatchSize, c.Accumulator.Linger = 8<<10, 10*time.Millisecond
				if c.Idempotent = idempotent; !idempotent {
					c.MaxInFlight = 1
				}
			}, func(r *rig) {
				r.send(0, "warm up").acked()
				r.c.SetSettings("t", testbroker.TopicSettings{MessageMaxBytes: record.BatchHeaderSize + 20})
				meter.part = r.part(0).Drainer().(*partition)
				r.c.Hang(1)
				var all []sent
				for i := range n {
					all = append(all, r.append(0, &record.Record{Topic: "t",
						Value: strconv.AppendInt(nil, int64(i), 10)}))
				}
				synctest.Wait()
				r.c.Unhang(1)
				for i, s := range all {
					require.EqualValues(t, i+1, s.acked())
				}
				for i, value := range r.values(0)[1:] {
					require.Equal(t, strconv.Itoa(i), value)
				}
			})
			require.Greater(t, meter.parts, 200, "a batch was cut into many parts")
			require.Greater(t, meter.pack, 200, "a batch was cut into many parts before it was sent")
			require.Less(t, meter.largest, 20)
		})
	}
}
