package testbroker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
)

// onEach runs a test on the in-memory network, inside a synctest bubble, and over TCP.
func onEach(t *testing.T, cfg Config, f func(t *testing.T, c *Cluster)) {
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			cfg.Network = Memory
			f(t, New(t, cfg))
		})
	})
	t.Run("tcp", func(t *testing.T) {
		cfg.Network = TCP
		f(t, New(t, cfg))
	})
}

func TestRecordsGoIntoTheLogOfTheirPartition(t *testing.T) {
	onEach(t, Config{Brokers: 3, Topics: map[string]int32{"events": 3}}, func(t *testing.T, c *Cluster) {
		k := connect(t, c, 2)
		var versions protocol.ApiVersionsResponse
		k.do(4, &protocol.ApiVersionsRequest{SoftwareName: "test", SoftwareVersion: "1.0"}, &versions)
		require.Equal(t, protocol.None, versions.ErrorCode)
		produce, ok := versions.Range(protocol.Produce)
		require.True(t, ok)
		require.Equal(t, protocol.VersionRange{Min: 0, Max: 13}, produce)

		require.EqualValues(t, 0, k.produce("events", 1, batch(plain, "a", "b")).BaseOffset)
		require.EqualValues(t, 2, k.produce("events", 1, batch(plain, "c")).BaseOffset)
		require.Equal(t, []string{"a", "b", "c"}, values(c, "events", 1))
		require.Empty(t, c.Log("events", 0))
		require.EqualValues(t, 2, c.Log("events", 1)[2].Offset)

		seen := c.WaitProduces(withTimeout(t), 2)
		require.EqualValues(t, 2, seen[0].Broker)
		require.EqualValues(t, -1, seen[0].Acks)
		require.Equal(t, "events", seen[0].Parts[0].Topic)
		require.Len(t, seen[0].Parts[0].Batch.Records, 2)
		require.True(t, seen[0].Handled && seen[0].Answered && seen[0].Parts[0].Appended)
		require.Equal(t, batch(plain, "c"), seen[1].Parts[0].Raw)
		require.Len(t, c.Requests(), 3)
	})
}

func TestMetadataNamesBrokersTopicsAndLeaders(t *testing.T) {
	onEach(t, Config{Brokers: 3, Topics: map[string]int32{"events": 4, "other": 1}}, func(t *testing.T, c *Cluster) {
		k := connect(t, c, 1)
		for version := int16(0); version <= 13; version++ {
			var r protocol.MetadataResponse
			name := "events"
			k.do(version, &protocol.MetadataRequest{Topics: []protocol.MetadataRequestTopic{{Name: &name}},
				AllowAutoTopicCreation: true}, &r)
			require.Len(t, r.Brokers, 3)
			require.Len(t, r.Topics, 1)
			require.Equal(t, "events", *r.Topics[0].Name)
			require.Len(t, r.Topics[0].Partitions, 4)
			require.EqualValues(t, 2, r.Topics[0].Partitions[1].LeaderID)
			require.Equal(t, []int32{2, 3, 1}, r.Topics[0].Partitions[1].Replicas)
			require.Equal(t, version >= 10, !r.Topics[0].ID.IsZero())
		}
		var all protocol.MetadataResponse
		k.do(13, &protocol.MetadataRequest{}, &all)
		require.Len(t, all.Topics, 2)
	})
}

func TestTopicsThatDoNotExist(t *testing.T) {
	onEach(t, Config{Topics: map[string]int32{"secret": 1}, AutoCreate: true, DefaultPartitions: 2},
		func(t *testing.T, c *Cluster) {
			c.Deny("secret")
			k := connect(t, c, 1)
			ask := func(name string, create bool) protocol.MetadataTopic {
				var r protocol.MetadataResponse
				k.do(12, &protocol.MetadataRequest{Topics: []protocol.MetadataRequestTopic{{Name: &name}},
					AllowAutoTopicCreation: create}, &r)
				return r.Topics[0]
			}
			require.Equal(t, protocol.UnknownTopicOrPartition, ask("new", false).ErrorCode)
			require.Equal(t, protocol.UnknownTopicOrPartition, ask("new", true).ErrorCode)
			require.Len(t, ask("new", false).Partitions, 2)
			require.Equal(t, protocol.InvalidTopicException, ask("no/good", true).ErrorCode)
			require.Equal(t, protocol.TopicAuthorizationFailed, ask("secret", true).ErrorCode)
			require.Equal(t, protocol.TopicAuthorizationFailed, k.produce("secret", 0, batch(plain, "x")).ErrorCode)
			c.Allow("secret")
			require.Equal(t, protocol.None, k.produce("secret", 0, batch(plain, "x")).ErrorCode)
			require.Equal(t, protocol.UnknownTopicOrPartition, k.produce("none", 0, batch(plain, "x")).ErrorCode)
			require.Equal(t, protocol.UnknownTopicOrPartition, k.produce("new", 2, batch(plain, "x")).ErrorCode)
		})
}

func TestADeletedTopicsIDIsUnknown(t *testing.T) {
	onEach(t, Config{Topics: map[string]int32{"events": 1}}, func(t *testing.T, c *Cluster) {
		k := connect(t, c, 1)
		old := c.TopicID("events")
		produce := func(id protocol.UUID) protocol.ErrorCode {
			q := request(-1, "", 0, batch(plain, "x"))
			q.Topics[0].ID = id
			var r protocol.ProduceResponse
			k.do(13, q, &r)
			require.Equal(t, id, r.Topics[0].ID)
			return r.Topics[0].Partitions[0].ErrorCode
		}
		require.Equal(t, protocol.None, produce(old))
		c.DeleteTopic("events")
		require.Equal(t, protocol.UnknownTopicID, produce(old))
		c.CreateTopic("events", 1)
		require.NotEqual(t, old, c.TopicID("events"))
		require.Equal(t, protocol.UnknownTopicID, produce(old))
		require.Equal(t, protocol.None, produce(c.TopicID("events")))
		require.Len(t, c.Log("events", 0), 1)
		require.Equal(t, "events", c.Produces()[2].Parts[0].Topic)

		var r protocol.MetadataResponse
		k.do(13, &protocol.MetadataRequest{Topics: []protocol.MetadataRequestTopic{{ID: c.TopicID("events")},
			{ID: old}}}, &r)
		require.Equal(t, "events", *r.Topics[0].Name)
		require.Equal(t, protocol.UnknownTopicID, r.Topics[1].ErrorCode)
	})
}

func TestOnlyTheLeaderTakesRecordsAndNamesTheLeader(t *testing.T) {
	onEach(t, Config{Brokers: 2, Topics: map[string]int32{"events": 1}}, func(t *testing.T, c *Cluster) {
		c.MoveLeader("events", 0, 2)
		k := connect(t, c, 1)
		named, kept := 0, 0
		for range 50 {
			var r protocol.ProduceResponse
			k.do(10, request(-1, "events", 0, batch(plain, "x")), &r)
			p := r.Topics[0].Partitions[0]
			require.Equal(t, protocol.NotLeaderOrFollower, p.ErrorCode)
			if p.CurrentLeader == nil {
				require.Empty(t, r.NodeEndpoints)
				kept++
				continue
			}
			named++
			require.Equal(t, &protocol.LeaderIDAndEpoch{LeaderID: 2, LeaderEpoch: 1}, p.CurrentLeader)
			require.Len(t, r.NodeEndpoints, 1)
			require.EqualValues(t, 2, r.NodeEndpoints[0].NodeID)
		}
		require.NotZero(t, named)
		require.NotZero(t, kept, "a broker need not name the leader")
		require.Equal(t, protocol.None, connect(t, c, 2).produce("events", 0, batch(plain, "x")).ErrorCode)
	})
}

func TestAStoppedBrokerLosesItsPartitions(t *testing.T) {
	onEach(t, Config{Brokers: 2, Topics: map[string]int32{"events": 1}, MinInSyncReplicas: 2},
		func(t *testing.T, c *Cluster) {
			k := connect(t, c, 1)
			require.Equal(t, protocol.None, k.produce("events", 0, batch(plain, "x")).ErrorCode)
			addr := c.Address(1)
			c.StopBroker(1)
			_ = k.gone()
			_, err := c.Dial(t.Context(), "tcp", addr)
			require.ErrorContains(t, err, "refused")
			require.EqualValues(t, 2, c.Leader("events", 0))
			require.Equal(t, protocol.NotEnoughReplicas, connect(t, c, 2).produce("events", 0,
				batch(plain, "x")).ErrorCode)
			c.StopBroker(2)
			require.EqualValues(t, -1, c.Leader("events", 0))
			c.StartBroker(1)
			require.EqualValues(t, -1, c.Leader("events", 0))
			c.StartBroker(2)
			c.StartBroker(2)
			require.EqualValues(t, 2, c.Leader("events", 0))
			require.Equal(t, protocol.NotEnoughReplicas, connect(t, c, 2).produce("events", 0,
				batch(plain, "x")).ErrorCode)
			c.SetISR("events", 0, 1, 2)
			require.Equal(t, protocol.None, connect(t, c, 2).produce("events", 0, batch(plain, "x")).ErrorCode)
			require.Equal(t, []string{"x", "x"}, values(c, "events", 0))
		})
}

func TestAHangingBrokerGoesOnAfterItsPause(t *testing.T) {
	onEach(t, Config{Topics: map[string]int32{"events": 1}}, func(t *testing.T, c *Cluster) {
		k := connect(t, c, 1)
		c.Hang(1)
		late := connect(t, c, 1)
		k.send(12, request(-1, "events", 0, batch(plain, "a")))
		late.send(12, &protocol.MetadataRequest{})
		require.NoError(t, k.nc.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
		_, err := k.frame()
		require.ErrorContains(t, err, "timeout")
		require.Empty(t, c.Requests())
		require.NoError(t, k.nc.SetReadDeadline(time.Time{}))
		c.Unhang(1)
		var r protocol.ProduceResponse
		k.receive(1, 12, &r)
		require.Equal(t, []string{"a"}, values(c, "events", 0))
	})
}

func TestAMuteBrokerHandlesAndDoesNotAnswer(t *testing.T) {
	onEach(t, Config{Topics: map[string]int32{"events": 1}}, func(t *testing.T, c *Cluster) {
		k := connect(t, c, 1)
		c.Mute(1)
		k.send(12, request(-1, "events", 0, batch(plain, "a")))
		k.send(12, request(-1, "events", 0, batch(plain, "b")))
		c.WaitRecords(withTimeout(t), "events", 1)
		seen := c.WaitProduces(withTimeout(t), 2)
		require.Equal(t, 2, seen[1].InFlight)
		require.False(t, seen[0].Answered || seen[1].Handled)
		c.Unhang(1)
		var r protocol.ProduceResponse
		k.receive(1, 12, &r)
		k.receive(2, 12, &r)
		require.Equal(t, []string{"a", "b"}, values(c, "events", 0))
	})
}

func TestConnectingToAnIsolatedBrokerHangs(t *testing.T) {
	onEach(t, Config{}, func(t *testing.T, c *Cluster) {
		c.Isolate(1)
		c.Alias("kafka.test:9092", 1)
		ctx := t.Context()
		done := make(chan error)
		dial, cancel := context.WithCancel(ctx)
		go func() {
			_, err := c.Dial(dial, "tcp", "kafka.test:9092")
			done <- err
		}()
		cancel()
		require.ErrorContains(t, <-done, "cancel")
		c.Unhang(1)
		nc, err := c.Dial(ctx, "tcp", "kafka.test:9092")
		require.NoError(t, err)
		require.NoError(t, nc.Close())
	})
}

func TestDisconnectResetsConnections(t *testing.T) {
	onEach(t, Config{}, func(t *testing.T, c *Cluster) {
		k := connect(t, c, 1)
		c.WaitUntil(withTimeout(t), "a connection", func() bool { return c.Connections(1) == 1 })
		c.Disconnect(1)
		require.ErrorContains(t, k.gone(), "reset")
		c.WaitUntil(withTimeout(t), "no connection", func() bool { return c.Connections(1) == 0 })
	})
}

func TestFrozenMetadataIsOld(t *testing.T) {
	onEach(t, Config{Brokers: 2, Topics: map[string]int32{"events": 1}}, func(t *testing.T, c *Cluster) {
		c.FreezeMetadata(1)
		c.MoveLeader("events", 0, 2)
		c.AddPartitions("events", 3)
		leader := func(broker int32) (int32, int) {
			var r protocol.MetadataResponse
			connect(t, c, broker).do(12, &protocol.MetadataRequest{}, &r)
			return r.Topics[0].Partitions[0].LeaderID, len(r.Topics[0].Partitions)
		}
		id, n := leader(1)
		require.Equal(t, int32(1), id)
		require.Equal(t, 1, n)
		id, n = leader(2)
		require.Equal(t, int32(2), id)
		require.Equal(t, 3, n)
		c.ThawMetadata(1)
		id, _ = leader(1)
		require.Equal(t, int32(2), id)
	})
}

func TestOldBrokersSpeakOldVersions(t *testing.T) {
	onEach(t, Config{Versions: KafkaVersions("1.0")}, func(t *testing.T, c *Cluster) {
		k := connect(t, c, 1)
		k.send(4, &protocol.ApiVersionsRequest{SoftwareName: "test", SoftwareVersion: "1"})
		var r protocol.ApiVersionsResponse
		k.receive(1, 0, &r)
		require.Equal(t, protocol.UnsupportedVersion, r.ErrorCode)
		require.Empty(t, r.APIs)
		k.do(0, &protocol.ApiVersionsRequest{}, &r)
		produce, ok := r.Range(protocol.Produce)
		require.True(t, ok)
		require.Equal(t, protocol.VersionRange{Min: 0, Max: 5}, produce)

		c.SetVersions(1, KafkaVersions("2.8"))
		k.send(4, &protocol.ApiVersionsRequest{SoftwareName: "test", SoftwareVersion: "1"})
		k.receive(3, 0, &r)
		require.Equal(t, []protocol.APIVersion{{Key: protocol.ApiVersions, Max: 3}}, r.APIs)

		c.SetVersions(1, KafkaVersions("0.9"))
		k.send(0, &protocol.ApiVersionsRequest{})
		_ = k.gone()
	})
}

func TestProducerIDsAreFresh(t *testing.T) {
	onEach(t, Config{Brokers: 2}, func(t *testing.T, c *Cluster) {
		var a, b protocol.InitProducerIDResponse
		q := &protocol.InitProducerIDRequest{ProducerID: protocol.NoProducerID, ProducerEpoch: protocol.NoProducerEpoch}
		connect(t, c, 1).do(5, q, &a)
		q.ProducerID, q.ProducerEpoch = a.ProducerID, 3
		connect(t, c, 2).do(5, q, &b)
		require.NotEqual(t, a.ProducerID, b.ProducerID)
		require.EqualValues(t, 0, b.ProducerEpoch)
	})
}

func TestANewBrokerIsInTheMetadata(t *testing.T) {
	onEach(t, Config{Topics: map[string]int32{"events": 1}}, func(t *testing.T, c *Cluster) {
		id := c.AddBroker()
		c.MoveLeader("events", 0, id)
		c.StopBroker(1)
		require.EqualValues(t, id, c.Leader("events", 0))
		require.Len(t, c.Bootstrap(), 2)
		require.Equal(t, protocol.None, connect(t, c, id).produce("events", 0, batch(plain, "x")).ErrorCode)
	})
}

func TestConnectionsTellTheirEnds(t *testing.T) {
	onEach(t, Config{Brokers: 2}, func(t *testing.T, c *Cluster) {
		nc, err := c.Dial(t.Context(), "tcp", c.Bootstrap()[1])
		require.NoError(t, err)
		require.Equal(t, "tcp", nc.RemoteAddr().Network())
		require.Equal(t, c.Address(2), nc.RemoteAddr().String())
		require.NotEqual(t, nc.RemoteAddr().String(), nc.LocalAddr().String())
		require.NoError(t, nc.Close())
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = c.Dial(ended, "tcp", c.Address(1))
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestAPartitionWithoutALeader(t *testing.T) {
	onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
		c.MoveLeader("events", 0, -1)
		k := connect(t, c, 1)
		var m protocol.MetadataResponse
		k.do(12, &protocol.MetadataRequest{}, &m)
		require.Equal(t, protocol.LeaderNotAvailable, m.Topics[0].Partitions[0].ErrorCode)
		require.EqualValues(t, -1, m.Topics[0].Partitions[0].LeaderID)
		r := k.produce("events", 0, batch(plain, "x"))
		require.Equal(t, protocol.NotLeaderOrFollower, r.ErrorCode)
	})
}

func TestMistakesOfTheTestPanic(t *testing.T) {
	c := New(t, oneTopic)
	require.PanicsWithValue(t, "testbroker: there is no broker 2", func() { c.StopBroker(2) })
	require.PanicsWithValue(t, "testbroker: there is no topic none", func() { c.Log("none", 0) })
	require.PanicsWithValue(t, "testbroker: there is no partition events/1", func() { c.Log("events", 1) })
	require.PanicsWithValue(t, "testbroker: there is a topic events already", func() { c.CreateTopic("events", 1) })
	require.PanicsWithValue(t, "testbroker: no versions of Kafka 5.0", func() { KafkaVersions("5.0") })
}
