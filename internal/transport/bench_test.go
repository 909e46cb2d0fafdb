package transport

import (
	"bufio"
	"encoding/binary"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
)

// sink reads requests without allocating and answers each with an empty body.
func sink(p *peer) {
	p.greet()
	in := bufio.NewReaderSize(p.Conn, 256<<10)
	var head [12]byte
	answer := []byte{0, 0, 0, 5, 0, 0, 0, 0, 0}
	for {
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return
		}
		copy(answer[4:8], head[8:])
		if _, err := in.Discard(int(binary.BigEndian.Uint32(head[:])) - 8); err != nil {
			return
		}
		if _, err := p.Write(answer); err != nil {
			return
		}
	}
}

// window keeps size calls in flight until n are answered.
func window(c *Conn, size, n int, bodies ...[]byte) error {
	left, errs := n, make(chan error, size)
	for range size {
		call := &Call{Key: protocol.Produce, Version: 9}
		call.Buffers = append(call.Buffers, protocol.AppendRequestHeader(make([]byte, 4), call.Key, call.Version, 0,
			"bench"))
		call.Buffers = append(call.Buffers, bodies...)
		answered := make(chan error, 1)
		call.Done = func(_ []byte, err error) { answered <- err }
		share := left / size
		go func() {
			for range share {
				if err := c.Send(call); err != nil {
					errs <- err
					return
				}
				if err := <-answered; err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range size {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

func TestACallCostsNoAllocation(t *testing.T) {
	address := listen(t, sink)
	c, err := Dial(t.Context(), &Options{ReceiveBuffer: 32 << 10, RequestTimeout: time.Minute}, address)
	require.NoError(t, err)
	defer c.Close(nil)
	body := make([]byte, 1000)
	const calls = 10_000
	// The counts include both ends of the connection; the rest comes from starting goroutines.
	allocs := testing.AllocsPerRun(3, func() { require.NoError(t, window(c, 1, calls, body, body)) })
	require.Less(t, allocs/calls, 0.01)
}

// BenchmarkCalls measures one request and its answer over loopback, both ends in this process. One goroutine sends
// whenever a call is free for reuse.
func BenchmarkCalls(b *testing.B) {
	for _, bench := range []struct {
		name     string
		inFlight int
		body     int
	}{{"100B/alone", 1, 100}, {"100B/5InFlight", 5, 100}, {"16KiB/alone", 1, 16 << 10},
		{"16KiB/5InFlight", 5, 16 << 10}, {"1MiB/5InFlight", 5, 1 << 20}} {
		b.Run(bench.name, func(b *testing.B) {
			c, err := Dial(b.Context(), &Options{ReceiveBuffer: 32 << 10, RequestTimeout: time.Minute}, listen(b, sink))
			require.NoError(b, err)
			defer c.Close(nil)
			body := make([]byte, bench.body/2)
			free := make(chan *Call, bench.inFlight)
			for range bench.inFlight {
				call := benchCall(body)
				call.Done = func(_ []byte, err error) {
					if err != nil {
						b.Error(err)
					}
					free <- call
				}
				free <- call
			}
			b.SetBytes(int64(bench.body))
			b.ReportAllocs()
			for b.Loop() {
				_ = c.Send(<-free) // Done gets the error
			}
			for range bench.inFlight {
				<-free
			}
		})
	}
}

// benchCall is a request with a body of two buffers.
func benchCall(body []byte) *Call {
	call := &Call{Key: protocol.Produce, Version: 9}
	call.Buffers = [][]byte{protocol.AppendRequestHeader(make([]byte, 4), call.Key, call.Version, 0, "bench"), body,
		body}
	return call
}

// BenchmarkSendInsideDone works like a busy sender: the Done of an answer sends the next request.
func BenchmarkSendInsideDone(b *testing.B) {
	for _, bench := range []struct {
		name string
		body int
	}{{"100B", 100}, {"192KiB", 192 << 10}} {
		b.Run(bench.name, func(b *testing.B) {
			c, err := Dial(b.Context(), &Options{ReceiveBuffer: 32 << 10, RequestTimeout: time.Minute}, listen(b, sink))
			require.NoError(b, err)
			defer c.Close(nil)
			const inFlight = 4
			body := make([]byte, bench.body/2)
			var enough atomic.Bool
			answered, finished := make(chan struct{}, inFlight), make(chan error, inFlight)
			b.SetBytes(int64(bench.body))
			b.ReportAllocs()
			for range inFlight {
				// Two calls take turns, because a call is not free before its Send has returned.
				pair := [2]*Call{benchCall(body), benchCall(body)}
				for i, call := range pair {
					call.Done = func(_ []byte, err error) {
						if err != nil || enough.Load() {
							finished <- err
							return
						}
						answered <- struct{}{}
						_ = c.Send(pair[1-i])
					}
				}
				require.NoError(b, c.Send(pair[0]))
			}
			for b.Loop() {
				select {
				case <-answered:
				case err := <-finished:
					b.Fatal(err)
				}
			}
			enough.Store(true)
			for left := inFlight; left > 0; {
				select {
				case <-answered:
				case err := <-finished:
					require.NoError(b, err)
					left--
				}
			}
		})
	}
}
