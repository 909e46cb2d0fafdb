package sender

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/cluster"
	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
)

// Leaders move, lie, are missing, or come back.

// hintLoop answers every Produce with NOT_LEADER_OR_FOLLOWER. It names the result of next under an epoch that grows by
// step.
func hintLoop(r *rig, step int32, next func(asked int32) int32) (rounds *atomic.Int32, end func()) {
	rounds = new(atomic.Int32)
	var over atomic.Bool
	r.c.Hook(func(q *testbroker.Request) testbroker.Action {
		// The bound ends the test with a spinning client.
		if q.Header.Key != protocol.Produce || over.Load() || rounds.Load() > 10_000 {
			return testbroker.Pass()
		}
		return testbroker.NotLeader(next(q.Broker), 100+step*rounds.Add(1))
	})
	return rounds, func() { over.Store(true) }
}

// TestAHintLoopIsBackedOff: brokers name each other, or themselves, as the leader, under epochs that grow, stay, or
// fall. The client follows the first hints at once, and from then on each try waits for its backoff.
func TestAHintLoopIsBackedOff(t *testing.T) {
	other := func(asked int32) int32 { return 3 - asked }
	itself := func(asked int32) int32 { return asked }
	for name, next := range map[string]func(int32) int32{"each other": other, "itself": itself} {
		for _, step := range []int32{1, 0, -1} {
			for _, idempotent := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, epochs +%d, idempotent=%v", name, step, idempotent), func(t *testing.T) {
					onRig(t, topicT(2, 1), func(c *Config) { c.Idempotent = idempotent }, func(r *rig) {
						r.send(0, "warm").acked()
						rounds, end := hintLoop(r, step, next)
						began := time.Now()
						s := r.send(0, "x")
						time.Sleep(10 * time.Second)
						require.Less(t, rounds.Load(), int32(25), "retry.backoff.ms doubles from 100 to 1000")
						require.Greater(t, rounds.Load(), int32(8))
						end()
						// its epoch is far below the false ones, so it takes a while to be believed
						r.c.MoveLeader("t", 0, 2)
						require.Equal(t, int64(1), s.acked())
						require.Less(t, time.Since(began), 20*time.Second)
						require.Equal(t, []string{"warm", "x"}, r.values(0))
					})
				})
			}
		}
	}
}

// TestAHintLoopDoesNotBurnTheRetries: with few retries there is still the time of the backoffs for the brokers to come
// to terms.
func TestAHintLoopDoesNotBurnTheRetries(t *testing.T) {
	onRig(t, topicT(2, 1), func(c *Config) { c.Retries = 5 }, func(r *rig) {
		r.send(0, "warm").acked()
		rounds, end := hintLoop(r, 1, func(asked int32) int32 { return 3 - asked })
		time.AfterFunc(500*time.Millisecond, func() { // two tries are left then; the first requests the leader
			end()
			for range 200 { // a true leader under an epoch beyond the false ones
				r.c.MoveLeader("t", 0, 1)
			}
		})
		require.Equal(t, int64(1), r.send(0, "x").acked())
		require.LessOrEqual(t, rounds.Load(), int32(5))
	})
}

// TestBatchesInFlightDoNotSpeedUpAHintLoop: each answer brings a newer epoch, and each would end the backoff of the
// others.
func TestBatchesInFlightDoNotSpeedUpAHintLoop(t *testing.T) {
	for _, idempotent := range []bool{true, false} {
		onRig(t, topicT(2, 1), func(c *Config) { c.Accumulator.BatchSize, c.Idempotent = 0, idempotent }, func(r *rig) {
			r.send(0, "warm").acked()
			rounds, end := hintLoop(r, 1, func(asked int32) int32 { return 3 - asked })
			var all []sent
			for _, v := range numbered(5, "") {
				all = append(all, r.send(0, v))
			}
			time.Sleep(10 * time.Second)
			require.Less(t, rounds.Load(), int32(5*25))
			end()
			for _, s := range all {
				s.acked()
			}
		})
	}
}

// TestOneInFlightKeepsItsPlaceAcrossAMove: without idempotence and with one in flight, the next batch waits for the
// first one at the hanging former leader, though its own leader is ready.
func TestOneInFlightKeepsItsPlaceAcrossAMove(t *testing.T) {
	onRig(t, topicT(2, 1), func(c *Config) { c.Idempotent, c.MaxInFlight, c.Accumulator.BatchSize = false, 1, 0 },
		func(r *rig) {
			r.send(0, "warm").acked()
			r.c.Hang(1)
			first := r.send(0, "first")
			synctest.Wait()
			second := r.send(0, "second")
			r.c.MoveLeader("t", 0, 2)
			r.client.Refresh()
			time.Sleep(time.Second)
			require.Len(t, r.c.Produces(), 1, "the second waits")
			r.c.Unhang(1)
			require.Equal(t, int64(1), first.acked())
			require.Equal(t, int64(2), second.acked())
			require.Equal(t, []string{"warm", "first", "second"}, r.values(0))
		})
}

// TestOneInFlightKeepsItsPlaceWhenItExpires: the first's records have their outcome, but its request may still arrive.
// No later batch must overtake it at another leader.
func TestOneInFlightKeepsItsPlaceWhenItExpires(t *testing.T) {
	onRig(t, topicT(2, 1), func(c *Config) {
		c.Idempotent, c.MaxInFlight, c.Accumulator.BatchSize = false, 1, 0
		c.DeliveryTimeout, c.RequestTimeout = 20*time.Second, 18*time.Second
	}, func(r *rig) {
		r.send(0, "warm").acked()
		r.c.On(protocol.Produce).Times(8).Do(testbroker.Fail(protocol.NotEnoughReplicas))
		first := r.send(0, "first")
		r.c.WaitProduces(r.ctx, 1+8)
		synctest.Wait() // it is answered
		r.c.Hang(1)     // the next try is under way for longer than the record has
		_ = first.failed(true)
		second := r.send(0, "second")
		r.c.MoveLeader("t", 0, 2)
		r.client.Refresh()
		time.Sleep(2 * time.Second)
		r.c.MoveLeader("t", 0, 1)
		r.c.Unhang(1)
		second.acked()
		synctest.Wait()
		require.Equal(t, []string{"warm", "first", "second"}, r.values(0))
	})
}

// TestTheClientRetriesUntilReplicasAreInSync: the batches wait for the replica to come back and are written in order,
// once.
func TestTheClientRetriesUntilReplicasAreInSync(t *testing.T) {
	for _, away := range []time.Duration{300 * time.Millisecond, 90 * time.Second} {
		brokers := topicT(3, 1)
		brokers.MinInSyncReplicas = 2
		onRig(t, brokers, func(c *Config) { c.Accumulator.BatchSize = 200 }, func(r *rig) {
			r.send(0, "warm").acked()
			r.c.SetISR("t", 0, 1)
			var all []sent
			for _, v := range numbered(30, "") {
				all = append(all, r.send(0, v))
			}
			time.Sleep(away)
			require.Empty(t, r.c.Log("t", 0)[1:])
			r.c.SetISR("t", 0, 1, 3)
			began := time.Now()
			for i, s := range all {
				require.Equal(t, int64(i+1), s.acked())
			}
			require.LessOrEqual(t, time.Since(began), 1200*time.Millisecond, "retry.backoff.max.ms and its jitter")
			require.Equal(t, append([]string{"warm"}, numbered(30, "")...), r.values(0))
		})
	}
}

// TestRecordsWaitForALeader: the only replica is away, so the partition has no leader. Records wait, at no cost in
// retries.
func TestRecordsWaitForALeader(t *testing.T) {
	onRig(t, topicT(2, 2), func(c *Config) { c.Retries = 1 }, func(r *rig) {
		r.send(0, "warm").acked()
		r.c.MoveLeader("t", 0, -1)
		r.client.Refresh()
		time.Sleep(time.Second)
		s := r.send(0, "waits")
		r.send(1, "does not").acked()
		time.Sleep(60 * time.Second)
		r.c.MoveLeader("t", 0, 1)
		began := time.Now()
		require.Equal(t, int64(1), s.acked())
		require.Less(t, time.Since(began), 2*time.Second)
	})
}

// TestABatchOfALeaderlessPartitionIsRetried: as before, but the batch was sent to the former leader, and it
// answers so.
func TestABatchOfALeaderlessPartitionIsRetried(t *testing.T) {
	onRig(t, topicT(1, 1), nil, func(r *rig) {
		r.send(0, "warm").acked()
		r.c.MoveLeader("t", 0, -1)
		s := r.send(0, "x")
		time.Sleep(60 * time.Second)
		r.c.MoveLeader("t", 0, 1)
		began := time.Now()
		require.Equal(t, int64(1), s.acked())
		require.Less(t, time.Since(began), 2*time.Second)
	})
}

// TestWhenAllBrokersAreReplacedTheBootstrapServersLeadOn: none of the known brokers is there any more, and the
// addresses of bootstrap.servers lead to new ones.
func TestWhenAllBrokersAreReplacedTheBootstrapServersLeadOn(t *testing.T) {
	brokers := topicT(2, 2)
	onRig(t, brokers, nil, func(r *rig) {
		first := []sent{r.send(0, "before"), r.send(1, "before")}
		for _, s := range first {
			s.acked()
		}
		was := []string{r.c.Address(1), r.c.Address(2)}
		r.c.AddBroker()
		r.c.AddBroker()
		for p := range int32(2) {
			r.c.MoveLeader("t", p, 3+p)
		}
		r.c.StopBroker(1)
		r.c.StopBroker(2)
		r.c.Alias(was[0], 3) // the names of the old ones are the new ones' now
		r.c.Alias(was[1], 4)
		began := time.Now()
		for p := range int32(2) {
			require.Equal(t, int64(1), r.send(p, "after").acked())
			require.Equal(t, []string{"before", "after"}, r.values(p))
		}
		require.Less(t, time.Since(began), 10*time.Second)
		last := r.c.Produces()
		require.GreaterOrEqual(t, last[len(last)-1].Broker, int32(3))
	})
}

// TestAHintToNobodyCostsNoMoreThanTheMetadata: the answer names an endpoint without a listener.
func TestAHintToNobodyCostsNoMoreThanTheMetadata(t *testing.T) {
	onRig(t, topicT(2, 1), nil, func(r *rig) {
		r.send(0, "warm").acked()
		nobody := testbroker.Edit(func(a *protocol.ProduceResponse) {
			a.NodeEndpoints = []protocol.NodeEndpoint{{NodeID: 77, Host: "nobody.test", Port: 9092}}
			a.Topics[0].Partitions[0].CurrentLeader = &protocol.LeaderIDAndEpoch{LeaderID: 77, LeaderEpoch: 1}
		})
		r.c.On(protocol.Produce).Nth(1).Do(testbroker.Fail(protocol.NotLeaderOrFollower).And(nobody))
		r.c.MoveLeader("t", 0, 1)
		r.c.MoveLeader("t", 0, 2)
		began := time.Now()
		require.Equal(t, int64(1), r.send(0, "x").acked())
		require.Less(t, time.Since(began), time.Second)
		require.Equal(t, []string{"warm", "x"}, r.values(0))
	})
}

// TestAPartitionThatComesBackIsNotNamedTwice: while a request is made the partition moves to another broker, gives a
// batch to a request there, and comes back. Brokers take one batch of a partition in a request, and forget the other.
func TestAPartitionThatComesBackIsNotNamedTwice(t *testing.T) {
	onRig(t, topicT(2, 1), func(c *Config) { c.Idempotent, c.Accumulator.BatchSize = false, 0 }, func(r *rig) {
		r.c.Isolate(1)
		r.c.Isolate(2) // so that only the test makes requests
		var all []sent
		for _, v := range numbered(3, "") {
			all = append(all, r.send(0, v))
		}
		synctest.Wait()
		p := r.part(0).Drainer().(*partition)
		move := func(to, epoch int32) {
			r.client.ApplyLeaderHints("", []cluster.LeaderHint{{Topic: "t", Partition: 0, Leader: to,
				LeaderEpoch: epoch}}, nil)
		}
		const here, there = 1 << 40, 1<<40 + 1
		next := func(broker int32, fill uint64) (attempt, bool) {
			p.mu.Lock()
			ticket := p.queueGen
			p.mu.Unlock()
			return p.next(&request{b: r.s.brokers[broker], number: fill, version: 13}, -1, ticket, time.Now(), 1<<20)
		}
		first, _ := next(1, here)
		require.NotNil(t, first.outBatch)
		move(2, 1)
		second, _ := next(2, there)
		require.NotNil(t, second.outBatch)
		move(1, 2)
		third, full := next(1, here)
		require.Nil(t, third.outBatch)
		require.True(t, full, "it waits for the next request")
		for _, one := range []attempt{first, second} {
			one.batch.Release()
			p.disconnected(one, false, errors.New("the test takes it back"), time.Now())
		}
		r.s.fills.Store(there)
		r.c.Unhang(1)
		r.c.Unhang(2)
		for _, s := range all {
			s.acked()
		}
		require.ElementsMatch(t, numbered(3, ""), r.values(0))
	})
}
