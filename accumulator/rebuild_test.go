package accumulator

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/compress"
	"github.com/gosamsa/samsa/record"
)

func compressorFor(t testing.TB, codec compress.Codec) *compress.Compressor {
	t.Helper()
	c, err := compress.NewCompressor(codec, codec.DefaultLevel())
	require.NoError(t, err)
	return c
}

func blame(reason string, indexes ...int32) map[int32]*record.Error {
	blamed := map[int32]*record.Error{}
	for _, j := range indexes {
		blamed[j] = &record.Error{Topic: "t", Err: errors.New(reason)}
	}
	return blamed
}

func TestRejectFailsTheBlamedAndKeepsTheOthersInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{})
		p := a.Topic("t").Partition(0)
		var l log
		var all []AppendResult
		for i := range 6 {
			all = append(all, put(t, p, fmt.Sprint("record ", i), l.callback(fmt.Sprint(i))))
		}
		require.True(t, cancelOf(all[1]))
		b := take(t, p) // 0 2 3 4 5
		rest, err := p.Reject(b, blame("bad", 1, 4, 77))
		require.NoError(t, err)
		require.Equal(t, []string{"record 0", "record 3", "record 4"}, valuesOf(t, rest))
		require.Equal(t, b.Created, rest.Created)
		records, bytes := a.Buffered()
		require.Equal(t, 3, records)
		beside := 6*(callbackBytes+overrideBytes) + 8*listBytes + 4*indexBytes
		require.EqualValues(t, small+beside, bytes, "its predecessor's memory is back")

		_, err = all[2].Result.Wait(t.Context(), all[2].Index)
		require.ErrorContains(t, err, "bad")
		synctest.Wait()
		require.Equal(t, []string{"1 record was canceled"}, l.all(), "callbacks keep their order")

		// Once more, of the rest.
		rest, err = p.Reject(rest, blame("worse", 0))
		require.NoError(t, err)
		require.Equal(t, []string{"record 3", "record 4"}, valuesOf(t, rest))
		p.Settle(rest, acked(40))
		synctest.Wait()
		require.Equal(t, []string{"1 record was canceled", "0 worse", "2 bad", "3 t/0@40", "4 t/0@41", "5 bad"},
			l.all())
		requireEmpty(t, a)
	})
}

func TestRejectOfEveryRecordLeavesNothing(t *testing.T) {
	s := &spy{}
	a := newTest(Config{Listener: s})
	p := a.Topic("t").Partition(0)
	all := putMany(t, p, 0, 3)
	rest, err := p.Reject(take(t, p), blame("bad", 0, 1, 2))
	require.NoError(t, err)
	require.Nil(t, rest)
	requireEmpty(t, a)
	require.EqualValues(t, 3, a.Unobserved())
	for _, f := range all {
		_, err := f.Result.Wait(t.Context(), f.Index)
		require.ErrorContains(t, err, "bad")
	}
	require.Zero(t, a.Unobserved())
}

func TestRejectedRecordReleasesOnlyItsOwnFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{})
		p := a.Topic("t").Partition(0)
		all := putMany(t, p, 0, 2)
		first, second := all[0].Result.Done(0), all[1].Result.Done(1)
		rest, err := p.Reject(take(t, p), blame("bad", 0))
		require.NoError(t, err)
		<-first
		select {
		case <-second:
			require.Fail(t, "it is still on its way")
		default:
		}
		p.Settle(rest, acked(0))
		<-second
		requireEmpty(t, a)
	})
}

func TestSplitGivesSmallerBatchesInOrder(t *testing.T) {
	for _, codec := range []compress.Codec{compress.None, compress.Gzip, compress.Snappy, compress.LZ4, compress.Zstd} {
		t.Run(codec.String(), func(t *testing.T) {
			cfg := Config{}
			if codec != compress.None {
				cfg.Compressor = compressorFor(t, codec)
			}
			a := newTest(cfg)
			p := a.Topic("t").Partition(0)
			putMany(t, p, 0, 600)
			b := take(t, p)
			if codec != compress.None {
				require.NoError(t, b.Compress())
				require.EqualValues(t, codec, parse(t, b).Header.Attributes)
			}
			target := len(b.Bytes()) / 3
			parts, err := p.Split(b, target)
			require.NoError(t, err)
			require.Greater(t, len(parts), 2)
			require.Less(t, len(parts), 6)
			var values []string
			for _, part := range parts {
				require.Equal(t, b.Created, part.Created)
				values = append(values, valuesOf(t, part)...)
				if codec == compress.None {
					require.LessOrEqual(t, len(part.Bytes()), target)
				} else {
					require.NoError(t, part.Compress())
				}
				parse(t, part)
			}
			require.Equal(t, numbered(0, 600), values)
			for _, part := range parts {
				p.Settle(part, acked(0))
			}
			requireEmpty(t, a)
		})
	}
}

func TestPartsOfASplitHaveTheirOwnOutcomes(t *testing.T) {
	a := newTest(Config{})
	p := a.Topic("t").Partition(0)
	all := putMany(t, p, 0, 100)
	require.True(t, cancelOf(all[99]))
	require.True(t, cancelOf(all[0]))
	parts, err := p.Split(take(t, p), 700)
	require.NoError(t, err)
	require.Greater(t, len(parts), 2)
	records, _ := a.Buffered()
	require.Equal(t, 98, records)
	// The first one last, and the second in vain.
	lost := parts[1].Count
	p.Settle(parts[1], failed(errors.New("lost")))
	first := parts[0].Count
	offset := int64(1000 + first)
	for _, part := range parts[2:] {
		p.Settle(part, acked(offset))
		offset += int64(part.Count)
	}
	p.Settle(parts[0], acked(1000))
	requireEmpty(t, a)

	next := int64(1000)
	for i, f := range all[1:99] {
		md, err := f.Result.Wait(t.Context(), f.Index)
		if int32(i) >= first && int32(i) < first+lost {
			require.ErrorContains(t, err, "lost")
			continue
		}
		require.NoError(t, err)
		require.Equal(t, next, md.Offset)
		next++
	}
}

func TestSplitOfASplitKeepsEveryRecordOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{})
		p := a.Topic("t").Partition(0)
		var l log
		for i := range 40 {
			put(t, p, fmt.Sprint("record ", i), l.callback(fmt.Sprint(i)))
		}
		work := []*Batch{take(t, p)}
		var done []*Batch
		for len(work) > 0 {
			b := work[0]
			if b.Count == 1 {
				done, work = append(done, b), work[1:]
				continue
			}
			parts, err := p.Split(b, len(b.Bytes())/2)
			require.NoError(t, err)
			require.Greater(t, len(parts), 1, "a batch of several records always gives at least two")
			work = append(parts, work[1:]...)
			checkMemory(t, a.memory)
		}
		require.Len(t, done, 40)
		for i := len(done) - 1; i >= 0; i-- {
			require.Equal(t, numbered(i, i+1), valuesOf(t, done[i]))
			p.Settle(done[i], acked(int64(i)))
		}
		synctest.Wait()
		for i, line := range l.all() {
			require.Equal(t, fmt.Sprint(i, " t/0@", i), line)
		}
		require.Len(t, l.all(), 40)
		requireEmpty(t, a)
	})
}

func TestPartsOfASplitMayBeSettledAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{})
		for round := range 50 {
			p := a.Topic(fmt.Sprint(round)).Partition(0)
			var l log
			for i := range 64 {
				put(t, p, "x", l.callback(fmt.Sprint(i)))
			}
			parts, err := p.Split(take(t, p), 100)
			require.NoError(t, err)
			require.Greater(t, len(parts), 10)
			for _, part := range parts {
				go p.Settle(part, failed(errors.New("no")))
			}
			synctest.Wait()
			require.Len(t, l.all(), 64)
			requireEmpty(t, a)
		}
	})
}

func TestSplitOfSeveralRecordsGivesAtLeastTwoBatches(t *testing.T) {
	a := newTest(Config{})
	p := a.Topic("t").Partition(0)
	putMany(t, p, 0, 3)
	parts, err := p.Split(take(t, p), 1<<20)
	require.NoError(t, err)
	require.Greater(t, len(parts), 1)
	for _, part := range parts {
		p.Settle(part, acked(0))
	}
	requireEmpty(t, a)
}

func TestSplitPartsHaveTheTimestampsOfTheirRecords(t *testing.T) {
	a := newTest(Config{})
	p := a.Topic("t").Partition(0)
	base := time.UnixMilli(-1_000) // also before 1970: the accumulator takes any time
	for i := range 20 {
		add(p, &record.Record{Timestamp: base.Add(-time.Duration(i*i) * time.Second)}, Callback{}, nil)
	}
	parts, err := p.Split(take(t, p), 120)
	require.NoError(t, err)
	require.Greater(t, len(parts), 2)
	for _, part := range parts {
		parse(t, part) // checks the greatest timestamp
		p.Settle(part, acked(0))
	}
	requireEmpty(t, a)
}

func TestSplitCountsTheMemoryOfTheParts(t *testing.T) {
	a := newTest(Config{BatchSize: 1 << 20, MaxRequestSize: 1 << 20})
	p := a.Topic("t").Partition(0)
	for range 1000 {
		require.NotNil(t, add(p, &record.Record{Value: make([]byte, 1000)}, Callback{}, nil).Result)
	}
	parts, err := p.Split(take(t, p), 10_000)
	require.NoError(t, err)
	require.Greater(t, len(parts), 100)
	_, bytes := a.Buffered()
	held := int64(0)
	for _, part := range parts {
		held += int64(cap(part.buf)) + batchBytes + int64(cap(part.index))*indexBytes
	}
	require.Equal(t, held, bytes)
	require.Less(t, bytes, int64(3<<20))
	for _, part := range parts {
		p.Settle(part, acked(0))
	}
	requireEmpty(t, a)
}

func TestBatchesStayBelowTheSizeThatPassedAfterASplit(t *testing.T) {
	const brokerTakes = 6000
	a := newTest(Config{Linger: time.Hour})
	topic := a.Topic("t")
	p := topic.Partition(0)
	sent, splits := 0, 0
	var deliver func(b *Batch)
	deliver = func(b *Batch) {
		sent++
		if len(b.Bytes()) <= brokerTakes {
			p.Settle(b, acked(0))
			return
		}
		splits++
		parts, err := p.Split(b, min(16384, len(b.Bytes())/2))
		require.NoError(t, err)
		for _, part := range parts {
			deliver(part)
		}
	}
	for sent < 1000 {
		put(t, p, "a record of some fifty bytes, more or less, that is")
		if p.HasFullBatch() {
			deliver(take(t, p))
		}
	}
	require.Less(t, splits, 20)
	require.Positive(t, splits)
	require.InDelta(t, 4096, topic.most.Load(), 100, "a quarter of the first passed")

	for range 10 * raiseEvery {
		topic.raise()
	}
	require.Greater(t, topic.most.Load(), int64(4196), "they grow again")
	require.Less(t, topic.most.Load(), int64(2*4096), "slowly")
	for range 100 * raiseEvery {
		topic.raise()
	}
	require.EqualValues(t, 16384, topic.most.Load())
	p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
	requireEmpty(t, a)
}

// TestBatchesGrowAgainWithAcceptedSizes: the broker's limit may have been lifted.
func TestBatchesGrowAgainWithAcceptedSizes(t *testing.T) {
	a := newTest(Config{Linger: 0})
	topic := a.Topic("t")
	p := topic.Partition(0)
	topic.lower(1000)
	for range raiseEvery - 1 {
		put(t, p, "small")
		p.Settle(take(t, p), acked(0))
	}
	require.EqualValues(t, 1000, topic.most.Load())
	put(t, p, "small")
	p.Settle(take(t, p), Outcome{BaseOffset: -1, LogAppendTime: -1, Err: &record.Error{Err: record.ErrClosed}})
	require.EqualValues(t, 1000, topic.most.Load(), "what failed did not pass")
	put(t, p, "small")
	p.Settle(take(t, p), acked(0))
	require.EqualValues(t, 1000+1000/16+1, topic.most.Load())
	requireEmpty(t, a)
}

func TestDamagedBatchCannotBeRebuiltAndCanStillBeSettled(t *testing.T) {
	a := newTest(Config{Compressor: compressorFor(t, compress.Zstd)})
	p := a.Topic("t").Partition(0)
	for range 2 {
		putMany(t, p, 0, 100)
		b := take(t, p)
		require.NoError(t, b.Compress())
		for i := record.BatchHeaderSize; i < len(b.Bytes()); i++ {
			b.Bytes()[i] ^= 0x55
		}
		_, before := a.Buffered()
		_, err := p.Split(b, 10_000)
		require.Error(t, err)
		_, err = p.Reject(b, blame("bad", 1))
		require.Error(t, err)
		_, after := a.Buffered()
		require.Equal(t, before, after)
		p.Settle(b, acked(0))
		requireEmpty(t, a)
	}
}

// text gives log-like lines: they compress to about a quarter.
func text(rnd *rand.Rand, n int) []byte {
	words := []string{"request", "user", "order", "payment", "accepted", "status", "latency", "region", "eu-west",
		"session"}
	var b []byte
	for len(b) < n {
		b = fmt.Appendf(b, `{"%s":"%s","%s":%d},`, words[rnd.IntN(len(words))], words[rnd.IntN(len(words))],
			words[rnd.IntN(len(words))], rnd.IntN(1e6))
	}
	return b[:n]
}

// textRecords returns a source of records of text, made beforehand: making them takes longer than sending them.
func textRecords(rnd *rand.Rand) func() []byte {
	made := make([][]byte, 3000)
	for i := range made {
		made[i] = text(rnd, 100)
	}
	next := 0
	return func() []byte {
		next++
		return made[next%len(made)]
	}
}

func noise(rnd *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

// fillBatch appends records until a batch is complete, and compresses it.
func fillBatch(t testing.TB, p *Partition, make func() []byte) *Batch {
	t.Helper()
	for !p.HasFullBatch() {
		came := add(p, &record.Record{Value: make()}, Callback{}, nil)
		require.NotNil(t, came.Result)
	}
	b := take(t, p)
	require.NoError(t, b.Compress())
	return b
}

func TestBatchSizeCountsBytesOnTheWireWithin20PercentAfterTenBatches(t *testing.T) {
	records := textRecords(rand.New(rand.NewPCG(1, 2)))
	for _, codec := range []compress.Codec{compress.Gzip, compress.Snappy, compress.LZ4, compress.Zstd} {
		for _, batchSize := range []int{16384, 60_000} {
			t.Run(fmt.Sprint(codec, "/", batchSize), func(t *testing.T) {
				a := newTest(Config{BatchSize: batchSize, Compressor: compressorFor(t, codec), Linger: time.Hour})
				p := a.Topic("t").Partition(0)
				for i := range 16 {
					b := fillBatch(t, p, records)
					if i >= 10 {
						require.InDelta(t, batchSize, len(b.Bytes()), 0.2*float64(batchSize), "batch %d", i)
						parse(t, b)
					}
					p.Settle(b, acked(0))
				}
				p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
				requireEmpty(t, a)
			})
		}
	}
}

func TestEstimateComesBackAfterPayloadsThatDoNotCompress(t *testing.T) {
	const batchSize = 16384
	rnd := rand.New(rand.NewPCG(1, 2))
	a := newTest(Config{BatchSize: batchSize, Compressor: compressorFor(t, compress.Zstd), Linger: time.Hour})
	p := a.Topic("t").Partition(0)
	b := fillBatch(t, p, func() []byte { return noise(rnd, 20_000) })
	require.EqualValues(t, 0, parse(t, b).Header.Attributes, "what grows by compression goes as it is")
	p.Settle(b, acked(0))
	records := textRecords(rnd)
	for i := range 16 {
		b := fillBatch(t, p, records)
		if i >= 10 {
			require.InDelta(t, batchSize, len(b.Bytes()), 0.2*batchSize)
		}
		p.Settle(b, acked(0))
	}
	p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
	requireEmpty(t, a)
}

// A guess, right until now, is wrong at once when the payload changes. The raw bound keeps it from breaking a limit.
func TestPayloadThatTurnsRandomBreaksNoLimit(t *testing.T) {
	for _, c := range []Config{
		{BatchSize: 16384, MaxRequestSize: 1 << 20, Memory: 32 << 20},
		{BatchSize: 16384, MaxRequestSize: 100_000, Memory: 32 << 20},
		{BatchSize: 16384, MaxRequestSize: 1 << 20, Memory: 1 << 20},
	} {
		limit := min(c.MaxRequestSize, 16*c.BatchSize, int(c.Memory/8))
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			c.Compressor, c.Linger = compressorFor(t, compress.Zstd), time.Hour
			rnd := rand.New(rand.NewPCG(1, 2))
			a := newTest(c)
			p := a.Topic("t").Partition(0)
			largest := 0
			for i := range 40 {
				b := fillBatch(t, p, func() []byte {
					if i < 20 {
						return make([]byte, 100)
					}
					return noise(rnd, 100)
				})
				require.LessOrEqual(t, b.raw+record.BatchHeaderSize, limit)
				require.LessOrEqual(t, len(b.Bytes()), limit)
				largest = max(largest, b.raw+record.BatchHeaderSize)
				if i > 20 {
					require.InDelta(t, c.BatchSize, len(b.Bytes()), 0.2*float64(c.BatchSize),
						"one batch is enough to learn it")
				}
				parse(t, b)
				p.Settle(b, acked(0))
			}
			require.Greater(t, largest, limit*9/10)
			p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
			requireEmpty(t, a)
		})
	}
}

func TestSmallBatchesDoNotSpoilTheEstimate(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	a := newTest(Config{Compressor: compressorFor(t, compress.LZ4), Linger: time.Hour})
	p := a.Topic("t").Partition(0)
	records := textRecords(rnd)
	for range 12 {
		p.Settle(fillBatch(t, p, records), acked(0))
	}
	learnt := a.Topic("t").ratio.Load()
	a.expediteAll()
	for range 3 {
		f := add(p, &record.Record{Value: noise(rnd, 50)}, Callback{}, nil)
		p.expedite(f.Result, nil)
		b := take(t, p)
		require.NoError(t, b.Compress())
		p.Settle(b, acked(0))
	}
	require.Equal(t, learnt, a.Topic("t").ratio.Load())
	requireEmpty(t, a)
}

func TestCompressedBatchHoldsNoMoreThanItNeeds(t *testing.T) {
	for _, codec := range []compress.Codec{compress.Gzip, compress.Snappy, compress.LZ4, compress.Zstd} {
		a := newTest(Config{Compressor: compressorFor(t, codec), BatchSize: 1 << 20, Linger: time.Hour})
		p := a.Topic("t").Partition(0)
		f := put(t, p, string(make([]byte, 200_000)))
		p.expedite(f.Result, nil)
		b := take(t, p)
		_, before := a.Buffered()
		require.EqualValues(t, 256<<10+batchBytes, before)
		require.NoError(t, b.Compress())
		_, after := a.Buffered()
		require.EqualValues(t, bufferSize(len(b.Bytes()))+batchBytes, after, "%v", codec)
		require.EqualValues(t, cap(b.buf)+batchBytes, after)
		require.Less(t, after, before/4)
		p.Settle(b, acked(0))
		requireEmpty(t, a)
	}
}

func TestLargestConfigurationDoesNotOverflow(t *testing.T) {
	const most = 1<<31 - 1
	a := newTest(Config{BatchSize: most, MaxRequestSize: most, Memory: 1 << 40, Linger: time.Hour,
		Compressor: compressorFor(t, compress.LZ4)})
	require.Equal(t, most, a.maxRaw)
	p := a.Topic("t").Partition(0)
	a.Topic("t").observe(most, 1)
	require.Equal(t, most, a.Topic("t").rawLimit())
	put(t, p, "x")
	sizes := map[int]bool{}
	for range 100 {
		require.NotNil(t, add(p, &record.Record{Value: make([]byte, 50_000)}, Callback{}, nil).Result)
		sizes[cap(p.oldestLocked().buf)] = true
	}
	require.Equal(t, 1, p.Queued())
	require.LessOrEqual(t, len(sizes), 10, "it grows by doubling, beyond the pooled sizes too")
	_, bytes := a.Buffered()
	require.LessOrEqual(t, bytes, int64(11<<20))
	p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
	requireEmpty(t, a)
}
