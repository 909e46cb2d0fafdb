package accumulator

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/record"
)

func TestRecordsOfAPartitionTravelTogetherInTheirOrder(t *testing.T) {
	a := newTest(Config{})
	p := a.Topic("t").Partition(3)
	require.Equal(t, "t", p.Topic())
	require.EqualValues(t, 3, p.Index())
	putMany(t, p, 0, 5)
	b := take(t, p)
	require.Equal(t, numbered(0, 5), valuesOf(t, b))
	require.Nil(t, p.Take())
	p.Settle(b, acked(7))
	requireEmpty(t, a)
}

func TestKeyHeadersAndNullsAreKept(t *testing.T) {
	a := newTest(Config{})
	p := a.Topic("t").Partition(0)
	key := []byte("key")
	r := record.Record{Key: key, Headers: []record.Header{{Key: "h", Value: []byte("v")}, {Key: "null"}}}
	require.NotNil(t, add(p, &r, Callback{}, nil).Result)
	require.NotNil(t, add(p, &record.Record{Key: []byte{}, Value: []byte{}}, Callback{}, nil).Result)
	copy(key, "xxx") // the caller may use its bytes again
	b := take(t, p)
	records := parse(t, b).Records
	require.Equal(t, []byte("key"), records[0].Key)
	require.Nil(t, records[0].Value)
	require.Equal(t, r.Headers, records[0].Headers)
	require.NotNil(t, records[1].Key)
	require.NotNil(t, records[1].Value)
	p.Settle(b, acked(0))
	requireEmpty(t, a)
}

func TestBatchSizeIsReachedExactlyAndNotPassed(t *testing.T) {
	const batchSize, first = 1000, 300
	for _, c := range []struct {
		name     string
		rest     int // bytes of the second record
		together bool
		complete bool
	}{
		{"one byte less", batchSize - record.BatchHeaderSize - first - 1, true, false},
		{"exactly", batchSize - record.BatchHeaderSize - first, true, true},
		{"one byte more", batchSize - record.BatchHeaderSize - first + 1, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newTest(Config{BatchSize: batchSize, Linger: time.Hour})
			p := a.Topic("t").Partition(0)
			require.False(t, add(p, sizedRecord(t, first), Callback{}, nil).Complete)
			came := add(p, sizedRecord(t, c.rest), Callback{}, nil)
			require.Equal(t, c.complete, came.Complete)
			require.Equal(t, c.complete || !c.together, p.HasFullBatch())
			require.Equal(t, p.HasFullBatch(), p.Ready())
			if c.together {
				require.Equal(t, 1, p.Queued())
				require.Equal(t, c.rest, came.Bytes)
			} else {
				require.Equal(t, 2, p.Queued())
				require.Equal(t, record.BatchHeaderSize+c.rest, came.Bytes, "a new batch counts its header")
			}
			p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
			requireEmpty(t, a)
		})
	}
}

func TestRecordLargerThanBatchSizeGoesAlone(t *testing.T) {
	a := newTest(Config{BatchSize: 1000, Linger: time.Hour})
	p := a.Topic("t").Partition(0)
	put(t, p, "before")
	came := add(p, &record.Record{Value: make([]byte, 5000)}, Callback{}, nil)
	require.True(t, came.Complete)
	put(t, p, "after")
	require.Equal(t, 3, p.Queued())
	for offset := range int64(2) {
		b := take(t, p)
		require.EqualValues(t, 1, b.Count)
		p.Settle(b, acked(offset))
	}
	require.False(t, p.Ready())
	p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
	requireEmpty(t, a)
}

func TestBatchSizeZeroSendsEveryRecordAlone(t *testing.T) {
	a := New(Config{Memory: 1 << 20, Linger: time.Hour})
	p := a.Topic("t").Partition(0)
	for i := range 3 {
		require.True(t, add(p, value(fmt.Sprint(i)), Callback{}, nil).Complete)
	}
	require.Equal(t, 3, p.Queued())
	for range 3 {
		p.Settle(take(t, p), acked(0))
	}
	requireEmpty(t, a)
}

func TestBatchOfSeveralRecordsKeepsWithinAnEighthOfTheMemory(t *testing.T) {
	a := newTest(Config{Memory: 8 * 2000, Linger: time.Hour})
	p := a.Topic("t").Partition(0)
	for p.Queued() < 3 {
		put(t, p, "0123456789")
	}
	b := take(t, p)
	require.LessOrEqual(t, len(b.Bytes()), 2000)
	require.Greater(t, len(b.Bytes()), 1900)
	p.Settle(b, acked(0))
	p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
	requireEmpty(t, a)
}

func TestWithoutLingerABatchIsReadyWithItsFirstRecordAndTakesMoreUntilItIsTaken(t *testing.T) {
	a := newTest(Config{})
	p := a.Topic("t").Partition(0)
	require.False(t, p.Ready())
	put(t, p, "record 0")
	require.True(t, p.Ready())
	require.False(t, p.HasFullBatch())
	putMany(t, p, 1, 4)
	require.Equal(t, 1, readies(p), "its owner is told once")
	b := take(t, p)
	require.Equal(t, numbered(0, 4), valuesOf(t, b))
	p.Settle(b, acked(0))
}

func TestBatchLingersForLingerFromItsFirstRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{Linger: 5 * time.Millisecond})
		p := a.Topic("t").Partition(0)
		put(t, p, "record 0")
		time.Sleep(3 * time.Millisecond)
		put(t, p, "record 1")
		time.Sleep(2*time.Millisecond - 1)
		synctest.Wait()
		require.False(t, p.Ready())
		require.Nil(t, p.Take())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.True(t, p.Ready())
		require.Equal(t, 1, readies(p))
		put(t, p, "record 2")
		b := take(t, p)
		require.Equal(t, numbered(0, 3), valuesOf(t, b), "ready is not sealed")
		p.Settle(b, acked(0))
		requireEmpty(t, a)
	})
}

func TestLingerOfTheNextBatchIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{BatchSize: 200, Linger: 5 * time.Millisecond})
		p := a.Topic("t").Partition(0)
		put(t, p, "a")
		time.Sleep(3 * time.Millisecond)
		require.True(t, add(p, sizedRecord(t, 200), Callback{}, nil).Complete)
		put(t, p, "b") // the timer still runs for the first batch
		p.Settle(take(t, p), acked(0))
		p.Settle(take(t, p), acked(1))
		time.Sleep(5*time.Millisecond - 1)
		synctest.Wait()
		require.False(t, p.Ready())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.True(t, p.Ready())
		p.Settle(take(t, p), acked(2))
		requireEmpty(t, a)

		// Nothing is left to wake an idle producer.
		p.expedite(put(t, p, "c").Result, nil)
		p.Settle(take(t, p), acked(3))
		time.Sleep(5 * time.Millisecond)
		synctest.Wait()
		require.False(t, p.lingering)
		requireEmpty(t, a)
	})
}

func TestFullBatchDoesNotLinger(t *testing.T) {
	a := newTest(Config{BatchSize: 200, Linger: time.Hour})
	p := a.Topic("t").Partition(0)
	put(t, p, "a")
	require.Zero(t, readies(p))
	require.True(t, add(p, sizedRecord(t, 131), Callback{}, nil).Complete)
	require.Equal(t, 1, readies(p))
	p.Settle(take(t, p), acked(0))
	requireEmpty(t, a)
}

func TestRecordsOfOneBatchAreAtMostMaxSpanApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{Linger: time.Hour, MaxSpan: time.Minute})
		p := a.Topic("t").Partition(0)
		start := time.Now()
		put(t, p, "at first")
		time.Sleep(time.Minute)
		put(t, p, "a minute later")
		require.Equal(t, 1, p.Queued())
		time.Sleep(time.Nanosecond)
		put(t, p, "more than a minute later")
		require.Equal(t, 2, p.Queued())
		b := take(t, p)
		require.EqualValues(t, 2, b.Count)
		require.True(t, b.Created.Equal(start), "it expires by its first record")
		p.Settle(b, acked(0))
		created, ok := p.OldestQueued()
		require.True(t, ok)
		require.True(t, created.Equal(start.Add(time.Minute+1)))
		p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
		_, ok = p.OldestQueued()
		require.False(t, ok)
		requireEmpty(t, a)
	})
}

func TestMaxSpanIsASecondOrLinger(t *testing.T) {
	require.Equal(t, time.Second, New(Config{}).cfg.MaxSpan)
	require.Equal(t, time.Minute, New(Config{Linger: time.Minute}).cfg.MaxSpan)
}

func TestTimestampIsTheRecordsOwnOrTheTimeOfTheSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{})
		p := a.Topic("t").Partition(0)
		time.Sleep(123 * time.Millisecond)
		now := time.Now()
		stamps := []time.Time{{}, now.Add(time.Hour), now.Add(-time.Hour), {}, now.Add(time.Second)}
		var all []AppendResult
		for _, at := range stamps {
			all = append(all, add(p, &record.Record{Timestamp: at}, Callback{}, nil))
		}
		b := take(t, p)
		batch := parse(t, b)
		require.Equal(t, now.Add(time.Hour).UnixMilli(), batch.Header.MaxTimestamp)
		p.Settle(b, acked(10))
		for i, at := range stamps {
			if at.IsZero() {
				at = now
			}
			require.Equal(t, at.UnixMilli(), batch.Records[i].Timestamp)
			md, err := all[i].Result.Wait(t.Context(), all[i].Index)
			require.NoError(t, err)
			require.True(t, md.Timestamp.Equal(at))
		}
		requireEmpty(t, a)
	})
}

func TestAppendNeverBlocksButReportsItsShortfall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{Memory: 1024, BatchSize: 128, Linger: time.Hour})
		p := a.Topic("t").Partition(0)
		big := &record.Record{Value: make([]byte, 900)}
		require.NotNil(t, add(p, big, Callback{}, nil).Result)
		came := add(p, big, Callback{}, nil)
		require.Nil(t, came.Result)
		require.Nil(t, came.Err)
		require.EqualValues(t, 1024, came.Shortfall)
		require.Equal(t, 1, p.Queued(), "nothing was appended")

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, p.Reserve(ctx, came.Shortfall), context.DeadlineExceeded)
		p.Settle(take(t, p), acked(0))
		requireEmpty(t, a)
		require.NoError(t, p.Reserve(t.Context(), came.Shortfall))
		grant := came.Shortfall
		require.NotNil(t, add(p, big, Callback{}, &grant).Result)
		require.Zero(t, grant)
		p.Settle(take(t, p), acked(1))
		requireEmpty(t, a)
	})
}

// A grant is enough with any change of the open batch meanwhile, so no Send waits for more while holding some.
func TestAppendWithAGrantOfItsShortfallSucceeds(t *testing.T) {
	for name, meanwhile := range map[string]func(p *Partition){
		"the batch is still there": func(*Partition) {},
		"the batch was completed":  func(p *Partition) { p.completeLocked(&deferred{}) },
	} {
		t.Run(name, func(t *testing.T) {
			a := newTest(Config{Memory: 2048 + batchBytes, BatchSize: 2048, MaxRequestSize: 2048, Linger: time.Hour})
			a.maxRaw = 2048
			p := a.Topic("t").Partition(0)
			r := &record.Record{Value: make([]byte, 300)}
			put(t, p, "x")                                     // a buffer of 512 bytes
			require.True(t, a.memory.try(&p.holder, 2048-512)) // all the rest
			require.NotNil(t, add(p, r, Callback{}, nil).Result)
			came := add(p, r, Callback{}, nil)
			require.EqualValues(t, 1024+batchBytes, came.Shortfall, "to grow")
			require.Nil(t, came.Result)
			require.False(t, p.HasFullBatch())

			meanwhile(p)
			grant := came.Shortfall // of the rest, given back by a Send
			require.NotNil(t, add(p, r, Callback{}, &grant).Result)
			p.Unreserve(2048 - 512 - 1024 - batchBytes + grant)
			p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
			requireEmpty(t, a)
		})
	}
}

// The last free bytes of scarce memory are left until a Send with a grant takes them: small batches would make brokers
// slow, and memory scarcer.
func TestBatchesStayLargeWithScarceMemory(t *testing.T) {
	const memory, batch = 64<<10 + 1100, 4 << 10
	a := newTest(Config{Memory: memory, BatchSize: batch, Linger: time.Hour})
	p := a.Topic("t").Partition(0)
	var sealed []*Batch
	records := 0
	for settled := 0; settled < 100; {
		for add(p, sizedRecord(t, 500), Callback{}, nil).Result != nil {
			records++
		}
		for b := p.Take(); b != nil; b = p.Take() {
			sealed = append(sealed, b)
		}
		require.NotEmpty(t, sealed, "memory is full of batches that can be sent")
		require.Greater(t, len(sealed[0].Bytes()), batch/2)
		p.Settle(sealed[0], acked(0))
		sealed = sealed[1:]
		settled++
	}
	require.Greater(t, records, 90*batch/500)
	for _, b := range sealed {
		p.Settle(b, acked(0))
	}
	p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
	requireEmpty(t, a)
}

func TestBatchBeginsAsLargeAsTheOneBeforeIfThereIsRoom(t *testing.T) {
	a := newTest(Config{Memory: 64 << 10, BatchSize: 4096, Linger: time.Hour})
	p := a.Topic("t").Partition(0)
	for !p.HasFullBatch() {
		put(t, p, "0123456789")
	}
	require.Equal(t, 4096, cap(p.open.buf))
	p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
	put(t, p, "x")
	require.Equal(t, 512, cap(p.open.buf), "the one before had one record")
	p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})

	for !p.HasFullBatch() {
		put(t, p, "0123456789")
	}
	p.Settle(take(t, p), acked(0))
	p.completeLocked(&deferred{})
	p.lastBytes = 4000
	_, bytes := a.Buffered()
	require.True(t, a.memory.try(&p.holder, 64<<10-bytes-2*small))
	require.EqualValues(t, 4096+batchBytes, add(p, value("x"), Callback{}, nil).Shortfall,
		"who can wait waits for a whole batch")
	for range 2 {
		var none int64
		require.NotNil(t, add(p, value("x"), Callback{}, &none).Result)
		require.Equal(t, 512, cap(p.open.buf), "who cannot wait takes what there is")
		p.completeLocked(&deferred{})
		p.lastBytes = 4000
	}
	var none int64
	require.EqualValues(t, 4096+batchBytes, add(p, value("x"), Callback{}, &none).Shortfall)
	p.Unreserve(64<<10 - bytes - 2*small)
	p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
	requireEmpty(t, a)
}

func TestGrantThatIsNotUsedIsLeft(t *testing.T) {
	a := newTest(Config{Memory: 4096, Linger: time.Hour})
	p := a.Topic("t").Partition(0)
	require.NoError(t, p.Reserve(t.Context(), 2048))
	grant := int64(2048)
	require.NotNil(t, add(p, value("x"), Callback{}, &grant).Result)
	require.EqualValues(t, 2048-small, grant)
	p.Unreserve(grant)
	_, bytes := a.Buffered()
	require.EqualValues(t, small, bytes)
	p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
	requireEmpty(t, a)
}

func TestRecordThatCanNeverFitFailsAtOnce(t *testing.T) {
	a := newTest(Config{Memory: 1000})
	p := a.Topic("t").Partition(0)
	came := add(p, sizedRecord(t, 1000-record.BatchHeaderSize+1), Callback{}, nil)
	require.Nil(t, came.Result)
	require.Zero(t, came.Shortfall)
	require.ErrorIs(t, came.Err, record.ErrRecordTooLarge)

	came = add(p, sizedRecord(t, 1000-record.BatchHeaderSize), Callback{}, nil)
	require.NotNil(t, came.Result, "one that takes all of it fits")
	_, bytes := a.Buffered()
	require.EqualValues(t, 1000, bytes)
	require.Equal(t, 1000, cap(*p.oldestLocked().box), "what is counted is what is held")
	p.Settle(take(t, p), acked(0))
	requireEmpty(t, a)
}

func TestBuffersGrowWithTheirContentsAndAreCountedAtTheirCapacity(t *testing.T) {
	a := newTest(Config{Linger: time.Hour})
	p := a.Topic("t").Partition(0)
	for i := 0; !p.HasFullBatch(); i++ {
		_, before := a.Buffered()
		put(t, p, "0123456789012345678901234567890123456789")
		_, bytes := a.Buffered()
		if p.Queued() == 1 {
			require.EqualValues(t, cap(p.oldestLocked().buf)+batchBytes, bytes)
			require.EqualValues(t, cap(*p.oldestLocked().box)+batchBytes, bytes)
			require.LessOrEqual(t, bytes, max(512, int64(2*len(p.oldestLocked().buf)+200))+batchBytes)
		}
		require.GreaterOrEqual(t, bytes, before)
	}
	b := take(t, p)
	require.Greater(t, len(b.Bytes()), 16300)
	require.EqualValues(t, b.Count, len(parse(t, b).Records))
	p.Settle(b, acked(0))
	p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
	requireEmpty(t, a)
}

func TestTinyMemoryStillPassesEverything(t *testing.T) {
	for _, memory := range []int64{100, 511, 512, 513, 600, 1000, 1536, 5000} {
		a := newTest(Config{Memory: memory})
		p, other := a.Topic("t").Partition(0), a.Topic("t").Partition(1)
		p.SetBroker(1)
		other.SetBroker(2)
		want, sent := []string(nil), []string(nil)
		settle := func() {
			for b := p.Take(); b != nil; b = p.Take() {
				sent = append(sent, valuesOf(t, b)...)
				p.Settle(b, acked(0))
			}
		}
		for i := range 200 {
			text := fmt.Sprint(i, "-")
			for len(text) < i%25 {
				text += "x"
			}
			want = append(want, text)
			came := add(p, value(text), Callback{}, nil)
			if came.Shortfall > 0 {
				settle() // as it would while Send waits
				require.NoError(t, p.Reserve(t.Context(), came.Shortfall))
				grant := came.Shortfall
				came = add(p, value(text), Callback{}, &grant)
				p.Unreserve(grant)
			}
			require.NotNil(t, came.Result, "buffer.memory %d", memory)
			_, bytes := a.Buffered()
			require.LessOrEqual(t, bytes, memory)
		}
		settle()
		require.Equal(t, want, sent)
		requireEmpty(t, a)
	}
}

func TestTenThousandPartitionsWithASmallRecordEachFitInto32MiB(t *testing.T) {
	const partitions = 10_000
	a := newTest(Config{Linger: time.Hour})
	topic := a.Topic("t")
	// Full batches everywhere first: the earlier sizes of partitions' batches must not make them take more than they
	// need.
	for n := range int32(partitions) {
		p := topic.Partition(n)
		p.SetBroker(n % 3)
		for !p.HasFullBatch() {
			require.NotNil(t, add(p, &record.Record{Value: make([]byte, 4000)}, Callback{}, nil).Result)
		}
		p.Settle(take(t, p), acked(0))
		if n%4 != 0 {
			p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
		}
	}
	for _, p := range topic.Partitions() {
		p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
	}
	requireEmpty(t, a)

	for _, p := range topic.Partitions() {
		put(t, p, "a small record")
	}
	records, bytes := a.Buffered()
	require.Equal(t, partitions, records)
	require.LessOrEqual(t, bytes, int64(32<<20))
	for _, p := range topic.Partitions() {
		p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
	}
	requireEmpty(t, a)
}

func TestAppendAllKeepsTheOrderAndStopsAtTheFirstThatDoesNotFit(t *testing.T) {
	a := newTest(Config{Memory: 2 * small, BatchSize: 64, Linger: time.Hour}) // two batches of a record each
	p := a.Topic("t").Partition(0)
	var done []int
	pick := func(k int) (*record.Record, Callback) { return value(fmt.Sprint("record ", k)), Callback{} }
	n := p.AppendAll(5, pick, func(k int, came *AppendResult) {
		require.NotNil(t, came.Result)
		done = append(done, k)
	})
	require.Equal(t, 2, n)
	require.Equal(t, []int{0, 1}, done)
	require.Equal(t, 1, readies(p), "its owner is told once")
	for i := range 2 {
		b := take(t, p)
		require.Equal(t, numbered(i, i+1), valuesOf(t, b))
		p.Settle(b, acked(0))
	}
	require.Equal(t, 2, p.AppendAll(2, pick, func(int, *AppendResult) {}))
	p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
	p.Close(&record.Error{Err: record.ErrClosed})
	require.Zero(t, p.AppendAll(2, pick, func(int, *AppendResult) {}))
	requireEmpty(t, a)
}

func TestCloseRefusesNewRecordsAndKeepsTheBuffered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{Memory: small + 512, Linger: 5 * time.Millisecond})
		p := a.Topic("t").Partition(0)
		f := put(t, p, "a")
		require.True(t, a.memory.try(&p.holder, 512))
		waiting := make(chan error)
		go func() { waiting <- p.Reserve(context.Background(), 512) }()
		synctest.Wait()
		p.Settle(take(t, p), acked(0))
		require.NoError(t, <-waiting)
		put2 := add(p, value("b"), Callback{}, nil)
		require.EqualValues(t, small, put2.Shortfall)
		p.Unreserve(1024)
		put(t, p, "c")

		closed := &record.Error{Err: record.ErrClosed}
		a.Close(closed)
		require.Same(t, closed, add(p, value("d"), Callback{}, nil).Err)
		require.Same(t, closed, add(a.Topic("t").Partition(1), value("d"), Callback{}, nil).Err,
			"a new partition is closed too")
		require.Same(t, closed, add(a.Topic("new").Partition(1), value("d"), Callback{}, nil).Err)
		require.ErrorIs(t, p.Reserve(t.Context(), 1), record.ErrClosed)

		time.Sleep(5 * time.Millisecond)
		synctest.Wait()
		b := take(t, p) // the buffered records linger to the end and are sent
		require.Equal(t, []string{"c"}, valuesOf(t, b))
		p.Settle(b, acked(1))
		md, err := f.Result.Wait(t.Context(), f.Index)
		require.NoError(t, err)
		require.Zero(t, md.Offset)
		requireEmpty(t, a)
	})
}

func TestExpireQueuedFailsOldQueuedBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{BatchSize: 64, Linger: time.Hour})
		p := a.Topic("t").Partition(0)
		start := time.Now()
		var all []AppendResult
		for i := range 4 {
			time.Sleep(time.Until(start.Add(time.Duration(i) * time.Second)))
			all = append(all, add(p, value(fmt.Sprint("record ", i)), Callback{}, nil))
		}
		inFlight := take(t, p)
		expired := &record.Error{Err: record.ErrDeliveryTimeout}
		require.Equal(t, 2, p.ExpireQueued(start.Add(2*time.Second), expired))
		require.Zero(t, p.ExpireQueued(start.Add(2*time.Second), expired))
		require.Equal(t, 1, p.Queued())
		for i := 1; i <= 2; i++ {
			_, err := all[i].Result.Wait(t.Context(), all[i].Index)
			require.Same(t, expired, err)
		}
		p.Settle(inFlight, acked(0))
		require.Equal(t, 1, p.ExpireQueued(time.Time{}, expired))
		requireEmpty(t, a)
	})
}

// Records that come during the failing of everything are not failed with it: there would be no end.
func TestFailWaitingEndsThoughRecordsKeepComing(t *testing.T) {
	var p *Partition
	s := &spy{}
	a := newTest(Config{BatchSize: 64, Linger: time.Hour, Listener: &refill{spy: s, more: func() {
		if p != nil {
			add(p, value("another"), Callback{}, nil)
		}
	}}})
	for range mostSuspects { // further failures are reported at once
		a.Fail(&record.Error{Topic: "other", Err: record.ErrInvalidTopic}, Callback{})
	}
	defer a.pendingReports.timer.Stop()
	p = a.Topic("t").Partition(0)
	putMany(t, p, 0, 3)
	require.Equal(t, 3, p.ExpireQueued(time.Time{}, &record.Error{Err: errors.New("no")}))
	require.Equal(t, 3, p.Queued())
	q := p
	p = nil
	require.Equal(t, 3, q.ExpireQueued(time.Time{}, &record.Error{Err: errors.New("no")}))
	requireEmpty(t, a)
}

// refill appends a record whenever one has failed.
type refill struct {
	*spy
	more func()
}

func (r *refill) Unobserved(n int, err *record.Error) { r.more() }

func TestTopicAndPartitionAreMadeOnce(t *testing.T) {
	made := 0
	a := newTest(Config{NewDrainer: func(p *Partition) Drainer { made++; p.SetBroker(1); return new(testOwner) }})
	require.Same(t, a.Topic("t"), a.Topic("t"))
	require.Equal(t, "t", a.Topic("t").Name())
	five := a.Topic("t").Partition(5)
	require.Same(t, five, a.Topic("t").Partition(5))
	require.Len(t, a.Topic("t").Partitions(), 6)
	require.Nil(t, a.Topic("t").Partitions()[4])
	require.Same(t, five, a.Topic("t").Lookup(5))
	require.Nil(t, a.Topic("t").Lookup(4))
	require.Nil(t, a.Topic("t").Lookup(6))
	require.Equal(t, 1, made)
	require.NotSame(t, five, a.Topic("t").Partition(0))
	require.Same(t, five, a.Topic("t").Partitions()[5])
	require.Same(t, a.Topic("t").Lookup(0), a.Topic("t").Partitions()[0])
	require.Equal(t, 1, a.memory.brokers)
}

func TestDrainersAreOptional(t *testing.T) {
	a := New(Config{BatchSize: 100, Memory: 1 << 20})
	p := a.Topic("t").Partition(0)
	put(t, p, "a")
	p.Settle(take(t, p), acked(0))
	requireEmpty(t, a)
}
