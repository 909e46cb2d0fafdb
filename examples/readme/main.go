// Readme is the first program of README.md. Its arguments are the addresses of brokers, which create the topic, or have it already:
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
	defer func() { err = errors.Join(err, p.Close(ctx)) }() // delivers what is buffered

	record := producer.Record{Topic: "greetings", Key: []byte("me"), Value: []byte("hello")}
	metadata, err := p.Send(ctx, &record, nil).Get(ctx) // Get waits until the broker has the record
	if err != nil {
		return err
	}
	fmt.Printf("partition %d, offset %d\n", metadata.Partition, metadata.Offset)
	return nil
}
