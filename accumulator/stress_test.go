package accumulator

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/compress"
	"github.com/gosamsa/samsa/record"
)

// broker is the model of one partition's log, and the delivering owner: it takes batches in their order, writes,
// rejects, splits, or fails each, and settles them in any order while writes of theirs still hold the bytes.
type broker struct {
	t    *testing.T
	rnd  *rand.Rand
	wake chan struct{}
	done chan struct{}

	compressing bool

	mu  sync.Mutex
	log []string // by offset
}

func (m *broker) BatchReady(<-chan struct{}) {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *broker) run(p *Partition, stop <-chan struct{}) {
	defer close(m.done)
	var later []func()
	for {
		select {
		case <-m.wake:
		case <-stop:
			for _, settle := range later {
				settle()
			}
			return
		}
		if m.rnd.IntN(20) == 0 {
			p.ExpireQueued(time.Time{}, &record.Error{Err: record.ErrDeliveryTimeout})
		}
		for b := p.Take(); b != nil; b = p.Take() {
			if m.rnd.IntN(4) == 0 {
				p.SetBroker(m.rnd.Int32N(4) - 1)
			}
			later = append(later, m.deliver(p, b)...)
			m.rnd.Shuffle(len(later), func(i, j int) { later[i], later[j] = later[j], later[i] })
			for len(later) > 3 || len(later) > 0 && m.rnd.IntN(2) == 0 {
				later[0]()
				later = later[1:]
			}
		}
		for _, settle := range later { // nothing may wait for a future batch
			settle()
		}
		later = nil
	}
}

// deliver decides about a batch and writes it into the log. The returned function settles it.
func (m *broker) deliver(p *Partition, b *Batch) []func() {
	if m.compressing && m.rnd.IntN(4) > 0 {
		require.NoError(m.t, b.Compress())
	}
	switch m.rnd.IntN(10) {
	case 0:
		return []func(){func() { p.Settle(b, failed(errors.New("failed"))) }}
	case 1:
		blamed := map[int32]*record.Error{}
		for j := range b.Count {
			if m.rnd.IntN(3) == 0 {
				blamed[j] = &record.Error{Err: errors.New("rejected")}
			}
		}
		rest, err := p.Reject(b, blamed)
		require.NoError(m.t, err)
		if rest == nil {
			return nil
		}
		return m.deliver(p, rest)
	case 2:
		if b.Count == 1 {
			break
		}
		parts, err := p.Split(b, 1+len(b.Bytes())/2)
		require.NoError(m.t, err)
		var settles []func()
		for _, part := range parts {
			settles = append(settles, m.deliver(p, part)...)
		}
		return settles
	}
	b.Retain()
	wire := append([]byte(nil), b.Bytes()...)
	record.SetChecksum(wire)
	batch, _, err := record.ReadBatch(wire, compress.Decompress, 0)
	require.NoError(m.t, err)
	m.mu.Lock()
	offset := int64(len(m.log))
	for _, r := range batch.Records {
		m.log = append(m.log, string(r.Value))
	}
	m.mu.Unlock()
	return []func(){
		func() { p.Settle(b, acked(offset)) },
		func() { b.Release() },
	}
}

// sent is one record of the stress with its reported outcome.
type sent struct {
	part     int32
	value    string
	result   *Result
	index    int32
	hooked   bool
	canceled bool
	calls    atomic.Int32
	md       record.RecordMetadata
	err      error
	order    int64 // when its callback ran
}

type stress struct {
	t       *testing.T
	a       *Accumulator
	brokers []*broker
	clock   atomic.Int64
}

// send appends a record as a producer does, waiting for memory if it must. It returns nil when the wait ended.
func (s *stress) send(rnd *rand.Rand, value string) *sent {
	r := &sent{part: rnd.Int32N(int32(len(s.brokers))), value: value, hooked: rnd.IntN(2) == 0}
	callback := Callback{}
	if r.hooked {
		callback.One = func(md record.RecordMetadata, err error) {
			r.md, r.err, r.order = md, err, s.clock.Add(1)
			r.calls.Add(1)
		}
		if rnd.IntN(4) == 0 {
			one := callback.One
			callback = Callback{I: 42, All: sliceCallback(func(i int, md record.RecordMetadata, err error) {
				one(md,
					err)
			})}
		}
	}
	p := s.a.Topic("t").Partition(r.part)
	rec := &record.Record{Value: []byte(value)}
	came := add(p, rec, callback, nil)
	if came.Shortfall > 0 {
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
		if rnd.IntN(10) == 0 {
			cancel()
		}
		err := p.Reserve(ctx, came.Shortfall)
		cancel()
		if err != nil {
			return nil
		}
		grant := came.Shortfall
		came = add(p, rec, callback, &grant)
		p.Unreserve(grant)
	}
	if came.Result == nil {
		s.t.Errorf("no result: need %d, %v", came.Shortfall, came.Err)
		return nil
	}
	r.result, r.index = came.Result, came.Index
	return r
}

// user sends records and uses futures as users do.
func (s *stress) user(id, n int) (all []*sent) {
	rnd := rand.New(rand.NewPCG(uint64(id), 7))
	for i := range n {
		text := fmt.Sprintf("%d %06d", id, i)
		for range rnd.IntN(30) {
			text += fmt.Sprint(" ", rnd.IntN(10))
		}
		r := s.send(rnd, text)
		if r == nil {
			continue
		}
		all = append(all, r)
		one := all[rnd.IntN(len(all))]
		switch rnd.IntN(12) {
		case 0:
			if r.result.Cancel(r.index) {
				r.canceled = true
			}
		case 1:
			if one.result.Cancel(one.index) {
				one.canceled = true
			}
		case 2:
			_, _ = one.result.Wait(s.t.Context(), one.index)
		case 3:
			<-one.result.Done(one.index)
		case 4:
			ctx, cancel := context.WithTimeout(s.t.Context(), time.Duration(rnd.IntN(100))*time.Microsecond)
			_, _ = r.result.Wait(ctx, r.index)
			cancel()
		case 5:
			if rnd.IntN(20) == 0 {
				if err := s.a.Flush(s.t.Context()); err != nil {
					s.t.Error(err)
				}
			}
		case 6:
			s.a.Buffered()
		}
	}
	return all
}

// check compares the reported outcomes of the records with the logs.
func (s *stress) check(all []*sent) {
	t := s.t
	inLogs := 0
	for _, m := range s.brokers {
		inLogs += len(m.log)
	}
	ackedRecords := 0
	for _, r := range all {
		md, err := r.result.Wait(t.Context(), r.index)
		if r.hooked {
			require.EqualValues(t, 1, r.calls.Load(), "a callback runs once")
			require.Equal(t, md, r.md, "future and callback agree")
			require.Equal(t, err, r.err)
		}
		require.Equal(t, r.canceled, errors.Is(err, record.ErrCanceled))
		if err == nil {
			ackedRecords++
			require.Equal(t, r.value, s.brokers[r.part].log[md.Offset])
		}
	}
	require.Equal(t, ackedRecords, inLogs, "what is in the logs was told, and once")
}

// checkOrder checks that one user's records lie in the logs, and called back, in the order of sending.
func (s *stress) checkOrder(all []*sent) {
	offsets, orders := map[int32]int64{}, map[int32]int64{}
	for _, r := range all {
		md, err := r.result.Wait(s.t.Context(), r.index)
		if err == nil {
			last, seen := offsets[r.part]
			require.True(s.t, !seen || last < md.Offset)
			offsets[r.part] = md.Offset
		}
		if r.hooked && !r.canceled {
			require.Less(s.t, orders[r.part], r.order)
			orders[r.part] = r.order
		}
	}
}

func TestEveryRecordHasOneOutcomeUnderStress(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no linger": {Memory: 32 << 10, BatchSize: 2000},
		"linger":    {Memory: 16 << 10, BatchSize: 1000, Linger: time.Millisecond},
		"compressed": {Memory: 64 << 10, BatchSize: 1000, Linger: time.Millisecond,
			Compressor: compressorFor(t, compress.LZ4)},
		"tiny memory":     {Memory: 2000, BatchSize: 200},
		"single records":  {Memory: 8000, BatchSize: 1},
		"interceptors":    {Memory: 32 << 10, BatchSize: 2000, Listener: &spy{acknowledges: true}},
		"plenty of space": {Memory: 32 << 20, BatchSize: 16384, Linger: 100 * time.Microsecond},
	} {
		t.Run(name, func(t *testing.T) {
			s := &stress{t: t}
			stop := make(chan struct{})
			var mu sync.Mutex
			cfg.NewDrainer = func(p *Partition) Drainer {
				m := &broker{
					t: t, rnd: rand.New(rand.NewPCG(uint64(p.Index()), 3)), wake: make(chan struct{}, 1),
					done:        make(chan struct{}),
					compressing: cfg.Compressor != nil,
				}
				mu.Lock()
				defer mu.Unlock()
				s.brokers[p.Index()] = m
				go m.run(p, stop)
				return m
			}
			s.a = New(cfg)
			s.brokers = make([]*broker, 5)
			for i := range s.brokers {
				s.a.Topic("t").Partition(int32(i))
			}
			s.play(6, 500)
			close(stop)
			for _, m := range s.brokers {
				<-m.done
			}
			requireEmpty(t, s.a)
			require.Zero(t, s.a.Unobserved(), "everybody was asked in the end")
		})
	}
}

// play lets users send, flushes, and checks.
func (s *stress) play(users, records int) {
	byUser := make([][]*sent, users)
	var wait sync.WaitGroup
	for id := range users {
		wait.Go(func() { byUser[id] = s.user(id, records) })
	}
	wait.Wait()
	require.NoError(s.t, s.a.Flush(s.t.Context()))
	var all []*sent
	for _, mine := range byUser {
		s.checkOrder(mine)
		all = append(all, mine...)
	}
	s.check(all)
}
