package producer

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnErrorOfSeveralProblemsNamesSamsaOnce(t *testing.T) {
	c := validConfig()
	c.Acks, c.Retries = 7, -1
	require.EqualError(t, c.Validate(), `samsa: acks (Config.Acks) = "7": not in the range all, -1, 0, 1
retries (Config.Retries) = "-1": not in the range 0 to 2147483647`)

	_, err := ParseProperties(propertyMap{"acks": "7", "ssl.protocol": "TLS", "no.such.thing": "x"})
	require.Equal(t, 1, strings.Count(err.Error(), "samsa:"), err)
	require.Len(t, configErrors(t, err), 3)

	_, err = loadText(t, "acks=7\nb=\\u12\nretries=x")
	require.Equal(t, 1, strings.Count(err.Error(), "samsa:"), err)
	_, err = LoadProperties("no such file")
	require.Equal(t, 1, strings.Count(err.Error(), "samsa:"), err)
}

// loadText loads a file with a text, as producer.properties in the current directory.
func loadText(t *testing.T, text string) (Config, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("producer.properties", []byte(text), 0o600))
	return LoadProperties("producer.properties")
}

// TestEachProblemOfAFileHasItsLine covers every way to end a line, continued lines, and errors of syntax, value, name
// and rule.
func TestEachProblemOfAFileHasItsLine(t *testing.T) {
	lines := []string{
		"# a comment",
		`acks=2`,
		``,
		`bootstrap.servers=a:9092,\`,
		`  b`,
		`batch.size=2000000`,
		`client.id=C:\users`,
		`security.protocol=SSL`,
		`linger_ms=5`,
		`request.timeout.ms=1000`,
		`delivery.timeout.ms=900`,
	}
	want := []int{2, 4, 6, 7, 8, 9, 11}
	for _, end := range []string{"\n", "\r\n", "\r"} {
		_, err := loadText(t, strings.Join(lines, end))
		var got []int
		for _, e := range configErrors(t, err) {
			require.Equal(t, "producer.properties", e.File)
			require.Contains(t, err.Error(), "producer.properties:"+strconv.Itoa(e.Line)+": ")
			got = append(got, e.Line)
		}
		require.Equal(t, want, got, "in the order of the file: %v", err)
	}
	_, err := loadText(t, strings.Join(lines[:5], "\n"))
	require.EqualError(t, err, `samsa: producer.properties:2: acks (Config.Acks) = "2": not in the range all, -1, 0, 1
producer.properties:4: bootstrap.servers (Config.BootstrapServers) = "b": not host:port, such as localhost:9092`)

	path := filepath.Join(t.TempDir(), "other.properties")
	require.NoError(t, os.WriteFile(path, []byte("linger.ms=x"), 0o600))
	_, err = LoadProperties(path)
	require.ErrorContains(t, err, "samsa: "+path+":1: linger.ms ", "the path is the one that the user gave")
}

// TestTheLastLineOfANameGetsTheBlame: as in Java, the last line counts.
func TestTheLastLineOfANameGetsTheBlame(t *testing.T) {
	_, err := loadText(t, "acks=1\nretries=3\nacks=x\n")
	require.Equal(t, 3, configOneError(t, err).Line)
	_, err = loadText(t, "acks=x\nacks=\\u1\nacks=1\n")
	require.Equal(t, 2, configOneError(t, err).Line, "of the earlier lines, only the syntax matters")
}

// TestANameThatStandsTwiceIsANotice: Java takes the last value in silence. The notice shows no value: it may be a
// secret.
func TestANameThatStandsTwiceIsANotice(t *testing.T) {
	c, err := loadText(t, "acks=1\nclient.id=x\nacks=all\nclient.id=x\nbasic.auth.user.info=S3cret\nbasic.auth.user.info=S3cret2\nacks=all\n")
	require.NoError(t, err)
	require.Equal(t, AcksAll, c.Acks)
	require.Equal(t, []string{
		"producer.properties:3: acks replaces another value in line 1",
		"producer.properties:6: basic.auth.user.info replaces another value in line 5",
	}, c.Warnings()[:2])
	require.NotContains(t, strings.Join(c.Warnings(), ""), "S3cret")
}

func TestSyntaxThatIsNotJavasNamesTheCure(t *testing.T) {
	for text, says := range map[string]string{
		"client.id=C:\\users":         `producer.properties:1: client.id: \u needs four hexadecimal digits; write a backslash as \\`,
		"a\\u12=b":                    `producer.properties:1: \u needs four hexadecimal digits; write a backslash as \\`,
		"acks=1\nclient.id=caf\xe9":   `producer.properties:2: client.id: not UTF-8: save the file as UTF-8, or write the character as \uXXXX`,
		"\xff\xfea\x00c\x00":          "producer.properties: the file is UTF-16: save it as UTF-8",
		"\xfe\xff\x00a\x00\n\x00c":    "producer.properties: the file is UTF-16: save it as UTF-8",
		"=5":                          "producer.properties:1: a line without a name before its = or :",
		"; linger":                    `producer.properties:1: ;: not a property: a comment starts with #`,
		"acks=1\n// linger":           "producer.properties:2: //: not a property: a comment starts with #",
		"acks=1\n--- # YAML\nacks: 1": "producer.properties:2: ---: unknown property",
	} {
		_, err := loadText(t, text)
		require.Len(t, configErrors(t, err), 1, "%q: %v", text, err)
		require.ErrorContains(t, err, says, "%q", text)
	}
}

// TestANameThatIsNearNoKnownOneGetsNoHint: a wrong hint sends the reader the wrong way.
func TestANameThatIsNearNoKnownOneGetsNoHint(t *testing.T) {
	for _, name := range []string{
		"foo", "x", "subject", "topics", "user", "tasks", "ms", "max", "export", "[kafka]", "{", "database.url",
		"max.poll", "log.level",
		"server.port", "my.own.setting", "schema.compatibility.level", "records.per.second", "kafka.security",
		"producer",
		"spring.application.name", "\u00fcber", strings.Repeat("x", 1000000),
	} {
		_, err := ParseProperties(propertyMap{name: "S3cret"})
		e := configOneError(t, err)
		require.Equal(t, name, e.Property)
		require.Equal(t, "unknown property: remove it, or check its name", e.Problem, shorten(name))
		require.NotContains(t, err.Error(), "S3cret")
		require.Less(t, len(err.Error()), 300)
	}
}

func TestANameThatIsNearAKnownOneGetsAHint(t *testing.T) {
	for name, near := range map[string]string{
		"retrys": "retries", "lingr.m": "linger.ms", "linger.seconds": "", "clientid": "client.id",
		"batchsize": "batch.size",
		`"acks"`:    "acks", "acks\u00a0": "acks", "kafka.linger.ms": "linger.ms",
		"orders.bootstrap.servers": "bootstrap.servers",
		"idempotence":              "enable.idempotence", "memory": "", "timeout.ms": "",
		// Config's fields
		"MaxInFlight": "max.in.flight.requests.per.connection", "BootstrapServers": "bootstrap.servers",
		"MaxBlock": "max.block.ms",
	} {
		_, err := ParseProperties(propertyMap{name: "S3cret"})
		want := "unknown property; the nearest known name is " + near
		if near == "" {
			want = "unknown property: remove it, or check its name"
		}
		require.Equal(t, want, configOneError(t, err).Problem, name)
	}
	_, err := ParseProperties(propertyMap{"acks\u00a0": "all"})
	require.EqualError(t, err, `samsa: "acks\u00a0": unknown property; the nearest known name is acks`,
		"odd letters are visible")
}

// TestAValueWithAUsualSlipIsAnErrorWithTheCure: the value is refused as in Java, and the error suggests the most likely
// meaning.
func TestAValueWithAUsualSlipIsAnErrorWithTheCure(t *testing.T) {
	const (
		quotes  = "write it without quotes"
		comment = "a comment needs a line of its own"
		holder  = "a placeholder stays as it is here: write the value itself"
	)
	for _, tc := range []struct{ property, value, says string }{
		// a unit
		{"linger.ms", "5ms", "did you mean 5?"},
		{"linger.ms", "5 ms", "did you mean 5?"},
		{"max.block.ms", "5s", "did you mean 5000?"},
		{"max.block.ms", "1m30s", "did you mean 90000?"},
		{"request.timeout.ms", "30 seconds", "did you mean 30000?"},
		{"metadata.max.age.ms", "5min", "did you mean 300000?"},
		{"connections.max.idle.ms", "1h", "did you mean 3600000?"},
		{"max.block.ms", "1.5s", "did you mean 1500?"},
		{"linger.ms", "0.5s", "did you mean 500?"},
		{"linger.ms", "0ms", "did you mean 0?"},
		{"batch.size", "16KB", "did you mean 16384?"},
		{"batch.size", "16k", "did you mean 16384?"},
		{"buffer.memory", "32 MiB", "did you mean 33554432?"},
		{"buffer.memory", "1g", "did you mean 1073741824?"},
		{"max.request.size", "1000 bytes", "did you mean 1000?"},
		{"send.buffer.bytes", "128kb", "did you mean 131072?"},
		// a number in another notation
		{"batch.size", "16,384", "did you mean 16384?"},
		{"batch.size", "16_384", "did you mean 16384?"},
		{"batch.size", "16 384", "did you mean 16384?"},
		{"retries", "3.0", "did you mean 3?"},
		{"retries", "1e3", "did you mean 1000?"},
		{"retries", "0x10", "did you mean 16?"},
		{"retries", "Integer.MAX_VALUE", "did you mean 2147483647?"},
		{"max.block.ms", "Long.MAX_VALUE", "did you mean 9223372036854775807?"},
		// a word in another spelling
		{"enable.idempotence", "yes", "did you mean true?"},
		{"enable.idempotence", "On", "did you mean true?"},
		{"enable.idempotence", "1", "did you mean true?"},
		{"enable.idempotence", "0", "did you mean false?"},
		{"enable.idempotence", "nein", "did you mean false?"},
		{"partitioner.ignore.keys", "vrai", "did you mean true?"},
		{"partitioner.ignore.keys", "flase", "did you mean false?"},
		{"acks", "ALL", "did you mean all?"},
		{"acks", "leader", "did you mean 1?"},
		{"acks", "none", "did you mean 0?"},
		{"compression.type", "GZIP", "did you mean gzip?"},
		{"compression.type", "zst", "did you mean zstd?"},
		{"metadata.recovery.strategy", "re-bootstrap", "did you mean rebootstrap?"},
		// from another syntax
		{"acks", `"all"`, quotes + ": did you mean all?"},
		{"linger.ms", "'5'", quotes + ": did you mean 5?"},
		{"linger.ms", "5 # for throughput", comment + ": did you mean 5?"},
		{"linger.ms", "5s # for throughput", comment + ": did you mean 5000?"},
		{"acks", "all;", "did you mean all?"},
		{"acks", "all,", "did you mean all?"},
		{"linger.ms", "${LINGER}", holder},
		{"acks", "${env:ACKS:all}", holder},
		{"bootstrap.servers", "${KAFKA}", holder},
		{"bootstrap.servers", `"a:9092"`, quotes},
		{"bootstrap.servers", "a:9092 # the first", comment},
		// no value at all
		{"linger.ms", "", "write a value, or remove the property for its default, 5"},
		{"acks", " ", "write a value, or remove the property for its default, all"},
	} {
		text := tc.property + " = " + tc.value
		_, err := ParseProperties(propertyMap{tc.property: tc.value})
		e := configOneError(t, err)
		require.True(t, strings.HasSuffix(e.Problem, ": "+tc.says) || e.Problem == tc.says, "%s: %v", text, err)
		require.Equal(t, strings.TrimSpace(tc.value), e.Value, text)

		_, err = loadText(t, "# a comment\r\n"+text+"\r\n")
		require.ErrorContains(t, err, "samsa: producer.properties:2: "+tc.property+" (Config.", text)
		require.ErrorContains(t, err, tc.says, text)
	}
}

// TestASlipWithoutAClearMeaningGetsNoGuess: an error suggests only values that the property accepts.
func TestASlipWithoutAClearMeaningGetsNoGuess(t *testing.T) {
	for property, values := range map[string][]string{
		"linger.ms": {"-1", "1.5", "soon", "5x", "5KB", "99999999999999999999", "1e300", "inf", "NaN",
			"5us", "1.0005s", "s", "-5s", "1,5"},
		"retries":                 {"five", "5s", "5k", "-1", "2147483648", "never"},
		"batch.size":              {"16KX", "5s", "4g", "1,23", "KB"},
		"metadata.max.idle.ms":    {"4s", "1000"},
		"acks":                    {"2", "-2", "some", "quorum"},
		"compression.type":        {"brotli", "7"},
		"partitioner.ignore.keys": {"perhaps", "2", "-1"},
		"client.id":               {"a\x00b"},
	} {
		for _, value := range values {
			_, err := ParseProperties(propertyMap{property: value})
			e := configOneError(t, err)
			require.NotContains(t, e.Problem, "did you mean", "%s=%s", property, value)
			require.Contains(t, e.Problem, configOptionOf(property).rangeText())
		}
	}
}

// TestSpacesAndLineEndsAroundAValueDoNotMatter: Java trims values too.
func TestSpacesAndLineEndsAroundAValueDoNotMatter(t *testing.T) {
	for _, end := range []string{"\n", "\r\n", "\r"} {
		c, err := loadText(t, strings.Join([]string{"bootstrap.servers = a:9092 ", "linger.ms = 7\t ", "acks=all  ",
			"client.id=x  ", ""}, end))
		require.NoError(t, err)
		want := DefaultConfig("a:9092")
		want.Linger, want.ClientID = 7_000_000, "x"
		require.Equal(t, want, c)
	}
}
