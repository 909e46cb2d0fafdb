package producer_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
)

// This file tests the rows about delivery in the table of options.

func TestAcks(t *testing.T) {
	acks := func(a producer.Acks) func(*producer.Config) {
		return func(cfg *producer.Config) { cfg.Acks, cfg.EnableIdempotence = a, false }
	}
	safe := topics(2, 1)
	safe.MinInSyncReplicas = 2
	scene(t, "0: no answer is waited for, and the offset is -1", topics(1, 1),
		func(t *testing.T, c *testbroker.Cluster) {
			p := warm(t, c, 1, acks(producer.AcksNone))
			c.Mute(1)
			began := time.Now()
			for range 10 {
				md, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
				require.NoError(t, err)
				require.EqualValues(t, -1, md.Offset)
			}
			require.Zero(t, time.Since(began))
			synctest.Wait()
			require.EqualValues(t, 0, c.Produces()[0].Acks)
			c.Unhang(1)
		})
	scene(t, "0: what the broker refuses is not known", safe, func(t *testing.T, c *testbroker.Cluster) {
		p := start(t, c, acks(producer.AcksNone))
		c.SetSettings("t", testbroker.TopicSettings{MessageMaxBytes: 100})
		c.On(protocol.Produce).Do(testbroker.Delay(time.Second))
		md, err := p.Send(t.Context(), sized(200), nil).Get(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, -1, md.Offset)
	})
	scene(t, "1: the leader's answer, not the followers'", safe, func(t *testing.T, c *testbroker.Cluster) {
		p := start(t, c, acks(producer.AcksLeader))
		c.SetISR("t", 0, 1)
		for i := range int64(2) {
			md, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
			require.NoError(t, err)
			require.Equal(t, i, md.Offset)
		}
		require.EqualValues(t, 1, c.Produces()[0].Acks)
	})
	scene(t, "1: the answer is waited for", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, acks(producer.AcksLeader))
		c.Mute(1)
		f := p.Send(t.Context(), to(0, "x"), nil)
		time.Sleep(3 * time.Second)
		require.False(t, isOver(f))
		c.Unhang(1)
		_, err := f.Get(t.Context())
		require.NoError(t, err)
	})
	scene(t, "all: too few in-sync replicas stop the write", safe, func(t *testing.T, c *testbroker.Cluster) {
		p := start(t, c, func(cfg *producer.Config) { acks(producer.AcksAll)(cfg); cfg.Retries = 0 })
		_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, -1, c.Produces()[0].Acks)
		c.SetISR("t", 0, 1)
		_, err = p.Send(t.Context(), to(0, "y"), nil).Get(t.Context())
		brokerCode(t, err, "NOT_ENOUGH_REPLICAS")
		require.False(t, producer.MaybeWritten(err))
		require.True(t, producer.Retriable(err))
	})
}

// With acks=0 the producer does not retry: if a request may have left, its records are maybe written.
func TestAcksNoneBroken(t *testing.T) {
	none := func(cfg *producer.Config) {
		cfg.Acks, cfg.EnableIdempotence = producer.AcksNone, false
		cfg.BatchSize, cfg.RequestTimeout = 500_000, 2*time.Second
	}
	scene(t, "a broker that does not read is bounded by request.timeout, maybe written and not retried", topics(1, 1),
		func(t *testing.T, c *testbroker.Cluster) {
			p := warm(t, c, 1, none)
			c.Hang(1)
			began := time.Now()
			_, err := p.Send(t.Context(), sized(400_000), nil).Get(t.Context())
			require.ErrorIs(t, err, producer.ErrDisconnected)
			require.True(t, producer.MaybeWritten(err))
			require.Equal(t, 2*time.Second, time.Since(began))
			c.Unhang(1)
			time.Sleep(30 * time.Second)
			require.Len(t, c.Produces(), 1)
		})
	scene(t, "a write that fails part-way is maybe written and not retried", topics(1, 1),
		func(t *testing.T, c *testbroker.Cluster) {
			p := warm(t, c, 1, none)
			c.Hang(1)
			f := p.Send(t.Context(), sized(400_000), nil)
			time.Sleep(time.Second)
			require.False(t, isOver(f))
			c.Disconnect(1)
			c.Unhang(1)
			_, err := f.Get(t.Context())
			require.ErrorIs(t, err, producer.ErrDisconnected)
			require.True(t, producer.MaybeWritten(err))
			time.Sleep(30 * time.Second)
			require.Len(t, c.Produces(), 1)
		})
	scene(t, "waiting for a leader is no retry", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) { none(cfg); cfg.Retries = 0 })
		c.MoveLeader("t", 0, -1)
		c.Disconnect(1)
		time.Sleep(5 * time.Second)
		f := p.Send(t.Context(), to(0, "x"), nil)
		time.Sleep(20 * time.Second)
		require.False(t, isOver(f))
		c.MoveLeader("t", 0, 1)
		_, err := f.Get(t.Context())
		require.NoError(t, err)
	})
	scene(t, "waiting for a leader ends by delivery.timeout", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) { none(cfg); cfg.DeliveryTimeout = 10 * time.Second })
		c.MoveLeader("t", 0, -1)
		c.Disconnect(1)
		time.Sleep(5 * time.Second)
		began := time.Now()
		notWritten(t, p.Send(t.Context(), to(0, "x"), nil), producer.ErrDeliveryTimeout)
		require.Equal(t, 10*time.Second, time.Since(began))
	})
}

func TestRetries(t *testing.T) {
	safe := topics(2, 1)
	safe.MinInSyncReplicas = 2
	retries := func(n int) func(*producer.Config) {
		return func(cfg *producer.Config) { cfg.Retries, cfg.EnableIdempotence = n, false }
	}
	for _, n := range []int{0, 1, 4} {
		scene(t, fmt.Sprintf("%d: tried so often once more, and then failed", n), safe,
			func(t *testing.T, c *testbroker.Cluster) {
				p := warm(t, c, 1, retries(n))
				c.SetISR("t", 0, 1)
				_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
				brokerCode(t, err, "NOT_ENOUGH_REPLICAS")
				require.False(t, producer.MaybeWritten(err))
				require.True(t, producer.Retriable(err))
				if n > 0 {
					require.ErrorIs(t, err, producer.ErrRetriesExhausted)
				}
				require.Len(t, c.Produces(), 1+1+n)
			})
	}
	scene(t, "what passes is not noticed while retries are left", safe, func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, retries(4))
		c.SetISR("t", 0, 1)
		time.AfterFunc(300*time.Millisecond, func() { c.SetISR("t", 0, 1, 2) })
		_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
		require.NoError(t, err)
		require.Greater(t, len(c.Produces()), 2)
	})
	scene(t, "retries wait for retry.backoff.ms, and longer each time", safe,
		func(t *testing.T, c *testbroker.Cluster) {
			p := warm(t, c, 1, retries(6))
			c.SetISR("t", 0, 1)
			_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
			require.Error(t, err)
			tries := c.Produces()[1:]
			for i, want := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
				want *= time.Millisecond
				require.InDelta(t, want, tries[i+1].Time.Sub(tries[i].Time), 0.2*float64(want)+1, "retry %d", i+1)
			}
		})
}

func TestRequestTimeoutMs(t *testing.T) {
	scene(t, "an answer is waited for so long", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) {
			cfg.RequestTimeout, cfg.Retries, cfg.EnableIdempotence = 3*time.Second, 0, false
		})
		c.Hang(1)
		began := time.Now()
		_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
		require.Equal(t, 3*time.Second, time.Since(began))
		require.ErrorIs(t, err, producer.ErrDisconnected)
		require.True(t, producer.MaybeWritten(err))
		require.False(t, producer.Retriable(err))
	})
	scene(t, "an answer that comes in time counts", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) {
			cfg.RequestTimeout, cfg.Retries, cfg.EnableIdempotence = 3*time.Second, 0, false
		})
		c.Hang(1)
		time.AfterFunc(3*time.Second-time.Millisecond, func() { c.Unhang(1) })
		_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
		require.NoError(t, err)
	})
	scene(t, "the request is tried again then", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) { cfg.RequestTimeout = 3 * time.Second })
		c.Mute(1)
		time.AfterFunc(4*time.Second, func() { c.Unhang(1) })
		_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"x"}, written(c, 0))
		require.Greater(t, len(c.Produces()), 2)
	})
	scene(t, "the broker is told it for its own wait", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		warm(t, c, 1, func(cfg *producer.Config) { cfg.RequestTimeout = 1234 * time.Millisecond })
		require.EqualValues(t, 1234, c.Produces()[0].Message.(*protocol.ProduceRequest).TimeoutMs)
	})
}

func TestMaxInFlightRequestsPerConnection(t *testing.T) {
	for _, limit := range []int{1, 5} {
		scene(t, fmt.Sprintf("%d: the next request waits for an answer", limit), topics(1, 8),
			func(t *testing.T, c *testbroker.Cluster) {
				p := warm(t, c, 8, func(cfg *producer.Config) { cfg.MaxInFlight, cfg.Linger = limit, 0 })
				first := len(c.Produces())
				c.Mute(1)
				for i := range int32(8) {
					p.Send(t.Context(), to(i, "x"), nil)
					synctest.Wait()
				}
				time.Sleep(time.Second)
				require.Len(t, c.Produces()[first:], limit)
				require.Equal(t, limit, c.Produces()[first+limit-1].InFlight)
				c.Unhang(1)
				require.NoError(t, p.Flush(t.Context()))
				for _, r := range c.Produces() {
					require.LessOrEqual(t, r.InFlight, limit)
				}
			})
	}
	scene(t, "it holds for one partition too", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) {
			cfg.BatchSize, cfg.Linger, cfg.EnableIdempotence = 0, 0,
				false
		})
		c.Mute(1)
		for range 6 {
			p.Send(t.Context(), to(0, "x"), nil)
			synctest.Wait()
		}
		require.Len(t, c.Produces(), 1+5)
		c.Unhang(1)
		require.NoError(t, p.Flush(t.Context()))
		require.Len(t, c.Produces(), 1+6)
	})
}

func TestEnableIdempotence(t *testing.T) {
	lose := func(t *testing.T, c *testbroker.Cluster, p *producer.Producer) {
		t.Helper()
		c.Mute(1)
		f := p.Send(t.Context(), to(0, "x"), nil)
		time.Sleep(time.Second)
		require.True(t, c.Produces()[1].Handled)
		c.Disconnect(1)
		c.Unhang(1)
		_, err := f.Get(t.Context())
		require.NoError(t, err)
	}
	scene(t, "true: a retry after a lost answer doubles nothing", topics(1, 1),
		func(t *testing.T, c *testbroker.Cluster) {
			p := warm(t, c, 1, nil)
			lose(t, c, p)
			require.Equal(t, []string{"x"}, written(c, 0))
			h := c.Produces()[1].Parts[0].Batch.Header
			require.GreaterOrEqual(t, h.ProducerID, int64(0))
			require.EqualValues(t, 1, h.BaseSequence)
		})
	scene(t, "false: it can, and no producer id is asked for", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) { cfg.EnableIdempotence = false })
		lose(t, c, p)
		require.Equal(t, []string{"x", "x"}, written(c, 0))
		require.EqualValues(t, -1, c.Produces()[1].Parts[0].Batch.Header.ProducerID)
		require.Empty(t, c.RequestsOf(protocol.InitProducerID))
	})
	scene(t, "true: retries keep the order", topics(2, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) { cfg.BatchSize, cfg.Linger = 0, 0 })
		var want []string
		for i := range 40 {
			want = append(want, fmt.Sprint(i))
			p.Send(t.Context(), to(0, want[i]), nil)
			if i%10 == 5 {
				c.MoveLeader("t", 0, int32(1+i/10%2))
			}
			if i%10 == 9 {
				c.Disconnect(c.Leader("t", 0))
			}
		}
		require.NoError(t, p.Flush(t.Context()))
		require.Equal(t, want, written(c, 0))
	})
}

func TestDeliveryTimeoutMs(t *testing.T) {
	const bound = 10 * time.Second
	config := func(cfg *producer.Config) {
		cfg.DeliveryTimeout, cfg.RequestTimeout, cfg.Linger = bound, 3*time.Second, 0
	}
	expired := func(t *testing.T, p *producer.Producer, maybe bool) {
		t.Helper()
		began := time.Now()
		_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
		require.ErrorIs(t, err, producer.ErrDeliveryTimeout)
		require.Equal(t, maybe, producer.MaybeWritten(err), "%v", err)
		require.Equal(t, bound, time.Since(began))
	}
	scene(t, "it bounds tries on a broker that hangs", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, config)
		c.Hang(1)
		expired(t, p, true)
	})
	scene(t, "it bounds retries", testbroker.Config{Brokers: 2, Topics: map[string]int32{"t": 1}, MinInSyncReplicas: 2},
		func(t *testing.T, c *testbroker.Cluster) {
			p := warm(t, c, 1, config)
			c.SetISR("t", 0, 1)
			expired(t, p, false)
		})
	scene(t, "it bounds the wait for a connection", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, config)
		c.StopBroker(1)
		expired(t, p, false)
	})
	scene(t, "it bounds the wait for a leader", topics(2, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, config)
		c.MoveLeader("t", 0, -1)
		c.Disconnect(1)
		time.Sleep(time.Second)
		expired(t, p, false)
	})
	scene(t, "it bounds the wait behind others", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) {
			config(cfg)
			cfg.MaxInFlight, cfg.RequestTimeout = 1, bound
		})
		c.Mute(1)
		p.Send(t.Context(), to(0, "first"), nil)
		time.Sleep(time.Second)
		expired(t, p, false)
	})
	scene(t, "what comes in time is delivered", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, config)
		c.StopBroker(1)
		time.AfterFunc(bound-2*time.Second, func() { c.StartBroker(1) })
		_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
		require.NoError(t, err)
	})
	scene(t, "time blocked inside Send does not count", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := start(t, c, config)
		c.Isolate(1)
		time.AfterFunc(15*time.Second, func() { c.StopBroker(1); c.StartBroker(1) })
		_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
		require.NoError(t, err)
	})
	scene(t, "records of one batch are at most max(linger, 1 s) apart", topics(1, 1),
		func(t *testing.T, c *testbroker.Cluster) {
			p := warm(t, c, 1, config)
			c.StopBroker(1)
			began := time.Now()
			var ends []time.Duration
			var futures []producer.Future
			for range 30 {
				futures = append(futures, p.Send(t.Context(), to(0, "x"), nil))
				time.Sleep(100 * time.Millisecond)
			}
			for _, f := range futures {
				notWritten(t, f, producer.ErrDeliveryTimeout)
				ends = append(ends, time.Since(began))
			}
			for i, end := range ends {
				appended := time.Duration(i) * 100 * time.Millisecond
				require.LessOrEqual(t, end, appended+bound)
				require.GreaterOrEqual(t, end, appended+bound-time.Second)
			}
		})
}
