// Readme is the first program of README.md. Its arguments are the addresses of brokers, which create the topic, or have
// it already:
//
//	go -C examples run ./readme localhost:9092
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	"github.com/gosamsa/samsa/producer"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil { // host:port of one broker or more
		log.Fatal(err)
	}
}

func run(ctx context.Context, servers []string) (err error) {
	cfg := producer.DefaultConfig(servers...)
	cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil)) // nil is slog.Default() for warnings and errors
	p, err := producer.New(cfg)
	if err != nil {
		return err
	}
	defer func() { // Close delivers the buffered records, within its own context
		limit, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = errors.Join(err, p.Close(limit))
	}()
	if err := p.Ping(ctx); err != nil {
		return err // with each server's reason
	}

	record := producer.Record{Topic: "greetings", Key: []byte("me"), Value: []byte("hello")}
	metadata, err := p.SendSync(ctx, &record) // waits until the record is acknowledged or has failed
	if err != nil {
		return err
	}
	fmt.Printf("partition %d, offset %d\n", metadata.Partition, metadata.Offset)
	return nil
}
