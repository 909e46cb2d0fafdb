package sender

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
)

// Some servers that are almost Kafka take no Metadata request for no topics, or have no cluster id for it.
func TestAServerThatCannotAnswerTheClusterCheckGetsRecords(t *testing.T) {
	refused := testbroker.Edit(func(m *protocol.MetadataResponse) {
		*m = protocol.MetadataResponse{
			ErrorCode: protocol.InvalidRequest}
	})
	withoutID := testbroker.Edit(func(m *protocol.MetadataResponse) { m.ClusterID = nil })
	for name, c := range map[string]struct {
		action testbroker.Action
		within time.Duration
	}{
		"closes":     {testbroker.DropRequest(), time.Second},
		"resets":     {testbroker.DropRequest().And(testbroker.WithReset()), time.Second},
		"hangs":      {testbroker.SwallowAnswer(), 15 * time.Second},
		"error code": {refused, time.Second},
		"no id":      {withoutID, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			onRig(t, topicT(1, 1), nil, func(r *rig) {
				r.c.On(protocol.Metadata).When(namesNoTopic).Do(c.action)
				began := time.Now()
				r.send(0, "x").acked()
				require.Less(t, time.Since(began), c.within)
				r.c.Disconnect(1)
				began = time.Now()
				r.send(0, "y").acked()
				require.Less(t, time.Since(began), time.Second, "the client remembers how the server answers")
				require.Equal(t, []string{"x", "y"}, r.values(0))
			})
		})
	}
}

func namesNoTopic(r *testbroker.Request) bool { return !namesTopics(r) }
