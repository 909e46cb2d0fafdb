package chaos

import (
	"errors"
	"net"
	"sync"
	"time"
)

// link is one connection of a client through a proxy to its broker.
type link struct {
	p              *Proxy
	client, broker net.Conn

	once sync.Once
	done chan struct{} // closed when the link ends

	mu          sync.Mutex
	cutting     bool
	left        int // while cutting: how many bytes still pass on to the broker
	losing      bool
	loseAnswers chan struct{} // closed when the first answer was lost
	lost        bool
}

var errCut = errors.New("the connection was cut")

// pump copies from src to dst. filter chooses the passing bytes; if it fails, the link ends.
func (l *link) pump(dst, src net.Conn, filter func([]byte) ([]byte, error)) {
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		for chunk := buf[:n]; len(chunk) > 0; {
			admitted := l.p.admit(l, len(chunk))
			if admitted == 0 {
				return
			}
			pass, err := filter(chunk[:admitted])
			if len(pass) > 0 {
				if _, err := dst.Write(pass); err != nil {
					return
				}
			}
			if err != nil {
				l.abort()
				return
			}
			chunk = chunk[admitted:]
		}
		if err != nil {
			return
		}
	}
}

// upstream passes a client's bytes on, as many as a cut leaves.
func (l *link) upstream(b []byte) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.cutting {
		return b, nil
	}
	n := min(l.left, len(b))
	l.left -= n
	if l.left == 0 {
		return b[:n], errCut
	}
	return b[:n], nil
}

// downstream passes a broker's bytes on, or drops them and closes the link a while later.
func (l *link) downstream(b []byte) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.losing {
		return b, nil
	}
	if !l.lost {
		l.lost = true
		close(l.loseAnswers)
	}
	return nil, nil
}

func (l *link) cutAfter(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.cutting {
		l.cutting, l.left = true, max(1, n)
	}
}

func (l *link) loseFrom(closeAfter time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.losing {
		return
	}
	l.losing = true
	l.p.running.Go(func() {
		select {
		case <-l.done:
			return
		case <-l.loseAnswers:
		}
		select {
		case <-l.done:
		case <-time.After(closeAfter):
			l.end()
		}
	})
}

// end closes both sides in order.
func (l *link) end() {
	l.once.Do(func() {
		close(l.done)
		_ = l.client.Close()
		_ = l.broker.Close()
	})
}

// abort closes both sides with a reset.
func (l *link) abort() {
	l.once.Do(func() {
		close(l.done)
		reset(l.client)
		reset(l.broker)
	})
}

// reset closes a connection so that the other side sees a reset, not an end.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}
