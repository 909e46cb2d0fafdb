package producer

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPropertiesOfKafkasOtherClientsAreIgnoredWithAWarning tries every name of the consumer, the admin client, Streams
// and Connect; testdata/options/Others.java documents how the list was made.
func TestPropertiesOfKafkasOtherClientsAreIgnoredWithAWarning(t *testing.T) {
	text, err := os.ReadFile("testdata/options/others.tsv")
	require.NoError(t, err)
	java, ignored := javaOptions(t), 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		client, name, found := strings.Cut(strings.TrimRight(line, "\n"), "\t")
		require.True(t, found, line)
		if _, producers := java[name]; producers || configOptionOf(name) != nil {
			continue // TestEveryJavaPropertyIsKnown has these
		}
		if strings.HasPrefix(name, "ssl.") || strings.HasPrefix(name, "sasl.") {
			requireStaysAnError(t, name)
			continue
		}
		requireIgnored(t, client, name)
		ignored++
	}
	require.Greater(t, ignored, 100)
}

// requireIgnored requires that a property changes nothing, and that the warning and the log name it without its value.
func requireIgnored(t *testing.T, client, name string) {
	t.Helper()
	c, err := ParseProperties(propertyMap{name: "S3cret", "linger.ms": "7"})
	require.NoError(t, err, "%s: %s", client, name)
	want := DefaultConfig()
	want.Linger, want.others, want.ignored = c.Linger, c.others, c.ignored
	require.Equal(t, want, c, name)
	require.Len(t, c.Warnings(), 1, name)
	require.Contains(t, c.Warnings()[0], name)
	require.NotContains(t, c.Warnings()[0], "S3cret")
	if c.ignored != nil {
		return // a producer's property, too; its line has level Info
	}
	var log bytes.Buffer
	c.logNotices(slog.New(slog.NewTextHandler(&log, nil)))
	require.Contains(t, log.String(), "level=WARN")
	require.Contains(t, log.String(), name)
	require.NotContains(t, log.String(), "S3cret")
}

func requireStaysAnError(t *testing.T, name string) {
	t.Helper()
	_, err := ParseProperties(propertyMap{name: "S3cret"})
	require.Equal(t, name, configOneError(t, err).Property)
	require.NotContains(t, err.Error(), "S3cret")
}

func TestPropertiesOfWellKnownCompanionsAreIgnoredWithAWarning(t *testing.T) {
	for _, name := range []string{
		"schema.registry.url", "schema.registry.ssl.truststore.location", "schema.registry.basic.auth.user.info",
		"basic.auth.credentials.source", "basic.auth.user.info", "bearer.auth.token", "auto.register.schemas",
		"use.latest.version", "value.subject.name.strategy", "specific.avro.reader", "avro.use.logical.type.converters",
		"json.fail.invalid.schema", "apicurio.registry.url", "confluent.monitoring.interceptor.bootstrap.servers",
		"confluent.license", "spring.json.trusted.packages", "spring.deserializer.value.delegate.class",
		"consumer.group.id", "admin.request.timeout.ms", "main.consumer.max.poll.records", "restore.consumer.client.id",
		"global.consumer.client.id", "key.converter.schemas.enable", "value.converter.schema.registry.url",
		"listeners.https.ssl.keystore.location", "internal.leave.group.on.close", "default.windowed.key.serde.inner",
	} {
		requireIgnored(t, "companion", name)
	}
}

// TestAFileFromConfluentCloudFailsForItsSecurityAlone: its settings for consumers and schema registries are no error.
func TestAFileFromConfluentCloudFailsForItsSecurityAlone(t *testing.T) {
	file := propertyMap{
		"bootstrap.servers": "pkc-1.eu-central-1.aws.confluent.cloud:9092", "client.dns.lookup": "use_all_dns_ips",
		"session.timeout.ms": "45000", "acks": "all", "client.id": "orders",
		"schema.registry.url":           "https://psrc-1.eu-central-1.aws.confluent.cloud",
		"basic.auth.credentials.source": "USER_INFO",
		"basic.auth.user.info":          "key:S3cret", "security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN",
		"sasl.jaas.config": "org.apache.kafka.common.security.plain.PlainLoginModule required username='k' password='S3cret';",
	}
	_, err := ParseProperties(file)
	var names []string
	for _, e := range configErrors(t, err) {
		names = append(names, e.Property)
	}
	require.Equal(t, []string{"sasl.jaas.config", "sasl.mechanism", "security.protocol"}, names)
	require.NotContains(t, err.Error(), "S3cret")

	for name := range file {
		if strings.HasPrefix(name, "sasl.") || name == "security.protocol" {
			delete(file, name)
		}
	}
	c, err := ParseProperties(file)
	require.NoError(t, err)
	require.Equal(t, []string{"these properties belong to other programs and are ignored: basic.auth.credentials.source (schema registry client), " +
		"basic.auth.user.info (schema registry client), schema.registry.url (schema registry client), session.timeout.ms (consumer)"}, c.Warnings())
}

// TestSettingsOfThisProducerUnderAnotherProgramsNameAreErrors: to ignore them could mean a silent plaintext connection.
func TestSettingsOfThisProducerUnderAnotherProgramsNameAreErrors(t *testing.T) {
	for name, says := range map[string]string{
		"producer.security.protocol":                "without producer.",
		"producer.linger.ms":                        "without producer.",
		"spring.kafka.bootstrap-servers":            "Kafka's own property",
		"spring.kafka.properties.security.protocol": "Kafka's own property",
		"spring.cloud.stream.kafka.binder.brokers":  "Kafka's own property",
	} {
		_, err := ParseProperties(propertyMap{name: "S3cret"})
		e := configOneError(t, err)
		require.Equal(t, name, e.Property)
		require.Contains(t, e.Problem, says)
		require.NotContains(t, err.Error(), "S3cret")
	}
}

func TestAMisspelledNameIsNeverTakenForAnotherProgramsName(t *testing.T) {
	for i := range configOptions {
		own := configOptions[i].property
		for at := range own {
			for _, wrong := range []string{
				own[:at] + own[at+1:],       // a letter is missing
				own[:at] + "x" + own[at:],   // one too many
				own[:at] + "_" + own[at+1:], // another one
				own[:at],                    // the end is missing
				own[:at] + own[at:] + ".ms", // another end
				strings.ToUpper(own),        // another case
				"x." + own, own + ".", own + "s",
			} {
				if configOptionOf(wrong) != nil || configOwnerOf(wrong) == "" {
					continue
				}
				t.Errorf("%s, which is nearly %s, is taken for a property of the %s", wrong, own, configOwnerOf(wrong))
			}
		}
	}
	for name, nearest := range map[string]string{
		"linger.sm": "linger.ms", "request.timeout": "request.timeout.ms", "max.block": "max.block.ms",
		"batch.sizes":       "batch.size",
		"enable.idempotent": "enable.idempotence", "metadata.max.idle": "metadata.max.idle.ms",
		"max.retries": "retries",
		// A misspelled name of another client is an error too: only known names are ignored.
		"session.timout.ms": "session.timeout.ms", "group-id": "group.id", "auto.offset.resett": "auto.offset.reset",
	} {
		_, err := ParseProperties(propertyMap{name: "S3cret"})
		require.Equal(t, "unknown property; the nearest known name is "+nearest, configOneError(t, err).Problem, name)
	}
}

func TestNoNameHasTwoOwners(t *testing.T) {
	seen := map[string]string{}
	for i := range configOthers {
		for name := range strings.FieldsSeq(configOthers[i].names) {
			require.Empty(t, seen[name], name)
			seen[name] = configOthers[i].owner
			require.Equal(t, configOthers[i].owner, configOwnerOf(name), "a prefix before it has %s", name)
			require.Nil(t, configOptionOf(name), name)
			require.NotContains(t, configKnownNames(), name)
			for j := range configAbsent {
				require.False(t, configNameMatches(configAbsent[j].name, name), name)
			}
		}
	}
}
