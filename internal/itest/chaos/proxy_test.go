package chaos

import (
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long a test waits for a certain event.
const patience = time.Minute

// server is a broker with a record of its input, connection by connection; it answers each byte with the same byte if
// it may.
type server struct {
	address string
	got     chan []byte // the bytes of one connection at its end
	ended   chan error  // and how it ended
}

func newServer(t *testing.T, echo bool) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &server{address: l.Addr().String(), got: make(chan []byte, 10), ended: make(chan error, 10)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.serve(c, echo)
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		<-done
	})
	return s
}

func (s *server) serve(c net.Conn, echo bool) {
	defer func() { _ = c.Close() }()
	var all []byte
	buf := make([]byte, 1024)
	for {
		n, err := c.Read(buf)
		all = append(all, buf[:n]...)
		if echo && n > 0 {
			_, _ = c.Write(buf[:n])
		}
		if err != nil {
			s.got <- all
			s.ended <- err
			return
		}
	}
}

// dialThrough returns a linked connection through a proxy: one byte went there and back.
func dialThrough(t *testing.T, n *Net, s *server) net.Conn {
	t.Helper()
	c, err := n.Dial(t.Context(), "tcp", s.address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	exchange(t, c, "+")
	return c
}

func exchange(t *testing.T, c net.Conn, text string) {
	t.Helper()
	_, err := c.Write([]byte(text))
	require.NoError(t, err)
	back := make([]byte, len(text))
	_, err = io.ReadFull(c, back)
	require.NoError(t, err)
	require.Equal(t, text, string(back))
}

func newNet(t *testing.T, s *server) *Net {
	t.Helper()
	n, err := NewNet([]string{s.address})
	require.NoError(t, err)
	t.Cleanup(func() { _ = n.Close() })
	return n
}

func TestProxyPassesBytesBothWaysAndOtherAddressesAreDialledDirectly(t *testing.T) {
	s, other := newServer(t, true), newServer(t, true)
	n := newNet(t, s)
	c := dialThrough(t, n, s)
	exchange(t, c, "hello")
	require.Equal(t, n.Node(1).Address(), c.RemoteAddr().String())
	direct := dialThrough(t, n, other)
	require.Equal(t, other.address, direct.RemoteAddr().String())
	require.NoError(t, c.Close())
	require.Equal(t, "+hello", string(<-s.got))
	require.ErrorIs(t, <-s.ended, io.EOF)
}

func TestProxyResetsBothSides(t *testing.T) {
	s := newServer(t, true)
	n := newNet(t, s)
	c := dialThrough(t, n, s)
	require.Equal(t, 1, n.Node(1).Reset())
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.ErrorIs(t, <-s.ended, syscall.ECONNRESET)
	exchange(t, dialThrough(t, n, s), "a new connection passes")
}

func TestProxyLosesAnswersButNotTheRequestAndThenCloses(t *testing.T) {
	s := newServer(t, true)
	n := newNet(t, s)
	c := dialThrough(t, n, s)
	require.Equal(t, 1, n.Node(1).LoseAnswers(time.Millisecond))
	_, err := c.Write([]byte("request"))
	require.NoError(t, err)
	rest, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Empty(t, rest, "the answer")
	require.Equal(t, "+request", string(<-s.got))
}

func TestProxyKeepsAConnectionThatLostNoAnswerYet(t *testing.T) {
	s := newServer(t, false)
	n := newNet(t, s)
	c, err := n.Dial(t.Context(), "tcp", s.address)
	require.NoError(t, err)
	for n.Node(1).LoseAnswers(0) == 0 {
		require.NoError(t, t.Context().Err())
	}
	_, err = c.Write([]byte("request"))
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.Equal(t, "request", string(<-s.got))
}

func TestProxyCutsARequestInItsMiddle(t *testing.T) {
	s := newServer(t, true)
	n := newNet(t, s)
	c := dialThrough(t, n, s)
	require.Equal(t, 1, n.Node(1).Cut(3))
	_, err := c.Write([]byte("request"))
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, c)
	require.ErrorIs(t, err, syscall.ECONNRESET)
	// A reset may overtake the bytes sent before it, but never lets more through.
	require.Contains(t, []string{"+", "+r", "+re", "+req"}, string(<-s.got))
}

func TestProxyHoldsBothDirectionsWhileSilentAndLosesNothing(t *testing.T) {
	s := newServer(t, true)
	n := newNet(t, s)
	c := dialThrough(t, n, s)
	n.Node(1).Silence()
	_, err := c.Write([]byte("request"))
	require.NoError(t, err)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "nothing may come")
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	n.Node(1).Heal()
	back := make([]byte, len("request"))
	_, err = io.ReadFull(c, back)
	require.NoError(t, err)
	require.Equal(t, "request", string(back))
}

func TestProxyDripsAndLosesNothing(t *testing.T) {
	s := newServer(t, true)
	n := newNet(t, s)
	c := dialThrough(t, n, s)
	n.Node(1).Slow(1, 5*time.Millisecond)
	begin := time.Now()
	exchange(t, c, "dripping")
	require.GreaterOrEqual(t, time.Since(begin), 8*5*time.Millisecond, "each byte waits")
	n.Node(1).Heal()
	exchange(t, c, "and quick again")
}

func TestDialThroughTheProxyOfABrokerThatIsDownIsRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	dead := l.Addr().String()
	require.NoError(t, l.Close())
	n, err := NewNet([]string{dead})
	require.NoError(t, err)
	_, err = n.Dial(t.Context(), "tcp", dead)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.NoError(t, n.Close())
}

func TestAClientThatDidNotDialThroughTheNetIsReset(t *testing.T) {
	s := newServer(t, true)
	n := newNet(t, s)
	c, err := net.Dial("tcp", n.Node(1).Address())
	if err == nil { // else the reset came before dialling had ended
		_, err = io.Copy(io.Discard, c)
		require.NoError(t, c.Close())
	}
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

func TestClosingTheNetEndsSilentConnections(t *testing.T) {
	s := newServer(t, true)
	n := newNet(t, s)
	c := dialThrough(t, n, s)
	n.Node(1).Silence()
	_, err := c.Write([]byte("held"))
	require.NoError(t, err)
	require.NoError(t, n.Close())
	_, err = c.Read(make([]byte, 1))
	require.Error(t, err)
}
