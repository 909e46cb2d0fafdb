// Http is a web service that puts posted records into Kafka, and shows the life of a producer in a service: a request's
// context bounds the wait and not the record, a full buffer becomes 503 instead of a growing queue, and a shutdown
// delivers the buffered records.
//
//	go -C examples run ./http -bootstrap localhost:9092
//	curl -i -d 'hello' http://127.0.0.1:8080/records/some-key
//
// Copy this file into a program of your own: its only dependency is package producer. The topic exists, or the brokers
// create it. Without a Kafka, start examples/broker.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/gosamsa/samsa/producer"
)

// maxBody bounds the body of one request; Kafka's own bound, max.request.size, is a little larger.
const maxBody = 1 << 20

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		log.Fatal(err)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("http", flag.ContinueOnError)
	flags.SetOutput(out)
	bootstrap := flags.String("bootstrap", "localhost:9092", "`host:port` of a broker, several with commas between")
	topic := flags.String("topic", "samsa-http", "`name` of the topic")
	listen := flags.String("listen", "127.0.0.1:8080", "`address` to serve on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Serving. Try:\n  curl -i -d 'hello' http://%s/records/some-key\n\nInterrupt it (Ctrl-C) to see it shut down.\n",
		listener.Addr())

	s := service{topic: *topic, answerWithin: 5 * time.Second, stopWithin: 10 * time.Second, out: out}
	s.cfg = producer.DefaultConfig(strings.Split(*bootstrap, ",")...)
	s.cfg.ClientID = "web"
	// Get sends the record's batch without waiting for linger.ms, so linger.ms costs no latency here. With a full
	// buffer, a Send waits for MaxBlock; then the handler answers 503. A long MaxBlock makes the handlers a queue.
	s.cfg.MaxBlock = 250 * time.Millisecond
	s.cfg.Logger = slog.New(slog.NewTextHandler(out, nil))
	return s.serve(ctx, listener)
}

// service is the web service.
type service struct {
	cfg          producer.Config
	topic        string
	answerWithin time.Duration // a request
	stopWithin   time.Duration // the shutdown
	out          io.Writer

	producer *producer.Producer
}

// serve handles requests until ctx ends, then shuts down: first no new requests, then the producer.
func (s *service) serve(ctx context.Context, listener net.Listener) error {
	var err error
	if s.producer, err = producer.New(s.cfg); err != nil {
		return errors.Join(err, listener.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /records/{key}", s.post)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()

	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	left, _ := s.producer.Buffered()
	// Shutdown waits for the handlers, and they wait for their records. A client without a body must not use up the
	// time of Close: Close delivers the records that their handlers gave up.
	for _, stop := range []func(context.Context) error{server.Shutdown, s.producer.Close} {
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.stopWithin)
		err = errors.Join(err, stop(limit))
		cancel()
	}
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	if err == nil {
		fmt.Fprintf(s.out, "Shut down: the last %d records were delivered.\n", left)
	}
	return err
}

// post sends one record and answers when its outcome is known.
func (s *service) post(w http.ResponseWriter, r *http.Request) {
	value, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	// The context ends when the client goes away or the time is over. It ends the waiting in Send and Get. A buffered
	// record is delivered all the same, and so are the others in its batch.
	ctx, cancel := context.WithTimeout(r.Context(), s.answerWithin)
	defer cancel()
	record := &producer.Record{Topic: s.topic, Key: []byte(r.PathValue("key")), Value: value}
	place, err := s.producer.Send(ctx, record, nil).Get(ctx)
	if err != nil {
		code := status(err)
		if code == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "1")
		}
		http.Error(w, err.Error(), code)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// the client may be gone
	_ = json.NewEncoder(w).Encode(map[string]any{"partition": place.Partition, "offset": place.Offset})
}

// status is the fate of a record in HTTP's words.
func status(err error) int {
	switch {
	case producer.Retriable(err):
		// certainly not written; later it may work: the buffer is full, no broker answers, this server stops
		return http.StatusServiceUnavailable
	case errors.Is(err, producer.ErrRecordTooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		// if MaybeWritten, the record is still on its way: posting it again may double it
		return http.StatusGatewayTimeout
	case producer.MaybeWritten(err):
		return http.StatusBadGateway // it may be in the log or not
	}
	return http.StatusInternalServerError // certainly not written, and trying again does not help
}
