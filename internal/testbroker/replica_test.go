package testbroker

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
)

func TestABrokerThatWasStoppedKnowsOnlyTheLastBatchOfEachProducer(t *testing.T) {
	onEach(t, Config{Brokers: 2, Topics: map[string]int32{"events": 1}}, func(t *testing.T, c *Cluster) {
		k := connect(t, c, 1)
		for i := range int32(3) {
			require.Equal(t, protocol.None, k.produce("events", 0, numbered(7, 0, 2*i)).ErrorCode)
		}
		require.Equal(t, protocol.None, k.produce("events", 0, numbered(8, 0, 0)).ErrorCode)
		c.StopBroker(1)
		// The follower has seen every batch by itself.
		k = connect(t, c, 2)
		require.EqualValues(t, 2, k.produce("events", 0, numbered(7, 0, 2)).BaseOffset)
		require.EqualValues(t, 8, k.produce("events", 0, numbered(7, 0, 6)).BaseOffset)

		c.StartBroker(1)
		c.MoveLeader("events", 0, 1)
		k = connect(t, c, 1)
		require.Equal(t, protocol.OutOfOrderSequenceNumber, k.produce("events", 0, numbered(7, 0, 2)).ErrorCode)
		require.EqualValues(t, 4, k.produce("events", 0, numbered(7, 0, 4)).BaseOffset,
			"the last before it was stopped")
		require.EqualValues(t, 8, k.produce("events", 0, numbered(7, 0, 6)).BaseOffset, "copied since")
		require.EqualValues(t, 6, k.produce("events", 0, numbered(8, 0, 0)).BaseOffset)
		require.EqualValues(t, 10, k.produce("events", 0, numbered(7, 0, 8)).BaseOffset)
	})
}

// lagging is a topic with two replicas and a slow follower.
var lagging = Config{Brokers: 2, Topics: map[string]int32{"events": 1}, ReplicationLag: time.Second}

func TestANewLeaderLacksUncopiedBatches(t *testing.T) {
	for name, fault := range map[string]Action{
		"acks=1":                 Pass(),
		"acks=all, not answered": SwallowAnswer(),
		"acks=all, failed":       AppendAndFail(protocol.NotEnoughReplicasAfterAppend),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := New(t, lagging)
				acks := int16(-1)
				if name == "acks=1" {
					acks = 1
				}
				k := connect(t, c, 1)
				k.send(12, request(acks, "events", 0, numbered(7, 0, 0)))
				c.WaitRecords(t.Context(), "events", 2)
				time.Sleep(time.Second)
				c.On(protocol.Produce).Nth(1).Do(fault)
				k.send(12, request(acks, "events", 0, numbered(7, 0, 2)))
				c.WaitRecords(t.Context(), "events", 4)
				id := c.TopicID("events")
				require.Len(t, c.BatchesOf(id, 0), 2)
				c.MoveLeader("events", 0, 2)
				require.Equal(t, []string{"a0", "b0"}, values(c, "events", 0),
					"a second is enough to copy the first batch")
				require.Len(t, c.BatchesOf(id, 0), 1)

				k = connect(t, c, 2)
				require.Equal(t, protocol.OutOfOrderSequenceNumber, k.produce("events", 0, numbered(7, 0, 4)).ErrorCode)
				require.EqualValues(t, 2, k.produce("events", 0, numbered(7, 0, 2)).BaseOffset)
			})
		})
	}
}

func TestFullyReplicatedBatchesAndEarlierOnesAreNeverLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(t, lagging)
		k := connect(t, c, 1)
		var r protocol.ProduceResponse
		k.do(12, request(1, "events", 0, numbered(7, 0, 0)), &r)
		require.Equal(t, protocol.None, k.produce("events", 0, numbered(8, 0, 0)).ErrorCode)
		k.do(12, request(1, "events", 0, numbered(7, 0, 2)), &r)
		c.StopBroker(1)
		require.Equal(t, []string{"a0", "b0", "a0", "b0"}, values(c, "events", 0))
		require.EqualValues(t, 0, connect(t, c, 2).produce("events", 0, numbered(7, 0, 0)).BaseOffset)
	})
}

func TestALeaderThatComesBackHasItsWholeLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(t, lagging)
		c.SetISR("events", 0, 1)
		k := connect(t, c, 1)
		var r protocol.ProduceResponse
		k.do(12, request(1, "events", 0, numbered(7, 0, 0)), &r)
		c.StopBroker(1)
		require.EqualValues(t, -1, c.Leader("events", 0))
		c.StartBroker(1)
		require.EqualValues(t, 1, c.Leader("events", 0))
		require.Equal(t, []string{"a0", "b0"}, values(c, "events", 0))
	})
}

func TestADeletedTopicsLogCanStillBeRead(t *testing.T) {
	onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
		id := c.TopicID("events")
		require.Equal(t, protocol.None, connect(t, c, 1).produce("events", 0, batch(plain, "x")).ErrorCode)
		c.DeleteTopic("events")
		require.Len(t, c.BatchesOf(id, 0), 1)
		require.Empty(t, c.BatchesOf(id, 1))
		require.Empty(t, c.BatchesOf(protocol.UUID{1}, 0))
	})
}
