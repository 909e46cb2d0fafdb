package delivery

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// A batch may be cut into thousands of parts. Every event of the core visits the whole window, so these tests look at
// the window's length.

// manyParts is a delivery core after a split: n parts of one record replace the batch.
func manyParts(cfg *Config, n int, now time.Time) (p *Partition, parts []*Batch) {
	cfg.Acks, cfg.MaxInFlight, cfg.Retries, cfg.DeliveryTimeout = -1, 5, 10, time.Minute
	cfg.Backoff = func(int) time.Duration { return time.Millisecond }
	p = New(cfg)
	p.LeaderMoved(1, 1, now)
	whole := NewBatch(int32(n), 100, now, nil)
	p.Sealed(&whole)
	sendAll(p, now)
	answer(p, &whole, Answer{Code: protocol.MessageTooLarge}, now)
	for range n {
		part := NewBatch(1, 100, now, nil)
		parts = append(parts, &part)
	}
	p.Replaced(&whole, parts)
	return p, parts
}

func TestTheWindowIsAsSmallForManyPartsAsForFew(t *testing.T) {
	for _, idempotent := range []bool{true, false} {
		t.Run(fmt.Sprintf("idempotent=%v", idempotent), func(t *testing.T) {
			require.LessOrEqual(t, largestWindow(t, idempotent, 16_000), 6)
			require.Equal(t, largestWindow(t, idempotent, 1000), largestWindow(t, idempotent, 16_000))
		})
	}
}

// largestWindow delivers n parts, and returns the greatest length of the window. The broker refuses every tenth at
// first.
func largestWindow(t *testing.T, idempotent bool, n int) (largest int) {
	t.Helper()
	now := time.Unix(1000, 0)
	p, parts := manyParts(&Config{Idempotent: idempotent}, n, now)
	var flying, done []*Batch
	for len(done) < n {
		require.Equal(t, n-len(done), p.Len())
		largest = max(largest, len(p.window))
		d := p.Next(now, Room{Bytes: 100})
		require.NotEqual(t, NeedIdentity, d.Kind)
		if d.Kind == Send {
			p.WriteFinished(d.Batch)
			flying = append(flying, d.Batch)
			continue
		} else if len(flying) == 0 {
			require.Equal(t, Wait, d.Kind)
			now = d.Until
			continue
		}
		b := flying[0]
		flying = flying[1:]
		code := protocol.None
		if b.tries == 1 && len(done)%10 == 9 {
			code = protocol.NotEnoughReplicas
		}
		for _, o := range answer(p, b, Answer{Code: code, Offset: int64(len(done))}, now) {
			require.Equal(t, Acknowledged, o.Kind)
			done = append(done, o.Batch)
		}
	}
	if idempotent {
		require.True(t, slices.Equal(parts, done), "the parts are delivered in order")
	}
	require.True(t, p.IsQuiet())
	return largest
}

func TestTheEndOfABatchEndsAllPartsBehindIt(t *testing.T) {
	const n = 1000
	cause := fmt.Errorf("it ends")
	for name, end := range map[string]func(p *Partition, now time.Time){
		"expired": func(p *Partition, now time.Time) { p.Tick(now.Add(time.Minute)) },
		"refused": func(p *Partition, _ time.Time) { p.Refused(&record.Error{Err: cause}) },
		"closed":  func(p *Partition, _ time.Time) { p.Closed(cause, "") },
	} {
		for _, sent := range []int{0, 3} {
			t.Run(fmt.Sprintf("%s, %d in flight", name, sent), func(t *testing.T) {
				now := time.Unix(1000, 0)
				p, parts := manyParts(&Config{}, n, now)
				for range sent {
					require.Equal(t, Send, p.Next(now, Room{Bytes: 100}).Kind)
				}
				require.Equal(t, n, p.Len())
				end(p, now)
				var ended []*Batch
				for _, o := range p.Drain(nil) {
					require.Equal(t, Failed, o.Kind)
					require.Equal(t, slices.Index(parts, o.Batch) < sent,
						record.FateOf(o.Err) == record.FateMaybeWritten)
					ended = append(ended, o.Batch)
				}
				if name == "refused" {
					parts = parts[sent:] // the broker has the others
				}
				require.True(t, slices.Equal(parts, ended), "each part has its outcome, in order")
				require.Zero(t, p.waiting)
				require.False(t, p.hasRetrying())
			})
		}
	}
}
