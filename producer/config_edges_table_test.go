package producer

import (
	"context"
	"math"
	"strings"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
)

const (
	edgeInt  = "2147483647"
	edgeLong = "9223372036854775807"
	overInt  = "2147483648"
	overLong = "9223372036854775808"
)

// edgeRows is the table of all options at the ends of their ranges; docs/options.md shows it.
func edgeRows() []edgeRow {
	var rows []edgeRow
	for _, part := range [][]edgeRow{
		edgeWords(), edgeDelivery(), edgeTimeouts(), edgeSizes(), edgeLevels(), edgePartitioner(), edgeBackoffs(),
		edgeConnections(), edgeMetadata(),
	} {
		rows = append(rows, part...)
	}
	return rows
}

func refuse(property, why string, values ...string) (rows []edgeRow) {
	for _, value := range values {
		rows = append(rows, edgeRow{property: property, value: value, refused: why})
	}
	return rows
}

func rowsOf(parts ...[]edgeRow) (rows []edgeRow) {
	for _, part := range parts {
		rows = append(rows, part...)
	}
	return rows
}

// edgeWords are the properties with words as values.
func edgeWords() []edgeRow {
	acks := func(want int16) func(e *edge) {
		return func(e *edge) {
			e.warm()
			require.Equal(e, want, e.c.Produces()[0].Acks)
		}
	}
	idempotence := func(id bool) func(e *edge) {
		return func(e *edge) {
			e.warm()
			require.Equal(e, id, e.c.Produces()[0].Parts[0].Batch.Header.ProducerID >= 0)
		}
	}
	codec := func(want Compression) func(e *edge) {
		return func(e *edge) {
			e.delivers()
			require.EqualValues(e, want, e.c.Produces()[3].Parts[0].Batch.Header.Codec())
		}
	}
	create := func(created bool) func(e *edge) {
		return func(e *edge) {
			e.brokers, e.cfg.MaxBlock = testbroker.Config{Topics: map[string]int32{"other": 1}, AutoCreate: true},
				time.Second
			e.start()
			err := e.get(e.send("x"))
			if created {
				require.NoError(e, err)
			} else {
				require.ErrorIs(e, err, ErrUnknownTopic)
			}
		}
	}
	ignoreKeys := func(ignore bool) func(e *edge) {
		return func(e *edge) {
			chooser := newPartitionChooser(&e.cfg)
			view := newTopicView("t", 8, []int32{5}) // the sticky partitioner chooses only partitions with a leader
			require.NotEqualValues(e, 5, PartitionForKey([]byte("k"), 8))
			n, failed := chooser.choose(&Record{Key: []byte("k")}, &view, stickyTopicOf(&e.cfg, view))
			require.Nil(e, failed)
			require.Equal(e, ignore, n == 5)
		}
	}
	adaptive := func(weighs bool) func(e *edge) {
		return func(e *edge) {
			require.Equal(e, weighs, newStickyTopic(&e.cfg, TopicView{}, edgeLoad, 1).slots[0].load != nil)
		}
	}
	strategy := func(rebootstrap bool) func(e *edge) {
		return func(e *edge) {
			e.startElsewhere()
			e.moveAway()
			_, err := e.p.PartitionsFor(context.Background(), "new")
			require.Equal(e, rebootstrap, err == nil, "%v", err)
		}
	}
	port := func(e *edge) {
		e.prepare()
		server := e.cfg.clone().BootstrapServers[0]
		parsed, err := ParseProperties(propertyMap{"bootstrap.servers": "a:1,a:65535"})
		require.NoError(e, err)
		for _, address := range parsed.BootstrapServers {
			e.c.Alias(address, 1)
		}
		e.cfg.BootstrapServers = parsed.BootstrapServers
		require.NotContains(e, e.cfg.BootstrapServers, server)
		e.delivers()
	}
	clientID := func(e *edge) {
		want := e.cfg.ClientID
		e.delivers()
		require.Equal(e, want, *e.c.Produces()[0].Header.ClientID)
	}
	boolRange := "not in the range true, false"
	return rowsOf([]edgeRow{
		{property: "bootstrap.servers", value: "a:1", does: "the lowest port", test: port},
		{property: "bootstrap.servers", value: "a:65535", does: "the highest port", test: port},
		{property: "acks", value: "all", does: "asks for -1: all in-sync replicas", test: acks(-1)},
		{property: "acks", value: "-1", does: "the same as all", test: acks(-1)},
		{property: "acks", value: "0", does: "waits for no answer", test: acks(0)},
		{property: "acks", value: "1", does: "waits for the leader", test: acks(1)},
		{property: "enable.idempotence", value: "true", does: "batches carry a producer id", test: idempotence(true)},
		{property: "enable.idempotence", value: "false", does: "batches carry none", test: idempotence(false)},
		{property: "compression.type", value: "none", does: "no codec", test: codec(CompressionNone)},
		{property: "compression.type", value: "gzip", does: "gzip", test: codec(CompressionGzip)},
		{property: "compression.type", value: "snappy", does: "snappy", test: codec(CompressionSnappy)},
		{property: "compression.type", value: "lz4", does: "lz4", test: codec(CompressionLZ4)},
		{property: "compression.type", value: "zstd", does: "zstd", test: codec(CompressionZstd)},
		{property: "client.id", value: "", does: "requests carry an empty client id", test: clientID},
		{property: "client.id", value: "x", does: "requests carry it", test: clientID},
		{property: "client.id", value: strings.Repeat("x", math.MaxInt16), does: "requests carry it", test: clientID},
		{property: "partitioner.adaptive.partitioning.enable", value: "true", does: "queues are weighed",
			test: adaptive(true)},
		{property: "partitioner.adaptive.partitioning.enable", value: "false", does: "queues are not weighed",
			test: adaptive(false)},
		{property: "partitioner.ignore.keys", value: "true", does: "a key does not choose the partition",
			test: ignoreKeys(true)},
		{property: "partitioner.ignore.keys", value: "false", does: "a key chooses the partition",
			test: ignoreKeys(false)},
		{property: "allow.auto.create.topics", value: "true", does: "a topic is created at its first record",
			test: create(true)},
		{property: "allow.auto.create.topics", value: "false", does: "no topic is created", test: create(false)},
		{property: "metadata.recovery.strategy", value: "rebootstrap", does: "the bootstrap servers are asked again",
			test: strategy(true)},
		{property: "metadata.recovery.strategy", value: "none", does: "the known brokers are tried on",
			test: strategy(false)},
	},
		refuse("bootstrap.servers", "name at least one server", ""),
		refuse("bootstrap.servers", "the port is not in the range 1 to 65535", "a:0", "a:65536", "a:-1"),
		refuse("acks", "not in the range all, -1, 0, 1", "", "2", "-2"),
		refuse("enable.idempotence", boolRange, "", "0", "1", "-1"),
		refuse("partitioner.adaptive.partitioning.enable", boolRange, "", "0", "1", "-1"),
		refuse("partitioner.ignore.keys", boolRange, "", "0", "1", "-1"),
		refuse("allow.auto.create.topics", boolRange, "", "0", "1", "-1"),
		refuse("compression.type", "not in the range none, gzip, snappy, lz4, zstd", "", "0", "1", "-1"),
		refuse("metadata.recovery.strategy", "not in the range rebootstrap, none", "", "0", "1", "-1"),
		refuse("client.id", "not in the range at most 32767 bytes of UTF-8, no control characters",
			strings.Repeat("x", math.MaxInt16+1), "\xff", "a\nb", "a\x00b", "a\u0085b"),
	)
}

// edgeDelivery are the options that count something in the delivery.
func edgeDelivery() []edgeRow {
	retries := func(attempts int) func(e *edge) {
		return func(e *edge) {
			e.cfg.DeliveryTimeout = time.Minute
			e.warm()
			e.tooFewReplicas()
			began := time.Now()
			err := e.get(e.send("x"))
			require.False(e, MaybeWritten(err))
			if attempts > 0 {
				require.Len(e, e.attempts(), attempts)
				return
			}
			require.ErrorIs(e, err, ErrDeliveryTimeout)
			require.Equal(e, time.Minute, time.Since(began))
			require.Greater(e, len(e.attempts()), 50)
		}
	}
	inFlight := func(most int) func(e *edge) {
		return func(e *edge) {
			e.cfg.Linger, e.cfg.EnableIdempotence = 0, false
			e.warm()
			e.c.Mute(1)
			for i := range int32(8) {
				e.p.Send(context.Background(), &Record{Topic: "t", Partition: InPartition(i)}, nil)
				synctest.Wait()
			}
			require.Len(e, e.attempts(), most)
			e.c.Unhang(1)
			require.NoError(e, e.p.Flush(context.Background()))
		}
	}
	return rowsOf([]edgeRow{
		{property: "retries", value: "0", does: "one attempt", test: retries(1)},
		{property: "retries", value: "1", does: "two attempts", test: retries(2)},
		{property: "retries", value: edgeInt, does: "attempts until delivery.timeout.ms ends", test: retries(0)},
		{property: "max.in.flight.requests.per.connection", value: "1", does: "one request at a time",
			test: inFlight(1)},
		{property: "max.in.flight.requests.per.connection", value: edgeInt,
			does: "no bound; idempotence is off, unless it is written: then it is an error", test: inFlight(8)},
	},
		refuse("retries", "range 0 to 2147483647", "-1", overInt),
		refuse("max.in.flight.requests.per.connection", "range 1 to 2147483647", "0", "-1", overInt),
	)
}

// edgeTimeouts are the options with a time of the delivery.
func edgeTimeouts() []edgeRow {
	const longest = math.MaxInt32 * time.Millisecond
	seldom := func(e *edge) { e.cfg.RetryBackoffMax, e.cfg.ReconnectBackoffMax = time.Hour, time.Hour }
	atOnce := propertyMap{"linger.ms": "0", "request.timeout.ms": "0"}
	nothing := func(e *edge) {
		e.cfg.MaxBlock = 3 * time.Second
		e.start()
		took, _ := e.fails(ErrMetadataTimeout, false)
		require.Equal(e, 3*time.Second, took)
		require.Empty(e, e.c.Produces())
	}
	return rowsOf([]edgeRow{
		{property: "delivery.timeout.ms", value: "0", with: atOnce, test: nothing,
			does: "needs request.timeout.ms=0, which fails every record"},
		{property: "delivery.timeout.ms", value: "1", with: propertyMap{"linger.ms": "0", "request.timeout.ms": "1"},
			does: "a record fails a millisecond after Send", test: func(e *edge) {
				e.warm()
				require.NoError(e, e.get(e.send("an answer in no time")))
				e.c.On(protocol.Produce).Do(testbroker.Delay(time.Second))
				took, _ := e.fails(ErrDeliveryTimeout, true)
				require.Equal(e, time.Millisecond, took)
			}},
		{property: "delivery.timeout.ms", value: edgeInt, does: "a record fails 24.8 days after Send",
			test: func(e *edge) {
				seldom(e)
				e.warm()
				e.c.StopBroker(1)
				took, _ := e.fails(ErrDeliveryTimeout, false)
				require.Equal(e, longest, took)
			}},
		{property: "request.timeout.ms", value: "0",
			does: "every request times out at once, so every Send fails after max.block.ms", test: nothing},
		{property: "request.timeout.ms", value: "1", with: propertyMap{"retries": "0"},
			does: "an answer may take a millisecond", test: func(e *edge) {
				e.warm()
				e.c.On(protocol.Produce).Do(testbroker.Delay(time.Second))
				took, _ := e.fails(ErrDisconnected, true)
				require.Equal(e, time.Millisecond, took)
			}},
		{property: "request.timeout.ms", value: edgeInt,
			does: "an answer may take 24.8 days; delivery.timeout.ms grows with it, unless it is written: then it is an error", test: func(e *edge) {
				seldom(e)
				e.warm()
				require.EqualValues(e, math.MaxInt32, e.c.Produces()[0].Message.(*protocol.ProduceRequest).TimeoutMs)
				e.c.Mute(1)
				f := e.send("x")
				time.Sleep(6 * time.Hour)
				e.c.Unhang(1)
				require.NoError(e, e.get(f))
				require.Len(e, e.attempts(), 1)
			}},
		{property: "max.block.ms", value: "0",
			does: "Send and PartitionsFor do not wait; Send asks for metadata all the same", test: func(e *edge) {
				e.prepare()
				e.c.On(protocol.Metadata).Do(testbroker.Delay(time.Second))
				e.start()
				took, _ := e.fails(ErrMetadataTimeout, false)
				require.Zero(e, took)
				_, err := e.p.PartitionsFor(context.Background(), "t")
				require.ErrorIs(e, err, ErrMetadataTimeout)
				time.Sleep(5 * time.Second)
				require.NoError(e, e.get(e.send("x")))
			}},
		{property: "max.block.ms", value: "1", does: "Send waits for a millisecond", test: func(e *edge) {
			e.prepare()
			e.c.On(protocol.Metadata).Do(testbroker.Delay(time.Second))
			e.start()
			took, _ := e.fails(ErrMetadataTimeout, false)
			require.Equal(e, time.Millisecond, took)
		}},
		{property: "max.block.ms", value: edgeLong, does: "Send waits as long as it takes", test: func(e *edge) {
			seldom(e)
			e.brokers.Topics = map[string]int32{"other": 1}
			e.cfg.TopicMetadataPropagationMax = -time.Millisecond
			e.start()
			time.AfterFunc(10*24*time.Hour, func() { e.c.CreateTopic("t", 1) })
			require.NoError(e, e.get(e.send("x")))
		}},
		{property: "linger.ms", value: "0", does: "a batch is sent at once", test: edgeLinger(0)},
		{property: "linger.ms", value: "1", does: "a batch waits for a millisecond",
			test: edgeLinger(time.Millisecond)},
		{property: "linger.ms", value: edgeLong,
			does: "a batch is sent when it is full, or Get, Flush or Close waits for it; delivery.timeout.ms grows to its largest", test: func(e *edge) {
				e.warm()
				f := e.send("x")
				time.Sleep(longest - time.Hour)
				require.Len(e, e.c.Produces(), 1)
				require.NoError(e, e.p.Flush(context.Background()))
				require.NoError(e, e.get(f))
				require.Equal(e, longest, e.cfg.DeliveryTimeout)
			}},
	},
		refuse("delivery.timeout.ms", "range 0 to 2147483647", "-1", overInt),
		refuse("request.timeout.ms", "range 0 to 2147483647", "-1", overInt),
		refuse("max.block.ms", "range 0 or more", "-1", overLong),
		refuse("linger.ms", "range 0 or more", "-1", overLong),
	)
}

func edgeLinger(want time.Duration) func(e *edge) {
	return func(e *edge) {
		e.warm()
		began := time.Now()
		<-e.send("x").Done()
		require.Equal(e, want, time.Since(began))
	}
}

// edgeSizes are the options in bytes.
func edgeSizes() []edgeRow {
	alone := func(e *edge) {
		e.warm()
		e.c.Mute(1)
		for range 5 {
			e.send("x")
		}
		e.c.Unhang(1)
		require.NoError(e, e.p.Flush(context.Background()))
		for _, r := range e.c.Produces() {
			for _, part := range r.Parts {
				require.EqualValues(e, 1, part.Batch.Header.Count)
			}
		}
		require.Equal(e, 6, e.c.Records("t"))
	}
	nothingFits := func(says string) func(e *edge) {
		return func(e *edge) {
			e.start()
			_, err := e.p.PartitionsFor(context.Background(), "t")
			require.NoError(e, err)
			for _, value := range []string{"", "x"} {
				err := e.get(e.send(value))
				require.ErrorIs(e, err, ErrRecordTooLarge)
				require.ErrorContains(e, err, says)
				// A record without a partition takes the fast path through Send.
				require.ErrorIs(e, e.get(e.p.Send(context.Background(), &Record{Topic: "t"}, nil)), ErrRecordTooLarge)
			}
			require.Empty(e, e.c.Produces())
			records, used := e.p.Buffered()
			require.Zero(e, records)
			require.Zero(e, used)
		}
	}
	unbounded := propertyMap{"max.request.size": edgeInt, "buffer.memory": edgeLong}
	return rowsOf([]edgeRow{
		{property: "batch.size", value: "0", does: "each record is sent alone", test: alone},
		{property: "batch.size", value: "1", does: "each record is sent alone", test: alone},
		{property: "batch.size", value: edgeInt, with: unbounded,
			does: "records are sent together as long as they linger; needs max.request.size and buffer.memory as large",
			test: func(e *edge) {
				e.cfg.Linger = time.Minute
				e.warm()
				for range 3000 {
					e.send(strings.Repeat("x", 100))
				}
				require.Len(e, e.c.Produces(), 1)
				time.Sleep(time.Minute)
				require.NoError(e, e.p.Flush(context.Background()))
				require.Len(e, e.c.Produces(), 2)
				require.Equal(e, 3001, e.c.Records("t"))
			}},
		{property: "buffer.memory", value: "0",
			does: "every record is too large; batch.size shrinks to it, unless it is written: then it is an error",
			test: nothingFits("buffer.memory is 0")},
		{property: "buffer.memory", value: "1",
			does: "every record is too large; batch.size shrinks to it, unless it is written: then it is an error",
			test: nothingFits("buffer.memory is 1")},
		{property: "buffer.memory", value: edgeLong, does: "no bound", test: func(e *edge) {
			e.delivers()
			again := make(chan error, 1)
			e.p.Send(context.Background(), &Record{Topic: "t"}, func(RecordMetadata, error) {
				again <- e.get(e.send("inside a callback"))
			})
			require.NoError(e, <-again)
		}},
		{property: "max.request.size", value: "0",
			does: "every record is too large; batch.size shrinks to it, unless it is written: then it is an error",
			test: nothingFits("max.request.size is 0")},
		{property: "max.request.size", value: "1",
			does: "every record is too large; batch.size shrinks to it, unless it is written: then it is an error",
			test: nothingFits("max.request.size is 1")},
		{property: "max.request.size", value: edgeInt, does: "the broker's message.max.bytes alone bounds a record",
			test: func(e *edge) {
				e.brokers.MessageMaxBytes = 10 << 20
				e.delivers()
				require.NoError(e, e.get(e.send(strings.Repeat("x", 3<<20))))
			}},
	},
		refuse("batch.size", "range 0 to 2147483647", "-1", overInt),
		refuse("buffer.memory", "range 0 or more", "-1", overLong),
		refuse("max.request.size", "range 0 to 2147483647", "-1", overInt),
	)
}

// edgeLevels are the codecs' levels.
func edgeLevels() []edgeRow {
	accept := func(codec Compression, does string, values ...string) (rows []edgeRow) {
		for _, value := range values {
			rows = append(rows, edgeRow{property: "compression." + codec.String() + ".level", value: value, does: does,
				with: propertyMap{"compression.type": codec.String()},
				test: func(e *edge) {
					e.delivers()
					require.EqualValues(e, codec, e.c.Produces()[3].Parts[0].Batch.Header.Codec())
				}})
		}
		return rows
	}
	return rowsOf(
		accept(CompressionGzip, "the library's own default", "-1"), accept(CompressionGzip, "that level", "1", "9"),
		refuse("compression.gzip.level", "range -1 and 1 to 9", "0", "-2", "10", edgeInt),
		accept(CompressionLZ4, "that level", "1", "17"),
		refuse("compression.lz4.level", "range 1 to 17", "0", "-1", "18", edgeInt),
		accept(CompressionZstd, "that level", "-131072", "-1", "1", "22"),
		accept(CompressionZstd, "level 3, as zstd itself says", "0"),
		refuse("compression.zstd.level", "range -131072 to 22", "-131073", "23", edgeInt),
	)
}

// edgeLoad is a topic with a partition 0 that was not served for a second.
func edgeLoad(partition int32, _ time.Time) stickyLoad {
	if partition == 0 {
		return stickyLoad{stalled: time.Second}
	}
	return stickyLoad{}
}

func edgePartitioner() []edgeRow {
	leavesOut := func(out bool) func(e *edge) {
		return func(e *edge) {
			s := newStickyTopic(&e.cfg, newTopicView("t", 2, []int32{0, 1}), edgeLoad, 1)
			chosen := map[int32]bool{}
			for range 100 {
				n := s.pick()
				chosen[n] = true
				s.appended(n, 1<<20, true, false)
			}
			require.True(e, chosen[1])
			require.Equal(e, out, !chosen[0])
		}
	}
	return rowsOf([]edgeRow{
		{property: "partitioner.availability.timeout.ms", value: "0", does: "no partition is left out",
			test: leavesOut(false)},
		{property: "partitioner.availability.timeout.ms", value: "1",
			does: "a partition is left out that has not been served for a millisecond", test: leavesOut(true)},
		{property: "partitioner.availability.timeout.ms", value: edgeLong, does: "no partition is left out",
			test: leavesOut(false)},
	},
		refuse("partitioner.availability.timeout.ms", "range 0 or more", "-1", overLong),
	)
}

// edgeBackoffs are the waits between attempts.
func edgeBackoffs() []edgeRow {
	const ms = time.Millisecond
	// retried requires these waits between the first attempts at a partition.
	retried := func(want ...time.Duration) func(e *edge) {
		return func(e *edge) {
			e.cfg.DeliveryTimeout, e.cfg.RequestTimeout = 15*time.Second, time.Second
			e.warm()
			e.tooFewReplicas()
			took, _ := e.fails(ErrDeliveryTimeout, false)
			require.Equal(e, 15*time.Second, took)
			e.gaps(e.attempts(), want...)
		}
	}
	// redialed requires these waits between the first connections to a refusing server.
	redialed := func(want ...time.Duration) func(e *edge) {
		return func(e *edge) {
			e.cfg.MaxBlock, e.cfg.RetryBackoff, e.cfg.RetryBackoffMax = 8*time.Second, ms, ms
			e.prepare()
			e.c.StopBroker(1)
			e.start()
			took, _ := e.fails(ErrMetadataTimeout, false)
			require.Equal(e, 8*time.Second, took)
			e.gaps(e.dialsTo("", time.Time{}), want...)
		}
	}
	once := func(counted func(e *edge) int, test func(e *edge)) func(e *edge) {
		return func(e *edge) {
			test(e)
			require.Equal(e, 1, counted(e))
		}
	}
	attempts := func(e *edge) int { return len(e.attempts()) }
	dials := func(e *edge) int { return len(e.dialsTo("", time.Time{})) }
	repeat := []time.Duration{ms, ms, ms, ms, ms, ms, ms, ms}
	return rowsOf([]edgeRow{
		{property: "retry.backoff.ms", value: "0", does: "a retry every millisecond", test: retried(repeat...)},
		{property: "retry.backoff.ms", value: "1", does: "the first retry after a millisecond",
			test: retried(ms, 2*ms, 4*ms, 8*ms)},
		{property: "retry.backoff.ms", value: edgeLong,
			does: "no retry before delivery.timeout.ms ends; retry.backoff.max.ms grows with it, unless it is written: then it is an error", test: once(attempts, retried())},
		{property: "retry.backoff.max.ms", value: "0",
			does: "a retry every millisecond; retry.backoff.ms shrinks with it, unless it is written: then it is an error", test: retried(repeat...)},
		{property: "retry.backoff.max.ms", value: "1",
			does: "a retry every millisecond; retry.backoff.ms shrinks with it, unless it is written: then it is an error", test: retried(repeat...)},
		{property: "retry.backoff.max.ms", value: edgeLong, does: "waits double without a bound",
			test: retried(100*ms, 200*ms, 400*ms, 800*ms, 1600*ms, 3200*ms, 6400*ms)},
		{property: "reconnect.backoff.ms", value: "0", does: "another connection every millisecond",
			test: redialed(repeat...)},
		{property: "reconnect.backoff.ms", value: "1", does: "the next connection after a millisecond",
			test: redialed(ms, 2*ms, 4*ms, 8*ms)},
		{property: "reconnect.backoff.ms", value: edgeLong,
			does: "no other connection to a server that failed; reconnect.backoff.max.ms grows with it, unless it is written: then it is an error", test: once(dials, redialed())},
		{property: "reconnect.backoff.max.ms", value: "0",
			does: "another connection every millisecond; reconnect.backoff.ms shrinks with it, unless it is written: then it is an error", test: redialed(repeat...)},
		{property: "reconnect.backoff.max.ms", value: "1",
			does: "another connection every millisecond; reconnect.backoff.ms shrinks with it, unless it is written: then it is an error", test: redialed(repeat...)},
		{property: "reconnect.backoff.max.ms", value: edgeLong, does: "waits double without a bound",
			test: redialed(50*ms, 100*ms, 200*ms, 400*ms, 800*ms, 1600*ms, 3200*ms)},
	},
		refuse("retry.backoff.ms", "range 0 or more", "-1", overLong),
		refuse("retry.backoff.max.ms", "range 0 or more", "-1", overLong),
		refuse("reconnect.backoff.ms", "range 0 or more", "-1", overLong),
		refuse("reconnect.backoff.max.ms", "range 0 or more", "-1", overLong),
	)
}

// edgeConnections are the options of connections.
func edgeConnections() []edgeRow {
	const ms = time.Millisecond
	// setup requires these waits between the first connections to a silent server: the setup timeouts.
	setup := func(most time.Duration, want ...time.Duration) func(e *edge) {
		return func(e *edge) {
			e.cfg.MaxBlock, e.cfg.ReconnectBackoff, e.cfg.ReconnectBackoffMax = most, ms, ms
			e.cfg.RetryBackoff, e.cfg.RetryBackoffMax = ms, ms
			e.prepare()
			e.c.Isolate(1)
			e.start()
			took, _ := e.fails(ErrMetadataTimeout, false)
			require.Equal(e, most, took)
			at := e.dialsTo("", time.Time{})
			if len(want) == 0 {
				require.Len(e, at, 1, "it is still being made")
				return
			}
			for i, w := range want {
				require.InDelta(e, w, at[i+1].Sub(at[i]), 0.25*float64(w)+float64(2*ms), "gap %d", i)
			}
		}
	}
	works := func(e *edge) { e.delivers() }
	stays := func(e *edge) {
		e.warm()
		before := e.later()
		time.Sleep(2 * 24 * time.Hour)
		require.NoError(e, e.get(e.send("x")))
		require.Empty(e, e.dialsTo("", before))
	}
	sockets := func(e *edge) {
		e.start()
		for range 20 {
			require.NoError(e, e.get(e.send(strings.Repeat("x", 50_000))))
		}
		require.Equal(e, 20, e.c.Records("t"))
	}
	noBuffer := "a socket cannot have a buffer of 0 bytes; -1 leaves it to the operating system"
	return rowsOf([]edgeRow{
		{property: "socket.connection.setup.timeout.ms", value: "1",
			does: "a connection may take a millisecond, longer after failures",
			test: setup(time.Second, ms, 2*ms, 4*ms, 8*ms)},
		{property: "socket.connection.setup.timeout.ms", value: edgeLong,
			does: "a connection may take as long as it takes; its .max grows with it, unless it is written: then it is an error", test: setup(24 * time.Hour)},
		{property: "socket.connection.setup.timeout.max.ms", value: "1",
			does: "a connection may take a millisecond; socket.connection.setup.timeout.ms shrinks with it, unless it is written: then it is an error", test: setup(time.Second, ms, ms, ms, ms)},
		{property: "socket.connection.setup.timeout.max.ms", value: edgeLong,
			does: "the time that a connection may take doubles without a bound",
			test: setup(10*time.Minute, 10*time.Second, 20*time.Second, 40*time.Second, 80*time.Second)},
		{property: "connections.max.idle.ms", value: "-1", does: "connections stay open", test: stays},
		{property: "connections.max.idle.ms", value: "1",
			does: "a connection is closed a millisecond after its last answer", test: func(e *edge) {
				e.delivers()
				before := e.later()
				require.NoError(e, e.get(e.send("x")))
				require.NotEmpty(e, e.dialsTo("", before))
			}},
		{property: "connections.max.idle.ms", value: edgeLong, does: "connections stay open", test: stays},
		{property: "send.buffer.bytes", value: "-1", does: "the operating system chooses", test: sockets},
		{property: "send.buffer.bytes", value: "1", does: "the least that the operating system allows", test: sockets},
		{property: "send.buffer.bytes", value: edgeInt, does: "the most that the operating system allows",
			test: sockets},
		{property: "receive.buffer.bytes", value: "-1", does: "the operating system chooses", test: sockets},
		{property: "receive.buffer.bytes", value: "1", does: "the least that the operating system allows",
			test: sockets},
		{property: "receive.buffer.bytes", value: edgeInt, does: "the most that the operating system allows",
			test: sockets},
	},
		[]edgeRow{{property: "connections.max.idle.ms", value: "2", does: "as 1", test: works}},
		refuse("socket.connection.setup.timeout.ms", "range 1 or more", "0", "-1", overLong),
		refuse("socket.connection.setup.timeout.max.ms", "range 1 or more", "0", "-1", overLong),
		refuse("connections.max.idle.ms",
			"0 would close each connection before its first request; -1 keeps connections open", "0"),
		refuse("connections.max.idle.ms", "range -1 and 1 or more", "-2", overLong),
		refuse("send.buffer.bytes", noBuffer, "0"), refuse("send.buffer.bytes", "range -1 and 1 to 2147483647", "-2",
			overInt),
		refuse("receive.buffer.bytes", noBuffer, "0"), refuse("receive.buffer.bytes", "range -1 and 1 to 2147483647",
			"-2", overInt),
	)
}

// startElsewhere starts a producer on three brokers; the third leads no partition. The bootstrap server is the third
// broker under a name that the metadata does not have.
func (e *edge) startElsewhere() {
	e.brokers = testbroker.Config{Brokers: 3, Topics: map[string]int32{"t": 2}}
	e.prepare()
	e.c.Alias("boot:9092", 3)
	e.cfg.BootstrapServers, e.cfg.MaxBlock = []string{"boot:9092"}, 5*time.Minute
	e.warm()
	require.NoError(e, e.get(e.p.Send(context.Background(), &Record{Topic: "t", Partition: InPartition(1)}, nil)))
	synctest.Wait()
}

// moveAway ends all connections, the metadata connection first, and makes new connections to the brokers' own names
// fail. Connections to the bootstrap server's name still work.
func (e *edge) moveAway() {
	e.c.CreateTopic("new", 1)
	e.c.Disconnect(3)
	synctest.Wait()
	e.mu.Lock()
	e.gone = []string{e.c.Address(1), e.c.Address(2), e.c.Address(3)}
	e.mu.Unlock()
	e.c.Disconnect(1)
	e.c.Disconnect(2)
}

// edgeMetadata are the options of metadata.
func edgeMetadata() []edgeRow {
	refreshes := func(e *edge) {
		e.warm()
		began := time.Now()
		time.Sleep(10 * time.Second)
		require.InDelta(e, 100, e.metadataOf(began), 25, "every 100 ms with 20 % of jitter")
		time.Sleep(10 * time.Minute)
		idle := time.Now()
		time.Sleep(time.Hour)
		require.Zero(e, e.metadataOf(idle), "a topic that nobody uses is forgotten")
		require.NoError(e, e.get(e.send("x")))
	}
	// order requires that the client asks this many silent known brokers before the bootstrap server.
	order := func(known int) func(e *edge) {
		return func(e *edge) {
			e.startElsewhere()
			before := e.later()
			e.moveAway()
			_, err := e.p.PartitionsFor(context.Background(), "new")
			require.NoError(e, err)
			boot := e.dialsTo("boot:9092", before)[0]
			require.Len(e, e.dialsTo("", before), known+1)
			require.Equal(e, time.Duration(known)*e.cfg.SocketConnectionSetupTimeout/10, boot.Sub(before))
		}
	}
	// missing requires that a missing topic fails after this time.
	missing := func(after time.Duration) func(e *edge) {
		return func(e *edge) {
			e.brokers.Topics = map[string]int32{"other": 1}
			e.start()
			took, _ := e.fails(ErrUnknownTopic, false)
			require.Equal(e, after, took)
		}
	}
	const propagation = "topic.metadata.propagation.max.ms"
	return rowsOf([]edgeRow{
		{property: propagation, value: "-1",
			does: "Send waits for a topic that does not exist until max.block.ms is over", test: func(e *edge) {
				e.brokers.Topics = map[string]int32{"other": 1}
				e.start()
				took, _ := e.fails(ErrUnknownTopic, false)
				require.Equal(e, e.cfg.MaxBlock, took)
			}},
		{property: propagation, value: "0", does: "the first response without the topic fails the Send",
			test: missing(0)},
		{property: propagation, value: "1", does: "the first response after a millisecond fails the Send",
			test: missing(time.Millisecond)},
		{property: propagation, value: edgeLong, does: "Send waits for a topic that does not exist until max.block.ms",
			test: func(e *edge) {
				e.brokers.Topics = map[string]int32{"other": 1}
				e.start()
				took, _ := e.fails(ErrUnknownTopic, false)
				require.Equal(e, e.cfg.MaxBlock, took)
			}},
		{property: "metadata.max.age.ms", value: "0", does: "metadata is refreshed as often as retry.backoff.ms allows",
			test: refreshes},
		{property: "metadata.max.age.ms", value: "1", does: "metadata is refreshed as often as retry.backoff.ms allows",
			test: refreshes},
		{property: "metadata.max.age.ms", value: edgeLong, does: "metadata is not refreshed before something fails",
			test: func(e *edge) {
				e.warm()
				began := e.later()
				time.Sleep(365 * 24 * time.Hour)
				require.NoError(e, e.get(e.send("x")))
				require.Zero(e, e.metadataOf(began))
			}},
		{property: "metadata.max.idle.ms", value: "5000",
			does: "the next refresh forgets a topic that was not used for five seconds", test: func(e *edge) {
				e.cfg.MetadataMaxAge = time.Second
				e.warm()
				time.Sleep(4500 * time.Millisecond)
				require.Equal(e, 5, e.metadataOf(time.Time{}))
				late := time.Now().Add(time.Second)
				time.Sleep(time.Minute)
				require.Zero(e, e.metadataOf(late))
				require.NoError(e, e.get(e.send("x")))
			}},
		{property: "metadata.max.idle.ms", value: edgeLong, does: "no topic is forgotten", test: func(e *edge) {
			e.warm()
			time.Sleep(2 * 24 * time.Hour)
			late := e.later()
			time.Sleep(time.Hour)
			require.InDelta(e, 12, e.metadataOf(late), 1)
		}},
		{property: "metadata.recovery.rebootstrap.trigger.ms", value: "0",
			does: "the bootstrap servers come after the first broker that does not answer", test: order(1)},
		{property: "metadata.recovery.rebootstrap.trigger.ms", value: "1",
			does: "the bootstrap servers come after a broker that has not answered for a millisecond", test: order(1)},
		{property: "metadata.recovery.rebootstrap.trigger.ms", value: edgeLong,
			does: "the bootstrap servers come after all known brokers", test: order(3)},
	},
		refuse("metadata.max.age.ms", "range 0 or more", "-1", overLong),
		refuse(propagation, "range -1 or more", "-2", overLong),
		refuse("metadata.max.idle.ms", "range 5000 or more", "-1", "0", "1", "4999", overLong),
		refuse("metadata.recovery.rebootstrap.trigger.ms", "range 0 or more", "-1", overLong),
	)
}
