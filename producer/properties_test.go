package producer

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type propertyMap = map[string]string

func TestEveryPropertySetsItsField(t *testing.T) {
	c, err := ParseProperties(propertyMap{
		"bootstrap.servers":                     " b1:9092 , PLAINTEXT://b2:9093,[::1]:9094",
		"acks":                                  "all",
		"enable.idempotence":                    " TRUE ",
		"retries":                               "7",
		"max.in.flight.requests.per.connection": "+3",
		"delivery.timeout.ms":                   "90000",
		"request.timeout.ms":                    "10000",
		"max.block.ms":                          "9223372036854775807",
		"linger.ms":                             "\t20 ",
		"batch.size":                            "100000",
		"buffer.memory":                         "4294967296",
		"max.request.size":                      "2000000",
		"compression.type":                      "zstd",
		"compression.gzip.level":                "9",
		"compression.lz4.level":                 "17",
		"compression.zstd.level":                "-7",
		"client.id":                             "orders",
		"partitioner.adaptive.partitioning.enable": "False",
		"partitioner.availability.timeout.ms":      "250",
		"partitioner.ignore.keys":                  "true",
		"retry.backoff.ms":                         "200",
		"retry.backoff.max.ms":                     "2000",
		"reconnect.backoff.ms":                     "70",
		"reconnect.backoff.max.ms":                 "7000",
		"socket.connection.setup.timeout.ms":       "3000",
		"socket.connection.setup.timeout.max.ms":   "9000",
		"connections.max.idle.ms":                  "-1",
		"send.buffer.bytes":                        "-1",
		"receive.buffer.bytes":                     "65536",
		"metadata.max.age.ms":                      "60000",
		"metadata.max.idle.ms":                     "5000",
		"metadata.recovery.strategy":               "NONE",
		"metadata.recovery.rebootstrap.trigger.ms": "1000",
		"topic.metadata.propagation.max.ms":        "7000",
		"allow.auto.create.topics":                 "false",
	})
	require.NoError(t, err)
	require.NoError(t, c.Validate())
	require.Empty(t, c.Warnings())
	require.Equal(t, Config{
		BootstrapServers: []string{"b1:9092", "b2:9093", "[::1]:9094"}, Acks: AcksAll, EnableIdempotence: true,
		Retries: 7, MaxInFlight: 3,
		DeliveryTimeout: 90 * time.Second, RequestTimeout: 10 * time.Second, MaxBlock: math.MaxInt64,
		Linger:    20 * time.Millisecond,
		BatchSize: 100000, BufferMemory: 4 << 30, MaxRequestSize: 2000000, Compression: CompressionZstd,
		CompressionGzipLevel: 9, CompressionLZ4Level: 17, CompressionZstdLevel: -7, ClientID: "orders",
		PartitionerAvailabilityTimeout: 250 * time.Millisecond, PartitionerIgnoreKeys: true,
		RetryBackoff: 200 * time.Millisecond, RetryBackoffMax: 2 * time.Second, ReconnectBackoff: 70 * time.Millisecond,
		ReconnectBackoffMax:          7 * time.Second,
		SocketConnectionSetupTimeout: 3 * time.Second, SocketConnectionSetupTimeoutMax: 9 * time.Second,
		ConnectionsMaxIdle: -time.Millisecond,
		SendBuffer:         -1, ReceiveBuffer: 65536, MetadataMaxAge: time.Minute, MetadataMaxIdle: 5 * time.Second,
		TopicMetadataPropagationMax: 7 * time.Second,
		MetadataRecoveryStrategy:    MetadataRecoveryNone, MetadataRecoveryRebootstrapTrigger: time.Second,
	}, c)
}

func TestNoPropertiesAreTheDefaultConfig(t *testing.T) {
	c, err := ParseProperties(nil)
	require.NoError(t, err)
	require.Equal(t, DefaultConfig(), c)
	require.Error(t, c.Validate(), "the servers are still to come")
}

func TestEveryValueReadsBack(t *testing.T) {
	for _, c := range []Config{DefaultConfig("a:1"), ClassicConfig("a:1", "b:2")} {
		m := propertyMap{}
		for i := range configOptions {
			o := &configOptions[i]
			m[o.property] = o.text(&c)
			if d, ok := o.ptr(&c).(*time.Duration); ok {
				m[o.property] = strconv.FormatInt(d.Milliseconds(), 10)
			}
		}
		read, err := ParseProperties(m)
		require.NoError(t, err)
		require.Equal(t, c, read)
	}
}

func TestAcksAreWrittenAsInJava(t *testing.T) {
	for text, want := range map[string]Acks{"all": AcksAll, "-1": AcksAll, "0": AcksNone, "1": AcksLeader,
		" all ": AcksAll} {
		c, err := ParseProperties(propertyMap{"acks": text})
		require.NoError(t, err, text)
		require.Equal(t, want, c.Acks, text)
	}
}

func TestAWrongValueIsAnErrorWithNameValueAndRange(t *testing.T) {
	cases := []struct{ property, value, rangeText string }{
		{"acks", "2", "all, -1, 0, 1"},
		{"acks", "ALL", "all, -1, 0, 1"},
		{"acks", "", "all, -1, 0, 1"},
		{"enable.idempotence", "yes", "true, false"},
		{"partitioner.ignore.keys", "1", "true, false"},
		{"retries", "-1", "0 to 2147483647"},
		{"retries", "2147483648", "0 to 2147483647"},
		{"retries", "99999999999999999999", "0 to 2147483647"},
		{"retries", "five", "0 to 2147483647"},
		{"retries", "", "0 to 2147483647"},
		{"retries", "1_000", "0 to 2147483647"},
		{"retries", "0x10", "0 to 2147483647"},
		{"max.in.flight.requests.per.connection", "0", "1 to 2147483647"},
		{"linger.ms", "-1", "0 or more (ms)"},
		{"linger.ms", "1.5", "0 or more (ms)"},
		{"linger.ms", "5ms", "0 or more (ms)"},
		{"request.timeout.ms", "2147483648", "0 to 2147483647 (ms)"},
		{"batch.size", "-1", "0 to 2147483647"},
		{"buffer.memory", "-1", "0 or more"},
		{"metadata.max.idle.ms", "4999", "5000 or more"},
		{"connections.max.idle.ms", "-2", "-1 and 1 or more"},
		{"send.buffer.bytes", "-2", "-1 and 1 to 2147483647"},
		{"compression.type", "brotli", "none, gzip, snappy, lz4, zstd"},
		{"compression.type", "GZIP", "none, gzip, snappy, lz4, zstd"},
		{"compression.gzip.level", "0", "-1 and 1 to 9"},
		{"compression.gzip.level", "4294967297", "-1 and 1 to 9"},
		{"compression.lz4.level", "18", "1 to 17"},
		{"compression.zstd.level", "23", "-131072 to 22"},
		{"metadata.recovery.strategy", "maybe", "rebootstrap, none"},
		{"bootstrap.servers", "", "host:port"},
		{"bootstrap.servers", " ", "host:port"},
		{"bootstrap.servers", "localhost", "host:port"},
	}
	for _, tc := range cases {
		c, err := ParseProperties(propertyMap{tc.property: tc.value})
		require.Equal(t, Config{}, c)
		e := configOneError(t, err)
		require.Equal(t, tc.property, e.Property)
		require.Equal(t, configOptionOf(tc.property).field, e.Field)
		require.Equal(t, strings.TrimSpace(tc.value), e.Value)
		require.Contains(t, err.Error(), tc.property)
		require.Contains(t, err.Error(), tc.rangeText, tc.property)
	}
}

func TestAllWrongPropertiesAreReportedAtOnce(t *testing.T) {
	_, err := ParseProperties(propertyMap{
		"acks": "3", "retries": "x", "linger": "5", "ssl.protocol": "TLS", "batch.size": "2000000",
		"bootstrap.servers": "a:1,,b",
		"key.serializer":    "org.apache.kafka.common.serialization.StringSerializer",
	})
	var names []string
	for _, e := range configErrors(t, err) {
		names = append(names, e.Property)
	}
	require.Equal(t, []string{"acks", "linger", "retries", "ssl.protocol", "bootstrap.servers", "bootstrap.servers",
		"batch.size"}, names)
}

func TestJavasPropertiesThatMeanNothingHereAreKeptForTheLog(t *testing.T) {
	c, err := ParseProperties(propertyMap{
		"key.serializer": "org.apache.kafka.common.serialization.StringSerializer", "value.serializer": "",
		"metric.reporters":    "",
		"metrics.num.samples": "2", "metrics.recording.level": "INFO", "metrics.sample.window.ms": "1",
		"enable.metrics.push":       "true",
		"auto.include.jmx.reporter": "true", "transaction.timeout.ms": "60000", "client.rack": "r1",
		"metrics.jmx.include": ".*",
	})
	require.NoError(t, err)
	require.Equal(t, []string{"auto.include.jmx.reporter", "client.rack", "enable.metrics.push", "key.serializer",
		"metric.reporters",
		"metrics.jmx.include", "metrics.num.samples", "metrics.recording.level", "metrics.sample.window.ms",
		"transaction.timeout.ms", "value.serializer"}, c.ignored)
	require.Len(t, c.Warnings(), 1)
	c.ignored = nil
	require.Equal(t, DefaultConfig(), c)
}

func TestAMissingFeatureIsAnErrorWithoutItsValue(t *testing.T) {
	for property, says := range map[string]string{
		"security.protocol":                     "TLS",
		"sasl.jaas.config":                      "SASL",
		"sasl.mechanism":                        "SASL",
		"sasl.anything.new":                     "SASL",
		"ssl.truststore.location":               "TLS",
		"ssl.endpoint.identification.algorithm": "TLS",
		"security.providers":                    "Java",
		"transactional.id":                      "transactions",
		"transaction.two.phase.commit.enable":   "transactions",
		"partitioner.class":                     "Config.Partitioner",
		"interceptor.classes":                   "Config.Interceptors",
		"config.providers":                      "config providers",
		"config.providers.file.class":           "config providers",
		"client.dns.lookup":                     "use_all_dns_ips",
		"partitioner.rack.aware":                "rack-aware",
	} {
		_, err := ParseProperties(propertyMap{property: "S3cret"})
		e := configOneError(t, err)
		require.Equal(t, property, e.Property)
		require.Contains(t, e.Problem, says, property)
		require.NotContains(t, err.Error(), "S3cret")
		require.NotContains(t, err.Error(), "unknown")
	}
	for _, protocol := range []string{"SSL", "SASL_PLAINTEXT", "SASL_SSL", "ssl", "", "PLAINTXT"} {
		_, err := ParseProperties(propertyMap{"security.protocol": protocol})
		require.ErrorContains(t, err, "only PLAINTEXT", protocol)
	}
	_, err := ParseProperties(propertyMap{"bootstrap.servers": "SSL://b:9093"})
	require.ErrorContains(t, err, "without SSL://", "never a silent plaintext connection")
}

func TestAskingForNothingIsNoError(t *testing.T) {
	c, err := ParseProperties(propertyMap{
		"security.protocol": " plaintext ", "client.dns.lookup": "use_all_dns_ips", "interceptor.classes": "",
		"config.providers":       "",
		"partitioner.rack.aware": "false", "transaction.two.phase.commit.enable": "false",
	})
	require.NoError(t, err)
	require.Equal(t, DefaultConfig(), c)
}

func TestUnknownPropertiesGetTheNearestName(t *testing.T) {
	for name, nearest := range map[string]string{
		"linger":                   "linger.ms",
		"linger.sm":                "linger.ms",
		"Linger.Ms":                "linger.ms",
		"LINGER_MS":                "linger.ms",
		"batch-size":               "batch.size",
		"retires":                  "retries",
		"ack":                      "acks",
		"bootstrap.server":         "bootstrap.servers",
		"compression":              "compression.type",
		"compression.codec":        "compression.type",
		"key.serialiser":           "key.serializer",
		"enable.idempotency":       "enable.idempotence",
		"message.timeout.ms":       "delivery.timeout.ms",
		"queue.buffering.max.ms":   "linger.ms",
		"max.in.flight":            "max.in.flight.requests.per.connection",
		"max.in.flight.requests":   "max.in.flight.requests.per.connection",
		"transactional.ids":        "transactional.id",
		"metadata.max.age":         "metadata.max.age.ms",
		"socket.send.buffer.bytes": "send.buffer.bytes",
	} {
		_, err := ParseProperties(propertyMap{name: "S3cret"})
		e := configOneError(t, err)
		require.Equal(t, name, e.Property)
		require.Empty(t, e.Value)
		require.Equal(t, "unknown property; the nearest known name is "+nearest, e.Problem, name)
		require.NotContains(t, err.Error(), "S3cret")
	}
	for known := range configElsewhere {
		require.NotNil(t, configOptionOf(configElsewhere[known]), known)
		require.Nil(t, configOptionOf(known), known)
	}
}

func TestDistanceCountsEdits(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"acks", "acks", 0}, {"kitten", "sitting", 3},
		{"retires", "retries", 1}, {"ab", "ba", 1}, {"linger.sm", "linger.ms", 1}} {
		require.Equal(t, tc.want, configDistance(tc.a, tc.b), "%s %s", tc.a, tc.b)
	}
}

func TestIdempotenceGivesWayToProperties(t *testing.T) {
	for property, value := range map[string]string{"acks": "1", "retries": "0",
		"max.in.flight.requests.per.connection": "6"} {
		c, err := ParseProperties(propertyMap{property: value})
		require.NoError(t, err, property)
		require.False(t, c.EnableIdempotence, property)
		require.Len(t, c.Warnings(), 1)
		require.Contains(t, c.Warnings()[0], "enable.idempotence was not written and is now false", property)
		require.Contains(t, c.Warnings()[0], "("+property+")")
		require.Contains(t, c.Warnings()[0], "it is "+value)

		_, err = ParseProperties(propertyMap{property: value, "enable.idempotence": "true"})
		e := configOneError(t, err)
		require.Equal(t, "EnableIdempotence", e.Field)
		require.Contains(t, e.Problem, property)

		c, err = ParseProperties(propertyMap{property: value, "enable.idempotence": "false"})
		require.NoError(t, err, property)
		require.False(t, c.EnableIdempotence)
		require.Empty(t, c.Warnings())
	}
	c, err := ParseProperties(propertyMap{"acks": "0", "retries": "0", "max.in.flight.requests.per.connection": "6"})
	require.NoError(t, err)
	require.Len(t, c.Warnings(), 1, "it is turned off once")
}

func TestDefaultsGiveWayToWrittenProperties(t *testing.T) {
	cases := []struct {
		written propertyMap
		changed string
		want    func(*Config) bool
	}{
		{propertyMap{"request.timeout.ms": "300000"}, "delivery.timeout.ms was not written and is now 5m0.005s",
			func(c *Config) bool { return c.DeliveryTimeout == 300005*time.Millisecond }},
		{propertyMap{"linger.ms": "9223372036854775807"}, "delivery.timeout.ms",
			func(c *Config) bool { return c.DeliveryTimeout == math.MaxInt32*time.Millisecond }},
		{propertyMap{"max.request.size": "10000"}, "batch.size was not written and is now 10000",
			func(c *Config) bool { return c.BatchSize == 10000 }},
		{propertyMap{"buffer.memory": "8192"}, "batch.size was not written and is now 8192",
			func(c *Config) bool { return c.BatchSize == 8192 && c.MaxRequestSize == 1048576 }},
		{propertyMap{"retry.backoff.ms": "2000"}, "retry.backoff.max.ms was not written and is now 2s: its default 1s",
			func(c *Config) bool { return c.RetryBackoffMax == 2*time.Second }},
		{propertyMap{"retry.backoff.max.ms": "20"},
			"retry.backoff.ms was not written and is now 20ms: its default 100ms",
			func(c *Config) bool { return c.RetryBackoff == 20*time.Millisecond }},
		{propertyMap{"reconnect.backoff.ms": "5000"}, "reconnect.backoff.max.ms",
			func(c *Config) bool { return c.ReconnectBackoffMax == 5*time.Second }},
		{propertyMap{"socket.connection.setup.timeout.ms": "60000"}, "socket.connection.setup.timeout.max.ms",
			func(c *Config) bool { return c.SocketConnectionSetupTimeoutMax == time.Minute }},
	}
	for _, tc := range cases {
		c, err := ParseProperties(tc.written)
		require.NoError(t, err)
		require.Len(t, c.Warnings(), 1)
		require.Contains(t, c.Warnings()[0], tc.changed)
		require.True(t, tc.want(&c), tc.changed)
		c.BootstrapServers = []string{"a:1"}
		require.NoError(t, c.Validate())
	}
}

func TestContradictingPropertiesAreAnError(t *testing.T) {
	for field, written := range map[string]propertyMap{
		"DeliveryTimeout": {"delivery.timeout.ms": "30000"},
		"BatchSize":       {"batch.size": "2000000"},
		"RetryBackoff":    {"retry.backoff.ms": "2000", "retry.backoff.max.ms": "1000"},
		"SocketConnectionSetupTimeout": {"socket.connection.setup.timeout.ms": "2",
			"socket.connection.setup.timeout.max.ms": "1"},
	} {
		_, err := ParseProperties(written)
		require.Equal(t, field, configOneError(t, err).Field)
	}
}

func TestAPropertyFileIsLoaded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "producer.properties")
	require.NoError(t, os.WriteFile(path,
		[]byte("# ours\nbootstrap.servers=b1:9092,\\\n    b2:9092\nacks : 1\nacks=all\nclient.id=caf\\u00e9\n"), 0o600))
	c, err := LoadProperties(path)
	require.NoError(t, err)
	want := DefaultConfig("b1:9092", "b2:9092")
	want.ClientID = "café"
	require.Len(t, c.Warnings(), 1, "acks has two values")
	c.adjusted = nil
	require.Equal(t, want, c)
}

func TestLoadingNamesTheFileInItsErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "producer.properties")
	_, err := LoadProperties(path)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, path)

	require.NoError(t, os.WriteFile(path, []byte("a=1\nb=\\u12"), 0o600))
	_, err = LoadProperties(path)
	require.ErrorContains(t, err, path+":2: b: ")

	require.NoError(t, os.WriteFile(path, []byte("acks=5\nretries=x"), 0o600))
	c, err := LoadProperties(path)
	require.ErrorContains(t, err, path)
	require.Equal(t, Config{}, c)
	require.Len(t, configErrors(t, err), 2)
	var one *ConfigError
	require.ErrorAs(t, err, &one)
}
