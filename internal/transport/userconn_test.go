package transport

import (
	"context"
	"errors"
	"math"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// hostileConn is a connection of the user's. One of its methods misbehaves while it is armed.
type hostileConn struct {
	net.Conn
	trap *trap
}

// trap is the misbehaviour of a method.
type trap struct {
	mu     sync.Mutex
	method string
	act    func()
}

func (h *trap) arm(method string, act func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.method, h.act = method, act
}

func (h *trap) in(method string) {
	h.mu.Lock()
	act := h.act
	if h.method != method {
		act = nil
	}
	h.mu.Unlock()
	if act != nil {
		act()
	}
}

func (c hostileConn) Read(b []byte) (int, error) {
	c.trap.in("Read")
	n, err := c.Conn.Read(b)
	c.trap.in("end of Read")
	return n, err
}

func (c hostileConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.trap.in("Write")
	return n, err
}

func (c hostileConn) Close() error {
	err := c.Conn.Close()
	c.trap.in("Close")
	return err
}

func (c hostileConn) SetDeadline(t time.Time) error {
	c.trap.in("SetDeadline")
	return c.Conn.SetDeadline(t)
}

func (c hostileConn) SetReadDeadline(t time.Time) error {
	c.trap.in("SetReadDeadline")
	return c.Conn.SetReadDeadline(t)
}

func (c hostileConn) SetWriteDeadline(t time.Time) error {
	c.trap.in("SetWriteDeadline")
	return c.Conn.SetWriteDeadline(t)
}

func (c hostileConn) SetWriteBuffer(int) error {
	c.trap.in("SetWriteBuffer")
	return nil
}

func (c hostileConn) SetReadBuffer(int) error {
	c.trap.in("SetReadBuffer")
	return nil
}

func (c hostileConn) NetConn() net.Conn {
	c.trap.in("NetConn")
	return c.Conn
}

func (c hostileConn) RemoteAddr() net.Addr {
	c.trap.in("RemoteAddr")
	return userAddr{func() string {
		c.trap.in("String")
		return "there"
	}}
}

// hostile returns the options of a dialer of hostile connections to a broker run by serve after its greeting.
func hostile(h *trap, serve func(p *peer)) *Options {
	pipes := dialer(func(p *peer) {
		p.greet()
		serve(p)
	})
	return &Options{
		RequestTimeout: time.Minute, SetupTimeout: time.Second, SendBuffer: 1 << 16, ReceiveBuffer: 1 << 16,
		UserCalls: new(UserCalls),
		Dialer: func(ctx context.Context, network, address string) (net.Conn, error) {
			nc, err := pipes(ctx, network, address)
			return hostileConn{nc, h}, err
		},
	}
}

var setupMethods = []string{
	"SetWriteBuffer", "SetReadBuffer", "Write", "Read", "end of Read", "SetDeadline", "SetReadDeadline", "NetConn",
	"RemoteAddr", "String",
}

func TestAPanicOrGoexitOfADialersConnectionDuringTheSetupFailsTheDial(t *testing.T) {
	for want, act := range map[string]func(){"panicked: boom": func() { panic("boom") },
		"called runtime.Goexit": runtime.Goexit} {
		for _, method := range setupMethods {
			t.Run(method+" "+want, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := new(trap)
					h.arm(method, act)
					o := hostile(h, echo)
					for range 2 * mostUserCalls {
						began := time.Now()
						_, err := Dial(t.Context(), o, "broker:9092")
						require.ErrorIs(t, err, ErrUserCode)
						require.ErrorContains(t, err, "of the dialer's connection "+want)
						require.Zero(t, time.Since(began))
						synctest.Wait()
					}
					h.arm("", nil)
					c, err := Dial(t.Context(), o, "broker:9092")
					require.NoError(t, err)
					c.Close(nil)
				})
			})
		}
	}
}

func TestAHangOfADialersConnectionDuringTheSetupCostsTheSetupTimeout(t *testing.T) {
	for _, method := range setupMethods {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, hang := new(trap), make(chan struct{})
				h.arm(method, func() { <-hang })
				o := hostile(h, echo)
				for range mostUserCalls {
					began := time.Now()
					_, err := Dial(t.Context(), o, "broker:9092")
					require.ErrorIs(t, err, ErrSetupTimeout)
					require.Equal(t, time.Second, time.Since(began))
				}
				synctest.Wait()
				_, err := Dial(t.Context(), o, "broker:9092")
				require.ErrorIs(t, err, ErrUserCode)
				require.ErrorContains(t, err, "has not returned")
				h.arm("", nil)
				close(hang)
				synctest.Wait()
				c, err := Dial(t.Context(), o, "broker:9092")
				require.NoError(t, err)
				c.Close(nil)
			})
		})
	}
}

func TestAPanicOrGoexitOfADialersConnectionFailsItsCalls(t *testing.T) {
	for want, act := range map[string]func(){"panicked: boom": func() { panic("boom") },
		"called runtime.Goexit": runtime.Goexit} {
		for _, method := range []string{"end of Read", "Write", "SetReadDeadline", "SetWriteDeadline"} {
			for _, awaited := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					h := new(trap)
					c, err := Dial(t.Context(), hostile(h, echo), "broker:9092")
					require.NoError(t, err)
					synctest.Wait()
					h.arm(method, act)
					one, done := call("x")
					one.ReadInline, one.Timeout = awaited, time.Second
					if method == "end of Read" {
						one.NoResponse = awaited // the answer cannot overtake the end
					}
					_ = c.Send(one)
					if awaited {
						waited := make(chan struct{})
						close(waited)
						c.ReadUntil(waited)
					}
					<-done
					<-c.Closed()
					require.ErrorIs(t, c.Err(), ErrUserCode, method)
					require.ErrorContains(t, c.Err(), "of the dialer's connection "+want)
					two, done := call("y")
					require.ErrorIs(t, c.Send(two), ErrUserCode)
					require.ErrorIs(t, (<-done).err, ErrUserCode)
				})
			}
		}
	}
}

func TestCloseFailsTheCallsOfAHangingConnection(t *testing.T) {
	for _, method := range []string{"Read", "end of Read", "SetReadDeadline", "SetDeadline", "Close"} {
		synctest.Test(t, func(t *testing.T) {
			h, hang := new(trap), make(chan struct{})
			answers := make(chan struct{})
			c, err := Dial(t.Context(), hostile(h, func(p *peer) {
				_, _ = p.next()
				<-answers
				_, _ = p.Write([]byte{0})
				_, _ = p.next()
			}), "broker:9092")
			require.NoError(t, err)
			synctest.Wait()
			h.arm(method, func() { <-hang })
			one, done := call("x")
			go func() { _ = c.Send(one) }()
			synctest.Wait()
			close(answers)
			synctest.Wait()
			began := time.Now()
			c.Close(nil)
			require.ErrorIs(t, (<-done).err, ErrClosed, method)
			require.Zero(t, time.Since(began))
			close(hang)
		})
	}
}

func TestGoexitInAConnectionsCloseEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := new(trap)
		for _, method := range []string{"Close", "SetDeadline"} {
			h.arm("", nil)
			c, err := Dial(t.Context(), hostile(h, echo), "broker:9092")
			require.NoError(t, err)
			h.arm(method, func() { h.arm("", nil); runtime.Goexit() })
			c.Close(nil)
			require.ErrorIs(t, c.Err(), ErrClosed)
			synctest.Wait()
		}
		h.arm("", nil)
	})
}

// lyingConn is a connection that returns wrong counts.
type lyingConn struct {
	net.Conn
	read, written func(n int) int
}

func (c lyingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	return c.read(n), err
}

func (c lyingConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	return c.written(n), err
}

func TestAConnectionThatReturnsAnImpossibleCountFails(t *testing.T) {
	same := func(n int) int { return n }
	for _, lie := range []func(n int) int{func(int) int { return -1 }, func(int) int { return math.MaxInt }} {
		for _, c := range []lyingConn{{read: lie, written: same}, {read: same, written: lie}} {
			synctest.Test(t, func(t *testing.T) {
				pipes := dialer((*peer).greet)
				o := Options{Dialer: func(ctx context.Context, network, address string) (net.Conn, error) {
					nc, err := pipes(ctx, network, address)
					return lyingConn{nc, c.read, c.written}, err
				}}
				_, err := Dial(t.Context(), &o, "broker:9092")
				require.ErrorIs(t, err, ErrUserCode)
			})
		}
	}
}

func TestAWriteOfLessThanAllIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pipes := dialer((*peer).greet)
		o := Options{Dialer: func(ctx context.Context, network, address string) (net.Conn, error) {
			nc, err := pipes(ctx, network, address)
			return lyingConn{nc, func(n int) int { return n }, func(n int) int { return n - 1 }}, err
		}}
		_, err := Dial(t.Context(), &o, "broker:9092")
		require.ErrorContains(t, err, "short write")
	})
}

// rudeError is an error of the user's with methods that call act.
type rudeError struct{ act func() }

func (e *rudeError) Error() string   { e.act(); return "rude" }
func (e *rudeError) Is(error) bool   { e.act(); return false }
func (e *rudeError) As(any) bool     { e.act(); return false }
func (e *rudeError) Timeout() bool   { e.act(); return false }
func (e *rudeError) Unwrap() []error { e.act(); return nil }

// failingConn is a connection with a failing Read or Write.
type failingConn struct {
	net.Conn
	read, written error
}

func (c *failingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	return n, errors.Join(err, c.read)
}

func (c *failingConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	return n, errors.Join(err, c.written)
}

func TestAPanicOrHangOfTheErrorOfADialerFailsTheDial(t *testing.T) {
	fails := map[string]func(e error) func(context.Context, string, string) (net.Conn, error){
		"dialer": func(e error) func(context.Context, string, string) (net.Conn, error) {
			return func(context.Context, string, string) (net.Conn, error) { return nil, e }
		},
		"Read": func(e error) func(context.Context, string, string) (net.Conn, error) {
			return func(ctx context.Context, network, address string) (net.Conn, error) {
				nc, err := dialer(func(p *peer) { _, _ = p.next() })(ctx, network, address)
				return &failingConn{nc, e, nil}, err
			}
		},
		"Write": func(e error) func(context.Context, string, string) (net.Conn, error) {
			return func(ctx context.Context, network, address string) (net.Conn, error) {
				nc, err := dialer(func(p *peer) { _, _ = p.next() })(ctx, network, address)
				return &failingConn{nc, nil, e}, err
			}
		},
	}
	for name, failing := range fails {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for want, act := range map[string]func(){"panicked: boom": func() { panic("boom") },
					"called runtime.Goexit": runtime.Goexit} {
					_, err := Dial(t.Context(), &Options{Dialer: failing(&rudeError{act})}, "broker:9092")
					require.ErrorIs(t, err, ErrUserCode)
					require.ErrorContains(t, err, want)
				}
				hang := make(chan struct{})
				began := time.Now()
				_, err := Dial(t.Context(), &Options{SetupTimeout: time.Second,
					Dialer: failing(&rudeError{func() { <-hang }})}, "broker:9092")
				require.ErrorIs(t, err, ErrSetupTimeout)
				require.Equal(t, time.Second, time.Since(began))
				close(hang)
				synctest.Wait()
			})
		})
	}
}
