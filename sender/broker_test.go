package sender

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/internal/transport"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

func TestRequestsInFlightAreLimitedForEachConnection(t *testing.T) {
	for _, limit := range []int{1, 2, 5} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			onRig(t, topicT(2, 16), func(c *Config) { c.MaxInFlight = limit }, func(r *rig) {
				for p := range int32(2) {
					r.send(p, "warm").acked()
				}
				release := make(chan struct{})
				r.c.On(protocol.Produce).Do(testbroker.HoldAnswer(release))
				var all []sent
				for p := range int32(16) {
					all = append(all, r.send(p, "x"))
					synctest.Wait() // a request each
				}
				count := map[int32]int{}
				for _, q := range r.c.Produces()[2:] {
					count[q.Broker]++
				}
				require.Equal(t, map[int32]int{1: limit, 2: limit}, count)
				close(release)
				for _, s := range all {
					s.acked()
				}
				for _, q := range r.c.Produces() {
					require.LessOrEqual(t, q.InFlight, limit)
				}
			})
		})
	}
}

func TestABrokersThrottleIsHonouredForItAlone(t *testing.T) {
	onRig(t, topicT(2, 4), nil, func(r *rig) {
		r.send(0, "warm").acked()
		r.send(1, "warm").acked()
		// The answer comes at once; it is for the client to keep still (KIP-219).
		r.c.On(protocol.Produce).Broker(1).Nth(1).Do(testbroker.Edit(
			func(a *protocol.ProduceResponse) { a.ThrottleMs = 3000 }))
		began := time.Now()
		r.send(0, "throttles").acked()
		require.Zero(t, time.Since(began))
		later := r.send(2, "throttled")
		r.send(1, "other").acked()
		require.Zero(t, time.Since(began), "the other broker has not throttled")
		later.acked()
		require.Equal(t, 3*time.Second, time.Since(began))
	})
}

// TestAThrottleBeyondTheDeliveryTimeoutIsSaid: the records fail, for certain not written, and the reason is the
// throttle.
func TestAThrottleBeyondTheDeliveryTimeoutIsSaid(t *testing.T) {
	onRig(t, topicT(1, 2), func(c *Config) { c.MaxInFlight = 1 }, func(r *rig) {
		forLong := testbroker.Edit(func(a *protocol.ProduceResponse) { a.ThrottleMs = 1<<31 - 1 })
		r.c.On(protocol.Produce).Nth(1).Do(forLong.And(testbroker.DelayAnswer(time.Second)))
		first := r.send(0, "throttles")
		synctest.Wait()
		began := time.Now()
		waiting := r.send(1, "throttled")
		first.acked()
		failure := waiting.failed(false)
		require.ErrorIs(t, failure, record.ErrDeliveryTimeout)
		require.Contains(t, failure.Error(), "broker 1 throttles")
		require.Equal(t, 2*time.Minute, time.Since(began))
		r.send(1, "later").acked()
	})
}

func TestARequestIsNeverLargerThanMaxRequestSize(t *testing.T) {
	const most = 50_000
	onRig(t, topicT(1, 20), func(c *Config) { c.MaxRequestSize, c.Accumulator.MaxRequestSize = most, most },
		func(r *rig) {
			release := make(chan struct{})
			r.c.On(protocol.Produce).Nth(1).Do(testbroker.Hold(release))
			var all []sent
			for i := range 200 {
				all = append(all, r.send(int32(i%20), strings.Repeat("x", 10+(i*997)%8000)))
			}
			// A record as large as a request, and one just below.
			for i := range int32(2) {
				all = append(all, r.append(3+i, &record.Record{Topic: "t", Value: make([]byte, most-200-100*i)}))
			}
			synctest.Wait()
			close(release)
			for _, s := range all {
				s.acked()
			}
			shared := 0
			for _, q := range r.c.Produces() {
				size := 0
				for _, part := range q.Parts {
					size += len(part.Raw)
				}
				require.LessOrEqual(t, size, most)
				if len(q.Parts) > 1 {
					shared++
				}
			}
			require.NotZero(t, shared)
		})
}

// TestAnIdleProducerHasNoTimers: after all outcomes, only the age of metadata and idle connections can wake it.
func TestAnIdleProducerHasNoTimers(t *testing.T) {
	onRig(t, topicT(2, 2), nil, func(r *rig) {
		faults := []testbroker.Action{testbroker.DropAnswer(), testbroker.Fail(protocol.NotEnoughReplicas),
			testbroker.Throttle(time.Second)}
		r.c.On(protocol.Produce).InTurn(faults...)
		for i := range int32(6) {
			r.send(i%2, "x").acked()
		}
		time.Sleep(10 * time.Second) // refreshes after the failures end
		synctest.Wait()
		for p := range int32(2) {
			part := r.part(p).Drainer().(*partition)
			part.mu.Lock()
			require.True(t, part.due.IsZero(), "a timer of partition %d", p)
			require.True(t, part.delivery.IsEmpty())
			part.mu.Unlock()
		}
		before := len(r.c.Requests())
		time.Sleep(4 * time.Minute)
		require.Len(t, r.c.Requests(), before, "nobody asks for anything")
		time.Sleep(15 * time.Minute)
		require.Zero(t, r.c.Connections(1)+r.c.Connections(2), "idle connections are closed")
	})
}

// TestAConnectionThatWasClosedWhileIdleCostsNoRetry: the broker has its own idle timeout.
func TestAConnectionThatWasClosedWhileIdleCostsNoRetry(t *testing.T) {
	for _, retries := range []int{0, 1} {
		for _, acks := range []int16{-1, 1, 0} {
			t.Run(fmt.Sprintf("retries=%d acks=%d", retries, acks), func(t *testing.T) {
				onRig(t, topicT(1, 1), func(c *Config) { c.Retries, c.Acks, c.Idempotent = retries, acks, false },
					func(r *rig) {
						for i := range 5 {
							r.send(0, fmt.Sprint(i)).acked()
							r.c.WaitRecords(r.ctx, "t", i+1)
							r.c.Disconnect(1)
							synctest.Wait()
						}
						require.Len(t, r.c.Produces(), 5)
					})
			})
		}
	}
}

// TestConnectionsThatIdleTooLongAreMadeAnew: the client closes first.
func TestConnectionsThatIdleTooLongAreMadeAnew(t *testing.T) {
	onRig(t, topicT(1, 1), func(c *Config) { c.Retries, c.Idempotent = 0, false }, func(r *rig) {
		r.send(0, "a").acked()
		time.Sleep(9*time.Minute + time.Second)
		synctest.Wait()
		require.Zero(t, r.c.Connections(1))
		r.send(0, "b").acked()
		require.Len(t, r.c.Produces(), 2)
	})
}

func TestABrokerThatRestartsGetsEverythingOnce(t *testing.T) {
	onRig(t, topicT(1, 1), nil, func(r *rig) {
		r.send(0, "warm").acked()
		r.c.StopBroker(1)
		var all []sent
		for _, v := range numbered(100, strings.Repeat("x", 1000)) {
			all = append(all, r.send(0, v))
		}
		time.Sleep(20 * time.Second)
		r.c.StartBroker(1)
		began := time.Now()
		for i, s := range all {
			require.Equal(t, int64(i+1), s.acked())
		}
		require.Less(t, time.Since(began), 5*time.Second)
		require.Less(t, len(r.c.RequestsOf(protocol.ApiVersions)), 200, "dialling is backed off")
	})
}

func TestABrokerThatCannotBeReachedIsNamed(t *testing.T) {
	onRig(t, topicT(1, 1), nil, func(r *rig) {
		r.c.Isolate(1)
		failure := r.send(0, "x").failed(false)
		require.ErrorIs(t, failure, record.ErrDeliveryTimeout)
		require.True(t, record.FateOf(failure) == record.FateNotWritten)
		require.Contains(t, failure.Error(), "broker-1:9092")
		require.Contains(t, failure.Error(), transport.ErrSetupTimeout.Error())
		r.c.Unhang(1)
		r.send(0, "y").acked()
	})
}

// TestAnExpiredBatchsBufferIsNotReusedWhileItIsWritten: the broker reads the first half, the records expire, others are
// sent, and then the broker reads the rest. It must be the rest of the first record.
func TestAnExpiredBatchsBufferIsNotReusedWhileItIsWritten(t *testing.T) {
	change := func(c *Config) { c.DeliveryTimeout, c.RequestTimeout = 5*time.Second, time.Minute }
	onRig(t, topicT(2, 4), change, func(r *rig) {
		for p := range int32(4) {
			r.send(p, "warm").acked()
		}
		r.c.Hang(1)
		large := func(word string) *record.Record {
			return &record.Record{Topic: "t", Value: []byte(strings.Repeat(word, 100_000))}
		}
		first := large("first ")
		require.ErrorIs(t, r.append(0, first).failed(true), record.ErrDeliveryTimeout)
		records, bytes := r.s.Accumulator().Buffered()
		require.Zero(t, records)
		require.GreaterOrEqual(t, bytes, int64(len(first.Value)), "the connection still holds it")
		for range 5 {
			r.append(1, large("other ")).acked()
			r.append(3, large("third ")).acked()
		}
		r.c.Unhang(1)
		r.send(0, "last").acked()
		require.Equal(t, []string{"warm", string(first.Value), "last"}, r.values(0))
		synctest.Wait()
		_, bytes = r.s.Accumulator().Buffered()
		require.Zero(t, bytes)
	})
}

// TestExpiryInOnePartitionLeavesTheOthersAlone: they are on the same broker, and it returns in time for them.
func TestExpiryInOnePartitionLeavesTheOthersAlone(t *testing.T) {
	onRig(t, topicT(1, 3), func(c *Config) { c.DeliveryTimeout, c.RequestTimeout = 10*time.Second, 3*time.Second },
		func(r *rig) {
			for p := range int32(3) {
				r.send(p, "warm").acked()
			}
			r.c.StopBroker(1)
			early := []sent{r.send(0, "early"), r.send(1, "early")}
			time.Sleep(9 * time.Second)
			late := r.send(2, "late")
			for _, s := range early {
				require.ErrorIs(t, s.failed(false), record.ErrDeliveryTimeout)
			}
			r.c.StartBroker(1)
			late.acked()
			for p := range int32(2) {
				r.send(p, "again").acked()
				require.Equal(t, []string{"warm", "again"}, r.values(p))
			}
		})
}

// TestWithADeliveryTimeoutOfZeroEveryRecordFailsAtOnce: zero is a time like others, not the default.
func TestWithADeliveryTimeoutOfZeroEveryRecordFailsAtOnce(t *testing.T) {
	onRig(t, topicT(1, 1), func(c *Config) { c.DeliveryTimeout = 0 }, func(r *rig) {
		r.c.On(protocol.InitProducerID).Do(testbroker.Delay(time.Minute)) // so it cannot come at the same moment
		began := time.Now()
		for range 3 {
			failure := r.send(0, "x").failed(false)
			require.ErrorIs(t, failure, record.ErrDeliveryTimeout)
		}
		require.Zero(t, time.Since(began))
		require.Empty(t, r.values(0))
	})
}

// A partition has left a broker's queue by moving away. Once the metadata does not name the broker anymore, nothing of
// it is left.
func TestABrokerThatIsGoneCausesNoRequests(t *testing.T) {
	onRig(t, topicT(2, 2), nil, func(r *rig) {
		r.send(0, "warm").acked()
		r.send(1, "warm").acked()
		r.c.StopBroker(2)
		waits := r.send(1, "waits")
		time.Sleep(time.Second)
		r.c.MoveLeader("t", 1, 1)
		waits.acked()
		time.Sleep(time.Minute)
		before := len(r.c.RequestsOf(protocol.Metadata))
		time.Sleep(time.Minute)
		require.Len(t, r.c.RequestsOf(protocol.Metadata), before)
	})
}
