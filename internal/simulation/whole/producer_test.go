package whole

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/logtext"
	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/sender"
)

var (
	firstSeed = flag.Int64("seed", 1, "first seed of the simulation")
	runs      = flag.Int("count", 200, "number of simulation runs")
)

// TestTheWholeProducerKeepsItsWord sends with the whole producer through a strict cluster in virtual time while
// brokers, networks and answers break, and compares the outcomes of the records with the logs. Configuration, work and
// faults come from the seed; the schedule of goroutines does not, so a failing seed may need some tries:
//
//	go test -race ./internal/simulation/whole -run WholeProducer -args -seed N -count K
//
// Then package replay feeds the events of each run to delivery cores alone; they must decide the same.
func TestTheWholeProducerKeepsItsWord(t *testing.T) {
	for seed := *firstSeed; seed < *firstSeed+int64(*runs); seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { newWorld(t, seed).run() })
		})
	}
}

// world is one run: a cluster, a producer, senders, faults, and outcomes.
type world struct {
	t          *testing.T
	seed       uint64
	began      time.Time
	c          *testbroker.Cluster
	plan       plan
	cfg        producer.Config
	p          *producer.Producer
	deliveries logtext.Text // the log of the delivery core

	mu     sync.Mutex
	items  []*item
	notes  []note
	nested int
	chance *rand.Rand // the faults of requests
	calm   bool

	left    *producer.CloseError // the result of Close
	most    int64                // buffered bytes
	wrong   []string
	healed  chan struct{}
	pending sync.WaitGroup // faults that end when healed

	// acting guards the faults of topics.
	acting   sync.Mutex
	topics   map[string]int32 // the numbers of partitions of the present topics
	gone     map[int32]bool   // brokers gone for good
	replaced int              // how often the cluster was replaced
	byID     bool             // requests name topics by id
	// recreated has the topics under the name of a deleted topic.
	recreated map[protocol.UUID]bool
	// replacedAt are the numbers of the last requests before each cluster with another id.
	replacedAt []int
}

// note is a line of the story of a run.
type note struct {
	at   time.Time
	text string
}

// givesUp bounds the waits for a record's outcome: a record without one would hold them for ever, and virtual time
// would go on. In a run without lost records they take some minutes.
const givesUp = 2 * time.Hour

// plan is the run's choice before it begins, beside the producer's configuration.
type plan struct {
	brokers, replicas int
	topics            map[string]int32
	lag               time.Duration
	goroutines, sends int
	length            time.Duration // the time of the sends
	rate              float64       // how many requests meet a fault
	faults            map[string]bool
	strikes           int  // faults of brokers and topics
	rests             bool // topics are unused at times, for longer than they are kept
	slow              bool // callbacks take their time, and wait in Send
	stalls            bool // interceptors stop for a while
	creates           bool // brokers create requested topics
	closing           closing
	patience          time.Duration // of Close
}

// closing says when Close is called.
type closing int

const (
	closeHealed  closing = iota // when all have sent and nothing is broken any more
	closeBroken                 // when all have sent, while things are broken
	closeHastily                // the same, with a deadline
	closeAmidst                 // while others send, with a deadline
)

// draws is a stream of random choices, one of each seed and purpose.
type draws struct{ *rand.Rand }

func (w *world) draws(purpose uint64) draws { return draws{rand.New(rand.NewPCG(w.seed, purpose))} }

// oneIn is true once in n times.
func (d draws) oneIn(n int) bool { return d.IntN(n) == 0 }

// upTo is a time of at least a millisecond.
func (d draws) upTo(most time.Duration) time.Duration {
	return time.Millisecond + time.Duration(d.Int64N(int64(most)))
}

func choose[T any](d draws, of ...T) T { return of[d.IntN(len(of))] }

func newWorld(t *testing.T, seed int64) *world {
	w := &world{t: t, seed: uint64(seed), began: time.Now(), healed: make(chan struct{}), gone: map[int32]bool{},
		recreated: map[protocol.UUID]bool{}}
	d := w.draws(0)
	w.chance = w.draws(1).Rand
	w.drawPlan(d)
	cfg := testbroker.Config{
		Seed: 1 + w.seed, Brokers: w.plan.brokers, ReplicationFactor: w.plan.replicas, MinInSyncReplicas: 1 +
			d.IntN(w.plan.replicas), Topics: w.plan.topics,
		ReplicationLag: w.plan.lag, Settings: map[string]testbroker.TopicSettings{}, AutoCreate: w.plan.creates,
	}
	if d.oneIn(5) {
		cfg.Versions = testbroker.KafkaVersions(choose(d, "2.1", "2.8", "3.3"))
	}
	cfg.FirstEpoch = choose[int16](d, 0, 0, 32766, 32767)
	for name := range w.plan.topics {
		s := testbroker.TopicSettings{LogAppendTime: d.oneIn(5), Compacted: d.oneIn(12)}
		if d.oneIn(5) {
			s.MessageMaxBytes = choose(d, 400, 1000, 5000)
		}
		cfg.Settings[name] = s
	}
	w.byID = cfg.Versions == nil
	w.c = testbroker.New(t, cfg)
	w.topics = map[string]int32{}
	for name, n := range w.plan.topics {
		w.topics[name] = n
	}
	w.drawConfig(d)
	w.c.Hook(w.fate)
	return w
}

func (w *world) drawPlan(d draws) {
	p := &w.plan
	p.brokers = 1 + d.IntN(4)
	p.replicas = 1 + d.IntN(min(3, p.brokers))
	p.topics = map[string]int32{}
	for i := range 1 + d.IntN(3) {
		p.topics[fmt.Sprintf("topic-%d", i)] = 1 + d.Int32N(5)
	}
	p.lag = choose(d, 0, 50*time.Millisecond, 2*time.Second)
	p.goroutines, p.sends = 1+d.IntN(4), 5+d.IntN(60)
	p.length = choose(d, 50*time.Millisecond, time.Second, 10*time.Second, time.Minute)
	p.rate = choose(d, 0, 0.02, 0.1, 0.3)
	p.faults = map[string]bool{}
	few := d.oneIn(2)
	for _, f := range requestFaults {
		p.faults[f.name] = !few || d.oneIn(4)
	}
	for _, s := range strikes {
		p.faults[s.name] = !few || d.oneIn(3)
	}
	p.strikes = choose(d, 0, 3, 10, 25)
	p.slow = d.oneIn(8)
	if p.rests = d.oneIn(4); p.rests {
		p.length = choose(d, 30*time.Second, time.Minute)
	}
	p.stalls = d.oneIn(6)
	p.creates = d.oneIn(4)
	p.closing = choose(d, closeHealed, closeHealed, closeBroken, closeHastily, closeAmidst)
	p.patience = choose(d, 0, time.Millisecond, 100*time.Millisecond, 3*time.Second)
}

func (w *world) drawConfig(d draws) {
	cfg := producer.DefaultConfig(w.c.Bootstrap()...)
	cfg.Dialer = w.c.Dial
	cfg.Logger = slog.New(slog.NewTextHandler(&w.deliveries, &slog.HandlerOptions{Level: sender.LevelTrace}))
	switch d.IntN(10) {
	case 0:
		cfg.Acks, cfg.EnableIdempotence = producer.AcksNone, false
	case 1, 2:
		cfg.Acks, cfg.EnableIdempotence = producer.AcksLeader, false
	case 3:
		cfg.EnableIdempotence = false
	}
	cfg.MaxInFlight = 1 + d.IntN(5)
	cfg.Retries = choose(d, cfg.Retries, cfg.Retries, cfg.Retries, 1, 3, 10)
	if !cfg.EnableIdempotence {
		cfg.MaxInFlight = choose(d, 1, 1, 5, 10)
		cfg.Retries = choose(d, cfg.Retries, cfg.Retries, 0)
	}
	cfg.RequestTimeout = choose(d, 300*time.Millisecond, 2*time.Second, 10*time.Second, 30*time.Second)
	cfg.Linger = choose(d, 0, 0, 5*time.Millisecond, 100*time.Millisecond, time.Second)
	cfg.DeliveryTimeout = cfg.RequestTimeout + cfg.Linger + choose(d, 0, time.Second, 20*time.Second, 90*time.Second)
	cfg.BatchSize = choose(d, 0, 150, 500, 2000, 16384)
	cfg.MaxRequestSize = max(cfg.BatchSize, choose(d, 1000, 5000, 1<<20))
	cfg.BufferMemory = max(int64(cfg.BatchSize), choose(d, int64(3000), 20_000, 1<<20, 32<<20))
	cfg.MaxBlock = choose(d, 0, 50*time.Millisecond, 2*time.Second, time.Minute)
	cfg.Compression = choose(d, producer.CompressionNone, producer.CompressionNone, producer.CompressionNone,
		producer.CompressionGzip, producer.CompressionSnappy, producer.CompressionLZ4, producer.CompressionZstd)
	cfg.CompressionWorkers = d.IntN(4)
	cfg.RetryBackoff = choose(d, time.Millisecond, 10*time.Millisecond, 100*time.Millisecond)
	cfg.RetryBackoffMax = choose(d, 200*time.Millisecond, time.Second)
	cfg.ReconnectBackoffMax = choose(d, 100*time.Millisecond, time.Second)
	cfg.SocketConnectionSetupTimeout = choose(d, 300*time.Millisecond, 3*time.Second, 10*time.Second)
	cfg.MetadataMaxAge = choose(d, 500*time.Millisecond, 10*time.Second, 5*time.Minute)
	cfg.MetadataMaxIdle = choose(d, 5*time.Second, 5*time.Minute)
	if w.plan.rests {
		cfg.MetadataMaxAge, cfg.MetadataMaxIdle = 500*time.Millisecond, 5*time.Second
	}
	cfg.ConnectionsMaxIdle = choose(d, time.Second, 9*time.Minute)
	cfg.MetadataRecoveryRebootstrapTrigger = choose(d, 3*time.Second, 5*time.Minute)
	cfg.PartitionerIgnoreKeys = d.oneIn(6)
	cfg.PartitionerAdaptive = !d.oneIn(4)
	if cfg.PartitionerAdaptive {
		cfg.PartitionerAvailabilityTimeout = choose(d, 0, time.Second)
	}
	if w.plan.stalls {
		cfg.Interceptors = []producer.Interceptor{&stalling{w}}
	}
	w.cfg = cfg
}

// run plays the run and judges it.
func (w *world) run() {
	var err error
	w.p, err = producer.New(w.cfg)
	require.NoError(w.t, err)
	w.note("plan %+v", w.plan)
	var senders sync.WaitGroup
	for g := range w.plan.goroutines {
		senders.Go(func() { w.send(g) })
	}
	var striker sync.WaitGroup
	striker.Go(w.strike)
	if w.plan.closing == closeAmidst {
		time.Sleep(w.plan.length / 2)
		w.close()
	}
	senders.Wait()
	if w.plan.closing == closeBroken || w.plan.closing == closeHastily {
		w.close()
	}
	striker.Wait()
	w.heal()
	if w.plan.closing == closeHealed {
		w.probe()
		w.close()
	}
	// Requests in sockets and hands of brokers come to light, and all callbacks have run.
	time.Sleep(10 * time.Minute)
	synctest.Wait()
	w.c.Close()
	w.check()
	if len(w.wrong) > 0 {
		w.t.Errorf("seed %d:\n%s\n\n%s", w.seed, strings.Join(w.wrong, "\n"), w.story())
	}
}

// close closes the producer, and checks the promises of Close about itself.
func (w *world) close() {
	limit, bound := givesUp, w.cfg.DeliveryTimeout
	if w.plan.closing == closeHastily || w.plan.closing == closeAmidst {
		limit, bound = w.plan.patience, w.plan.patience
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	w.note("Close begins")
	began := time.Now()
	err := w.p.Close(ctx)
	took := time.Since(began)
	w.note("Close returns after %v: %v", took, err)
	if took >= givesUp {
		w.fail("Close has not ended after %v", took)
	}
	if took > bound && !w.plan.slow && !w.plan.stalls {
		w.fail("Close took %v, its bound is %v", took, bound)
	}
	w.checkClose(err)
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.noteLocked(format, args...)
}

func (w *world) noteLocked(format string, args ...any) {
	w.notes = append(w.notes, note{time.Now(), fmt.Sprintf(format, args...)})
}

// fail notes a problem of the run. The first few are enough.
func (w *world) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.wrong) < 20 {
		w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
	}
}

// story is the whole run, in order: the brokers' observations and faults, the callers' outcomes, the core's decisions.
func (w *world) story() string {
	all := slices.Clone(w.notes)
	for _, r := range w.c.Requests() {
		_, text, _ := strings.Cut(r.String(), " ")
		all = append(all, note{r.Time, "request " + text})
	}
	for _, line := range strings.Split(strings.TrimSpace(w.deliveries.String()), "\n") {
		stamp, text, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
		at, err := time.Parse(time.RFC3339Nano, stamp)
		require.NoError(w.t, err)
		if !strings.Contains(text, "event=tick") || !strings.HasSuffix(text, `does=""`) {
			all = append(all, note{at, strings.TrimPrefix(text, "level=DEBUG-4 msg=")})
		}
	}
	// slog's times are in milliseconds.
	slices.SortStableFunc(all, func(a, b note) int {
		return a.at.Truncate(time.Millisecond).Compare(
			b.at.Truncate(time.Millisecond))
	})
	var b strings.Builder
	for _, n := range all {
		fmt.Fprintf(&b, "%12v %s\n", n.at.Sub(w.began), n.text)
	}
	return b.String()
}
