package producer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
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

// lingering sets linger.ms to a long time, so that batches wait until Get, Flush or Close sends them.
func lingering(d time.Duration) func(*producer.Config) {
	return func(cfg *producer.Config) { cfg.Linger, cfg.DeliveryTimeout = d, d+2*cfg.RequestTimeout }
}

func TestSendLetsTheCallerReuseItsBytes(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, lingering(time.Second))
		key, value, header := []byte("key"), []byte("value"), []byte("header")
		r := producer.Record{
			Topic: "t", Partition: producer.InPartition(0), Key: key, Value: value,
			Headers: []producer.Header{{Key: "h", Value: header}},
		}
		f := p.Send(t.Context(), &r, nil)
		copy(key, "XXX")
		copy(value, "XXXXX")
		copy(header, "XXXXXX")
		r.Headers[0].Key = "X"
		r = producer.Record{}
		_, err := f.Get(t.Context())
		require.NoError(t, err)
		got := c.Produces()[1].Parts[0].Batch.Records[0]
		require.Equal(t, "key", string(got.Key))
		require.Equal(t, "value", string(got.Value))
		require.Equal(t, []record.Header{{Key: "h", Value: []byte("header")}}, got.Headers)
	})
}

func TestNilIsNotEmpty(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		for _, b := range [][]byte{nil, {}} {
			_, err := p.Send(t.Context(), &producer.Record{
				Topic: "t", Key: b, Value: b, Headers: []producer.Header{{Key: "h", Value: b}, {Key: "h", Value: b}},
			}, nil).Get(t.Context())
			require.NoError(t, err)
			produces := c.Produces()
			got := produces[len(produces)-1].Parts[0].Batch.Records[0]
			require.Equal(t, b, got.Key)
			require.Equal(t, b, got.Value)
			require.Len(t, got.Headers, 2)
			require.Equal(t, b, got.Headers[0].Value)
		}
	})
}

func TestSendWithAContextThatIsOverAppendsNothing(t *testing.T) {
	reason := errors.New("a reason of its own")
	ends := map[string]func(context.Context) (context.Context, error){
		"canceled": func(ctx context.Context) (context.Context, error) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx, context.Canceled
		},
		"deadline": func(ctx context.Context) (context.Context, error) {
			ctx, cancel := context.WithDeadline(ctx, time.Now())
			cancel()
			return ctx, context.DeadlineExceeded
		},
		"cause": func(ctx context.Context) (context.Context, error) {
			ctx, cancel := context.WithCancelCause(ctx)
			cancel(reason)
			return ctx, context.Canceled
		},
	}
	for name, end := range ends {
		scene(t, name, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
			p := warm(t, c, 1, nil)
			ctx, want := end(t.Context())
			var told outcomes
			for _, topic := range []string{"t", "unknown"} {
				began := time.Now()
				f := p.Send(ctx, &producer.Record{Topic: topic, Value: []byte("x")}, told.add)
				require.Zero(t, time.Since(began))
				notWritten(t, f, want)
			}
			all := p.SendAll(ctx, []producer.Record{*to(0, "x"), *to(0, "y")})
			notWritten(t, all[0], want)
			notWritten(t, all[1], want)
			require.NoError(t, p.Flush(t.Context()))
			if name == "cause" {
				notWritten(t, all[0], reason)
				require.ErrorIs(t, told.all()[0].err, reason)
			}
			require.Len(t, told.all(), 2)
			require.Empty(t, values(c, 1))
		})
	}
}

func TestContextBoundsTheWaitOfSendAndNothingElse(t *testing.T) {
	scene(t, "for metadata", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := start(t, c, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		f := p.Send(ctx, &producer.Record{Topic: "unknown"}, nil)
		require.Equal(t, time.Second, time.Since(began))
		notWritten(t, f, context.DeadlineExceeded)
		_, err := p.PartitionsFor(ctx, "unknown")
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
	scene(t, "for room in the buffer", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := crammed(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		f := p.Send(ctx, sized(8000), nil)
		require.Equal(t, time.Second, time.Since(began))
		notWritten(t, f, context.DeadlineExceeded)
	})
	scene(t, "with a cause", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := crammed(t, c)
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(io.ErrNoProgress) })
		f := p.Send(ctx, sized(8000), nil)
		notWritten(t, f, context.Canceled)
		notWritten(t, f, io.ErrNoProgress)
		notWritten(t, p.Send(ctx, &producer.Record{Topic: "unknown"}, nil), context.Canceled)
	})
	scene(t, "a buffered record goes its way when ctx ends", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, lingering(time.Second))
		ctx, cancel := context.WithCancel(t.Context())
		f := p.Send(ctx, to(0, "x"), nil)
		cancel()
		_, err := f.Get(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"x"}, written(c, 0))
	})
}

// crammed returns a producer with a full buffer; its broker hangs.
func crammed(t *testing.T, c *testbroker.Cluster) *producer.Producer {
	t.Helper()
	p := warm(t, c, 1, func(cfg *producer.Config) {
		cfg.BufferMemory, cfg.BatchSize, cfg.MaxRequestSize = 64<<10, 16<<10, 32<<10
	})
	c.Hang(1)
	for range 100 {
		if f := p.TrySend(sized(8000), func(producer.RecordMetadata, error) {}); isOver(f) {
			notWritten(t, f, producer.ErrBufferFull)
			return p
		}
	}
	t.Fatal("the buffer does not fill")
	return nil
}

func TestTrySendNeverWaits(t *testing.T) {
	scene(t, "without metadata it fails, starts the fetch, and a later one works", topics(1, 1),
		func(t *testing.T, c *testbroker.Cluster) {
			p := start(t, c, nil)
			began := time.Now()
			f := p.TrySend(to(0, "x"), nil)
			notWritten(t, f, producer.ErrMetadataTimeout)
			_, err := f.Get(t.Context())
			require.True(t, producer.Retriable(err))
			synctest.Wait()
			_, err = p.TrySend(to(0, "y"), nil).Get(t.Context())
			require.NoError(t, err)
			require.LessOrEqual(t, time.Since(began), 5*time.Millisecond)
			require.Equal(t, []string{"y"}, written(c, 0))
		})
	scene(t, "with a full buffer it fails", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := crammed(t, c)
		began := time.Now()
		f := p.TrySend(sized(8000), nil)
		require.Zero(t, time.Since(began))
		notWritten(t, f, producer.ErrBufferFull)
		_, err := f.Get(t.Context())
		require.True(t, producer.Retriable(err))
	})
}

func TestBadRecordsFailBeforeTheyAreBuffered(t *testing.T) {
	bad := map[string]struct {
		record *producer.Record
		reason error
	}{
		"nil":                   {nil, producer.ErrNilRecord},
		"no topic":              {&producer.Record{}, producer.ErrInvalidTopic},
		"dots":                  {&producer.Record{Topic: ".."}, producer.ErrInvalidTopic},
		"a blank":               {&producer.Record{Topic: "a b"}, producer.ErrInvalidTopic},
		"a long topic":          {&producer.Record{Topic: strings.Repeat("t", 250)}, producer.ErrInvalidTopic},
		"partition -1":          {to(-1, "x"), producer.ErrInvalidPartition},
		"partition -2":          {to(-2, "x"), producer.ErrInvalidPartition},
		"one partition too far": {to(2, "x"), producer.ErrInvalidPartition},
		"before 1970": {&producer.Record{Topic: "t", Timestamp: time.UnixMilli(-1)},
			producer.ErrInvalidTimestamp},
		"too large": {sized(2 << 20), producer.ErrRecordTooLarge},
		"too large by headers": {
			&producer.Record{Topic: "t", Headers: []producer.Header{{Key: strings.Repeat("h", 2<<20)}}},
			producer.ErrRecordTooLarge,
		},
	}
	for name, b := range bad {
		scene(t, name, topics(1, 2), func(t *testing.T, c *testbroker.Cluster) {
			p := warm(t, c, 1, nil)
			sends := map[string]func(producer.Callback) producer.Future{
				"Send":    func(cb producer.Callback) producer.Future { return p.Send(t.Context(), b.record, cb) },
				"TrySend": func(cb producer.Callback) producer.Future { return p.TrySend(b.record, cb) },
			}
			for send, do := range sends {
				var told outcomes
				f := do(told.add)
				require.True(t, isOver(f), send)
				notWritten(t, f, b.reason)
				md, err := f.Get(t.Context())
				synctest.Wait()
				require.Equal(t, []outcome{{md, err}}, told.all(), send)
				require.False(t, producer.Retriable(err))
			}
			require.NoError(t, p.Flush(t.Context()))
			require.Empty(t, values(c, 1))
		})
	}
	scene(t, "the moment of 1970 is a timestamp", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := start(t, c, nil)
		md, err := p.Send(t.Context(), &producer.Record{Topic: "t", Timestamp: time.UnixMilli(0)}, nil).Get(t.Context())
		require.NoError(t, err)
		require.Zero(t, md.Timestamp.UnixMilli())
	})
}

func TestPartitionsThatAreNewAreFound(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		c.AddPartitions("t", 4)
		md, err := p.Send(t.Context(), to(3, "x"), nil).Get(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 3, md.Partition)
		infos, err := p.PartitionsFor(t.Context(), "t")
		require.NoError(t, err)
		require.Len(t, infos, 4)
	})
}

func TestPartitionsFor(t *testing.T) {
	bubble(t, topics(3, 3), func(t *testing.T, c *testbroker.Cluster) {
		p := start(t, c, nil)
		infos, err := p.PartitionsFor(t.Context(), "t")
		require.NoError(t, err)
		require.Len(t, infos, 3)
		for i, info := range infos {
			require.Equal(t, "t", info.Topic)
			require.EqualValues(t, i, info.Partition)
			require.EqualValues(t, i+1, info.Leader)
			require.Len(t, info.Replicas, 3)
			require.ElementsMatch(t, info.Replicas, info.InSyncReplicas)
		}
		_, err = p.PartitionsFor(t.Context(), "")
		require.ErrorIs(t, err, producer.ErrInvalidTopic)
	})
}

func TestUnknownTopics(t *testing.T) {
	creating := testbroker.Config{AutoCreate: true, DefaultPartitions: 2}
	scene(t, "are created where the brokers do so", creating, func(t *testing.T, c *testbroker.Cluster) {
		_, err := start(t, c, nil).Send(t.Context(), &producer.Record{Topic: "new"}, nil).Get(t.Context())
		require.NoError(t, err)
	})
	scene(t, "are not created where the producer is told not to", creating, func(t *testing.T, c *testbroker.Cluster) {
		p := start(t, c, func(cfg *producer.Config) { cfg.AllowAutoCreateTopics, cfg.MaxBlock = false, time.Second })
		f := p.Send(t.Context(), &producer.Record{Topic: "new"}, nil)
		notWritten(t, f, producer.ErrUnknownTopic)
		_, err := f.Get(t.Context())
		require.ErrorContains(t, err, "UNKNOWN_TOPIC_OR_PARTITION")
	})
	scene(t, "that may not be used fail at once", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		c.Deny("t")
		p := start(t, c, nil)
		began := time.Now()
		_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
		brokerCode(t, err, "TOPIC_AUTHORIZATION_FAILED")
		require.Less(t, time.Since(began), time.Second)
		require.False(t, producer.MaybeWritten(err))
		c.Allow("t")
		time.Sleep(5 * time.Second)
		_, err = p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
		require.NoError(t, err, "later sends try again")
	})
}

func TestMetadataOfARecord(t *testing.T) {
	scene(t, "its own timestamp in milliseconds, or the time of the send", topics(1, 2),
		func(t *testing.T, c *testbroker.Cluster) {
			p := warm(t, c, 2, nil)
			own := time.Date(2020, 2, 3, 4, 5, 6, 7_899_999, time.UTC)
			r := to(1, "x")
			r.Timestamp = own
			md, err := p.Send(t.Context(), r, nil).Get(t.Context())
			require.NoError(t, err)
			require.Equal(t, "t", md.Topic)
			require.EqualValues(t, 1, md.Partition)
			require.EqualValues(t, 1, md.Offset)
			require.True(t, own.Truncate(time.Millisecond).Equal(md.Timestamp))
			began := time.Now()
			md, err = p.Send(t.Context(), to(1, "x"), nil).Get(t.Context())
			require.NoError(t, err)
			require.True(t, began.Truncate(time.Millisecond).Equal(md.Timestamp))
			require.EqualValues(t, 2, md.Offset)
		})
	scene(t, "its own timestamp though the answer was lost and the next one told the batch's greatest", topics(1, 1),
		func(t *testing.T, c *testbroker.Cluster) {
			p := warm(t, c, 1, lingering(time.Second))
			c.On(protocol.Produce).Nth(1).Do(testbroker.DropAnswer())
			var futures []producer.Future
			for _, ms := range []int64{1000, 3000, 2000} {
				r := to(0, "x")
				r.Timestamp = time.UnixMilli(ms)
				futures = append(futures, p.Send(t.Context(), r, nil))
			}
			for i, ms := range []int64{1000, 3000, 2000} {
				md, err := futures[i].Get(t.Context())
				require.NoError(t, err)
				require.EqualValues(t, 1+i, md.Offset)
				require.Equal(t, ms, md.Timestamp.UnixMilli())
			}
			require.Len(t, written(c, 0), 3, "once each")
		})
	cfg := topics(1, 1)
	cfg.Settings = map[string]testbroker.TopicSettings{"t": {LogAppendTime: true}}
	scene(t, "the broker's time where the topic uses LogAppendTime", cfg, func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, lingering(time.Second))
		r := to(0, "x")
		r.Timestamp = time.UnixMilli(1000)
		f := p.Send(t.Context(), r, nil)
		<-f.Done()
		md, err := f.Get(t.Context())
		require.NoError(t, err)
		require.True(t, time.Now().Truncate(time.Millisecond).Equal(md.Timestamp), "%v", md.Timestamp)
	})
}

func TestRecordErrorsReachTheirRecord(t *testing.T) {
	cfg := topics(1, 1)
	cfg.Settings = map[string]testbroker.TopicSettings{"t": {Compacted: true}}
	for _, codec := range []producer.Compression{producer.CompressionNone, producer.CompressionZstd} {
		scene(t, codec.String(), cfg, func(t *testing.T, c *testbroker.Cluster) {
			p := start(t, c, func(cfg *producer.Config) { lingering(time.Second)(cfg); cfg.Compression = codec })
			var futures []producer.Future
			var told outcomes
			for i := range 10 {
				r := to(0, fmt.Sprint(i))
				if i%4 != 1 {
					r.Key = []byte("key")
				}
				futures = append(futures, p.Send(t.Context(), r, told.add))
			}
			require.NoError(t, p.Flush(t.Context()))
			offset := int64(0)
			for i, f := range futures {
				md, err := f.Get(t.Context())
				require.Equal(t, outcome{md, err}, told.all()[i], "callbacks in order")
				if i%4 == 1 {
					brokerCode(t, err, "INVALID_RECORD")
					require.False(t, producer.MaybeWritten(err))
					require.False(t, producer.Retriable(err))
					continue
				}
				require.NoError(t, err)
				require.Equal(t, offset, md.Offset)
				offset++
			}
			require.Equal(t, []string{"0", "2", "3", "4", "6", "7", "8"}, written(c, 0))
		})
	}
}

func TestFateOfErrors(t *testing.T) {
	require.False(t, producer.MaybeWritten(nil))
	require.False(t, producer.Retriable(nil))
	require.True(t, producer.MaybeWritten(io.EOF))
	require.False(t, producer.Retriable(io.EOF))
	require.True(t, producer.MaybeWritten(context.Canceled))
	for _, fate := range []producer.Fate{producer.FateNotWritten, producer.FateRejected, producer.FateMaybeWritten} {
		err := fmt.Errorf("wrapped: %w", &producer.Error{Fate: fate, Err: producer.ErrClosed})
		require.Equal(t, fate, producer.FateOf(err))
		require.Equal(t, fate == producer.FateMaybeWritten, producer.MaybeWritten(err))
		require.Equal(t, fate == producer.FateNotWritten, producer.Retriable(err))
	}
}

func TestBrokersWordsReachTheError(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		c.On(protocol.Produce).Do(testbroker.Reject(protocol.PolicyViolation, "not on a Sunday", nil))
		_, err := p.Send(t.Context(), to(0, "secret"), nil).Get(t.Context())
		brokerCode(t, err, "POLICY_VIOLATION")
		require.ErrorContains(t, err, "not on a Sunday")
		require.ErrorContains(t, err, `topic "t" partition 0`)
		require.NotContains(t, err.Error(), "secret")
		require.False(t, producer.MaybeWritten(err))
	})
}

// panics is a partitioner that panics.
type panics struct{}

func (panics) Partition(*producer.Record, producer.TopicView) int32 { panic("no partition today") }

func TestAPartitionerThatPanicsFailsTheRecord(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		var log logs
		p := start(t, c, func(cfg *producer.Config) { cfg.Partitioner, cfg.Logger = panics{}, log.logger() })
		notWritten(t, p.Send(t.Context(), &producer.Record{Topic: "t"}, nil), producer.ErrPartitioner)
		synctest.Wait() // the log is written on a goroutine of its own
		require.Contains(t, log.String(), "no partition today")
		require.Contains(t, log.String(), "send_test.go", "the stack")
		_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
		require.NoError(t, err)
	})
}

// A Send waits for room for a large batch, but after max.block.ms it takes the free room. A later TrySend finds no
// room.
func TestABufferIsFullWhenThereIsNoRoomForTheRecord(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) {
			cfg.BufferMemory, cfg.BatchSize, cfg.MaxBlock = 64<<10+1100, 4<<10, time.Second
		})
		c.Hang(1)
		var all []producer.Future
		waited := 0
		for {
			began := time.Now()
			f := p.Send(t.Context(), sized(400), nil)
			if time.Since(began) > 0 {
				waited++
			}
			if isOver(f) {
				notWritten(t, f, producer.ErrBufferFull)
				break
			}
			all = append(all, f)
		}
		require.Greater(t, waited, 1, "one that waited has found room for itself")
		notWritten(t, p.TrySend(sized(400), nil), producer.ErrBufferFull)
		c.Unhang(1)
		for _, f := range all {
			_, err := f.Get(t.Context())
			require.NoError(t, err)
		}
	})
}
