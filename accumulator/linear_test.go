package accumulator

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/record"
)

// requireLinear checks that work on ten times as much takes about ten times as long: a hundred times would be
// quadratic. prepare makes something of size n, and returns the work on it. Other load makes tries slow, so one fast
// try is enough.
func requireLinear(t *testing.T, n int, prepare func(n int) (work func())) {
	t.Helper()
	const tries = 10
	if raceEnabled {
		n /= 10 // every access costs many times as much
	}
	measure := func(n int) time.Duration {
		work := prepare(n)
		began := time.Now()
		work()
		return time.Since(began)
	}
	small := min(measure(n/10), measure(n/10), measure(n/10))
	limit := max(40*small, 300*time.Millisecond)
	var large time.Duration
	for range tries {
		if large = measure(n); large < limit {
			return
		}
	}
	require.Fail(t, "the work grows faster than its size", "%d took %v, and %d %v", n/10, small, n, large)
}

func TestLeavingTheQueueForMemoryCostsTheSameForAnyNumberOfWaiters(t *testing.T) {
	for name, order := range map[string]func(n int) []int{"first to last": ascending, "last to first": descending,
		"any": shuffled} {
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

// Half of the brokers wait for more than their share, in front of the others; the others are all served at once.
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

// manyRecords appends n records of the smallest size to one batch. Every other one has a callback of its own, and the
// rest are in rows of slices.
func manyRecords(t *testing.T, a *Accumulator, n int) (all []AppendResult) {
	t.Helper()
	p := a.Topic("t").Partition(0)
	fn := sliceCallback(func(int, record.RecordMetadata, error) {})
	one := func(record.RecordMetadata, error) {}
	for i := range n {
		callback := Callback{All: fn, I: i}
		if i%10 == 0 {
			callback = Callback{One: one}
		}
		appended := add(p, &record.Record{Timestamp: time.UnixMilli(int64(i))}, callback, nil)
		require.NotNil(t, appended.Result)
		all = append(all, appended)
	}
	require.Equal(t, 1, p.Queued())
	return all
}

const manyInOne = 60_000

func newForMany() *Accumulator {
	return newTest(Config{BatchSize: 2 << 20, MaxRequestSize: 4 << 20, Memory: 1 << 30, Linger: time.Hour})
}

func TestCancelOfAllRecordsOfALargeBatchCostsTheSameEach(t *testing.T) {
	for name, order := range map[string]func(n int) []int{"first to last": ascending, "last to first": descending,
		"any": shuffled} {
		t.Run(name, func(t *testing.T) {
			requireLinear(t, manyInOne, func(n int) func() {
				a := newForMany()
				all := manyRecords(t, a, n)
				return func() {
					for _, i := range order(n) {
						require.True(t, cancelOf(all[i]))
					}
					require.NoError(t, a.Flush(t.Context())) // the callbacks
					requireEmpty(t, a)
				}
			})
		})
	}
}

func TestWorkOnABatchOfManyHalfCanceledRecordsIsLinear(t *testing.T) {
	for name, work := range map[string]func(p *Partition, b *Batch){
		"acknowledged": func(p *Partition, b *Batch) { p.Settle(b, acked(0)) },
		"failed":       func(p *Partition, b *Batch) { p.Settle(b, failed(record.ErrDeliveryTimeout)) },
		"rejected": func(p *Partition, b *Batch) {
			rest, err := p.Reject(b, blame("bad", firstHalf(b)...))
			require.NoError(t, err)
			p.Settle(rest, failed(record.ErrDeliveryTimeout))
		},
		"split": func(p *Partition, b *Batch) {
			parts, err := p.Split(b, 600)
			require.NoError(t, err)
			for _, part := range parts {
				p.Settle(part, acked(0))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			requireLinear(t, manyInOne, func(n int) func() {
				a := newForMany()
				p := a.Topic("t").Partition(0)
				all := manyRecords(t, a, n)
				for i := 0; i < n; i += 2 {
					require.True(t, cancelOf(all[i]))
				}
				a.expediteAll()
				b := take(t, p)
				return func() {
					work(p, b)
					require.NoError(t, a.Flush(t.Context()))
					for i, one := range all {
						md, err := one.Result.Wait(t.Context(), one.Index)
						if i%2 == 0 {
							require.ErrorIs(t, err, record.ErrCanceled)
							require.EqualValues(t, i, md.Timestamp.UnixMilli())
						}
					}
					requireEmpty(t, a)
				}
			})
		})
	}
}

func firstHalf(b *Batch) (all []int32) {
	for j := range b.Count / 2 {
		all = append(all, j)
	}
	return all
}

// Complete batches stand in the queue in any number.
func TestCancelAmongManyBatchesCostsTheSameEach(t *testing.T) {
	requireLinear(t, manyInOne, func(n int) func() {
		a := newTest(Config{BatchSize: 1, Memory: 1 << 30, Linger: time.Hour})
		p := a.Topic("t").Partition(0)
		all := putMany(t, p, 0, n)
		return func() {
			for _, i := range shuffled(n) {
				require.True(t, cancelOf(all[i]), fmt.Sprint(i))
			}
			requireEmpty(t, a)
		}
	})
}

// A goroutine waits for each record. The cancel of one wakes those of its row, not all.
func TestCancelWakesFewWaitersOfOtherRecords(t *testing.T) {
	a := newForMany()
	all := manyRecords(t, a, 10_000)
	r := all[0].Result
	channels := make([]<-chan struct{}, len(all))
	for i := range all {
		channels[i] = r.watch(int32(i))
	}
	require.True(t, r.Cancel(5000))
	woken := 0
	for _, ch := range channels {
		select {
		case <-ch:
			woken++
		default:
		}
	}
	require.LessOrEqual(t, woken, 64)
	require.Positive(t, woken)
	p := a.Topic("t").Partition(0)
	p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
	require.NoError(t, a.Flush(t.Context()))
	for i, ch := range channels {
		select {
		case <-ch:
		default:
			require.Fail(t, "a waiter was not woken", "record %d", i)
		}
	}
}
