package cluster

import (
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/logtext"
	"github.com/gosamsa/samsa/protocol"
)

// ofCluster gives a response the id of a cluster.
func ofCluster(id string, resp *protocol.MetadataResponse) *protocol.MetadataResponse {
	resp.ClusterID = &id
	return resp
}

// replace moves all servers of the world to another cluster with these topics, and ends the connections.
func (w *world) replace(id string, topics ...protocol.MetadataTopic) {
	w.set(func() {
		w.answer = func(_ string, req *protocol.MetadataRequest) *protocol.MetadataResponse {
			return ofCluster(id, reply3(req, topics))
		}
	})
	for _, address := range []string{"a:1", "b:2", "c:3"} {
		w.cut(address)
	}
	synctest.Wait()
}

func TestASnapshotHasNothingOfTheFormerCluster(t *testing.T) {
	former := merge(&Snapshot{}, answerOf(topicOf("a", 1, 50, 1, 2, 3), topicOf("b", 2, 50, 1)), 13, []string{"a", "b"},
		nil).Snapshot
	other := func(topics ...protocol.MetadataTopic) *protocol.MetadataResponse {
		resp := ofCluster("another cluster", answerOf(topics...))
		resp.Brokers = []protocol.MetadataBroker{{NodeID: 2, Host: "x", Port: 9}}
		return resp
	}
	t.Run("topics, topic ids, epochs and brokers", func(t *testing.T) {
		for _, id := range []byte{0, 1, 9} { // also with equal topic ids, or without topic ids
			m := merge(former, other(topicOf("a", id, 0, 2, 1)), 13, []string{"a"}, nil)
			require.True(t, m.replaced && m.changed)
			require.Equal(t, "another cluster", m.Snapshot.ClusterID)
			require.Equal(t, map[int32]Broker{2: {ID: 2, Host: "x", Port: 9}}, m.Snapshot.Brokers)
			require.Equal(t, []int32{2, protocol.NoLeader}, leaders(m.Snapshot))
			require.Equal(t, protocol.UUID{id}, m.Snapshot.Topic("a").ID)
			require.Zero(t, m.Snapshot.Topic("a").Partition(0).LeaderEpoch)
			require.Nil(t, m.Snapshot.Topic("b"), "which the request did not name")
			require.Empty(t, m.stale)
			require.Equal(t, former.Generation+1, m.Snapshot.Generation)
		}
		require.Equal(t, []int32{1, 2, 3}, leaders(former))
	})
	t.Run("an error keeps no topic", func(t *testing.T) {
		m := merge(former, other(refusedTopic("a", protocol.UnknownServerError)), 13, []string{"a"}, nil)
		require.Zero(t, m.Snapshot.Len())
		require.Equal(t, map[string]protocol.ErrorCode{"a": protocol.UnknownServerError}, m.codes)
	})
	t.Run("an error keeps no leader", func(t *testing.T) {
		topic := topicOf("a", 1, 0, 2)
		topic.Partitions[0].ErrorCode = protocol.UnknownServerError
		m := merge(former, other(topic), 13, []string{"a"}, nil)
		require.Equal(t, []int32{protocol.NoLeader}, leaders(m.Snapshot))
	})
	t.Run("a response without an id proves nothing", func(t *testing.T) {
		for _, id := range []*string{nil, new(string)} {
			resp := answerOf(topicOf("a", 1, 51, 1, 2, 3))
			resp.ClusterID = id
			m := merge(former, resp, 13, []string{"a"}, nil)
			require.False(t, m.replaced)
			require.Equal(t, "the cluster", m.Snapshot.ClusterID)
			require.NotNil(t, m.Snapshot.Topic("b"))
		}
	})
	t.Run("the first id is no change", func(t *testing.T) {
		resp := answerOf(topicOf("a", 1, 5, 1), topicOf("b", 2, 5, 1))
		resp.ClusterID = nil
		s := merge(&Snapshot{}, resp, 13, []string{"a", "b"}, nil).Snapshot
		m := step(s, topicOf("a", 1, 5, 1))
		require.False(t, m.replaced)
		require.True(t, m.changed)
		require.Equal(t, "the cluster", m.Snapshot.ClusterID)
		require.NotNil(t, m.Snapshot.Topic("b"))
	})
}

func TestTopicsInUseAreRequestedFromTheNewClusterAtOnce(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("a", 1, 50, 1), topicOf("b", 2, 50, 1))
	run(t, w, nil, func(t *testing.T, c *Client) {
		known(t, c, "a")
		b := known(t, c, "b")
		time.Sleep(time.Second)
		w.replace("another cluster", topicOf("a", 11, 0, 2), topicOf("b", 12, 0, 2), topicOf("new", 13, 0, 2))
		w.requests()
		var mixed []string
		c.OnChange(func(change *Change) {
			for name, topic := range change.Snapshot.Topics() {
				if topic.ID[0] < 10 {
					mixed = append(mixed, name)
				}
			}
		})
		took(t, 0, func() {
			known(t, c, "new")
			synctest.Wait()
			require.Equal(t, "another cluster", c.Snapshot().ClusterID)
			require.Equal(t, 3, c.Snapshot().Len())
			require.Equal(t, protocol.UUID{12}, c.Snapshot().Topic("b").ID)
		})
		require.Empty(t, mixed, "no snapshot mixes two clusters")
		rs := w.requests()
		require.Len(t, rs, 2)
		require.Equal(t, []string{"a", "b"}, rs[0].topics, "the known topics come first over a new connection")
		require.Equal(t, []string{"new"}, rs[1].topics)
		require.Same(t, b.used, c.Snapshot().Topic("b").used, "use counts on")
	})
}

func TestTheNewClusterIsNotJudgedByTheFormerOne(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("lost", 1, 5, 1), topicOf("old", 2, 5, 1),
		refusedTopic("denied", protocol.TopicAuthorizationFailed))
	run(t, w, nil, func(t *testing.T, c *Client) {
		known(t, c, "lost")
		known(t, c, "old")
		// In the former cluster "lost" seemed to be deleted, and the answers about "old" seemed to be old. The client
		// must drop these suspicions.
		w.topics(topicOf("old", 2, 4, 1), refusedTopic("denied", protocol.TopicAuthorizationFailed))
		for range 4 {
			c.Refresh()
			time.Sleep(time.Second)
		}
		_, err := c.Topic(t.Context(), "denied")
		require.ErrorIs(t, err, &protocol.Error{Code: protocol.TopicAuthorizationFailed})

		w.replace("another cluster", topicOf("lost", 11, 9, 1), topicOf("old", 12, 9, 1), topicOf("denied", 13, 0, 1),
			topicOf("new", 14, 0, 1))
		known(t, c, "new")
		took(t, 0, func() { known(t, c, "denied") })
		synctest.Wait()
		w.topics(topicOf("new", 14, 0, 1))
		w.set(func() {
			w.answer = func(_ string, req *protocol.MetadataRequest) *protocol.MetadataResponse {
				return ofCluster("another cluster", reply3(req,
					[]protocol.MetadataTopic{topicOf("old", 12, 8, 2), topicOf("new", 14, 0, 1)}))
			}
		})
		for range 4 {
			c.Refresh()
			time.Sleep(time.Second)
		}
		require.NotNil(t, c.Snapshot().Topic("lost"), "four seconds are no five")
		require.EqualValues(t, 1, c.Snapshot().Topic("old").Partition(0).Leader)
	})
}

func TestTheClientWaitsForATopicMissingInTheNewCluster(t *testing.T) {
	for _, code := range []protocol.ErrorCode{protocol.UnknownTopicOrPartition, protocol.UnknownServerError} {
		t.Run(code.Name(), func(t *testing.T) {
			w := newWorld()
			w.topics(topicOf("a", 1, 50, 1))
			run(t, w, nil, func(t *testing.T, c *Client) {
				known(t, c, "a")
				w.replace("another cluster", refusedTopic("a", code))
				w.requests()
				c.Refresh()
				synctest.Wait()
				require.Nil(t, c.Snapshot().Topic("a"))
				time.AfterFunc(3*time.Second, func() { w.replace("another cluster", topicOf("a", 11, 0, 2)) })
				time.Sleep(4500 * time.Millisecond)
				require.Equal(t, protocol.UUID{11}, c.Snapshot().Topic("a").ID, "nobody had to ask again")
				rs := w.requests()
				spaced(t, rs)
				require.False(t, rs[0].create, "a refresh creates nothing")
				require.True(t, rs[1].create, "the topic is in use")
			})
		})
	}
}

func TestAddressesOfTheFormerClusterAreForgotten(t *testing.T) {
	w := newWorld()
	w.become(kafka, "boot:9")
	w.topics(topicOf("a", 1, 0, 1))
	run(t, w, func(cfg *Config) { cfg.Bootstrap = []string{"boot:9"} }, func(t *testing.T, c *Client) {
		known(t, c, "a")
		w.become(nil, "a:1", "b:2", "c:3")
		w.become(kafka, "d:4")
		w.set(func() {
			w.answer = func(_ string, req *protocol.MetadataRequest) *protocol.MetadataResponse {
				resp := ofCluster("another cluster", reply3(req, []protocol.MetadataTopic{topicOf("a", 9, 0, 4)}))
				resp.Brokers = []protocol.MetadataBroker{{NodeID: 4, Host: "d", Port: 4}}
				return resp
			}
		})
		w.cut("boot:9")
		synctest.Wait()
		c.Refresh()
		time.Sleep(time.Second)
		require.Equal(t, "another cluster", c.Snapshot().ClusterID)
		c.mu.Lock()
		defer c.mu.Unlock()
		for address := range c.servers {
			require.Contains(t, []string{"boot:9", "d:4"}, address)
		}
	})
}

func TestHintsOfAnotherClusterAreIgnored(t *testing.T) {
	s := step(&Snapshot{}, topicOf("a", 1, 5, 1)).Snapshot
	hints := []LeaderHint{hintOf("a", 0, 2, 6)}
	require.Nil(t, hinted(s, "another cluster", hints, nil))
	require.Nil(t, hinted(s, "another cluster", hints, []Broker{{ID: 2, Host: "x", Port: 9}}))
	require.Equal(t, []int32{2}, leaders(hinted(s, "the cluster", hints, nil)))
	require.Equal(t, []int32{2}, leaders(hinted(s, "", hints, nil)), "an id that is not known proves nothing")
	unnamed := *s
	unnamed.ClusterID = ""
	require.Equal(t, []int32{2}, leaders(hinted(&unnamed, "the cluster", hints, nil)))

	w := newWorld()
	w.topics(topicOf("a", 1, 5, 1))
	run(t, w, nil, func(t *testing.T, c *Client) {
		known(t, c, "a")
		before := c.Snapshot()
		c.ApplyLeaderHints("another cluster", hints, nil)
		require.Same(t, before, c.Snapshot())
		c.ApplyLeaderHints("the cluster", hints, nil)
		require.Equal(t, []int32{2}, leaders(c.Snapshot()))
	})
}

// lines is a log.
type lines struct{ logtext.Text }

// warnings returns the number of warnings about another cluster.
func (l *lines) warnings() int {
	return strings.Count(l.String(), "the servers belong to another cluster now")
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// alternating is a world of two clusters, as behind a DNS name with alternating addresses: each new connection reaches
// the other cluster than the connection before. Each connection ends a millisecond after its first response if brief.
func alternating(brief bool) *world {
	w := newWorld()
	connections := 0
	w.become(func(w *world, address string, nc net.Conn) {
		id, topicID := "one cluster", byte(1)
		w.set(func() {
			if connections++; connections%2 == 0 {
				id, topicID = "another cluster", 2
			}
		})
		serve(w, nc, func(r request) protocol.Response {
			if brief {
				time.AfterFunc(time.Millisecond, func() { _ = nc.Close() })
			}
			if r.Key == protocol.InitProducerID {
				return &protocol.InitProducerIDResponse{ProducerID: int64(topicID)}
			}
			req := new(protocol.MetadataRequest)
			if req.Decode(r.body, r.Version) != nil {
				return nil
			}
			w.set(func() { w.asked = append(w.asked, asked{address: address, at: time.Now()}) })
			return ofCluster(id, reply3(req, []protocol.MetadataTopic{topicOf("a", topicID, 0, 1),
				topicOf("b", topicID, 0, 2)}))
		})
	}, "a:1", "b:2", "c:3")
	return w
}

func TestTheClusterStaysWhileTheConnectionLives(t *testing.T) {
	run(t, alternating(false), nil, func(t *testing.T, c *Client) {
		first := known(t, c, "a")
		for i := range 10 {
			if i < noProgressBefore-1 { // after more requests without news the client tries another broker
				c.Refresh()
			}
			time.Sleep(200 * time.Millisecond)
			id, err := c.Do(t.Context(), &protocol.InitProducerIDRequest{}, new(protocol.InitProducerIDResponse))
			require.NoError(t, err)
			require.Equal(t, c.Snapshot().ClusterID, id)
			known(t, c, "b")
		}
		require.Same(t, first, c.Snapshot().Topic("a"))
	})
}

// TestAClusterThatAlternatesIsFollowedWithABackoff: every connection ends at once, and after every change the callers
// request their topics again.
func TestAClusterThatAlternatesIsFollowedWithABackoff(t *testing.T) {
	for name, ask := range map[string]func(*Client){"Refresh": (*Client).Refresh,
		"Rebootstrap": (*Client).Rebootstrap} {
		t.Run(name, func(t *testing.T) {
			w := alternating(true)
			log := new(lines)
			run(t, w, func(cfg *Config) { cfg.Logger = log.logger() }, func(t *testing.T, c *Client) {
				var ids []string
				var mu sync.Mutex
				c.OnChange(func(change *Change) {
					s := change.Snapshot
					mu.Lock()
					ids = append(ids, s.ClusterID)
					mu.Unlock()
					for name, topic := range s.Topics() {
						if topic.ID != (protocol.UUID{1}) && s.ClusterID == "one cluster" ||
							topic.ID != (protocol.UUID{2}) && s.ClusterID == "another cluster" {
							t.Errorf("%s of %v in a snapshot of %s", name, topic.ID, s.ClusterID)
						}
					}
					_, _ = c.TryTopic("a")
					_, _ = c.TryTopic("b")
					ask(c)
				})
				known(t, c, "a")
				time.Sleep(20 * time.Second)
				mu.Lock()
				defer mu.Unlock()
				changes := 0
				for i := 1; i < len(ids); i++ {
					if ids[i] != ids[i-1] {
						changes++
					}
				}
				require.Greater(t, changes, 5, "the last response counts")
				require.Less(t, changes, 60)
				require.LessOrEqual(t, len(w.requests()), 60)
				require.Positive(t, log.warnings())
				require.LessOrEqual(t, log.warnings(), 21, "a second each")
			})
		})
	}
}

func TestAClusterIDThatChangesOverOneConnectionIsFollowedWithABackoff(t *testing.T) {
	w := newWorld()
	n := 0
	w.set(func() {
		w.answer = func(_ string, req *protocol.MetadataRequest) *protocol.MetadataResponse {
			n++
			return ofCluster(string(rune('a'+n%26)), reply3(req,
				[]protocol.MetadataTopic{topicOf("a", 1, 0, 1), refusedTopic("b", protocol.UnknownServerError)}))
		}
	})
	run(t, w, nil, func(t *testing.T, c *Client) {
		known(t, c, "a")
		c.OnChange(func(*Change) {
			_, _ = c.TryTopic("a")
			_, _ = c.TryTopic("b")
			c.Refresh()
		})
		w.requests()
		c.Refresh()
		time.Sleep(20 * time.Second)
		require.Less(t, len(w.requests()), 60)
	})
}

func TestDoReturnsTheIDOfTheCluster(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("a", 1, 0, 1))
	run(t, w, nil, func(t *testing.T, c *Client) {
		id, err := c.Do(t.Context(), &protocol.InitProducerIDRequest{}, new(protocol.InitProducerIDResponse))
		require.NoError(t, err)
		require.Equal(t, "the cluster", id, "also before any topic is known")
		known(t, c, "a")
		w.replace("another cluster", topicOf("a", 9, 0, 1))
		id, err = c.Do(t.Context(), &protocol.InitProducerIDRequest{}, new(protocol.InitProducerIDResponse))
		require.NoError(t, err)
		require.Equal(t, "another cluster", id)
		require.Equal(t, "another cluster", c.Snapshot().ClusterID)
	})
}

// TestDoFailsWhenItsConnectionIsReplaced: its response may come from another cluster than the snapshot.
func TestDoFailsWhenItsConnectionIsReplaced(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("a", 1, 0, 1))
	w.become(func(w *world, address string, nc net.Conn) {
		serve(w, nc, func(r request) protocol.Response {
			if r.Key == protocol.InitProducerID {
				time.Sleep(5 * time.Second)
				return &protocol.InitProducerIDResponse{ProducerID: 1}
			}
			req := new(protocol.MetadataRequest)
			_ = req.Decode(r.body, r.Version)
			return w.answer(address, req)
		})
	}, "a:1", "b:2", "c:3")
	run(t, w, nil, func(t *testing.T, c *Client) {
		known(t, c, "a")
		time.AfterFunc(time.Second, c.Rebootstrap)
		took(t, time.Second, func() {
			_, err := c.Do(t.Context(), &protocol.InitProducerIDRequest{}, new(protocol.InitProducerIDResponse))
			require.ErrorIs(t, err, errReplaced)
		})
		time.Sleep(5 * time.Second) // for the server's goroutine
	})
}

// TestDoFailsThoughTheReplacedConnectionStillAnswered: the response was read before the connection was closed.
func TestDoFailsThoughTheReplacedConnectionStillAnswered(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("a", 1, 0, 1))
	var c *Client
	w.become(func(w *world, address string, nc net.Conn) {
		serve(w, nc, func(r request) protocol.Response {
			if r.Key == protocol.InitProducerID {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.conn = nil
				return &protocol.InitProducerIDResponse{ProducerID: 1}
			}
			req := new(protocol.MetadataRequest)
			_ = req.Decode(r.body, r.Version)
			return w.answer(address, req)
		})
	}, "a:1", "b:2", "c:3")
	run(t, w, nil, func(t *testing.T, client *Client) {
		c = client
		known(t, c, "a")
		conn := c.conn
		defer conn.Close(ErrClosed)
		_, err := c.Do(t.Context(), &protocol.InitProducerIDRequest{}, new(protocol.InitProducerIDResponse))
		require.ErrorIs(t, err, errReplaced)
	})
}

func TestDiscardClusterLeavesNothingInAnEntry(t *testing.T) {
	now := time.Now()
	e := &entry{
		name: "a", attempts: 7, next: now, why: errReplaced, failure: errReplaced, failedUntil: now.Add(time.Minute),
		lostSince: now, oldSince: now,
	}
	c := &Client{cfg: Config{RetryBackoff: time.Second}, topics: topics{all: map[string]*entry{"a": e}}, noProgress: 5,
		avoidCurrent: true}
	c.discardCluster(now)
	require.Equal(t, &entry{name: "a", next: now}, e)
	require.Zero(t, c.noProgress)
	require.False(t, c.avoidCurrent)
}

func TestRebootstrapLeavesTheConnectionForTheBootstrapServers(t *testing.T) {
	for _, enabled := range []bool{true, false} {
		t.Run(map[bool]string{true: "rebootstrap", false: "none"}[enabled], func(t *testing.T) {
			w := newWorld()
			w.become(kafka, "boot:9")
			w.topics(topicOf("a", 1, 0, 1), topicOf("b", 2, 0, 1))
			run(t, w, func(cfg *Config) { cfg.Bootstrap, cfg.Rebootstrap = []string{"boot:9"}, enabled },
				func(t *testing.T, c *Client) {
					known(t, c, "a")
					w.cut("boot:9")
					synctest.Wait()
					known(t, c, "b") // over a broker's connection, still alive
					time.Sleep(time.Second)
					rs := w.requests()
					broker := rs[len(rs)-1].address
					require.NotEqual(t, "boot:9", broker)
					dials := len(w.dialled)

					c.Rebootstrap()
					synctest.Wait()
					rs = w.requests()
					require.Len(t, rs, 1)
					require.Equal(t, []string{"a", "b"}, rs[0].topics)
					if !enabled {
						require.Equal(t, broker, rs[0].address)
						require.Len(t, w.dialled, dials)
						return
					}
					require.Equal(t, "boot:9", rs[0].address)
					require.Equal(t, []string{"boot:9"}, w.dialled[dials:])
					require.Len(t, w.open, 1, "the former connection is closed")

					// The client changes the connection once: the next refresh uses the same connection.
					time.Sleep(time.Second)
					c.Refresh()
					synctest.Wait()
					require.Len(t, w.dialled, dials+1)
				})
		})
	}
}

func TestRebootstrapReachesABrokerWithoutABootstrapServer(t *testing.T) {
	w := newWorld()
	w.become(kafka, "boot:9")
	w.topics(topicOf("a", 1, 0, 1))
	run(t, w, func(cfg *Config) { cfg.Bootstrap = []string{"boot:9"} }, func(t *testing.T, c *Client) {
		known(t, c, "a")
		w.become(nil, "boot:9")
		time.Sleep(time.Second)
		w.requests()
		c.Rebootstrap()
		synctest.Wait()
		rs := w.requests()
		require.Len(t, rs, 1)
		require.NotEqual(t, "boot:9", rs[0].address)
	})
}

func TestRebootstrapKeepsTheBackoff(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("a", 1, 0, 1))
	run(t, w, nil, func(t *testing.T, c *Client) {
		known(t, c, "a")
		w.requests()
		before := len(w.dialled)
		for range 20_000 {
			c.Rebootstrap()
			time.Sleep(time.Millisecond)
		}
		rs := w.requests()
		require.InDelta(t, 22, len(rs), 5)
		spaced(t, rs)
		require.LessOrEqual(t, len(w.dialled)-before, len(rs)+1)
	})
}

// The address of a broker belongs to another cluster by now. The client requests metadata from this broker, but accepts
// only metadata of the bootstrap server.
func TestOnlyABootstrapServerChangesTheCluster(t *testing.T) {
	for name, rebootstrap := range map[string]bool{"rebootstrap": true, "none": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.topics(topicOf("a", 1, 5, 1))
			bootstrap := func(cfg *Config) { cfg.Bootstrap, cfg.Rebootstrap = []string{"a:1"}, rebootstrap }
			run(t, w, bootstrap, func(t *testing.T, c *Client) {
				known(t, c, "a")
				w.become(nil, "a:1")
				w.replace("another cluster", topicOf("a", 11, 0, 2))
				w.requests()
				c.Refresh()
				time.Sleep(time.Minute)
				require.NotEmpty(t, w.requests())
				if !rebootstrap {
					require.Equal(t, "another cluster", c.Snapshot().ClusterID)
					return
				}
				require.Equal(t, "the cluster", c.Snapshot().ClusterID)
				_, err := c.Topic(within(t, time.Second), "new")
				require.ErrorContains(t, err, `the server belongs to cluster "another cluster"`)
				w.become(kafka, "a:1")
				time.Sleep(time.Minute)
				require.Equal(t, "another cluster", c.Snapshot().ClusterID)
				require.Equal(t, protocol.UUID{11}, known(t, c, "a").ID)
			})
		})
	}
}
