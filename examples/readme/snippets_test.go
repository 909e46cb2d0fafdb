package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"testing"
	"time"

	"github.com/gosamsa/samsa/examples/internal/lab"
	"github.com/gosamsa/samsa/producer"
	"github.com/stretchr/testify/require"
)

// The README's shorter pieces of code. What stands between "// README" and "// end" is there word for word.

func open(t *testing.T, topics ...string) (*lab.Lab, *producer.Producer) {
	t.Helper()
	l, err := lab.Open(t.Context(), 3, topics...)
	require.NoError(t, err)
	t.Cleanup(l.Close)
	p, err := producer.New(producer.DefaultConfig(l.Servers...))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close(context.WithoutCancel(t.Context()))) })
	return l, p
}

func requireRead(t *testing.T, l *lab.Lab, topic string, count int) {
	t.Helper()
	read, err := l.ReadBack(t.Context(), topic, count)
	require.NoError(t, err)
	require.Len(t, read, count)
}

func TestReadmeSendsWithoutWaiting(t *testing.T) {
	l, p := open(t, "clicks")
	ctx := t.Context()
	// README
	record := producer.Record{Topic: "clicks"}
	for i := range 1000 {
		record.Key = fmt.Appendf(record.Key[:0], "user-%d", i%10)
		record.Value = fmt.Appendf(record.Value[:0], `{"page":%d}`, i)
		p.Send(ctx, &record, func(_ producer.Metadata, err error) {
			if err != nil {
				log.Print(err)
			}
		})
	}
	err := p.Flush(ctx) // now each has its outcome, and its callback has returned
	// end
	require.NoError(t, err)
	requireRead(t, l, "clicks", 1000)
}

func TestReadmeSendsASlice(t *testing.T) {
	l, p := open(t, "slices")
	ctx := t.Context()
	records := make([]producer.Record, 300)
	for i := range records {
		records[i] = producer.Record{Topic: "slices", Value: []byte("value")}
	}
	// README
	for i, future := range p.SendAll(ctx, records) {
		if _, err := future.Get(ctx); err != nil {
			log.Printf("record %d: %v", i, err)
		}
	}
	// end
	requireRead(t, l, "slices", 300)
}

func TestReadmeTellsWhatBecameOfARecord(t *testing.T) {
	_, p := open(t, "fates")
	tell := func(ctx context.Context, record *producer.Record) (next string) {
		// README
		_, err := p.Send(ctx, record, nil).Get(ctx)
		switch producer.FateOf(err) {
		case producer.FateAcknowledged:
			next = "done"
		case producer.FateNotWritten:
			next = "send it again, now or after a restart"
		case producer.FateRejected:
			next = "put it into the reject file: it would be refused again"
		case producer.FateMaybeWritten:
			next = "decide: sent again, it may be in the log twice"
		}
		// end
		return next
	}
	require.Equal(t, "done", tell(t.Context(), &producer.Record{Topic: "fates"}))
	require.Contains(t, tell(t.Context(), &producer.Record{Topic: "no topic"}), "reject file")
}

func TestReadmeShutsDown(t *testing.T) {
	_, p := open(t, "last")
	p.Send(t.Context(), &producer.Record{Topic: "last"}, nil)
	// README
	limit, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := p.Close(limit); err != nil {
		log.Print(err)
	}
	// end
	records, bytes := p.Buffered()
	require.Zero(t, records)
	require.Zero(t, bytes)
}

func TestReadmeIsTunedForThroughput(t *testing.T) {
	l, _ := open(t, "many")
	servers := l.Servers
	// README
	cfg := producer.DefaultConfig(servers...)
	cfg.BatchSize = 1_000_000
	cfg.Linger = 10 * time.Millisecond // how long a batch that is not full waits
	cfg.MaxRequestSize = 16 << 20      // for batches of several partitions
	cfg.MaxInFlight = 2                // larger requests; to brokers that are far away leave the default
	// end
	require.Empty(t, cfg.Notices())
	p, err := producer.New(cfg)
	require.NoError(t, err)
	for range 3000 {
		p.Send(t.Context(), &producer.Record{Topic: "many", Value: make([]byte, 1000)}, nil)
	}
	require.NoError(t, p.Close(t.Context()))
	requireRead(t, l, "many", 3000)
}

func TestReadmeLoadsProperties(t *testing.T) {
	text := blocks(t, "properties")
	require.Len(t, text, 1)
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("producer.properties", []byte(text[0]), 0o600))
	// README
	cfg, err := producer.LoadProperties("producer.properties")
	if err != nil {
		log.Fatal(err) // all that is wrong with the file, at once
	}
	for _, notice := range cfg.Notices() {
		log.Print(notice) // here: key.serializer means nothing in Go and is passed over
	}
	// end
	require.Equal(t, producer.CompressionZstd, cfg.Compression)
	require.Equal(t, 20*time.Millisecond, cfg.Linger)
	require.Len(t, cfg.Notices(), 1)
	require.Contains(t, cfg.Notices()[0], "key.serializer")
}

func TestReadmeChoosesAProfile(t *testing.T) {
	l, _ := open(t, "any")
	servers := l.Servers
	// README
	cfg := producer.DefaultConfig(servers...) // safe
	cfg.Acks = producer.AcksLeader            // balanced:
	cfg.EnableIdempotence = false             // idempotence needs AcksAll
	// end
	require.NoError(t, cfg.Validate())
}
