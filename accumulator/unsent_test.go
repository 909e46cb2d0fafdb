package accumulator

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// step is a sender's time to fill a batch.
const step = 10 * time.Microsecond

// flow appends n batches of 16 KiB as fast as it may while a network takes one each so often, and returns the longest
// Pace, the time of all, and how many bytes were ahead of the network at most, at the end of it.
func flow(t *testing.T, n int, every time.Duration) (longest, all time.Duration, ahead int64) {
	t.Helper()
	a := newTest(Config{Linger: time.Hour, Memory: 64 << 20})
	p := a.Topic("t").Partition(0)
	r := sizedRecord(t, 16384-61)
	stop := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if b := p.Take(); b != nil {
				b.MarkSent()
				p.Settle(b, acked(0))
			}
			select {
			case <-stop:
				settleAll(p)
				return
			case <-time.After(every):
			}
		}
	}()
	began := time.Now()
	for range n {
		time.Sleep(step)
		require.NotNil(t, add(p, r, Callback{}, nil).Result)
		before := time.Now()
		a.ThrottleUnsent()
		longest = max(longest, time.Since(before))
	}
	all, ahead = time.Since(began), a.unsent.ahead.Load()
	close(stop)
	<-ended
	requireEmpty(t, a)
	require.Zero(t, a.unsent.ahead.Load())
	return longest, all, ahead
}

func TestSendsKeepLittleAheadOfAFastNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		longest, _, ahead := flow(t, 3000, 20*time.Microsecond) // 800 MB/s
		require.LessOrEqual(t, longest, paceWait)
		require.LessOrEqual(t, ahead, int64(paceBytes+16384))
	})
}

func TestABurstIsNotHeldByASlowNetwork(t *testing.T) {
	for name, every := range map[string]time.Duration{"10 MB/s": 1600 * time.Microsecond, "at all": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				longest, all, ahead := flow(t, 2000, every)
				require.LessOrEqual(t, longest, paceWait)
				require.LessOrEqual(t, all, 2000*step+2*paceWait)
				require.Greater(t, ahead, int64(30<<20))
			})
		})
	}
}

// The network was fast, and then it stands still: one Send finds out.
func TestANetworkThatStopsHoldsOneSendForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{Linger: time.Hour, Memory: 64 << 20})
		p := a.Topic("t").Partition(0)
		a.unsent.fast.Store(true)
		began := time.Now()
		for range 1000 {
			require.NotNil(t, add(p, sizedRecord(t, 16384-61), Callback{}, nil).Result)
			a.ThrottleUnsent()
		}
		require.Equal(t, paceWait, time.Since(began))
		settleAll(p)
		requireEmpty(t, a)
		require.Zero(t, a.unsent.ahead.Load(), "what never left is not ahead any more")
	})
}

// A single batch can take all excess bytes with it. A waiting Send need not wait for its time to end then.
func TestTheEndOfALargeBatchWakesWaitingSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{Linger: time.Hour, Memory: 64 << 20, MaxRequestSize: 4 << 20})
		p := a.Topic("t").Partition(0)
		a.unsent.fast.Store(true)
		require.NotNil(t, add(p, sizedRecord(t, 3<<20), Callback{}, nil).Result)
		go func() {
			time.Sleep(time.Microsecond)
			b := p.Take()
			b.MarkSent()
			p.Settle(b, acked(0))
		}()
		began := time.Now()
		a.ThrottleUnsent()
		require.Equal(t, time.Microsecond, time.Since(began))
		synctest.Wait()
		requireEmpty(t, a)
	})
}
