package sender

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
)

// A former leader answers fast, with a code that does not reveal it. The metadata leads to the new leader all the same.
func TestRefusalsInARowRefreshTheMetadata(t *testing.T) {
	for code := protocol.ErrorCode(-1); code.Name() != protocol.ErrorCode(math.MaxInt16).Name() && code < 200; code++ {
		if !code.Retriable() || code == protocol.CorruptMessage {
			continue // the first refusal is final, or the second
		}
		t.Run(code.Name(), func(t *testing.T) {
			onRig(t, topicT(2, 1), nil, func(r *rig) {
				former := r.c.Leader("t", 0)
				r.send(0, "warm").acked()
				r.c.On(protocol.Produce).Broker(former).Do(testbroker.Fail(code))
				r.c.MoveLeader("t", 0, 3-former)
				before := len(r.c.RequestsOf(protocol.Metadata))
				began := time.Now()
				_, err := r.send(0, "x").get()
				require.NoError(t, err)
				require.Less(t, time.Since(began), 3*time.Second)
				require.Greater(t, len(r.c.RequestsOf(protocol.Metadata)), before)
			})
		})
	}
}

// While the leader stays the same, the requests for metadata are backed off.
func TestALeaderThatGoesOnRefusingIsNotAskedAboutWithoutEnd(t *testing.T) {
	onRig(t, topicT(1, 20), nil, func(r *rig) {
		for p := range int32(20) {
			r.send(p, "warm").acked()
		}
		rule := r.c.On(protocol.Produce).Do(testbroker.Fail(protocol.NotEnoughReplicas))
		before := len(r.c.RequestsOf(protocol.Metadata))
		var all []sent
		for p := range int32(20) {
			all = append(all, r.send(p, "x"))
		}
		time.Sleep(time.Minute)
		asked := len(r.c.RequestsOf(protocol.Metadata)) - before
		require.Greater(t, asked, 10)
		require.Less(t, asked, 90, "in a minute, with retry.backoff.max.ms of a second")
		rule.End()
		for _, s := range all {
			s.acked()
		}
	})
}

func TestRefusalsCountInARowOnly(t *testing.T) {
	now := time.Unix(1000, 0)
	var r refusals
	require.False(t, r.add(protocol.NotEnoughReplicas, now))
	require.False(t, r.add(protocol.NotEnoughReplicas, now))
	require.False(t, r.add(protocol.None, now))
	require.False(t, r.add(protocol.NotEnoughReplicas, now))
	require.False(t, r.add(protocol.NotEnoughReplicas, now))
	require.True(t, r.add(protocol.NotEnoughReplicas, now), "the third in a row")
	require.False(t, r.add(protocol.RequestTimedOut, now))
	require.True(t, r.add(protocol.RequestTimedOut, now.Add(time.Second)), "for a second")
}
