package cluster

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
)

func TestATopicIsAskedForWhenItIsNeededAndKnownAtOnceAfterwards(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("orders", 1, 5, 1, 2, 3))
	run(t, w, nil, func(t *testing.T, c *Client) {
		synctest.Wait()
		require.Empty(t, w.dialled, "no I/O before the first need")
		topic := known(t, c, "orders")
		require.Equal(t, "orders", topic.Name)
		require.Equal(t, 3, topic.Len())
		s := c.Snapshot()
		require.Equal(t, "the cluster", s.ClusterID)
		require.Equal(t, Broker{ID: 2, Host: "b", Port: 2}, s.Brokers[2])
		leader, ok := s.Leader("orders", 1)
		require.True(t, ok)
		require.Equal(t, "b:2", leader.Address())
		took(t, 0, func() { require.Same(t, topic, known(t, c, "orders")) })
		now, err := c.TryTopic("orders")
		require.NoError(t, err)
		require.Same(t, topic, now)
		require.Len(t, w.requests(), 1)
	})
}

func TestOnlyTopicsThatAreWantedAreAskedFor(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("a", 1, 0, 1), topicOf("b", 2, 0, 2), topicOf("c", 3, 0, 3))
	run(t, w, nil, func(t *testing.T, c *Client) {
		known(t, c, "a")
		known(t, c, "b")
		rs := w.requests()
		require.Equal(t, []string{"a"}, rs[0].topics)
		require.Equal(t, []string{"b"}, rs[1].topics, "only the new one")
		time.Sleep(time.Second)
		c.Refresh()
		synctest.Wait()
		require.Equal(t, []string{"a", "b"}, w.requests()[0].topics)
		require.Equal(t, 2, c.Snapshot().Len())
	})
}

func TestManyNewTopicsShareRequests(t *testing.T) {
	w := newWorld()
	var topics []protocol.MetadataTopic
	for i := range 100 {
		topics = append(topics, topicOf(fmt.Sprint("t", i), byte(i+1), 0, 1))
	}
	w.topics(topics...)
	run(t, w, nil, func(t *testing.T, c *Client) {
		var wg sync.WaitGroup
		for i := range 500 {
			wg.Go(func() {
				_, err := c.Topic(t.Context(), fmt.Sprint("t", i%100))
				require.NoError(t, err)
			})
		}
		wg.Wait()
		seen := 0
		for _, r := range w.requests() {
			seen += len(r.topics)
		}
		require.Equal(t, 100, seen, "each topic is asked for once")
	})
}

func TestThereIsOneRequestAtATime(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("a", 1, 0, 1), topicOf("b", 2, 0, 2), topicOf("c", 3, 0, 3))
	w.become(func(w *world, address string, nc net.Conn) {
		serve(w, nc, func(r request) protocol.Response {
			req := new(protocol.MetadataRequest)
			_ = req.Decode(r.body, r.Version)
			w.set(func() { w.asked = append(w.asked, asked{at: time.Now()}) })
			time.Sleep(500 * time.Millisecond)
			return w.answer(address, req)
		})
	}, "a:1", "b:2", "c:3")
	run(t, w, nil, func(t *testing.T, c *Client) {
		var wg sync.WaitGroup
		for i, name := range []string{"a", "b", "c"} {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				_, err := c.Topic(t.Context(), name)
				require.NoError(t, err)
			})
		}
		wg.Wait()
		rs := w.requests()
		require.Len(t, rs, 2, "what came up meanwhile goes together")
		require.GreaterOrEqual(t, rs[1].at.Sub(rs[0].at), 500*time.Millisecond)
	})
}

func TestATopicThatDoesNotExistIsAskedForWithBackoffUntilTheContextEnds(t *testing.T) {
	w := newWorld()
	run(t, w, nil, func(t *testing.T, c *Client) {
		began := time.Now()
		_, err := c.Topic(within(t, 20*time.Second), "nowhere")
		require.Equal(t, 20*time.Second, time.Since(began))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, &protocol.Error{Code: protocol.UnknownTopicOrPartition})
		require.ErrorContains(t, err, `"nowhere"`)
		rs := w.requests()
		// The backoff is 100, 200, 400, 800 ms and then a second, with 20 % of jitter.
		require.InDelta(t, 22, len(rs), 5)
		for i, r := range rs {
			require.True(t, r.create)
			require.Equal(t, []string{"nowhere"}, r.topics)
			if i > 4 {
				gap := r.at.Sub(rs[i-1].at)
				require.True(t, gap >= 800*time.Millisecond && gap <= 1200*time.Millisecond, gap)
			}
		}
	})
}

func TestATopicThatIsCreatedMeanwhileEndsTheWait(t *testing.T) {
	w := newWorld()
	w.topics(refusedTopic("new", protocol.LeaderNotAvailable))
	run(t, w, nil, func(t *testing.T, c *Client) {
		time.AfterFunc(3*time.Second, func() { w.topics(topicOf("new", 1, 0, 1)) })
		took(t, 4300*time.Millisecond, func() { known(t, c, "new") })
	})
}

func TestANewTopicDoesNotWaitForTheBackoffOfOthers(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("there", 1, 0, 1))
	run(t, w, nil, func(t *testing.T, c *Client) {
		_, err := c.TryTopic("nowhere")
		require.ErrorIs(t, err, ErrPending)
		time.Sleep(10 * time.Second)
		took(t, 0, func() { known(t, c, "there") })
	})
}

func TestATopicNobodyWaitsForIsAskedForOnlyAWhile(t *testing.T) {
	w := newWorld()
	run(t, w, nil, func(t *testing.T, c *Client) {
		_, err := c.TryTopic("nowhere")
		require.ErrorIs(t, err, ErrPending)
		time.Sleep(40 * time.Second)
		require.NotEmpty(t, w.requests())
		time.Sleep(2 * time.Minute)
		require.Empty(t, w.requests())
		w.topics(topicOf("nowhere", 1, 0, 1))
		took(t, 0, func() { known(t, c, "nowhere") })
	})
}

func TestTopicNowStartsTheFetchAndALaterOneWorks(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("orders", 1, 0, 1))
	run(t, w, nil, func(t *testing.T, c *Client) {
		took(t, 0, func() {
			_, err := c.TryTopic("orders")
			require.ErrorIs(t, err, ErrPending)
		})
		synctest.Wait()
		_, err := c.TryTopic("orders")
		require.NoError(t, err)
	})
}

func TestAnErrorThatWaitingDoesNotCureFailsAtOnce(t *testing.T) {
	for _, code := range []protocol.ErrorCode{protocol.TopicAuthorizationFailed, protocol.InvalidTopicException,
		protocol.PolicyViolation} {
		t.Run(code.Name(), func(t *testing.T) {
			w := newWorld()
			w.topics(refusedTopic("secret", code), topicOf("open", 1, 0, 1))
			run(t, w, nil, func(t *testing.T, c *Client) {
				took(t, 0, func() {
					_, err := c.Topic(within(t, time.Minute), "secret")
					require.ErrorIs(t, err, &protocol.Error{Code: code})
					_, err = c.TryTopic("secret")
					require.ErrorIs(t, err, &protocol.Error{Code: code})
					_, err = c.Topic(within(t, time.Minute), "secret")
					require.ErrorIs(t, err, &protocol.Error{Code: code})
				})
				require.Len(t, w.requests(), 1, "within the backoff nobody is asked again")
				known(t, c, "open")
				time.Sleep(time.Second)
				w.topics(topicOf("secret", 1, 0, 1))
				took(t, 0, func() { known(t, c, "secret") })
			})
		})
	}
}

func TestANameThatNoRequestCanCarryIsRefusedHere(t *testing.T) {
	w := newWorld()
	run(t, w, nil, func(t *testing.T, c *Client) {
		for _, name := range []string{"", string(make([]byte, 250))} {
			_, err := c.Topic(t.Context(), name)
			require.ErrorIs(t, err, &protocol.Error{Code: protocol.InvalidTopicException})
			_, err = c.TryTopic(name)
			require.ErrorIs(t, err, &protocol.Error{Code: protocol.InvalidTopicException})
		}
		synctest.Wait()
		require.Empty(t, w.dialled)
	})
}

func TestAnIdleClientWakesOnlyForMaxAge(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("a", 1, 0, 1))
	run(t, w, func(cfg *Config) { cfg.MaxAge, cfg.MaxIdle = time.Minute, time.Hour }, func(t *testing.T, c *Client) {
		began := time.Now()
		known(t, c, "a")
		time.Sleep(10*time.Minute + time.Second)
		rs := w.requests()
		require.Len(t, rs, 11)
		for i, r := range rs {
			require.Equal(t, time.Duration(i)*time.Minute, r.at.Sub(began))
			require.Equal(t, i == 0, r.create, "a refresh creates nothing")
		}
	})
}

func TestAClientThatIsNotUsedAsksNothing(t *testing.T) {
	w := newWorld()
	run(t, w, nil, func(t *testing.T, c *Client) {
		c.Refresh()
		time.Sleep(24 * time.Hour)
		require.Empty(t, w.dialled)
	})
}

func TestATopicThatIsNotUsedLeavesTheSnapshot(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("busy", 1, 0, 1), topicOf("idle", 2, 0, 1))
	run(t, w, func(cfg *Config) { cfg.MaxAge, cfg.MaxIdle = time.Minute, 5*time.Minute },
		func(t *testing.T, c *Client) {
			known(t, c, "idle")
			busy := known(t, c, "busy")
			for range 10 * 60 {
				time.Sleep(time.Second)
				busy.Touch(time.Now())
			}
			require.NotNil(t, c.Snapshot().Topic("busy"))
			require.Nil(t, c.Snapshot().Topic("idle"))
			rs := w.requests()
			require.Equal(t, []string{"busy"}, rs[len(rs)-1].topics)
			took(t, 0, func() { known(t, c, "idle") })

			time.Sleep(24 * time.Hour)
			require.Zero(t, c.Snapshot().Len())
			w.requests()
			time.Sleep(24 * time.Hour)
			require.Empty(t, w.requests())
		})
}

func TestRefreshIsCoalescedAndBackedOffWhileItTellsNothingNew(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("a", 1, 0, 1))
	run(t, w, nil, func(t *testing.T, c *Client) {
		known(t, c, "a")
		w.requests()
		began := time.Now()
		for time.Since(began) < 20*time.Second {
			c.Refresh()
			time.Sleep(time.Millisecond)
		}
		require.InDelta(t, 22, len(w.requests()), 5)
		// After a pause the backoff is over, and an answer with news resets it.
		time.Sleep(3 * time.Second)
		w.requests()
		w.topics(topicOf("a", 1, 1, 2))
		c.Refresh()
		synctest.Wait()
		require.Len(t, w.requests(), 1)
		require.EqualValues(t, 2, c.Snapshot().Topic("a").Partition(0).Leader)
		time.Sleep(121 * time.Millisecond)
		c.Refresh()
		synctest.Wait()
		require.Len(t, w.requests(), 1)
	})
}

func TestEverySnapshotIsDeliveredAndNeverUnderALock(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("a", 1, 0, 1))
	run(t, w, nil, func(t *testing.T, c *Client) {
		var mu sync.Mutex
		var generations []uint64
		c.OnChange(func(change *Change) {
			mu.Lock()
			generations = append(generations, change.Snapshot.Generation)
			mu.Unlock()
			// All of these calls take the lock.
			c.Refresh()
			_, _ = c.TryTopic("a")
			c.ApplyLeaderHints("", nil, nil)
			c.OnChange(func(*Change) {})
		})
		known(t, c, "a")
		time.Sleep(5 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		require.Greater(t, len(generations), 4, "also when nothing is new")
		require.True(t, slices.IsSorted(generations))
		require.Equal(t, c.Snapshot().Generation, generations[len(generations)-1])
	})
}

func TestCloseWakesAllWaits(t *testing.T) {
	w := newWorld()
	w.become(hang, "a:1", "b:2", "c:3")
	run(t, w, nil, func(t *testing.T, c *Client) {
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				_, err := c.Topic(t.Context(), fmt.Sprint(i))
				require.ErrorIs(t, err, ErrClosed)
			})
		}
		wg.Go(func() {
			_, err := c.Do(t.Context(), new(protocol.InitProducerIDRequest), new(protocol.InitProducerIDResponse))
			require.ErrorIs(t, err, ErrClosed)
		})
		time.Sleep(time.Second)
		c.Close()
		c.Close()
		wg.Wait()
		_, err := c.TryTopic("x")
		require.ErrorIs(t, err, ErrClosed)
		_, err = c.Topic(t.Context(), "x")
		require.ErrorIs(t, err, ErrClosed)
		_, err = c.Do(t.Context(), new(protocol.InitProducerIDRequest), new(protocol.InitProducerIDResponse))
		require.ErrorIs(t, err, ErrClosed)
		c.Refresh()
		synctest.Wait()
		require.Empty(t, w.open, "no connection is left")
	})
}

func TestCloseEndsTheConnection(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("a", 1, 0, 1))
	run(t, w, nil, func(t *testing.T, c *Client) {
		known(t, c, "a")
		require.Len(t, w.open, 1)
		c.Close()
		synctest.Wait()
		require.Empty(t, w.open)
		require.NotNil(t, c.Snapshot().Topic("a"), "what was known can still be read")
	})
}

func TestAnOldBrokerIsAskedInItsVersion(t *testing.T) {
	for _, version := range []int16{0, 1, 3, 4, 8, 9, 12} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			w := newWorld()
			w.metadata = protocol.VersionRange{Min: 0, Max: version}
			w.topics(topicOf("a", 1, 4, 1, 2), topicOf("b", 2, 4, 1))
			run(t, w, func(cfg *Config) { cfg.AllowAutoTopicCreation = false }, func(t *testing.T, c *Client) {
				topic := known(t, c, "a")
				require.Equal(t, 2, topic.Len())
				require.EqualValues(t, 2, topic.Partition(1).Leader)
				if version < 9 {
					require.EqualValues(t, -1, topic.Partition(1).LeaderEpoch)
				}
				time.Sleep(time.Second)
				c.Refresh()
				synctest.Wait()
				for _, r := range w.requests() {
					require.Equal(t, version, r.version)
					require.Equal(t, version < 4, r.create, "older versions cannot forbid it")
					require.Equal(t, []string{"a"}, r.topics)
				}
			})
		})
	}
}

func TestDoGoesOverTheClientsConnection(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("a", 1, 0, 1))
	run(t, w, nil, func(t *testing.T, c *Client) {
		known(t, c, "a")
		var resp protocol.InitProducerIDResponse
		_, err := c.Do(t.Context(), &protocol.InitProducerIDRequest{}, &resp)
		require.NoError(t, err)
		require.EqualValues(t, 4711, resp.ProducerID)
		require.Len(t, w.dialled, 1)
	})
}

func TestDoMakesAConnectionIfThereIsNone(t *testing.T) {
	for _, version := range []int16{0, 13} {
		t.Run(fmt.Sprint("metadata version ", version), func(t *testing.T) {
			w := newWorld()
			w.metadata = protocol.VersionRange{Min: 0, Max: version}
			w.become(nil, "a:1", "b:2")
			run(t, w, nil, func(t *testing.T, c *Client) {
				var wg sync.WaitGroup
				for range 5 {
					wg.Go(func() {
						var resp protocol.InitProducerIDResponse
						_, err := c.Do(t.Context(), &protocol.InitProducerIDRequest{}, &resp)
						require.NoError(t, err)
						require.EqualValues(t, 4711, resp.ProducerID)
					})
				}
				wg.Wait()
				for _, r := range w.requests() {
					require.Empty(t, r.topics)
				}
				require.Len(t, w.open, 1)
			})
		})
	}
}

func TestDoTriesOnceAndNamesEachServersReason(t *testing.T) {
	w := newWorld()
	w.become(nil, "a:1", "b:2", "c:3")
	run(t, w, nil, func(t *testing.T, c *Client) {
		took(t, 0, func() {
			_, err := c.Do(t.Context(), &protocol.InitProducerIDRequest{}, new(protocol.InitProducerIDResponse))
			var unreachable *UnreachableError
			require.ErrorAs(t, err, &unreachable)
			require.Len(t, unreachable.Servers, 3)
			require.ErrorIs(t, err, errRefused)
		})
		time.Sleep(time.Hour)
		require.Len(t, w.dialled, 3, "nobody needs a connection any more")
	})
}

func TestDoAfterATimeoutGoesToAnotherServer(t *testing.T) {
	w := newWorld()
	w.become(deafForProducers, "a:1", "b:2")
	run(t, w, nil, func(t *testing.T, c *Client) {
		took(t, 62*time.Second, func() {
			for range 3 {
				_, err := c.Do(t.Context(), &protocol.InitProducerIDRequest{}, new(protocol.InitProducerIDResponse))
				if err == nil {
					return
				}
			}
			t.Fatal("the good server was never asked")
		})
	})
}
