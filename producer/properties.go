package producer

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// ParseProperties makes a Config from Kafka's properties, on top of [DefaultConfig]. It distinguishes three kinds of a
// producer's properties:
//
//   - properties of [Config]'s fields set these fields;
//   - other properties of the Java client without a meaning in Samsa, such as metric.reporters, are ignored;
//     [Config.Warnings] names them;
//   - properties of the Java client that request a missing feature, such as security.protocol=SSL, are errors: a
//     producer that should have used TLS never connects without it.
//
// ParseProperties ignores key.serializer and value.serializer if they name Kafka's serializers of bytes and strings.
// Any other serializer, such as a schema registry's KafkaAvroSerializer, is an error: the record's bytes would not have
// the serializer's format.
//
// The names of Kafka's other clients (consumer, admin, Streams, Connect) and of well-known companions, such as group.id
// and schema.registry.url, are ignored too; [Config.Warnings] names them and New logs a warning. Any other name is an
// error, with a hint if a known name is near. An error about a value suggests the likely intention: for "5s" it
// suggests 5000, in milliseconds.
//
// A property in m always keeps its value. If a default contradicts it, ParseProperties changes the default if that is
// safe, and adds a warning. Values of acks, retries or max.in.flight.requests.per.connection can turn idempotence off,
// unless m has enable.idempotence. delivery.timeout.ms grows to the sum of linger.ms and request.timeout.ms; batch.size
// shrinks to max.request.size and buffer.memory; a backoff or timeout and its .max become equal. Two properties in m
// that contradict each other are an error.
//
// The error joins a *[ConfigError] for each problem. bootstrap.servers may be missing: set Config.BootstrapServers
// before New then. For a file, [LoadProperties] gives errors with the line.
func ParseProperties(m map[string]string) (Config, error) {
	c, problems := configFromProperties(m, nil)
	return c, problems.err()
}

// LoadProperties reads a file with Java's syntax for properties, in UTF-8, and makes a Config of it as
// [ParseProperties] does. Each [ConfigError] has the file and the line, in the order of the file. As in Java, the last
// of several lines with one name counts; a warning names the lines if their values differ.
func LoadProperties(path string) (Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("samsa: properties: %w", err)
	}
	file := configParseJavaProperties(string(text))
	c, problems := configFromProperties(file.values, file.unread)
	if problems = append(file.problems, problems...); len(problems) > 0 {
		for _, e := range problems {
			e.File = path
			if e.Line == 0 {
				e.Line = file.lines[e.Property]
			}
		}
		slices.SortStableFunc(problems, func(a, b *ConfigError) int { return a.Line - b.Line })
		return Config{}, problems
	}
	c.adjusted = append(file.notices(path), c.adjusted...)
	return c, nil
}

// configFromProperties makes a Config, or returns the problems. unread has the properties with an unreadable value.
func configFromProperties(m map[string]string, unread map[string]bool) (Config, configProblems) {
	c := DefaultConfig()
	var problems configProblems
	blamed := map[string]bool{}
	written := map[string]bool{}
	for name := range unread {
		if o := configOptionOf(name); o != nil {
			written[o.field], blamed[o.field] = true, true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if o := configOptionOf(name); o != nil {
			written[o.field] = true
			if e := configSetProperty(o, &c, m[name]); e != nil {
				blamed[o.field] = true
				problems = append(problems, e)
			}
			continue
		}
		ignored, e := configForeignProperty(name, m[name])
		switch {
		case e != nil:
			problems = append(problems, e)
		case ignored && configOwnerOf(name) != "":
			c.others = append(c.others, name)
		case ignored:
			c.ignored = append(c.ignored, name)
		}
	}
	configGiveWay(&c, written, blamed)
	if !written["BootstrapServers"] {
		blamed["BootstrapServers"] = true // the user may set the field later
	}
	problems = append(problems, c.problems(blamed)...)
	if len(problems) > 0 {
		return Config{}, problems
	}
	return c, nil
}

// configSetProperty sets one option of the table. In Java's files a server may have a protocol: PLAINTEXT://host:port.
func configSetProperty(o *configOption, c *Config, text string) *ConfigError {
	if e := o.set(c, text); e != nil {
		return e
	}
	if o.field != "BootstrapServers" {
		return nil
	}
	const plain = "PLAINTEXT://"
	for i, server := range c.BootstrapServers {
		if len(server) >= len(plain) && strings.EqualFold(server[:len(plain)], plain) {
			c.BootstrapServers[i] = server[len(plain):]
		}
	}
	return nil
}

// configIgnored are Java's properties without a meaning here. A name with a dot at its end is a prefix.
var configIgnored = [...]string{
	"auto.include.jmx.reporter",
	"bootstrap.resolve.timeout.ms",
	"buffer.memory.allocation.strategy",
	"client.rack",
	"enable.metrics.push",
	"key.serializer",
	"metadata.cluster.check.enable",
	"metric.reporters",
	"metrics.context.",
	"metrics.jmx.",
	"metrics.num.samples",
	"metrics.recording.level",
	"metrics.sample.window.ms",
	"transaction.timeout.ms",
	"value.serializer",
}

// configAbsent are Java's properties for missing features. A name with a dot at its end is a prefix.
var configAbsent = [...]struct {
	name    string
	allowed string // the harmless value, in lower case; with none, any value is an error
	empty   bool   // an empty value is harmless, too
	problem string
}{
	{name: "client.dns.lookup", allowed: "use_all_dns_ips",
		problem: "only use_all_dns_ips is supported: all addresses of a name are tried"},
	{name: "config.providers", empty: true,
		problem: "config providers are not supported: put the values themselves into the properties"},
	{name: "config.providers.", problem: "config providers are not supported: put the values themselves into the properties"},
	{name: "interceptor.classes", empty: true,
		problem: "Java classes cannot be loaded: remove it and set Config.Interceptors"},
	{name: "partitioner.class", problem: "Java classes cannot be loaded: remove it, and set Config.Partitioner if the built-in partitioner is not wanted"},
	{name: "partitioner.rack.aware", allowed: "false",
		problem: "rack-aware partitioning is not supported yet: remove it"},
	{name: "producer.", problem: "a prefix of Kafka Connect and Streams: write the property without producer."},
	{name: "sasl.", problem: "SASL is not supported yet: this producer only connects without authentication"},
	{name: "security.protocol", allowed: "plaintext",
		problem: "only PLAINTEXT is supported yet: this producer connects without TLS and without authentication; for TLS, remove it and set Config.Dialer"},
	{name: "security.providers", problem: "Java security providers cannot be loaded: remove it"},
	{name: "spring.cloud.stream.", problem: "a property of Spring: write Kafka's own property instead, such as acks"},
	{name: "spring.kafka.", problem: "a property of Spring: write Kafka's own property instead, such as acks"},
	{name: "ssl.", problem: "TLS is not supported yet: this producer only connects in plaintext; for TLS, remove it and set Config.Dialer"},
	{name: "transaction.two.phase.commit.enable", allowed: "false",
		problem: "transactions are not supported yet: remove it"},
	{name: "transactional.id", problem: "transactions are not supported yet: remove it"},
}

// configForeignProperty judges a property outside the table.
func configForeignProperty(name, value string) (ignored bool, problem *ConfigError) {
	switch {
	case name == "":
		return false, &ConfigError{Problem: "a line without a name before its = or :"}
	case name[0] == ';', strings.HasPrefix(name, "//"):
		return false, &ConfigError{Property: name, Problem: "not a property: a comment starts with #"}
	case name == "key.serializer", name == "value.serializer":
		problem = configSerializerProblem(name, value)
		return problem == nil, problem
	}
	for i := range configAbsent {
		a := &configAbsent[i]
		if !configNameMatches(a.name, name) {
			continue
		}
		value = strings.ToLower(configTrim(value))
		if a.allowed != "" && value == a.allowed || a.empty && value == "" {
			return false, nil
		}
		return false, &ConfigError{Property: name, Problem: a.problem}
	}
	for _, known := range configIgnored {
		if configNameMatches(known, name) {
			return true, nil
		}
	}
	if configOwnerOf(name) != "" {
		return true, nil
	}
	if near := configNearest(name); near != "" {
		return false, &ConfigError{Property: name, Problem: "unknown property; the nearest known name is " + near}
	}
	return false, &ConfigError{Property: name, Problem: "unknown property: remove it, or check its name"}
}

func configNameMatches(known, name string) bool {
	if strings.HasSuffix(known, ".") {
		return strings.HasPrefix(name, known)
	}
	return known == name
}

func configIgnoredNotice(names []string) string {
	return "these Java properties mean nothing here and are passed over: " + strings.Join(names, ", ")
}
