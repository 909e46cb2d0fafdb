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

// Acks is the number of acknowledgements for a send to wait for.
type Acks int16

const (
	// AcksNone waits for no answer: a failed send is not known, retries do not apply, and offsets are -1.
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

// MetadataRecoveryStrategy is the reaction when no known broker answers any more.
type MetadataRecoveryStrategy string

const (
	// MetadataRecoveryRebootstrap starts again from the bootstrap servers (KIP-899).
	MetadataRecoveryRebootstrap MetadataRecoveryStrategy = "rebootstrap"
	// MetadataRecoveryNone keeps trying the brokers of the last metadata.
	MetadataRecoveryNone MetadataRecoveryStrategy = "none"
)

// Config is the configuration of a producer. Start from [DefaultConfig], [ClassicConfig] or [LoadProperties] and change
// fields: New refuses the zero Config. A positive duration below a millisecond is an error: Linger = 20 means 20ns. The
// comment of every field with a Kafka property has its name, default and range as in a properties file, in milliseconds
// and bytes; classic is the value of ClassicConfig if it differs. The fields stand by theme: connection, guarantees,
// batching, compression, partitioning, time, metadata, and Samsa's own. [Config.Validate] checks all.
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
	// wait is a millisecond; 0 means this one after every failure. Property reconnect.backoff.ms, default 50, range 0
	// or more.
	ReconnectBackoff time.Duration
	// ReconnectBackoffMax is the longest wait before a broker is dialled again.
	// Property reconnect.backoff.max.ms, default 1000, range 0 or more.
	ReconnectBackoffMax time.Duration
	// SocketConnectionSetupTimeout is how long a connection may take to be made; it doubles with each further failure.
	// Property socket.connection.setup.timeout.ms, default 10000, range 1 or more.
	SocketConnectionSetupTimeout time.Duration
	// SocketConnectionSetupTimeoutMax is the longest time that a connection may take to be made (KIP-601).
	// Property socket.connection.setup.timeout.max.ms, default 30000, range 1 or more.
	SocketConnectionSetupTimeoutMax time.Duration
	// ConnectionsMaxIdle is how long an unused connection stays open; a negative value keeps it open.
	// Property connections.max.idle.ms, default 540000, range -1 and 1 or more.
	ConnectionsMaxIdle time.Duration
	// SendBuffer is the size of the socket's send buffer; -1 leaves it to the operating system, which lets it grow with
	// the connection. Kafka's own default, 131072, keeps it from growing: less than a request of twelve partitions'
	// batches, and a few megabytes a second to a broker that is 50 ms away. Property send.buffer.bytes, default -1,
	// classic 131072, range -1 and 1 to 2147483647.
	SendBuffer int
	// ReceiveBuffer is the size of the socket's receive buffer; -1 leaves it to the operating system.
	// Property receive.buffer.bytes, default 32768, range -1 and 1 to 2147483647.
	ReceiveBuffer int

	// # Guarantees
	//
	// Acks says whose acknowledgement a send waits for.
	// Property acks, default all, classic 1, range all, -1, 0, 1.
	Acks Acks
	// EnableIdempotence keeps retries from doubling and reordering records, per partition. It needs AcksAll, Retries
	// above 0 and MaxInFlight of at most 5. Property enable.idempotence, default true, classic false, range true,
	// false.
	EnableIdempotence bool
	// Retries is how often a failed batch is sent again; DeliveryTimeout bounds it as well. Without idempotence and
	// with more than one request in flight, a retry can change the order. Property retries, default 2147483647, classic
	// 0, range 0 to 2147483647.
	Retries int
	// MaxInFlight is how many requests of one connection may be unanswered.
	// Property max.in.flight.requests.per.connection, default 5, range 1 to 2147483647.
	MaxInFlight int

	// # Batching
	//
	// Linger is how long a batch that is not full waits for more records. A full one goes at once.
	// Property linger.ms, default 5, classic 0, range 0 or more.
	Linger time.Duration
	// BatchSize is the maximum size of a batch in bytes, as encoded on the wire. A larger record is sent alone; 0 sends
	// every record alone. It must not exceed MaxRequestSize or BufferMemory. Property batch.size, default 16384, range
	// 0 to 2147483647.
	BatchSize int
	// BufferMemory is how many bytes may be held for records that wait to be sent, or for their callbacks. A batch
	// takes at least 1,400 bytes: its buffer of 512 bytes or more, and 888 bytes that describe it. A callback takes 64
	// bytes more. Property buffer.memory, default 33554432, range 0 or more.
	BufferMemory int64
	// MaxRequestSize is the largest request, and the largest record before compression.
	// Property max.request.size, default 1048576, range 0 to 2147483647.
	MaxRequestSize int

	// # Compression
	//
	// Compression is the codec for batches.
	// Property compression.type, default none, range none, gzip, snappy, lz4, zstd.
	Compression Compression
	// CompressionGzipLevel is how hard gzip tries; -1 is the library's own default (KIP-390).
	// Property compression.gzip.level, default -1, range -1 and 1 to 9.
	CompressionGzipLevel int
	// CompressionLZ4Level is how hard lz4 tries (KIP-390). As in the Java client, 9 is the fast compressor, not the
	// ninth. Property compression.lz4.level, default 9, range 1 to 17.
	CompressionLZ4Level int
	// CompressionZstdLevel is how hard zstd tries (KIP-390).
	// Property compression.zstd.level, default 3, range -131072 to 22.
	CompressionZstdLevel int

	// # Partitioning
	//
	// PartitionerAdaptive lets the built-in partitioner give fewer records without a key to partitions with long
	// queues. Property partitioner.adaptive.partitioning.enable, default true, range true, false.
	PartitionerAdaptive bool
	// PartitionerAvailabilityTimeout keeps records without a key from partitions whose broker has taken nothing for
	// that long; 0 switches this off. It needs PartitionerAdaptive. Property partitioner.availability.timeout.ms,
	// default 0, range 0 or more.
	PartitionerAvailabilityTimeout time.Duration
	// PartitionerIgnoreKeys treats records with a key like those without one.
	// Property partitioner.ignore.keys, default false, range true, false.
	PartitionerIgnoreKeys bool

	// # Time
	//
	// DeliveryTimeout bounds everything after Send: linger, sending, retries. It is at least Linger and RequestTimeout
	// together. Property delivery.timeout.ms, default 120000, range 0 to 2147483647.
	DeliveryTimeout time.Duration
	// RequestTimeout is how long the client waits for a response.
	// Property request.timeout.ms, default 30000, range 0 to 2147483647.
	RequestTimeout time.Duration
	// MaxBlock is how long Send and PartitionsFor may block for metadata and for room in the buffer, both together.
	// Property max.block.ms, default 60000, range 0 or more.
	MaxBlock time.Duration
	// RetryBackoff is the wait before the first retry; it doubles with each further one. The shortest wait is a
	// millisecond; 0 means this one for every retry. Property retry.backoff.ms, default 100, range 0 or more.
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
	// again and waits for it, as the first one did. After the last topic the producer forgets its producer id too, and
	// requests another one. Property metadata.max.idle.ms, default 300000, range 5000 or more.
	MetadataMaxIdle time.Duration
	// MetadataRecoveryStrategy says what happens when no known broker answers any more (KIP-899).
	// Property metadata.recovery.strategy, default rebootstrap, classic none, range rebootstrap, none.
	MetadataRecoveryStrategy MetadataRecoveryStrategy
	// MetadataRecoveryRebootstrapTrigger is how long metadata may fail before the client starts again from
	// BootstrapServers (KIP-1102). Property metadata.recovery.rebootstrap.trigger.ms, default 300000, range 0 or more.
	MetadataRecoveryRebootstrapTrigger time.Duration
	// TopicMetadataPropagationMax is how long Send and PartitionsFor wait for a topic that every response calls
	// unknown: the news of a topic that was just created takes a moment to reach every broker. Then they fail with
	// [ErrUnknownTopic], and for another second further calls for the topic fail at once. 0 fails with the first
	// response, and -1 means MaxBlock. The name is librdkafka's. Property topic.metadata.propagation.max.ms, default
	// 5000, classic -1, range -1 or more.
	TopicMetadataPropagationMax time.Duration
	// AllowAutoCreateTopics lets brokers that are set so create a topic at its first record. Java's producer always
	// does. Property allow.auto.create.topics, default true, range true, false.
	AllowAutoCreateTopics bool

	// # Samsa's own
	//
	// Dialer makes the connections. Nil is a net.Dialer's DialContext.
	//
	// It runs on a goroutine of its own and may block until its context ends: at the latest after
	// SocketConnectionSetupTimeout, and with Close. The producer does not wait longer, and closes a connection that
	// comes too late. While 8 calls for an address have not returned, further attempts to connect there fail at once. A
	// panic is logged with its stack; it fails the attempt, as runtime.Goexit does.
	//
	// The producer calls the methods of its errors on the same goroutine only, and keeps a copy. An error of the
	// standard library, and one made by [errors.New] or [fmt.Errorf], is kept as it is, unless it wraps an error of
	// another type. The copy of any other error has its text, at most 4 KiB, and whether it is a timeout. [errors.Is]
	// and [errors.As] find the errors of the standard library that it wraps, but neither the error itself nor its type.
	//
	// Its connections must support deadlines and concurrent use, as [net.Conn] promises: SetDeadline, SetReadDeadline
	// and SetWriteDeadline must not block, and must also end a Read or Write that already blocks. The producer closes a
	// connection whose SetDeadline returns an error; the error of the failed sends says that the connection has no
	// deadlines. The producer cannot detect a connection that accepts deadlines without obeying them:
	// request.timeout.ms, connections.max.idle.ms and socket.connection.setup.timeout.ms then have no effect, and a
	// silent broker can block its goroutines until the connection itself ends. Close returns nevertheless when its
	// context ends. Nothing waits for the Close of a connection.
	//
	// A *[net.TCPConn] is used directly. Any other connection costs a switch between goroutines for each Read and
	// Write: until the first exchange with the broker is over, its methods run on the Dialer's goroutine, within the
	// same limits; after it they run on goroutines of the connection. A panic is logged with its stack; it ends the
	// connection, as runtime.Goexit does. Their errors are copied like those of the Dialer.
	Dialer func(ctx context.Context, network, address string) (net.Conn, error)
	// Partitioner chooses the partition of records that name none. Nil is the built-in one: by key as in the Java
	// client, and the sticky one of KIP-794 without a key.
	Partitioner Partitioner
	// Interceptors see every record before it is sent and every outcome, in this order.
	Interceptors []Interceptor
	// Logger gets the producer's messages, never a record's content. A nil Logger means slog.Default() for warnings and
	// errors, as it is at the time of each message; slog.New(slog.DiscardHandler) is silence. At level -8
	// (slog.LevelDebug-4) Logger also gets every event of each partition's delivery. These are many lines; such a log
	// can be replayed (see CONTRIBUTING.md).
	//
	// Its handler runs on a goroutine of its own, for one line at a time, in the order of logging, with the time of the
	// event. It may block: nothing of the producer waits for it, except Close, until its context ends. Up to 1000 lines
	// wait for it, and 65536 at level -8. Further lines are dropped; their number is logged when the handler works
	// again. Lines from level Info on that repeat each other, about the same topic or broker, pass once in 30 s, with
	// the number of suppressed ones. A line in which the handler panics or calls runtime.Goexit is lost and counted.
	// The handler may call the producer, but Close fails inside it with [ErrInCallback]. New asks its Enabled once, for
	// level -8.
	Logger *slog.Logger
	// CompressionWorkers is how many goroutines compress batches. 0 is as many as GOMAXPROCS.
	CompressionWorkers int

	adjusted []string // defaults that gave way, and lines of a file that replace earlier ones, in words
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

// Warnings returns the own decisions of [ParseProperties] and [LoadProperties]: settings that gave way to others, lines
// of a file that replace earlier ones, Java's properties without a meaning here, and the properties of other programs.
// New logs them, once. It is empty for a Config without properties.
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

// clone is a copy that shares no slice with c: it does not see the user's later changes of c.
func (c Config) clone() Config {
	c.BootstrapServers = slices.Clone(c.BootstrapServers)
	c.Interceptors = slices.Clone(c.Interceptors)
	c.adjusted = slices.Clone(c.adjusted)
	c.ignored = slices.Clone(c.ignored)
	c.others = slices.Clone(c.others)
	return c
}

// forever is the meaning of the longest durations of a Config. It is short enough for sums and multiples of some of
// them, and for times in nanoseconds since 1970, to fit into 64 bits.
const forever = 50 * 365 * 24 * time.Hour

// shortestBackoff is the least wait before a retry or before another connection: no value makes the producer send
// without a pause.
const shortestBackoff = time.Millisecond

// bounded returns a Config with the same meaning, and with numbers for the other packages to add and multiply:
// durations without end are forever, and backoffs take at least shortestBackoff.
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
	// Line is the first line of the property in File, from 1; 0 if the problem has no line.
	Line int
	// Property is Kafka's name, empty for a field without a Kafka property, and for the Config as a whole.
	Property string
	// Field is the Config's field, empty for a property without one, and for the Config as a whole.
	Field string
	// Value is the wrong value as text. It is empty without a value, and for properties without a field, since they may
	// be secrets; but a serializer's class is shown.
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

// configShownName returns a property's name as errors and notices show it. A name from a file can hold any text.
func configShownName(name string) string {
	odd := func(r rune) bool { return r <= ' ' || r > '~' || r == '"' }
	if len(name) > 100 || strings.ContainsFunc(name, odd) {
		return configQuote(name)
	}
	return name
}

// configQuote quotes a value for an error, the longer ones not wholly.
func configQuote(s string) string {
	const most = 200
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}
