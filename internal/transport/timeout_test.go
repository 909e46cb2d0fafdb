package transport

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestARequestWithoutAnswerEndsTheConnectionAfterItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Options{}, func(p *peer) {
			for {
				if _, err := p.next(); err != nil {
					return
				}
			}
		})
		began := time.Now()
		one, done1 := call("1")
		one.Timeout = 5 * time.Second
		require.NoError(t, c.Send(one))
		time.Sleep(2 * time.Second)
		two, done2 := call("2")
		two.Timeout = 5 * time.Second
		require.NoError(t, c.Send(two))
		for _, done := range []chan outcome{done1, done2} {
			got := <-done
			require.ErrorIs(t, got.err, ErrRequestTimeout)
			require.True(t, failure(t, got.err).Sent)
			require.True(t, failure(t, got.err).Timeout)
			require.Equal(t, 5*time.Second, got.at.Sub(began))
		}
		<-c.Closed()
		require.ErrorIs(t, c.Err(), ErrRequestTimeout)
		require.Zero(t, c.InFlight())
	})
}

func TestTheShortestTimeoutCountsInAnyPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Options{}, func(p *peer) {
			for {
				if _, err := p.next(); err != nil {
					return
				}
			}
		})
		began := time.Now()
		long, done1 := call("long")
		short, done2 := call("short")
		short.Timeout = time.Second
		require.NoError(t, c.Send(long))
		require.NoError(t, c.Send(short))
		require.ErrorIs(t, (<-done1).err, ErrRequestTimeout)
		require.ErrorIs(t, (<-done2).err, ErrRequestTimeout)
		require.Equal(t, time.Second, time.Since(began))
	})
}

func TestAnAnswerWithinItsTimeKeepsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Options{RequestTimeout: 10 * time.Second}, func(p *peer) {
			for {
				r, err := p.next()
				if err != nil {
					return
				}
				time.Sleep(10*time.Second - time.Millisecond)
				p.answer(r, "late")
			}
		})
		for range 5 {
			one, done := call("x")
			require.NoError(t, c.Send(one))
			require.NoError(t, (<-done).err)
		}
	})
}

func TestAnIdleConnectionClosesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Options{MaxIdle: time.Minute}, func(p *peer) {
			r, _ := p.next()
			time.Sleep(20 * time.Second)
			p.answer(r, "")
			_, _ = p.next()
		})
		one, done := call("x")
		require.NoError(t, c.Send(one))
		answered := (<-done).at
		<-c.Closed()
		require.Equal(t, time.Minute, time.Since(answered))
		require.ErrorIs(t, c.Err(), ErrIdle)

		err := c.Send(one)
		require.ErrorIs(t, err, ErrIdle)
		require.False(t, failure(t, err).Sent)
		require.Equal(t, err, (<-done).err)
	})
}

func TestAConnectionThatWasNeverUsedClosesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Options{}, func(p *peer) { _, _ = p.next() })
		began := time.Now()
		<-c.Closed()
		require.Equal(t, DefaultMaxIdle, time.Since(began))
	})
}

func TestAnIdleConnectionWithoutABoundStaysOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Options{MaxIdle: -1}, echo)
		time.Sleep(1000 * time.Hour)
		one, done := call("x")
		require.NoError(t, c.Send(one))
		require.NoError(t, (<-done).err)
		time.Sleep(1000 * time.Hour)
		require.NoError(t, c.Err())
	})
}

func TestAConnectionWithACallInFlightIsNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Options{MaxIdle: time.Second}, func(p *peer) {
			r, _ := p.next()
			time.Sleep(20 * time.Second)
			p.answer(r, "")
			_, _ = p.next()
		})
		one, done := call("x")
		require.NoError(t, c.Send(one))
		require.NoError(t, (<-done).err)
	})
}

func TestABrokerThatDoesNotReadIsBoundedByTheTimeout(t *testing.T) {
	for _, noResponse := range []bool{false, true} {
		t.Run(fmt.Sprint("without response ", noResponse), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stop := make(chan struct{})
				defer close(stop)
				c := connect(t, Options{RequestTimeout: 3 * time.Second}, func(*peer) { <-stop })
				began := time.Now()
				one, done := call("x")
				one.NoResponse = noResponse
				err := c.Send(one)
				require.ErrorIs(t, err, ErrRequestTimeout)
				require.True(t, failure(t, err).Timeout)
				require.False(t, failure(t, err).Sent, "the pipe took no byte")
				require.Equal(t, 3*time.Second, time.Since(began))
				require.Equal(t, err, (<-done).err)
			})
		})
	}
}

// countingConn counts how often deadlines are set.
type countingConn struct {
	net.Conn
	reads, writes atomic.Int64
}

func (c *countingConn) SetReadDeadline(t time.Time) error {
	c.reads.Add(1)
	return c.Conn.SetReadDeadline(t)
}

func (c *countingConn) SetWriteDeadline(t time.Time) error {
	c.writes.Add(1)
	return c.Conn.SetWriteDeadline(t)
}

// counted makes a connection to an echoing broker, and counts its deadlines.
func counted(t *testing.T) (*Conn, *countingConn) {
	counting := new(countingConn)
	pipe := dialer(func(p *peer) { p.greet(); echo(p) })
	o := Options{RequestTimeout: 30 * time.Second,
		Dialer: func(ctx context.Context, network, address string) (nc net.Conn, err error) {
			counting.Conn, err = pipe(ctx, network, address)
			return counting, err
		}}
	c, err := Dial(t.Context(), &o, "broker:9092")
	require.NoError(t, err)
	t.Cleanup(func() { c.Close(nil) })
	return c, counting
}

func TestDeadlinesAreSetRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, counting := counted(t)
		began := time.Now()
		for range 10_000 {
			one, done := call("x")
			require.NoError(t, c.Send(one))
			require.NoError(t, (<-done).err)
			time.Sleep(10 * time.Millisecond)
		}
		require.Equal(t, 100*time.Second, time.Since(began))
		// At most twice per request timeout, plus those at the beginning.
		require.LessOrEqual(t, counting.reads.Load(), int64(10))
		require.LessOrEqual(t, counting.writes.Load(), int64(6))
	})
}

func TestAWriteThatStopsInTheMiddleMayHaveBeenSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		defer close(stop)
		c := connect(t, Options{}, func(p *peer) {
			_, _ = p.Read(make([]byte, 5))
			<-stop
		})
		one, done := call("x")
		one.NoResponse = true
		one.Timeout = time.Second
		err := c.Send(one)
		require.ErrorIs(t, err, ErrRequestTimeout)
		require.True(t, failure(t, err).Sent)
		require.Equal(t, err, (<-done).err)
	})
}

func TestBackoffDoublesUpToItsMaximumAndIsScattered(t *testing.T) {
	b := Backoff{Initial: 100 * time.Millisecond, Max: time.Second}
	require.Zero(t, b.Delay(0))
	require.Zero(t, Backoff{}.Delay(5))
	for failures, want := range map[int]time.Duration{1: 100, 2: 200, 3: 400, 4: 800, 5: 1000, 6: 1000, 1 << 30: 1000} {
		want *= time.Millisecond
		low, high := time.Hour, time.Duration(0)
		for range 1000 {
			d := b.Delay(failures)
			low, high = min(low, d), max(high, d)
		}
		require.GreaterOrEqual(t, low, want*8/10, failures)
		require.LessOrEqual(t, high, want*12/10, failures)
		require.Greater(t, high-low, want*3/10, failures)
	}
	require.Greater(t, Backoff{Initial: time.Second, Max: time.Millisecond}.Delay(3), 700*time.Millisecond)
}
