package producer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// Each test here is one row of the table of options, on both sides of its boundary.

func TestBootstrapServers(t *testing.T) {
	// bounded is the longest time that a silent server can delay the first contact: the setup timeout with its jitter.
	const bounded = 13 * time.Second
	deliver := func(t *testing.T, p *producer.Producer, bound time.Duration) {
		t.Helper()
		began := time.Now()
		for i := range int32(3) {
			_, err := p.Send(t.Context(), to(i, "x"), nil).Get(t.Context())
			require.NoError(t, err)
		}
		require.LessOrEqual(t, time.Since(began), bound)
	}
	scene(t, "one is enough", topics(3, 3), func(t *testing.T, c *testbroker.Cluster) {
		deliver(t, start(t, c, func(cfg *producer.Config) { cfg.BootstrapServers = []string{c.Address(2)} }),
			time.Second)
	})
	scene(t, "a dead server is passed over", topics(3, 3), func(t *testing.T, c *testbroker.Cluster) {
		deliver(t, start(t, c, func(cfg *producer.Config) {
			cfg.BootstrapServers = []string{"gone:9092",
				c.Address(2)}
		}), time.Second)
	})
	scene(t, "a server that cannot be connected to costs a bounded time", topics(4, 3),
		func(t *testing.T, c *testbroker.Cluster) {
			c.Isolate(4)
			deliver(t, start(t, c, func(cfg *producer.Config) {
				cfg.BootstrapServers = []string{c.Address(4),
					c.Address(2)}
			}), bounded)
		})
	scene(t, "a server that hangs costs a bounded time", topics(4, 3), func(t *testing.T, c *testbroker.Cluster) {
		c.Hang(4)
		deliver(t, start(t, c, func(cfg *producer.Config) {
			cfg.BootstrapServers = []string{c.Address(4),
				c.Address(2)}
		}), bounded)
	})
	scene(t, "a server that is no Kafka is passed over", topics(3, 3), func(t *testing.T, c *testbroker.Cluster) {
		deliver(t, start(t, c, func(cfg *producer.Config) {
			cfg.BootstrapServers = []string{"web:80", c.Address(2)}
			cfg.Dialer = withWebServer(c)
		}), bounded)
	})
	scene(t, "none that answers: New does not wait, and Send says so with each server's reason", topics(1, 1),
		func(t *testing.T, c *testbroker.Cluster) {
			c.Isolate(1)
			began := time.Now()
			p := start(t, c, func(cfg *producer.Config) {
				cfg.BootstrapServers = []string{"gone:9092", "web:80", c.Address(1)}
				cfg.Dialer = withWebServer(c)
				cfg.MaxBlock = 20 * time.Second
			})
			require.Zero(t, time.Since(began))
			f := p.Send(t.Context(), to(0, "x"), nil)
			require.Equal(t, 20*time.Second, time.Since(began))
			notWritten(t, f, producer.ErrMetadataTimeout)
			_, err := f.Get(t.Context())
			require.ErrorContains(t, err, "gone:9092")
			require.ErrorContains(t, err, "refused")
			require.ErrorContains(t, err, "web:80")
			require.ErrorContains(t, err, "HTTP")
			require.ErrorContains(t, err, c.Address(1))
			require.True(t, producer.Retriable(err))
		})
	scene(t, "the program notices nothing of a broker that goes", topics(3, 3),
		func(t *testing.T, c *testbroker.Cluster) {
			p := warm(t, c, 3, nil)
			c.StopBroker(1)
			deliver(t, p, 5*time.Second)
		})
}

// withWebServer is the cluster's dialer with a web server at web:80.
func withWebServer(c *testbroker.Cluster) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if address != "web:80" {
			return c.Dial(ctx, network, address)
		}
		client, server := net.Pipe()
		go func() {
			defer func() { _ = server.Close() }()
			_, _ = server.Read(make([]byte, 1000))
			_, _ = server.Write([]byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"))
		}()
		return client, nil
	}
}

func TestMaxBlockMs(t *testing.T) {
	short := func(cfg *producer.Config) { cfg.MaxBlock = time.Second }
	full := func(cfg *producer.Config) {
		cfg.MaxBlock, cfg.BufferMemory, cfg.BatchSize, cfg.MaxRequestSize = time.Second, 64<<10, 16<<10, 32<<10
	}
	fill := func(t *testing.T, p *producer.Producer) {
		t.Helper()
		for range 100 {
			if f := p.TrySend(sized(8000), nil); isOver(f) {
				notWritten(t, f, producer.ErrBufferFull)
				return
			}
		}
		t.Fatal("the buffer does not fill")
	}
	scene(t, "for metadata", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := start(t, c, short)
		began := time.Now()
		f := p.Send(t.Context(), &producer.Record{Topic: "unknown"}, nil)
		require.Equal(t, time.Second, time.Since(began))
		notWritten(t, f, producer.ErrUnknownTopic)
		_, err := p.PartitionsFor(t.Context(), "unknown-2")
		require.ErrorIs(t, err, producer.ErrUnknownTopic)
		require.Equal(t, 2*time.Second, time.Since(began))
	})
	scene(t, "metadata that comes in time is used", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := start(t, c, short)
		time.AfterFunc(300*time.Millisecond, func() { c.CreateTopic("late", 1) })
		_, err := p.Send(t.Context(), &producer.Record{Topic: "late"}, nil).Get(t.Context())
		require.NoError(t, err)
	})
	scene(t, "for room in the buffer", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, full)
		c.Hang(1)
		fill(t, p)
		began := time.Now()
		f := p.Send(t.Context(), sized(8000), nil)
		require.Equal(t, time.Second, time.Since(began))
		notWritten(t, f, producer.ErrBufferFull)
		_, err := f.Get(t.Context())
		require.True(t, producer.Retriable(err))
	})
	scene(t, "room that comes in time is used", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, full)
		c.Hang(1)
		fill(t, p)
		time.AfterFunc(900*time.Millisecond, func() { c.Unhang(1) })
		_, err := p.Send(t.Context(), sized(8000), nil).Get(t.Context())
		require.NoError(t, err)
	})
	scene(t, "one budget for both together", topics(2, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) {
			full(cfg)
			cfg.BootstrapServers, cfg.RetryBackoffMax = cfg.BootstrapServers[1:], cfg.RetryBackoff
		})
		c.Hang(1)
		fill(t, p)
		made := make(chan time.Time, 1)
		time.AfterFunc(600*time.Millisecond, func() { c.CreateTopic("late", 1); made <- time.Now() })
		began := time.Now()
		f := p.Send(t.Context(), &producer.Record{Topic: "late", Value: make([]byte, 8000)}, nil)
		require.Equal(t, time.Second, time.Since(began))
		require.Equal(t, 600*time.Millisecond, (<-made).Sub(began))
		notWritten(t, f, producer.ErrBufferFull)
	})
	scene(t, "0 does not wait, but asks", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		c.On(protocol.Metadata).Do(testbroker.Delay(10 * time.Millisecond))
		p := start(t, c, func(cfg *producer.Config) { cfg.MaxBlock = 0 })
		began := time.Now()
		notWritten(t, p.Send(t.Context(), to(0, "x"), nil), producer.ErrMetadataTimeout)
		require.Zero(t, time.Since(began))
		time.Sleep(time.Second)
		_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
		require.NoError(t, err)
	})
}

func TestBufferMemory(t *testing.T) {
	scene(t, "what waits never passes it, and comes back", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		const memory = 64 << 10
		p := warm(t, c, 1, func(cfg *producer.Config) {
			cfg.BufferMemory, cfg.BatchSize, cfg.MaxRequestSize = memory, 8<<10, 32<<10
		})
		c.Mute(1)
		accepted := 0
		for ; ; accepted++ {
			f := p.TrySend(sized(1000), nil)
			_, used := p.Buffered()
			require.LessOrEqual(t, used, int64(memory))
			if isOver(f) {
				notWritten(t, f, producer.ErrBufferFull)
				break
			}
		}
		require.Greater(t, accepted, memory/1000/2, "most of the memory holds records")
		records, _ := p.Buffered()
		require.Equal(t, accepted, records)
		c.Unhang(1)
		require.NoError(t, p.Flush(t.Context()))
		synctest.Wait() // until the connection no longer needs the bytes
		records, used := p.Buffered()
		require.Zero(t, records)
		require.Zero(t, used)
		_, err := p.TrySend(sized(1000), nil).Get(t.Context())
		require.NoError(t, err)
	})
	scene(t, "a record larger than all of it is refused at once", topics(1, 1),
		func(t *testing.T, c *testbroker.Cluster) {
			p := warm(t, c, 1, func(cfg *producer.Config) { cfg.BufferMemory, cfg.BatchSize = 10_000, 5000 })
			const overhead = record.BatchHeaderSize
			began := time.Now()
			_, err := p.Send(t.Context(), filling(t, 10_000-overhead, 0), nil).Get(t.Context())
			require.NoError(t, err, "exactly buffer.memory")
			notWritten(t, p.Send(t.Context(), filling(t, 10_001-overhead, 0), nil), producer.ErrRecordTooLarge)
			require.Zero(t, time.Since(began))
		})
}

func TestCompressionType(t *testing.T) {
	codecs := []producer.Compression{
		producer.CompressionNone, producer.CompressionGzip, producer.CompressionSnappy, producer.CompressionLZ4,
		producer.CompressionZstd,
	}
	for _, codec := range codecs {
		scene(t, codec.String()+" marks its batches, which hold what was sent", topics(1, 1),
			func(t *testing.T, c *testbroker.Cluster) {
				p := warm(t, c, 1, func(cfg *producer.Config) { cfg.Compression = codec })
				for i := range 100 {
					p.Send(t.Context(), to(0, fmt.Sprintf("value number %d", i)), nil)
				}
				require.NoError(t, p.Flush(t.Context()))
				part := c.Produces()[1].Parts[0]
				require.EqualValues(t, codec, part.Batch.Header.Codec())
				got := written(c, 0)
				require.Len(t, got, 100)
				require.Equal(t, "value number 99", got[99])
			})
	}
	for _, codec := range codecs[1:] {
		scene(t, codec.String()+" fills batch.size within 20 % after 10 batches", topics(1, 1),
			func(t *testing.T, c *testbroker.Cluster) {
				const batchSize = 16 << 10
				p := warm(t, c, 1, func(cfg *producer.Config) { cfg.Compression, cfg.Linger = codec, time.Second })
				random := rand.New(rand.NewPCG(1, 2))
				for range 8000 { // faster than any compression
					p.Send(t.Context(), to(0, sometimes(random)), nil)
				}
				require.NoError(t, p.Flush(t.Context()))
				batches := wireSizes(c)[1:]
				require.Greater(t, len(batches), 20)
				for i, size := range batches[10 : len(batches)-1] {
					require.InDelta(t, batchSize, size, 0.2*batchSize, "batch %d", i+10)
				}
			})
	}
	scene(t, "payloads that turn from compressible to random break no limit", topics(1, 1),
		func(t *testing.T, c *testbroker.Cluster) {
			const batchSize, maxRequest, memory = 4 << 10, 20_000, 1 << 20
			p := warm(t, c, 1, func(cfg *producer.Config) {
				cfg.Compression, cfg.BatchSize, cfg.MaxRequestSize, cfg.BufferMemory = producer.CompressionLZ4,
					batchSize,
					maxRequest, memory
			})
			random := rand.New(rand.NewPCG(3, 4))
			var failed outcomes
			for i := range 6000 {
				value := strings.Repeat("a", 200)
				if i/1000%2 == 1 {
					value = noise(random, 200)
				}
				p.Send(t.Context(), to(0, value), func(md producer.RecordMetadata, err error) {
					if err != nil {
						failed.add(md, err)
					}
				})
				_, used := p.Buffered()
				require.LessOrEqual(t, used, int64(memory)*5/4, "what the workers hold for a moment comes on top")
			}
			require.NoError(t, p.Flush(t.Context()))
			require.Empty(t, failed.all())
			for _, r := range c.Produces() {
				require.LessOrEqual(t, r.Size, maxRequest+500, "headers come on top")
				for _, part := range r.Parts {
					raw := 0
					for i, rec := range part.Batch.Records {
						raw += record.RecordSize(int32(i), rec.Timestamp-part.Batch.Header.BaseTimestamp, rec.Key,
							rec.Value, rec.Headers)
					}
					require.LessOrEqual(t, raw, min(maxRequest, 16*batchSize, memory/8))
				}
			}
		})
}

// sometimes returns a value that compresses to about a third.
func sometimes(random *rand.Rand) string {
	return noise(random, 60) + strings.Repeat("the same words again and again ", 6)
}

func noise(random *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return string(b)
}

// wireSizes returns the sizes of all batches at the broker.
func wireSizes(c *testbroker.Cluster) (sizes []int) {
	for _, r := range c.Produces() {
		for _, p := range r.Parts {
			sizes = append(sizes, len(p.Raw))
		}
	}
	return sizes
}

func TestBatchSize(t *testing.T) {
	const size, linger = 1000, time.Second
	config := func(cfg *producer.Config) { cfg.BatchSize, cfg.Linger = size, linger }
	const first = 400
	rest := func(total int) int { return total - record.BatchHeaderSize - first }
	scene(t, "one byte less waits for linger", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, config)
		began := time.Now()
		p.Send(t.Context(), filling(t, first, 0), nil)
		f := p.Send(t.Context(), filling(t, rest(size-1), 1), nil)
		<-f.Done()
		require.Equal(t, linger, time.Since(began))
		require.Len(t, c.Produces(), 2)
		require.Equal(t, size-1, len(c.Produces()[1].Parts[0].Raw))
	})
	scene(t, "exactly so many go at once", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, config)
		began := time.Now()
		p.Send(t.Context(), filling(t, first, 0), nil)
		f := p.Send(t.Context(), filling(t, rest(size), 1), nil)
		<-f.Done()
		require.Zero(t, time.Since(began))
		require.Len(t, c.Produces(), 2)
		require.Equal(t, size, len(c.Produces()[1].Parts[0].Raw))
	})
	scene(t, "one byte more goes into a batch of its own, and what was there goes at once", topics(1, 1),
		func(t *testing.T, c *testbroker.Cluster) {
			p := warm(t, c, 1, config)
			began := time.Now()
			f := p.Send(t.Context(), filling(t, first, 0), nil)
			g := p.Send(t.Context(), filling(t, rest(size+1), 1), nil)
			<-f.Done()
			require.Zero(t, time.Since(began))
			<-g.Done()
			require.Equal(t, linger, time.Since(began))
			require.Len(t, c.Produces(), 3)
		})
	scene(t, "a larger record goes alone and at once", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, config)
		began := time.Now()
		before := p.Send(t.Context(), sized(1), nil)
		large := p.Send(t.Context(), sized(5000), nil)
		after := p.Send(t.Context(), sized(1), nil)
		<-before.Done()
		<-large.Done()
		require.Zero(t, time.Since(began))
		<-after.Done()
		require.Equal(t, linger, time.Since(began))
		require.EqualValues(t, 1, c.Produces()[2].Parts[0].Batch.Header.Count)
		require.Greater(t, len(c.Produces()[2].Parts[0].Raw), 5000)
	})
	scene(t, "0 sends every record alone", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) { cfg.BatchSize, cfg.Linger = 0, linger })
		began := time.Now()
		for range 5 {
			p.Send(t.Context(), to(0, "x"), nil)
		}
		require.NoError(t, p.Flush(t.Context()))
		require.Zero(t, time.Since(began))
		require.Len(t, wireSizes(c), 1+5)
	})
}

func TestLingerMs(t *testing.T) {
	const linger = 700 * time.Millisecond
	config := func(cfg *producer.Config) { cfg.BatchSize, cfg.Linger = 1000, linger }
	scene(t, "a batch that is not full goes when it is over", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, config)
		f := p.Send(t.Context(), to(0, "x"), nil)
		time.Sleep(linger - time.Nanosecond)
		synctest.Wait()
		require.Len(t, c.Produces(), 1)
		g := p.Send(t.Context(), to(0, "y"), nil)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.True(t, isOver(f))
		require.True(t, isOver(g), "it went with the batch that it found")
		require.Equal(t, []string{"x", "y"}, values(c, 1))
	})
	scene(t, "a batch that is full before goes at once", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, config)
		p.Send(t.Context(), sized(500), nil)
		time.Sleep(linger / 2)
		began := time.Now()
		<-p.Send(t.Context(), filling(t, 600, 1), nil).Done()
		require.Equal(t, linger, time.Since(began), "the second did not fit")
		require.Equal(t, began, c.Produces()[1].Time)
	})
	scene(t, "0 waits for nothing", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) { cfg.Linger = 0 })
		began := time.Now()
		<-p.Send(t.Context(), to(0, "x"), nil).Done()
		require.Zero(t, time.Since(began))
	})
	scene(t, "it is each batch's own: a request takes only batches that are ready", topics(1, 2),
		func(t *testing.T, c *testbroker.Cluster) {
			p := warm(t, c, 2, config)
			began := time.Now()
			p.Send(t.Context(), to(0, "x"), nil)
			time.Sleep(linger / 2)
			p.Send(t.Context(), to(1, "y"), nil)
			require.NoError(t, p.Flush(t.Context()))
			require.Equal(t, linger/2, time.Since(began))
			p.Send(t.Context(), to(0, "x"), nil)
			time.Sleep(linger / 2)
			g := p.Send(t.Context(), to(1, "y"), nil)
			<-g.Done()
			got := c.Produces()[len(c.Produces())-2:]
			require.Equal(t, linger/2, got[1].Time.Sub(got[0].Time))
			require.Len(t, got[0].Parts, 1)
		})
}

func TestMaxRequestSize(t *testing.T) {
	const limit = 10_000
	config := func(cfg *producer.Config) { cfg.MaxRequestSize, cfg.BatchSize = limit, 4000 }
	scene(t, "a record of exactly so many bytes goes, one byte more is refused here", topics(1, 1),
		func(t *testing.T, c *testbroker.Cluster) {
			p := warm(t, c, 1, config)
			_, err := p.Send(t.Context(), filling(t, limit-record.BatchHeaderSize, 0), nil).Get(t.Context())
			require.NoError(t, err)
			require.Equal(t, limit, len(c.Produces()[1].Parts[0].Raw))
			f := p.Send(t.Context(), filling(t, limit+1-record.BatchHeaderSize, 0), nil)
			notWritten(t, f, producer.ErrRecordTooLarge)
			_, err = f.Get(t.Context())
			require.False(t, producer.Retriable(err))
			require.ErrorContains(t, err, "10001")
			require.ErrorContains(t, err, "max.request.size")
			require.Len(t, c.Produces(), 2)
		})
	scene(t, "it bounds a record before compression", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) { config(cfg); cfg.Compression = producer.CompressionZstd })
		notWritten(t, p.Send(t.Context(), sized(limit+1), nil), producer.ErrRecordTooLarge)
	})
	scene(t, "several batches travel in one request, as many as it allows", topics(1, 10),
		func(t *testing.T, c *testbroker.Cluster) {
			p := warm(t, c, 10, func(cfg *producer.Config) { config(cfg); cfg.Linger = 50 * time.Millisecond })
			first := len(c.Produces())
			c.Mute(1)
			for i := range int32(10) {
				p.Send(t.Context(), &producer.Record{Topic: "t", Partition: producer.InPartition(i),
					Value: make([]byte, 3000)}, nil)
			}
			time.Sleep(time.Second)
			c.Unhang(1)
			require.NoError(t, p.Flush(t.Context()))
			most, batches := 0, 0
			for _, r := range c.Produces()[first:] {
				total := 0
				for _, part := range r.Parts {
					total += len(part.Raw)
				}
				require.LessOrEqual(t, total, limit)
				most, batches = max(most, len(r.Parts)), batches+len(r.Parts)
			}
			require.Equal(t, 10, batches)
			require.Equal(t, 3, most)
		})
}
