package producer

import (
	"fmt"
	"slices"
	"strings"
)

// configPlainSerializers are the serializers that write bytes or text unchanged, as this producer does with Record.Key
// and Record.Value.
var configPlainSerializers = []string{
	"ByteArraySerializer", "ByteBufferSerializer", "BytesSerializer", "StringSerializer", "VoidSerializer",
}

// configNumberSerializers are the serializers of numbers, big-endian in Java.
var configNumberSerializers = []string{
	"DoubleSerializer", "FloatSerializer", "IntegerSerializer", "LongSerializer", "ShortSerializer",
}

// configRegistrySerializers are the packages of serializers with a schema id in the data or the headers, in lower case.
var configRegistrySerializers = []string{
	"com.amazonaws.services.schemaregistry.",
	"com.hortonworks.registries.",
	"com.microsoft.azure.schemaregistry.",
	"io.apicurio.registry.",
	"io.confluent.kafka.serializers.",
	"io.confluent.kafka.streams.serdes.",
}

// configSerializerProblem judges a Java serializer. This producer sends a record's bytes as they are: readers of
// another serializer's format could not read them.
func configSerializerProblem(property, class string) *ConfigError {
	class = configTrim(class)
	field := "Key"
	if property == "value.serializer" {
		field = "Value"
	}
	kafkas, isKafkas := strings.CutPrefix(class, "org.apache.kafka.common.serialization.")
	cure := ""
	switch {
	case class == "", isKafkas && slices.Contains(configPlainSerializers, kafkas):
		return nil
	case isKafkas && slices.Contains(configNumberSerializers, kafkas):
		cure = fmt.Sprintf("this producer sends Record.%s as it is: encode it as Java's %s does (big-endian, encoding/binary)", field, kafkas)
	case configIsRegistrySerializer(class):
		cure = fmt.Sprintf("a schema registry's serializer adds a schema id, and this producer sends Record.%s as it is: "+
			"encode it with a Go client of the registry", field)
	default:
		cure = fmt.Sprintf("Java classes cannot be loaded, and this producer sends Record.%s as it is: encode it as the class does", field)
	}
	return &ConfigError{Property: property, Value: class, Problem: cure + ", and leave " + property + " out"}
}

func configIsRegistrySerializer(class string) bool {
	if class == "io.confluent.kafka.serializers.KafkaJsonSerializer" {
		return false // plain JSON
	}
	return slices.ContainsFunc(configRegistrySerializers,
		func(p string) bool { return strings.HasPrefix(strings.ToLower(class), p) })
}
