package accumulator

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// requireLinear checks that work on ten times as much takes about ten times as long: a hundred times would be quadratic. prepare makes
// something of size n, and returns the work on it.
func requireLinear(t *testing.T, n int, prepare func(n int) (work func())) {
	t.Helper()
	const tries = 3
	fastest := func(n int) time.Duration {
		least := time.Hour
		for range tries {
			work := prepare(n)
			began := time.Now()
			work()
			least = min(least, time.Since(began))
		}
		return least
	}
	small, large := fastest(n/10), fastest(n)
	t.Logf("%d: %v, %d: %v", n/10, small, n, large)
	require.Less(t, large, max(40*small, 100*time.Millisecond), "%d took %v, and %d %v", n/10, small, n, large)
}

func TestLeavingTheQueueForMemoryCostsTheSameForAnyNumberOfWaiters(t *testing.T) {
	for name, order := range map[string]func(n int) []int{"first to last": ascending, "last to first": descending, "any": shuffled} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			requireLinear(t, 40_000, func(n int) func() {
				m, h := memoryFor(100, 1)
				require.True(t, m.try(h[0], 100))
				all := waiters(t, m, n, func(int) *holder { return h[0] })
				return func() {
					for _, i := range order(n) {
						require.Error(t, m.await(ctx, all[i]))
					}
					require.Zero(t, m.waiting.Load())
				}
			})
		})
	}
}

// waiters puts n waiters into the queues of holders.
func waiters(t *testing.T, m *memory, n int, of func(i int) *holder) []*waiter {
	t.Helper()
	all := make([]*waiter, n)
	for i := range all {
		w, err := m.enqueue(of(i), 10, false)
		require.NoError(t, err)
		require.NotNil(t, w)
		all[i] = w
	}
	return all
}

func ascending(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func descending(n int) []int {
	all := ascending(n)
	for i := range all {
		all[i] = n - 1 - i
	}
	return all
}

func shuffled(n int) []int { return rand.New(rand.NewPCG(1, 2)).Perm(n) }

func TestMovingPartitionsWithWaitersCostsTheirOwnOnly(t *testing.T) {
	requireLinear(t, 20_000, func(n int) func() {
		m, h := memoryFor(100, make([]int32, n)...)
		require.True(t, m.try(h[0], 100))
		waiters(t, m, n, func(i int) *holder { return h[i] })
		return func() {
			for _, one := range h {
				m.move(one, 1)
			}
			m.close(errors.New("over"))
		}
	})
}

// Half of the brokers wait for more than their share, in front of the others, which are all served at once.
func TestServingTheWaitersOfManyBrokersLooksAtEachOnce(t *testing.T) {
	requireLinear(t, 40_000, func(n int) func() {
		m, h := memoryFor(int64(10*n), ascendingBrokers(n)...)
		for _, one := range h[:n/2] {
			require.True(t, m.try(one, 5))
		}
		m.force(h[0], int64(10*n))
		for i, one := range h {
			size := int64(1)
			if i < n/2 {
				size = int64(5 * n)
			}
			w, err := m.enqueue(one, size, false)
			require.NoError(t, err)
			require.NotNil(t, w)
		}
		return func() {
			m.release(h[0], int64(10*n))
			require.EqualValues(t, n/2, m.waiting.Load())
			m.close(errors.New("over"))
		}
	})
}

func ascendingBrokers(n int) []int32 {
	all := make([]int32, n)
	for i := range all {
		all[i] = int32(i)
	}
	return all
}
