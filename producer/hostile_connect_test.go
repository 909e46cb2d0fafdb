package producer

import (
	"bytes"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
)

// This file tests the first contact: servers other than Kafka, and hostile answers to ApiVersions.

func TestServersThatAreNoKafka(t *testing.T) {
	noise := make([]byte, 1<<20)
	r := rand.NewChaCha8([32]byte{7})
	_, _ = r.Read(noise)
	noise[0] = 0x7f // otherwise the bytes may be a length, and the client waits for the rest
	survive(t, []*hostileCase{
		{name: "HTTP", servers: webServer, check: unreached("not a Kafka broker", "an HTTP server answered",
			"use the port of a Kafka listener")},
		{name: "a TLS alert", servers: answering([]byte{0x15, 3, 3, 0, 2, 2, 10}),
			check: unreached("not a Kafka broker", "the answer is TLS", "use a plaintext listener")},
		{name: "a TLS ServerHello", servers: answering(append([]byte{0x16, 3, 3, 0, 0x7a, 2, 0, 0, 0x76, 3, 3},
			noise[:111]...)), check: unreached("not a Kafka broker", "the answer is TLS")},
		{name: "SSH", servers: answering([]byte("SSH-2.0-OpenSSH_9.6\r\n")),
			check: unreached("not a Kafka broker", "SSH-2.0")},
		{name: "garbage", servers: answering(noise), check: unreached("not a Kafka broker")},
		{name: "garbage behind a small length", servers: answering(append(frame(300, ""), noise[:300]...)),
			check: unreached("not a Kafka broker", "correlation id")},
		{name: "zeros", servers: answering(make([]byte, 4096)),
			check: unreached("not a Kafka broker", "length of 0 bytes")},
		{name: "text without end", servers: endless([]byte("lorem ipsum dolor sit amet\n")),
			check: unreached("not a Kafka broker", "lorem ipsum")},
		{name: "zeros without end", servers: endless(make([]byte, 4096)),
			check: unreached("not a Kafka broker", "length of 0 bytes")},
		{name: "frames without end", servers: endless(append(frame(4096, ""), noise[:4096]...)),
			check: unreached("not a Kafka broker", "correlation id")},
		{name: "a byte now and then", servers: dripping(append(frame(1000, ""), noise[:1000]...)),
			check: unreached("does not answer ApiVersions")},
		{name: "silence", servers: listening(func(nc net.Conn) { _, _ = io.Copy(io.Discard, nc) }),
			check: unreached("does not answer ApiVersions")},
		{name: "nothing is read", servers: listening(func(nc net.Conn) {
			_,
				_ = nc.Read(nil)
			<-time.After(2 * time.Second)
		}), check: unreached("does not answer ApiVersions")},
		{name: "closes at once", servers: listening(func(net.Conn) {}),
			check: unreached("older than 0.10, a listener that wants TLS or SASL, or no Kafka broker")},
		{name: "closes upon the request", servers: listening(func(nc net.Conn) { _, _ = nc.Read(make([]byte, 1024)) }),
			check: unreached("older than 0.10")},
		{name: "nobody listens", servers: nobody, check: unreached("refused")},
		{name: "length -1", servers: answering(frame(-1, "")), check: unreached("a length of -1 bytes")},
		{name: "length 0", servers: answering(frame(0, "")), check: unreached("a length of 0 bytes")},
		{name: "length 3", servers: answering(frame(3, "abc")), check: unreached("a length of 3 bytes")},
		{name: "length 2^31-1", servers: answering(frame(math.MaxInt32, "\x00")),
			check: unreached("a length of 2147483647 bytes")},
		{name: "length of a MiB and a byte", servers: answering(frame(1<<20+1, "\x00")),
			check: unreached("a length of 1048577 bytes, the limit is 1048576")},
		{name: "length of a MiB, never sent", servers: answering(frame(1<<20, "\x0d\x0a")),
			check: unreached("timed out")},
		{name: "half a length", servers: answering([]byte{0, 0}), check: unreached("timed out")},
	})
}

// endless repeats bytes until the other side closes.
func endless(b []byte) func(*testing.T) ([]string, func()) {
	b = bytes.Repeat(b, 1+1<<16/len(b))
	return listening(func(nc net.Conn) {
		for {
			if _, err := nc.Write(b); err != nil {
				return
			}
		}
	})
}

// dripping writes a byte at a time.
func dripping(b []byte) func(*testing.T) ([]string, func()) {
	return listening(func(nc net.Conn) {
		for i := range b {
			if _, err := nc.Write(b[i : i+1]); err != nil {
				return
			}
			<-time.After(20 * time.Millisecond)
		}
	})
}

func TestBrokenAnswersToApiVersions(t *testing.T) {
	var cases []*hostileCase
	for _, f := range faults {
		cases = append(cases, &hostileCase{name: f.name, servers: broken(protocol.ApiVersions, f.fault),
			check: unreached(f.first)})
	}
	// A body of version 4 is the error code, the array of APIs, the throttle, and tagged fields.
	survive(t, append(cases, bodies(protocol.ApiVersions, unreached("not a Kafka broker", "malformed message"),
		map[string][]byte{
			"no body": {}, "null for the APIs": {0, 0, 0, 0, 0, 0, 0, 0},
			"2^32-2 APIs":                   {0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 3, 0, 0, 0, 9, 0},
			"a count without end":           append([]byte{0, 0}, bytes.Repeat([]byte{0xff}, 5000)...),
			"more APIs than bytes":          {0, 0, 200, 1, 0, 3, 0, 0, 0, 9, 0},
			"2^32-1 tagged fields":          {0, 0, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f},
			"a tagged field beyond the end": {0, 0, 1, 0, 0, 0, 0, 1, 77, 0xff, 0xff, 0x03},
			"a tag that is no number":       {0, 0, 1, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
			"bytes left over":               {0, 0, 1, 0, 0, 0, 0, 0, 0},
		})...))
}

// spoken edits the answers to ApiVersions. heal ends the connections, because a broker changes its versions only at a
// restart.
func spoken(edit func(r *protocol.ApiVersionsResponse)) func(*testing.T) ([]string, func()) {
	return func(t *testing.T) ([]string, func()) {
		c := testbroker.New(t, testbroker.Config{Network: testbroker.TCP, Topics: map[string]int32{"t": 2}})
		rule := c.On(protocol.ApiVersions).Do(testbroker.Edit(edit))
		return c.Bootstrap(), func() {
			rule.End()
			c.Disconnect(1)
		}
	}
}

// ranged gives an API the versions from low to high.
func ranged(key protocol.APIKey, low, high int16) func(*testing.T) ([]string, func()) {
	return spoken(func(r *protocol.ApiVersionsResponse) {
		for i := range r.APIs {
			if r.APIs[i].Key == key {
				r.APIs[i].Min, r.APIs[i].Max = low, high
			}
		}
	})
}

// lacking removes an API from the answer.
func lacking(key protocol.APIKey) func(*testing.T) ([]string, func()) {
	return spoken(func(r *protocol.ApiVersionsResponse) {
		r.APIs = slices.DeleteFunc(r.APIs, func(a protocol.APIVersion) bool { return a.Key == key })
	})
}

// notTaken requires an error of a record that is certainly not written, with these words in the reason.
func notTaken(words ...string) func(require.TestingT, error) {
	return func(t require.TestingT, err error) {
		require.Error(t, err)
		require.False(t, MaybeWritten(err))
		says(t, err, words)
	}
}

func TestVersionsThatMakeNoSense(t *testing.T) {
	var cases []*hostileCase
	add := func(name string, servers func(*testing.T) ([]string, func()), check func(require.TestingT, error)) {
		cases = append(cases, &hostileCase{name: name, servers: servers, check: check})
	}
	unsupported := func(key protocol.APIKey) func(require.TestingT, error) {
		return notTaken("not supported by the broker", key.String())
	}
	for _, key := range []protocol.APIKey{protocol.Metadata, protocol.InitProducerID, protocol.Produce} {
		add(key.String()+" is missing", lacking(key), unsupported(key))
		add(key.String()+" from 5 to 3", ranged(key, 5, 3), unsupported(key))
		add(key.String()+" below 0", ranged(key, -7, -1), unsupported(key))
		add(key.String()+" from the last to the first", ranged(key, math.MaxInt16, math.MinInt16), unsupported(key))
		add(key.String()+" newer than all that is known", ranged(key, 1000, 2000), unsupported(key))
		add(key.String()+" in every version", ranged(key, math.MinInt16, math.MaxInt16), acknowledged)
	}
	add("Produce up to 2", ranged(protocol.Produce, 0, 2), unsupported(protocol.Produce))
	add("Produce up to 3", ranged(protocol.Produce, 0, 3), acknowledged)
	add("Metadata 0 only", ranged(protocol.Metadata, 0, 0), acknowledged)
	add("InitProducerId 0 only", ranged(protocol.InitProducerID, 0, 0), acknowledged)
	add("nothing at all", spoken(func(r *protocol.ApiVersionsResponse) { r.APIs = nil }),
		unsupported(protocol.Metadata))
	add("each API twice", spoken(func(r *protocol.ApiVersionsResponse) { r.APIs = append(r.APIs, r.APIs...) }),
		acknowledged)
	add("60,000 APIs", spoken(func(r *protocol.ApiVersionsResponse) {
		for i := range 60_000 {
			r.APIs = append(r.APIs, protocol.APIVersion{Key: protocol.APIKey(100 + i%30_000), Min: int16(i),
				Max: int16(-i)})
		}
	}), unreached("APIs, where at most 1000 more can be"))
	add("a throttle of 24 days", spoken(func(r *protocol.ApiVersionsResponse) { r.ThrottleMs = math.MaxInt32 }),
		acknowledged)
	add("a negative throttle", spoken(func(r *protocol.ApiVersionsResponse) { r.ThrottleMs = math.MinInt32 }),
		acknowledged)
	for name, code := range map[string]protocol.ErrorCode{"UNSUPPORTED_VERSION (35)": 35,
		"UNKNOWN_ERROR_CODE (999)": 999, "UNKNOWN_ERROR_CODE (-2)": -2, "UNKNOWN_SERVER_ERROR (-1)": -1} {
		add(name+" for ever", spoken(func(r *protocol.ApiVersionsResponse) { r.ErrorCode = code }), unreached(name))
	}
	add("each connection speaks another", changing, acknowledged)
	survive(t, cases)
}

// changing is a broker with different versions on each connection. It breaks the first connections after a batch was
// written.
func changing(t *testing.T) ([]string, func()) {
	c := testbroker.New(t, testbroker.Config{Network: testbroker.TCP, Topics: map[string]int32{"t": 2}})
	newest := map[protocol.APIKey][]int16{protocol.Produce: {13, 3, 8, 12}, protocol.Metadata: {13, 0, 8, 9},
		protocol.InitProducerID: {5, 0, 1, 2}}
	var turn atomic.Int32
	c.On(protocol.ApiVersions).Do(testbroker.Edit(func(r *protocol.ApiVersionsResponse) {
		n := turn.Add(1) % 4
		for i := range r.APIs {
			if choice := newest[r.APIs[i].Key]; choice != nil {
				r.APIs[i].Max = choice[n]
			}
		}
	}))
	c.On(protocol.Produce).Times(4).Do(testbroker.DropAnswer())
	return c.Bootstrap(), nil
}

func TestABrokerThatIsTooOld(t *testing.T) {
	old := func(release string) func(*testing.T) ([]string, func()) {
		return func(t *testing.T) ([]string, func()) {
			c := testbroker.New(t, testbroker.Config{
				Network: testbroker.TCP, Topics: map[string]int32{"t": 1}, Versions: testbroker.KafkaVersions(release),
			})
			return c.Bootstrap(), nil
		}
	}
	plain := func(c *Config) { c.EnableIdempotence = false }
	survive(t, []*hostileCase{
		{name: "0.9 closes upon ApiVersions", servers: old("0.9"), check: unreached("a broker older than 0.10")},
		{name: "0.9, not idempotent", servers: old("0.9"), change: plain, check: unreached("a broker older than 0.10")},
		{name: "0.10 has no producer ids", servers: old("0.10"),
			check: notTaken("InitProducerId", "not supported by the broker", "0.11")},
		{name: "0.10 has no batches", servers: old("0.10"), change: plain,
			check: notTaken("Produce", "not supported by the broker", "0.11")},
		{name: "0.11 is new enough", servers: old("0.11"), check: acknowledged},
	})
}
