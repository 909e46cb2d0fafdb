package sender

import (
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
)

// brokerIDs returns the brokers with a goroutine.
func (r *rig) brokerIDs() (ids []int32) {
	for _, b := range r.s.allBrokers() {
		ids = append(ids, b.id)
	}
	return ids
}

// leaving returns the leaving brokers.
func (r *rig) leaving() []*broker {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	return slices.Collect(maps.Keys(r.s.leaving))
}

// refreshed waits for newer metadata.
func (r *rig) refreshed() {
	r.client.Refresh()
	time.Sleep(3 * time.Second)
	synctest.Wait()
}

func TestABrokerThatHasLeftTheClusterLosesItsGoroutine(t *testing.T) {
	onRig(t, topicT(3, 3), nil, func(r *rig) {
		for p := range int32(3) {
			r.send(p, "x").acked()
		}
		require.ElementsMatch(t, []int32{1, 2, 3}, r.brokerIDs())
		r.c.MoveLeader("t", 1, 1)
		r.c.StopBroker(2)
		r.refreshed()
		require.ElementsMatch(t, []int32{1, 3}, r.brokerIDs())
		r.send(1, "y").acked()

		// It comes back, and leads again.
		r.c.StartBroker(2)
		r.c.MoveLeader("t", 1, 2)
		r.refreshed()
		r.send(1, "z").acked()
		require.ElementsMatch(t, []int32{1, 2, 3}, r.brokerIDs())
		require.Equal(t, []string{"x", "y", "z"}, r.values(1))
	})
}

func TestABrokerInTheMetadataKeepsItsConnectionWithoutPartitions(t *testing.T) {
	onRig(t, topicT(2, 2), nil, func(r *rig) {
		r.send(1, "x").acked()
		r.c.MoveLeader("t", 1, 1)
		r.refreshed()
		require.Contains(t, r.brokerIDs(), int32(2))
		require.True(t, r.s.brokers[2].isConnected())
	})
}

// Without idempotence the former leader's answer is the only word on its batch, so the broker stays until it has come.
func TestABrokerThatHasLeftStaysUntilItHasAnswered(t *testing.T) {
	onRig(t, topicT(2, 2), func(c *Config) { c.Idempotent, c.MaxInFlight = false, 1 }, func(r *rig) {
		r.send(1, "x").acked()
		r.c.Hang(2)
		late := r.send(1, "y")
		synctest.Wait()
		// The metadata names broker 2 no more, though it lives.
		r.c.StopBroker(1)
		r.c.StartBroker(1)
		r.s.brokersChanged(r.client.Snapshot())
		b := r.s.brokers[2]
		r.s.mu.Lock()
		b.departed = true
		r.s.mu.Unlock()
		r.c.MoveLeader("t", 1, 1)
		r.refreshed()
		require.Contains(t, r.leaving(), b)
		conn := b.conn
		require.NoError(t, conn.Err())
		r.c.Unhang(2)
		synctest.Wait()
		require.NotContains(t, r.leaving(), b)
		require.ErrorIs(t, conn.Err(), errLeft)
		_, _ = late.get()
	})
}

// A broker may be missing from one response. Its second connection must not overtake the first one.
func TestABrokerThatIsAwayForAMomentKeepsTheOrderWithoutIdempotence(t *testing.T) {
	onRig(t, topicT(2, 2), func(c *Config) { c.Idempotent = false; c.Accumulator.BatchSize = 0 }, func(r *rig) {
		r.send(1, "warm").acked()
		release := make(chan struct{})
		r.c.On(protocol.Produce).Broker(2).Nth(1).Do(testbroker.Hold(release))
		first := r.send(1, "first")
		synctest.Wait()
		gone := r.c.On(protocol.Metadata).Do(testbroker.Edit(func(resp *protocol.MetadataResponse) {
			resp.Brokers = slices.DeleteFunc(slices.Clone(resp.Brokers),
				func(b protocol.MetadataBroker) bool { return b.NodeID == 2 })
		}))
		r.client.Refresh()
		time.Sleep(time.Second)
		require.Len(t, r.leaving(), 1)
		gone.End()
		second := r.send(1, "second")
		time.Sleep(3 * time.Second)
		require.Empty(t, r.leaving(), "it has come back")
		close(release)
		first.acked()
		second.acked()
		require.Equal(t, []string{"warm", "first", "second"}, r.values(1))
	})
}

// A new partition may have loaded its snapshot before the broker left.
func TestAnOldSnapshotBringsNoBrokerBack(t *testing.T) {
	onRig(t, topicT(2, 2), nil, func(r *rig) {
		r.send(0, "x").acked()
		r.send(1, "x").acked()
		old := r.client.Snapshot()
		p := r.part(1).Drainer().(*partition)
		r.c.StopBroker(2)
		r.refreshed()
		p.follow(old, time.Now())
		time.Sleep(time.Hour)
		r.refreshed()
		require.Equal(t, []int32{1}, r.brokerIDs())
	})
}

func TestABrokerWithoutPartitionsInUseEndsWithTheLastForgottenTopic(t *testing.T) {
	onRig(t, topicT(2, 2), nil, func(r *rig) {
		r.send(1, "x").acked()
		r.c.StopBroker(2)
		r.refreshed()
		require.Equal(t, []int32{1}, r.brokerIDs(), "the new leader")
		r.c.StartBroker(2)
		r.c.MoveLeader("t", 1, 2)
		r.refreshed()
		r.send(1, "y").acked()
		require.True(t, r.s.acc.Forget("t"))
		require.Empty(t, r.s.topics)
		require.Contains(t, r.brokerIDs(), int32(2), "the metadata names it")
		r.c.StopBroker(2)
		r.refreshed()
		require.NotContains(t, r.brokerIDs(), int32(2))
	})
}

func TestAClosedSenderEndsBrokersThatAreLeaving(t *testing.T) {
	onRig(t, topicT(2, 2), nil, func(r *rig) {
		r.send(1, "x").acked()
		r.c.Hang(2)
		r.send(1, "y")
		synctest.Wait()
		b := r.s.brokers[2]
		r.s.mu.Lock()
		b.departed, b.leads = true, 0
		r.s.dismissLocked(b)
		r.s.mu.Unlock()
		synctest.Wait()
		require.Contains(t, r.leaving(), b)
		began := time.Now()
		r.s.Abort(errLeft)
		r.s.Stop()
		require.Zero(t, time.Since(began))
		require.Empty(t, r.leaving())
	})
}

// TestABrokerThatWasAcquiredDoesNotLeave lets a partition acquire a broker while another one releases it. A former
// version could take a broker back between its dismissal and its leave: the broker ended, and the partition waited for
// it for ever. The test runs in real time, so the goroutines run in parallel.
func TestABrokerThatWasAcquiredDoesNotLeave(t *testing.T) {
	_, attempts := loaded(t, 1)
	s := attempts[0].part.s
	var hammered atomic.Pointer[broker]
	stop := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() { // holds up every goroutine at the broker's lock
		for b := hammered.Load(); ; b = hammered.Load() {
			select {
			case <-stop:
				return
			default:
			}
			if b != nil {
				b.mu.Lock()
				runtime.Gosched()
				b.mu.Unlock()
			}
		}
	})
	defer others.Wait()
	defer close(stop)
	for range 3000 {
		b := s.acquireBroker(7) // the metadata does not name it
		hammered.Store(b)
		var back *broker
		var both sync.WaitGroup
		both.Go(func() { s.releaseBroker(b) })
		both.Go(func() { back = s.acquireBroker(7) })
		both.Wait()
		back.mu.Lock()
		leaves := back.leaves
		back.mu.Unlock()
		require.False(t, leaves)
		s.releaseBroker(back)
	}
}

// TestPlacesOfPartitionsThatMovedAreTakenOutInOneWalk counts allocations: a copy of the queue for each remaining place
// would be as many.
func TestPlacesOfPartitionsThatMovedAreTakenOutInOneWalk(t *testing.T) {
	b, other := newBroker(nil, 1), newBroker(nil, 2)
	const stay = 1000
	for i := range 2 * stay {
		p := &partition{broker: b, queued: true, queueGen: uint64(i)}
		if i%2 == 0 {
			p.broker = other
			b.moved()
		}
		b.push(queueEntry{p, p.queueGen})
	}
	allocated := testing.AllocsPerRun(1, func() {
		b.movedAway = stay
		b.dropMoved()
	})
	require.Less(t, allocated, 100.0)
	require.Equal(t, stay, b.ready.Len())
	for i := range stay {
		require.Equal(t, uint64(2*i+1), b.ready.At(i).queueGen)
	}
}
