package cluster

import (
	"context"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/transport"
	"github.com/gosamsa/samsa/protocol"
)

// undialable is a server to which every connection attempt fails.
func undialable(w *world) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == "c:3" {
			return w.dial(ctx, network, address)
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}
}

func TestBadServersCostABoundedTimeAndNothingElse(t *testing.T) {
	for name, test := range map[string]struct {
		bad  behaviour
		cost time.Duration
	}{
		"dead":                      {nil, 0},
		"no Kafka":                  {http, 0},
		"silent":                    {hang, 2 * time.Second},
		"silent after the greeting": {deaf, 2 * time.Second},
		"without brokers": {func(w *world, _ string, nc net.Conn) {
			serve(w, nc, func(request) protocol.Response { return &protocol.MetadataResponse{} })
		}, 0},
		"undecodable": {func(w *world, _ string, nc net.Conn) {
			serve(w, nc, func(request) protocol.Response { return raw("\xff\xff\xff\xff\x7f") })
		}, 0},
		"refusing": {func(w *world, _ string, nc net.Conn) {
			serve(w, nc, func(request) protocol.Response {
				return &protocol.MetadataResponse{ErrorCode: protocol.UnknownServerError}
			})
		}, 0},
		"without metadata": {func(w *world, _ string, nc net.Conn) {
			w.set(func() { w.metadata.Min, w.metadata.Max = 90, 99 })
			serve(w, nc, func(request) protocol.Response { return nil })
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			// The order is random, so several runs see each server first.
			for range 10 {
				w := newWorld()
				w.topics(topicOf("a", 1, 0, 3), topicOf("b", 2, 0, 3))
				w.become(test.bad, "a:1", "b:2")
				w.become(func(w *world, address string, nc net.Conn) {
					w.set(func() { w.metadata = protocol.VersionRange{Min: 0, Max: 13} })
					kafka(w, address, nc)
				}, "c:3")
				run(t, w, nil, func(t *testing.T, c *Client) {
					took(t, test.cost, func() { known(t, c, "a") })
					took(t, 0, func() { known(t, c, "b") })
				})
			}
		})
	}
	t.Run("unreachable", func(t *testing.T) {
		w := newWorld()
		w.topics(topicOf("a", 1, 0, 3))
		run(t, w, func(cfg *Config) { cfg.Transport = &transport.Options{Dialer: undialable(w)} },
			func(t *testing.T, c *Client) {
				took(t, 2*time.Second, func() { known(t, c, "a") })
			})
	})
}

func TestTheErrorHasEachServersReason(t *testing.T) {
	w := newWorld()
	w.become(nil, "a:1")
	w.become(http, "b:2")
	w.become(hang, "c:3")
	run(t, w, nil, func(t *testing.T, c *Client) {
		began := time.Now()
		_, err := c.Topic(within(t, 5*time.Second), "orders")
		require.Equal(t, 5*time.Second, time.Since(began))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, errRefused)
		require.ErrorIs(t, err, transport.ErrNotKafka)
		require.ErrorIs(t, err, ErrNoAnswer)
		var unreachable *UnreachableError
		require.ErrorAs(t, err, &unreachable)
		require.Len(t, unreachable.Servers, 3)
		for i, want := range []string{"a:1: connection refused", "b:2: not a Kafka broker: an HTTP server answered",
			"c:3: no answer yet for "} {
			require.ErrorContains(t, err, want)
			require.Equal(t, want[:3], unreachable.Servers[i].Address, "in the order of the list")
		}
		_, err = c.TryTopic("orders")
		require.ErrorIs(t, err, ErrPending)
		require.ErrorContains(t, err, "a:1: connection refused")
		_, err = c.Topic(within(t, 10*time.Second), "orders")
		require.ErrorContains(t, err, "c:3: connection setup timed out after 10s")
	})
}

func TestAContextThatIsOverSaysThatNobodyWasAsked(t *testing.T) {
	w := newWorld()
	w.become(hang, "a:1", "b:2", "c:3")
	run(t, w, nil, func(t *testing.T, c *Client) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := c.Topic(ctx, "orders")
		require.ErrorIs(t, err, context.Canceled)
		_, err = c.Topic(within(t, 500*time.Millisecond), "orders")
		require.ErrorIs(t, err, ErrNotTried)
		require.ErrorIs(t, err, ErrNoAnswer)
	})
}

func TestServersThatComeBackAreFoundWithinTheBackoff(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("a", 1, 0, 1))
	w.become(nil, "a:1", "b:2", "c:3")
	run(t, w, nil, func(t *testing.T, c *Client) {
		time.AfterFunc(time.Minute, func() { w.become(kafka, "b:2") })
		began := time.Now()
		_, err := c.Topic(within(t, 2*time.Minute), "a")
		require.NoError(t, err)
		took(t, 0, func() {
			require.WithinRange(t, time.Now(), began.Add(time.Minute), began.Add(time.Minute+2500*time.Millisecond))
		})
		dials := map[string]int{}
		for _, address := range w.dialled {
			dials[address]++
		}
		for address, n := range dials {
			require.InDelta(t, 45, n, 25, "%s is tried about once a second", address)
		}
	})
}

func TestAConnectionThatTheBrokerClosedIsReplacedAtOnce(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("a", 1, 0, 1), topicOf("b", 2, 0, 1))
	run(t, w, func(cfg *Config) { cfg.Bootstrap = []string{"a:1"} }, func(t *testing.T, c *Client) {
		known(t, c, "a")
		w.cut("a:1")
		took(t, 0, func() { known(t, c, "b") })
	})
}

func TestABrokerThatHangsIsLeftForAnother(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("a", 1, 0, 1), topicOf("b", 2, 0, 1), topicOf("c", 3, 0, 1))
	run(t, w, func(cfg *Config) { cfg.Bootstrap = []string{"a:1"} }, func(t *testing.T, c *Client) {
		known(t, c, "a")
		answer := w.answer
		w.set(func() {
			w.answer = func(address string, req *protocol.MetadataRequest) *protocol.MetadataResponse {
				if address == "a:1" {
					w.mu.Unlock()
					time.Sleep(20 * time.Second)
					w.mu.Lock()
				}
				return answer(address, req)
			}
		})
		// The connection in use gets a head start, and a new connection to the same broker may get another.
		took(t, 2*time.Second, func() { known(t, c, "b") })
		took(t, 0, func() { known(t, c, "c") })
		time.Sleep(time.Minute)
	})
}

// moved makes a world in which the client's known brokers are gone, and the bootstrap server names new brokers.
func moved(t *testing.T, w *world, old behaviour) {
	t.Helper()
	id := "the cluster"
	w.become(old, "a:1", "b:2", "c:3")
	w.become(kafka, "boot:9", "d:4")
	w.set(func() {
		w.answer = func(_ string, req *protocol.MetadataRequest) *protocol.MetadataResponse {
			resp := reply3(req, []protocol.MetadataTopic{topicOf("a", 1, 1, 4), topicOf("b", 2, 0, 4)})
			resp.Brokers = []protocol.MetadataBroker{{NodeID: 4, Host: "d", Port: 4}}
			resp.ClusterID = &id
			return resp
		}
	})
	for _, address := range []string{"a:1", "b:2", "c:3", "boot:9"} {
		w.cut(address)
	}
	synctest.Wait()
}

func TestWhenNoKnownBrokerIsLeftTheBootstrapServersAreAskedAgain(t *testing.T) {
	for _, rebootstrap := range []bool{true, false} {
		t.Run(fmt.Sprint(rebootstrap), func(t *testing.T) {
			w := newWorld()
			w.become(kafka, "boot:9")
			w.topics(topicOf("a", 1, 0, 1))
			run(t, w, func(cfg *Config) { cfg.Bootstrap, cfg.Rebootstrap = []string{"boot:9"}, rebootstrap },
				func(t *testing.T, c *Client) {
					known(t, c, "a")
					moved(t, w, nil)
					_, err := c.Topic(within(t, 100*time.Millisecond), "b")
					if !rebootstrap {
						require.ErrorIs(t, err, errRefused)
						return
					}
					require.NoError(t, err)
					require.Equal(t, map[int32]Broker{4: {ID: 4, Host: "d", Port: 4}}, c.Snapshot().Brokers)
					require.NotNil(t, c.Snapshot().Topic("a"),
						"topics are kept, and requested first over a new connection")
					require.EqualValues(t, 4, c.Snapshot().Topic("a").Partition(0).Leader)
				})
		})
	}
}

func TestAfterTheTriggerTheBootstrapServersComeFirst(t *testing.T) {
	for trigger, cost := range map[time.Duration]time.Duration{
		0: time.Second, 2 * time.Second: 2 * time.Second, time.Minute: 3 * time.Second,
	} {
		t.Run(trigger.String(), func(t *testing.T) {
			w := newWorld()
			w.become(kafka, "boot:9")
			w.topics(topicOf("a", 1, 0, 1))
			run(t, w, func(cfg *Config) { cfg.Bootstrap, cfg.RebootstrapTrigger = []string{"boot:9"}, trigger },
				func(t *testing.T, c *Client) {
					known(t, c, "a")
					moved(t, w, deaf)
					began := time.Now()
					known(t, c, "b")
					require.Equal(t, cost, time.Since(began))
				})
		})
	}
}

func TestABrokerCanDemandARebootstrap(t *testing.T) {
	w := newWorld()
	w.become(kafka, "boot:9")
	w.topics(topicOf("a", 1, 0, 1), topicOf("b", 2, 0, 1))
	run(t, w, func(cfg *Config) { cfg.Bootstrap = []string{"boot:9"} }, func(t *testing.T, c *Client) {
		known(t, c, "a")
		w.cut("boot:9")
		synctest.Wait()
		known(t, c, "b") // over one of the brokers now
		w.set(func() {
			w.answer = func(address string, req *protocol.MetadataRequest) *protocol.MetadataResponse {
				if address != "boot:9" {
					return &protocol.MetadataResponse{ErrorCode: protocol.RebootstrapRequired}
				}
				return reply3(req, []protocol.MetadataTopic{topicOf("c", 3, 0, 1)})
			}
		})
		w.requests()
		took(t, 0, func() { known(t, c, "c") })
		rs := w.requests()
		require.Len(t, rs, 2)
		require.Equal(t, "boot:9", rs[1].address)
	})
}

func TestABrokerThatTellsOldThingsIsLeftForAnother(t *testing.T) {
	for name, stale := range map[string]protocol.MetadataTopic{
		"older epochs":     topicOf("a", 1, 3, 1),
		"nothing new ever": topicOf("a", 1, 5, 1),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.topics(topicOf("a", 1, 5, 1))
			run(t, w, func(cfg *Config) { cfg.Bootstrap = []string{"a:1"} }, func(t *testing.T, c *Client) {
				known(t, c, "a")
				w.set(func() {
					w.answer = func(address string, req *protocol.MetadataRequest) *protocol.MetadataResponse {
						if address == "a:1" {
							return reply3(req, []protocol.MetadataTopic{stale})
						}
						return reply3(req, []protocol.MetadataTopic{topicOf("a", 1, 6, 2)})
					}
				})
				c.OnChange(func(change *Change) {
					if change.Snapshot.Topic("a").Partition(0).Leader == 1 {
						c.Refresh()
					}
				})
				c.Refresh()
				time.Sleep(3 * time.Second)
				require.EqualValues(t, 2, c.Snapshot().Topic("a").Partition(0).Leader)
			})
		})
	}
}

// TestALastingOlderEpochIsAccepted: without topic ids, an answer about a recreated topic, with epoch 0, looks like an
// answer of a broker with old metadata.
func TestALastingOlderEpochIsAccepted(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("a", 0, 5, 1), topicOf("b", 0, 5, 1))
	run(t, w, nil, func(t *testing.T, c *Client) {
		known(t, c, "a")
		known(t, c, "b")
		leader := func(name string) int32 { return c.Snapshot().Topic(name).Partition(0).Leader }
		w.topics(topicOf("a", 0, 0, 2), topicOf("b", 0, 5, 1))
		for range 4 {
			c.Refresh()
			time.Sleep(time.Second)
			require.EqualValues(t, 1, leader("a"), "a broker may be behind")
		}
		w.topics(topicOf("a", 0, 5, 1), topicOf("b", 0, 5, 1))
		c.Refresh()
		time.Sleep(time.Second) // an up-to-date answer ends the suspicion
		w.topics(topicOf("a", 0, 0, 2), topicOf("b", 0, 5, 3))
		for range 4 {
			c.Refresh()
			time.Sleep(time.Second)
			require.EqualValues(t, 1, leader("a"))
		}
		for range 4 {
			c.Refresh()
			time.Sleep(time.Second)
		}
		require.EqualValues(t, 2, leader("a"), "but not all of them for so long")
		require.EqualValues(t, 0, c.Snapshot().Topic("a").Partition(0).LeaderEpoch)
		require.EqualValues(t, 3, leader("b"))
	})
}

func TestATopicThatABrokerCallsUnknownIsKeptAWhile(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("a", 1, 0, 1), topicOf("b", 2, 0, 1))
	run(t, w, nil, func(t *testing.T, c *Client) {
		known(t, c, "b")
		before := known(t, c, "a")
		w.topics(topicOf("b", 2, 0, 1))
		c.Refresh()
		time.Sleep(3 * time.Second)
		require.Same(t, before, c.Snapshot().Topic("a"), "a broker that has just started may not know it yet")
		w.topics(topicOf("a", 1, 0, 1), topicOf("b", 2, 0, 1))
		time.Sleep(time.Minute)
		require.Same(t, before, c.Snapshot().Topic("a"))

		w.topics(topicOf("b", 2, 0, 1))
		w.requests()
		c.Refresh()
		time.Sleep(10 * time.Second)
		require.Nil(t, c.Snapshot().Topic("a"), "then the brokers are believed")
		for _, r := range w.requests() {
			require.False(t, r.create, "nobody wants it")
		}
		_, err := c.Topic(within(t, time.Second), "a")
		require.ErrorIs(t, err, &protocol.Error{Code: protocol.UnknownTopicOrPartition})
		time.Sleep(time.Minute)
		w.requests()
		time.Sleep(time.Minute)
		require.Empty(t, w.requests(), "nothing more is asked for it")
	})
}

func TestARecreatedTopicReplacesTheFormerOne(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("a", 1, 7, 1, 2, 3))
	run(t, w, nil, func(t *testing.T, c *Client) {
		known(t, c, "a")
		w.topics()
		c.Refresh()
		time.Sleep(10 * time.Second)
		require.Nil(t, c.Snapshot().Topic("a"))
		w.topics(topicOf("a", 9, 0, 3))
		c.Refresh()
		time.Sleep(2 * time.Second)
		topic := c.Snapshot().Topic("a")
		require.NotNil(t, topic, "a refresh finds it, though nobody asked for it by name")
		require.Equal(t, protocol.UUID{9}, topic.ID)
		require.Equal(t, 1, topic.Len())
		require.EqualValues(t, 3, topic.Partition(0).Leader)
	})
}

func TestATopicThatMayNotBeWrittenAnyMoreLeavesTheSnapshot(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("a", 1, 0, 1))
	run(t, w, nil, func(t *testing.T, c *Client) {
		known(t, c, "a")
		w.topics(refusedTopic("a", protocol.TopicAuthorizationFailed))
		c.Refresh()
		synctest.Wait()
		_, err := c.TryTopic("a")
		require.ErrorIs(t, err, &protocol.Error{Code: protocol.TopicAuthorizationFailed})
		w.topics(topicOf("a", 1, 0, 1))
		time.Sleep(time.Second)
		c.Refresh()
		synctest.Wait()
		require.NotNil(t, c.Snapshot().Topic("a"))
	})
}

func TestAThrottleHoldsWithoutAMaximumAge(t *testing.T) {
	w := newWorld()
	w.set(func() {
		w.answer = func(_ string, req *protocol.MetadataRequest) *protocol.MetadataResponse {
			resp := reply3(req, []protocol.MetadataTopic{topicOf("a", 1, 0, 1)})
			resp.ThrottleMs = 5000
			return resp
		}
	})
	run(t, w, func(cfg *Config) { cfg.MaxAge = 0 }, func(t *testing.T, c *Client) {
		known(t, c, "a")
		time.Sleep(time.Second)
		w.requests()
		time.Sleep(time.Minute)
		require.InDelta(t, 12, len(w.requests()), 1)
	})
}

func TestAnAbsurdThrottleIsBounded(t *testing.T) {
	w := newWorld()
	w.set(func() {
		w.answer = func(_ string, req *protocol.MetadataRequest) *protocol.MetadataResponse {
			resp := reply3(req, []protocol.MetadataTopic{topicOf("a", 1, 0, 1)})
			resp.ThrottleMs = 1<<31 - 1
			return resp
		}
	})
	run(t, w, func(cfg *Config) { cfg.MaxAge = time.Minute }, func(t *testing.T, c *Client) {
		topic := known(t, c, "a")
		time.Sleep(time.Second)
		for range 5 {
			w.requests()
			time.Sleep(time.Minute)
			topic.Touch(time.Now())
			require.Len(t, w.requests(), 1)
		}
	})
}

// Before version 6 of Metadata the broker waits before it responds.
func TestAThrottleDelaysTheNextRequestAfterAnEarlyResponse(t *testing.T) {
	for version, want := range map[int16]time.Duration{5: 0, 6: 10 * time.Second} {
		w := newWorld()
		w.set(func() {
			w.metadata.Max = version
			w.answer = func(_ string, req *protocol.MetadataRequest) *protocol.MetadataResponse {
				resp := reply3(req, []protocol.MetadataTopic{topicOf("a", 1, 0, 1)})
				resp.ThrottleMs = 10_000
				return resp
			}
		})
		run(t, w, nil, func(t *testing.T, c *Client) {
			known(t, c, "a")
			c.Refresh() // the first change adds the topic
			synctest.Wait()
			w.requests()
			began := time.Now()
			c.Refresh()
			time.Sleep(time.Minute)
			asked := w.requests()
			require.Len(t, asked, 1)
			require.InDelta(t, want, asked[0].at.Sub(began), float64(500*time.Millisecond))
		})
	}
}

func TestTheSetupTimeoutOfAServerGrowsWithItsFailures(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("a", 1, 0, 1))
	// The server takes 15 s for the first exchange, and the setup timeout begins with 10 s.
	w.become(func(w *world, address string, nc net.Conn) {
		time.Sleep(15 * time.Second)
		kafka(w, address, nc)
	}, "a:1")
	run(t, w, func(cfg *Config) { cfg.Bootstrap, cfg.SetupTimeoutMax = []string{"a:1"}, 30*time.Second },
		func(t *testing.T, c *Client) {
			took(t, 26*time.Second, func() { known(t, c, "a") })
			time.Sleep(15 * time.Second) // for the server's goroutines
		})
	run(t, w, func(cfg *Config) { cfg.Bootstrap = []string{"a:1"} }, func(t *testing.T, c *Client) {
		_, err := c.Topic(within(t, 5*time.Minute), "a")
		require.ErrorIs(t, err, transport.ErrSetupTimeout)
		c.Close()
		time.Sleep(15 * time.Second)
	})
}

func TestWithoutServersNothingIsKnownAndTheErrorSaysSo(t *testing.T) {
	run(t, newWorld(), func(cfg *Config) { cfg.Bootstrap = nil }, func(t *testing.T, c *Client) {
		_, err := c.Topic(within(t, time.Second), "a")
		require.ErrorIs(t, err, ErrNoServers)
		_, err = c.Do(t.Context(), &protocol.InitProducerIDRequest{}, new(protocol.InitProducerIDResponse))
		require.ErrorIs(t, err, ErrNoServers)
	})
}

func TestDoEndsWithItsContext(t *testing.T) {
	w := newWorld()
	w.become(hang, "a:1", "b:2", "c:3")
	run(t, w, nil, func(t *testing.T, c *Client) {
		took(t, time.Second, func() {
			_, err := c.Do(within(t, time.Second), &protocol.InitProducerIDRequest{},
				new(protocol.InitProducerIDResponse))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorIs(t, err, ErrNoAnswer)
		})
	})
}

func TestFailoverOverRealSockets(t *testing.T) {
	w := newWorld()
	listen := func(b behaviour) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				nc, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer func() { _ = nc.Close() }()
					b(w, l.Addr().String(), nc)
				}()
			}
		}()
		return l.Addr().String()
	}
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, gone.Close())
	bootstrap := []string{gone.Addr().String(), listen(http), listen(hang), listen(deaf), listen(kafka)}
	w.topics(topicOf("a", 1, 0, 1))
	cfg := config(w, bootstrap...)
	cfg.Transport = &transport.Options{SetupTimeout: 500 * time.Millisecond}
	c := New(cfg)
	defer c.Close()
	topic, err := c.Topic(within(t, time.Minute), "a")
	require.NoError(t, err)
	require.Equal(t, 1, topic.Len())
	_, err = c.Do(t.Context(), &protocol.InitProducerIDRequest{}, new(protocol.InitProducerIDResponse))
	require.NoError(t, err)
}
