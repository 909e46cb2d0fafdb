package sender

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
)

// TestCodesThatRefreshTheMetadata: the codes of an outdated view of topics and leaders. The list is Kafka's own, its
// InvalidMetadataExceptions.
func TestCodesThatRefreshTheMetadata(t *testing.T) {
	outdated := map[string]bool{}
	for name := range strings.FieldsSeq(`UNKNOWN_TOPIC_OR_PARTITION LEADER_NOT_AVAILABLE NOT_LEADER_OR_FOLLOWER REPLICA_NOT_AVAILABLE
		NETWORK_EXCEPTION KAFKA_STORAGE_ERROR LISTENER_NOT_FOUND FENCED_LEADER_EPOCH PREFERRED_LEADER_NOT_AVAILABLE
		ELIGIBLE_LEADERS_NOT_AVAILABLE ELECTION_NOT_NEEDED UNKNOWN_TOPIC_ID INCONSISTENT_TOPIC_ID`) {
		outdated[name] = true
	}
	for code := protocol.ErrorCode(-1); code.Name() != protocol.ErrorCode(-2).Name(); code++ {
		t.Run(code.Name(), func(t *testing.T) {
			onRig(t, topicT(1, 1), nil, func(r *rig) {
				r.send(0, "warm").acked()
				before := len(r.c.RequestsOf(protocol.Metadata))
				r.c.On(protocol.Produce).Nth(1).Do(testbroker.Fail(code))
				_, _ = r.send(0, "x").get()
				time.Sleep(2 * time.Second)
				require.Equal(t, outdated[code.Name()], len(r.c.RequestsOf(protocol.Metadata)) > before)
			})
		})
	}
}
