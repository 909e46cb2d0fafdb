// Broker is a Kafka broker for the other examples, on machines without Kafka. It runs until Ctrl-C, and keeps its
// records in memory:
//
//	go -C examples run ./broker                    # in one terminal
//	go -C examples run ./sync                      # in another one
//
// The broker is kfake, a fake Kafka in Go: github.com/twmb/franz-go/pkg/kfake. It creates topics at their first record.
// Use it for trials and tests only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		log.Fatal(err)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("broker", flag.ContinueOnError)
	flags.SetOutput(out)
	port := flags.Int("port", 9092, "TCP `port` on 127.0.0.1; 0 is a free one")
	partitions := flags.Int("partitions", 3, "`number` of partitions of a new topic")
	if err := flags.Parse(args); err != nil {
		return err
	}
	cluster, err := kfake.NewCluster(kfake.Ports(*port), kfake.AllowAutoTopicCreation(),
		kfake.DefaultNumPartitions(*partitions))
	if err != nil {
		return err
	}
	defer cluster.Close()
	fmt.Fprintf(out, "kfake listens on %s until Ctrl-C\n", strings.Join(cluster.ListenAddrs(), ", "))
	<-ctx.Done()
	return nil
}
