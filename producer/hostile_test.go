package producer

import (
	"context"
	"encoding/binary"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
)

// hostileCase is a server, over real sockets, that a producer must survive: nothing panics, nothing hangs beyond what the
// configuration allows, no claim of the server's decides how much is allocated, and the error says what happened.
type hostileCase struct {
	name string
	// servers starts the other side. heal, which may be nil, ends what is wrong with it: the same producer must work then.
	servers func(t *testing.T) (addresses []string, heal func())
	change  func(*Config)
	check   func(t *testing.T, err error)

	producer *Producer
	heal     func()
	outcome  chan error
}

// patience is far more than any case takes by its configuration.
const patience = time.Minute

func hostileConfig(servers ...string) Config {
	cfg := DefaultConfig(servers...)
	cfg.MaxBlock, cfg.Linger = time.Second, 0
	cfg.RequestTimeout, cfg.DeliveryTimeout = 300*time.Millisecond, time.Second
	cfg.RetryBackoff, cfg.RetryBackoffMax, cfg.ReconnectBackoffMax = 50*time.Millisecond, 200*time.Millisecond, 200*time.Millisecond
	cfg.SocketConnectionSetupTimeout, cfg.SocketConnectionSetupTimeoutMax = 300*time.Millisecond, 600*time.Millisecond
	return cfg
}

// survive sends one record in each case, in all of them at the same time, and checks what comes of it.
func survive(t *testing.T, cases []*hostileCase) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, h := range cases {
		addresses, heal := h.servers(t)
		cfg := hostileConfig(addresses...)
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
			h.check(t, err)
			if h.heal != nil {
				h.heal()
				h.requireWorks(ctx, t)
			}
		})
	}
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20*len(cases)), "what a server claims must not be allocated")
}

func hostileRecord() *Record {
	return &Record{Topic: "t", Partition: PartitionOf(0), Value: []byte("value")}
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

// undescribed: no metadata of the topic came.
func undescribed(words ...string) func(*testing.T, error) {
	return func(t *testing.T, err error) {
		t.Helper()
		require.ErrorIs(t, err, ErrMetadataTimeout)
		require.False(t, MaybeWritten(err))
		require.True(t, Retriable(err))
		says(t, err, words)
	}
}

// unreached: nobody answered, and the reason is given for the address.
func unreached(words ...string) func(*testing.T, error) {
	return undescribed(append(words, "no server answered", "127.0.0.1:")...)
}

// undelivered: the record was buffered and not acknowledged in time.
func undelivered(maybe bool, words ...string) func(*testing.T, error) {
	return func(t *testing.T, err error) {
		t.Helper()
		require.ErrorIs(t, err, ErrDeliveryTimeout)
		require.Equal(t, maybe, MaybeWritten(err), err.Error())
		require.Equal(t, !maybe, Retriable(err))
		says(t, err, words)
	}
}

func says(t *testing.T, err error, words []string) {
	t.Helper()
	for _, w := range words {
		require.Contains(t, err.Error(), w)
	}
}

func acknowledged(t *testing.T, err error) {
	t.Helper()
	require.NoError(t, err)
}

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

// frame is a frame's length and some bytes after it.
func frame(length int32, rest string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(length)), rest...)
}

func TestServersThatAreNoKafka(t *testing.T) {
	noise := make([]byte, 1<<20)
	r := rand.NewChaCha8([32]byte{7})
	_, _ = r.Read(noise)
	noise[0] = 0x7f // else it may be a length that is waited for
	survive(t, []*hostileCase{
		{name: "HTTP", servers: webServer, check: unreached("not a Kafka broker", "an HTTP server answered")},
		{name: "TLS", servers: answering([]byte{0x15, 3, 3, 0, 2, 2, 10}), check: unreached("not a Kafka broker", "the answer is TLS")},
		{name: "text", servers: answering([]byte("SSH-2.0-OpenSSH_9.6\r\n")), check: unreached("not a Kafka broker", "SSH-2.0")},
		{name: "garbage", servers: answering(noise), check: unreached("not a Kafka broker")},
		{name: "zeros", servers: answering(make([]byte, 4096)), check: unreached("not a Kafka broker", "length of 0 bytes")},
		{name: "silence", servers: listening(func(nc net.Conn) { _, _ = io.Copy(io.Discard, nc) }), check: unreached("does not answer ApiVersions")},
		{name: "nothing is read", servers: listening(func(nc net.Conn) { _, _ = nc.Read(nil); <-time.After(2 * time.Second) }), check: unreached("does not answer ApiVersions")},
		{name: "closes at once", servers: listening(func(net.Conn) {}), check: unreached("older than 0.10, a listener that wants TLS or SASL, or no Kafka broker")},
		{name: "closes upon the request", servers: listening(func(nc net.Conn) { _, _ = nc.Read(make([]byte, 1024)) }), check: unreached("older than 0.10")},
		{name: "nobody listens", servers: nobody, check: unreached("refused")},
		{name: "length -1", servers: answering(frame(-1, "")), check: unreached("a length of -1 bytes")},
		{name: "length 0", servers: answering(frame(0, "")), check: unreached("a length of 0 bytes")},
		{name: "length 3", servers: answering(frame(3, "abc")), check: unreached("a length of 3 bytes")},
		{name: "length 2^31-1", servers: answering(frame(math.MaxInt32, "\x00")), check: unreached("a length of 2147483647 bytes")},
		{name: "length of a MiB, never sent", servers: answering(frame(1<<20, "\x0d\x0a")), check: unreached("timed out")},
		{name: "half a length", servers: answering([]byte{0, 0}), check: unreached("timed out")},
	})
}

// broken is a broker over TCP with a fault in it; heal ends the fault.
func broken(key protocol.APIKey, fault testbroker.Action) func(*testing.T) ([]string, func()) {
	return func(t *testing.T) ([]string, func()) {
		c := testbroker.New(t, testbroker.Config{Network: testbroker.TCP, Topics: map[string]int32{"t": 2}})
		rule := c.On(key).Do(fault)
		return c.Bootstrap(), rule.End
	}
}

// faults are answers that are none, with what is to be said of them.
var faults = []struct {
	name  string
	fault testbroker.Action
	word  string
}{
	{"length -1", testbroker.Garbage(frame(-1, "")), "a length of -1 bytes"},
	{"length 0", testbroker.Garbage(frame(0, "")), "a length of 0 bytes"},
	{"length 2^31-1", testbroker.Garbage(frame(math.MaxInt32, "\x00\x00")), "a length of 2147483647 bytes"},
	{"wrong correlation id", testbroker.WrongCorrelationID(), "correlation id"},
	{"half a frame, then close", testbroker.CutAnswer(7), "the stream ended after 7"},
	{"half a frame, then reset", testbroker.CutAnswer(7).And(testbroker.WithReset()), "broker"},
	{"half a frame, then silence", testbroker.CutAnswer(7).And(testbroker.SwallowAnswer()), ""},
	{"silence", testbroker.SwallowAnswer(), ""},
	{"close", testbroker.DropAnswer(), ""},
}

func TestBrokenAnswersToApiVersions(t *testing.T) {
	var cases []*hostileCase
	for _, f := range faults {
		cases = append(cases, &hostileCase{name: f.name, servers: broken(protocol.ApiVersions, f.fault), check: unreached(f.word)})
	}
	survive(t, cases)
}

func TestBrokenAnswersToMetadata(t *testing.T) {
	var cases []*hostileCase
	for _, f := range faults {
		cases = append(cases, &hostileCase{name: f.name, servers: broken(protocol.Metadata, f.fault), check: unreached(f.word)})
	}
	survive(t, cases)
}

func TestBrokenAnswersToInitProducerID(t *testing.T) {
	var cases []*hostileCase
	for _, f := range faults {
		cases = append(cases, &hostileCase{
			name: f.name, servers: broken(protocol.InitProducerID, f.fault), check: undelivered(false, "no producer id", f.word),
		})
	}
	id := func(id int64, epoch int16) testbroker.Action {
		return testbroker.Edit(func(r *protocol.InitProducerIDResponse) { r.ProducerID, r.ProducerEpoch = id, epoch })
	}
	survive(t, append(cases,
		&hostileCase{name: "a negative id", servers: broken(protocol.InitProducerID, id(-1, 0)), check: undelivered(false, "an invalid producer id")},
		&hostileCase{name: "a negative epoch", servers: broken(protocol.InitProducerID, id(1, -1)), check: undelivered(false, "an invalid producer id")},
		&hostileCase{name: "the last id and epoch", servers: broken(protocol.InitProducerID, id(math.MaxInt64, math.MaxInt16)), check: acknowledged},
	))
}

func TestBrokenAnswersToProduce(t *testing.T) {
	var cases []*hostileCase
	for _, f := range faults {
		cases = append(cases, &hostileCase{name: f.name, servers: broken(protocol.Produce, f.fault), check: undelivered(true, f.word)})
	}
	survive(t, cases)
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
	tooOld := func(words ...string) func(*testing.T, error) {
		return func(t *testing.T, err error) {
			t.Helper()
			require.Error(t, err)
			require.False(t, MaybeWritten(err))
			says(t, err, words)
		}
	}
	survive(t, []*hostileCase{
		{name: "0.9 closes upon ApiVersions", servers: old("0.9"), check: unreached("a broker older than 0.10")},
		{name: "0.9, not idempotent", servers: old("0.9"), change: plain, check: unreached("a broker older than 0.10")},
		{name: "0.10 has no producer ids", servers: old("0.10"), check: tooOld("InitProducerId", "not supported by the broker", "0.11")},
		{name: "0.10 has no batches", servers: old("0.10"), change: plain, check: tooOld("Produce", "not supported by the broker", "0.11")},
		{name: "0.11 is new enough", servers: old("0.11"), check: acknowledged},
	})
}

// produced edits the answers to Produce.
func produced(edit func(r *protocol.ProduceResponse)) func(*testing.T) ([]string, func()) {
	return broken(protocol.Produce, testbroker.Edit(edit))
}

func TestProduceAnswersThatMakeNoSense(t *testing.T) {
	first := func(r *protocol.ProduceResponse) *protocol.ProducePartitionResponse {
		return &r.Topics[0].Partitions[0]
	}
	blame := func(indexes ...int32) func(r *protocol.ProduceResponse) {
		return func(r *protocol.ProduceResponse) {
			part := first(r)
			part.ErrorCode, part.BaseOffset = protocol.InvalidRecord, -1
			for _, i := range indexes {
				part.RecordErrors = append(part.RecordErrors, protocol.RecordError{BatchIndex: i})
			}
		}
	}
	refusedRecord := func(t *testing.T, err error) {
		t.Helper()
		var broker *BrokerError
		require.ErrorAs(t, err, &broker)
		require.Equal(t, protocol.InvalidRecord, broker.Code)
		require.False(t, MaybeWritten(err))
	}
	// The broker has appended what it says it refused, so its log and the client's numbers do not agree: it is not healed.
	lies := func(edit func(r *protocol.ProduceResponse)) func(*testing.T) ([]string, func()) {
		return func(t *testing.T) ([]string, func()) {
			addresses, _ := broken(protocol.Produce, testbroker.Fail(protocol.InvalidRecord).And(testbroker.Edit(edit)))(t)
			return addresses, nil
		}
	}
	survive(t, []*hostileCase{
		{name: "no topics", servers: produced(func(r *protocol.ProduceResponse) { r.Topics = nil }), check: undelivered(true, "without a word on this partition")},
		{name: "no partitions", servers: produced(func(r *protocol.ProduceResponse) { r.Topics[0].Partitions = nil }), check: undelivered(true, "without a word on this partition")},
		{name: "another partition", servers: produced(func(r *protocol.ProduceResponse) { first(r).Index = 1 }), check: undelivered(true, "without a word on this partition")},
		{name: "partition -1", servers: produced(func(r *protocol.ProduceResponse) { first(r).Index = -1 }), check: undelivered(true, "without a word on this partition")},
		{name: "partition 2^31-1", servers: produced(func(r *protocol.ProduceResponse) { first(r).Index = math.MaxInt32 }), check: undelivered(true, "without a word on this partition")},
		{name: "another topic", servers: produced(func(r *protocol.ProduceResponse) { r.Topics[0].ID[3]++ }), check: undelivered(true, "without a word on this partition")},
		{name: "the same partition twice", servers: produced(func(r *protocol.ProduceResponse) {
			again := *first(r)
			again.ErrorCode = protocol.TopicAuthorizationFailed
			r.Topics[0].Partitions = append(r.Topics[0].Partitions, again)
			r.Topics = append(r.Topics, r.Topics[0])
		}), check: acknowledged},
		{name: "more than was asked for", servers: produced(func(r *protocol.ProduceResponse) {
			for i := range int32(10_000) {
				more := protocol.ProducePartitionResponse{Index: i + 5, ErrorCode: protocol.NotLeaderOrFollower}
				r.Topics[0].Partitions = append(r.Topics[0].Partitions, more)
			}
		}), check: acknowledged},
		{name: "a negative offset", servers: produced(func(r *protocol.ProduceResponse) { first(r).BaseOffset = math.MinInt64 }), check: acknowledged},
		{name: "the last offset", servers: produced(func(r *protocol.ProduceResponse) { first(r).BaseOffset = math.MaxInt64 }), check: acknowledged},
		{name: "a negative append time", servers: produced(func(r *protocol.ProduceResponse) { first(r).LogAppendTimeMs = math.MinInt64 }), check: acknowledged},
		{name: "record errors without an error", servers: produced(func(r *protocol.ProduceResponse) {
			first(r).RecordErrors = []protocol.RecordError{{BatchIndex: 0}, {BatchIndex: -1}}
		}), check: acknowledged},
		{name: "record errors at -1", servers: lies(blame(-1)), check: refusedRecord},
		{name: "record errors far outside", servers: lies(blame(1, math.MaxInt32, math.MinInt32)), check: refusedRecord},
		{name: "record errors many times", servers: lies(blame(0, 0, 0, 7, 0)), check: refusedRecord},
		{name: "an unknown error code", servers: produced(func(r *protocol.ProduceResponse) { first(r).ErrorCode = 9999 }), check: func(t *testing.T, err error) {
			require.True(t, MaybeWritten(err))
			says(t, err, []string{"UNKNOWN_ERROR_CODE (9999)"})
		}},
		{name: "a message of 30 kB, with line ends", servers: produced(func(r *protocol.ProduceResponse) {
			text := strings.Repeat("forged\nline ", 30_000/12)
			first(r).ErrorCode, first(r).ErrorMessage = protocol.UnknownServerError, &text
		}), check: func(t *testing.T, err error) {
			require.Less(t, len(err.Error()), 2000)
			require.NotContains(t, err.Error(), "\n")
		}},
		{name: "a leader that nobody knows", servers: produced(func(r *protocol.ProduceResponse) {
			first(r).ErrorCode, first(r).CurrentLeader = protocol.NotLeaderOrFollower, &protocol.LeaderIDAndEpoch{LeaderID: 99, LeaderEpoch: 5}
		}), check: undelivered(true, "NOT_LEADER_OR_FOLLOWER")},
		{name: "a negative leader", servers: produced(func(r *protocol.ProduceResponse) {
			first(r).ErrorCode, first(r).CurrentLeader = protocol.NotLeaderOrFollower, &protocol.LeaderIDAndEpoch{LeaderID: math.MinInt32, LeaderEpoch: math.MinInt32}
		}), check: undelivered(true, "NOT_LEADER_OR_FOLLOWER")},
		{name: "endpoints that are none", servers: produced(func(r *protocol.ProduceResponse) {
			first(r).ErrorCode, first(r).CurrentLeader = protocol.NotLeaderOrFollower, &protocol.LeaderIDAndEpoch{LeaderID: 7, LeaderEpoch: 9}
			r.NodeEndpoints = []protocol.NodeEndpoint{{NodeID: 7, Host: "", Port: -1}, {NodeID: -7, Host: "x", Port: math.MaxInt32}}
		}), check: undelivered(true, "NOT_LEADER_OR_FOLLOWER")},
		{name: "a throttle of 24 days", servers: produced(func(r *protocol.ProduceResponse) { r.ThrottleMs = math.MaxInt32 }), check: acknowledged},
		{name: "a negative throttle", servers: produced(func(r *protocol.ProduceResponse) { r.ThrottleMs = math.MinInt32 }), check: acknowledged},
	})
}

// described edits the answers to Metadata.
func described(edit func(r *protocol.MetadataResponse)) func(*testing.T) ([]string, func()) {
	return broken(protocol.Metadata, testbroker.Edit(edit))
}

func TestMetadataThatMakesNoSense(t *testing.T) {
	// each edits the topics of an answer; the first contact asks for none.
	each := func(edit func(topic *protocol.MetadataTopic)) func(*testing.T) ([]string, func()) {
		return described(func(r *protocol.MetadataResponse) {
			for i := range r.Topics {
				edit(&r.Topics[i])
			}
		})
	}
	survive(t, []*hostileCase{
		{name: "no brokers", servers: described(func(r *protocol.MetadataResponse) { r.Brokers = nil }), check: unreached("names no usable broker")},
		{name: "brokers without an address", servers: described(func(r *protocol.MetadataResponse) {
			r.Brokers = []protocol.MetadataBroker{{NodeID: 1, Host: "", Port: 9092}, {NodeID: 2, Host: "x", Port: 0}, {NodeID: 3, Host: "x", Port: 70000}, {NodeID: 4, Host: "x", Port: -1}}
		}), check: unreached("names no usable broker")},
		{name: "a host that does not exist", servers: described(func(r *protocol.MetadataResponse) { r.Brokers[0].Host = "no.such.host.invalid" }),
			check: undelivered(false, "no.such.host.invalid")},
		{name: "a host of 30 kB", servers: described(func(r *protocol.MetadataResponse) { r.Brokers[0].Host = strings.Repeat("h", 30_000) }),
			check: undelivered(false)},
		{name: "a port where nobody listens", servers: described(func(r *protocol.MetadataResponse) { r.Brokers[0].Port = 1 }), check: undelivered(false, "127.0.0.1:1")},
		{name: "a leader that is no broker", servers: each(func(topic *protocol.MetadataTopic) {
			for i := range topic.Partitions {
				topic.Partitions[i].LeaderID = 4711
			}
		}), check: undelivered(false, "the partition has no leader")},
		{name: "a leader of -2^31", servers: each(func(topic *protocol.MetadataTopic) {
			for i := range topic.Partitions {
				topic.Partitions[i].LeaderID, topic.Partitions[i].LeaderEpoch = math.MinInt32, math.MinInt32
			}
		}), check: undelivered(false, "the partition has no leader")},
		{name: "partitions with absurd numbers", servers: each(func(topic *protocol.MetadataTopic) {
			topic.Partitions[0].Index = math.MaxInt32
			topic.Partitions[1].Index = -5
		}), check: undescribed("LEADER_NOT_AVAILABLE")},
		{name: "one partition with an absurd number", servers: each(func(topic *protocol.MetadataTopic) { topic.Partitions[1].Index = math.MaxInt32 - 1 }), check: acknowledged},
		{name: "every partition twice", servers: each(func(topic *protocol.MetadataTopic) { topic.Partitions = append(topic.Partitions, topic.Partitions...) }), check: acknowledged},
		{name: "no partitions", servers: each(func(topic *protocol.MetadataTopic) { topic.Partitions = nil }), check: undescribed("LEADER_NOT_AVAILABLE")},
		{name: "another topic", servers: each(func(topic *protocol.MetadataTopic) { other := "other"; topic.Name = &other }), check: undescribed("UNKNOWN_TOPIC_OR_PARTITION")},
		{name: "a topic without a name", servers: each(func(topic *protocol.MetadataTopic) { topic.Name = nil }), check: undescribed("UNKNOWN_TOPIC_OR_PARTITION")},
		{name: "no topics", servers: described(func(r *protocol.MetadataResponse) { r.Topics = nil }), check: undescribed("UNKNOWN_TOPIC_OR_PARTITION")},
		{name: "an unknown error of the topic", servers: each(func(topic *protocol.MetadataTopic) { topic.ErrorCode = 9999 }), check: func(t *testing.T, err error) {
			require.False(t, MaybeWritten(err))
			says(t, err, []string{"UNKNOWN_ERROR_CODE (9999)"})
		}},
		{name: "a throttle of 24 days", servers: described(func(r *protocol.MetadataResponse) { r.ThrottleMs = math.MaxInt32 }), check: acknowledged},
	})
}
