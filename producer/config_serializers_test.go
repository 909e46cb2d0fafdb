package producer

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestASerializerThatSendsTheRecordsBytesIsPassedOver(t *testing.T) {
	for _, class := range []string{
		"", "org.apache.kafka.common.serialization.StringSerializer",
		"org.apache.kafka.common.serialization.ByteArraySerializer",
		" org.apache.kafka.common.serialization.ByteBufferSerializer ",
		"org.apache.kafka.common.serialization.BytesSerializer",
		"org.apache.kafka.common.serialization.VoidSerializer",
	} {
		for _, name := range []string{"key.serializer", "value.serializer"} {
			c, err := ParseProperties(propertyMap{name: class})
			require.NoError(t, err, class)
			require.Equal(t, []string{"these Java properties mean nothing here and are passed over: " + name},
				c.Warnings())
		}
	}
}

// TestASerializerWithAFormatOfItsOwnIsAnError: the bytes of a record would not have the format that its readers expect.
func TestASerializerWithAFormatOfItsOwnIsAnError(t *testing.T) {
	const (
		confluent = "a schema registry's serializer adds a schema id, and this producer sends Record.%s as it is: " +
			"encode it with a Go client of the registry, and leave %s out"
		number = "this producer sends Record.%s as it is: encode it as Java's %s does (big-endian, encoding/binary), and leave %s out"
		custom = "Java classes cannot be loaded, and this producer sends Record.%s as it is: encode it as the class does, and leave %s out"
	)
	for class, format := range map[string]string{
		"io.confluent.kafka.serializers.KafkaAvroSerializer":                                  confluent,
		"io.confluent.kafka.serializers.json.KafkaJsonSchemaSerializer":                       confluent,
		"io.confluent.kafka.serializers.protobuf.KafkaProtobufSerializer":                     confluent,
		"io.confluent.kafka.streams.serdes.avro.SpecificAvroSerializer":                       confluent,
		"com.amazonaws.services.schemaregistry.serializers.GlueSchemaRegistryKafkaSerializer": confluent,
		"io.apicurio.registry.serde.avro.AvroKafkaSerializer":                                 confluent,
		"io.apicurio.registry.utils.serde.AvroKafkaSerializer":                                confluent,
		"com.microsoft.azure.schemaregistry.kafka.avro.KafkaAvroSerializer":                   confluent,
		"com.hortonworks.registries.schemaregistry.serdes.avro.kafka.KafkaAvroSerializer":     confluent,
		"org.apache.kafka.common.serialization.LongSerializer":                                number,
		"org.apache.kafka.common.serialization.IntegerSerializer":                             number,
		"org.apache.kafka.common.serialization.DoubleSerializer":                              number,
		"org.apache.kafka.common.serialization.UUIDSerializer":                                custom,
		"org.apache.kafka.common.serialization.ListSerializer":                                custom,
		"io.confluent.kafka.serializers.KafkaJsonSerializer":                                  custom,
		"org.springframework.kafka.support.serializer.JsonSerializer":                         custom,
		"com.example.OrderSerializer":                                                         custom,
		"StringSerializer":                                                                    custom,
	} {
		for name, field := range map[string]string{"key.serializer": "Key", "value.serializer": "Value"} {
			_, err := ParseProperties(propertyMap{name: class})
			e := configOneError(t, err)
			require.Equal(t, name, e.Property)
			require.Equal(t, class, e.Value)
			args := []any{field, name}
			if format == number {
				args = []any{field, class[strings.LastIndex(class, ".")+1:], name}
			}
			require.Equal(t, fmt.Sprintf(format, args...), e.Problem)
		}
	}
}
