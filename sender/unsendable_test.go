package sender

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/internal/transport"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// smallFrames lets a request have at most 10,000 bytes, as a frame has 2³¹−1 elsewhere.
func smallFrames(c *Config) {
	options := *c.Transport
	options.MaxRequest = 10_000
	c.Transport = &options
}

// TestARecordThatNoFrameCanCarryFailsAtOnce: it is certainly not written, sending it again is of no use, and its
// connection lives on.
func TestARecordThatNoFrameCanCarryFailsAtOnce(t *testing.T) {
	for _, acks := range []int16{-1, 0} {
		change := func(c *Config) { smallFrames(c); c.Acks, c.Idempotent = acks, acks == -1 }
		onRig(t, topicT(1, 3), change, func(r *rig) {
			r.send(0, "warm").acked()
			held := make(chan struct{})
			r.c.On(protocol.Produce).Nth(1).Do(testbroker.HoldAnswer(held))
			other := r.send(1, "in flight")
			synctest.Wait()
			began := time.Now()
			for range 3 {
				failure := r.append(0, &record.Record{Topic: "t", Value: make([]byte, 20_000)}).failed(false)
				require.ErrorIs(t, failure, record.ErrRecordTooLarge)
				require.ErrorContains(t, failure, "a frame has at most 10000")
				require.False(t, record.FateOf(failure) == record.FateNotWritten)
			}
			require.Zero(t, time.Since(began))
			close(held)
			other.acked()
			r.send(0, "again").acked()
			r.c.WaitRecords(r.ctx, "t", 3)
			require.Equal(t, []string{"warm", "again"}, r.values(0))
			require.Equal(t, 1, r.c.Connections(1)-1, "the metadata's connection, and the first one for records")
			requests := r.c.Produces()
			require.Equal(t, requests[0].Connection, requests[len(requests)-1].Connection)
		})
	}
}

// TestBatchesShareARequestUpToTheLargestFrame: max.request.size may be larger.
func TestBatchesShareARequestUpToTheLargestFrame(t *testing.T) {
	onRig(t, topicT(1, 20), smallFrames, func(r *rig) {
		release := make(chan struct{})
		r.c.On(protocol.InitProducerID).Do(testbroker.Hold(release))
		var all []sent
		for p := range int32(20) {
			all = append(all, r.send(p, strings.Repeat("x", 1500)))
		}
		synctest.Wait()
		close(release)
		for _, s := range all {
			s.acked()
		}
		for _, q := range r.c.Produces() {
			require.LessOrEqual(t, q.Size, 10_000)
		}
	})
}

// TestARequestThatCannotBeEncodedFailsAtOnce: the connection is not to blame, and others use it.
func TestARequestThatCannotBeEncodedFailsAtOnce(t *testing.T) {
	onRig(t, topicT(1, 1), nil, func(r *rig) {
		r.send(0, "warm").acked()
		b := r.s.brokers[1]
		setVersion := func(v int16) (before int16) {
			b.mu.Lock()
			defer b.mu.Unlock()
			before, b.version = b.version, v
			return before
		}
		before := setVersion(99)
		failure := r.send(0, "unencodable").failed(false)
		require.ErrorIs(t, failure, protocol.ErrVersion)
		require.ErrorIs(t, failure, transport.ErrBadCall)
		require.False(t, record.FateOf(failure) == record.FateNotWritten)
		setVersion(before)
		r.send(0, "again").acked()
		requests := r.c.Produces()
		require.Len(t, requests, 2)
		require.Equal(t, requests[0].Connection, requests[1].Connection)
	})
}

// TestOnALiveConnectionEveryRetryFollowsAPause: a broker with endless refusals, of any code, does not keep the client
// busy.
func TestOnALiveConnectionEveryRetryFollowsAPause(t *testing.T) {
	for code := protocol.ErrorCode(-1); code < 135; code++ {
		if code == protocol.None || code == protocol.DuplicateSequenceNumber {
			continue
		}
		t.Run(code.Name(), func(t *testing.T) {
			onRig(t, topicT(2, 1), func(c *Config) { c.DeliveryTimeout = 10 * time.Second }, func(r *rig) {
				r.send(0, "warm").acked()
				var refused atomic.Int32
				const many = 500
				r.c.On(protocol.Produce).When(func(*testbroker.Request) bool { return refused.Add(1) < many }).Do(
					testbroker.Fail(code))
				var all []sent
				for i := range 4 {
					all = append(all, r.send(0, fmt.Sprint(i)))
					synctest.Wait()
				}
				for _, s := range all {
					_, _ = s.get()
				}
				require.Less(t, refused.Load(), int32(many))
			})
		})
	}
}
