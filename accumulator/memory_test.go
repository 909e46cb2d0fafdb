package accumulator

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
)

// memoryFor returns a memory with one holder for each broker.
func memoryFor(limit int64, brokers ...int32) (*memory, []*holder) {
	m := newMemory(limit)
	holders := make([]*holder, len(brokers))
	for i, id := range brokers {
		holders[i] = new(holder)
		m.move(holders[i], id)
	}
	return m, holders
}

// waitFor enqueues a request, requires it to wait, and puts name into served when it has its bytes.
func waitFor(t *testing.T, m *memory, h *holder, n int64, served *log, name string) {
	t.Helper()
	w, err := m.enqueue(h, n, false)
	require.NoError(t, err)
	require.NotNil(t, w, "it is served at once")
	go func() {
		if m.await(context.Background(), w) == nil {
			served.add(name)
		}
	}()
	synctest.Wait()
}

func TestMemoryServesOneBrokersWaitersInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, h := memoryFor(100, 1, 1)
		require.True(t, m.try(h[0], 100))
		var served log
		waitFor(t, m, h[0], 60, &served, "large")
		waitFor(t, m, h[1], 1, &served, "small")
		require.EqualValues(t, 2, m.waiting.Load())

		m.release(h[0], 50)
		synctest.Wait()
		require.Empty(t, served.all(), "the small one stands behind the large one")
		require.False(t, m.try(h[1], 1), "and nobody overtakes those who wait")

		m.release(h[0], 10)
		synctest.Wait()
		require.Equal(t, []string{"large"}, served.all())
		m.release(h[0], 1)
		synctest.Wait()
		require.Equal(t, []string{"large", "small"}, served.all())
		checkMemory(t, m)
		m.release(h[0], 99)
		m.release(h[1], 1)
		require.Zero(t, m.inUse())
	})
}

func TestMemoryOfOneBrokerIsAtMostHalfWhileThereAreOthers(t *testing.T) {
	m, h := memoryFor(100, 1, 2)
	require.True(t, m.try(h[0], 50))
	require.False(t, m.try(h[0], 1), "half is all that a broker may hold")
	require.True(t, m.try(h[1], 50), "the other half is there for the others")
	require.False(t, m.try(h[1], 1))
	checkMemory(t, m)
}

func TestMemoryOfASoleBrokerIsAllOfIt(t *testing.T) {
	m, h := memoryFor(100, 1, 1)
	require.True(t, m.try(h[0], 60))
	require.True(t, m.try(h[1], 40))
	require.False(t, m.try(h[1], 1))
}

func TestMemoryCountsPartitionsWithoutALeaderAsOneBroker(t *testing.T) {
	m, h := memoryFor(100, protocol.NoLeader, protocol.NoLeader, 1)
	require.True(t, m.try(h[0], 30))
	require.True(t, m.try(h[1], 20))
	require.False(t, m.try(h[0], 1))
	require.True(t, m.try(h[2], 50))
}

func TestMemoryGivesARecordOfMoreThanHalfWhenItsBrokerHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, h := memoryFor(100, 1, 2)
		require.True(t, m.try(h[0], 80))
		m.release(h[0], 80)
		require.True(t, m.try(h[0], 1))
		var served log
		waitFor(t, m, h[0], 80, &served, "large")
		m.release(h[0], 1)
		synctest.Wait()
		require.Equal(t, []string{"large"}, served.all())
		m.release(h[0], 80)
		checkMemory(t, m)
	})
}

func TestMemoryGivesEveryBrokerItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, h := memoryFor(100, 1, 2, 3)
		require.True(t, m.try(h[2], 50))
		m.force(h[2], 50)
		var served log
		for range 3 {
			waitFor(t, m, h[0], 10, &served, "one")
			waitFor(t, m, h[1], 10, &served, "two")
		}
		// Each release has room for one. They must not all go to the first broker.
		for range 6 {
			m.release(h[2], 10)
			synctest.Wait()
		}
		require.Equal(t, []string{"one", "two", "one", "two", "one", "two"}, served.all())
		checkMemory(t, m)
		m.close(errors.New("over"))
	})
}

func TestMemoryDoesNotStarveALargeRecordBehindSmallOnesOfOtherBrokers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, h := memoryFor(100, 1, 2, 3)
		require.True(t, m.try(h[1], 50))
		require.True(t, m.try(h[2], 50))
		var served log
		waitFor(t, m, h[0], 40, &served, "large")
		// The others go on in steps of ten, and would never leave 40 free by themselves.
		rounds := 0
		for ; len(served.all()) == 0; rounds++ {
			require.Less(t, rounds, 20, "the large record starves")
			other := h[1+rounds%2]
			m.release(other, 10)
			m.try(other, 10)
			synctest.Wait()
		}
		require.GreaterOrEqual(t, rounds, 10, "the others may overtake it for as much as the whole buffer")
		checkMemory(t, m)
		m.close(errors.New("over"))
	})
}

func TestMemoryWaiterThatGivesUpLetsTheNextOneGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, h := memoryFor(100, 1)
		require.True(t, m.try(h[0], 90))
		w, err := m.enqueue(h[0], 50, false)
		require.NoError(t, err)
		var served log
		waitFor(t, m, h[0], 10, &served, "small")
		require.Empty(t, served.all())

		gone := errors.New("gone away")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(gone)
		err = m.await(ctx, w)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, gone)
		synctest.Wait()
		require.Equal(t, []string{"small"}, served.all())
		require.EqualValues(t, 100, m.inUse())
		checkMemory(t, m)
	})
}

func TestMemoryGrantedTooLateIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, h := memoryFor(100, 1)
		require.True(t, m.try(h[0], 100))
		ctx, cancel := context.WithCancel(t.Context())
		w, err := m.enqueue(h[0], 60, false)
		require.NoError(t, err)
		var served log
		waitFor(t, m, h[0], 50, &served, "next")

		// It is granted its bytes, and its context ends before it is woken.
		m.mu.Lock()
		m.takeLocked(h[0], -60)
		woken := m.grantLocked()
		m.mu.Unlock()
		cancel()
		require.ErrorIs(t, m.await(ctx, w), context.Canceled)
		wake(woken)
		synctest.Wait()
		require.Equal(t, []string{"next"}, served.all())
		require.EqualValues(t, 90, m.inUse())
		checkMemory(t, m)
	})
}

func TestMemoryCloseWakesEverybodyAndRefusesTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, h := memoryFor(100, 1, 2)
		require.True(t, m.try(h[0], 50))
		require.True(t, m.try(h[1], 50))
		over := errors.New("over")
		results := make(chan error, 4)
		for i := range 4 {
			go func() {
				w, err := m.enqueue(h[i%2], 10, false)
				if err == nil {
					err = m.await(context.Background(), w)
				}
				results <- err
			}()
		}
		synctest.Wait()
		m.close(over)
		m.close(errors.New("again"))
		for range 4 {
			require.Equal(t, over, <-results)
		}
		_, err := m.enqueue(h[0], 1, false)
		require.Equal(t, over, err)
		require.False(t, m.try(h[0], 1))
		checkMemory(t, m)
		m.release(h[0], 50)
		m.release(h[1], 50)
		require.Zero(t, m.inUse())
	})
}

func TestMemoryMovesWithItsPartitionToANewLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, h := memoryFor(100, 1, 1, 2)
		require.True(t, m.try(h[0], 30))
		require.True(t, m.try(h[1], 20))
		var served log
		waitFor(t, m, h[0], 10, &served, "moving")
		waitFor(t, m, h[1], 10, &served, "staying")

		m.move(h[0], 2)
		synctest.Wait()
		checkMemory(t, m)
		require.ElementsMatch(t, []string{"moving", "staying"}, served.all(), "both brokers have room now")
		require.EqualValues(t, 30, m.accounts[1].used)
		require.EqualValues(t, 40, m.accounts[2].used)

		m.move(h[1], 2)
		m.move(h[1], 2)
		require.NotContains(t, m.accounts, int32(1), "a broker without partitions is forgotten")
		require.Equal(t, 1, m.brokers)
		checkMemory(t, m)
		m.release(h[0], 40)
		m.release(h[1], 30)
		require.Zero(t, m.inUse())
	})
}

func TestMemoryWaiterOfAMovedPartitionIsServedByItsNewBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, h := memoryFor(100, 1, 2)
		require.True(t, m.try(h[0], 50))
		require.True(t, m.try(h[1], 50))
		var served log
		waitFor(t, m, h[0], 10, &served, "first")
		waitFor(t, m, h[0], 10, &served, "second")
		m.move(h[0], 3)
		checkMemory(t, m)
		m.release(h[1], 20)
		synctest.Wait()
		require.Empty(t, served.all(), "its bytes have come along, so its new broker has its half")
		m.release(h[0], 10)
		synctest.Wait()
		require.Equal(t, []string{"first"}, served.all())
		m.release(h[0], 10)
		synctest.Wait()
		require.Equal(t, []string{"first", "second"}, served.all())
		checkMemory(t, m)
	})
}

func TestMemoryCountsBeyondTwoGigabytes(t *testing.T) {
	const limit = 8 * int64(math.MaxInt32)
	m, h := memoryFor(limit, 1)
	require.True(t, m.try(h[0], limit))
	require.False(t, m.try(h[0], 1))
	m.release(h[0], limit)
	require.Zero(t, m.inUse())
}

// Forgotten topics leave their partitions without a leader, and with nothing buffered.
func TestMemoryOfASoleBrokerIsAllOfItBesideForgottenTopics(t *testing.T) {
	m, h := memoryFor(100, 1, protocol.NoLeader)
	require.True(t, m.try(h[0], 10))
	require.True(t, m.try(h[0], 90))
	m.release(h[0], 100)
	require.True(t, m.try(h[0], 10))
	require.True(t, m.try(h[1], 1))
	require.False(t, m.try(h[0], 50), "but while records wait for a leader they count as a broker's")
	require.True(t, m.try(h[0], 40))
}

func TestMemoryForASendInsideACallbackDoesNotWaitForCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, h := memoryFor(100, 1)
		m.keep(h[0], 100, 100)
		var served log
		waitFor(t, m, h[0], 10, &served, "outside")
		w, err := m.enqueue(h[0], 60, true)
		require.NoError(t, err)
		require.Nil(t, w, "it does not wait, neither for the callbacks nor for the other")

		// It waits for records, as others do, but before them.
		w, err = m.enqueue(h[0], 60, true)
		require.NoError(t, err)
		go func() {
			if m.await(t.Context(), w) == nil {
				served.add("inside")
			}
		}()
		synctest.Wait()
		require.Empty(t, served.all())
		m.release(h[0], 60)
		synctest.Wait()
		require.Equal(t, []string{"inside"}, served.all())
		checkMemory(t, m)
		wake(m.drop(h[0], 100, true))
		synctest.Wait()
		require.Equal(t, []string{"inside", "outside"}, served.all())
		m.release(h[0], 70)
		require.Zero(t, m.inUse())
		checkMemory(t, m)
	})
}

// The memory of records becomes that of callbacks, and no byte comes free.
func TestMemoryThatIsKeptForCallbacksServesASendInsideOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, h := memoryFor(100, 1)
		require.True(t, m.try(h[0], 90))
		var served log
		waitFor(t, m, h[0], 50, &served, "outside")
		w, err := m.enqueue(h[0], 50, true)
		require.NoError(t, err)
		require.NotNil(t, w)
		wake(m.keep(h[0], 80, 0))
		require.NoError(t, m.await(t.Context(), w))
		require.Empty(t, served.all())
		checkMemory(t, m)
		m.close(errors.New("over"))
	})
}

func TestMemoryForASendInsideACallbackKeepsToItsBrokersHalf(t *testing.T) {
	m, h := memoryFor(100, 1, 2)
	require.True(t, m.try(h[0], 10))
	m.keep(h[0], 40, 40)
	w, err := m.enqueue(h[0], 40, true)
	require.NoError(t, err)
	require.Nil(t, w, "callbacks do not count in its half")
	w, err = m.enqueue(h[0], 1, true)
	require.NoError(t, err)
	require.NotNil(t, w)
	checkMemory(t, m)
}

func TestMemoryOfCallbacksThatSendIsAtMostTwiceTheLimit(t *testing.T) {
	m, h := memoryFor(100, 1)
	m.keep(h[0], 150, 150)
	w, err := m.enqueue(h[0], 50, true)
	require.NoError(t, err)
	require.Nil(t, w)
	require.False(t, m.roomLocked(1, true))
	require.False(t, m.roomLocked(1, false))
}

// Random requests, releases, moves and ends of contexts: after each step the sums agree, no serviceable request waits,
// and in the end nothing is left.
func TestMemoryAccountsAlwaysAgree(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			m, h := memoryFor(1000, 1, 1, 2, 3, protocol.NoLeader)
			r := &memoryModel{m: m, h: h, held: make([]int64, len(h))}
			for range 300 {
				r.step(t, rnd)
				synctest.Wait()
				r.collect()
				checkMemory(t, m)
				for i := range h {
					require.Equal(t, r.held[i], h[i].held)
				}
				requireNobodyForgotten(t, m)
			}
			m.close(errors.New("over"))
			synctest.Wait()
			for _, q := range r.queue {
				require.Error(t, <-q.done)
				q.cancel()
			}
			for i := range h {
				m.release(h[i], r.held[i])
			}
			require.Zero(t, m.inUse())
			checkMemory(t, m)
		})
	}
}

// memoryModel knows the bytes due to each holder, and the waiters.
type memoryModel struct {
	m     *memory
	h     []*holder
	held  []int64
	queue []modelWaiter
}

type modelWaiter struct {
	who    int
	n      int64
	cancel context.CancelFunc
	done   chan error
}

func (r *memoryModel) step(t *testing.T, rnd *rand.Rand) {
	who := rnd.IntN(len(r.h))
	n := 1 + rnd.Int64N(300)
	switch rnd.IntN(6) {
	case 0:
		if r.m.try(r.h[who], n) {
			r.held[who] += n
		}
	case 1, 2:
		w, err := r.m.enqueue(r.h[who], n, rnd.IntN(4) == 0)
		require.NoError(t, err)
		if w == nil {
			r.held[who] += n
			return
		}
		ctx, cancel := context.WithCancel(t.Context())
		q := modelWaiter{who: who, n: n, cancel: cancel, done: make(chan error, 1)}
		go func() { q.done <- r.m.await(ctx, w) }()
		r.queue = append(r.queue, q)
	case 3:
		if r.held[who] > 0 {
			n = 1 + rnd.Int64N(r.held[who])
			r.m.release(r.h[who], n)
			r.held[who] -= n
		}
	case 4:
		r.m.move(r.h[who], rnd.Int32N(4))
	case 5:
		if len(r.queue) > 0 {
			r.queue[rnd.IntN(len(r.queue))].cancel()
		}
	}
}

// collect takes waiters off the queue after they got their bytes or gave up.
func (r *memoryModel) collect() {
	stay := r.queue[:0]
	for _, q := range r.queue {
		select {
		case err := <-q.done:
			if err == nil {
				r.held[q.who] += q.n
			}
			q.cancel()
		default:
			stay = append(stay, q)
		}
	}
	r.queue = stay
}

// requireNobodyForgotten checks that the longest waiter could not be served.
func requireNobodyForgotten(t *testing.T, m *memory) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.turn.first != nil {
		first := m.turn.first
		w := first.head()
		require.False(t, m.roomLocked(w.n, w.inside) && m.shareLocked(first, w.n, w.inside), "a waiter was forgotten")
	}
}

func TestReserveReadiesEveryBatchWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{Memory: 2 * small, Linger: time.Hour})
		p, q := a.Topic("t").Partition(0), a.Topic("t").Partition(1)
		put(t, p, "a")
		require.False(t, p.Ready())
		require.True(t, a.memory.try(&p.holder, small))

		got := make(chan error)
		go func() { got <- q.Reserve(t.Context(), small) }()
		synctest.Wait()
		require.True(t, p.Ready(), "its linger is an hour, but somebody needs its memory")
		require.Equal(t, 1, readies(p))

		// A batch begun while a Send waits is ready with its first record.
		b := take(t, p)
		grant := int64(small)
		require.NotNil(t, add(p, value("b"), Callback{}, &grant).Result)
		require.Zero(t, grant)
		require.True(t, p.Ready())
		p.Settle(b, acked(1))
		require.NoError(t, <-got)
		q.Unreserve(small)

		p.Settle(take(t, p), acked(2))
		put(t, p, "c")
		require.False(t, p.Ready(), "nobody waits any more")
		a.expediteAll()
		p.Settle(take(t, p), acked(3))
		requireEmpty(t, a)
	})
}

func TestReserveFailsAtOnceForMoreThanAllMemory(t *testing.T) {
	a := newTest(Config{Memory: 1000})
	p := a.Topic("t").Partition(0)
	require.ErrorContains(t, p.Reserve(t.Context(), 1001), "buffer.memory is 1000")
	requireEmpty(t, a)
}

func TestWaitForMemoryCostsOnlyLingeringBatches(t *testing.T) {
	a := newTest(Config{Linger: time.Hour})
	for n := range int32(100) {
		put(t, a.Topic("t").Partition(n), "x")
	}
	require.Len(t, a.lingering, 100)
	a.expediteAll()
	require.Empty(t, a.lingering, "the next one who waits need not look at them again")
	for n := range int32(100) {
		p := a.Topic("t").Partition(n)
		p.Settle(take(t, p), acked(0))
	}
	requireEmpty(t, a)
}

func TestForgettingABrokersLastPartitionServesTheSendsThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(Config{BatchSize: 1000, MaxRequestSize: 1 << 20, Memory: 1000})
		idle, busy := a.Topic("idle").Partition(0), a.Topic("busy").Partition(0)
		idle.SetBroker(1)
		busy.SetBroker(2)
		require.NoError(t, busy.Reserve(t.Context(), 500))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		served := make(chan error, 1)
		go func() { served <- busy.Reserve(ctx, 300) }()
		synctest.Wait()
		require.True(t, a.Forget("idle"))
		require.NoError(t, <-served)
		busy.Unreserve(800)
	})
}
