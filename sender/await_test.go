package sender

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
)

// lingering makes batches wait, so a waiting goroutine readies its record's batch.
func lingering(c *Config) { c.Accumulator.Linger = time.Second }

// writes notes the goroutines of the requests' writes.
type writes struct {
	mu    sync.Mutex
	stack []string
}

type watchedConn struct {
	net.Conn
	w *writes
}

func (c watchedConn) Write(b []byte) (int, error) {
	buf := make([]byte, 1<<16)
	c.w.mu.Lock()
	c.w.stack = append(c.w.stack, string(buf[:runtime.Stack(buf, false)]))
	c.w.mu.Unlock()
	return c.Conn.Write(b)
}

func (c watchedConn) WriteBuffer() int { return c.Conn.(interface{ WriteBuffer() int }).WriteBuffer() }

// watch makes the connections of a configuration tell.
func (w *writes) watch(c *Config) {
	lingering(c)
	dial := c.Transport.Dialer
	c.Transport.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return watchedConn{nc, w}, nil
	}
}

// byWaiter reports whether the last write was on the waiting goroutine, and not on the broker's.
func (w *writes) byWaiter() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := w.stack[len(w.stack)-1]
	return strings.Contains(last, "accumulator.(*Result).Wait(") && !strings.Contains(last, "sender.(*broker).run(")
}

func TestAWaitingGoroutineWritesItsRequest(t *testing.T) {
	var w writes
	onRig(t, topicT(1, 1), w.watch, func(r *rig) {
		require.Equal(t, int64(0), r.send(0, "first").acked())
		require.False(t, w.byWaiter(), "to dial is not for who waits")
		synctest.Wait() // the broker's goroutine is done
		for i := range int64(5) {
			require.Equal(t, i+1, r.send(0, fmt.Sprint(i)).acked())
			require.True(t, w.byWaiter())
		}
		require.Len(t, r.c.Produces(), 6)
	})
}

func TestAWaitingGoroutineNeverBlocksInAWrite(t *testing.T) {
	var w writes
	onRig(t, topicT(1, 1), w.watch, func(r *rig) {
		r.send(0, "first").acked()
		synctest.Wait() // the broker's goroutine is done
		began := time.Now()
		require.Equal(t, int64(1), r.send(0, strings.Repeat("x", 7_000)).acked(), "it is sent all the same")
		require.Zero(t, time.Since(began), "and at once")
		require.False(t, w.byWaiter())
		synctest.Wait() // the broker's goroutine is done
		require.Equal(t, int64(2), r.send(0, "small").acked())
		require.True(t, w.byWaiter())
	})
}

func TestWithoutAcknowledgementsNobodyWaitsInAWrite(t *testing.T) {
	var w writes
	onRig(t, topicT(1, 1), func(c *Config) { w.watch(c); c.Acks, c.Idempotent = 0, false }, func(r *rig) {
		for range 3 {
			r.send(0, "x").acked()
			require.False(t, w.byWaiter())
		}
	})
}

func TestTheGoroutineOfAResponseSendsAwaitedBatches(t *testing.T) {
	for _, c := range []struct {
		name     string
		takes    time.Duration
		requests int
	}{{"soon", fastReply / 2, 3}, {"slow", 2 * fastReply, 10}} {
		t.Run(c.name, func(t *testing.T) {
			onRig(t, topicT(1, 4), func(c *Config) { lingering(c); c.MaxInFlight = 100 }, func(r *rig) {
				for p := range int32(4) { // a first acknowledgement under the identity
					r.send(p, "warm").acked()
				}
				r.c.On(protocol.Produce).Do(testbroker.DelayAnswer(c.takes))
				r.send(0, "warm").acked()
				before := len(r.c.Produces())
				var wait sync.WaitGroup
				for i := range 8 {
					wait.Go(func() {
						time.Sleep(time.Duration(i+1) * 10 * time.Microsecond)
						r.send(int32(i%4), fmt.Sprint(i)).acked()
					})
				}
				wait.Wait()
				synctest.Wait()
				n := len(r.c.Produces()) - before
				if c.takes < fastReply {
					// One record; all records of the time while that was under way, one batch a partition; the rest of
					// those.
					require.LessOrEqual(t, n, c.requests)
				} else {
					require.Greater(t, n, 4, "requests do not wait for a slow broker's answers")
				}
			})
		})
	}
}

func TestTheGoroutineThatProcessesAResponseMakesTheNextRequest(t *testing.T) {
	var w writes
	onRig(t, topicT(1, 2), w.watch, func(r *rig) {
		for p := range int32(2) {
			r.send(p, "warm").acked()
			r.send(p, "warm").acked()
		}
		synctest.Wait()
		r.c.On(protocol.Produce).Nth(1).Do(testbroker.DelayAnswer(fastReply / 2))
		r.send(0, "first").await()
		synctest.Wait()
		before := len(r.c.Produces())
		next := r.send(1, "next")
		next.await()
		synctest.Wait()
		require.Len(t, r.c.Produces(), before, "it waits for the response")
		next.acked()
		require.Contains(t, w.stack[len(w.stack)-1], "sender.(*broker).sendNext(")
	})
}

func TestAnAwaitedBatchThatDoesNotFitIsSentAtOnce(t *testing.T) {
	onRig(t, topicT(1, 3), lingering, func(r *rig) {
		for p := range int32(3) {
			r.send(p, "warm").acked()
			r.send(p, "warm").acked()
		}
		synctest.Wait()
		r.c.On(protocol.Produce).Do(testbroker.DelayAnswer(fastReply / 2))
		r.send(0, "first").await()
		synctest.Wait()
		before := len(r.c.Produces())
		for p := range int32(2) {
			r.send(1+p, strings.Repeat("x", 1500)).await() // there is room for one of them
		}
		synctest.Wait()
		require.Len(t, r.c.Produces(), before, "both wait for the response")
		time.Sleep(fastReply / 2)
		synctest.Wait()
		require.Len(t, r.c.Produces(), before+2)
	})
}

func TestRecordsThatWaitForAnAnswerAreSentWhenItDoesNotCome(t *testing.T) {
	onRig(t, topicT(1, 2), lingering, func(r *rig) {
		r.send(0, "warm").acked()
		r.send(1, "warm").acked()
		r.c.On(protocol.Produce).Nth(1).Do(testbroker.DropRequest())
		one := r.send(0, "lost")
		var wait sync.WaitGroup
		wait.Go(func() { one.acked() })
		wait.Go(func() {
			time.Sleep(time.Nanosecond)
			r.send(1, "later").acked()
		})
		wait.Wait()
		require.Equal(t, []string{"warm", "lost"}, r.values(0))
		require.Equal(t, []string{"warm", "later"}, r.values(1))
	})
}

// TestABrokerThatHasMovedIsFollowed: its old address may still answer for a while, or be another broker's soon.
func TestABrokerThatHasMovedIsFollowed(t *testing.T) {
	const elsewhere = "elsewhere.test:9092"
	for name, change := range map[string]func(*Config){"by its goroutine": nil, "by who waits": lingering} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			dialled := make(map[string]int)
			onRig(t, topicT(1, 1), func(c *Config) {
				if change != nil {
					change(c)
				}
				dial := c.Transport.Dialer
				c.Transport.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
					mu.Lock()
					dialled[address]++
					mu.Unlock()
					return dial(ctx, network, address)
				}
			}, func(r *rig) {
				for range 3 {
					r.send(0, "x").acked()
				}
				require.Zero(t, dialled[elsewhere])
				r.c.Alias(elsewhere, 1)
				r.c.On(protocol.Metadata).Do(testbroker.Edit(func(m *protocol.MetadataResponse) {
					m.Brokers[0].Host, m.Brokers[0].Port = "elsewhere.test", 9092
				}))
				r.client.Refresh()
				time.Sleep(time.Minute)
				for range 3 {
					r.send(0, "y").acked()
				}
				mu.Lock()
				defer mu.Unlock()
				require.Equal(t, 1, dialled[elsewhere])
				require.Equal(t, []string{"x", "x", "x", "y", "y", "y"}, r.values(0))
			})
		})
	}
}

// hungAnswer lets the broker answer soon, and then not answer one request for a while.
func hungAnswer(r *rig) (requests func() int) {
	for p := range int32(2) {
		r.send(p, "warm").acked()
		r.send(p, "warm").acked()
	}
	before := len(r.c.Produces())
	r.c.On(protocol.Produce).Nth(1).Do(testbroker.DelayAnswer(20 * time.Second))
	r.send(0, "hangs").await()
	synctest.Wait()
	return func() int {
		synctest.Wait()
		return len(r.c.Produces()) - before
	}
}

func TestASlowResponseHoldsUpNoRequest(t *testing.T) {
	onRig(t, topicT(1, 2), lingering, func(r *rig) {
		requests := hungAnswer(r)
		require.Equal(t, 1, requests())
		time.Sleep(fastReply)
		r.send(1, "later").await()
		require.Equal(t, 2, requests(), "what came soon before says nothing of this one")
		time.Sleep(30 * time.Second)
		require.Equal(t, []string{"warm", "warm", "later"}, r.values(1))
	})
}

func TestALostResponseLeavesNoGoroutineWaiting(t *testing.T) {
	onRig(t, topicT(1, 2), lingering, func(r *rig) {
		requests := hungAnswer(r)
		r.send(1, "at once").await()
		require.Equal(t, 1, requests())
		time.Sleep(suspectAfter)
		require.Equal(t, 2, requests())
		time.Sleep(30 * time.Second)
	})
}

func TestAFullBatchDoesNotWaitForAnAnswer(t *testing.T) {
	onRig(t, topicT(1, 2), lingering, func(r *rig) {
		requests := hungAnswer(r)
		r.send(1, "at once").await()
		require.Equal(t, 1, requests())
		r.send(1, strings.Repeat("x", 10_000))
		r.send(1, strings.Repeat("y", 10_000)) // completes the batch before
		require.GreaterOrEqual(t, requests(), 2)
		time.Sleep(30 * time.Second)
	})
}

// await starts a goroutine that waits for the record in Get.
func (s sent) await() {
	go func() { _, _ = s.get() }()
}

// acquired makes the test the maker of the broker's next request, until release.
func (b *broker) acquired() (release func() (woken bool)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.handover.acquire()
	return func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.handover.release()
	}
}

func TestABrokersGoroutineThatWasWokenDuringAnotherRequestSendsAfterIt(t *testing.T) {
	onRig(t, topicT(1, 2), lingering, func(r *rig) {
		requests := hungAnswer(r) // otherwise the partition in the queue would wake the broker's goroutine
		b := r.s.brokers[1]
		b.acquired()
		time.Sleep(fastReply) // a response is not due soon
		r.send(1, "meanwhile").await()
		require.Equal(t, 1, requests(), "the other goroutine makes requests")
		const tooSmall = 1
		require.False(t, b.sendOne(b.conn, tooSmall, false))
		require.Equal(t, 2, requests())
		time.Sleep(30 * time.Second)
		require.Equal(t, []string{"warm", "warm", "meanwhile"}, r.values(1))
	})
}

func TestASecondGoroutineInGetMakesNoRequest(t *testing.T) {
	onRig(t, topicT(1, 1), lingering, func(r *rig) {
		r.send(0, "warm").acked()
		synctest.Wait()
		b := r.s.brokers[1]
		b.push(queueEntry{part: r.part(0).Drainer().(*partition)}) // a place without a batch
		conn, _, _ := b.tryAcquire()
		require.NotNil(t, conn)
		other, _, later := b.tryAcquire()
		require.Nil(t, other)
		require.False(t, later, "no response is due, so the broker's goroutine looks")
		require.False(t, b.sendOne(conn, 0, false))
	})
}

func TestABrokerDoesNotLeaveWhileAnotherGoroutineMakesARequest(t *testing.T) {
	b := newBroker(nil, 1)
	b.leaves = true
	release := b.acquired()
	require.False(t, b.hasLeft())
	release()
	require.True(t, b.hasLeft())
}

func TestARequestEndsTheWaitForAResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(&Sender{ctx: t.Context()}, 1)
		b.handover.repliedFast()
		b.handover.awaitReply()
		b.began(time.Now())
		require.False(t, b.handover.isReplyAwaited())
		require.Equal(t, time.Now().Add(suspectAfter), b.silenceAt)

		time.Sleep(suspectAfter / 2)
		due := b.silenceAt
		b.watchLocked(time.Now().Add(suspectAfter))
		require.Equal(t, due, b.silenceAt, "one look is enough")
		b.close(nil)
	})
}
