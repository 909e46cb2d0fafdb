package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"os"
	"testing"
	"time"

	"github.com/gosamsa/samsa/examples/internal/lab"
	"github.com/gosamsa/samsa/producer"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
)

// The README's shorter pieces of code, in its order. The README has the lines between "// README" and "// end" word for
// word.

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

func TestReadmeHandlesFates(t *testing.T) {
	_, p := open(t, "fates")
	tell := func(ctx context.Context, record *producer.Record) (next string) {
		// README
		_, err := p.SendSync(ctx, record)
		switch producer.FateOf(err) {
		case producer.FateAcknowledged:
			next = "done"
		case producer.FateNotWritten:
			next = "send the record again, now or after a restart"
		case producer.FateRejected:
			next = "put the record into the reject file"
		case producer.FateMaybeWritten:
			next = "decide: a second Send may duplicate the record"
		}
		// end
		return next
	}
	require.Equal(t, "done", tell(t.Context(), &producer.Record{Topic: "fates"}))
	require.Contains(t, tell(t.Context(), &producer.Record{Topic: "no topic"}), "reject file")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.Contains(t, tell(ended, &producer.Record{Topic: "fates"}), "again, now or after a restart")
}

func TestReadmeSendsWithoutWaiting(t *testing.T) {
	l, p := open(t, "clicks")
	ctx := t.Context()
	// README
	record := producer.Record{Topic: "clicks"}
	for i := range 1000 {
		record.Key = fmt.Appendf(record.Key[:0], "user-%d", i%10)
		record.Value = fmt.Appendf(record.Value[:0], `{"page":%d}`, i)
		p.Send(ctx, &record, func(_ producer.RecordMetadata, err error) {
			if err != nil {
				log.Print(err)
			}
		})
	}
	err := p.Flush(ctx) // returns after the outcome and the callback of each record
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

func TestReadmeEncryptsConnections(t *testing.T) {
	certificate, roots := selfSigned(t)
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "secret"),
		kfake.TLS(&tls.Config{Certificates: []tls.Certificate{certificate}}))
	require.NoError(t, err)
	defer broker.Close()
	servers := broker.ListenAddrs()
	// README
	cfg := producer.DefaultConfig(servers...)
	dialer := &tls.Dialer{Config: &tls.Config{RootCAs: roots}} // nil RootCAs are those of the system
	cfg.Dialer = dialer.DialContext
	// end
	p, err := producer.New(cfg)
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close(context.WithoutCancel(t.Context()))) }()
	require.NoError(t, p.Ping(t.Context()))
	for range 100 {
		_, err = p.SendSync(t.Context(), &producer.Record{Topic: "secret", Value: []byte("value")})
		require.NoError(t, err)
	}

	stranger := producer.DefaultConfig(servers...)
	stranger.Logger = slog.New(slog.DiscardHandler)
	stranger.Dialer = (&tls.Dialer{Config: &tls.Config{RootCAs: x509.NewCertPool()}}).DialContext
	require.ErrorContains(t, ping(t, stranger), "certificate signed by unknown authority")
	stranger.Dialer = nil
	require.Error(t, ping(t, stranger), "the listener accepts plaintext")
}

// ping opens a producer for one Ping.
func ping(t *testing.T, cfg producer.Config) error {
	t.Helper()
	p, err := producer.New(cfg)
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close(context.WithoutCancel(t.Context()))) }()
	return p.Ping(t.Context())
}

// selfSigned makes a certificate for 127.0.0.1, and a pool with it.
func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// README

// sender has the shop's methods of *producer.Producer.
type sender interface {
	SendSync(ctx context.Context, r *producer.Record) (producer.RecordMetadata, error)
}

// failing is a fake sender: every record fails with err.
type failing struct{ err error }

func (f failing) SendSync(context.Context, *producer.Record) (producer.RecordMetadata, error) {
	return producer.RecordMetadata{Partition: -1, Offset: -1}, f.err
}

// end

func TestReadmeFakesASender(t *testing.T) {
	var _ sender = (*producer.Producer)(nil)
	for fate, errs := range map[producer.Fate][]error{
		producer.FateAcknowledged: {nil},
		producer.FateNotWritten:   {producer.ErrBufferFull, producer.ErrClosed, producer.ErrUnknownTopic},
		producer.FateRejected: {producer.ErrRecordTooLarge,
			&producer.BrokerError{Code: producer.CodeTopicAuthorizationFailed}},
		producer.FateMaybeWritten: {producer.ErrDisconnected, io.ErrUnexpectedEOF},
	} {
		for _, want := range errs {
			var fake sender = failing{want}
			_, err := fake.SendSync(t.Context(), &producer.Record{Topic: "orders"})
			require.Equal(t, fate, producer.FateOf(err), "%v", want)
		}
	}
	_, err := producer.Future{}.Get(t.Context())
	require.ErrorIs(t, err, producer.ErrZeroFuture)
}

func TestReadmeShutsDown(t *testing.T) {
	_, p := open(t, "last")
	p.Send(t.Context(), &producer.Record{Topic: "last"}, nil)
	// README
	limit, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := p.Close(limit)
	if err != nil {
		log.Print(err)
		more, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = p.Close(more) // the callbacks of the failed records
	}
	// end
	require.NoError(t, err)
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
	cfg.Linger = 10 * time.Millisecond // the wait of a batch that is not full
	cfg.MaxRequestSize = 16 << 20      // for batches of several partitions
	cfg.MaxInFlight = 2                // larger requests; for far away brokers leave the default
	// end
	require.Empty(t, cfg.Warnings())
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
		log.Fatal(err) // every problem of the file, with file and line
	}
	for _, notice := range cfg.Warnings() {
		log.Print(notice) // here: key.serializer has no effect in Go
	}
	// end
	require.Equal(t, producer.CompressionZstd, cfg.Compression)
	require.Equal(t, 20*time.Millisecond, cfg.Linger)
	require.Len(t, cfg.Warnings(), 1)
	require.Contains(t, cfg.Warnings()[0], "key.serializer")
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
