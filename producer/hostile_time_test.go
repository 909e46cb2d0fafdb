package producer

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
)

// This file tests servers that waste time, in virtual time. The tests bound the waits, and the number of connections to
// such a server.

// anHour is the limit of these tests: no wait comes near it.
const anHour = time.Hour

// outcomeOf sends a record and returns its outcome and the time until it.
func outcomeOf(p *Producer, r *Record) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), anHour)
	defer cancel()
	began := time.Now()
	_, err := p.Send(ctx, r, nil).Get(ctx)
	return time.Since(began), err
}

// A byte every ten seconds does not extend a request: request.timeout.ms bounds the request, and delivery.timeout.ms
// the record.
func TestAnswersThatDripEndWithTheirRequestsTime(t *testing.T) {
	drip := testbroker.DripAnswer(1, 10*time.Second)
	for key, bound := range map[protocol.APIKey]time.Duration{
		protocol.ApiVersions: time.Minute, protocol.Metadata: time.Minute, // max.block.ms
		protocol.InitProducerID: 2 * time.Minute, protocol.Produce: 2 * time.Minute, // delivery.timeout.ms
	} {
		t.Run(key.String(), func(t *testing.T) {
			badInput(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
				rule := c.On(key).Do(drip)
				took, err := outcomeOf(p, hostileRecord())
				require.Error(t, err)
				require.Equal(t, bound, took)
				require.Equal(t, key == protocol.Produce, MaybeWritten(err), err.Error())
				require.Contains(t, err.Error(), "broker-1:9092")
				require.Greater(t, rule.Hits(), 1, "it is asked again")
				require.LessOrEqual(t, rule.Hits(), 12)
				rule.End()
				_, err = outcomeOf(p, hostileRecord())
				require.NoError(t, err)
			})
		})
	}
}

// A server that sends its answer byte by byte, but in time, is only slow.
func TestAnswersThatDripInTimeAreTaken(t *testing.T) {
	badInput(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		for _, key := range []protocol.APIKey{protocol.Metadata, protocol.InitProducerID, protocol.Produce} {
			c.On(key).Do(testbroker.DripAnswer(1, 100*time.Millisecond))
		}
		_, err := outcomeOf(p, hostileRecord())
		require.NoError(t, err)
		require.Len(t, c.Produces(), 1)
	})
}

// strangers runs a producer against a server that is no broker, and returns the number of connections until the record
// failed.
func strangers(t *testing.T, serve func(net.Conn)) (connections int, took time.Duration, err error) {
	t.Helper()
	var made atomic.Int64
	badInput(t, func(c *Config) { c.BootstrapServers = []string{"stranger:9092"}; c.MaxBlock = 10 * time.Minute },
		func(t *testing.T, c *testbroker.Cluster, p *Producer) {
			c.Serve("stranger:9092", func(nc net.Conn) {
				made.Add(1)
				serve(nc)
			})
			took, err = outcomeOf(p, hostileRecord())
		})
	return int(made.Load()), took, err
}

func TestServersThatAreNoneAreDialledWithABackoff(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"closes at once":          func(net.Conn) {},
		"closes upon the request": func(nc net.Conn) { _, _ = nc.Read(make([]byte, 1)) },
		"answers nonsense":        func(nc net.Conn) { _, _ = nc.Write([]byte("nonsense")) },
	} {
		t.Run(name, func(t *testing.T) {
			connections, took, err := strangers(t, serve)
			require.ErrorIs(t, err, ErrMetadataTimeout)
			require.Contains(t, err.Error(), "stranger:9092")
			require.Equal(t, 10*time.Minute, took)
			// reconnect.backoff.max.ms is a second; jitter shortens it by up to a fifth.
			require.LessOrEqual(t, connections, 10*60*5/4+10)
			require.Greater(t, connections, 10*60/2, "and it is not given up")
		})
	}
	t.Run("accepts and says nothing", func(t *testing.T) {
		connections, took, err := strangers(t, func(nc net.Conn) { _, _ = io.Copy(io.Discard, nc) })
		require.ErrorIs(t, err, ErrMetadataTimeout)
		require.Contains(t, err.Error(), "does not answer ApiVersions")
		require.Equal(t, 10*time.Minute, took)
		require.LessOrEqual(t, connections, 10*60/10+10,
			"each has socket.connection.setup.timeout.ms at the least, which doubles")
	})
}

// If each Produce request ends its connection, the client keeps the reconnect backoff between connections.
func TestABrokerThatClosesUponEachRequestIsTriedWithABackoff(t *testing.T) {
	for name, fault := range map[string]testbroker.Action{
		"before it":     testbroker.DropRequest(),
		"after it":      testbroker.DropAnswer(),
		"with a reset":  testbroker.DropAnswer().And(testbroker.WithReset()),
		"with nonsense": testbroker.Garbage([]byte("nonsense")),
	} {
		t.Run(name, func(t *testing.T) {
			badInput(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
				rule := c.On(protocol.Produce).Do(fault)
				took, err := outcomeOf(p, hostileRecord())
				require.ErrorIs(t, err, ErrDeliveryTimeout)
				require.True(t, MaybeWritten(err))
				require.Equal(t, 2*time.Minute, took)
				require.LessOrEqual(t, rule.Hits(), 2*60*5/4+10,
					"retry.backoff.max.ms is a second, less a fifth by chance")
				require.LessOrEqual(t, len(c.RequestsOf(protocol.ApiVersions)), 2*60*5/4+20)
				require.LessOrEqual(t, len(c.RequestsOf(protocol.Metadata)), 2*(2*60*5/4+20),
					"each connection has one to check its cluster")
				rule.End()
				_, err = outcomeOf(p, hostileRecord())
				require.NoError(t, err)
			})
		})
	}
}

// circling answers each Produce request with a newer leader, chosen by the function leader.
func circling(c *testbroker.Cluster, leader func(asked int32) int32) *testbroker.Rule {
	var epoch atomic.Int32
	byBroker := func(id int32) testbroker.Action {
		return testbroker.Fail(protocol.NotLeaderOrFollower).And(testbroker.Edit(func(r *protocol.ProduceResponse) {
			for i := range r.Topics {
				for k := range r.Topics[i].Partitions {
					r.Topics[i].Partitions[k].CurrentLeader = &protocol.LeaderIDAndEpoch{LeaderID: leader(id),
						LeaderEpoch: 100 + epoch.Add(1)}
				}
			}
		}))
	}
	for id := int32(2); id <= 2 && len(c.Bootstrap()) > 1; id++ {
		c.On(protocol.Produce).Broker(id).Do(byBroker(id))
	}
	return c.On(protocol.Produce).Broker(1).Do(byBroker(1))
}

// Each leader names itself or another broker as the leader of a newer epoch. The client must not follow them in a tight
// loop: retries keep their backoff, so a few retries last as long as with any other error.
func TestLeadersThatAreNamedInACircleAreFollowedWithABackoff(t *testing.T) {
	for name, leader := range map[string]func(int32) int32{
		"itself": func(asked int32) int32 { return asked }, "each other": func(asked int32) int32 { return 3 - asked },
	} {
		for _, retries := range []int{5, 1<<31 - 1} {
			t.Run(fmt.Sprint(name, " ", retries), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := testbroker.New(t, testbroker.Config{Brokers: 2, Topics: map[string]int32{"t": 2}})
					cfg := DefaultConfig(c.Bootstrap()...)
					cfg.Dialer, cfg.Retries = c.Dial, retries
					p, err := New(cfg)
					require.NoError(t, err)
					circling(c, leader)
					took, err := outcomeOf(p, hostileRecord())
					require.Error(t, err)
					require.Contains(t, err.Error(), "NOT_LEADER_OR_FOLLOWER")
					require.LessOrEqual(t, len(c.Produces()), 2*60*2+10)
					if retries == 5 {
						require.ErrorIs(t, err, ErrRetriesExhausted)
						require.Len(t, c.Produces(), 6)
						require.Greater(t, took, time.Second)
					} else {
						require.Equal(t, 2*time.Minute, took)
					}
					require.NoError(t, p.Close(context.Background()))
				})
			})
		}
	}
}

// A broker that takes no bytes blocks a write for request.timeout.ms at the most; the record ends by
// delivery.timeout.ms.
func TestABrokerThatReadsNothingBlocksAWriteOnlyForTheRequestsTime(t *testing.T) {
	badInput(t, func(c *Config) { c.MaxInFlight = 1 }, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		taken(t, p, &Record{Topic: "t"})
		c.Hang(1)
		connections := len(c.RequestsOf(protocol.ApiVersions))
		took, err := outcomeOf(p, sized(t, 900_000)) // more than a socket holds
		require.ErrorIs(t, err, ErrDeliveryTimeout)
		require.True(t, MaybeWritten(err))
		require.Equal(t, 2*time.Minute, took)
		require.Contains(t, err.Error(), "broker-1:9092")
		require.Contains(t, err.Error(), "1 try", "a connection that hangs is not made again")
		c.Unhang(1)
		_, err = outcomeOf(p, hostileRecord())
		require.NoError(t, err)
		require.Greater(t, len(c.RequestsOf(protocol.ApiVersions)), connections)
	})
}

// An error 35 without end is answered by two requests for each connection: the newest ApiVersions and the oldest.
func TestABrokerThatRefusesEveryApiVersionsIsAskedTwiceAConnection(t *testing.T) {
	badInput(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		c.On(protocol.ApiVersions).Do(testbroker.Fail(protocol.UnsupportedVersion))
		took, err := outcomeOf(p, hostileRecord())
		require.ErrorIs(t, err, ErrMetadataTimeout)
		require.Contains(t, err.Error(), "broker-1:9092: ApiVersions: UNSUPPORTED_VERSION (35)")
		require.Equal(t, time.Minute, took)
		require.LessOrEqual(t, len(c.Requests()), 2*(60*5/4+10))
	})
}

// In no answer can a throttle stop the client for longer than delivery.timeout.ms.
func TestThrottlesWithoutEndHaveAnEnd(t *testing.T) {
	for _, ms := range []int32{1<<31 - 1, -1 << 31, -1} {
		t.Run(fmt.Sprint(ms), func(t *testing.T) {
			badInput(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
				c.On(protocol.ApiVersions).Do(testbroker.Edit(
					func(r *protocol.ApiVersionsResponse) { r.ThrottleMs = ms }))
				c.On(protocol.Metadata).Do(testbroker.Edit(func(r *protocol.MetadataResponse) { r.ThrottleMs = ms }))
				c.On(protocol.InitProducerID).Do(testbroker.Edit(
					func(r *protocol.InitProducerIDResponse) { r.ThrottleMs = ms }))
				c.On(protocol.Produce).Do(testbroker.Edit(func(r *protocol.ProduceResponse) { r.ThrottleMs = ms }))
				took, err := outcomeOf(p, hostileRecord())
				require.NoError(t, err)
				require.Less(t, took, time.Second, "the throttle is for what comes next")
				time.Sleep(time.Second)
				took, err = outcomeOf(p, hostileRecord())
				require.NoError(t, err)
				if ms < 0 {
					require.Less(t, took, time.Second)
				} else {
					require.Equal(t, 119*time.Second, took)
				}
			})
		})
	}
}
