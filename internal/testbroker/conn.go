package testbroker

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gosamsa/samsa/protocol"
)

// readAhead is how many requests of a connection are read, and recorded, before the first of them is answered. A real
// broker leaves them in the socket; read ahead, tests can see how many requests a client has in flight.
const readAhead = 256

// conn is a broker's end of a connection. One goroutine reads requests and records them, another handles and answers
// them one at a time.
type conn struct {
	b      *broker
	nc     net.Conn
	number int
	queue  chan *seen
	// done is closed when the connection is over for the broker: its unhandled requests are lost.
	done   chan struct{}
	ending sync.Once
	// silent: the handler writes nothing any more. It is the handler's own.
	silent bool
	// producing is how many Produce requests are read and not answered. The cluster's mutex guards it.
	producing int
	// muted is not nil while the connection is throttled, and closed at the end of that. The cluster's mutex guards it.
	muted chan struct{}
}

// serve starts a connection. The cluster's mutex is held.
func (b *broker) serve(nc net.Conn) {
	c := b.c
	c.conns++
	k := &conn{b: b, nc: nc, number: c.conns, queue: make(chan *seen, readAhead), done: make(chan struct{})}
	b.conns[k] = struct{}{}
	c.running.Go(k.read)
	c.running.Go(k.work)
	c.wake()
}

// kill ends the connection: requests read but not handled are lost. With reset the client gets an error instead of an
// end.
func (k *conn) kill(reset bool) {
	k.ending.Do(func() {
		close(k.done)
		if reset {
			switch nc := k.nc.(type) {
			case *pipe:
				nc.Reset()
			case *net.TCPConn:
				_ = nc.SetLinger(0)
			}
		}
		_ = k.nc.Close()
	})
}

// read takes requests from the socket until the client closes or the connection is killed.
func (k *conn) read() {
	defer close(k.queue)
	for {
		frame, err := k.frame()
		if err != nil {
			return
		}
		s, err := k.b.c.arrived(k, frame)
		if err != nil {
			k.kill(false)
			return
		}
		select {
		case k.queue <- s:
		case <-k.done:
			return
		}
	}
}

// frame reads one request.
func (k *conn) frame() ([]byte, error) {
	var head [4]byte
	if n, err := io.ReadFull(k.nc, head[:]); err != nil {
		return nil, fmt.Errorf("%d bytes of a length: %w", n, err)
	}
	if err := k.gate(false); err != nil {
		return nil, err
	}
	size := int32(binary.BigEndian.Uint32(head[:]))
	if size < 0 || int(size) > k.b.c.cfg.RequestMaxBytes {
		if size < 0 {
			k.b.c.violation("%s: a request of %d bytes", k, size)
		}
		k.kill(false)
		return nil, net.ErrClosed
	}
	frame := make([]byte, size)
	_, err := io.ReadFull(k.nc, frame)
	return frame, err
}

// work handles and answers requests.
func (k *conn) work() {
	defer func() {
		c := k.b.c
		c.mu.Lock()
		delete(k.b.conns, k)
		k.kill(false)
		c.wake()
		c.mu.Unlock()
	}()
	for s := range k.queue {
		if err := k.handle(s); err != nil {
			return
		}
	}
}

// handle handles one request. An error ends the connection.
func (k *conn) handle(s *seen) error {
	c := k.b.c
	if err := k.gate(false); err != nil {
		return err
	}
	a := c.ask(s)
	if err := k.pause(a.delay, a.hold); err != nil {
		return err
	}
	if a.dropRequest {
		k.kill(a.reset)
		return net.ErrClosed
	}
	response, err := c.handle(k, s, &a)
	if err != nil {
		return err
	}
	if response != nil {
		c.omit(s, &a, response)
		if a.edit != nil {
			a.edit(response)
		}
		c.shuffle(s, response)
	}
	if err := k.pause(a.answerDelay, a.holdAnswer); err != nil {
		return err
	}
	if a.dropAnswer {
		k.kill(a.reset)
		return net.ErrClosed
	}
	if err := k.gate(true); err != nil {
		return err
	}
	return k.throttled(s, &a, response)
}

// throttled answers and throttles the connection, as Kafka does: in versions with the response first it mutes the
// connection after the answer, and reads nothing from it either; else the answer comes late.
func (k *conn) throttled(s *seen, a *Action, response protocol.Response) error {
	if a.throttle > 0 && !respondsFirst(s.Header.Key, s.Header.Version) {
		if err := k.pause(a.throttle, nil); err != nil {
			return err
		}
		return k.answer(s, a, response)
	}
	if a.throttle > 0 {
		muted := make(chan struct{})
		k.setMuted(muted)
		defer func() {
			k.setMuted(nil)
			close(muted)
		}()
	}
	if err := k.answer(s, a, response); err != nil {
		return err
	}
	return k.pause(a.throttle, nil)
}

// respondsFirst says whether a broker over quota responds to a version first and mutes the connection then (KIP-219).
func respondsFirst(key protocol.APIKey, version int16) bool {
	first := map[protocol.APIKey]int16{protocol.Produce: 6, protocol.Metadata: 6, protocol.ApiVersions: 2,
		protocol.InitProducerID: 1}
	return version >= first[key]
}

func (k *conn) setMuted(muted chan struct{}) {
	k.b.c.mu.Lock()
	defer k.b.c.mu.Unlock()
	k.muted = muted
}

// answer writes the answer, or the action's version of it. response is nil when there is none.
func (k *conn) answer(s *seen, a *Action, response protocol.Response) error {
	c := k.b.c
	frame := a.garbage
	switch {
	case k.silent:
		return nil
	case frame != nil:
	case response == nil:
		c.answered(s, nil)
		return nil
	default:
		var err error
		if frame, err = encode(&s.Header, s.Header.CorrelationID+a.correlationShift, response); err != nil {
			c.violation("%s: the test's answer to request %d cannot be encoded: %v", k, s.Number, err)
			return err
		}
	}
	cut := a.cut && a.cutAt < len(frame)
	if cut {
		frame = frame[:a.cutAt]
	} else if a.garbage == nil && a.correlationShift == 0 {
		// Before the write: the client may act upon the answer at once.
		c.answered(s, response)
	}
	k.silent = a.silence
	if err := k.write(frame, a); err != nil {
		return err
	}
	if cut && !a.silence {
		k.kill(a.reset)
		return net.ErrClosed
	}
	return nil
}

// encode makes an answer's frame.
func encode(h *protocol.RequestHeader, id int32, response protocol.Response) ([]byte, error) {
	frame := protocol.AppendResponseHeader(make([]byte, 4, 256), h.Key, h.Version, id)
	frame, err := response.Append(frame, h.Version)
	if err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	return frame, nil
}

// write writes a frame, in pieces if the action says so.
func (k *conn) write(frame []byte, a *Action) error {
	if a.piece <= 0 {
		_, err := k.nc.Write(frame)
		return err
	}
	for len(frame) > 0 {
		n := min(a.piece, len(frame))
		if _, err := k.nc.Write(frame[:n]); err != nil {
			return err
		}
		frame = frame[n:]
		if err := k.pause(a.pieceDelay, nil); err != nil {
			return err
		}
	}
	return nil
}

// gate waits while the broker hangs or has throttled the connection, and before an answer also while it is mute.
func (k *conn) gate(answer bool) error {
	for {
		k.b.c.mu.Lock()
		closed := k.b.hung
		if closed == nil && answer {
			closed = k.b.mute
		}
		if closed == nil {
			closed = k.muted
		}
		k.b.c.mu.Unlock()
		if closed == nil {
			return nil
		}
		if err := k.pause(0, closed); err != nil {
			return err
		}
	}
}

// pause waits for a time, and for a channel to be closed.
func (k *conn) pause(d time.Duration, until <-chan struct{}) error {
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-k.done:
			return net.ErrClosed
		}
	}
	if until != nil {
		select {
		case <-until:
		case <-k.done:
			return net.ErrClosed
		}
	}
	select {
	case <-k.done:
		return net.ErrClosed
	default:
		return nil
	}
}

// String names the connection.
func (k *conn) String() string { return fmt.Sprintf("broker %d, connection %d", k.b.id, k.number) }
