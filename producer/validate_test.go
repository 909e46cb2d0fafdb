package producer

import (
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func validConfig() Config { return DefaultConfig("localhost:9092") }

func TestEachFieldOutOfItsRangeIsReported(t *testing.T) {
	tooMuch := int64(math.MaxInt32) + 1
	cases := []struct {
		field string
		spoil func(*Config)
	}{
		{"BootstrapServers", func(c *Config) { c.BootstrapServers = nil }},
		{"Acks", func(c *Config) { c.Acks = 2 }},
		{"Acks", func(c *Config) { c.Acks = -2 }},
		{"Retries", func(c *Config) { c.Retries = -1 }},
		{"MaxInFlight", func(c *Config) { c.MaxInFlight = 0 }},
		{"DeliveryTimeout", func(c *Config) { c.DeliveryTimeout = -time.Millisecond }},
		{"DeliveryTimeout", func(c *Config) { c.DeliveryTimeout = time.Duration(tooMuch) * time.Millisecond }},
		{"RequestTimeout", func(c *Config) { c.RequestTimeout = -1 }},
		{"RequestTimeout", func(c *Config) { c.RequestTimeout = time.Duration(tooMuch) * time.Millisecond }},
		{"MaxBlock", func(c *Config) { c.MaxBlock = -time.Hour }},
		{"Linger", func(c *Config) { c.Linger = -time.Nanosecond }},
		{"BatchSize", func(c *Config) { c.BatchSize = -1 }},
		{"BufferMemory", func(c *Config) { c.BufferMemory = -1 }},
		{"MaxRequestSize", func(c *Config) { c.MaxRequestSize = -1 }},
		{"Compression", func(c *Config) { c.Compression = 5 }},
		{"Compression", func(c *Config) { c.Compression = -1 }},
		{"CompressionGzipLevel", func(c *Config) { c.CompressionGzipLevel = 0 }},
		{"CompressionGzipLevel", func(c *Config) { c.CompressionGzipLevel = 10 }},
		{"CompressionGzipLevel", func(c *Config) { c.CompressionGzipLevel = -2 }},
		{"CompressionLZ4Level", func(c *Config) { c.CompressionLZ4Level = 0 }},
		{"CompressionLZ4Level", func(c *Config) { c.CompressionLZ4Level = 18 }},
		{"CompressionZstdLevel", func(c *Config) { c.CompressionZstdLevel = -131073 }},
		{"CompressionZstdLevel", func(c *Config) { c.CompressionZstdLevel = 23 }},
		{"ClientID", func(c *Config) { c.ClientID = strings.Repeat("x", 32768) }},
		{"ClientID", func(c *Config) { c.ClientID = "\xff" }},
		{"PartitionerAvailabilityTimeout", func(c *Config) { c.PartitionerAvailabilityTimeout = -1 }},
		{"RetryBackoff", func(c *Config) { c.RetryBackoff = -1 }},
		{"RetryBackoffMax", func(c *Config) { c.RetryBackoffMax = -1 }},
		{"ReconnectBackoff", func(c *Config) { c.ReconnectBackoff = -1 }},
		{"ReconnectBackoffMax", func(c *Config) { c.ReconnectBackoffMax = -1 }},
		{"SocketConnectionSetupTimeout", func(c *Config) { c.SocketConnectionSetupTimeout = 0 }},
		{"SocketConnectionSetupTimeoutMax", func(c *Config) { c.SocketConnectionSetupTimeoutMax = 0 }},
		{"ConnectionsMaxIdle", func(c *Config) { c.ConnectionsMaxIdle = -2 * time.Millisecond }},
		{"SendBuffer", func(c *Config) { c.SendBuffer = -2 }},
		{"ReceiveBuffer", func(c *Config) { c.ReceiveBuffer = -2 }},
		{"TopicMetadataPropagationMax", func(c *Config) { c.TopicMetadataPropagationMax = -2 * time.Millisecond }},
		{"MetadataMaxAge", func(c *Config) { c.MetadataMaxAge = -1 }},
		{"MetadataMaxIdle", func(c *Config) { c.MetadataMaxIdle = 4999 * time.Millisecond }},
		{"MetadataRecoveryStrategy", func(c *Config) { c.MetadataRecoveryStrategy = "" }},
		{"MetadataRecoveryStrategy", func(c *Config) { c.MetadataRecoveryStrategy = "hope" }},
		{"MetadataRecoveryRebootstrapTrigger", func(c *Config) { c.MetadataRecoveryRebootstrapTrigger = -1 }},
		{"Interceptors", func(c *Config) { c.Interceptors = []Interceptor{&spyInterceptor{}, nil} }},
		{"CompressionWorkers", func(c *Config) { c.CompressionWorkers = -1 }},
	}
	seen := map[string]bool{}
	for _, tc := range cases {
		c := validConfig()
		tc.spoil(&c)
		e := configOneError(t, c.Validate())
		require.Equal(t, tc.field, e.Field)
		require.NotEmpty(t, e.Problem)
		if o := configOptionOfField(tc.field); o != nil {
			require.Equal(t, o.property, e.Property)
			if tc.field != "BootstrapServers" {
				require.Equal(t, o.text(&c), e.Value)
				require.Contains(t, e.Problem, o.rangeText())
			}
		}
		seen[tc.field] = true
	}
	for i := range configOptions {
		o := &configOptions[i]
		if _, isBool := o.ptr(new(Config)).(*bool); !isBool {
			require.True(t, seen[o.field], "no case for %s", o.field)
		}
	}
}

func TestBothEndsOfEachRangeAreRight(t *testing.T) {
	cases := map[string]func(*Config){
		"retries":             func(c *Config) { c.Retries = 1 },
		"one in flight":       func(c *Config) { c.MaxInFlight = 1 },
		"no delivery":         func(c *Config) { c.DeliveryTimeout, c.RequestTimeout, c.Linger = 0, 0, 0 },
		"longest delivery":    func(c *Config) { c.DeliveryTimeout = math.MaxInt32 * time.Millisecond },
		"longest block":       func(c *Config) { c.MaxBlock = math.MaxInt64 },
		"no batch":            func(c *Config) { c.BatchSize = 0 },
		"largest buffer":      func(c *Config) { c.BufferMemory = math.MaxInt64 },
		"smallest everything": func(c *Config) { c.BatchSize, c.MaxRequestSize, c.BufferMemory = 0, 0, 0 },
		"largest batch": func(c *Config) {
			c.BatchSize, c.MaxRequestSize, c.BufferMemory = math.MaxInt32, math.MaxInt32, math.MaxInt32
		},
		"a record may pass buffer": func(c *Config) { c.BufferMemory = 65536 },
		"gzip default":             func(c *Config) { c.CompressionGzipLevel = -1 },
		"gzip 1":                   func(c *Config) { c.CompressionGzipLevel = 1 },
		"gzip 9":                   func(c *Config) { c.CompressionGzipLevel = 9 },
		"lz4 1":                    func(c *Config) { c.CompressionLZ4Level = 1 },
		"lz4 17":                   func(c *Config) { c.CompressionLZ4Level = 17 },
		"zstd -131072":             func(c *Config) { c.CompressionZstdLevel = -131072 },
		"zstd 22":                  func(c *Config) { c.CompressionZstdLevel = 22 },
		"no client id":             func(c *Config) { c.ClientID = "" },
		"longest client id":        func(c *Config) { c.ClientID = strings.Repeat("x", 32767) },
		"never idle":               func(c *Config) { c.ConnectionsMaxIdle = -time.Millisecond },
		"buffers of the system":    func(c *Config) { c.SendBuffer, c.ReceiveBuffer = -1, -1 },
		"least metadata idle":      func(c *Config) { c.MetadataMaxIdle = 5 * time.Second },
		"no rebootstrap":           func(c *Config) { c.MetadataRecoveryStrategy = MetadataRecoveryNone },
		"backoffs equal":           func(c *Config) { c.RetryBackoff = c.RetryBackoffMax },
		"least setup":              func(c *Config) { c.SocketConnectionSetupTimeout = time.Millisecond },
		"workers":                  func(c *Config) { c.CompressionWorkers = 3 },
		"delivery exactly the sum": func(c *Config) { c.DeliveryTimeout = c.Linger + c.RequestTimeout },
		"acks none without":        func(c *Config) { c.Acks, c.EnableIdempotence = AcksNone, false },
		"more in flight without":   func(c *Config) { c.MaxInFlight, c.EnableIdempotence = 50, false },
		"linger for ever, no timeout": func(c *Config) {
			c.Linger, c.DeliveryTimeout = math.MaxInt64,
				math.MaxInt32*time.Millisecond
		},
	}
	for name, set := range cases {
		c := validConfig()
		set(&c)
		require.NoError(t, c.Validate(), name)
	}
}

func TestRulesAcrossFieldsNameBothFieldsAndTheCure(t *testing.T) {
	cases := []struct {
		spoil func(*Config)
		field string
		says  []string
	}{
		{func(c *Config) { c.DeliveryTimeout = c.Linger + c.RequestTimeout - 1 }, "DeliveryTimeout",
			[]string{"Linger (linger.ms)", "RequestTimeout (request.timeout.ms)", "30s", "raise it"}},
		{func(c *Config) { c.Linger = math.MaxInt64 }, "DeliveryTimeout", []string{"Linger (linger.ms)"}},
		{func(c *Config) { c.BatchSize = c.MaxRequestSize + 1 }, "BatchSize",
			[]string{"MaxRequestSize (max.request.size), 1048576", "message.max.bytes"}},
		{func(c *Config) { c.BufferMemory = int64(c.BatchSize) - 1 }, "BatchSize",
			[]string{"BufferMemory (buffer.memory), 16383", "raise BufferMemory"}},
		{func(c *Config) { c.RetryBackoff = c.RetryBackoffMax + 1 }, "RetryBackoff",
			[]string{"RetryBackoffMax (retry.backoff.max.ms), 1s", "raise RetryBackoffMax"}},
		{func(c *Config) { c.ReconnectBackoff = c.ReconnectBackoffMax + 1 }, "ReconnectBackoff",
			[]string{"ReconnectBackoffMax (reconnect.backoff.max.ms), 1s"}},
		{func(c *Config) { c.SocketConnectionSetupTimeoutMax = time.Second }, "SocketConnectionSetupTimeout",
			[]string{"SocketConnectionSetupTimeoutMax (socket.connection.setup.timeout.max.ms), 1s"}},
		{func(c *Config) { c.Acks = AcksLeader }, "EnableIdempotence",
			[]string{"Acks (acks) to be AcksAll (all)", "it is 1", "set Acks so, or EnableIdempotence to false"}},
		{func(c *Config) { c.Acks = AcksNone }, "EnableIdempotence",
			[]string{"Acks (acks) to be AcksAll (all)", "it is 0"}},
		{func(c *Config) { c.Retries = 0 }, "EnableIdempotence",
			[]string{"Retries (retries) to be 1 or more", "it is 0", "EnableIdempotence to false"}},
		{func(c *Config) { c.MaxInFlight = 6 }, "EnableIdempotence",
			[]string{"MaxInFlight (max.in.flight.requests.per.connection) to be 5 or less", "it is 6"}},
	}
	for _, tc := range cases {
		c := validConfig()
		tc.spoil(&c)
		err := c.Validate()
		e := configOneError(t, err)
		require.Equal(t, tc.field, e.Field)
		require.Contains(t, err.Error(), e.Property)
		for _, s := range tc.says {
			require.Contains(t, err.Error(), s)
		}
	}
}

func TestValidateReportsAllProblemsAtOnce(t *testing.T) {
	c := validConfig()
	c.BootstrapServers = []string{"localhost", "ok:9092", ":9092"}
	c.Retries = 0
	c.Acks = AcksLeader
	c.BatchSize = 64 << 20
	c.MetadataMaxIdle = 0
	c.CompressionWorkers = -4
	var fields []string
	for _, e := range configErrors(t, c.Validate()) {
		fields = append(fields, e.Field)
	}
	require.Equal(t, []string{"MetadataMaxIdle", "BootstrapServers", "BootstrapServers", "CompressionWorkers",
		"BatchSize", "BatchSize", "EnableIdempotence", "EnableIdempotence"}, fields)
}

func TestAFieldOutOfRangeIsNotHeldAgainstOthers(t *testing.T) {
	c := validConfig()
	c.RequestTimeout = -time.Hour
	c.BatchSize = -1
	c.MaxRequestSize = -2
	require.Len(t, configErrors(t, c.Validate()), 3)
}

// TestAConfigThatDidNotStartFromADefaultIsOneError: a list of all zero fields would hide the cause.
func TestAConfigThatDidNotStartFromADefaultIsOneError(t *testing.T) {
	for name, c := range map[string]Config{
		"zero":             {},
		"servers":          {BootstrapServers: []string{"a:1"}},
		"a duration in ms": {BootstrapServers: []string{"a:1"}, Linger: 20},
		"a wrong field":    {BootstrapServers: []string{"a"}, Retries: -1},
		"a logger":         {BootstrapServers: []string{"a:1"}, Logger: slog.New(slog.DiscardHandler)},
		"the usual fields": {BootstrapServers: []string{"a:1"}, Acks: AcksAll, Retries: 3, MaxInFlight: 5,
			MaxBlock: time.Minute, BatchSize: 16384},
		"the fields of peers": {BootstrapServers: []string{"a:1"}, MaxInFlight: 1, SendBuffer: -1, ReceiveBuffer: -1,
			ConnectionsMaxIdle: time.Minute},
	} {
		err := c.Validate()
		e := configOneError(t, err)
		require.Empty(t, e.Property+e.Field+e.Value, name)
		require.Contains(t, e.Problem, "start from DefaultConfig", name)
		require.Contains(t, e.Problem, "are zero, such as ", name)
		_, err = New(c)
		require.EqualError(t, err, "samsa: "+e.Problem, name)
	}
	err := Config{}.Validate()
	require.EqualError(t, err, "samsa: 10 fields of the Config that need a value are zero, such as SocketConnectionSetupTimeout: "+
		"start from DefaultConfig(servers...) and change its fields")
}

// TestAFewZeroFieldsAreReportedOneByOne: a Config that started from a default gets an error for each field.
func TestAFewZeroFieldsAreReportedOneByOne(t *testing.T) {
	c := validConfig()
	c.SendBuffer, c.ReceiveBuffer, c.MaxInFlight = 0, 0, 0
	var fields []string
	for _, e := range configErrors(t, c.Validate()) {
		fields = append(fields, e.Field)
	}
	require.Equal(t, []string{"SendBuffer", "ReceiveBuffer", "MaxInFlight"}, fields)
}

// TestADurationBelowAMillisecondIsAnErrorWithTheLikelyIntention tries every duration of a Config.
func TestADurationBelowAMillisecondIsAnErrorWithTheLikelyIntention(t *testing.T) {
	for i := range configOptions {
		o := &configOptions[i]
		if _, is := o.ptr(new(Config)).(*time.Duration); !is {
			continue
		}
		for _, wrong := range []time.Duration{1, 20, 5000, 60000, 999_999} {
			c := validConfig()
			*o.ptr(&c).(*time.Duration) = wrong
			e := configOneError(t, c.Validate())
			require.Equal(t, o.field, e.Field)
			require.Equal(t, o.property, e.Property)
			require.Equal(t, wrong.String(), e.Value)
			if int64(wrong) < o.min {
				require.NotContains(t, e.Problem, "did you mean")
				require.Contains(t, e.Problem, o.outOfRange())
				continue
			}
			require.Contains(t, e.Problem, fmt.Sprintf("did you mean %d*time.Millisecond?", int64(wrong)), o.field)
		}
	}
	c := validConfig()
	c.Linger = 20
	require.EqualError(t, c.Validate(), `samsa: linger.ms (Config.Linger) = "20ns": `+
		"20 counts nanoseconds, and the shortest duration is 1ms: did you mean 20*time.Millisecond?")
}

func TestDurationsThatMeanNoWaitOrNoBoundStayLegal(t *testing.T) {
	c := validConfig()
	c.Linger, c.MaxBlock, c.PartitionerAvailabilityTimeout, c.MetadataMaxAge, c.MetadataRecoveryRebootstrapTrigger = 0,
		0, 0, 0, 0
	c.RetryBackoff, c.RetryBackoffMax, c.ReconnectBackoff, c.ReconnectBackoffMax = 0, 0, 0, 0
	c.ConnectionsMaxIdle = -1 // the shortest way to write a negative duration
	require.NoError(t, c.Validate())
	c.Linger, c.RequestTimeout = 1500*time.Microsecond, time.Millisecond
	require.NoError(t, c.Validate(), "a duration of 1ms or more may have a fraction")
}

func TestServersAreHostAndPort(t *testing.T) {
	for _, right := range []string{"localhost:9092", "kafka-1.example.com:1", "10.0.0.1:65535", "[::1]:9092",
		"[fe80::1%eth0]:9092", "broker_2:9092", "kafka.:9092", "[::ffff:10.0.0.1]:9092", "[::]:1", "LOCALHOST:09092"} {
		c := DefaultConfig(right)
		require.NoError(t, c.Validate(), right)
	}
	for wrong, why := range map[string]string{
		"":                      "empty",
		"localhost":             "not host:port",
		":9092":                 "no host",
		"localhost:":            "port",
		"localhost:0":           "1 to 65535",
		"localhost:65536":       "1 to 65535",
		"localhost:-1":          "1 to 65535",
		"localhost:kafka":       "1 to 65535",
		"localhost:+92":         "1 to 65535",
		"::1:9092":              "brackets",
		"[::1]":                 "not host:port",
		"[::1":                  "not host:port",
		"[]:9092":               "no IPv6 address",
		"[localhost]:9092":      "no IPv6 address",
		"[10.0.0.1]:9092":       "no IPv6 address",
		"http://localhost:9092": "without http://",
		"SSL://localhost:9092":  "without SSL://",
		"a b:9092":              "no ' '",
		"host/path:9092":        "no '/'",
		"köln:9092":             "no 'ö'",
		" localhost:9092":       "no ' '",
		"a:9092,b:9092":         "one by one",
		"a:9092;b:9092":         `a list with ";" after "a:9092": separate servers with commas`,
		"a:9092; b:9092":        "separate servers with commas",
		"a:9092;":               "separate servers with commas",
		"[::1]:9092;[::2]:9092": "separate servers with commas",
		"a:9092 b:9092":         `a list with " " after "a:9092": separate servers with commas`,
		"a:9092 ":               "1 to 65535",
		"a:9092|b:9092":         "not host:port",
		"a:9092:9093":           "not host:port",
		"1:2:3:4:5:6:7:8:9092":  "write an IPv6 address in brackets",
		"::1":                   "write an IPv6 address in brackets: [::1]:9092",
		"fe80::1%eth0":          "write an IPv6 address in brackets",
		"fe80::1%eth0:9092":     "write an IPv6 address in brackets",
		"2001:db8::1:9092":      "write an IPv6 address in brackets",
		"::ffff:10.0.0.1:9092":  "write an IPv6 address in brackets",
		"PLAINTEXT://a:9092":    "without PLAINTEXT://",
		"SASL_SSL://a:9092":     "without SASL_SSL://",
		"a:9092/":               "1 to 65535",
		"zookeeper:2181/kafka":  "1 to 65535",
		"user@a:9092":           "no '@'",
		"a:9092\n":              "1 to 65535",
		"a\x00:9092":            `no '\x00'`,
		"a\xff:9092":            "no '\ufffd'",
	} {
		c := DefaultConfig("ok:9092", wrong)
		e := configOneError(t, c.Validate())
		require.Equal(t, "BootstrapServers", e.Field, wrong)
		require.Equal(t, "bootstrap.servers", e.Property, wrong)
		require.Equal(t, wrong, e.Value)
		require.Contains(t, e.Problem, why, wrong)
	}
}

// TestServersInAPropertiesFile has the usual mistakes: the server is accepted, or the error names the server and the
// cure.
func TestServersInAPropertiesFile(t *testing.T) {
	for text, want := range map[string][]string{
		"a:9092":                             {"a:9092"},
		" a:9092 , b:9092\t":                 {"a:9092", "b:9092"},
		"a:9092,a:9092":                      {"a:9092", "a:9092"}, // Java warns; Samsa accepts it
		"PLAINTEXT://a:9092,plaintext://b:1": {"a:9092", "b:1"},
		"[::1]:9092,[fe80::1%eth0]:9092":     {"[::1]:9092", "[fe80::1%eth0]:9092"},
		"PLAINTEXT://[::1]:9092":             {"[::1]:9092"},
	} {
		c, err := ParseProperties(propertyMap{"bootstrap.servers": text})
		require.NoError(t, err, text)
		require.Equal(t, want, c.BootstrapServers, text)
		require.NoError(t, c.Validate(), text)
	}
	for text, says := range map[string]string{
		"":                             "name at least one server",
		",":                            "an empty name in the list",
		"a:9092,":                      "an empty name in the list: write host:port, and one comma between two servers",
		"a:9092,,b:9092":               "an empty name in the list",
		"a:9092;b:9092":                `"a:9092;b:9092": a list with ";" after "a:9092": separate servers with commas`,
		"a:9092 b:9092":                "separate servers with commas",
		"a:9092\tb:9092":               "separate servers with commas",
		"PLAINTEXT://a:9092;b:9092":    "separate servers with commas",
		"PLAINTEXT://a:9092,SSL://b:1": `"SSL://b:1": write host:port, without SSL://`,
		"http://a:9092":                `"http://a:9092": write host:port, without http://`,
		"a":                            `"a": not host:port, such as localhost:9092`,
		"::1:9092":                     `"::1:9092": write an IPv6 address in brackets`,
		"[::1]":                        `"[::1]": not host:port: the port is missing`,
		"a:0":                          `"a:0": the port is not in the range 1 to 65535`,
		"a:65536":                      `"a:65536": the port is not in the range 1 to 65535`,
	} {
		_, err := ParseProperties(propertyMap{"bootstrap.servers": text})
		require.ErrorContains(t, err, "bootstrap.servers", text)
		require.ErrorContains(t, err, says, text)
	}
}
