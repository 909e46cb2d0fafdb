package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
)

func TestDoEndsWithItsContextThoughTheBrokerReadsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		c := connect(t, Options{}, func(*peer) { <-stop })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ended := make(chan error, 2)
		for range 2 { // one call is inside the write, the other waits for its turn to write
			go func() { ended <- c.Do(ctx, &protocol.InitProducerIDRequest{}, new(protocol.InitProducerIDResponse)) }()
		}
		began := time.Now()
		for range 2 {
			require.ErrorIs(t, <-ended, context.DeadlineExceeded)
			require.Equal(t, time.Second, time.Since(began))
		}
		require.NoError(t, c.Err(), "the connection lives on")
		c.Close(nil)
		close(stop)
	})
}

func TestDialEndsWithItsContextThoughTheResolverHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		o := Options{lookup: func(context.Context, string) ([]string, error) {
			<-hang
			return nil, nil
		}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := Dial(ctx, &o, "kafka.example:9092")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "the name was not resolved")
		require.Equal(t, time.Second, time.Since(began))
		close(hang)
	})
}

func TestADialerThatPanicsOrEndsItsGoroutineFailsTheDial(t *testing.T) {
	for want, dial := range map[string]func(){
		"the dialer panicked: no network today": func() { panic("no network today") },
		"the dialer called runtime.Goexit":      runtime.Goexit,
	} {
		synctest.Test(t, func(t *testing.T) {
			o := Options{Dialer: func(context.Context, string, string) (net.Conn, error) {
				dial()
				return nil, nil
			}}
			began := time.Now()
			_, err := Dial(t.Context(), &o, "broker:9092")
			require.ErrorIs(t, err, ErrUserCode)
			require.ErrorContains(t, err, want)
			require.Zero(t, time.Since(began))
		})
	}
}

// hangingError is an error of the user's: the second call of its Error hangs.
type hangingError struct{ asked *atomic.Int32 }

func (e hangingError) Error() string {
	if e.asked.Add(1) > 1 {
		select {}
	}
	return "asked once"
}

func TestTheTextOfADialersErrorIsAskedForOnce(t *testing.T) {
	failure := hangingError{new(atomic.Int32)}
	o := Options{Dialer: func(context.Context, string, string) (net.Conn, error) { return nil, failure }}
	_, err := Dial(t.Context(), &o, "broker:9092")
	for range 3 {
		require.NotErrorIs(t, err, failure)
		require.Equal(t, "broker broker:9092: asked once", err.Error())
	}
}

func TestADialerThatNeverReturnsRunsABoundedNumberOfTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		hang := make(chan struct{})
		o := Options{UserCalls: new(UserCalls), SetupTimeout: time.Second,
			Dialer: func(context.Context, string, string) (net.Conn, error) {
				calls.Add(1)
				<-hang
				return nil, errors.New("hung")
			}}
		for range mostUserCalls {
			_, err := Dial(t.Context(), &o, "broker:9092")
			require.ErrorIs(t, err, ErrSetupTimeout)
		}
		began := time.Now()
		for range 100 {
			_, err := Dial(t.Context(), &o, "broker:9092")
			require.ErrorIs(t, err, ErrUserCode)
			require.ErrorContains(t, err, "has not returned")
		}
		require.Zero(t, time.Since(began))
		require.EqualValues(t, mostUserCalls, calls.Load())
		close(hang)
		synctest.Wait()
		_, err := Dial(t.Context(), &o, "broker:9092")
		require.ErrorContains(t, err, "hung")
		synctest.Wait()
		o.UserCalls.mu.Lock()
		defer o.UserCalls.mu.Unlock()
		require.Empty(t, o.UserCalls.running)
	})
}

// stream is a connection of the user's. Its buffers cannot be set, and its Close waits.
type stream struct {
	net.Conn
	closing <-chan struct{}
}

func (s stream) SetWriteBuffer(int) error { return errors.New("no such buffer") }
func (s stream) SetReadBuffer(int) error  { return nil }

func (s stream) Close() error {
	<-s.closing
	return s.Conn.Close()
}

func TestASocketWithoutASettableBufferIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closing := make(chan struct{})
		close(closing)
		ours, theirs := net.Pipe()
		o := Options{SendBuffer: 1 << 20, Dialer: func(context.Context, string, string) (net.Conn,
			error) {
			return stream{ours, closing}, nil
		}}
		_, err := Dial(t.Context(), &o, "broker:9092")
		require.ErrorContains(t, err, "no such buffer")
		_, err = theirs.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
	})
}

func TestNothingWaitsForTheCloseOfAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closing := make(chan struct{})
		pipes := dialer(func(p *peer) { p.greet(); _, _ = p.next(); _, _ = p.next() })
		o := Options{RequestTimeout: time.Minute, Dialer: func(ctx context.Context, network, address string) (net.Conn,
			error) {
			nc, err := pipes(ctx, network, address)
			return stream{nc, closing}, err
		}}
		c, err := Dial(t.Context(), &o, "broker:9092")
		require.NoError(t, err)
		one, done := call("x")
		require.NoError(t, c.Send(one))
		began := time.Now()
		c.Close(nil)
		require.ErrorIs(t, (<-done).err, ErrClosed)
		require.Zero(t, time.Since(began))
		close(closing)
	})
}

// deaf is a connection that ignores its deadlines.
type deaf struct{ net.Conn }

func (deaf) SetDeadline(time.Time) error      { return nil }
func (deaf) SetReadDeadline(time.Time) error  { return nil }
func (deaf) SetWriteDeadline(time.Time) error { return nil }

func TestDialEndsWithItsContextThoughTheConnectionObeysNoDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{SetupTimeout: time.Second, Dialer: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() { _, _ = newPeer(theirs).next(); _, _ = theirs.Read(make([]byte, 1)) }()
			return deaf{ours}, nil
		}}
		began := time.Now()
		_, err := Dial(t.Context(), &o, "broker:9092")
		require.ErrorIs(t, err, ErrSetupTimeout)
		require.Equal(t, time.Second, time.Since(began))
	})
}

// panicking is a connection that panics in one method once its time has come.
type panicking struct {
	net.Conn
	method string
	due    *atomic.Bool
}

func (p panicking) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if p.method == "Read" && p.due.Load() {
		panic("boom")
	}
	return n, err
}

func (p panicking) Write(b []byte) (int, error) {
	n, err := p.Conn.Write(b)
	if p.method == "Write" && p.due.Load() {
		panic("boom")
	}
	return n, err
}

func (p panicking) Close() error {
	_ = p.Conn.Close()
	panic("boom")
}

func TestAPanicOfADialersConnectionEndsTheConnectionOnly(t *testing.T) {
	for _, method := range []string{"Read", "Write"} {
		synctest.Test(t, func(t *testing.T) {
			due := new(atomic.Bool)
			pipes := dialer(func(p *peer) {
				p.greet()
				if r, err := p.next(); err == nil && method == "Read" {
					p.answer(r, "x")
				}
				_, _ = p.next()
			})
			o := Options{RequestTimeout: time.Minute,
				Dialer: func(ctx context.Context, network, address string) (net.Conn, error) {
					nc, err := pipes(ctx, network, address)
					return panicking{nc, method, due}, err
				}}
			c, err := Dial(t.Context(), &o, "broker:9092")
			require.NoError(t, err)
			due.Store(true)
			one, done := call("x")
			_ = c.Send(one)
			err = (<-done).err
			require.ErrorIs(t, err, ErrUserCode)
			require.ErrorContains(t, err, method+" of the dialer's connection panicked: boom")
			require.True(t, failure(t, err).Sent, "the request has left")
			<-c.Closed()
		})
	}
}
