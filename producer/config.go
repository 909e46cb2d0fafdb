package producer

import (
	"context"
	"log/slog"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gosamsa/samsa/compress"
)

// Acks is the acknowledgement that a send requires before its record counts as delivered.
type Acks int16

const (
	// AcksNone sends without a response: the producer cannot see a failed write, does not retry, and reports offsets as
	// -1.
	AcksNone Acks = 0
	// AcksLeader waits for the leader only. Records without a copy on its followers are lost with it.
	AcksLeader Acks = 1
	// AcksAll waits until all in-sync replicas have the record.
	AcksAll Acks = -1
)

// String returns the value as acks writes it: all, 1 or 0.
func (a Acks) String() string {
	if a == AcksAll {
		return "all"
	}
	return strconv.Itoa(int(a))
}

// Compression is a codec of compression.type: [CompressionNone], [CompressionGzip], [CompressionSnappy],
// [CompressionLZ4] or [CompressionZstd].
//
//	func (c Compression) String() string            // the name in compression.type
//	func (c Compression) DefaultLevel() int         // Kafka's default level
//	func (c Compression) CheckLevel(level int) error // nil for a level of the codec
type Compression = compress.Codec

// The codecs of compression.type.
const (
	CompressionNone   = compress.None
	CompressionGzip   = compress.Gzip
	CompressionSnappy = compress.Snappy
	CompressionLZ4    = compress.LZ4
	CompressionZstd   = compress.Zstd
)

// MetadataRecoveryStrategy is the client's reaction when all known brokers have stopped answering.
type MetadataRecoveryStrategy string

const (
	// MetadataRecoveryRebootstrap starts again from the bootstrap servers (KIP-899).
	MetadataRecoveryRebootstrap MetadataRecoveryStrategy = "rebootstrap"
	// MetadataRecoveryNone keeps trying the brokers of the last metadata.
	MetadataRecoveryNone MetadataRecoveryStrategy = "none"
)

// Config is the configuration of a producer. Start from [DefaultConfig], [ClassicConfig] or [LoadProperties] and change
// fields: New refuses the zero Config. A positive duration below a millisecond is an error: Linger = 20 means 20ns. The
// comment of a field with a Kafka property has the property's name, default and range as in a properties file, in
// milliseconds and bytes; classic is the value of ClassicConfig if it differs. The fields are grouped by theme:
// connection, guarantees, batching, compression, partitioning, time, metadata, and Samsa's own. [Config.Validate]
// checks all.
type Config struct {
	// # Connection
	//
	// BootstrapServers are the brokers of the first contact, as host:port. One is enough; with several the client goes
	// on to the next when one is down. Property bootstrap.servers, no default, range host:port, several with
	// commas between.
	BootstrapServers []string
	// ClientID names this program to the brokers, in their logs and quotas. The Java client makes names like
	// producer-1. Property client.id, default samsa, range at most 32767 bytes of UTF-8, no control characters.
	ClientID string
	// ReconnectBackoff is the wait before a broker is dialled again; it doubles with each further failure. The shortest
	// wait is a millisecond; with 0 every wait is a millisecond. Property reconnect.backoff.ms, default 50, range 0 or
	// more.
	ReconnectBackoff time.Duration
	// ReconnectBackoffMax is the longest wait before a broker is dialled again.
	// Property reconnect.backoff.max.ms, default 1000, range 0 or more.
	ReconnectBackoffMax time.Duration
	// SocketConnectionSetupTimeout is the maximum time for the setup of a connection; it doubles with each further
	// failure. Property socket.connection.setup.timeout.ms, default 10000, range 1 or more.
	SocketConnectionSetupTimeout time.Duration
	// SocketConnectionSetupTimeoutMax is the upper limit of the growing setup timeout (KIP-601). Property
	// socket.connection.setup.timeout.max.ms, default 30000, range 1 or more.
	SocketConnectionSetupTimeoutMax time.Duration
	// ConnectionsMaxIdle is how long an unused connection stays open; a negative value keeps it open.
	// Property connections.max.idle.ms, default 540000, range -1 and 1 or more.
	ConnectionsMaxIdle time.Duration
	// SendBuffer is the size of the socket's send buffer; -1 leaves it to the operating system, which lets it grow with
	// the connection. Kafka's own default, 131072, keeps it from growing. That is less than a request with batches of
	// twelve partitions, and allows only a few megabytes a second to a broker 50 ms away. Property send.buffer.bytes,
	// default -1, classic 131072, range -1 and 1 to 2147483647.
	SendBuffer int
	// ReceiveBuffer is the size of the socket's receive buffer; -1 leaves it to the operating system.
	// Property receive.buffer.bytes, default 32768, range -1 and 1 to 2147483647.
	ReceiveBuffer int

	// # Guarantees
	//
	// Acks is the acknowledgement that a send requires: of all in-sync replicas, of the leader, or none. Property acks,
	// default all, classic 1, range all, -1, 0, 1.
	Acks Acks
	// EnableIdempotence keeps retries from duplicating and reordering records of a partition. It needs AcksAll, Retries
	// above 0 and MaxInFlight of at most 5. Property enable.idempotence, default true, classic false, range true,
	// false.
	EnableIdempotence bool
	// Retries is how often a failed batch is sent again; DeliveryTimeout bounds it as well. Without idempotence and
	// with more than one request in flight, a retry can change the order. Property retries, default 2147483647, classic
	// 0, range 0 to 2147483647.
	Retries int
	// MaxInFlight is the maximum number of requests in flight on one connection. Property
	// max.in.flight.requests.per.connection, default 5, range 1 to 2147483647.
	MaxInFlight int

	// # Batching
	//
	// Linger is how long a batch that is not full waits for more records. A full batch is sent at once. Property
	// linger.ms, default 5, classic 0, range 0 or more.
	Linger time.Duration
	// BatchSize is the maximum size of a batch in bytes, as encoded on the wire. A larger record is sent alone; 0 sends
	// every record alone. It must not exceed MaxRequestSize or BufferMemory. Property batch.size, default 16384, range
	// 0 to 2147483647.
	BatchSize int
	// BufferMemory is the maximum memory in bytes for undelivered records, and for outcomes that wait for their
	// callbacks. A batch takes at least 1,400 bytes: its buffer of 512 bytes or more, and 888 bytes that describe it. A
	// callback takes 64 bytes more. Property buffer.memory, default 33554432, range 0 or more.
	BufferMemory int64
	// MaxRequestSize is the largest request, and the largest record before compression.
	// Property max.request.size, default 1048576, range 0 to 2147483647.
	MaxRequestSize int

	// # Compression
	//
	// Compression is the codec for batches.
	// Property compression.type, default none, range none, gzip, snappy, lz4, zstd.
	Compression Compression
	// CompressionGzipLevel is gzip's compression level; -1 is the library's own default (KIP-390). Property
	// compression.gzip.level, default -1, range -1 and 1 to 9.
	CompressionGzipLevel int
	// CompressionLZ4Level is lz4's compression level (KIP-390). As in the Java client, 9 is the fast compressor, not
	// the ninth. Property compression.lz4.level, default 9, range 1 to 17.
	CompressionLZ4Level int
	// CompressionZstdLevel is zstd's compression level (KIP-390). Property compression.zstd.level, default 3, range
	// -131072 to 22.
	CompressionZstdLevel int

	// # Partitioning
	//
	// PartitionerAdaptive lets the built-in partitioner give fewer records without a key to partitions with long
	// queues. Property partitioner.adaptive.partitioning.enable, default true, range true, false.
	PartitionerAdaptive bool
	// PartitionerAvailabilityTimeout lets records without a key avoid a partition after its broker has accepted no
	// batch for this time; 0 turns this off. It needs PartitionerAdaptive. Property
	// partitioner.availability.timeout.ms, default 0, range 0 or more.
	PartitionerAvailabilityTimeout time.Duration
	// PartitionerIgnoreKeys treats records with a key like records without a key. Property partitioner.ignore.keys,
	// default false, range true, false.
	PartitionerIgnoreKeys bool

	// # Time
	//
	// DeliveryTimeout bounds everything after Send: linger, sending, retries. It is at least Linger and RequestTimeout
	// together. Property delivery.timeout.ms, default 120000, range 0 to 2147483647.
	DeliveryTimeout time.Duration
	// RequestTimeout is how long the client waits for a response.
	// Property request.timeout.ms, default 30000, range 0 to 2147483647.
	RequestTimeout time.Duration
	// MaxBlock is how long Send and PartitionsFor may wait for metadata and for room in the buffer, in all. Property
	// max.block.ms, default 60000, range 0 or more.
	MaxBlock time.Duration
	// RetryBackoff is the wait before the first retry; it doubles with each further retry. The shortest wait is a
	// millisecond; with 0 every wait is a millisecond. Property retry.backoff.ms, default 100, range 0 or more.
	RetryBackoff time.Duration
	// RetryBackoffMax is the longest wait before a retry (KIP-580).
	// Property retry.backoff.max.ms, default 1000, range 0 or more.
	RetryBackoffMax time.Duration

	// # Metadata
	//
	// MetadataMaxAge is the age at which the client refreshes the metadata of topics and brokers, even if nothing
	// failed. 0 refreshes it as often as RetryBackoff allows. Property metadata.max.age.ms, default 300000, range 0 or
	// more.
	MetadataMaxAge time.Duration
	// MetadataMaxIdle is the time without a Send after which the producer forgets a topic and frees its memory. A topic
	// with undelivered records or running callbacks stays. The next Send to a forgotten topic requests its metadata
	// again and waits for it, like the first Send. With its last topic the producer also forgets its producer id, and
	// requests another one. Property metadata.max.idle.ms, default 300000, range 5000 or more.
	MetadataMaxIdle time.Duration
	// MetadataRecoveryStrategy is the client's reaction when all known brokers have stopped answering (KIP-899).
	// Property metadata.recovery.strategy, default rebootstrap, classic none, range rebootstrap, none.
	MetadataRecoveryStrategy MetadataRecoveryStrategy
	// MetadataRecoveryRebootstrapTrigger is how long metadata requests may fail before the client starts again from
	// BootstrapServers (KIP-1102). Property metadata.recovery.rebootstrap.trigger.ms, default 300000, range 0 or more.
	MetadataRecoveryRebootstrapTrigger time.Duration
	// TopicMetadataPropagationMax is how long Send and PartitionsFor wait for a topic that every response calls
	// unknown: a new topic takes a moment to become known to every broker. After this time both fail with
	// [ErrUnknownTopic], and further calls for the topic fail at once for another second. 0 fails with the first
	// response, and -1 means MaxBlock. The name is librdkafka's. Property topic.metadata.propagation.max.ms, default
	// 5000, classic -1, range -1 or more.
	TopicMetadataPropagationMax time.Duration
	// AllowAutoCreateTopics lets brokers with auto.create.topics.enable create a topic at its first record. Java's
	// producer always does. Property allow.auto.create.topics, default true, range true, false.
	AllowAutoCreateTopics bool

	// # Samsa's own
	//
	// Dialer makes the connections. Nil is a net.Dialer's DialContext.
	//
	// Dialer runs on a goroutine of its own and may block until its context ends: after SocketConnectionSetupTimeout at
	// the latest, and on Close. Then the producer stops waiting, and closes a connection that Dialer returns later.
	// While 8 calls for an address have not returned, further attempts to connect there fail at once. A panic or
	// runtime.Goexit fails the attempt; the producer logs a panic with its stack.
	//
	// The producer keeps an error of Dialer unchanged if the error and all wrapped errors have types of the standard
	// library, for example from [errors.New] or [fmt.Errorf]. It copies any other error, and calls the error's methods
	// only on the goroutine of Dialer. The copy has the error's text, at most 4 KiB, and reports whether the error is a
	// timeout. [errors.Is] and [errors.As] find wrapped errors of the standard library in the copy, but neither the
	// original error nor its type.
	//
	// Dialer's connections must support deadlines and concurrent use, as [net.Conn] promises: SetDeadline,
	// SetReadDeadline and SetWriteDeadline must not block, and must also end a Read or Write that already blocks. If
	// SetDeadline returns an error, the producer closes the connection, and the error of the failed sends names the
	// missing deadlines. The producer cannot detect a connection that accepts deadlines without obeying them:
	// request.timeout.ms, connections.max.idle.ms and socket.connection.setup.timeout.ms then have no effect, and a
	// silent broker can block its goroutines until the connection itself ends. Close returns nevertheless when its
	// context ends. Nothing waits for the Close of a connection.
	//
	// A *[net.TCPConn] is used directly. For any other connection each Read and Write costs a switch between
	// goroutines. Until the end of the first exchange with the broker, the connection's methods run on the Dialer's
	// goroutine, within the same limits; later they run on goroutines of the connection. A panic or runtime.Goexit ends
	// the connection; the producer logs a panic with its stack. It copies errors of the methods like errors of the
	// Dialer.
	Dialer func(ctx context.Context, network, address string) (net.Conn, error)
	// Partitioner chooses the partition of records that do not name one. Nil is the built-in partitioner: by key as in
	// the Java client, and sticky as in KIP-794 for records without a key.
	Partitioner Partitioner
	// Interceptors see every record before it is sent and every outcome, in this order.
	Interceptors []Interceptor
	// Logger gets the producer's messages, never a record's content. A nil Logger means slog.Default() for warnings and
	// errors, as it is at the time of each message; slog.New(slog.DiscardHandler) is silence. At level -8
	// (slog.LevelDebug-4) Logger also gets every event of each partition's delivery. These are many lines; such a log
	// can be replayed (see CONTRIBUTING.md).
	//
	// Logger's handler runs on a goroutine of its own. It gets one line at a time, in the order of logging, with the
	// time of the event. The handler may block: only Close waits for it, until the context of Close ends. Up to 1000
	// lines wait for the handler, and 65536 at level -8. The producer drops further lines, and logs their number when
	// the handler works again. Of repeated lines about the same topic or broker, from level Info on, one passes every
	// 30 s, with the number of suppressed lines. If the handler panics or calls runtime.Goexit, its line is lost and
	// counted. The handler may call the producer, but Close fails inside it with [ErrInCallback]. New asks its Enabled
	// once, for level -8.
	Logger *slog.Logger
	// CompressionWorkers is how many goroutines compress batches. 0 is as many as GOMAXPROCS.
	CompressionWorkers int

	adjusted []string // warnings about overridden defaults, and about lines that replace earlier lines
	ignored  []string // the ignored Java properties
	others   []string // the ignored properties of other programs
}

// DefaultConfig is the configuration of a producer of Kafka 4: acks=all, idempotent, linger of 5 ms.
func DefaultConfig(servers ...string) Config {
	c := configFromTable(func(o *configOption) string { return o.modern })
	c.BootstrapServers = slices.Clone(servers)
	return c
}

// ClassicConfig is the configuration of a producer of Kafka 1: acks=1, no retries, no linger, not idempotent, no
// rebootstrap. Options unknown to Kafka 1 are as in [DefaultConfig].
func ClassicConfig(servers ...string) Config {
	c := configFromTable((*configOption).classicDefault)
	c.BootstrapServers = slices.Clone(servers)
	return c
}

// Warnings returns the decisions of [ParseProperties] and [LoadProperties] that the user did not write: defaults
// overridden by other settings, lines of a file that replace earlier lines, Java properties that Samsa ignores, and the
// properties of other programs. New logs them once. A Config without properties has no warnings.
func (c Config) Warnings() []string {
	notices := slices.Clone(c.adjusted)
	if len(c.ignored) > 0 {
		notices = append(notices, configIgnoredNotice(c.ignored))
	}
	if len(c.others) > 0 {
		notices = append(notices, configOthersNotice(c.others))
	}
	return notices
}

// logNotices logs the warnings.
func (c Config) logNotices(l *slog.Logger) {
	l = logOrSilent(l)
	for _, notice := range c.adjusted {
		l.Warn(notice)
	}
	if len(c.ignored) > 0 {
		l.Info(configIgnoredNotice(c.ignored))
	}
	if len(c.others) > 0 {
		l.Warn(configOthersNotice(c.others))
	}
}

// clone returns a copy that shares no slice with c, so the user's later changes of c do not affect the copy.
func (c Config) clone() Config {
	c.BootstrapServers = slices.Clone(c.BootstrapServers)
	c.Interceptors = slices.Clone(c.Interceptors)
	c.adjusted = slices.Clone(c.adjusted)
	c.ignored = slices.Clone(c.ignored)
	c.others = slices.Clone(c.others)
	return c
}

// forever replaces every longer duration of a Config. It is short enough for 64 bits: sums and small multiples of such
// durations fit, and so do times in nanoseconds since 1970.
const forever = 50 * 365 * 24 * time.Hour

// shortestBackoff is the least wait before a retry or another connection attempt, so no setting makes the producer
// retry in a tight loop.
const shortestBackoff = time.Millisecond

// bounded returns a Config for the other packages, with durations that they can add and multiply: no duration exceeds
// forever, and no backoff is below shortestBackoff.
func (c Config) bounded() Config {
	for i := range configOptions {
		if d, ok := configOptions[i].ptr(&c).(*time.Duration); ok {
			*d = min(*d, forever)
		}
	}
	c.BufferMemory = min(c.BufferMemory, math.MaxInt64/4)
	boundBackoff(&c.RetryBackoff, &c.RetryBackoffMax)
	boundBackoff(&c.ReconnectBackoff, &c.ReconnectBackoffMax)
	return c
}

// boundBackoff raises a backoff to the shortest one. As in the Java client, a first wait of 0 does not grow.
func boundBackoff(first, most *time.Duration) {
	if *first == 0 {
		*most = 0
	}
	*first, *most = max(*first, shortestBackoff), max(*most, shortestBackoff)
}

// ConfigError is one problem of a Config or of properties. [Config.Validate], [ParseProperties] and [LoadProperties]
// join all problems into one error; errors.As finds the first, and Unwrap() []error returns all.
type ConfigError struct {
	// File is the path of the properties file, as [LoadProperties] got it; empty for any other source.
	File string
	// Line is the number of the property's first line in File, from 1; 0 if the problem has no line.
	Line int
	// Property is Kafka's name, empty for a field without a Kafka property, and for the Config as a whole.
	Property string
	// Field is the Config's field, empty for a property without one, and for the Config as a whole.
	Field string
	// Value is the wrong value as text. It is empty if there is no value. It is also empty for a property without a
	// field, because the value may be a secret; only a serializer's class is shown.
	Value string
	// Problem describes the fault and the cure.
	Problem string
}

// Error returns file and line, the property and field, the value, and the problem with its cure.
func (e *ConfigError) Error() string { return "samsa: " + e.text() }

func (e *ConfigError) text() string {
	place := ""
	switch {
	case e.Line > 0:
		place = e.File + ":" + strconv.Itoa(e.Line) + ": "
	case e.File != "":
		place = e.File + ": "
	}
	name := configShownName(e.Property)
	switch {
	case name == "" && e.Field == "":
		return place + e.Problem
	case name == "":
		name = "Config." + e.Field
	case e.Field != "":
		name += " (Config." + e.Field + ")"
	}
	if e.Value == "" {
		return place + name + ": " + e.Problem
	}
	return place + name + " = " + configQuote(e.Value) + ": " + e.Problem
}

// configProblems is an error of several problems, one a line. Only the first line names samsa.
type configProblems []*ConfigError

func (p configProblems) Error() string {
	texts := make([]string, len(p))
	for i, e := range p {
		texts[i] = e.text()
	}
	return "samsa: " + strings.Join(texts, "\n")
}

// Unwrap returns each problem.
func (p configProblems) Unwrap() []error {
	list := make([]error, len(p))
	for i, e := range p {
		list[i] = e
	}
	return list
}

// err returns nil if there are no problems.
func (p configProblems) err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// configShownName returns a property's name as errors and warnings show it: quoted and shortened if needed, because a
// name from a file can be any text.
func configShownName(name string) string {
	odd := func(r rune) bool { return r <= ' ' || r > '~' || r == '"' }
	if len(name) > 100 || strings.ContainsFunc(name, odd) {
		return configQuote(name)
	}
	return name
}

// configQuote quotes a value for an error, and shortens a long one.
func configQuote(s string) string {
	const most = 200
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}
