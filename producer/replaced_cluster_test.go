package producer_test

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
)

// named sets the client id. By the client id the test broker distinguishes two producers with the same producer id.
func named(id string) func(*producer.Config) { return func(c *producer.Config) { c.ClientID = id } }

// sendNumbered sends n records one after the other, each to the next of the partitions, and returns the acknowledged
// ones.
func sendNumbered(t *testing.T, p *producer.Producer, who string, n int, partitions int32) (acked []string) {
	t.Helper()
	for i := range n {
		value := fmt.Sprintf("%s-%d", who, i)
		if _, err := p.Send(t.Context(), to(int32(i)%partitions, value), nil).Get(t.Context()); err == nil {
			acked = append(acked, value)
		} else {
			require.True(t, producer.MaybeWritten(err), "%v", err)
		}
	}
	return acked
}

// valuesOf returns the values of topic t in the log of the present cluster.
func valuesOf(c *testbroker.Cluster, partitions int32) (values []string) {
	for i := range partitions {
		for _, r := range c.Log("t", i) {
			values = append(values, string(r.Value))
		}
	}
	return values
}

// A cluster is discarded and recreated behind the same addresses. Both clusters assign producer ids from the same start
// value, so the first new producer gets the id of another producer from the former cluster.
func TestNoAcknowledgedRecordIsMissingWhenTheClusterIsReplaced(t *testing.T) {
	for name, firstCome := range map[string]string{"the old producer sends first": "P",
		"the new producer sends first": "Q"} {
		for what, id := range map[string]string{"another cluster id": "cluster-B",
			"the same cluster id": testbroker.ClusterID} {
			scene(t, name+", "+what, topics(1, 2), func(t *testing.T, c *testbroker.Cluster) {
				p := start(t, c, named("P"))
				require.Len(t, sendNumbered(t, p, "before", 15, 2), 15)
				c.Replace(id)
				var acked []string
				q := start(t, c, named("Q"))
				if firstCome == "P" {
					acked = append(acked, sendNumbered(t, p, "P first", 1, 2)...)
				}
				acked = append(acked, sendNumbered(t, q, "Q", 20, 2)...)
				acked = append(acked, sendNumbered(t, p, "P", 20, 2)...)
				acked = append(acked, sendNumbered(t, q, "Q again", 20, 2)...)
				require.Subset(t, valuesOf(c, 2), acked)
				require.Greater(t, len(acked), 58, "records that were sent one after the other are acknowledged")
				for i := range int32(2) {
					requireOneProducerEach(t, c, i)
				}
			})
		}
	}
}

// The new cluster has the former one's id, so only the ids of its topics distinguish the two. A partition that the
// producer has not used yet must not get the producer's former id.
func TestAnUnusedPartitionGetsNoIdentityOfTheFormerCluster(t *testing.T) {
	bubble(t, topics(1, 2), func(t *testing.T, c *testbroker.Cluster) {
		p := start(t, c, named("P"))
		_, err := p.Send(t.Context(), to(0, "before"), nil).Get(t.Context())
		require.NoError(t, err)
		c.Replace(testbroker.ClusterID)
		time.Sleep(time.Second) // the producer's metadata is of the new cluster
		var acked []string
		q := start(t, c, named("Q"))
		for i, from := range []*producer.Producer{q, q, q, p, p, q, p} {
			value := fmt.Sprint(i)
			_, err := from.Send(t.Context(), to(1, value), nil).Get(t.Context())
			require.NoError(t, err)
			acked = append(acked, value)
		}
		require.Equal(t, acked, valuesOf(c, 2))
	})
}

// requireOneProducerEach checks that no two producers wrote to a partition under the same producer id.
func requireOneProducerEach(t *testing.T, c *testbroker.Cluster, partition int32) {
	t.Helper()
	owner := map[int64]byte{}
	for _, b := range c.Batches("t", partition) {
		for i := range b.Records {
			who := b.Records[i].Value[0]
			if before, known := owner[b.Header.ProducerID]; known {
				require.Equal(t, string(before), string(who), "producer id %d", b.Header.ProducerID)
			}
			owner[b.Header.ProducerID] = who
		}
	}
}

// If the former cluster may have written a record, the producer reports it as maybe written, and does not send it to
// the new cluster.
func TestADoubtfulRecordOfTheFormerClusterIsReportedAsMaybeWritten(t *testing.T) {
	scene(t, "answer lost", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		c.On(protocol.Produce).Nth(1).Do(testbroker.SwallowAnswer())
		doubtful := p.Send(t.Context(), to(0, "doubtful"), nil)
		c.WaitRecords(t.Context(), "t", 2)
		c.Replace("cluster-B")
		began := time.Now()
		_, err := doubtful.Get(t.Context())
		require.ErrorIs(t, err, producer.ErrClusterReplaced)
		require.True(t, producer.MaybeWritten(err))
		require.False(t, producer.Retriable(err))
		require.Less(t, time.Since(began), 2*time.Second)
		_, err = p.Send(t.Context(), to(0, "next"), nil).Get(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"next"}, valuesOf(c, 1))
	})
	scene(t, "while the records still wait", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) { cfg.MaxInFlight = 1 })
		c.On(protocol.Produce).Nth(1).Do(testbroker.SwallowAnswer())
		doubtful := p.Send(t.Context(), to(0, "doubtful"), nil)
		c.WaitRecords(t.Context(), "t", 2)
		waiting := p.Send(t.Context(), to(0, "waiting"), nil)
		synctest.Wait()
		c.Replace("cluster-B")
		_, err := doubtful.Get(t.Context())
		require.ErrorIs(t, err, producer.ErrClusterReplaced)
		_, err = waiting.Get(t.Context())
		require.NoError(t, err, "it was in no request")
		require.Equal(t, []string{"waiting"}, valuesOf(c, 1))
	})
}

// The address of a broker leads to a server of another cluster, and the metadata does not report that yet.
func TestAServerOfAnotherClusterGetsNoRecord(t *testing.T) {
	scene(t, "metadata of the former cluster", topics(2, 2), func(t *testing.T, c *testbroker.Cluster) {
		leader := c.Leader("t", 0)
		p := start(t, c, func(cfg *producer.Config) { cfg.BootstrapServers = []string{c.Address(3 - leader)} })
		_, err := p.PartitionsFor(t.Context(), "t")
		require.NoError(t, err)
		c.SetClusterID(leader, "cluster-B")
		future := p.Send(t.Context(), to(0, "x"), nil)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err = future.Get(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Empty(t, c.Produces())
		c.SetClusterID(leader, "")
		_, err = future.Get(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"x"}, valuesOf(c, 2))
	})
}

// During a failover, connections to the same address lead to both clusters in alternation. Each acknowledged record is
// in the log of its cluster, and none is in one log twice.
func TestClustersThatAnswerInAlternationLoseNoAcknowledgedRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfgB := topics(1, 2)
		cfgB.ClusterID = "cluster-B"
		a, b := testbroker.New(t, topics(1, 2)), testbroker.New(t, cfgB)
		var dials, toB atomic.Int64 // of four dials, this many lead to b
		p := start(t, a, func(cfg *producer.Config) {
			cfg.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
				if dials.Add(1)%4 < toB.Load() {
					return b.Dial(ctx, network, address)
				}
				return a.Dial(ctx, network, address)
			}
		})
		var acked []string
		for round := range int64(20) {
			toB.Store(round / 4)
			acked = append(acked, sendNumbered(t, p, fmt.Sprint("round ", round), 10, 2)...)
			a.Disconnect(1)
			b.Disconnect(1)
		}
		inA, inB := valuesOf(a, 2), valuesOf(b, 2)
		require.Subset(t, append(append([]string(nil), inA...), inB...), acked)
		require.Greater(t, len(acked), 150)
		for _, log := range [][]string{inA, inB} {
			seen := map[string]bool{}
			for _, v := range log {
				require.False(t, seen[v], "%s is there twice", v)
				seen[v] = true
			}
		}
		require.NotEmpty(t, inA)
		require.NotEmpty(t, inB)
	})
}

// The addresses lead to another cluster, and the former one still runs: the producer must end its connections to the
// former brokers when the metadata changes the cluster.
func TestAConnectionToTheFormerClusterGetsNoMoreRecords(t *testing.T) {
	for name, change := range map[string]func(*producer.Config){"acks=1": ackedByTheLeader,
		"idempotent": func(*producer.Config) {}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfgB := topics(1, 1)
				cfgB.ClusterID = "cluster-B"
				a, b := testbroker.New(t, topics(1, 1)), testbroker.New(t, cfgB)
				var failedOver atomic.Bool
				p := start(t, a, func(cfg *producer.Config) {
					change(cfg)
					cfg.MetadataMaxAge = time.Minute
					cfg.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
						if failedOver.Load() {
							return b.Dial(ctx, network, address)
						}
						return a.Dial(ctx, network, address)
					}
				})
				_, err := p.Send(t.Context(), to(0, "before"), nil).Get(t.Context())
				require.NoError(t, err)
				failedOver.Store(true)
				// this connection ends; the leader's does not
				a.On(protocol.Metadata).Nth(1).Do(testbroker.DropRequest())
				time.Sleep(2 * time.Minute)
				began := time.Now()
				_, err = p.Send(t.Context(), to(0, "after"), nil).Get(t.Context())
				require.NoError(t, err)
				require.Less(t, time.Since(began), time.Second)
				require.Equal(t, []string{"after"}, valuesOf(b, 1))
			})
		})
	}
}

// As above, and the producer learns of a new topic before it learns of the recreated known ones.
func TestANewTopicGetsNoIdentityOfTheFormerClusterWithTheSameID(t *testing.T) {
	cfg := topics(1, 1)
	cfg.Topics["u"] = 1
	bubble(t, cfg, func(t *testing.T, c *testbroker.Cluster) {
		p := start(t, c, named("P"))
		_, err := p.Send(t.Context(), to(0, "before"), nil).Get(t.Context())
		require.NoError(t, err)
		known := func(r *testbroker.Request) bool {
			topics := r.Message.(*protocol.MetadataRequest).Topics
			return *r.Header.ClientID == "P" && len(topics) > 0 && *topics[0].Name == "t"
		}
		c.On(protocol.Metadata).When(known).Times(5).Do(testbroker.DropRequest())
		c.Replace(testbroker.ClusterID)
		q := start(t, c, named("Q"))
		u := func(value string) *producer.Record { return &producer.Record{Topic: "u", Value: []byte(value)} }
		_, err = q.Send(t.Context(), u("q"), nil).Get(t.Context())
		require.NoError(t, err)
		_, err = p.Send(t.Context(), u("p"), nil).Get(t.Context())
		require.NoError(t, err)
		var values []string
		for _, r := range c.Log("u", 0) {
			values = append(values, string(r.Value))
		}
		require.Equal(t, []string{"q", "p"}, values)
	})
}

// As above, and the new cluster does not have the known topic, or not yet: no topic id shows that it is another
// cluster.
func TestANewTopicGetsNoIdentityOfTheFormerClusterThoughNoKnownTopicIsThere(t *testing.T) {
	for _, code := range []protocol.ErrorCode{protocol.UnknownTopicOrPartition, protocol.LeaderNotAvailable,
		protocol.TopicAuthorizationFailed} {
		t.Run(code.Name(), func(t *testing.T) {
			cfg := topics(1, 1)
			cfg.Topics["u"] = 1
			bubble(t, cfg, func(t *testing.T, c *testbroker.Cluster) {
				p := start(t, c, named("P"))
				_, err := p.Send(t.Context(), to(0, "before"), nil).Get(t.Context())
				require.NoError(t, err)
				known := func(r *testbroker.Request) bool {
					topics := r.Message.(*protocol.MetadataRequest).Topics
					return *r.Header.ClientID == "P" && len(topics) > 0 && *topics[0].Name == "t"
				}
				c.On(protocol.Metadata).When(known).Do(testbroker.Fail(code))
				c.Replace(testbroker.ClusterID)
				q := start(t, c, named("Q"))
				u := func(value string) *producer.Record { return &producer.Record{Topic: "u", Value: []byte(value)} }
				_, err = q.Send(t.Context(), u("q"), nil).Get(t.Context())
				require.NoError(t, err)
				_, err = p.Send(t.Context(), u("p"), nil).Get(t.Context())
				require.NoError(t, err)
				var values []string
				for _, r := range c.Log("u", 0) {
					values = append(values, string(r.Value))
				}
				require.Equal(t, []string{"q", "p"}, values)
			})
		})
	}
}
