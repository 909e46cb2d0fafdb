package producer_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
)

// plainly configures a producer without idempotence, so that no producer id of the former cluster affects the test.
func plainly(cfg *producer.Config) { cfg.EnableIdempotence = false }

// TestMetadataOfAReplacedClusterIsUsedAtOnce: topic ids and leader epochs of the former cluster do not count in the new
// one.
func TestMetadataOfAReplacedClusterIsUsedAtOnce(t *testing.T) {
	cfg := testbroker.Config{Brokers: 2, Topics: map[string]int32{"t": 2, "other": 1}}
	bubble(t, cfg, func(t *testing.T, c *testbroker.Cluster) {
		p := start(t, c, plainly)
		for range 5 { // the former cluster's epochs are far ahead
			c.MoveLeader("t", 0, 2)
			c.MoveLeader("t", 0, 1)
		}
		send := func(r *producer.Record) {
			began := time.Now()
			_, err := p.Send(t.Context(), r, nil).Get(t.Context())
			require.NoError(t, err)
			require.LessOrEqual(t, time.Since(began), 500*time.Millisecond)
		}
		for range 3 {
			send(to(0, "x"))
			send(to(1, "x"))
			send(&producer.Record{Topic: "other"})
		}
		for _, id := range []string{"second", "third"} {
			c.Replace(id)
			time.Sleep(time.Minute)
			for range 3 {
				send(to(0, "y"))
				send(to(1, "y"))
				send(&producer.Record{Topic: "other"})
			}
			require.Len(t, c.Log("t", 0), 3)
			require.Len(t, c.Log("t", 1), 3)
			require.Len(t, c.Log("other", 0), 3)
			infos, err := p.PartitionsFor(t.Context(), "t")
			require.NoError(t, err)
			require.Zero(t, infos[0].LeaderEpoch)
		}
	})
}

// TestSendWaitsForATopicOfOnlyTheFormerCluster: a former topic does not hide that the new cluster lacks it.
func TestSendWaitsForATopicOfOnlyTheFormerCluster(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, plainly)
		c.CreateTopic("later", 1)
		_, err := p.Send(t.Context(), &producer.Record{Topic: "later"}, nil).Get(t.Context())
		require.NoError(t, err)
		c.Replace("another")
		time.Sleep(time.Second)
		_, err = p.TrySend(&producer.Record{Topic: "later"}, nil).Get(t.Context())
		require.ErrorIs(t, err, producer.ErrUnknownTopic)
		brokerCode(t, err, "UNKNOWN_TOPIC_OR_PARTITION")
		time.AfterFunc(3*time.Second, func() { c.CreateTopic("later", 1) })
		_, err = p.Send(t.Context(), &producer.Record{Topic: "later"}, nil).Get(t.Context())
		require.NoError(t, err)
		require.Len(t, c.Log("later", 0), 1)
	})
}
