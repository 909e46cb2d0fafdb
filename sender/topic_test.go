package sender

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// TestATopicRecreatedBehindAGapLosesNothing: one batch fails for certain, and the one behind it, which may have
// been written, is sent again under its old sequence. Meanwhile the topic is recreated: its log has no state of the
// producer and takes any first sequence, that one, too. Later batches must not be numbered from the gap on: they would
// pass for duplicates of that batch.
func TestATopicRecreatedBehindAGapLosesNothing(t *testing.T) {
	onRig(t, topicT(1, 1), nil, func(r *rig) {
		r.send(0, "warm").acked()
		release := make(chan struct{})
		refused := testbroker.Hold(release).And(testbroker.Fail(protocol.TopicAuthorizationFailed))
		r.c.On(protocol.Produce).InTurn(refused, testbroker.DropRequest())
		a := r.send(0, "a")
		synctest.Wait()
		b := r.send(0, "b")
		synctest.Wait()
		close(release)
		_ = a.failed(false)
		r.c.DeleteTopic("t")
		r.c.CreateTopic("t", 1)
		b.acked()
		together := make(chan struct{})
		r.c.On(protocol.Produce).Nth(1).Do(testbroker.Hold(together))
		var all []sent
		for _, v := range []string{"c", "d", "e", "f"} {
			all = append(all, r.send(0, v))
			synctest.Wait()
		}
		close(together)
		for i, s := range all {
			require.Equal(t, int64(1+i), s.acked())
		}
		require.Equal(t, []string{"b", "c", "d", "e", "f"}, r.values(0))
	})
}

// A broker with old metadata reports the deleted topic for a moment, while a batch may be in the log of the present
// one.
func TestAFormerTopicInOldMetadataCausesNoDuplicate(t *testing.T) {
	onRig(t, topicT(1, 1), nil, func(r *rig) {
		r.send(0, "warm").acked()
		former := protocol.UUID{1, 2, 3}
		r.c.On(protocol.Metadata).When(namesTopics).Nth(1).Do(
			testbroker.Edit(func(m *protocol.MetadataResponse) { m.Topics[0].ID = former }))
		r.c.On(protocol.Produce).Nth(1).Do(testbroker.DropAnswer())
		if _, err := r.send(0, "doubtful").get(); err != nil {
			var failed *record.Error
			require.ErrorAs(t, err, &failed)
			require.Equal(t, record.FateMaybeWritten, record.FateOf(failed))
		}
		r.send(0, "next").acked()
		require.Equal(t, []string{"warm", "doubtful", "next"}, r.values(0))
	})
}

// namesTopics leaves out the check of a new connection.
func namesTopics(r *testbroker.Request) bool {
	return len(r.Message.(*protocol.MetadataRequest).Topics) > 0
}
