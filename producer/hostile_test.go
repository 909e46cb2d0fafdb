package producer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
)

// The hostile tests are grouped by the producer's requests: hostile_connect_test.go (ApiVersions),
// hostile_metadata_test.go, hostile_producerid_test.go, hostile_produce_test.go. Three further files cover all answers
// (hostile_stream_test.go), time (hostile_time_test.go) and memory (hostile_memory_test.go).

// hostileCase is a faulty server on a real socket. The producer must not panic, hang beyond the configured limits, or
// allocate memory by the server's claims, and its error must describe the fault.
type hostileCase struct {
	name string
	// servers starts the faulty server. heal ends the fault, and then the same producer must work; heal may be nil.
	servers func(t *testing.T) (addresses []string, heal func())
	change  func(*Config)
	check   func(t require.TestingT, err error)

	producer *Producer
	heal     func()
	outcome  chan error
	logged   longestLine
}

// patientConfig is for cases that end in success, even on a slow machine.
func patientConfig(servers ...string) Config {
	cfg := hostileConfig(servers...)
	cfg.MaxBlock, cfg.RequestTimeout, cfg.DeliveryTimeout = patience, patience, patience
	cfg.SocketConnectionSetupTimeout, cfg.SocketConnectionSetupTimeoutMax = patience, patience
	return cfg
}

// longestLog and longestError bound the texts about a server, in bytes.
const longestLog, longestError = 4096, 4096

// longestLine keeps the longest line of the log.
type longestLine struct {
	mu      sync.Mutex
	longest string
}

func (l *longestLine) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(line) > len(l.longest) {
		l.longest = string(line)
	}
	return len(line), nil
}

// patience is much longer than any case takes with its configuration.
const patience = 2 * time.Minute

func hostileConfig(servers ...string) Config {
	cfg := DefaultConfig(servers...)
	cfg.MaxBlock, cfg.Linger = time.Second, 0
	cfg.RequestTimeout, cfg.DeliveryTimeout = 300*time.Millisecond, time.Second
	cfg.RetryBackoff, cfg.RetryBackoffMax, cfg.ReconnectBackoffMax = 50*time.Millisecond, 200*time.Millisecond,
		200*time.Millisecond
	cfg.SocketConnectionSetupTimeout, cfg.SocketConnectionSetupTimeoutMax = 300*time.Millisecond, 600*time.Millisecond
	return cfg
}

// survive runs all cases at the same time, sends one record in each, and checks the result.
func survive(t *testing.T, cases []*hostileCase) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	for _, h := range cases {
		addresses, heal := h.servers(t)
		cfg := hostileConfig(addresses...)
		if h.check == nil {
			cfg = patientConfig(addresses...)
		}
		cfg.Logger = slog.New(slog.NewTextHandler(&h.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
		if h.change != nil {
			h.change(&cfg)
		}
		p, err := New(cfg)
		require.NoError(t, err)
		h.producer, h.heal, h.outcome = p, heal, make(chan error, 1)
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			_ = p.Close(ctx)
			require.NoError(t, ctx.Err(), "Close hangs")
		})
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, h := range cases {
		go func() {
			_, err := h.producer.Send(ctx, hostileRecord(), nil).Get(ctx)
			h.outcome <- err
		}()
	}
	for _, h := range cases {
		t.Run(h.name, func(t *testing.T) {
			err := <-h.outcome
			require.NoError(t, ctx.Err(), "it hangs")
			if h.check == nil {
				require.NoError(t, err)
			} else {
				h.requireReason(ctx, t, err)
			}
			if h.heal != nil {
				h.heal()
				h.requireWorks(ctx, t)
			}
			h.logged.mu.Lock()
			defer h.logged.mu.Unlock()
			require.LessOrEqual(t, len(h.logged.longest), longestLog, "%.200s", h.logged.longest)
		})
	}
	runtime.ReadMemStats(&after)
	// The servers claim gigabytes, so the bound is far below these claims. It leaves room for retries, which also
	// allocate and are more frequent on a slow machine.
	const forCase, forSecond = 16 << 20, 64 << 20
	most := uint64(forCase*len(cases)) + uint64(forSecond*time.Since(began).Seconds())
	require.Less(t, after.TotalAlloc-before.TotalAlloc, most, "what a server claims must not be allocated")
}

// requireReason checks that a record fails, and that its error has the reason. On a slow machine a record can time out
// before the producer meets the server's fault; then requireReason sends another record.
func (h *hostileCase) requireReason(ctx context.Context, t *testing.T, err error) {
	t.Helper()
	for {
		require.Error(t, err)
		require.LessOrEqual(t, len(err.Error()), longestError)
		require.NotContains(t, err.Error(), "\n")
		why := checked(h.check, err)
		if why == "" {
			return
		}
		_, err = h.producer.Send(ctx, hostileRecord(), nil).Get(ctx)
		require.NoError(t, ctx.Err(), why)
	}
}

// checked returns the problem that a check finds in an error, or "".
func checked(check func(require.TestingT, error), err error) string {
	var v verdict
	done := make(chan struct{})
	go func() {
		defer close(done)
		check(&v, err)
	}()
	<-done
	return v.why
}

// verdict is the require.TestingT of a check that may fail.
type verdict struct{ why string }

func (v *verdict) Errorf(format string, args ...any) { v.why += fmt.Sprintf(format, args...) }
func (v *verdict) FailNow()                          { runtime.Goexit() }

func hostileRecord() *Record {
	return &Record{Topic: "t", Partition: InPartition(0), Value: []byte("value")}
}

// requireWorks sends until it works.
func (h *hostileCase) requireWorks(ctx context.Context, t *testing.T) {
	t.Helper()
	for {
		_, err := h.producer.Send(ctx, hostileRecord(), nil).Get(ctx)
		if err == nil {
			return
		}
		require.NoError(t, ctx.Err(), "it never works again: %v", err)
	}
}

// undescribed: the producer got no metadata of the topic.
func undescribed(words ...string) func(require.TestingT, error) {
	return func(t require.TestingT, err error) {
		require.True(t, errors.Is(err, ErrMetadataTimeout) || errors.Is(err, ErrUnknownTopic), err)
		require.False(t, MaybeWritten(err))
		require.True(t, Retriable(err))
		says(t, err, words)
	}
}

// unreached: no server answered, and the error has the reason for the address.
func unreached(words ...string) func(require.TestingT, error) {
	return undescribed(append(words, "no broker answered for ", "127.0.0.1:")...)
}

// undelivered: the record was buffered and not acknowledged in time.
func undelivered(maybe bool, words ...string) func(require.TestingT, error) {
	return func(t require.TestingT, err error) {
		require.ErrorIs(t, err, ErrDeliveryTimeout)
		require.Equal(t, maybe, MaybeWritten(err), err.Error())
		require.Equal(t, !maybe, Retriable(err))
		says(t, err, words)
	}
}

func says(t require.TestingT, err error, words []string) {
	for _, w := range words {
		require.Contains(t, err.Error(), w)
	}
}

// acknowledged: the first record is delivered.
var acknowledged func(require.TestingT, error)

// listening serves every connection with handle until the test ends.
func listening(handle func(nc net.Conn)) func(*testing.T) ([]string, func()) {
	return func(t *testing.T) ([]string, func()) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		var running sync.WaitGroup
		var mu sync.Mutex
		var conns []net.Conn
		running.Go(func() {
			for {
				nc, err := l.Accept()
				if err != nil {
					return
				}
				mu.Lock()
				conns = append(conns, nc)
				mu.Unlock()
				running.Go(func() {
					handle(nc)
					_ = nc.Close()
				})
			}
		})
		t.Cleanup(func() {
			_ = l.Close()
			mu.Lock()
			for _, nc := range conns {
				_ = nc.Close()
			}
			mu.Unlock()
			running.Wait()
		})
		return []string{l.Addr().String()}, nil
	}
}

// answering reads the first bytes, writes an answer and reads on until the other side closes.
func answering(answer []byte) func(*testing.T) ([]string, func()) {
	return listening(func(nc net.Conn) {
		if _, err := nc.Read(make([]byte, 64)); err != nil {
			return
		}
		if _, err := nc.Write(answer); err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, nc)
	})
}

func webServer(t *testing.T) ([]string, func()) {
	s := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	return []string{s.Listener.Addr().String()}, nil
}

func nobody(t *testing.T) ([]string, func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return []string{l.Addr().String()}, nil
}

// frame returns some bytes after a length field.
func frame(length int32, rest string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(length)), rest...)
}

// broken is a broker over TCP with a fault in it; heal ends the fault.
func broken(key protocol.APIKey, fault testbroker.Action) func(*testing.T) ([]string, func()) {
	return func(t *testing.T) ([]string, func()) {
		c := testbroker.New(t, testbroker.Config{Network: testbroker.TCP, Topics: map[string]int32{"t": 2}})
		rule := c.On(key).Do(fault)
		return c.Bootstrap(), rule.End
	}
}

// faults returns cases with bad answers and the words of their errors, for answers during and after the first contact.
var faults = []struct {
	name        string
	fault       testbroker.Action
	word, first string
}{
	{"length -1", testbroker.Garbage(frame(-1, "")), "a length of -1 bytes", "a length of -1 bytes"},
	{"length 0", testbroker.Garbage(frame(0, "")), "a length of 0 bytes", "a length of 0 bytes"},
	{"length 3, less than a header", testbroker.Garbage(frame(3, "abc")), "a length of 3 bytes", "a length of 3 bytes"},
	{"length 2^31-1", testbroker.Garbage(frame(math.MaxInt32, "\x00\x00")), "a length of 2147483647 bytes",
		"a length of 2147483647 bytes"},
	{"length 100 MiB and a byte", testbroker.Garbage(frame(100<<20+1, "\x00\x00")),
		"a length of 104857601 bytes, the limit is 104857600", "the limit is 1048576"},
	{"length 4 and no more", testbroker.Garbage(frame(4, "\x00\x00\x00\x63")), "", "correlation id"},
	{"wrong correlation id", testbroker.WrongCorrelationID(), "correlation id", "correlation id"},
	{"HTTP", testbroker.Garbage([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")), "malformed", "an HTTP server answered"},
	{"a TLS alert", testbroker.Garbage([]byte{0x15, 3, 3, 0, 2, 2, 10}), "malformed", "the answer is TLS"},
	{"SSH", testbroker.Garbage([]byte("SSH-2.0-OpenSSH_9.6\r\n")), "malformed", "SSH-2.0"},
	{"zeros", testbroker.Garbage(make([]byte, 1<<16)), "a length of 0 bytes", "a length of 0 bytes"},
	{"garbage", testbroker.Garbage(bytes.Repeat([]byte{0xde, 0xad, 0xbe, 0xef}, 1<<14)), "malformed",
		"not a Kafka broker"},
	{"garbage in a frame", testbroker.Garbage(append(frame(2000, ""), bytes.Repeat([]byte{0xfe}, 2000)...)),
		"malformed", "correlation id"},
	{"half a length, then close", testbroker.CutAnswer(2), "the stream ended after 2 bytes",
		"the stream ended after 2 bytes"},
	{"half a frame, then close", testbroker.CutAnswer(7), "the stream ended after 7", "the stream ended after 7"},
	{"half a frame, then reset", testbroker.CutAnswer(7).And(testbroker.WithReset()), "broker", "broker"},
	{"half a frame, then silence", testbroker.CutAnswer(7).And(testbroker.SwallowAnswer()), timeOver,
		"does not answer ApiVersions"},
	{"a byte now and then", testbroker.DripAnswer(1, 100*time.Millisecond), timeOver, "does not answer ApiVersions"},
	{"silence", testbroker.SwallowAnswer(), timeOver, "does not answer ApiVersions"},
	{"close", testbroker.DropAnswer(), "disconnected by the broker", "disconnected by the broker"},
	{"reset", testbroker.DropAnswer().And(testbroker.WithReset()), "broker", "broker"},
}

// timeOver is the error's text for an answer that does not come in time.
const timeOver = "no answer within the request timeout"
