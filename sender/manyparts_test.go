package sender

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// A batch may be cut into thousands of parts. Every event of the core visits the whole window, so these tests look at the window's length.

// manyParts is a delivery state whose batch was too large and was replaced by n parts of one record.
func manyParts(cfg *deliveryConfig, n int, now time.Time) (l *deliveryState, parts []*batchState) {
	cfg.acks, cfg.maxInFlight, cfg.retries, cfg.deliveryTimeout = -1, 5, 10, time.Minute
	cfg.backoff = func(int) time.Duration { return time.Millisecond }
	l = &deliveryState{cfg: cfg, leader: 1}
	if cfg.idempotent {
		l.setIdentity(identity{id: 7, valid: true})
	}
	whole := &batchState{count: int32(n), created: now, sequence: noSequence}
	l.sent(whole)
	l.answered(whole, answer{code: protocol.MessageTooLarge}, now)
	for range n {
		parts = append(parts, &batchState{count: 1, sequence: noSequence})
	}
	l.replace(whole, parts)
	return l, parts
}

func TestTheWindowIsAsSmallForManyPartsAsForFew(t *testing.T) {
	for _, idempotent := range []bool{true, false} {
		t.Run(fmt.Sprintf("idempotent=%v", idempotent), func(t *testing.T) {
			require.LessOrEqual(t, largestWindow(t, idempotent, 16_000), 6)
			require.Equal(t, largestWindow(t, idempotent, 1000), largestWindow(t, idempotent, 16_000))
		})
	}
}

// largestWindow delivers n parts, every tenth of which the broker refuses at first, and returns the greatest length of the window.
func largestWindow(t *testing.T, idempotent bool, n int) (largest int) {
	t.Helper()
	now := time.Unix(1000, 0)
	l, parts := manyParts(&deliveryConfig{idempotent: idempotent}, n, now)
	var flying, done []*batchState
	for len(done) < n {
		require.Equal(t, n-len(done), len(l.window)+l.waiting)
		largest = max(largest, len(l.window))
		if p, wait := l.retryDue(now); p != nil {
			l.sent(p)
			flying = append(flying, p)
			continue
		} else if len(flying) == 0 {
			now = wait
			continue
		}
		p := flying[0]
		flying = flying[1:]
		code := protocol.None
		if p.tries == 1 && len(done)%10 == 9 {
			code = protocol.NotEnoughReplicas
		}
		for _, a := range l.answered(p, answer{code: code, offset: int64(len(done))}, now) {
			require.Equal(t, actComplete, a.kind)
			done = append(done, a.batch)
		}
		_, wants := l.wantsIdentity()
		require.False(t, wants)
	}
	if idempotent {
		require.True(t, slices.Equal(parts, done), "the parts are delivered in order")
	}
	require.True(t, l.isQuiet())
	return largest
}

func TestWhatEndsABatchEndsAllPartsThatWaitBehindIt(t *testing.T) {
	const n = 1000
	cause := fmt.Errorf("it ends")
	for name, end := range map[string]func(l *deliveryState, now time.Time) []action{
		"expired": func(l *deliveryState, now time.Time) []action { return l.tick(now.Add(time.Minute)) },
		"refused": func(l *deliveryState, _ time.Time) []action { return l.refuse(&record.Error{Err: cause}) },
		"aborted": func(l *deliveryState, _ time.Time) []action { return l.abort(cause) },
	} {
		for _, sent := range []int{0, 3} {
			t.Run(fmt.Sprintf("%s, %d in flight", name, sent), func(t *testing.T) {
				now := time.Unix(1000, 0)
				l, parts := manyParts(&deliveryConfig{}, n, now)
				for range sent {
					p, _ := l.retryDue(now)
					l.sent(p)
				}
				require.Equal(t, n, len(l.window)+l.waiting)
				var ended []*batchState
				for _, a := range end(l, now) {
					require.Equal(t, actFail, a.kind)
					require.Equal(t, slices.Index(parts, a.batch) < sent, record.FateOf(a.err) == record.FateMaybeWritten)
					ended = append(ended, a.batch)
				}
				if name == "refused" {
					parts = parts[sent:] // the broker has the others
				}
				require.True(t, slices.Equal(parts, ended), "each part has its outcome, in order")
				require.Zero(t, l.waiting)
				require.False(t, l.hasRetrying())
			})
		}
	}
}

// deliveryMeter is a handler of the trace. Trace lines are written under the partition's lock, so it may look at the delivery state.
type deliveryMeter struct {
	slog.Handler
	part                 *partition
	largest, parts, pack int
}

func (m *deliveryMeter) Enabled(context.Context, slog.Level) bool { return true }
func (m *deliveryMeter) WithAttrs([]slog.Attr) slog.Handler       { return m }
func (m *deliveryMeter) Handle(_ context.Context, r slog.Record) error {
	if r.Level == LevelTrace && m.part != nil {
		m.largest = max(m.largest, len(m.part.delivery.window))
		m.pack = max(m.pack, m.part.sealedQueue.Len())
		m.parts = max(m.parts, len(m.part.delivery.window)+m.part.delivery.waiting)
	}
	return nil
}

// TestABatchOfManyRecordsIsSplitIntoAsManyBatches: the topic takes single records only since its limit was lowered, and several large
// batches are complete. The first batch is split after the broker's answer; the workers cut the others before they are sent.
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
					all = append(all, r.append(0, &record.Record{Topic: "t", Value: strconv.AppendInt(nil, int64(i), 10)}))
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
