package testbroker

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
)

func TestFailAnswersWithTheCodeAndAppendsNothing(t *testing.T) {
	onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
		rule := c.On(protocol.Produce).Skip(1).Times(2).Do(Fail(protocol.KafkaStorageError))
		k := connect(t, c, 1)
		for _, code := range []protocol.ErrorCode{protocol.None, protocol.KafkaStorageError, protocol.KafkaStorageError,
			protocol.None} {
			r := k.produce("events", 0, batch(plain, "x"))
			require.Equal(t, code, r.ErrorCode)
			require.Equal(t, code == protocol.None, r.BaseOffset >= 0)
		}
		require.Len(t, c.Log("events", 0), 2)
		require.Equal(t, 2, rule.Hits())
	})
}

func TestAFaultOfOnePartitionLeavesTheOthersAlone(t *testing.T) {
	onEach(t, Config{Topics: map[string]int32{"events": 2}}, func(t *testing.T, c *Cluster) {
		c.On(protocol.Produce).Partition("events", 1).Do(Fail(protocol.NotEnoughReplicas))
		q := request(-1, "events", 0, batch(plain, "a"))
		q.Topics[0].Partitions = append(q.Topics[0].Partitions,
			protocol.ProducePartition{Index: 1, Records: batch(plain, "b")})
		var r protocol.ProduceResponse
		connect(t, c, 1).do(12, q, &r)
		require.Len(t, r.Topics, 1)
		require.Equal(t, protocol.None, r.Topics[0].Partitions[0].ErrorCode)
		require.Equal(t, protocol.NotEnoughReplicas, r.Topics[0].Partitions[1].ErrorCode)
		require.Equal(t, []string{"a"}, values(c, "events", 0))
		require.Empty(t, c.Log("events", 1))
	})
}

func TestAppendAndFailAppends(t *testing.T) {
	onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
		c.On(protocol.Produce).InTurn(AppendAndFail(protocol.NotEnoughReplicasAfterAppend), Pass())
		k := connect(t, c, 1)
		require.Equal(t, protocol.NotEnoughReplicasAfterAppend, k.produce("events", 0, numbered(7, 0, 0)).ErrorCode)
		require.Equal(t, protocol.None, k.produce("events", 0, numbered(7, 0, 0)).ErrorCode)
		require.Len(t, c.Log("events", 0), 2)
		require.True(t, c.Produces()[0].Parts[0].Appended)
	})
}

func TestRejectNamesRecords(t *testing.T) {
	onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
		c.On(protocol.Produce).Topic("events").Nth(1).Do(Reject(protocol.InvalidRecord, "bad",
			map[int32]string{2: "two", 1: "one"}))
		r := connect(t, c, 1).produce("events", 0, batch(plain, "a", "b", "c"))
		require.Equal(t, "bad", *r.ErrorMessage)
		require.Len(t, r.RecordErrors, 2)
		require.EqualValues(t, 1, r.RecordErrors[0].BatchIndex)
		require.Equal(t, "two", *r.RecordErrors[1].Message)
	})
}

func TestSettingsOfATopicAreEnforced(t *testing.T) {
	cfg := oneTopic
	cfg.Settings = map[string]TopicSettings{"events": {Compacted: true, LogAppendTime: true, MessageMaxBytes: 100}}
	onEach(t, cfg, func(t *testing.T, c *Cluster) {
		k := connect(t, c, 1)
		r := k.produce("events", 0, batch(plain, "x"))
		require.Equal(t, protocol.None, r.ErrorCode)
		log := c.Log("events", 0)
		require.Equal(t, log[0].Timestamp, r.LogAppendTimeMs)
		require.Equal(t, c.Batches("events", 0)[0].Header.MaxTimestamp, r.LogAppendTimeMs)
		require.InDelta(t, time.Now().UnixMilli(), r.LogAppendTimeMs, 60_000)

		require.Equal(t, protocol.MessageTooLarge, k.produce("events", 0,
			batch(plain, "xxxxxxxxxxx", "yyyyyyyyyyyyyyy")).ErrorCode)

		c.SetSettings("events", TopicSettings{})
		require.Equal(t, protocol.None, k.produce("events", 0,
			batch(plain, "xxxxxxxxxxx", "yyyyyyyyyyyyyyy")).ErrorCode)
	})
}

func TestRecordsWithoutAKeyAreBlamedInACompactedTopic(t *testing.T) {
	cfg := oneTopic
	cfg.Settings = map[string]TopicSettings{"events": {Compacted: true}}
	onEach(t, cfg, func(t *testing.T, c *Cluster) {
		b := keyless("a", "", "c")
		r := connect(t, c, 1).produce("events", 0, b)
		require.Equal(t, protocol.InvalidRecord, r.ErrorCode)
		require.Len(t, r.RecordErrors, 1)
		require.EqualValues(t, 1, r.RecordErrors[0].BatchIndex)
		require.Empty(t, c.Log("events", 0))
	})
}

func TestTimestampsTooFarAheadAreBlamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // in the year 2000, when the batches lie in the future
		cfg := oneTopic
		cfg.Settings = map[string]TopicSettings{"events": {TimestampAfterMax: time.Hour}}
		c := New(t, cfg)
		r := connect(t, c, 1).produce("events", 0, batch(plain, "a", "b"))
		require.Equal(t, protocol.InvalidTimestamp, r.ErrorCode)
		require.Len(t, r.RecordErrors, 2)
	})
}

func TestAHintMayLie(t *testing.T) {
	onEach(t, Config{Brokers: 2, Topics: map[string]int32{"events": 1}}, func(t *testing.T, c *Cluster) {
		c.On(protocol.Produce).Do(NotLeader(2, 9))
		var r protocol.ProduceResponse
		connect(t, c, 1).do(10, request(-1, "events", 0, batch(plain, "x")), &r)
		require.Equal(t, protocol.NotLeaderOrFollower, r.Topics[0].Partitions[0].ErrorCode)
		require.Equal(t, &protocol.LeaderIDAndEpoch{LeaderID: 2, LeaderEpoch: 9},
			r.Topics[0].Partitions[0].CurrentLeader)
		require.Len(t, r.NodeEndpoints, 1)
	})
}

func TestDroppedRequestsAndAnswers(t *testing.T) {
	onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
		c.On(protocol.Produce).Broker(1).InTurn(DropRequest(), DropAnswer(), DropAnswer().And(WithReset()),
			CutAnswer(7))
		for i, err := range []string{"EOF", "EOF", "reset", "unexpected EOF"} {
			k := connect(t, c, 1)
			k.send(12, request(-1, "events", 0, batch(plain, "x")))
			require.ErrorContains(t, k.gone(), err)
			require.Len(t, c.Log("events", 0), i)
		}
		seen := c.Produces()
		require.False(t, seen[0].Handled)
		require.True(t, seen[1].Handled)
		require.False(t, seen[1].Answered)
	})
}

func TestASwallowedAnswerSilencesTheConnection(t *testing.T) {
	onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
		c.On(protocol.Produce).Nth(1).Do(SwallowAnswer())
		k := connect(t, c, 1)
		k.send(12, request(-1, "events", 0, batch(plain, "a")))
		k.send(12, request(-1, "events", 0, batch(plain, "b")))
		c.WaitRecords(withTimeout(t), "events", 2)
		require.NoError(t, k.nc.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
		require.ErrorContains(t, k.gone(), "timeout")
		require.False(t, c.Produces()[0].Answered)
	})
}

func TestHalfAnAnswerAndThenSilence(t *testing.T) {
	onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
		c.On(protocol.Metadata).Do(CutAnswer(6).And(SwallowAnswer()))
		k := connect(t, c, 1)
		k.send(12, &protocol.MetadataRequest{})
		_, err := io.ReadFull(k.nc, make([]byte, 6))
		require.NoError(t, err)
		require.NoError(t, k.nc.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
		_, err = k.nc.Read(make([]byte, 1))
		require.ErrorContains(t, err, "timeout")
	})
}

func TestTimesPassBetweenAsTheScriptSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(t, oneTopic)
		c.On(protocol.Produce).InTurn(Delay(time.Second), DelayAnswer(2*time.Second), Throttle(3*time.Second),
			DripAnswer(10, time.Second))
		k := connect(t, c, 1)
		start := time.Now()
		k.send(12, request(-1, "events", 0, batch(plain, "x")))
		synctest.Wait()
		require.Empty(t, c.Log("events", 0))
		var r protocol.ProduceResponse
		k.receive(1, 12, &r)
		require.Equal(t, time.Second, time.Since(start))

		k.send(12, request(-1, "events", 0, batch(plain, "x")))
		synctest.Wait()
		require.Len(t, c.Log("events", 0), 2)
		k.receive(2, 12, &r)
		require.Equal(t, 3*time.Second, time.Since(start))

		k.do(12, request(-1, "events", 0, batch(plain, "x")), &r)
		require.EqualValues(t, 3000, r.ThrottleMs)
		require.Equal(t, 3*time.Second, time.Since(start))

		k.do(12, request(-1, "events", 0, batch(plain, "x")), &r)
		require.Greater(t, time.Since(start), 9*time.Second)
	})
}

func TestAThrottledConnectionIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(t, oneTopic)
		c.On(protocol.Produce).Nth(1).Do(Throttle(3 * time.Second))
		k := connect(t, c, 1)
		var r protocol.ProduceResponse
		k.do(12, request(-1, "events", 0, batch(plain, "x")), &r)
		require.EqualValues(t, 3000, r.ThrottleMs)
		k.send(12, request(-1, "events", 0, batch(plain, "x")))
		time.Sleep(3*time.Second - time.Millisecond)
		require.Len(t, c.Produces(), 1)
		began := time.Now()
		k.receive(2, 12, &r)
		require.Equal(t, time.Millisecond, time.Since(began))
	})
}

func TestAnOldVersionIsThrottledBeforeItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(t, oneTopic)
		c.On(protocol.Produce).Nth(1).Do(Throttle(3 * time.Second))
		k := connect(t, c, 1)
		began := time.Now()
		var r protocol.ProduceResponse
		for range 2 {
			k.do(5, request(-1, "events", 0, batch(plain, "x")), &r)
			require.Equal(t, 3*time.Second, time.Since(began))
		}
	})
}

func TestHeldRequestsWaitForTheTest(t *testing.T) {
	onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
		first, second := make(chan struct{}), make(chan struct{})
		c.On(protocol.Produce).InTurn(Hold(first), HoldAnswer(second))
		k := connect(t, c, 1)
		for range 3 {
			k.send(12, request(-1, "events", 0, batch(plain, "x")))
		}
		c.WaitProduces(withTimeout(t), 3)
		require.Equal(t, 3, c.MaxInFlight())
		require.Empty(t, c.Log("events", 0))
		close(first)
		c.WaitRecords(withTimeout(t), "events", 2)
		require.Len(t, c.Log("events", 0), 2)
		close(second)
		c.WaitRecords(withTimeout(t), "events", 3)
	})
}

func TestAnswersThatAreNone(t *testing.T) {
	onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
		c.On(protocol.Produce).InTurn(WrongCorrelationID(), Garbage([]byte{0, 0, 0, 2, 1, 2}),
			Edit(func(r *protocol.ProduceResponse) {
				r.Topics[0].Partitions[0].BaseOffset = 99
			}).And(Edit(func(r *protocol.ProduceResponse) { r.Topics[0].Partitions[0].LogStartOffset = 98 })))
		k := connect(t, c, 1)
		k.send(8, request(-1, "events", 0, batch(plain, "x")))
		frame, err := k.frame()
		require.NoError(t, err)
		require.Equal(t, []byte{0, 0, 3, 233}, frame[:4])
		k.send(8, request(-1, "events", 0, batch(plain, "x")))
		frame, err = k.frame()
		require.NoError(t, err)
		require.Equal(t, []byte{1, 2}, frame)
		r := k.produce("events", 0, batch(plain, "x"))
		require.EqualValues(t, 99, r.BaseOffset)
		require.EqualValues(t, 98, r.LogStartOffset)
	})
}

func TestWithoutAcksThereIsNoAnswerAndErrorsCloseTheConnection(t *testing.T) {
	onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
		k := connect(t, c, 1)
		k.send(12, request(0, "events", 0, batch(plain, "x")))
		var r protocol.MetadataResponse
		k.do(12, &protocol.MetadataRequest{}, &r)
		require.Len(t, c.Log("events", 0), 1)
		k.send(12, request(0, "none", 0, batch(plain, "x")))
		_ = k.gone()
	})
}

func TestFaultsOfTheOtherRequests(t *testing.T) {
	onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
		k := connect(t, c, 1)
		c.On(protocol.Metadata).Topic("events").InTurn(Fail(protocol.LeaderNotAvailable))
		name := "events"
		var m protocol.MetadataResponse
		k.do(12, &protocol.MetadataRequest{Topics: []protocol.MetadataRequestTopic{{Name: &name}}}, &m)
		require.Equal(t, protocol.LeaderNotAvailable, m.Topics[0].ErrorCode)
		c.On(protocol.Metadata).InTurn(Fail(protocol.RebootstrapRequired))
		k.do(13, &protocol.MetadataRequest{}, &m)
		require.Equal(t, protocol.RebootstrapRequired, m.ErrorCode)
		c.On(protocol.InitProducerID).InTurn(Fail(protocol.ClusterAuthorizationFailed))
		var i protocol.InitProducerIDResponse
		k.do(4, &protocol.InitProducerIDRequest{ProducerID: -1, ProducerEpoch: -1}, &i)
		require.Equal(t, protocol.ClusterAuthorizationFailed, i.ErrorCode)
		c.On(protocol.ApiVersions).Nth(1).Do(Fail(protocol.UnknownServerError))
		var v protocol.ApiVersionsResponse
		k.do(0, &protocol.ApiVersionsRequest{}, &v)
		require.Equal(t, protocol.UnknownServerError, v.ErrorCode)
	})
}

func TestRulesOfTheSameRequestsFollowEachOther(t *testing.T) {
	onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
		c.On(protocol.Produce).Times(1).Do(Fail(protocol.NotEnoughReplicas))
		c.On(protocol.Produce).Times(1).Do(Fail(protocol.KafkaStorageError))
		last := c.On(protocol.Produce).When(func(r *Request) bool { return r.Acks == -1 }).Do(
			Fail(protocol.RequestTimedOut))
		k := connect(t, c, 1)
		for _, code := range []protocol.ErrorCode{protocol.NotEnoughReplicas, protocol.KafkaStorageError,
			protocol.RequestTimedOut} {
			require.Equal(t, code, k.produce("events", 0, batch(plain, "x")).ErrorCode)
		}
		last.End()
		require.Equal(t, protocol.None, k.produce("events", 0, batch(plain, "x")).ErrorCode)
	})
}

func TestAHookMayChangeTheCluster(t *testing.T) {
	onEach(t, Config{Brokers: 2, Topics: map[string]int32{"events": 1}}, func(t *testing.T, c *Cluster) {
		c.Hook(func(r *Request) Action {
			if r.Header.Key == protocol.Produce && r.Broker == 1 {
				c.MoveLeader("events", 0, 2)
				c.StopBroker(1)
			}
			return Pass()
		})
		k := connect(t, c, 1)
		k.send(12, request(-1, "events", 0, batch(plain, "x")))
		_ = k.gone()
		require.Equal(t, protocol.None, connect(t, c, 2).produce("events", 0, batch(plain, "x")).ErrorCode)
		require.Len(t, c.Log("events", 0), 1)
	})
}

func TestAServerThatIsNoBroker(t *testing.T) {
	onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
		c.Serve("web.test:80", func(nc net.Conn) {
			_, _ = nc.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			_, _ = io.Copy(io.Discard, nc)
		})
		nc, err := c.Dial(t.Context(), "tcp", "web.test:80")
		require.NoError(t, err)
		got := make([]byte, 4)
		_, err = io.ReadFull(nc, got)
		require.NoError(t, err)
		require.True(t, bytes.Equal(got, []byte("HTTP")))
	})
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{TB: t}
		c := New(r, oneTopic)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.PanicsWithValue(t, "fatal", func() { c.WaitProduces(ctx, 1) })
		require.Contains(t, r.errors[0], "waited for 1 Produce requests")
		for _, f := range r.cleanup {
			f()
		}
	})
}
