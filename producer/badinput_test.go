package producer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// badInput runs f in virtual time with a producer on a cluster of one broker. Its topic t has three partitions. It
// requires that the broker gets only requests caused by f, and that all goroutines end.
func badInput(t *testing.T, change func(*Config), f func(t *testing.T, c *testbroker.Cluster, p *Producer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := testbroker.New(t, testbroker.Config{Topics: map[string]int32{"t": 3}})
		cfg := DefaultConfig(c.Bootstrap()...)
		cfg.Dialer = c.Dial
		if change != nil {
			change(&cfg)
		}
		p, err := New(cfg)
		require.NoError(t, err)
		defer func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			var left *CloseError
			if err := p.Close(ctx); err != nil {
				require.ErrorAs(t, err, &left)
				require.Zero(t, left.Undelivered)
			}
		}()
		f(t, c, p)
	})
}

// calledWith has the arguments of a callback.
type calledWith struct {
	md  RecordMetadata
	err error
}

// refused requires that every method to send r fails with the reason, with a fate that excludes a write, and with each
// of the words in the error. The callbacks must have run when the calls return.
func refused(t *testing.T, p *Producer, r *Record, reason error, retriable bool, words ...string) {
	t.Helper()
	ctx := context.Background()
	check := func(way string, err error) {
		t.Helper()
		require.ErrorIs(t, err, reason, way)
		require.False(t, MaybeWritten(err), way)
		require.Equal(t, retriable, Retriable(err), "%s: %v", way, err)
		for _, w := range words {
			require.Contains(t, err.Error(), w, way)
		}
	}
	once := func(way string, send func(Callback) Future) {
		t.Helper()
		told := make(chan calledWith, 2)
		f := send(func(m RecordMetadata, err error) { told <- calledWith{m, err} })
		_, err := f.Get(ctx)
		check(way, err)
		require.False(t, f.Cancel(), way)
		require.NoError(t, p.Flush(ctx))
		require.Len(t, told, 1, way)
		called := <-told
		check(way, called.err)
		require.Equal(t, int64(-1), called.md.Offset)
	}
	once("Send", func(cb Callback) Future { return p.Send(ctx, r, cb) })
	once("TrySend", func(cb Callback) Future { return p.TrySend(r, cb) })
	if r == nil {
		return
	}
	once("SendAll", func(cb Callback) Future {
		out := p.SendAllFunc(ctx, []Record{*r}, func(_ int, m RecordMetadata, err error) { cb(m, err) }, nil)
		require.Len(t, out, 1)
		return out[0]
	})
}

// taken requires the delivery of r.
func taken(t *testing.T, p *Producer, r *Record) RecordMetadata {
	t.Helper()
	m, err := p.Send(context.Background(), r, nil).Get(context.Background())
	require.NoError(t, err)
	return m
}

// sized is a record with this size as a batch of its own.
func sized(t *testing.T, n int) *Record {
	t.Helper()
	for size := n; size > 0; size-- {
		r := &Record{Topic: "t", Value: make([]byte, size), Headers: []Header{{Key: "h", Value: []byte("v")}}}
		if record.BatchHeaderSize+record.RecordSize(0, 0, r.Key, r.Value, r.Headers) == n {
			return r
		}
	}
	t.Fatalf("no record takes %d bytes", n)
	return nil
}

func TestARecordLargerThanMaxRequestSizeIsRefused(t *testing.T) {
	badInput(t, func(c *Config) { c.MaxRequestSize = 50_000 }, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		taken(t, p, sized(t, 50_000))
		refused(t, p, sized(t, 50_001), ErrRecordTooLarge, false, `topic "t"`, "50001 bytes",
			"max.request.size is 50000")
		require.Len(t, c.Produces(), 1)
	})
}

func TestARecordLargerThanTheBufferIsRefused(t *testing.T) {
	badInput(t, func(c *Config) { c.BufferMemory = 50_000 }, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		taken(t, p, sized(t, 50_000))
		refused(t, p, sized(t, 50_001), ErrRecordTooLarge, false, `topic "t"`, "50001 bytes", "buffer.memory is 50000")
		require.Len(t, c.Produces(), 1)
	})
}

// Headers share their bytes; the sum of their lengths needs more than 32 bits.
func TestHeadersThatShareOneHugeValueAreTooLarge(t *testing.T) {
	badInput(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		huge := make([]byte, 32<<20)
		headers := make([]Header, 128)
		for i := range headers {
			headers[i] = Header{Key: "k", Value: huge}
		}
		refused(t, p, &Record{Topic: "t", Headers: headers}, ErrRecordTooLarge, false,
			"it takes 4294967424 bytes; max.request.size is 1048576")
	})
}

// TestARecordThatNoFrameCanCarryIsRefused: max.request.size and buffer.memory may be larger than any request.
func TestARecordThatNoFrameCanCarryIsRefused(t *testing.T) {
	large := func(c *Config) { c.MaxRequestSize, c.BufferMemory = math.MaxInt32, 8<<30 }
	badInput(t, large, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		almost := Header{Key: "k", Value: make([]byte, 64<<20)}
		headers := make([]Header, 0, 32)
		for range 31 {
			headers = append(headers, almost)
		}
		headers = append(headers, Header{Key: "k", Value: make([]byte, 64<<20-4096)})
		refused(t, p, &Record{Topic: "t", Headers: headers}, ErrRecordTooLarge, false,
			"the limit of Kafka's protocol is 2147418111")
		taken(t, p, sized(t, 1000))
	})
}

func TestAKeyOrHeaderCanBeTooLargeToo(t *testing.T) {
	badInput(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		taken(t, p, &Record{Topic: "t"})
		big := make([]byte, 1<<20)
		refused(t, p, &Record{Topic: "t", Key: big}, ErrRecordTooLarge, false, "max.request.size is 1048576")
		refused(t, p, &Record{Topic: "t", Headers: []Header{{Key: "k", Value: big}}}, ErrRecordTooLarge, false,
			"max.request.size is 1048576")
		refused(t, p, &Record{Topic: "t", Headers: []Header{{Key: string(big)}}}, ErrRecordTooLarge, false,
			"max.request.size is 1048576")
	})
}

func TestAnIllegalTopicIsRefusedWithoutAskingABroker(t *testing.T) {
	badInput(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		for name, words := range map[string][]string{
			"":                       {"it is empty"},
			".":                      {`"." is not allowed`},
			"..":                     {`".." is not allowed`},
			strings.Repeat("x", 250): {"250 bytes", "249", `topic "xxx`},
			"a b":                    {`topic "a b"`, "byte 1"},
			"a/b":                    {`topic "a/b"`, "byte 1"},
			"köln":                   {"byte 1"},
			"\x00":                   {"byte 0"},
			"a\nb":                   {`a\nb`, "byte 1"},
			"topic\xff":              {"byte 5"},
		} {
			refused(t, p, &Record{Topic: name}, ErrInvalidTopic, false, words...)
			_, err := p.PartitionsFor(context.Background(), name)
			require.ErrorIs(t, err, ErrInvalidTopic)
		}
		require.Empty(t, c.Requests())
	})
}

func TestTheLongestTopicNameIsRight(t *testing.T) {
	badInput(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		name := strings.Repeat("x", 248) + "_"
		c.CreateTopic(name, 1)
		require.Equal(t, name, taken(t, p, &Record{Topic: name}).Topic)
	})
}

func TestAPartitionThatDoesNotExistIsRefused(t *testing.T) {
	badInput(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		require.Equal(t, int32(2), taken(t, p, &Record{Topic: "t", Partition: InPartition(2)}).Partition)
		for _, n := range []int32{3, math.MaxInt32, -1, math.MinInt32} {
			refused(t, p, &Record{Topic: "t", Partition: InPartition(n)}, ErrInvalidPartition, false,
				`topic "t"`, fmt.Sprint(n), "3 partitions, from 0 on")
		}
		require.Len(t, c.Produces(), 1)
	})
}

func TestAPartitionThatHasJustBeenAddedIsFound(t *testing.T) {
	badInput(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		taken(t, p, &Record{Topic: "t"})
		c.AddPartitions("t", 5)
		require.Equal(t, int32(4), taken(t, p, &Record{Topic: "t", Partition: InPartition(4)}).Partition)
	})
}

func TestTheWaitForAPartitionIsBounded(t *testing.T) {
	badInput(t, func(c *Config) { c.MaxBlock = 7 * time.Second },
		func(t *testing.T, c *testbroker.Cluster, p *Producer) {
			taken(t, p, &Record{Topic: "t"})
			c.Hang(1)
			began := time.Now()
			_, err := p.Send(context.Background(), &Record{Topic: "t", Partition: InPartition(9)},
				nil).Get(context.Background())
			// No response rules the partition out: it may have been added.
			require.ErrorIs(t, err, ErrMetadataTimeout)
			require.True(t, Retriable(err))
			require.ErrorContains(t, err, "partition 9")
			require.LessOrEqual(t, time.Since(began), 7*time.Second)
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			began = time.Now()
			_, err = p.Send(ctx, &Record{Topic: "t", Partition: InPartition(9)}, nil).Get(context.Background())
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.False(t, MaybeWritten(err))
			require.LessOrEqual(t, time.Since(began), time.Second)
			c.Unhang(1)
		})
}

func TestATimestampBefore1970IsRefused(t *testing.T) {
	badInput(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		m := taken(t, p, &Record{Topic: "t", Timestamp: time.UnixMilli(0)})
		require.Equal(t, int64(0), m.Timestamp.UnixMilli())
		for _, ms := range []int64{-1, -1000, math.MinInt32 * 1000} {
			refused(t, p, &Record{Topic: "t", Timestamp: time.UnixMilli(ms)}, ErrInvalidTimestamp, false, `topic "t"`,
				"before 1970")
		}
		refused(t, p, &Record{Topic: "t", Timestamp: time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC)},
			ErrInvalidTimestamp, false, "1969-12-31 23:59:59")
	})
}

// TestATimestampThatKafkaCannotKeepIsRefusedWithItsValue has the usual mistakes: a count in the wrong unit.
func TestATimestampThatKafkaCannotKeepIsRefusedWithItsValue(t *testing.T) {
	now := time.Date(2026, 5, 17, 12, 0, 0, 123456789, time.UTC)
	badInput(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		for _, tc := range []struct {
			at    time.Time
			words []string
		}{
			{time.Unix(now.UnixNano(), 0), []string{"1779019200123456789 seconds since 1970 lie after the year 9999",
				"were nanoseconds passed to time.Unix as seconds?"}},
			{time.Unix(now.UnixMicro(), 0), []string{"1779019200123456 seconds",
				"were microseconds passed to time.Unix as seconds?"}},
			{time.Unix(now.UnixMilli(), 0), []string{"1779019200123 seconds",
				"were milliseconds passed to time.Unix as seconds?"}},
			{time.UnixMilli(now.UnixNano()), []string{"1779019200123456 seconds", "after the year 9999"}},
			{time.UnixMicro(now.UnixNano()), []string{"1779019200123 seconds", "after the year 9999"}},
			{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), []string{"253402300800 seconds", "after the year 9999"}},
			{time.UnixMilli(math.MaxInt64), []string{"9223372036854775 seconds", "after the year 9999"}},
			{time.Unix(math.MaxInt64/1000+1, 0), []string{"9223372036854776 seconds", "after the year 9999"}},
			{time.Unix(math.MaxInt64, 999), []string{"9223372036854775807 seconds", "after the year 9999"}},
			{time.Unix(-now.UnixNano(), 0), []string{"-1779019200123456789 seconds", "before 1970"}},
			{time.Unix(math.MinInt64, 0), []string{"-9223372036854775808 seconds", "before 1970"}},
			{time.Date(-5000, 1, 1, 0, 0, 0, 0, time.UTC), []string{"-5000-01-01 00:00:00", "before 1970"}},
			{time.Time{}.Add(time.Nanosecond), []string{"0001-01-01 00:00:00", "before 1970"}},
		} {
			refused(t, p, &Record{Topic: "t", Timestamp: tc.at}, ErrInvalidTimestamp, false,
				append(tc.words, `topic "t"`)...)
		}
		// The producer reports the error at once, without metadata of the topic and without a broker.
		refused(t, p, &Record{Topic: "missing", Timestamp: time.Unix(now.UnixNano(), 0)}, ErrInvalidTimestamp, false)
		require.Empty(t, c.Requests())
		last := time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC)
		for _, at := range []time.Time{time.UnixMilli(0), now, last, last.In(time.FixedZone("", 14*3600))} {
			require.Equal(t, at.UnixMilli(), taken(t, p, &Record{Topic: "t", Timestamp: at}).Timestamp.UnixMilli())
		}
		before := time.Now()
		require.WithinRange(t, taken(t, p, &Record{Topic: "t"}).Timestamp, before, time.Now())
	})
}

// TestAHeaderKeyThatIsNotUTF8IsRefused: a broker would acknowledge such a key and store another one when it
// recompresses the batch.
func TestAHeaderKeyThatIsNotUTF8IsRefused(t *testing.T) {
	badInput(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		for key, quoted := range map[string]string{
			"caf\xe9": `"caf\xe9"`, "\xff": `"\xff"`, "a\x80b": `"a\x80b"`, "\xed\xa0\x80": `"\xed\xa0\x80"`,
			"\xc0\x80": `"\xc0\x80"`, "cut\xf0\x9f\x98": `"cut\xf0\x9f\x98"`,
		} {
			refused(t, p, &Record{Topic: "t", Headers: []Header{{Key: "right"}, {Key: key, Value: []byte("v")}}},
				ErrInvalidHeader, false,
				`topic "t"`, "the key of header 1, "+quoted+", is not UTF-8")
		}
		long := strings.Repeat("k", 100_000) + "\xff"
		refused(t, p, &Record{Topic: "missing", Headers: []Header{{Key: long}}}, ErrInvalidHeader, false,
			"the key of header 0", "kkk…")
		require.Empty(t, c.Requests())
		keys := []string{"", "a", "café", "\u0000", "日本", "🔑", "\ufffd", "line\nbreak"}
		r := &Record{Topic: "t", Partition: InPartition(0)}
		for _, key := range keys {
			r.Headers = append(r.Headers, Header{Key: key, Value: []byte("\xff any bytes")})
		}
		taken(t, p, r)
		require.Len(t, c.Log("t", 0), 1)
		require.Len(t, c.Log("t", 0)[0].Headers, len(keys))
		for i, h := range c.Log("t", 0)[0].Headers {
			require.Equal(t, keys[i], h.Key)
		}
	})
}

// TestOnlyTheRecordsOfASliceThatAreInvalidAreRefused: this includes an invalid record returned by an interceptor.
func TestOnlyTheRecordsOfASliceThatAreInvalidAreRefused(t *testing.T) {
	badInput(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		rs := make([]Record, 300)
		for i := range rs {
			rs[i] = Record{Topic: "t", Value: []byte{byte(i)}}
		}
		rs[17].Headers = []Header{{Key: "\xff"}}
		rs[150].Timestamp = time.Unix(math.MaxInt64, 0)
		rs[299].Timestamp = time.UnixMilli(-1)
		for i, f := range p.SendAll(context.Background(), rs) {
			_, err := f.Get(context.Background())
			switch i {
			case 17:
				require.ErrorIs(t, err, ErrInvalidHeader)
			case 150, 299:
				require.ErrorIs(t, err, ErrInvalidTimestamp)
			default:
				require.NoError(t, err)
				continue
			}
			require.False(t, MaybeWritten(err))
			require.False(t, Retriable(err))
		}
		require.Equal(t, 297, c.Records("t"))
	})
}

// TestManyHeadersAreBoundedByTheirSizeAlone: Kafka has no bound on their number.
func TestManyHeadersAreBoundedByTheirSizeAlone(t *testing.T) {
	badInput(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		taken(t, p, &Record{Topic: "t", Headers: make([]Header, 100_000)})
		refused(t, p, &Record{Topic: "t", Headers: make([]Header, 600_000)}, ErrRecordTooLarge, false,
			"max.request.size is 1048576")
	})
}

func TestInvalidRecordsFailBeforeAnyWait(t *testing.T) {
	badInput(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		c.Hang(1)
		began := time.Now()
		refused(t, p, &Record{Topic: "t", Value: make([]byte, 2<<20)}, ErrRecordTooLarge, false)
		refused(t, p, &Record{Topic: "t", Partition: InPartition(-7)}, ErrInvalidPartition, false, `topic "t"`,
			"-7 is negative")
		refused(t, p, &Record{Topic: "a b"}, ErrInvalidTopic, false)
		require.Zero(t, time.Since(began))
		c.Unhang(1)
	})
}

func TestNilRecordsFuturesAndContexts(t *testing.T) {
	badInput(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		refused(t, p, nil, ErrNilRecord, false, "nil")
		require.Empty(t, p.SendAll(context.Background(), nil))

		var zero Future
		m, err := zero.Get(context.Background())
		require.ErrorIs(t, err, ErrZeroFuture)
		require.False(t, MaybeWritten(err))
		require.Equal(t, int64(-1), m.Offset)
		<-zero.Done()
		require.False(t, zero.Cancel())

		var none context.Context
		_, err = p.Send(none, &Record{Topic: "t"}, nil).Get(none)
		require.NoError(t, err)
		require.Len(t, p.SendAll(none, []Record{{Topic: "t"}, {Topic: "t"}}), 2)
		require.NoError(t, p.Flush(none))
		infos, err := p.PartitionsFor(none, "t")
		require.NoError(t, err)
		require.Len(t, infos, 3)
		require.Equal(t, 3, c.Records("t"))
		require.NoError(t, p.Close(none))
	})
}

func TestANilContextIsBoundedByMaxBlock(t *testing.T) {
	badInput(t, func(c *Config) { c.MaxBlock = 3 * time.Second },
		func(t *testing.T, c *testbroker.Cluster, p *Producer) {
			c.Hang(1)
			var none context.Context
			began := time.Now()
			_, err := p.Send(none, &Record{Topic: "t"}, nil).Get(none)
			require.ErrorIs(t, err, ErrMetadataTimeout)
			require.Equal(t, 3*time.Second, time.Since(began))
			_, err = p.PartitionsFor(none, "t")
			require.ErrorIs(t, err, ErrMetadataTimeout)
			c.Unhang(1)
		})
}

func TestAContextThatIsOverSendsNothing(t *testing.T) {
	badInput(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		taken(t, p, &Record{Topic: "t"})
		why := errors.New("the caller has gone")
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(why)
		for _, f := range append(p.SendAll(ctx, []Record{{Topic: "t"}}), p.Send(ctx, &Record{Topic: "t"}, nil)) {
			_, err := f.Get(context.Background())
			require.ErrorIs(t, err, why)
			require.False(t, MaybeWritten(err))
			require.Contains(t, err.Error(), `topic "t"`)
		}
		require.NoError(t, p.Flush(context.Background()))
		require.Equal(t, 1, c.Records("t"))
	})
}

func TestAClosedProducerRefusesEverything(t *testing.T) {
	badInput(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		taken(t, p, &Record{Topic: "t"})
		require.NoError(t, p.Close(context.Background()))
		began := time.Now()
		refused(t, p, &Record{Topic: "t"}, ErrClosed, true, `topic "t"`, "closed")
		refused(t, p, &Record{Topic: "never heard of"}, ErrClosed, true)
		refused(t, p, nil, ErrNilRecord, false)
		_, err := p.PartitionsFor(context.Background(), "other")
		require.ErrorIs(t, err, ErrClosed)
		require.NoError(t, p.Flush(context.Background()))
		_ = p.Close(context.Background())
		require.Zero(t, time.Since(began))
		require.Equal(t, 1, c.Records("t"))
	})
}

// outOfRange are wrong values of a field, just outside each end of its range.
func outOfRange(o *configOption) []func(*Config) {
	var spoil []func(*Config)
	number := func(set func(c *Config, n int64)) {
		if o.levels != 0 {
			for _, n := range []int64{-131073, -2, 0, 10, 18, 23, math.MinInt32, math.MaxInt32} {
				if o.levels.CheckLevel(int(n)) != nil {
					spoil = append(spoil, func(c *Config) { set(c, n) })
				}
			}
			return
		}
		spoil = append(spoil, func(c *Config) { set(c, o.min-1) })
		if o.max < configMaxLong {
			spoil = append(spoil, func(c *Config) { set(c, o.max+1) })
		}
	}
	switch o.ptr(new(Config)).(type) {
	case *int:
		number(func(c *Config, n int64) { *o.ptr(c).(*int) = int(n) })
	case *int64:
		number(func(c *Config, n int64) { *o.ptr(c).(*int64) = n })
	case *time.Duration:
		number(func(c *Config, n int64) { *o.ptr(c).(*time.Duration) = time.Duration(n) * time.Millisecond })
	case *Acks:
		spoil = append(spoil, func(c *Config) { c.Acks = 2 }, func(c *Config) { c.Acks = -2 })
	case *Compression:
		spoil = append(spoil, func(c *Config) { c.Compression = -1 }, func(c *Config) { c.Compression = 5 })
	case *MetadataRecoveryStrategy:
		spoil = append(spoil, func(c *Config) { c.MetadataRecoveryStrategy = "" },
			func(c *Config) { c.MetadataRecoveryStrategy = "Rebootstrap " })
	case *string:
		spoil = append(spoil, func(c *Config) { *o.ptr(c).(*string) = strings.Repeat("x", 32768) },
			func(c *Config) { *o.ptr(c).(*string) = "\xff" })
	case *[]string:
		spoil = append(spoil, func(c *Config) { c.BootstrapServers = nil },
			func(c *Config) { c.BootstrapServers = []string{"localhost"} },
			func(c *Config) { c.BootstrapServers = []string{""} })
	}
	return spoil
}

// TestNewRefusesEachFieldOutOfItsRange goes through the whole table: New and Validate return the same error, with
// property, field, value and range, and New returns no producer.
func TestNewRefusesEachFieldOutOfItsRange(t *testing.T) {
	for i := range configOptions {
		o := &configOptions[i]
		t.Run(o.property, func(t *testing.T) {
			cases := outOfRange(o)
			if _, is := o.ptr(new(Config)).(*bool); !is {
				require.NotEmpty(t, cases)
			}
			for _, spoil := range cases {
				cfg := DefaultConfig("localhost:9092")
				spoil(&cfg)
				p, err := New(cfg)
				require.Nil(t, p)
				require.EqualError(t, err, cfg.Validate().Error())
				var e *ConfigError
				require.ErrorAs(t, err, &e)
				require.Equal(t, o.field, e.Field)
				require.Contains(t, err.Error(), o.property)
				if o.field != "BootstrapServers" {
					require.Contains(t, err.Error(), o.rangeText())
				}
				if text := o.text(&cfg); o.field != "BootstrapServers" && text != "" {
					require.Contains(t, err.Error(), configQuote(text))
				}
			}
		})
	}
}

func TestNoServerThatCanBeReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testbroker.New(t, testbroker.Config{Brokers: 3, Topics: map[string]int32{"t": 3}})
		c.StopBroker(1)
		c.Isolate(2)
		c.Hang(3)
		servers := c.Bootstrap()
		cfg := DefaultConfig(servers...)
		cfg.Dialer, cfg.MaxBlock = c.Dial, 45*time.Second
		began := time.Now()
		p, err := New(cfg)
		require.NoError(t, err)
		require.Zero(t, time.Since(began), "New waits for nobody")

		_, err = p.Send(context.Background(), &Record{Topic: "t"}, nil).Get(context.Background())
		require.Equal(t, 45*time.Second, time.Since(began))
		require.ErrorIs(t, err, ErrMetadataTimeout)
		require.False(t, MaybeWritten(err))
		require.True(t, Retriable(err))
		text := err.Error()
		for _, s := range servers {
			require.Contains(t, text, s)
		}
		require.Contains(t, text, "connection refused")
		require.Contains(t, text, "connected, but the server does not answer ApiVersions")
		require.Contains(t, text, "timed out")

		require.NoError(t, p.Close(context.Background()))
		c.Unhang(2)
		c.Unhang(3)
	})
}

func TestANameThatDoesNotExistIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testbroker.New(t, testbroker.Config{Topics: map[string]int32{"t": 1}})
		cfg := DefaultConfig("nowhere:9092")
		cfg.Dialer, cfg.MaxBlock = c.Dial, time.Second
		p, err := New(cfg)
		require.NoError(t, err)
		_, err = p.Send(context.Background(), &Record{Topic: "t"}, nil).Get(context.Background())
		require.ErrorIs(t, err, ErrMetadataTimeout)
		require.Contains(t, err.Error(), "nowhere:9092: ")
		require.NoError(t, p.Close(context.Background()))
	})
}

func TestAnUnknownTopicWithoutABoundOfItsOwnIsAwaitedUntilMaxBlock(t *testing.T) {
	badInput(t, func(c *Config) {
		c.MaxBlock, c.TopicMetadataPropagationMax = 20*time.Second, -time.Millisecond
	}, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		began := time.Now()
		_, err := p.Send(context.Background(), &Record{Topic: "missing"}, nil).Get(context.Background())
		require.Equal(t, 20*time.Second, time.Since(began))
		require.ErrorIs(t, err, ErrUnknownTopic)
		require.Equal(t, FateNotWritten, FateOf(err))
		require.Contains(t, err.Error(), `topic "missing" does not exist (UNKNOWN_TOPIC_OR_PARTITION) after 20s`)
		// The client requests the topic with a backoff.
		require.Less(t, len(c.RequestsOf(protocol.Metadata)), 40)
	})
}

func TestABrokerThatCreatesTopicsIsAskedToOnlyIfAllowed(t *testing.T) {
	for _, allow := range []bool{true, false} {
		t.Run(fmt.Sprint(allow), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := testbroker.New(t, testbroker.Config{AutoCreate: true})
				cfg := DefaultConfig(c.Bootstrap()...)
				cfg.Dialer, cfg.AllowAutoCreateTopics = c.Dial, allow
				p, err := New(cfg)
				require.NoError(t, err)
				_, err = p.Send(context.Background(), &Record{Topic: "new"}, nil).Get(context.Background())
				if allow {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, ErrUnknownTopic)
				}
				require.NoError(t, p.Close(context.Background()))
			})
		})
	}
}

func TestATopicThatMayNotBeSeenFailsAtOnceAndWorksOnceItMay(t *testing.T) {
	badInput(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		c.Deny("t")
		began := time.Now()
		_, err := p.Send(context.Background(), &Record{Topic: "t"}, nil).Get(context.Background())
		require.Zero(t, time.Since(began))
		var broker *BrokerError
		require.ErrorAs(t, err, &broker)
		require.Equal(t, protocol.TopicAuthorizationFailed, broker.Code)
		require.Contains(t, err.Error(), `topic "t"`)
		require.False(t, MaybeWritten(err))
		require.False(t, Retriable(err))
		c.Allow("t")
		time.Sleep(2 * time.Second)
		taken(t, p, &Record{Topic: "t"})
	})
}

// TestATopicThatMayNotBeWrittenFailsItsRecordsAlone: the producer loses the right after it has read the metadata.
func TestATopicThatMayNotBeWrittenFailsItsRecordsAlone(t *testing.T) {
	badInput(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		c.CreateTopic("other", 1)
		taken(t, p, &Record{Topic: "t"})
		taken(t, p, &Record{Topic: "other"})
		rule := c.On(protocol.Produce).Topic("t").Do(testbroker.Fail(protocol.TopicAuthorizationFailed))
		out := p.SendAll(context.Background(), []Record{{Topic: "t"}, {Topic: "other"}, {Topic: "t"}})
		for i, f := range out {
			_, err := f.Get(context.Background())
			if i == 1 {
				require.NoError(t, err)
				continue
			}
			var broker *BrokerError
			require.ErrorAs(t, err, &broker)
			require.Equal(t, protocol.TopicAuthorizationFailed, broker.Code)
			require.False(t, MaybeWritten(err))
		}
		rule.End()
		taken(t, p, &Record{Topic: "t"})
	})
}
