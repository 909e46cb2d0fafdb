package transport

import (
	"context"
	"math"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
)

// throttling is a broker that answers the first request at once, reads nothing for a time, and then answers each
// request at once.
func throttling(mute time.Duration) func(p *peer) {
	return func(p *peer) {
		r, err := p.next()
		if err != nil {
			return
		}
		p.answer(r, "throttles")
		time.Sleep(mute)
		echo(p)
	}
}

// throttled makes a call with a response that throttles the connection for d.
func throttled(c *Conn, d time.Duration) (*Call, chan outcome) {
	first, done := call("first")
	tell := first.Done
	first.Done = func(body []byte, err error) {
		c.Throttle(d)
		tell(body, err)
	}
	return first, done
}

func TestAThrottleMovesTheDeadlinesOfTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Options{RequestTimeout: 10 * time.Second}, throttling(30*time.Second))
		first, done := throttled(c, 30*time.Second)
		inFlight, done2 := call("in flight")
		sent := make(chan error, 1)
		go func() {
			require.NoError(t, c.Send(first))
			sent <- c.Send(inFlight) // the broker reads nothing, so the write takes as long as the throttle
		}()
		require.NoError(t, (<-done).err)
		began := time.Now()
		time.Sleep(25 * time.Second)
		later, done3 := call("later")
		go func() { sent <- c.Send(later) }()
		require.Equal(t, "in flight", (<-done2).body)
		require.Equal(t, "later", (<-done3).body)
		require.Equal(t, 30*time.Second, time.Since(began))
		require.NoError(t, <-sent)
		require.NoError(t, <-sent)
		require.True(t, c.ThrottledUntil().IsZero(), "the responses have ended it")
	})
}

// The timeout still counts, from the end of the throttle.
func TestAThrottledBrokerThatStaysSilentTimesOut(t *testing.T) {
	for name, during := range map[string]bool{"sent before the throttle": false, "sent during the throttle": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := connect(t, Options{RequestTimeout: 10 * time.Second}, func(p *peer) {
					r, _ := p.next()
					p.answer(r, "throttles")
					for {
						if _, err := p.next(); err != nil {
							return
						}
					}
				})
				first, done := throttled(c, 30*time.Second)
				second, done2 := call("second")
				require.NoError(t, c.Send(first))
				if !during {
					require.NoError(t, c.Send(second))
				}
				began := (<-done).at
				if during {
					time.Sleep(20 * time.Second)
					require.NoError(t, c.Send(second))
				}
				require.ErrorIs(t, (<-done2).err, ErrRequestTimeout)
				require.Equal(t, 40*time.Second, time.Since(began))
			})
		})
	}
}

// ReadUntil reads the throttling response; a goroutine also waits for the following call, and its answer comes after
// the throttle.
func TestAThrottleIsReadInAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Options{RequestTimeout: 10 * time.Second}, throttling(30*time.Second))
		one, done := throttled(c, 30*time.Second)
		for range 2 {
			began := time.Now()
			awaited := make(chan struct{})
			tell := one.Done
			one.ReadInline, one.Done = true, func(body []byte, err error) {
				tell(body, err)
				close(awaited)
			}
			require.NoError(t, c.Send(one))
			c.ReadUntil(awaited)
			<-awaited
			require.NoError(t, (<-done).err)
			if time.Since(began) > 0 {
				require.Equal(t, 30*time.Second, time.Since(began))
			}
			one, done = call("second")
		}
	})
}

func TestANonsensicalThrottleIsBounded(t *testing.T) {
	for _, d := range []time.Duration{0, -1, math.MinInt64, math.MaxInt64, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			c := connect(t, Options{RequestTimeout: 10 * time.Second, MaxThrottle: time.Minute}, func(p *peer) {
				for {
					if _, err := p.next(); err != nil {
						return
					}
				}
			})
			before, done1 := call("before")
			require.NoError(t, c.Send(before))
			began := time.Now()
			c.Throttle(d)
			after, done2 := call("after")
			require.NoError(t, c.Send(after))
			want := 10 * time.Second
			if d > 0 {
				want += time.Minute
			}
			for _, done := range []chan outcome{done1, done2} {
				got := <-done
				require.ErrorIs(t, got.err, ErrRequestTimeout)
				require.Equal(t, want, got.at.Sub(began))
			}
		})
	}
}

// Do and the first exchange apply the throttle only in versions in which the broker responds before it throttles.
func TestDoThrottlesInItsVersions(t *testing.T) {
	for version := int16(3); version <= 13; version++ {
		synctest.Test(t, func(t *testing.T) {
			o := Options{Dialer: func(context.Context, string, string) (net.Conn, error) {
				ours, theirs := net.Pipe()
				go func() {
					defer func() { _ = theirs.Close() }()
					p := newPeer(theirs)
					r, _ := p.next()
					p.reply(r, r.Version, &protocol.ApiVersionsResponse{ThrottleMs: 5000, APIs: []protocol.APIVersion{
						{Key: protocol.Metadata, Min: 0, Max: version},
					}})
					if r, err := p.next(); err == nil {
						p.reply(r, r.Version, &protocol.MetadataResponse{ThrottleMs: 3000})
					}
				}()
				return ours, nil
			}}
			c, err := Dial(t.Context(), &o, "broker:9092")
			require.NoError(t, err)
			defer c.Close(nil)
			require.Equal(t, 5*time.Second, time.Until(c.ThrottledUntil()))
			require.NoError(t, c.Do(t.Context(), &protocol.MetadataRequest{AllowAutoTopicCreation: true},
				new(protocol.MetadataResponse)))
			if version >= 6 {
				require.Equal(t, 3*time.Second, time.Until(c.ThrottledUntil()))
			} else {
				require.True(t, c.ThrottledUntil().IsZero())
			}
		})
	}
}
