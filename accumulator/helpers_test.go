package accumulator

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gosamsa/samsa/compress"
	"github.com/gosamsa/samsa/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testOwner counts the reports of a ready batch.
type testOwner struct{ ready atomic.Int64 }

func (o *testOwner) BatchReady(<-chan struct{}) { o.ready.Add(1) }

// newTest returns an accumulator with the modern defaults for cfg's empty fields. Linger is cfg's: zero makes batches
// ready at once. Records may be an hour apart: a slow machine must not change a test's result.
func newTest(cfg Config) *Accumulator {
	if cfg.BatchSize == 0 {
		cfg.BatchSize = 16384
	}
	if cfg.MaxRequestSize == 0 {
		cfg.MaxRequestSize = 1 << 20
	}
	if cfg.Memory == 0 {
		cfg.Memory = 32 << 20
	}
	if cfg.MaxSpan == 0 {
		cfg.MaxSpan = time.Hour
	}
	if cfg.NewDrainer == nil {
		cfg.NewDrainer = func(*Partition) Drainer { return new(testOwner) }
	}
	return New(cfg)
}

func readies(p *Partition) int { return int(p.Drainer().(*testOwner).ready.Load()) }

func value(s string) *record.Record { return &record.Record{Value: []byte(s)} }

func sliceCallback(fn SliceCallback) *SliceCallback { return &fn }

// add is Append with its outcome as the result.
func add(p *Partition, r *record.Record, callback Callback, grant *int64) (a AppendResult) {
	p.Append(r, callback, grant, &a)
	return a
}

// put appends a record and requires room for it.
func put(t testing.TB, p *Partition, s string, callback ...Callback) AppendResult {
	t.Helper()
	var h Callback
	if len(callback) > 0 {
		h = callback[0]
	}
	a := add(p, value(s), h, nil)
	require.Nil(t, a.Err)
	require.Zero(t, a.Shortfall)
	require.NotNil(t, a.Result)
	return a
}

func putMany(t testing.TB, p *Partition, from, to int) (all []AppendResult) {
	t.Helper()
	for i := from; i < to; i++ {
		all = append(all, put(t, p, fmt.Sprint("record ", i)))
	}
	return all
}

// sizedRecord returns a record of exactly n bytes as the first of a batch.
func sizedRecord(t testing.TB, n int) *record.Record {
	t.Helper()
	for k := max(n-20, 0); k < n; k++ {
		r := &record.Record{Value: make([]byte, k)}
		if record.RecordSize(0, 0, nil, r.Value, nil) == n {
			return r
		}
	}
	require.FailNow(t, "no record has that size", "%d", n)
	return nil
}

// parse reads a batch as a broker would.
func parse(t testing.TB, b *Batch) record.Batch {
	t.Helper()
	record.SetChecksum(b.Bytes())
	batch, rest, err := record.ReadBatch(b.Bytes(), compress.Decompress, 0)
	require.NoError(t, err)
	require.Empty(t, rest)
	require.NoError(t, batch.ValidateProduced())
	require.Equal(t, b.Count, batch.Header.Count)
	return batch
}

func valuesOf(t testing.TB, b *Batch) (values []string) {
	t.Helper()
	for _, r := range parse(t, b).Records {
		values = append(values, string(r.Value))
	}
	return values
}

func numbered(from, to int) (values []string) {
	for i := from; i < to; i++ {
		values = append(values, fmt.Sprint("record ", i))
	}
	return values
}

func take(t testing.TB, p *Partition) *Batch {
	t.Helper()
	b := p.Take()
	require.NotNil(t, b)
	return b
}

func acked(offset int64) Outcome { return Outcome{BaseOffset: offset, LogAppendTime: -1} }

func failed(err error) Outcome {
	return Outcome{BaseOffset: -1, LogAppendTime: -1, Err: &record.Error{Topic: "t", Err: err}}
}

// requireEmpty checks that nothing buffered is left.
func requireEmpty(t testing.TB, a *Accumulator) {
	t.Helper()
	records, bytes := a.Buffered()
	require.Zero(t, records)
	require.Zero(t, bytes)
	require.Empty(t, slices.DeleteFunc(a.Remains(), func(what string) bool {
		return strings.HasPrefix(what, "failures that nobody has asked for") // they are reported after a second
	}))
	checkMemory(t, a.memory)
}

// checkMemory checks the accounting's invariants.
func checkMemory(t testing.TB, m *memory) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	used, kept := m.refused, m.refused
	waiting, inside, brokers := 0, 0, 0
	for id, a := range m.accounts {
		require.Equal(t, id, a.broker)
		require.GreaterOrEqual(t, a.used, int64(0))
		require.Positive(t, a.holders)
		require.GreaterOrEqual(t, a.kept, int64(0))
		require.LessOrEqual(t, a.kept, a.used)
		used += a.used
		kept += a.kept
		waiting += a.inside.n + a.outside.n
		inside += a.inside.n
		brokers++
		turns := 0
		for other := m.turn.first; other != nil; other = other.turn.next {
			if other == a {
				turns++
			}
		}
		require.Equal(t, min(a.inside.n+a.outside.n, 1), turns, "an account stands in the turn while it has waiters")
	}
	require.Equal(t, inside, m.inside)
	require.Equal(t, used, m.used)
	require.Equal(t, kept, m.kept)
	require.EqualValues(t, waiting, m.waiting.Load())
	require.Equal(t, brokers, m.brokers)
}

// spy is a Listener with a record of its calls.
type spy struct {
	acknowledges bool

	mu         sync.Mutex
	inside     int
	acks       []string
	panics     []any
	unobserved []int
	problems   []string
}

func (s *spy) Run(work func()) {
	s.mu.Lock()
	s.inside++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.inside--
		s.mu.Unlock()
	}()
	work()
}

func (s *spy) InCallback() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inside > 0 // of this goroutine, if a test has no other
}

func (s *spy) WantsAcknowledgements() bool { return s.acknowledges }

func (s *spy) OnAcknowledgement(md record.RecordMetadata, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inside == 0 {
		s.problems = append(s.problems, "OnAcknowledgement outside of Run")
	}
	s.acks = append(s.acks, outcomeText(md, err))
}

func (s *spy) Panicked(v any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.panics = append(s.panics, v)
}

func (s *spy) Unobserved(n int, err *record.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unobserved = append(s.unobserved, n)
}

// reports returns how many failures each report had so far.
func (s *spy) reports() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.unobserved)
}

func outcomeText(md record.RecordMetadata, err error) string {
	if err != nil {
		return errors.Unwrap(err).Error()
	}
	return fmt.Sprint(md.Topic, "/", md.Partition, "@", md.Offset)
}

// log collects lines from callbacks.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

func (l *log) callback(name string) Callback {
	return Callback{One: func(md record.RecordMetadata, err error) { l.add(name + " " + outcomeText(md, err)) }}
}

func (l *log) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

// small is the charge of a batch of a small record.
const small = 1<<minBufferBits + batchBytes
