package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAnswersGoToTheirCallsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Options{}, echo)
		for i := range 10 {
			one, done := call("body ", fmt.Sprint(i))
			require.NoError(t, c.Send(one))
			got := <-done
			require.NoError(t, got.err)
			require.Equal(t, fmt.Sprint("body ", i), got.body)
		}
		require.Zero(t, c.InFlight())
	})
}

func TestTheNextRequestGoesWhileAnswersAreAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Options{}, func(p *peer) {
			var rs []request
			for range 3 {
				r, _ := p.next()
				rs = append(rs, r)
			}
			time.Sleep(time.Second)
			for _, r := range rs {
				p.answer(r, string(r.body))
			}
			echo(p)
		})
		var dones []chan outcome
		for i := range 3 {
			one, done := call(fmt.Sprint(i))
			require.NoError(t, c.Send(one))
			dones = append(dones, done)
		}
		require.Equal(t, 3, c.InFlight())
		for i, done := range dones {
			got := <-done
			require.NoError(t, got.err)
			require.Equal(t, fmt.Sprint(i), got.body)
		}
	})
}

func TestACallIsLeftAsItWasButForLengthAndCorrelationID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Options{}, echo)
		one, done := call("a", "b")
		require.NoError(t, c.Send(one))
		<-done
		require.Equal(t, "a", string(one.Buffers[1]))
		require.Equal(t, "b", string(one.Buffers[2]))
		require.Zero(t, one.Timeout)
		require.NoError(t, c.Send(one), "a call can be sent again")
		require.Equal(t, "ab", (<-done).body)
	})
}

func TestAnAnswerInDripsIsPutTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		want := strings.Repeat("x", 10_000)
		c := connect(t, Options{RequestTimeout: time.Minute, MaxIdle: time.Second}, func(p *peer) {
			r, _ := p.next()
			frame := frameOf(r, []byte(want))
			for at := 0; at < len(frame); at += 300 {
				time.Sleep(time.Second)
				_, _ = p.Write(frame[at:min(at+300, len(frame))])
			}
			_, _ = p.next()
		})
		one, done := call("give me much")
		require.NoError(t, c.Send(one))
		got := <-done
		require.NoError(t, got.err)
		require.Equal(t, want, got.body)
	})
}

func TestTwoAnswersInOnePieceAreBothSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Options{}, func(p *peer) {
			a, _ := p.next()
			b, _ := p.next()
			both := append(frameOf(a, []byte("one")), frameOf(b, []byte("two"))...)
			_, _ = p.Write(both[:len(both)-2])
			_, _ = p.Write(both[len(both)-2:])
			_, _ = p.next()
		})
		one, done1 := call("1")
		two, done2 := call("2")
		require.NoError(t, c.Send(one))
		require.NoError(t, c.Send(two))
		require.Equal(t, "one", (<-done1).body)
		require.Equal(t, "two", (<-done2).body)
	})
}

func TestCloseFailsCallsInFlightInOrderWithItsCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Options{}, func(p *peer) {
			for {
				if _, err := p.next(); err != nil {
					return
				}
			}
		})
		var order []int
		done := make(chan error, 3)
		for i := range 3 {
			one, _ := call("x")
			one.Done = func(_ []byte, err error) {
				order = append(order, i)
				done <- err
			}
			require.NoError(t, c.Send(one))
		}
		cause := errors.New("the broker is gone from the metadata")
		c.Close(cause)
		c.Close(errors.New("a second cause"))
		for range 3 {
			err := <-done
			require.ErrorIs(t, err, cause)
			require.True(t, failure(t, err).Sent)
			require.False(t, failure(t, err).Timeout)
		}
		require.Equal(t, []int{0, 1, 2}, order)
		require.Equal(t, cause, c.Err())
	})
}

func TestCloseWithoutACauseIsErrClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Options{}, echo)
		c.Close(nil)
		<-c.Closed()
		one, done := call("x")
		require.ErrorIs(t, c.Send(one), ErrClosed)
		got := <-done
		require.ErrorIs(t, got.err, ErrClosed)
		require.False(t, failure(t, got.err).Sent)
	})
}

func TestAConnectionThatTheBrokerClosesFailsItsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Options{}, func(p *peer) { _, _ = p.next() })
		one, done := call("x")
		_ = c.Send(one) // may return after the end
		got := <-done
		require.ErrorIs(t, got.err, ErrDisconnected)
		require.ErrorIs(t, got.err, io.EOF)
		require.True(t, failure(t, got.err).Sent)
	})
}

// After the first exchange the server of each case sends a wrong answer to a call in flight.
func TestAMalformedAnswerEndsTheConnectionAndSaysHow(t *testing.T) {
	for name, test := range map[string]struct {
		say  string
		want string
		is   error
	}{
		"length -1":          {"\xff\xff\xff\xff", "length of -1", ErrMalformed},
		"length 0":           {"\x00\x00\x00\x00", "length of 0", ErrMalformed},
		"length 3":           {"\x00\x00\x00\x03abc", "length of 3", ErrMalformed},
		"length 2³¹-1":       {"\x7f\xff\xff\xff", "the limit is 1000", ErrMalformed},
		"one over the limit": {"\x00\x00\x03\xe9", "length of 1001 bytes, the limit is 1000", ErrMalformed},
		"half a frame":       {"\x00\x00\x00\x08\x00\x00", "6 of an answer's 12 bytes", ErrDisconnected},
		"wrong id":           {"\x00\x00\x00\x05\x00\x00\x00\x07\x00", "correlation id 7 where 0", ErrMalformed},
		"header cut off":     {"\x00\x00\x00\x04\x00\x00\x00\x00", "response header", ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := connect(t, Options{MaxResponse: 1000}, func(p *peer) {
					if _, err := p.next(); err == nil {
						_, _ = io.WriteString(p, test.say)
					}
				})
				one, done := call("x")
				// The connection may end before Send returns; Done gets the outcome in any case.
				_ = c.Send(one)
				got := <-done
				require.ErrorIs(t, got.err, test.is)
				require.ErrorContains(t, got.err, test.want)
				require.ErrorContains(t, got.err, "broker:9092")
				require.True(t, failure(t, got.err).Sent)
				<-c.Closed()
			})
		})
	}
}

func TestAnAnswerThatNothingWasAskedForEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Options{}, func(p *peer) {
			_, _ = io.WriteString(p, "\x00\x00\x00\x05\x00\x00\x00\x00\x00")
			_, _ = p.next()
		})
		<-c.Closed()
		require.ErrorIs(t, c.Err(), ErrMalformed)
		require.ErrorContains(t, c.Err(), "nothing was asked for")
	})
}

func TestACallWithoutResponseIsDoneWhenItIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bodies := make(chan string, 10)
		c := connect(t, Options{MaxIdle: time.Minute}, func(p *peer) {
			for {
				r, err := p.next()
				if err != nil {
					return
				}
				bodies <- string(r.body)
			}
		})
		for i := range 3 {
			one, done := call(fmt.Sprint(i))
			one.NoResponse = true
			require.NoError(t, c.Send(one))
			require.Equal(t, outcome{at: time.Now()}, <-done)
			require.Zero(t, c.InFlight())
			require.Equal(t, fmt.Sprint(i), <-bodies)
		}
		began := time.Now()
		<-c.Closed()
		require.Equal(t, time.Minute, time.Since(began))
		require.ErrorIs(t, c.Err(), ErrIdle)
	})
}

// cutConn accepts a number of written bytes and then fails.
type cutConn struct {
	net.Conn
	left atomic.Int64
}

var errCut = errors.New("cut off")

func (c *cutConn) Write(b []byte) (int, error) {
	left := c.left.Load()
	if int64(len(b)) <= left {
		c.left.Add(-int64(len(b)))
		return c.Conn.Write(b)
	}
	n, err := c.Conn.Write(b[:left])
	c.left.Store(0)
	return n, errors.Join(errCut, err)
}

func TestSentTellsWhetherAByteOfTheRequestLeft(t *testing.T) {
	for _, left := range []int64{0, 1, 20, 30_000, 50_000} {
		t.Run(fmt.Sprint(left), func(t *testing.T) {
			var cut *cutConn
			pipe := dialer(func(p *peer) { p.greet(); _, _ = io.Copy(io.Discard, p) })
			o := Options{RequestTimeout: time.Minute,
				Dialer: func(ctx context.Context, network, address string) (net.Conn, error) {
					nc, err := pipe(ctx, network, address)
					cut = &cutConn{Conn: nc}
					cut.left.Store(1 << 20)
					return cut, err
				}}
			c, err := Dial(t.Context(), &o, "broker:9092")
			require.NoError(t, err)
			before, done1 := call("before")
			require.NoError(t, c.Send(before))
			cut.left.Store(left)
			one, done2 := call(strings.Repeat("a", 25_000), strings.Repeat("b", 5_000), strings.Repeat("c", 25_000))
			err = c.Send(one)
			require.ErrorIs(t, err, errCut)
			require.ErrorIs(t, err, ErrDisconnected)
			require.Equal(t, left > 0, failure(t, err).Sent)
			require.Equal(t, err, (<-done2).err)
			got := <-done1
			require.ErrorIs(t, got.err, errCut, "what was in flight fails with the connection")
			require.True(t, failure(t, got.err).Sent)
		})
	}
}

func TestACallThatIsNoFrameFailsAloneAndUnsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Options{MaxRequest: 100}, echo)
		for _, buffers := range [][][]byte{nil, {}, {nil}, {make([]byte, 11), make([]byte, 100)},
			{make([]byte, 12), make([]byte, 89)}} {
			one, done := call()
			one.Buffers = buffers
			err := c.Send(one)
			require.ErrorIs(t, err, ErrBadCall)
			require.False(t, failure(t, err).Sent)
			require.Equal(t, err, (<-done).err)
		}
		require.NoError(t, c.Err())
	})
}

func TestDoneMaySendAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Options{}, echo)
		finished := make(chan error, 1)
		left := 1000
		one, _ := call("again")
		one.Done = func(body []byte, err error) {
			if left--; left == 0 || err != nil {
				finished <- err
				return
			}
			// This needs a new Call: a Call may not be reused before its Send has returned, and that Send is still
			// running.
			next, _ := call(string(body))
			next.Done = one.Done
			_ = c.Send(next)
		}
		require.NoError(t, c.Send(one))
		require.NoError(t, <-finished)
	})
}

// The broker reads nothing while it has answers to write, and the pipe has no buffer. So the write inside a Done can
// end only after the client has read the next answer.
func TestDoneMaySendToABrokerThatReadsNothingBeforeItsAnswersAreRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const window, rounds = 4, 50
		c := connect(t, Options{}, func(p *peer) {
			for {
				var batch []request
				for range window {
					r, err := p.next()
					if err != nil {
						return
					}
					batch = append(batch, r)
				}
				for _, r := range batch {
					p.answer(r, string(r.body))
				}
			}
		})
		var left atomic.Int64
		left.Store(window * rounds)
		finished := make(chan error, window*rounds)
		var send func()
		send = func() {
			body := fmt.Sprint(left.Load())
			one, _ := call(body)
			one.Done = func(got []byte, err error) {
				if err == nil && string(got) != body {
					err = fmt.Errorf("%q is the answer to %q", got, body)
				}
				if left.Add(-1) >= window {
					send()
				}
				if string(got) != body && err == nil {
					err = errors.New("the body changed during the call")
				}
				finished <- err
			}
			_ = c.Send(one)
		}
		began := time.Now()
		for range window {
			go send()
		}
		for range window * rounds {
			require.NoError(t, <-finished)
		}
		require.Zero(t, time.Since(began), "nothing waited for a timeout")
	})
}

func TestCloseInsideDoneFailsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("enough")
		c := connect(t, Options{}, func(p *peer) {
			a, _ := p.next()
			b, _ := p.next()
			_, _ = p.Write(append(frameOf(a, nil), frameOf(b, nil)...))
		})
		one, _ := call("1")
		one.Done = func([]byte, error) { c.Close(cause) }
		two, done := call("2")
		require.NoError(t, c.Send(one))
		_ = c.Send(two) // may return after the end
		require.ErrorIs(t, (<-done).err, cause)
	})
}

func TestSendersThatWaitForTheirTurnEndWithTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		defer close(stop)
		c := connect(t, Options{}, func(*peer) { <-stop })
		var wg sync.WaitGroup
		cause := errors.New("enough")
		for range 5 {
			wg.Go(func() {
				one, done := call("x")
				err := c.Send(one)
				require.ErrorIs(t, err, cause)
				require.False(t, failure(t, err).Sent)
				require.Equal(t, err, (<-done).err)
			})
		}
		synctest.Wait()
		c.Close(cause)
		wg.Wait()
	})
}

func TestCorrelationIDsWrapAround(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := make(chan int32, 10)
		c := connect(t, Options{}, func(p *peer) {
			for {
				r, err := p.next()
				if err != nil {
					return
				}
				ids <- r.CorrelationID
				p.answer(r, "")
			}
		})
		c.nextID = 1<<31 - 1
		for _, want := range []int32{1<<31 - 1, 0, 1} {
			one, done := call("x")
			require.NoError(t, c.Send(one))
			require.NoError(t, (<-done).err)
			require.Equal(t, want, <-ids)
		}
	})
}

func TestEveryCallHasOneOutcome(t *testing.T) {
	for seed := range 20 {
		address := listen(t, func(p *peer) {
			p.greet()
			for n := 0; ; n++ {
				r, err := p.next()
				if err != nil || n == 100+seed*20 {
					return
				}
				if r.CorrelationID%3 != 0 {
					p.answer(r, string(r.body))
				} else {
					frame := frameOf(r, r.body)
					_, _ = p.Write(frame[:5])
					_, _ = p.Write(frame[5:])
				}
			}
		})
		c, err := Dial(t.Context(), &Options{RequestTimeout: time.Minute}, address)
		require.NoError(t, err)
		var sent, done, unsent, wrong atomic.Int64
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for i := range 200 {
					body := fmt.Sprint(g, " ", i, strings.Repeat("x", 20*(i%100)))
					one, _ := call(body)
					var once atomic.Int64
					one.Done = func(got []byte, err error) {
						var e *Error
						switch {
						case once.Add(1) != 1, err == nil && string(got) != body, err != nil && !errors.As(err, &e):
							wrong.Add(1)
						case err != nil && !e.Sent:
							unsent.Add(1)
						}
						done.Add(1)
					}
					sent.Add(1)
					_ = c.Send(one)
					if seed%5 == 4 && i == 50 {
						c.Close(nil)
					}
				}
			})
		}
		wg.Wait()
		c.Close(nil)
		require.Eventually(t, func() bool { return done.Load() == sent.Load() }, time.Minute, time.Millisecond)
		require.Zero(t, wrong.Load())
		require.Zero(t, c.InFlight())
	}
}
