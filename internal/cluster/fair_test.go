package cluster

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
)

// slowConn delays each response.
type slowConn struct {
	net.Conn
	delay time.Duration
}

func (c slowConn) Write(b []byte) (int, error) {
	time.Sleep(c.delay)
	return c.Conn.Write(b)
}

// roundTrip is how long a broker of busyWorld takes for a response.
const roundTrip = 20 * time.Millisecond

// busyWorld has slow brokers that know every topic. orders is their answer about the topic "orders".
func busyWorld(orders *protocol.MetadataTopic) *world {
	w := newWorld()
	slow := func(w *world, address string, nc net.Conn) { kafka(w, address, slowConn{nc, roundTrip}) }
	w.become(slow, "a:1", "b:2", "c:3")
	w.set(func() {
		w.answer = func(_ string, req *protocol.MetadataRequest) *protocol.MetadataResponse {
			resp := reply3(req, []protocol.MetadataTopic{*orders})
			for i := range resp.Topics {
				if t := &resp.Topics[i]; *t.Name != "orders" {
					*t = topicOf(*t.Name, 9, 0, 1)
				}
			}
			return resp
		}
	})
	return w
}

// runBusy is run for a world in which brokers send a last response after the end of the client.
func runBusy(t *testing.T, w *world, adjust func(*Config), test func(t *testing.T, c *Client)) {
	t.Helper()
	run(t, w, adjust, func(t *testing.T, c *Client) {
		t.Cleanup(func() { time.Sleep(roundTrip) })
		test(t, c)
	})
}

// useNewTopics uses new topics without a pause, until the test ends: while the client requests the topic of one
// goroutine, other goroutines wait for theirs.
func useNewTopics(t *testing.T, c *Client) {
	for g := range 4 {
		go func() {
			time.Sleep(time.Duration(g) * 7 * time.Millisecond)
			for i := 0; t.Context().Err() == nil; i++ {
				if _, err := c.Topic(t.Context(), fmt.Sprint("new-", g, "-", i)); err != nil {
					return
				}
			}
		}()
	}
	time.Sleep(time.Second)
}

// namesOrders reports whether a request is for the known topic.
func (a asked) namesOrders() bool { return slices.Contains(a.topics, "orders") }

// A service can use new topics without a pause. In each test a request for known topics becomes due; the client may
// send only one more request for new topics first.
func TestAStreamOfFirstUsesDoesNotDelayOtherRequests(t *testing.T) {
	for name, wish := range map[string]func(c *Client){
		"Refresh":      func(c *Client) { c.Refresh() },
		"RefreshTopic": func(c *Client) { c.RefreshTopic("orders") },
		"AwaitLeader":  func(c *Client) { c.AwaitLeader("orders", 1) },
		"Rebootstrap":  func(c *Client) { c.Rebootstrap() },
	} {
		t.Run(name, func(t *testing.T) {
			orders := topicOf("orders", 1, 0, 1, protocol.NoLeader)
			w := busyWorld(&orders)
			runBusy(t, w, nil, func(t *testing.T, c *Client) {
				known(t, c, "orders")
				useNewTopics(t, c)
				for range 3 {
					w.requests()
					w.set(func() {
						orders = topicOf("orders", 1,
							c.Snapshot().Topic("orders").Partition(0).LeaderEpoch+1, 2, 3)
					})
					wish(c)
					time.Sleep(3 * roundTrip)
					synctest.Wait()
					rs := w.requests()
					require.True(t, slices.ContainsFunc(rs[:2], asked.namesOrders), "%v", rs)
					require.EqualValues(t, 2, c.Snapshot().Topic("orders").Partition(0).Leader)
					time.Sleep(5 * time.Second) // longer than the backoff between two refreshes
				}
			})
		})
	}
}

func TestAStreamOfFirstUsesDoesNotDelayTheRefreshOfOldMetadata(t *testing.T) {
	const maxAge = 10 * time.Second
	orders := topicOf("orders", 1, 0, 1)
	w := busyWorld(&orders)
	runBusy(t, w, func(cfg *Config) { cfg.MaxAge = maxAge }, func(t *testing.T, c *Client) {
		known(t, c, "orders")
		useNewTopics(t, c)
		for epoch := range int32(5) {
			w.set(func() { orders = topicOf("orders", 1, epoch+1, epoch%3+1) })
			time.Sleep(maxAge + 3*roundTrip)
			require.Equal(t, epoch+1, c.Snapshot().Topic("orders").Partition(0).LeaderEpoch)
		}
	})
}

func TestAStreamOfFirstUsesDoesNotKeepIdleTopics(t *testing.T) {
	const bound = 5 * time.Second
	orders := topicOf("orders", 1, 0, 1)
	w := busyWorld(&orders)
	runBusy(t, w, func(cfg *Config) { cfg.MaxAge, cfg.MaxIdle = bound, bound }, func(t *testing.T, c *Client) {
		known(t, c, "orders")
		useNewTopics(t, c)
		time.Sleep(2*bound + time.Second)
		require.Nil(t, c.Snapshot().Topic("orders"))
		w.requests()
		time.Sleep(time.Minute)
		used := 0
		for _, r := range w.requests() {
			if r.create {
				used += len(r.topics)
			}
		}
		require.Less(t, c.Snapshot().Len(), used/3, "only the topics of the last seconds are known")
	})
}

// The leader of a partition appears after a while: requests for it and for new topics take turns.
func TestAStreamOfFirstUsesDoesNotDelayTheWaitForALeader(t *testing.T) {
	orders := topicOf("orders", 1, 0, protocol.NoLeader)
	w := busyWorld(&orders)
	runBusy(t, w, nil, func(t *testing.T, c *Client) {
		known(t, c, "orders")
		useNewTopics(t, c)
		w.requests()
		c.AwaitLeader("orders", 0)
		time.Sleep(10 * time.Second)
		attempts := 0
		for _, r := range w.requests() {
			if r.namesOrders() {
				attempts++
			}
		}
		require.Greater(t, attempts, 8, "one for each retry.backoff.ms, up to retry.backoff.max.ms")
		w.set(func() { orders = topicOf("orders", 1, 1, 3) })
		time.Sleep(1500 * time.Millisecond)
		require.EqualValues(t, 3, c.Snapshot().Topic("orders").Partition(0).Leader)
	})
}

// With metadata.max.age.ms=0 the known topics are due all the time.
func TestRequestsForKnownTopicsDoNotDelayFirstUses(t *testing.T) {
	orders := topicOf("orders", 1, 0, 1)
	w := busyWorld(&orders)
	runBusy(t, w, func(cfg *Config) { cfg.MaxAge, cfg.RetryBackoff, cfg.RetryBackoffMax = 0, 0, 0 },
		func(t *testing.T, c *Client) {
			known(t, c, "orders")
			for i := range 100 {
				took(t, 3*roundTrip, func() { known(t, c, fmt.Sprint("new-", i)) })
			}
		})
}
