package producer_test

import (
	"context"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
)

// hostileError is a user's error with misbehaving methods. Its method Error misbehaves only if all is set.
type hostileError struct {
	act func()
	all bool
}

func (e *hostileError) Error() string {
	if e.all {
		e.act()
	}
	return "hostile"
}
func (e *hostileError) Is(error) bool { e.act(); return false }
func (e *hostileError) As(any) bool   { e.act(); return false }
func (e *hostileError) Timeout() bool { e.act(); return false }
func (e *hostileError) Unwrap() error { e.act(); return nil }

// hostileEnd is a connection; while failing is set, it fails with an error of the user's.
type hostileEnd struct {
	net.Conn
	failing *atomic.Bool
	err     error
}

func (c hostileEnd) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.failing.Load() {
		return 0, c.err
	}
	return n, err
}

func (c hostileEnd) Write(b []byte) (int, error) {
	if c.failing.Load() {
		return 0, c.err
	}
	return c.Conn.Write(b)
}

var misbehaviour = map[string]func(){"panic": func() { panic("boom") }, "Goexit": runtime.Goexit}

func TestAPanickingErrorOfADialerFailsTheAttemptOnly(t *testing.T) {
	for name, act := range misbehaviour {
		for _, all := range []bool{false, true} {
			scene(t, name, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
				var healed atomic.Bool
				p := start(t, c, func(cfg *producer.Config) {
					cfg.MaxBlock = time.Second
					cfg.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
						if !healed.Load() {
							return nil, &hostileError{act, all}
						}
						return c.Dial(ctx, network, address)
					}
				})
				notWritten(t, p.Send(t.Context(), to(0, "x"), nil), producer.ErrMetadataTimeout)
				notWritten(t, p.TrySend(to(0, "x"), nil), producer.ErrMetadataTimeout)
				healed.Store(true)
				time.Sleep(2 * time.Second)
				works(t, p, 0)
				require.NoError(t, p.Close(t.Context()))
				requireNothingLeft(t)
			})
		}
	}
}

func TestABlockingErrorOfADialerHoldsUpNeitherSendNorClose(t *testing.T) {
	for after := range 40 {
		bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
			hang := make(chan struct{})
			p := start(t, c, func(cfg *producer.Config) {
				cfg.MaxBlock = time.Second
				cfg.Dialer = func(context.Context, string, string) (net.Conn, error) {
					var calls atomic.Int32
					return nil, &hostileError{act: func() {
						if calls.Add(1) > int32(after) { // the library may call the method anywhere, also under a lock
							<-hang
						}
					}}
				}
			})
			began := time.Now()
			notWritten(t, p.Send(t.Context(), to(0, "x"), nil), producer.ErrMetadataTimeout)
			require.Equal(t, time.Second, time.Since(began))
			notWritten(t, p.TrySend(to(0, "x"), nil), producer.ErrMetadataTimeout)
			time.Sleep(100 * time.Second)
			began = time.Now()
			require.NoError(t, p.Close(within(t, time.Second)))
			require.Zero(t, time.Since(began))
			close(hang)
			requireNothingLeft(t)
		})
	}
}

func TestAPanickingErrorOfAConnectionEndsTheConnectionOnly(t *testing.T) {
	for name, act := range misbehaviour {
		scene(t, name, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
			var failing atomic.Bool
			p := warm(t, c, 1, func(cfg *producer.Config) {
				cfg.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
					nc, err := c.Dial(ctx, network, address)
					return hostileEnd{nc, &failing, &hostileError{act, true}}, err
				}
			})
			failing.Store(true)
			f := p.Send(t.Context(), to(0, "x"), nil)
			time.Sleep(time.Second)
			failing.Store(false)
			_, err := f.Get(within(t, time.Minute))
			require.NoError(t, err)
			require.NoError(t, p.Close(t.Context()))
			requireNothingLeft(t)
		})
	}
}

func TestABlockingErrorOfAConnectionHoldsUpNoClose(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		var failing atomic.Bool
		hang := make(chan struct{})
		p := warm(t, c, 1, func(cfg *producer.Config) {
			cfg.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
				nc, err := c.Dial(ctx, network, address)
				return hostileEnd{nc, &failing, &hostileError{func() { <-hang }, false}}, err
			}
		})
		failing.Store(true)
		c.On(protocol.Produce).Do(testbroker.DropAnswer())
		p.Send(t.Context(), to(0, "x"), nil)
		time.Sleep(time.Second)
		var closed *producer.CloseError
		require.ErrorAs(t, closeWithin(t, p, time.Second), &closed)
		require.Equal(t, 1, closed.Undelivered)
		close(hang)
		requireNothingLeft(t)
	})
}

// stuckDeadline is a connection; while armed is set, its methods for deadlines misbehave.
type stuckDeadline struct {
	net.Conn
	armed *atomic.Bool
	act   func()
}

func (c stuckDeadline) SetReadDeadline(at time.Time) error {
	if c.armed.Load() {
		c.act()
	}
	return c.Conn.SetReadDeadline(at)
}

func (c stuckDeadline) SetWriteDeadline(at time.Time) error {
	if c.armed.Load() {
		c.act()
	}
	return c.Conn.SetWriteDeadline(at)
}

func TestCloseReturnsInTimeThoughAConnectionsDeadlineIsNeverSet(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		var armed atomic.Bool
		hang := make(chan struct{})
		p := warm(t, c, 1, func(cfg *producer.Config) {
			cfg.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
				nc, err := c.Dial(ctx, network, address)
				return stuckDeadline{nc, &armed, func() { <-hang }}, err
			}
		})
		time.Sleep(100 * time.Second) // the library sets the deadlines now
		armed.Store(true)
		p.Send(t.Context(), to(0, "x"), nil)
		time.Sleep(time.Second)
		require.Error(t, closeWithin(t, p, time.Second))
		close(hang)
		requireNothingLeft(t)
	})
}

func TestGoexitInADialersConnectionCostsTheConnectionOnly(t *testing.T) {
	for name, act := range misbehaviour {
		scene(t, name, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
			var armed atomic.Bool
			p := warm(t, c, 1, func(cfg *producer.Config) {
				cfg.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
					nc, err := c.Dial(ctx, network, address)
					once := func() {
						armed.Store(false)
						act()
					}
					return stuckDeadline{endingConn{nc, &armed, once}, &armed, once}, err
				}
			})
			for range 10 {
				armed.Store(true)
				_, err := p.Send(t.Context(), to(0, "x"), nil).Get(within(t, time.Minute))
				require.NoError(t, err)
			}
			require.NoError(t, p.Close(t.Context()))
			requireNothingLeft(t)
		})
	}
}

// endingConn is a connection; while armed is set, its Write misbehaves.
type endingConn struct {
	net.Conn
	armed *atomic.Bool
	act   func()
}

func (c endingConn) Write(b []byte) (int, error) {
	if c.armed.Load() {
		c.act()
	}
	return c.Conn.Write(b)
}

func TestAHangingAddressOfADialersConnectionCostsTheSetupTimeout(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		hang := make(chan struct{})
		var dials atomic.Int32
		var setupTimeout time.Duration
		p := start(t, c, func(cfg *producer.Config) {
			setupTimeout = cfg.SocketConnectionSetupTimeout
			cfg.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
				nc, err := c.Dial(ctx, network, address)
				if dials.Add(1) == 1 {
					nc = nowhere{nc, hang}
				}
				return nc, err
			}
		})
		_, err := p.Send(t.Context(), to(0, "x"), nil).Get(within(t, 2*setupTimeout))
		require.NoError(t, err)
		require.NoError(t, p.Close(t.Context()))
		close(hang)
		requireNothingLeft(t)
	})
}

// nowhere is a connection with a RemoteAddr that never returns.
type nowhere struct {
	net.Conn
	hang <-chan struct{}
}

func (c nowhere) RemoteAddr() net.Addr {
	<-c.hang
	return c.Conn.RemoteAddr()
}
