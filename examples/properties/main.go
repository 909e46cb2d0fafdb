// Properties configures a producer from the properties file of a Java producer. It shows the properties that apply, are
// adjusted, are ignored, or are errors.
//
//	go -C examples run ./properties -bootstrap localhost:9092                        # two files that the program brings
//	go -C examples run ./properties -bootstrap '' -file /path/to/producer.properties # your file, with its bootstrap.servers
//
// Copy this file into a program of your own: its only dependency is package producer. The topic exists, or the brokers
// create it. Without a Kafka, start examples/broker.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gosamsa/samsa/producer"
)

// working is the file of a Java producer.
const working = `# A Java producer's file, as it is.
bootstrap.servers=kafka-1:9092,kafka-2:9092
key.serializer=org.apache.kafka.common.serialization.StringSerializer
value.serializer=org.apache.kafka.common.serialization.StringSerializer
client.id=orders
acks=1
linger.ms=20
batch.size=65536
compression.type=zstd
`

// broken has no usable property.
const broken = `# Every property of this file is an error.
bootstrap.servers=kafka-1
acks=2
linger=5
request.timeout.ms=30000
delivery.timeout.ms=1000
security.protocol=SSL
transactional.id=orders-1
`

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		log.Fatal(err)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("properties", flag.ContinueOnError)
	flags.SetOutput(out)
	bootstrap := flags.String("bootstrap", "localhost:9092",
		"`host:port` of a broker, several with commas between; empty uses the servers of the file")
	topic := flags.String("topic", "samsa-properties", "`name` of the topic")
	file := flags.String("file", "", "`path` of a properties file; empty shows two that the program brings")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *file != "" {
		return load(ctx, *file, *bootstrap, *topic, out)
	}

	dir, err := os.MkdirTemp("", "samsa-properties-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	good, bad := filepath.Join(dir, "producer.properties"), filepath.Join(dir, "broken.properties")
	if err := errors.Join(os.WriteFile(good, []byte(working), 0o600),
		os.WriteFile(bad, []byte(broken), 0o600)); err != nil {
		return err
	}
	fmt.Fprintf(out, "A file that works:\n\n%s\n", indent(working))
	if err := load(ctx, good, *bootstrap, *topic, out); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nA file that does not:\n\n%s\n", indent(broken))
	if _, err = producer.LoadProperties(bad); err == nil {
		return errors.New("LoadProperties accepts the broken file")
	}
	fmt.Fprintf(out, "LoadProperties reports every problem at once:\n%s\n", indent(err.Error()))
	return nil
}

// load reads a file, prints the configuration, and sends one record with it.
func load(ctx context.Context, file, bootstrap, topic string, out io.Writer) (err error) {
	cfg, err := producer.LoadProperties(file)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "The configuration: acks %v, idempotence %t, linger %v, batches of %d bytes, compression %v\n",
		cfg.Acks, cfg.EnableIdempotence, cfg.Linger, cfg.BatchSize, cfg.Compression)
	for _, notice := range cfg.Warnings() { // New logs the notices, too
		fmt.Fprintln(out, "Notice:", notice)
	}
	if bootstrap != "" {
		fmt.Fprintf(out, "BootstrapServers: %s in the file, replaced by %s (-bootstrap)\n",
			strings.Join(cfg.BootstrapServers, ", "), bootstrap)
		cfg.BootstrapServers = strings.Split(bootstrap, ",")
	}
	cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	p, err := producer.New(cfg)
	if err != nil {
		return err
	}
	defer func() {
		limit, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = errors.Join(err, p.Close(limit))
	}()
	metadata, err := p.Send(ctx, &producer.Record{Topic: topic, Value: []byte("hello")}, nil).Get(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Sent: partition %d, offset %d\n", metadata.Partition, metadata.Offset)
	return nil
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n    ") + "\n"
}
