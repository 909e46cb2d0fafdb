package producer

import (
	"math"

	"github.com/gosamsa/samsa/compress"
)

// configOption is one Kafka property: a row of the table of options. The defaults, the loader of properties,
// validation, the comments of Config and the README's table are made from this table or checked against it.
type configOption struct {
	property string
	field    string
	ptr      func(*Config) any // points at the field; its type says how the value is read and written
	modern   string            // DefaultConfig, written as in a properties file; empty: no default
	classic  string            // the value in ClassicConfig, if it differs
	min, max int64             // of numbers, and of durations in milliseconds
	bytes    bool              // of numbers: a size in bytes
	zero     string            // why 0 is refused between min and max; empty: it is valid
	levels   compress.Codec    // of a compression level: its codec has the range
	values   []string          // of enumerations
	format   string            // of other texts: the range in words
	meaning  string
}

const (
	configMaxInt  = math.MaxInt32 // Java's int; every Go int can hold it
	configMaxLong = math.MaxInt64
)

// configNoBuffer is the reason to refuse a buffer of 0 bytes: with this value Java's client fails at its first
// connection.
const configNoBuffer = "a socket cannot have a buffer of 0 bytes; -1 leaves it to the operating system"

// classicDefault is ClassicConfig's value, written as in a properties file.
func (o *configOption) classicDefault() string {
	if o.classic != "" {
		return o.classic
	}
	return o.modern
}

var configBool = []string{"true", "false"}

// configTheme is a group of options, in Config and in the README.
type configTheme struct {
	name  string // in the README, and in Config as a heading
	first string // its first field; the theme ends before the next one's
}

// configThemes are the themes, in the order of Config's fields.
var configThemes = [...]configTheme{
	{"Connection", "BootstrapServers"},
	{"Guarantees", "Acks"},
	{"Batching", "Linger"},
	{"Compression", "Compression"},
	{"Partitioning", "PartitionerAdaptive"},
	{"Time", "DeliveryTimeout"},
	{"Metadata", "MetadataMaxAge"},
	{"Samsa's own", "Dialer"},
}

// configOptions is the table, in the order of Config's fields.
var configOptions = [...]configOption{
	{
		property: "bootstrap.servers", field: "BootstrapServers",
		ptr:     func(c *Config) any { return &c.BootstrapServers },
		format:  "host:port, several with commas between",
		meaning: "the brokers of the first contact; one is enough, with several the client goes on to the next when one is down",
	}, {
		property: "client.id", field: "ClientID", ptr: func(c *Config) any { return &c.ClientID },
		modern: "samsa", format: "at most 32767 bytes of UTF-8, no control characters",
		meaning: "names this program to the brokers, in their logs and quotas",
	}, {
		property: "reconnect.backoff.ms", field: "ReconnectBackoff",
		ptr:    func(c *Config) any { return &c.ReconnectBackoff },
		modern: "50", min: 0, max: configMaxLong,
		meaning: "the wait before a broker is dialled again; doubles with each further failure; 0 counts as 1 and does not double",
	}, {
		property: "reconnect.backoff.max.ms", field: "ReconnectBackoffMax",
		ptr:    func(c *Config) any { return &c.ReconnectBackoffMax },
		modern: "1000", min: 0, max: configMaxLong,
		meaning: "the longest wait before a broker is dialled again",
	}, {
		property: "socket.connection.setup.timeout.ms", field: "SocketConnectionSetupTimeout",
		ptr:    func(c *Config) any { return &c.SocketConnectionSetupTimeout },
		modern: "10000", min: 1, max: configMaxLong,
		meaning: "how long a connection may take to be made; doubles with each further failure",
	}, {
		property: "socket.connection.setup.timeout.max.ms", field: "SocketConnectionSetupTimeoutMax",
		ptr:    func(c *Config) any { return &c.SocketConnectionSetupTimeoutMax },
		modern: "30000", min: 1, max: configMaxLong,
		meaning: "the longest time that a connection may take to be made",
	}, {
		property: "connections.max.idle.ms", field: "ConnectionsMaxIdle",
		ptr:    func(c *Config) any { return &c.ConnectionsMaxIdle },
		modern: "540000", min: -1, max: configMaxLong,
		zero:    "0 would close each connection before its first request; -1 keeps connections open",
		meaning: "the time after which an unused connection is closed; -1 keeps it open",
	}, {
		property: "send.buffer.bytes", field: "SendBuffer", ptr: func(c *Config) any { return &c.SendBuffer },
		modern: "-1", classic: "131072", bytes: true, min: -1, max: configMaxInt, zero: configNoBuffer,
		meaning: "the socket's send buffer; -1 leaves it to the operating system, which lets it grow with the connection",
	}, {
		property: "receive.buffer.bytes", field: "ReceiveBuffer", ptr: func(c *Config) any { return &c.ReceiveBuffer },
		modern: "32768", bytes: true, min: -1, max: configMaxInt, zero: configNoBuffer,
		meaning: "the socket's receive buffer; -1 leaves it to the operating system",
	}, {
		property: "acks", field: "Acks", ptr: func(c *Config) any { return &c.Acks },
		modern: "all", classic: "1", values: []string{"all", "-1", "0", "1"},
		meaning: "0: the producer waits for no answer, and a failed send stays unknown; 1: the leader's answer; all (-1): the in-sync replicas have it",
	}, {
		property: "enable.idempotence", field: "EnableIdempotence",
		ptr:    func(c *Config) any { return &c.EnableIdempotence },
		modern: "true", classic: "false", values: configBool,
		meaning: "no duplicates and no reordering on retry, per partition; needs acks=all, retries above 0 and at most 5 requests in flight",
	}, {
		property: "retries", field: "Retries", ptr: func(c *Config) any { return &c.Retries },
		modern: "2147483647", classic: "0", min: 0, max: configMaxInt,
		meaning: "how often a failed batch is sent again; without idempotence a retry can change the order",
	}, {
		property: "max.in.flight.requests.per.connection", field: "MaxInFlight",
		ptr:    func(c *Config) any { return &c.MaxInFlight },
		modern: "5", min: 1, max: configMaxInt,
		meaning: "unanswered requests of one connection",
	}, {
		property: "linger.ms", field: "Linger", ptr: func(c *Config) any { return &c.Linger },
		modern: "5", classic: "0", min: 0, max: configMaxLong,
		meaning: "how long a batch that is not full waits for more records; a full one is sent at once",
	}, {
		property: "batch.size", field: "BatchSize", ptr: func(c *Config) any { return &c.BatchSize },
		modern: "16384", bytes: true, min: 0, max: configMaxInt,
		meaning: "the largest batch in bytes, as encoded on the wire; a larger record is sent alone, and 0 sends every record alone",
	}, {
		property: "buffer.memory", field: "BufferMemory", ptr: func(c *Config) any { return &c.BufferMemory },
		modern: "33554432", bytes: true, min: 0, max: configMaxLong,
		meaning: "bytes of records that may wait to be sent",
	}, {
		property: "max.request.size", field: "MaxRequestSize", ptr: func(c *Config) any { return &c.MaxRequestSize },
		modern: "1048576", bytes: true, min: 0, max: configMaxInt,
		meaning: "the largest request, the largest record before compression, and the upper bound of batch.size",
	}, {
		property: "compression.type", field: "Compression", ptr: func(c *Config) any { return &c.Compression },
		modern: "none", values: []string{"none", "gzip", "snappy", "lz4", "zstd"},
		meaning: "the codec for batches",
	}, {
		property: "compression.gzip.level", field: "CompressionGzipLevel",
		ptr:    func(c *Config) any { return &c.CompressionGzipLevel },
		modern: "-1", levels: compress.Gzip, format: "-1 and 1 to 9",
		meaning: "how hard gzip tries; -1 is the library's own default",
	}, {
		property: "compression.lz4.level", field: "CompressionLZ4Level",
		ptr:    func(c *Config) any { return &c.CompressionLZ4Level },
		modern: "9", levels: compress.LZ4, format: "1 to 17",
		meaning: "how hard lz4 tries; as in the Java client, 9 is the fast compressor",
	}, {
		property: "compression.zstd.level", field: "CompressionZstdLevel",
		ptr:    func(c *Config) any { return &c.CompressionZstdLevel },
		modern: "3", levels: compress.Zstd, format: "-131072 to 22",
		meaning: "how hard zstd tries",
	}, {
		property: "partitioner.adaptive.partitioning.enable", field: "PartitionerAdaptive",
		ptr:    func(c *Config) any { return &c.PartitionerAdaptive },
		modern: "true", values: configBool,
		meaning: "without a key: fewer records for partitions with long queues",
	}, {
		property: "partitioner.availability.timeout.ms", field: "PartitionerAvailabilityTimeout",
		ptr:    func(c *Config) any { return &c.PartitionerAvailabilityTimeout },
		modern: "0", min: 0, max: configMaxLong,
		meaning: "without a key: no records for partitions whose broker has taken nothing for that long; 0 is off; needs the adaptive choice",
	}, {
		property: "partitioner.ignore.keys", field: "PartitionerIgnoreKeys",
		ptr:    func(c *Config) any { return &c.PartitionerIgnoreKeys },
		modern: "false", values: configBool,
		meaning: "treats records with a key like those without one",
	}, {
		property: "delivery.timeout.ms", field: "DeliveryTimeout",
		ptr:    func(c *Config) any { return &c.DeliveryTimeout },
		modern: "120000", min: 0, max: configMaxInt,
		meaning: "the bound on everything after Send: linger, sending, retries; at least linger.ms and request.timeout.ms together",
	}, {
		property: "request.timeout.ms", field: "RequestTimeout", ptr: func(c *Config) any { return &c.RequestTimeout },
		modern: "30000", min: 0, max: configMaxInt,
		meaning: "the longest wait for an answer",
	}, {
		property: "max.block.ms", field: "MaxBlock", ptr: func(c *Config) any { return &c.MaxBlock },
		modern: "60000", min: 0, max: configMaxLong,
		meaning: "how long Send and PartitionsFor may block for metadata and for room in the buffer, both together",
	}, {
		property: "retry.backoff.ms", field: "RetryBackoff", ptr: func(c *Config) any { return &c.RetryBackoff },
		modern: "100", min: 0, max: configMaxLong,
		meaning: "the wait before the first retry; doubles with each further one; 0 counts as 1 and does not double",
	}, {
		property: "retry.backoff.max.ms", field: "RetryBackoffMax",
		ptr:    func(c *Config) any { return &c.RetryBackoffMax },
		modern: "1000", min: 0, max: configMaxLong,
		meaning: "the longest wait before a retry",
	}, {
		property: "metadata.max.age.ms", field: "MetadataMaxAge", ptr: func(c *Config) any { return &c.MetadataMaxAge },
		modern: "300000", min: 0, max: configMaxLong,
		meaning: "the age at which the client refreshes the metadata of topics and brokers, even if nothing failed; 0: as often as retry.backoff.ms allows",
	}, {
		property: "metadata.max.idle.ms", field: "MetadataMaxIdle",
		ptr:    func(c *Config) any { return &c.MetadataMaxIdle },
		modern: "300000", min: 5000, max: configMaxLong,
		meaning: "the time after which an unused topic is forgotten",
	}, {
		property: "metadata.recovery.strategy", field: "MetadataRecoveryStrategy",
		ptr:    func(c *Config) any { return &c.MetadataRecoveryStrategy },
		modern: "rebootstrap", classic: "none", values: []string{"rebootstrap", "none"},
		meaning: "the reaction when no known broker answers any more: start again from bootstrap.servers, or go on trying",
	}, {
		property: "metadata.recovery.rebootstrap.trigger.ms", field: "MetadataRecoveryRebootstrapTrigger",
		ptr:    func(c *Config) any { return &c.MetadataRecoveryRebootstrapTrigger },
		modern: "300000", min: 0, max: configMaxLong,
		meaning: "how long metadata may fail before the client starts again from bootstrap.servers",
	}, {
		property: "topic.metadata.propagation.max.ms", field: "TopicMetadataPropagationMax",
		ptr:    func(c *Config) any { return &c.TopicMetadataPropagationMax },
		modern: "5000", classic: "-1", min: -1, max: configMaxLong,
		meaning: "how long Send waits for a topic that every response calls unknown; -1 means max.block.ms; the name is librdkafka's",
	}, {
		property: "allow.auto.create.topics", field: "AllowAutoCreateTopics",
		ptr:    func(c *Config) any { return &c.AllowAutoCreateTopics },
		modern: "true", values: configBool,
		meaning: "lets brokers that are set so create a topic at its first record, as Java's producer always does",
	},
}

// configGoField is a field without a Kafka property.
type configGoField struct {
	field, std, meaning string // std is the default as the README shows it
}

// configGoFields are the fields of Go alone.
var configGoFields = [...]configGoField{
	{"Dialer", "net.Dialer", "makes the connections"},
	{"Partitioner", "built-in", "chooses the partition of records that name none"},
	{"Interceptors", "none", "see every record before it is sent and every outcome"},
	{"Logger", "slog.Default() for warnings and errors", "gets the log lines of the producer, a *slog.Logger"},
	{"CompressionWorkers", "0", "how many goroutines compress; 0 is as many as GOMAXPROCS"},
}

// configOptionOf finds a property in the table, or returns nil.
func configOptionOf(property string) *configOption {
	for i := range configOptions {
		if configOptions[i].property == property {
			return &configOptions[i]
		}
	}
	return nil
}

// configFromTable fills a Config with one of the table's columns.
func configFromTable(column func(*configOption) string) Config {
	var c Config
	for i := range configOptions {
		o := &configOptions[i]
		value := column(o)
		if value == "" {
			continue
		}
		if err := o.set(&c, value); err != nil {
			panic(err) // a default outside its own range is a mistake in the table; its tests find it
		}
	}
	return c
}
