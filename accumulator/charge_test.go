package accumulator

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/lockrank"
	"github.com/gosamsa/samsa/record"
)

func TestTheAccountKnowsTheSizesOfItsParts(t *testing.T) {
	// In the race build the lock of a Result also has its owner.
	owner := unsafe.Sizeof(lockrank.Mutex[lockrank.AccumulatorResult]{}) - unsafe.Sizeof(sync.Mutex{})
	require.LessOrEqual(t, unsafe.Sizeof(opened{})-owner, uintptr(resultBytes))
	require.Equal(t, uintptr(indexBytes), unsafe.Sizeof(int32(0)))
	require.LessOrEqual(t, unsafe.Sizeof((func(record.RecordMetadata, error))(nil)), uintptr(listBytes))
	require.LessOrEqual(t, unsafe.Sizeof(sliceRun{}), uintptr(sliceRunBytes))
	require.LessOrEqual(t, unsafe.Sizeof(timeRun{}), uintptr(timeRunBytes))
	require.LessOrEqual(t, unsafe.Sizeof(override{}), uintptr(overrideBytes))
	require.LessOrEqual(t, unsafe.Sizeof(exception{}), uintptr(outcomeBytes))
}

// stuck is a Listener with interceptors that wait until they are let go.
type stuck struct {
	spy
	hold chan struct{}
}

func (s *stuck) WantsAcknowledgements() bool { return true }

func (s *stuck) OnAcknowledgement(record.RecordMetadata, error) { <-s.hold }

// heap returns how many bytes are in use.
func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC() // pools keep their contents for one collection
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// Results waiting for users' code fill up the account, and not the heap.
func TestSlowUserCodeBecomesBackpressureAndNotGrowth(t *testing.T) {
	const limit, many = 1 << 20, 200_000
	hold := make(chan struct{})
	blocked := Callback{One: func(record.RecordMetadata, error) { <-hold }}
	for name, c := range map[string]struct {
		cfg   Config
		first Callback
		rest  func(i int) Callback
	}{
		"interceptors":             {Config{BatchSize: 1, Listener: &stuck{hold: hold}}, Callback{}, nil},
		"interceptors, in batches": {Config{BatchSize: 2000, Listener: &stuck{hold: hold}}, Callback{}, nil},
		"behind a callback":        {Config{BatchSize: 1}, blocked, nil},
		"callbacks": {Config{BatchSize: 2000}, blocked, func(i int) Callback {
			return Callback{One: func(record.RecordMetadata, error) { hold <- struct{}{}; _ = i }}
		}},
		"callbacks of slices": {Config{BatchSize: 2000}, blocked, func(i int) Callback {
			return Callback{All: sliceCallback(func(int, record.RecordMetadata, error) { hold <- struct{}{}; _ = i })}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c.cfg.Memory = limit
			a := newTest(c.cfg)
			p := a.Topic("t").Partition(0)
			before, sent := heap(), 0
			for ; sent < many; sent++ {
				callback := Callback{}
				switch {
				case sent == 0:
					callback = c.first
				case c.rest != nil:
					callback = c.rest(sent)
				}
				if add(p, &record.Record{}, callback, nil).Result == nil {
					break
				}
				settleAll(p)
			}
			settleAll(p)
			require.Less(t, sent, many, "the buffer is never full")
			records, bytes := a.Buffered()
			require.Zero(t, records, "all have their outcome")
			grown := heap() - before
			t.Logf("%d records, %d bytes in the account, %d on the heap", sent, bytes, grown)
			require.Greater(t, bytes, int64(limit*9/10))
			require.Less(t, bytes, int64(limit*2))
			require.Less(t, grown, int64(limit*2))
			hold = letGo(t, a, hold)
		})
	}
}

// letGo lets all blocked callbacks and interceptors go on, and waits for their end. It returns the channel for the next
// case.
func letGo(t *testing.T, a *Accumulator, hold chan struct{}) chan struct{} {
	t.Helper()
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case hold <- struct{}{}:
			case <-hold:
			case <-stop:
				return
			}
		}
	}()
	require.NoError(t, a.Flush(t.Context()))
	close(stop)
	<-done
	requireEmpty(t, a)
	return hold
}

// A record without bytes takes seven in its batch. Its callback and its timestamp take several times as many.
func TestTheHeapOfTinyRecordsIsWithinTheAccount(t *testing.T) {
	const limit = 4 << 20
	counted := 0
	for name, next := range map[string]func(i int) (*record.Record, Callback){
		"alone": func(int) (*record.Record, Callback) { return &record.Record{}, Callback{} },
		"each with a callback": func(i int) (*record.Record, Callback) {
			return &record.Record{}, Callback{One: func(record.RecordMetadata, error) { counted += i }}
		},
		"some with a callback": func(i int) (*record.Record, Callback) {
			if i%100 != 0 {
				return &record.Record{}, Callback{}
			}
			return &record.Record{}, Callback{One: func(record.RecordMetadata, error) { counted += i }}
		},
		"in slices of one": func(i int) (*record.Record, Callback) {
			return &record.Record{}, Callback{All: sliceCallback(
				func(int, record.RecordMetadata, error) { counted += i })}
		},
		"each with a timestamp": func(i int) (*record.Record, Callback) {
			return &record.Record{Timestamp: time.UnixMilli(int64(i))}, Callback{}
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newTest(Config{Memory: limit, Linger: time.Hour})
			p := a.Topic("t").Partition(0)
			before, sent := heap(), 0
			for ; ; sent++ {
				r, callback := next(sent)
				if add(p, r, callback, nil).Result == nil {
					break
				}
			}
			grown := heap() - before
			_, bytes := a.Buffered()
			t.Logf("%d records, %d bytes in the account, %d on the heap: %.0f and %.0f a record",
				sent, bytes, grown, float64(bytes)/float64(sent), float64(grown)/float64(sent))
			require.Less(t, float64(grown), 1.5*float64(bytes))
			require.LessOrEqual(t, bytes, int64(limit))
			p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
			require.NoError(t, a.Flush(t.Context()))
			requireEmpty(t, a)
		})
	}
}

// The results behind a sending interceptor could never come free.
func TestSendInsideAnInterceptorDoesNotWaitForLaterOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sendingListener{t: t}
		a := newTest(Config{Memory: 8192, BatchSize: 200, Listener: s})
		p := a.Topic("t").Partition(0)
		s.p = p
		sent := 0
		var taken []*Batch
		for ; add(p, value("x"), Callback{}, nil).Result != nil; sent++ {
			if b := p.Take(); b != nil {
				taken = append(taken, b)
			}
		}
		for i := len(taken) - 1; i >= 0; i-- { // all interceptors wait for the first batch's
			p.Settle(taken[i], acked(0))
		}
		synctest.Wait()
		settleAll(p)
		synctest.Wait()
		require.True(t, s.sent)
		require.Len(t, s.acks, sent+1)
		requireEmpty(t, a)
	})
}

// sendingListener is a Listener with an interceptor that sends a record at its first outcome.
type sendingListener struct {
	spy
	t    *testing.T
	p    *Partition
	sent bool
}

func (s *sendingListener) WantsAcknowledgements() bool { return true }

func (s *sendingListener) OnAcknowledgement(md record.RecordMetadata, err error) {
	s.spy.OnAcknowledgement(md, err)
	if s.sent {
		return
	}
	s.sent = true
	came := add(s.p, value("from inside"), Callback{}, nil)
	if came.Result == nil {
		require.NoError(s.t, s.p.Reserve(context.Background(), came.Shortfall))
		grant := came.Shortfall
		require.NotNil(s.t, add(s.p, value("from inside"), Callback{}, &grant).Result)
		s.p.Unreserve(grant)
	}
}

// A flush waits for interceptors too, and until then the results behind them count.
func TestFlushAndTheAccountEndWithTheLastInterceptor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stuck{hold: make(chan struct{})}
		a := newTest(Config{Listener: s})
		p := a.Topic("t").Partition(0)
		for range 3 {
			put(t, p, "x")
			p.Settle(take(t, p), acked(0))
		}
		flushed := make(chan error, 1)
		go func() { flushed <- a.Flush(t.Context()) }()
		for range 3 {
			synctest.Wait()
			require.Empty(t, flushed)
			records, bytes := a.Buffered()
			require.Zero(t, records)
			require.Positive(t, bytes)
			s.hold <- struct{}{}
		}
		require.NoError(t, <-flushed)
		requireEmpty(t, a)
	})
}

// TestTheHeapOfTinyBatchesIsWithinTheAccount: the description of a batch of one small record is larger than its buffer.
func TestTheHeapOfTinyBatchesIsWithinTheAccount(t *testing.T) {
	for name, callback := range map[string]func() Callback{
		"futures":   func() Callback { return Callback{} },
		"callbacks": func() Callback { return Callback{One: func(record.RecordMetadata, error) {}} },
	} {
		t.Run(name, func(t *testing.T) {
			a := newTest(Config{BatchSize: 1, Memory: 8 << 20, Linger: time.Hour})
			p := a.Topic("t").Partition(0)
			before := heap()
			for add(p, value("x"), callback(), nil).Result != nil {
			}
			_, bytes := a.Buffered()
			grown := heap() - before
			t.Logf("%d bytes in the account, %d on the heap", bytes, grown)
			require.LessOrEqual(t, bytes, int64(8<<20))
			require.Less(t, float64(grown), 1.1*float64(bytes))
			p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
		})
	}
}

// tinyRecords are kinds of records with callbacks and timestamps larger than their bytes in the batch.
var tinyRecords = map[string]func(i int) (*record.Record, Callback){
	"each with a callback": func(i int) (*record.Record, Callback) {
		return &record.Record{}, Callback{One: func(record.RecordMetadata, error) { _ = i }}
	},
	"in slices of one": func(i int) (*record.Record, Callback) {
		return &record.Record{}, Callback{All: sliceCallback(func(int, record.RecordMetadata, error) { _ = i })}
	},
	"each with a timestamp": func(i int) (*record.Record, Callback) {
		return &record.Record{Timestamp: time.UnixMilli(int64(i))}, Callback{}
	},
}

// settleOpen settles all batches of p, the open one too.
func settleOpen(p *Partition) {
	p.mu.Lock()
	if p.open != nil {
		p.completeLocked(&deferred{})
	}
	p.mu.Unlock()
	settleAll(p)
}

// A record's overhead counts before the record is appended: the open batches take no more than the free memory.
func TestOpenBatchesStayWithinTheShareOfTheirBroker(t *testing.T) {
	const limit = 256 << 10
	for name, next := range tinyRecords {
		for _, brokers := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s, %d brokers", name, brokers), func(t *testing.T) {
				a := newTest(Config{Memory: limit, Linger: time.Hour, MaxSpan: 24 * time.Hour})
				for b := range brokers {
					a.Topic("t").Partition(int32(b)).SetBroker(int32(b))
				}
				var open []*Partition
				for i := range 5 { // of one broker
					p := a.Topic("t").Partition(int32(10 + i))
					p.SetBroker(0)
					open = append(open, p)
				}
				share := int64(limit / brokers)
				for sent, round := 0, 0; round < 3; round++ {
					// the later batches begin as large as the earlier ones were
					for refused := 0; refused < len(open); sent++ {
						p := open[sent%len(open)]
						r, callback := next(sent)
						came, grant := add(p, r, callback, nil), int64(0)
						if came.Result == nil {
							came = add(p, r, callback, &grant) // as a Send without a wait
						}
						if refused++; came.Result != nil {
							refused = 0
						}
						_, bytes := a.Buffered()
						require.LessOrEqual(t, bytes, share, "record %d", sent)
					}
					_, bytes := a.Buffered()
					require.Greater(t, bytes, share*7/8)
					for _, p := range open {
						settleOpen(p)
					}
					require.NoError(t, a.Flush(t.Context())) // results behind callbacks count until these have returned
				}
				requireEmpty(t, a)
			})
		}
	}
}

// Waiting Sends get as much as the account demands, and use no more of it.
func TestASendThatWaitedStaysWithinItsGrant(t *testing.T) {
	const limit = 64 << 10
	for name, next := range tinyRecords {
		t.Run(name, func(t *testing.T) {
			a := newTest(Config{Memory: limit, BatchSize: 4096, Linger: time.Hour, MaxSpan: 24 * time.Hour})
			p := a.Topic("t").Partition(0)
			p.SetBroker(0)
			for sent := range 20_000 {
				r, callback := next(sent)
				came := add(p, r, callback, nil)
				if came.Result == nil {
					for !a.memory.try(&p.holder, came.Shortfall) {
						settleOpen(p)
					}
					grant := came.Shortfall
					came = add(p, r, callback, &grant)
					require.NotNil(t, came.Result, "record %d", sent)
					p.Unreserve(grant)
				}
				_, bytes := a.Buffered()
				require.LessOrEqual(t, bytes, int64(limit), "record %d", sent)
			}
			p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrClosed})
			require.NoError(t, a.Flush(t.Context()))
			requireEmpty(t, a)
		})
	}
}
