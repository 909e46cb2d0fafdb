package producer_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
)

// mistake is a typical mistake of a newcomer, with the words of the producer's error.
type mistake struct {
	name    string
	cluster func(*testbroker.Config)
	// run makes the mistake and returns its error.
	run func(s *mistakeScene) error
	// text is the whole text of the error: the cause, then the cure. A "#" stands for a varying number or duration, and
	// "…" for any text. It is empty if there is no error.
	text string
	// fate and reason are the results of FateOf and Reason for the error. reason is empty if the error concerns no
	// record.
	fate   producer.Fate
	reason string
	// is is an error that errors.Is must find, or nil.
	is error
	// log is the beginning of the first line at level Warn or above, due within a second; a "|" separates alternatives.
	// If it is empty, the producer must not warn.
	log string
	// ended: the user's own context has ended, so the text may report it, once.
	ended bool
}

// mistakeScene is a cluster with the topic t, in virtual time, for one mistake.
type mistakeScene struct {
	*testing.T
	c     *testbroker.Cluster
	log   *warnings
	began time.Time // of the mistake
}

// start returns a producer on the cluster; it logs to the scene.
func (s *mistakeScene) start(change func(*producer.Config)) *producer.Producer {
	return start(s.T, s.c, func(cfg *producer.Config) {
		cfg.Logger = slog.New(s.log)
		if change != nil {
			change(cfg)
		}
	})
}

// started returns a producer after a delivered record in each partition. The mistake begins after that.
func (s *mistakeScene) started(change func(*producer.Config)) *producer.Producer {
	p := s.start(change)
	for i := range int32(2) {
		_, err := p.Send(s.Context(), to(i, "warm"), nil).Get(s.Context())
		require.NoError(s, err)
	}
	synctest.Wait()
	s.began = time.Now()
	return p
}

// send sends a record to topic t with a producer and waits for its outcome.
func (s *mistakeScene) send(p *producer.Producer) error { return s.sendRecord(p, to(0, "x")) }

func (s *mistakeScene) sendRecord(p *producer.Producer, r *producer.Record) error {
	_, err := p.Send(s.Context(), r, nil).Get(s.Context())
	return err
}

// warnings is a log handler that keeps the lines at level Warn and above.
type warnings struct {
	slog.Handler
	mu    sync.Mutex
	lines []slog.Record
}

func (w *warnings) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (w *warnings) Handle(_ context.Context, r slog.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, r)
	return nil
}

// first returns the text of the first line and its time.
func (w *warnings) first() (text string, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.lines) == 0 {
		return "", time.Time{}
	}
	text = w.lines[0].Message
	w.lines[0].Attrs(func(a slog.Attr) bool {
		text += " " + a.String()
		return true
	})
	return text, w.lines[0].Time
}

func TestMistakes(t *testing.T) {
	require.GreaterOrEqual(t, len(mistakes), 30)
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := topics(1, 2)
				if m.cluster != nil {
					m.cluster(&cfg)
				}
				cfg.Seed = 1 // the broker omits the same fields in each run
				s := &mistakeScene{T: t, c: testbroker.New(t, cfg), log: &warnings{Handler: slog.DiscardHandler},
					began: time.Now()}
				m.check(s, m.run(s))
			})
		})
	}
}

func (m *mistake) check(s *mistakeScene, err error) {
	if m.text == "" {
		require.NoError(s, err)
	} else {
		require.Error(s, err)
		require.Regexp(s, textPattern(m.text), err.Error())
		m.checkWords(s, err.Error())
	}
	if m.reason != "" {
		m.checkFate(s, err)
	}
	synctest.Wait() // for the log
	m.checkLog(s)
}

// textPattern is the regular expression of a text with "#" and "…".
func textPattern(text string) *regexp.Regexp {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(text), "#", `[0-9.]+(ms|s)?`)
	return regexp.MustCompile("(?s)^" + strings.ReplaceAll(pattern, "…", ".*") + "$")
}

var (
	goType  = regexp.MustCompile(`(?:^|[^\w.])[a-z]+\.[A-Z]\w*`)
	address = regexp.MustCompile(`0x[0-9a-f]{4,}`)
)

// checkWords checks that a text is readable for people.
func (m *mistake) checkWords(s *mistakeScene, text string) {
	require.Equal(s, 1, strings.Count(text, "samsa:"), text)
	for _, foreign := range []string{"%!", "<nil>", "&{", "map["} {
		require.NotContains(s, text, foreign)
	}
	for _, name := range goType.FindAllString(text, -1) {
		require.Contains(s, name, "time.", "a Go type in: %s", text) // a cure may name time.Millisecond
	}
	require.False(s, address.MatchString(text), text)
	ended := strings.Count(text, "context deadline exceeded") + strings.Count(text, "context canceled")
	if m.ended {
		require.Equal(s, 1, ended, text)
	} else {
		require.Zero(s, ended, text)
	}
}

// checkFate checks that all functions about an error agree.
func (m *mistake) checkFate(s *mistakeScene, err error) {
	require.Equal(s, m.fate.String(), producer.FateOf(err).String())
	require.Equal(s, m.fate == producer.FateNotWritten, producer.Retriable(err))
	require.Equal(s, m.fate == producer.FateMaybeWritten, producer.MaybeWritten(err))
	require.Equal(s, m.reason, producer.Reason(err))
	require.Equal(s, m.ended, errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled))
	if m.is != nil {
		require.ErrorIs(s, err, m.is)
	}
	var failed *producer.Error
	if errors.As(err, &failed) {
		require.True(s, strings.HasSuffix(err.Error(), " ("+m.fate.String()+")"), err)
	}
}

// checkLog checks the first warning and its time.
func (m *mistake) checkLog(s *mistakeScene) {
	line, at := s.log.first()
	switch m.log {
	case "":
		require.Empty(s, line)
	default:
		require.Condition(s, func() bool {
			return slices.ContainsFunc(strings.Split(m.log, "|"),
				func(text string) bool { return strings.HasPrefix(line, text) })
		}, "want %q, got %q", m.log, line)
		require.LessOrEqual(s, at.Sub(s.began), time.Second)
	}
}

// mistakes are grouped: first about the connection, then about topics, records, calls, and the configuration.
var mistakes = []mistake{
	{
		name: "wrong port",
		text: `samsa: topic "t": no broker answered for 1m0s (MaxBlock): broker-1:9093: connection refused (not written)`,
		fate: producer.FateNotWritten, reason: "metadata_timeout", is: producer.ErrMetadataTimeout,
		log: "no broker answers",
		run: func(s *mistakeScene) error {
			return s.send(s.start(func(cfg *producer.Config) { cfg.BootstrapServers = []string{"broker-1:9093"} }))
		},
	},
	{
		name: "host that does not resolve",
		text: `samsa: topic "t": no broker answered for 1m0s (MaxBlock): kafak:9092: no such host (not written)`,
		fate: producer.FateNotWritten, reason: "metadata_timeout", is: producer.ErrMetadataTimeout,
		log: "no broker answers",
		run: func(s *mistakeScene) error {
			return s.send(s.start(func(cfg *producer.Config) {
				cfg.BootstrapServers, cfg.Dialer = []string{"kafak:9092"}, unresolved
			}))
		},
	},
	{
		name: "server that accepts and is silent",
		text: `samsa: topic "t": no broker answered for 1m0s (MaxBlock): server:8080: connection setup timed out after #: connected, but the server does not answer ApiVersions: it hangs, or is no Kafka broker… (not written)`,
		fate: producer.FateNotWritten, reason: "metadata_timeout", is: producer.ErrMetadataTimeout,
		log: "no broker answers",
		run: func(s *mistakeScene) error {
			return s.send(s.serve(func(nc net.Conn) { _, _ = io.Copy(io.Discard, nc) }))
		},
	},
	{
		name: "HTTP port",
		text: `samsa: topic "t": no broker answered for 1m0s (MaxBlock): server:8080: not a Kafka broker: an HTTP server answered: use the port of a Kafka listener (not written)`,
		fate: producer.FateNotWritten, reason: "metadata_timeout", is: producer.ErrMetadataTimeout,
		log: "no broker answers",
		run: func(s *mistakeScene) error {
			return s.send(s.serve(func(nc net.Conn) {
				_, _ = nc.Read(make([]byte, 1024))
				_, _ = nc.Write([]byte("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request"))
			}))
		},
	},
	{
		name: "TLS port",
		text: `samsa: topic "t": no broker answered for 1m0s (MaxBlock): server:8080: disconnected by the broker: it closed the connection upon the first request (ApiVersions): a broker older than 0.10, a listener that wants TLS or SASL, or no Kafka broker; use a plaintext listener, or a dialer for TLS: … (not written)`,
		fate: producer.FateNotWritten, reason: "metadata_timeout", is: producer.ErrMetadataTimeout,
		log: "no broker answers",
		run: func(s *mistakeScene) error {
			cfg := selfSigned(s.T)
			return s.send(s.serve(func(nc net.Conn) { _ = tls.Server(nc, cfg).Handshake() }))
		},
	},
	{
		name: "SASL listener",
		text: `samsa: topic "t": no broker answered for 1m0s (MaxBlock): broker-1:9092: it answered ApiVersions and closed the connection upon the first Metadata request: perhaps a listener that wants SASL, which is not supported yet: disconnected by the broker: EOF (not written)`,
		fate: producer.FateNotWritten, reason: "metadata_timeout", is: producer.ErrMetadataTimeout,
		log: "no broker answers",
		run: func(s *mistakeScene) error {
			s.c.Hook(func(r *testbroker.Request) testbroker.Action {
				if r.Header.Key == protocol.ApiVersions { // it needs no authentication
					return testbroker.Pass()
				}
				return testbroker.DropRequest()
			})
			return s.send(s.start(nil))
		},
	},
	{
		name: "KRaft controller's port",
		text: `samsa: topic "t": no broker answered for 1m0s (MaxBlock): broker-1:9092: not supported by the broker: it does not know Metadata requests; this is a KRaft controller's listener: use the address of a broker's listener (not written)`,
		fate: producer.FateNotWritten, reason: "metadata_timeout", is: producer.ErrMetadataTimeout,
		log:     "no broker answers",
		cluster: func(cfg *testbroker.Config) { cfg.Versions = testbroker.ControllerVersions() },
		run:     func(s *mistakeScene) error { return s.send(s.start(nil)) },
	},
	{
		name: "broker older than 0.11",
		text: `samsa: topic "t" partition 0: broker broker-1:9092: not supported by the broker: it does not know InitProducerId requests: Kafka before 0.11 knows no producer ids and is too old for this client; for other servers set enable.idempotence=false (not written)`,
		fate: producer.FateNotWritten, reason: "unsupported_version", is: producer.ErrUnsupportedVersion,
		log:     "no producer id",
		cluster: func(cfg *testbroker.Config) { cfg.Versions = testbroker.KafkaVersions("0.10") },
		run:     func(s *mistakeScene) error { return s.send(s.start(nil)) },
	},
	{
		name: "Ping of a wrong port",
		text: `samsa: ping: no broker answered: broker-1:9093: connection refused`,
		log:  "no broker answers",
		run: func(s *mistakeScene) error {
			return s.start(func(cfg *producer.Config) { cfg.BootstrapServers = []string{"broker-1:9093"} }).Ping(
				s.Context())
		},
	},
	{
		name: "advertised name that does not resolve",
		text: `samsa: topic "t" partition 0: delivery timeout: 2m0s passed before it could be sent: broker 1 is at broker-1:9092 according to localhost:9092: no such host; check advertised.listeners (not written)`,
		fate: producer.FateNotWritten, reason: "delivery_timeout", is: producer.ErrDeliveryTimeout,
		log: "cannot connect",
		run: func(s *mistakeScene) error { return s.send(s.advertised(unresolved)) },
	},
	{
		name: "advertised address that refuses",
		text: `samsa: topic "t" partition 0: delivery timeout: 2m0s passed before it could be sent: broker 1 is at broker-1:9092 according to localhost:9092: connection refused; check advertised.listeners (not written)`,
		fate: producer.FateNotWritten, reason: "delivery_timeout", is: producer.ErrDeliveryTimeout,
		log: "cannot connect",
		run: func(s *mistakeScene) error {
			return s.send(s.advertised(func(ctx context.Context, network, _ string) (net.Conn, error) {
				return s.c.Dial(ctx, network, "nobody:9092")
			}))
		},
	},
	{
		name: "advertised address that hangs",
		text: `samsa: topic "t" partition 0: delivery timeout: 2m0s passed before it could be sent: broker 1 is at broker-1:9092 according to localhost:9092: connection setup timed out after #: the dialer returned no connection: a dialer that makes TLS connections needs a TLS listener; check advertised.listeners (not written)`,
		fate: producer.FateNotWritten, reason: "delivery_timeout", is: producer.ErrDeliveryTimeout,
		log: "a connection takes long",
		run: func(s *mistakeScene) error {
			return s.send(s.advertised(func(ctx context.Context, _, address string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}))
		},
	},
	{
		name: "advertised name, and Get with a short context",
		text: `samsa: topic "t" partition 0: context deadline exceeded: the wait ended before the record's outcome was known: broker 1 is at broker-1:9092 according to localhost:9092: no such host; check advertised.listeners (maybe written)`,
		fate: producer.FateMaybeWritten, reason: "context_deadline_exceeded",
		log:   "cannot connect",
		ended: true,
		run: func(s *mistakeScene) error {
			_, err := s.advertised(unresolved).Send(s.Context(), to(0, "x"), nil).Get(within(s.T, 2*time.Second))
			return err
		},
	},
	{
		name: "missing topic",
		text: `samsa: topic "nosuch" does not exist (UNKNOWN_TOPIC_OR_PARTITION) after 5s: create it or check the name (not written)`,
		fate: producer.FateNotWritten, reason: "unknown_topic", is: producer.ErrUnknownTopic,
		log: "topic does not exist: waiting until it exists, at most 5s (topic.metadata.propagation.max.ms)",
		run: func(s *mistakeScene) error { return s.sendRecord(s.start(nil), &producer.Record{Topic: "nosuch"}) },
	},
	{
		name: "missing topic, twice in a row",
		text: `samsa: topic "nosuch" does not exist (UNKNOWN_TOPIC_OR_PARTITION) after 5s: create it or check the name (not written)`,
		fate: producer.FateNotWritten, reason: "unknown_topic", is: producer.ErrUnknownTopic,
		log: "topic does not exist: waiting until it exists, at most 5s (topic.metadata.propagation.max.ms)",
		run: func(s *mistakeScene) error {
			p := s.start(nil)
			first := s.sendRecord(p, &producer.Record{Topic: "nosuch"})
			at := time.Now()
			second := s.sendRecord(p, &producer.Record{Topic: "nosuch"})
			require.Zero(s, time.Since(at))
			require.EqualError(s, second, first.Error())
			return second
		},
	},
	{
		name: "missing topic with TrySend",
		text: `samsa: topic "nosuch": no metadata for the topic yet: it is being fetched (not written)`,
		fate: producer.FateNotWritten, reason: "metadata_timeout", is: producer.ErrMetadataTimeout,
		run: func(s *mistakeScene) error {
			p := s.start(nil)
			_, err := p.TrySend(&producer.Record{Topic: "nosuch"}, nil).Get(s.Context())
			return err
		},
	},
	{
		name: "missing topic with TrySend again and again",
		text: `samsa: topic "nosuch" does not exist (UNKNOWN_TOPIC_OR_PARTITION) after 5s: create it or check the name (not written)`,
		fate: producer.FateNotWritten, reason: "unknown_topic", is: producer.ErrUnknownTopic,
		log: "topic does not exist: waiting until it exists, at most 5s (topic.metadata.propagation.max.ms)",
		run: func(s *mistakeScene) error {
			p := s.start(nil)
			var err error
			for range 12 {
				_, err = p.TrySend(&producer.Record{Topic: "nosuch"}, nil).Get(s.Context())
				time.Sleep(500 * time.Millisecond)
			}
			return err
		},
	},
	{
		name: "missing topic with SendAll",
		text: `samsa: topic "nosuch" does not exist (UNKNOWN_TOPIC_OR_PARTITION) after 5s: create it or check the name (not written)`,
		fate: producer.FateNotWritten, reason: "unknown_topic", is: producer.ErrUnknownTopic,
		log: "topic does not exist: waiting until it exists, at most 5s (topic.metadata.propagation.max.ms)",
		run: func(s *mistakeScene) error {
			_, err := s.start(nil).SendAll(s.Context(), []producer.Record{*to(0, "x"),
				{Topic: "nosuch"}})[1].Get(s.Context())
			return err
		},
	},
	{
		name: "missing topic with PartitionsFor",
		text: `samsa: topic "nosuch" does not exist (UNKNOWN_TOPIC_OR_PARTITION) after 5s: create it or check the name (not written)`,
		fate: producer.FateNotWritten, reason: "unknown_topic", is: producer.ErrUnknownTopic,
		log: "topic does not exist: waiting until it exists, at most 5s (topic.metadata.propagation.max.ms)",
		run: func(s *mistakeScene) error {
			_, err := s.start(nil).PartitionsFor(s.Context(), "nosuch")
			return err
		},
	},
	{
		name: "missing topic with a short context", ended: true,
		text: `samsa: topic "nosuch": context deadline exceeded: while waiting for the topic's metadata: UNKNOWN_TOPIC_OR_PARTITION (3): the broker does not know this topic or partition; create the topic, or let the brokers create it (auto.create.topics.enable) (not written)`,
		fate: producer.FateNotWritten, reason: "context_deadline_exceeded",
		log: "topic does not exist: waiting until it exists, at most 5s (topic.metadata.propagation.max.ms)",
		run: func(s *mistakeScene) error {
			_, err := s.start(nil).Send(within(s.T, 2*time.Second), &producer.Record{Topic: "nosuch"},
				nil).Get(s.Context())
			return err
		},
	},
	{
		name: "topic without authorization",
		text: `samsa: topic "t": TOPIC_AUTHORIZATION_FAILED (29): the client may not do this to the topic; give the client's principal Write on the topic (rejected)`,
		fate: producer.FateRejected, reason: "TOPIC_AUTHORIZATION_FAILED",
		run: func(s *mistakeScene) error {
			s.c.Deny("t")
			return s.send(s.start(nil))
		},
	},
	{
		name: "write authorization missing only for Produce",
		text: `samsa: topic "t" partition 0: TOPIC_AUTHORIZATION_FAILED (29): the client may not do this to the topic; give the client's principal Write on the topic (rejected)`,
		fate: producer.FateRejected, reason: "TOPIC_AUTHORIZATION_FAILED",
		run: func(s *mistakeScene) error {
			s.c.On(protocol.Produce).Do(testbroker.Fail(protocol.TopicAuthorizationFailed))
			return s.send(s.start(nil))
		},
	},
	{
		name: "cluster without authorization for idempotence",
		text: `samsa: topic "t" partition 0: CLUSTER_AUTHORIZATION_FAILED (31): the client may not do this in the cluster; give the client's principal IdempotentWrite on the cluster or, from Kafka 2.8 on, Write on a topic; enable.idempotence=false needs neither (rejected)`,
		fate: producer.FateRejected, reason: "CLUSTER_AUTHORIZATION_FAILED",
		log: "no producer id",
		run: func(s *mistakeScene) error {
			s.c.On(protocol.InitProducerID).Do(testbroker.Fail(protocol.ClusterAuthorizationFailed))
			return s.send(s.start(nil))
		},
	},
	{
		name: "partition that does not exist",
		text: `samsa: topic "t" partition 7: invalid partition: the topic has 2 partitions, from 0 on (rejected)`,
		fate: producer.FateRejected, reason: "invalid_partition",
		run: func(s *mistakeScene) error { return s.sendRecord(s.start(nil), to(7, "x")) },
	},
	{
		name: "negative partition",
		text: `samsa: topic "t": invalid partition: -1 is negative; to let the producer choose, set no Partition (rejected)`,
		fate: producer.FateRejected, reason: "invalid_partition",
		run: func(s *mistakeScene) error { return s.sendRecord(s.start(nil), to(-1, "x")) },
	},
	{
		name: "partition without a leader",
		text: `samsa: topic "t" partition 0: delivery timeout: 2m0s passed after 1 try, the last of which failed with: NOT_LEADER_OR_FOLLOWER (6): the broker does not lead the partition, or holds no replica of it; the partition has no leader (maybe written)`,
		fate: producer.FateMaybeWritten, reason: "delivery_timeout", is: producer.ErrDeliveryTimeout,
		log: "partitions have no leader: their records wait for one",
		run: func(s *mistakeScene) error {
			p := s.started(nil)
			s.c.MoveLeader("t", 0, -1)
			return s.send(p)
		},
	},
	{
		name: "illegal topic name",
		text: `samsa: topic "my topic": invalid topic name: the character at byte 2 is not allowed; a-z, A-Z, 0-9, '.', '_' and '-' are (rejected)`,
		fate: producer.FateRejected, reason: "invalid_topic", is: producer.ErrInvalidTopic,
		run: func(s *mistakeScene) error { return s.sendRecord(s.start(nil), &producer.Record{Topic: "my topic"}) },
	},
	{
		name: "no topic name",
		text: `samsa: invalid topic name: it is empty (rejected)`,
		fate: producer.FateRejected, reason: "invalid_topic", is: producer.ErrInvalidTopic,
		run: func(s *mistakeScene) error { return s.sendRecord(s.start(nil), &producer.Record{Value: []byte("x")}) },
	},
	{
		name: "nil record",
		text: `samsa: no record: the *Record is nil (rejected)`,
		fate: producer.FateRejected, reason: "nil_record", is: producer.ErrNilRecord,
		run: func(s *mistakeScene) error { return s.sendRecord(s.start(nil), nil) },
	},
	{
		name: "record larger than max.request.size",
		text: `samsa: topic "t": record is too large: it takes 2000074 bytes; max.request.size is 1048576 (rejected)`,
		fate: producer.FateRejected, reason: "record_too_large", is: producer.ErrRecordTooLarge,
		run: func(s *mistakeScene) error { return s.sendRecord(s.start(nil), sized(2_000_000)) },
	},
	{
		name: "record larger than the topic allows",
		text: `samsa: topic "t" partition 0: MESSAGE_TOO_LARGE (10): the batch is larger than the topic's max.message.bytes or the broker's message.max.bytes; raise that limit, or send smaller records: the batch has 20072 bytes (rejected)`,
		fate: producer.FateRejected, reason: "MESSAGE_TOO_LARGE", is: producer.ErrRecordTooLarge,
		cluster: func(cfg *testbroker.Config) { cfg.MessageMaxBytes = 10_000 },
		run:     func(s *mistakeScene) error { return s.sendRecord(s.start(nil), sized(20_000)) },
	},
	{
		name: "record larger than the topic allows, compressed",
		text: `samsa: topic "t" partition 0: MESSAGE_TOO_LARGE (10): the batch is larger than the topic's max.message.bytes or the broker's message.max.bytes; raise that limit, or send smaller records: the batch has 20072 bytes (rejected)`,
		fate: producer.FateRejected, reason: "MESSAGE_TOO_LARGE", is: producer.ErrRecordTooLarge,
		cluster: func(cfg *testbroker.Config) { cfg.MessageMaxBytes = 1000 },
		run: func(s *mistakeScene) error {
			noise := make([]byte, 20_000)
			_, _ = rand.Read(noise)
			return s.sendRecord(s.start(func(cfg *producer.Config) { cfg.Compression = producer.CompressionZstd }),
				to(0, string(noise)))
		},
	},
	{
		name: "record without a key for a compacted topic",
		text: `samsa: topic "t" partition 0: INVALID_RECORD (87): a record did not pass the broker's validation; a compacted topic, for one, takes no record without a key; the broker says: Compacted topic cannot accept message without key (rejected)`,
		fate: producer.FateRejected, reason: "INVALID_RECORD",
		cluster: func(cfg *testbroker.Config) {
			cfg.Settings = map[string]testbroker.TopicSettings{"t": {Compacted: true}}
		},
		run: func(s *mistakeScene) error {
			p := s.start(func(cfg *producer.Config) { cfg.Linger = 10 * time.Millisecond })
			good := p.Send(s.Context(), &producer.Record{Topic: "t", Partition: producer.InPartition(0),
				Key: []byte("k")}, nil)
			err := s.send(p)
			_, failed := good.Get(s.Context())
			require.NoError(s, failed)
			return err
		},
	},
	{
		name: "too few in-sync replicas",
		text: `samsa: topic "t" partition 0: delivery timeout: 2m0s passed after # tries, the last of which failed with: NOT_ENOUGH_REPLICAS (19): fewer replicas are in sync than min.insync.replicas asks for; start the missing brokers, or lower min.insync.replicas (not written)`,
		fate: producer.FateNotWritten, reason: "delivery_timeout", is: producer.ErrDeliveryTimeout,
		log: "the leader refuses a partition's records: the client retries, at most until delivery.timeout.ms",
		run: func(s *mistakeScene) error {
			p := s.start(nil)
			s.c.On(protocol.Produce).Do(testbroker.Fail(protocol.NotEnoughReplicas))
			return s.send(p)
		},
	},
	{
		name: "dead broker after a start",
		text: `samsa: topic "t" partition 0: delivery timeout: 2m0s passed before it could be …broker 1 (broker-1:9092) cannot be reached: connection refused (not written)`,
		fate: producer.FateNotWritten, reason: "delivery_timeout", is: producer.ErrDeliveryTimeout,
		log: "no broker answers|cannot connect",
		run: func(s *mistakeScene) error {
			p := s.started(nil)
			s.stopBroker()
			return s.send(p)
		},
	},
	{
		name: "buffer full with a dead broker",
		text: `samsa: topic "t" partition 0: buffer is full: no room within max.block.ms of 1m0s; buffer.memory is 4096: broker 1 (broker-1:9092) cannot be reached: connection refused… (not written)`,
		fate: producer.FateNotWritten, reason: "buffer_full", is: producer.ErrBufferFull,
		log: "no broker answers|cannot connect",
		run: func(s *mistakeScene) error { return s.sendRecord(s.full(), sized(500)) },
	},
	{
		name: "buffer full with a dead broker, TrySend",
		text: `samsa: topic "t" partition 0: buffer is full: buffer.memory is 4096: broker 1 (broker-1:9092) cannot be reached: connection refused… (not written)`,
		fate: producer.FateNotWritten, reason: "buffer_full", is: producer.ErrBufferFull,
		log: "no broker answers|cannot connect",
		run: func(s *mistakeScene) error {
			p := s.full()
			time.Sleep(time.Second)
			_, err := p.TrySend(sized(500), nil).Get(s.Context())
			return err
		},
	},
	{
		name: "Send after Close",
		text: `samsa: topic "t": producer is closed (not written)`,
		fate: producer.FateNotWritten, reason: "closed", is: producer.ErrClosed,
		run: func(s *mistakeScene) error {
			p := s.started(nil)
			require.NoError(s, p.Close(s.Context()))
			return s.send(p)
		},
	},
	{
		name: "Send with an ended context", ended: true,
		text: `samsa: topic "t": context canceled (not written)`,
		fate: producer.FateNotWritten, reason: "context_canceled",
		run: func(s *mistakeScene) error {
			ctx, cancel := context.WithCancel(s.Context())
			cancel()
			_, err := s.start(nil).Send(ctx, to(0, "x"), nil).Get(s.Context())
			return err
		},
	},
	{
		name: "Get with a short context", ended: true,
		text: `samsa: topic "t" partition 0: context deadline exceeded: the wait ended before the record's outcome was known: broker 1 (broker-1:9092) has its batch and has answered nothing for 100ms (maybe written)`,
		fate: producer.FateMaybeWritten, reason: "context_deadline_exceeded",
		run: func(s *mistakeScene) error {
			p := s.started(nil)
			s.c.Hang(1)
			defer s.c.Unhang(1)
			_, err := p.Send(s.Context(), to(0, "x"), nil).Get(within(s.T, 100*time.Millisecond))
			return err
		},
	},
	{
		name: "Flush inside a callback",
		text: `samsa: flush: called from inside a callback`,
		run: func(s *mistakeScene) (err error) {
			p := s.start(nil)
			p.Send(s.Context(), to(0, "x"),
				func(producer.RecordMetadata, error) { err = p.Flush(context.Background()) })
			require.NoError(s, p.Flush(s.Context()))
			return err
		},
	},
	{
		name: "Close inside a callback",
		text: `samsa: close: called from inside a callback`,
		run: func(s *mistakeScene) (err error) {
			p := s.start(nil)
			p.Send(s.Context(), to(0, "x"),
				func(producer.RecordMetadata, error) { err = p.Close(context.Background()) })
			require.NoError(s, p.Flush(s.Context()))
			return err
		},
	},
	{
		name: "zero Future",
		text: `samsa: no record: this Future came from no Send (rejected)`,
		fate: producer.FateRejected, reason: "zero_future", is: producer.ErrZeroFuture,
		run: func(s *mistakeScene) error {
			_, err := producer.Future{}.Get(s.Context())
			return err
		},
	},
	{
		name: "Close with an ended context", ended: true,
		text: `samsa: close: …context canceled…1 record…`,
		log:  "no broker answers|cannot connect",
		run: func(s *mistakeScene) error {
			p := s.started(nil)
			s.stopBroker()
			f := p.Send(s.Context(), to(0, "x"), nil)
			time.Sleep(time.Second)
			ctx, cancel := context.WithCancel(s.Context())
			cancel()
			err := p.Close(ctx)
			_, failed := f.Get(s.Context())
			require.Regexp(s, textPattern(
				`samsa: topic "t" partition 0: producer is closed: undelivered because broker 1 (broker-1:9092) `+
					"cannot be reached: connection refused… (not written)"), failed.Error())
			return err
		},
	},
	{
		name: "record left by Close", ended: false,
		text: `samsa: topic "t" partition 0: producer is closed: undelivered because broker 1 (broker-1:9092) cannot be reached: connection refused… (not written)`,
		fate: producer.FateNotWritten, reason: "closed", is: producer.ErrClosed,
		log: "no broker answers|cannot connect",
		run: func(s *mistakeScene) error {
			p := s.started(nil)
			s.stopBroker()
			f := p.Send(s.Context(), to(0, "x"), nil)
			require.Error(s, p.Close(within(s.T, time.Second)))
			_, err := f.Get(s.Context())
			return err
		},
	},
	{
		name: "TrySend after Close",
		text: `samsa: topic "t": producer is closed (not written)`,
		fate: producer.FateNotWritten, reason: "closed", is: producer.ErrClosed,
		run: func(s *mistakeScene) error {
			p := s.started(nil)
			require.NoError(s, p.Close(s.Context()))
			_, err := p.TrySend(to(0, "x"), nil).Get(s.Context())
			return err
		},
	},
	{
		name: "SendAll with an ended context", ended: true,
		text: `samsa: topic "t": context canceled (not written)`,
		fate: producer.FateNotWritten, reason: "context_canceled",
		run: func(s *mistakeScene) error {
			ctx, cancel := context.WithCancel(s.Context())
			cancel()
			_, err := s.start(nil).SendAll(ctx, []producer.Record{*to(0, "x")})[0].Get(s.Context())
			return err
		},
	},
	{
		name: "Flush with a short context and a dead broker", ended: true,
		text: `samsa: flush: context deadline exceeded: the oldest undelivered record, of topic "t" partition 0, has waited for 2s: broker 1 (broker-1:9092) cannot be reached: connection refused…`,
		log:  "no broker answers|cannot connect",
		run: func(s *mistakeScene) error {
			p := s.started(nil)
			s.stopBroker()
			p.Send(s.Context(), to(0, "x"), func(producer.RecordMetadata, error) {})
			return p.Flush(within(s.T, 2*time.Second))
		},
	},
	{
		name: "record that was canceled",
		text: `samsa: topic "t" partition 0: record was canceled (not written)`,
		fate: producer.FateNotWritten, reason: "canceled", is: producer.ErrCanceled,
		run: func(s *mistakeScene) error {
			f := s.start(func(cfg *producer.Config) { cfg.Linger = time.Second }).Send(s.Context(), to(0, "x"), nil)
			require.True(s, f.Cancel())
			_, err := f.Get(s.Context())
			return err
		},
	},
	{
		name: "record larger than the buffer",
		text: `samsa: topic "t": record is too large: it takes 5070 bytes; buffer.memory is 4096 (rejected)`,
		fate: producer.FateRejected, reason: "record_too_large", is: producer.ErrRecordTooLarge,
		run: func(s *mistakeScene) error {
			p := s.start(func(cfg *producer.Config) { cfg.BufferMemory, cfg.BatchSize = 4096, 1024 })
			return s.sendRecord(p, sized(5000))
		},
	},
	{
		name: "zstd to a broker older than 2.1",
		text: `samsa: topic "t" partition 0: broker broker-1:9092 takes no zstd, which needs Kafka 2.1 or newer; choose another compression.type (not written)`,
		fate: producer.FateNotWritten, reason: "unsupported_version", is: producer.ErrUnsupportedVersion,
		log:     "no broker answers|cannot connect",
		cluster: func(cfg *testbroker.Config) { cfg.Versions = testbroker.KafkaVersions("1.0") },
		run: func(s *mistakeScene) error {
			return s.send(s.start(func(cfg *producer.Config) { cfg.Compression = producer.CompressionZstd }))
		},
	},
	{
		name: "timestamp in another unit",
		text: `samsa: topic "t": invalid timestamp: 1779019200123 seconds since 1970 lie after the year 9999; were milliseconds passed to time.Unix as seconds? (rejected)`,
		fate: producer.FateRejected, reason: "invalid_timestamp",
		run: func(s *mistakeScene) error {
			return s.sendRecord(s.start(nil), &producer.Record{Topic: "t", Timestamp: time.Unix(1779019200123, 0)})
		},
	},
	{
		name: "timestamp in the future, refused by the topic",
		text: `samsa: topic "t" partition 0: INVALID_TIMESTAMP (32): a record's timestamp is too far from the broker's clock; correct the timestamp, or raise the topic's message.timestamp.before.max.ms or message.timestamp.after.max.ms (before Kafka 3.6 message.timestamp.difference.max.ms); the broker says: the timestamp lies too far in the future (rejected)`,
		fate: producer.FateRejected, reason: "INVALID_TIMESTAMP",
		cluster: func(cfg *testbroker.Config) {
			cfg.Settings = map[string]testbroker.TopicSettings{"t": {TimestampAfterMax: time.Hour}}
		},
		run: func(s *mistakeScene) error {
			return s.sendRecord(s.start(nil), &producer.Record{Topic: "t", Partition: producer.InPartition(0),
				Timestamp: time.Now().Add(48 * time.Hour)})
		},
	},
	{
		name: "header key that is not UTF-8",
		text: `samsa: topic "t": invalid header: the key of header 0, "caf\xe9", is not UTF-8 (rejected)`,
		fate: producer.FateRejected, reason: "invalid_header",
		run: func(s *mistakeScene) error {
			return s.sendRecord(s.start(nil), &producer.Record{Topic: "t",
				Headers: []producer.Header{{Key: "caf\xe9"}}})
		},
	},
	{
		name: "partitioner that panics",
		text: `samsa: topic "t": partitioner failed: panic: runtime error: index out of range [0] with length 0 (rejected)`,
		fate: producer.FateRejected, reason: "partitioner", is: producer.ErrPartitioner,
		log: "partitioner panicked",
		run: func(s *mistakeScene) error {
			p := s.start(func(cfg *producer.Config) {
				cfg.Partitioner = partitionerFunc(func(r *producer.Record) int32 { return int32(r.Key[0]) % 2 })
			})
			return s.sendRecord(p, &producer.Record{Topic: "t"})
		},
	},
	{
		name: "partitioner that chooses a partition too many",
		text: `samsa: topic "t": partitioner failed: chose partition 2 of 2 (rejected)`,
		fate: producer.FateRejected, reason: "partitioner", is: producer.ErrPartitioner,
		run: func(s *mistakeScene) error {
			p := s.start(func(cfg *producer.Config) {
				cfg.Partitioner = partitionerFunc(func(*producer.Record) int32 { return 2 })
			})
			return s.sendRecord(p, &producer.Record{Topic: "t"})
		},
	},
	{
		name: "interceptor that panics",
		log:  "interceptor's OnSend panicked",
		run: func(s *mistakeScene) error {
			return s.send(s.start(func(cfg *producer.Config) {
				cfg.Interceptors = []producer.Interceptor{
					panicking{}}
			}))
		},
	},
	{
		name: "callback that panics",
		log:  "callback panicked",
		run: func(s *mistakeScene) error {
			p := s.start(nil)
			f := p.Send(s.Context(), to(0, "x"), func(producer.RecordMetadata, error) { panic("callback") })
			_, err := f.Get(s.Context())
			return err
		},
	},
	{
		name: "failures that nobody observes",
		text: `samsa: close: …3 records failed…`,
		log:  "records failed and nobody observed them",
		run: func(s *mistakeScene) error {
			p := s.started(nil)
			s.c.On(protocol.Produce).Do(testbroker.Fail(protocol.InvalidRecord))
			for range 3 {
				p.Send(s.Context(), to(0, "x"), nil)
			}
			require.NoError(s, p.Flush(s.Context()))
			return p.Close(s.Context())
		},
	},
	{
		name: "failures that a callback observes",
		text: `samsa: topic "t" partition 0: INVALID_RECORD (87): a record did not pass the broker's validation; a compacted topic, for one, takes no record without a key (rejected)`,
		fate: producer.FateRejected, reason: "INVALID_RECORD",
		run: func(s *mistakeScene) error {
			p := s.started(nil)
			s.c.On(protocol.Produce).Do(testbroker.Fail(protocol.InvalidRecord))
			var seen error
			for range 3 {
				p.Send(s.Context(), to(0, "x"), func(_ producer.RecordMetadata, err error) { seen = err })
			}
			require.NoError(s, p.Flush(s.Context()))
			require.NoError(s, p.Close(s.Context()))
			return seen
		},
	},
	{
		name: "forgotten Close",
		log:  "records failed and nobody observed them",
		run: func(s *mistakeScene) error {
			p := s.started(func(cfg *producer.Config) { cfg.Linger = 0 })
			s.c.On(protocol.Produce).Do(testbroker.Fail(protocol.InvalidRecord))
			p.Send(s.Context(), to(0, "x"), nil)
			time.Sleep(time.Minute)
			return nil
		},
	},
	{
		name: "zero Config",
		text: `samsa: 10 fields of the Config that need a value are zero, such as SocketConnectionSetupTimeout: start from DefaultConfig(servers...) and change its fields`,
		run:  refusedConfig(func(cfg *producer.Config) { *cfg = producer.Config{} }),
	},
	{
		name: "Config with BootstrapServers only",
		text: `samsa: 10 fields of the Config that need a value are zero, such as SocketConnectionSetupTimeout: start from DefaultConfig(servers...) and change its fields`,
		run: refusedConfig(func(cfg *producer.Config) {
			*cfg = producer.Config{
				BootstrapServers: []string{"localhost:9092"}}
		}),
	},
	{
		name: "DefaultConfig without servers",
		text: `samsa: bootstrap.servers (Config.BootstrapServers): name at least one server, as host:port`,
		run:  refusedConfig(func(cfg *producer.Config) { cfg.BootstrapServers = nil }),
	},
	{
		name: "server without a port",
		text: `samsa: bootstrap.servers (Config.BootstrapServers) = "localhost": not host:port, such as localhost:9092`,
		run:  refusedConfig(func(cfg *producer.Config) { cfg.BootstrapServers = []string{"localhost"} }),
	},
	{
		name: "server with a scheme",
		text: `samsa: bootstrap.servers (Config.BootstrapServers) = "kafka://localhost:9092": write host:port, without kafka://`,
		run:  refusedConfig(func(cfg *producer.Config) { cfg.BootstrapServers = []string{"kafka://localhost:9092"} }),
	},
	{
		name: "servers in one text",
		text: `samsa: bootstrap.servers (Config.BootstrapServers) = "a:9092,b:9092": several servers in one text: name them one by one`,
		run:  refusedConfig(func(cfg *producer.Config) { cfg.BootstrapServers = []string{"a:9092,b:9092"} }),
	},
	{
		name: "Linger without a unit",
		text: `samsa: linger.ms (Config.Linger) = "20ns": 20 counts nanoseconds, and the shortest duration is 1ms: did you mean 20*time.Millisecond?`,
		run:  refusedConfig(func(cfg *producer.Config) { cfg.Linger = 20 }),
	},
	{
		name: "DeliveryTimeout below Linger and RequestTimeout",
		text: `samsa: delivery.timeout.ms (Config.DeliveryTimeout) = "10s": is less than Linger (linger.ms) and RequestTimeout (request.timeout.ms) together, 5ms and 30s; raise it, or lower these`,
		run:  refusedConfig(func(cfg *producer.Config) { cfg.DeliveryTimeout = 10 * time.Second }),
	},
	{
		name: "idempotence with acks=1",
		text: `samsa: enable.idempotence (Config.EnableIdempotence) = "true": needs Acks (acks) to be AcksAll (all), but it is 1; set Acks so, or EnableIdempotence to false`,
		run:  refusedConfig(func(cfg *producer.Config) { cfg.Acks = producer.AcksLeader }),
	},
	{
		name: "idempotence with MaxInFlight 10",
		text: `samsa: enable.idempotence (Config.EnableIdempotence) = "true": needs MaxInFlight (max.in.flight.requests.per.connection) to be 5 or less, but it is 10; set MaxInFlight so, or EnableIdempotence to false`,
		run:  refusedConfig(func(cfg *producer.Config) { cfg.MaxInFlight = 10 }),
	},
	{
		name: "misspelled property",
		text: `samsa: producer.properties:1: linger.msec: unknown property; the nearest known name is linger.ms`,
		run:  refusedProperties("linger.msec=20\n"),
	},
	{
		name: "registry's serializer",
		text: `samsa: producer.properties:1: value.serializer = "io.confluent.kafka.serializers.KafkaAvroSerializer": a schema registry's serializer adds a schema id, and this producer sends Record.Value as it is: encode it with a Go client of the registry, and leave value.serializer out`,
		run:  refusedProperties("value.serializer=io.confluent.kafka.serializers.KafkaAvroSerializer\n"),
	},
	{
		name: "bootstrap.servers with semicolons",
		text: `samsa: producer.properties:1: bootstrap.servers (Config.BootstrapServers) = "a:9092;b:9092": a list with ";" after "a:9092": separate servers with commas`,
		run:  refusedProperties("bootstrap.servers=a:9092;b:9092\n"),
	},
	{
		name: "duration with a unit in a properties file",
		text: `samsa: producer.properties:1: linger.ms (Config.Linger) = "5s": not a whole number in the range 0 or more (ms): did you mean 5000?`,
		run:  refusedProperties("linger.ms=5s\n"),
	},
	{
		name: "security.protocol=SSL",
		text: `samsa: producer.properties:1: security.protocol: only PLAINTEXT is supported yet: this producer connects without TLS and without authentication; for TLS, remove it and set Config.Dialer`,
		run:  refusedProperties("security.protocol=SSL\n"),
	},
	{
		name: "transactional.id",
		text: `samsa: producer.properties:1: transactional.id: transactions are not supported yet: remove it`,
		run:  refusedProperties("transactional.id=x\n"),
	},
	{
		name: "properties file that does not exist",
		text: `samsa: properties: open producer.properties: no such file or directory`,
		run: func(s *mistakeScene) error {
			_, err := producer.LoadProperties("producer.properties")
			return err
		}},
}

// refusedConfig is the error of New for a Config.
func refusedConfig(change func(*producer.Config)) func(*mistakeScene) error {
	return func(*mistakeScene) error {
		cfg := producer.DefaultConfig("localhost:9092")
		change(&cfg)
		_, err := producer.New(cfg)
		return err
	}
}

// refusedProperties is the error of LoadProperties for a file with that text.
func refusedProperties(text string) func(*mistakeScene) error {
	return func(s *mistakeScene) error {
		s.Chdir(s.TempDir())
		require.NoError(s, os.WriteFile("producer.properties", []byte(text), 0o600))
		_, err := producer.LoadProperties("producer.properties")
		return err
	}
}

// unresolved is the dialer of a host without a resolver.
func unresolved(_ context.Context, _, address string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(address)
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: host,
		Server: "10.0.0.2:53", IsNotFound: true}}
}

// stopBroker stops the broker, and waits until the producer has noticed it.
func (s *mistakeScene) stopBroker() {
	s.c.StopBroker(1)
	synctest.Wait()
}

// serve returns a producer whose only server is not a Kafka broker.
func (s *mistakeScene) serve(f func(net.Conn)) *producer.Producer {
	const address = "server:8080"
	s.c.Serve(address, f)
	return s.start(func(cfg *producer.Config) { cfg.BootstrapServers = []string{address} })
}

// advertised returns a producer on the cluster at localhost:9092; dial is for the cluster's advertised address.
func (s *mistakeScene) advertised(dial func(ctx context.Context, network, address string) (net.Conn,
	error)) *producer.Producer {
	const bootstrap = "localhost:9092"
	s.c.Alias(bootstrap, 1)
	return s.start(func(cfg *producer.Config) {
		cfg.BootstrapServers = []string{bootstrap}
		cfg.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == bootstrap {
				return s.c.Dial(ctx, network, address)
			}
			return dial(ctx, network, address)
		}
	})
}

// full returns a producer with a dead broker and a full buffer.
func (s *mistakeScene) full() *producer.Producer {
	p := s.started(func(cfg *producer.Config) { cfg.BufferMemory, cfg.BatchSize = 4096, 1024 })
	s.stopBroker()
	for range 100 {
		if isOver(p.TrySend(sized(500), func(producer.RecordMetadata, error) {})) {
			return p
		}
	}
	s.Fatal("the buffer does not fill")
	return nil
}

// partitionerFunc is a Partitioner without use for the topic.
type partitionerFunc func(*producer.Record) int32

func (f partitionerFunc) Partition(r *producer.Record, _ producer.TopicView) int32 { return f(r) }

// panicking is an interceptor with a mistake.
type panicking struct{}

func (panicking) OnSend(*producer.Record) *producer.Record { panic("no tracer") }

func (panicking) OnAcknowledgement(producer.RecordMetadata, error) {}

// selfSigned returns the configuration of a TLS server.
func selfSigned(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"server"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
