// Properties configures a producer from a Java producer's properties file: what is taken from it, what gives way, what is passed over,
// and what is refused.
//
//	go run ./examples/properties                        # a file that works and one that does not, both brought along
//	go run ./examples/properties -file app.properties   # yours
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gosamsa/samsa/examples/internal/lab"
	"github.com/gosamsa/samsa/producer"
)

const about = `Reads a properties file as Java producers have it, says what it thinks of it, and sends one record so.`

//go:embed producer.properties
var working []byte

//go:embed broken.properties
var broken []byte

func main() { lab.Main(run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	flags, bootstrap := lab.Flags("properties", about, out)
	topic := flags.String("topic", "samsa-properties", "`name` of the topic; created if it is not there")
	file := flags.String("file", "", "`path` of a properties file; empty shows two that were brought along")
	if err := lab.Parse(flags, args); err != nil {
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
	if err := errors.Join(os.WriteFile(good, working, 0o600), os.WriteFile(bad, broken, 0o600)); err != nil {
		return err
	}
	fmt.Fprintf(out, "A file that works:\n\n%s\n", indent(string(working)))
	if err := load(ctx, good, *bootstrap, *topic, out); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nA file that does not:\n\n%s\n", indent(string(broken)))
	if _, err = producer.LoadProperties(bad); err == nil {
		return errors.New("the broken file was taken")
	}
	fmt.Fprintf(out, "All that is wrong with it is told at once:\n%s\n", indent(err.Error()))
	return nil
}

// load reads a file, says what came of it, and sends one record with it.
func load(ctx context.Context, file, bootstrap, topic string, out io.Writer) (err error) {
	cfg, err := producer.LoadProperties(file)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "It means: acks %v, idempotence %t, linger %v, batches of %d bytes, compression %v\n",
		cfg.Acks, cfg.EnableIdempotence, cfg.Linger, cfg.BatchSize, cfg.Compression)
	for _, notice := range cfg.Notices() { // New logs them too, to cfg.Logger
		fmt.Fprintln(out, "Notice:", notice)
	}

	l, err := lab.Open(ctx, bootstrap, 1, topic)
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Fprintf(out, "Servers: %s in the file; here %s\n", strings.Join(cfg.Servers, ", "), l.Describe())
	cfg.Servers = l.Servers

	p, err := producer.New(cfg)
	if err != nil {
		return err
	}
	defer func() {
		limit, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = errors.Join(err, p.Close(limit))
	}()
	place, err := p.Send(ctx, &producer.Record{Topic: topic, Value: []byte("hello")}, nil).Get(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Sent: partition %d, offset %d\n", place.Partition, place.Offset)
	return nil
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n    ") + "\n"
}
