package testbroker

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
)

// described returns the cluster id and the first topic of a Metadata response.
func (k *client) described(topic string) (clusterID string, m protocol.MetadataTopic) {
	k.t.Helper()
	var r protocol.MetadataResponse
	k.do(12, &protocol.MetadataRequest{Topics: []protocol.MetadataRequestTopic{{Name: &topic}}}, &r)
	require.NotNil(k.t, r.ClusterID)
	require.Len(k.t, r.Topics, 1)
	return *r.ClusterID, r.Topics[0]
}

// producerID returns a new producer id.
func (k *client) producerID() int64 {
	k.t.Helper()
	var r protocol.InitProducerIDResponse
	k.do(4, &protocol.InitProducerIDRequest{TransactionTimeoutMs: 1000, ProducerID: -1, ProducerEpoch: -1}, &r)
	require.Equal(k.t, protocol.None, r.ErrorCode)
	return r.ProducerID
}

func TestAReplacedClusterKnowsNothingOfTheFormerOne(t *testing.T) {
	onEach(t, Config{Brokers: 3, Topics: map[string]int32{"events": 2}}, func(t *testing.T, c *Cluster) {
		k := connect(t, c, 1)
		require.EqualValues(t, firstProducerID, k.producerID())
		require.EqualValues(t, firstProducerID+1, k.producerID())
		c.MoveLeader("events", 0, 2)
		c.MoveLeader("events", 0, 1)
		require.Equal(t, protocol.None, k.produce("events", 0, numbered(firstProducerID, 0, 0)).ErrorCode)
		c.CreateTopic("later", 1)
		c.Deny("events")
		c.FreezeMetadata(1)
		former := c.TopicID("events")
		require.Equal(t, ClusterID, c.ID())

		c.Replace("another-cluster")
		require.Equal(t, "another-cluster", c.ID())
		_ = k.gone()
		k = connect(t, c, 1)
		id, events := k.described("events")
		require.Equal(t, "another-cluster", id)
		require.Equal(t, protocol.None, events.ErrorCode)
		require.NotEqual(t, former, events.ID)
		require.Len(t, events.Partitions, 2)
		require.Zero(t, events.Partitions[0].LeaderEpoch)
		_, later := k.described("later")
		require.Equal(t, protocol.UnknownTopicOrPartition, later.ErrorCode)

		require.Empty(t, c.Log("events", 0))
		require.Len(t, c.BatchesOf(former, 0), 1)
		require.EqualValues(t, firstProducerID, k.producerID())
		// The former producer's sequence is taken, as from an unknown producer, and then it is a duplicate for another
		// one.
		require.Equal(t, protocol.None, k.produce("events", 0, numbered(firstProducerID, 0, 2)).ErrorCode)
		require.EqualValues(t, 0, k.produce("events", 0, numbered(firstProducerID, 0, 2)).BaseOffset)
		require.Len(t, c.Log("events", 0), 2)
	})
}

func TestARequestThatIsNotHandledIsLostWithTheReplacedCluster(t *testing.T) {
	onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
		held := make(chan struct{})
		c.On(protocol.Produce).Nth(1).Do(Hold(held))
		k := connect(t, c, 1)
		k.send(12, request(-1, "events", 0, batch(plain, "lost")))
		c.WaitProduces(withTimeout(t), 1)
		c.Replace("another-cluster")
		close(held)
		_ = k.gone()
		require.Empty(t, c.Log("events", 0))
		require.False(t, c.Produces()[0].Handled)
	})
}

func TestAReplacedClusterLeavesStoppedBrokersStopped(t *testing.T) {
	onEach(t, Config{Brokers: 2, Topics: map[string]int32{"events": 2}}, func(t *testing.T, c *Cluster) {
		c.StopBroker(2)
		c.Replace("another-cluster")
		require.EqualValues(t, 1, c.Leader("events", 1))
		c.StartBroker(2)
		id, _ := connect(t, c, 2).described("events")
		require.Equal(t, "another-cluster", id)
	})
}

func TestOneBrokerGivesAnotherClusterID(t *testing.T) {
	onEach(t, Config{Brokers: 2, Topics: map[string]int32{"events": 1}}, func(t *testing.T, c *Cluster) {
		c.SetClusterID(2, "another-cluster")
		id, _ := connect(t, c, 1).described("events")
		require.Equal(t, ClusterID, id)
		k := connect(t, c, 2)
		id, _ = k.described("events")
		require.Equal(t, "another-cluster", id)
		c.SetClusterID(2, "")
		id, _ = k.described("events")
		require.Equal(t, ClusterID, id)
	})
}

func TestTwoClustersHaveTheSameAddressesAndDifferentIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := New(t, oneTopic)
		cfg := oneTopic
		cfg.ClusterID = "another-cluster"
		other := New(t, cfg)
		require.Equal(t, one.Bootstrap(), other.Bootstrap())
		require.NotEqual(t, one.TopicID("events"), other.TopicID("events"))
		nc, err := other.Dial(context.Background(), "tcp", one.Address(1))
		require.NoError(t, err)
		defer func() { _ = nc.Close() }()
		id, _ := (&client{t: t, nc: nc}).described("events")
		require.Equal(t, "another-cluster", id)
	})
}

func TestTwoClientsMaySendUnderTheSameIdentity(t *testing.T) {
	onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
		c.On(protocol.Produce).Nth(1).Do(DropRequest())
		one, other := connect(t, c, 1), connect(t, c, 1)
		other.name = "another client"
		one.send(12, request(-1, "events", 0, numbered(7, 0, 0)))
		_ = one.gone()
		require.Equal(t, protocol.None, other.produce("events", 0, batch(identity{7, 0, 0}, "x")).ErrorCode)
		require.Empty(t, c.Violations())
	})
}
