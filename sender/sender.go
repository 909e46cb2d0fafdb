package sender

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gosamsa/samsa/accumulator"
	"github.com/gosamsa/samsa/internal/cluster"
	"github.com/gosamsa/samsa/internal/delivery"
	"github.com/gosamsa/samsa/internal/lockrank"
	"github.com/gosamsa/samsa/internal/transport"
	"github.com/gosamsa/samsa/record"
)

// Config has the options of a Sender, in Kafka's terms. All of them must be set, except for Logger.
type Config struct {
	Cluster     *cluster.Client
	Transport   *transport.Options
	Accumulator accumulator.Config

	Acks                int16         // acks: 0, 1, or -1 for all
	Idempotent          bool          // enable.idempotence
	MaxInFlight         int           // max.in.flight.requests.per.connection
	MaxRequestSize      int           // max.request.size
	Retries             int           // retries
	RetryBackoff        time.Duration // retry.backoff.ms
	RetryBackoffMax     time.Duration // retry.backoff.max.ms
	ReconnectBackoff    time.Duration // reconnect.backoff.ms
	ReconnectBackoffMax time.Duration // reconnect.backoff.max.ms
	SetupTimeoutMax     time.Duration // socket.connection.setup.timeout.max.ms; Transport has the first one
	RequestTimeout      time.Duration // request.timeout.ms
	DeliveryTimeout     time.Duration // delivery.timeout.ms
	Workers             int           // goroutines for compression
	Logger              *slog.Logger  // must not wait, see LevelTrace
}

// Sender delivers the batches of one accumulator.
//
// Lock order: partition.mu before identities.mu, Sender.mu, broker.mu (in this order), workers.mu and the accumulator's
// locks; none of these before partition.mu. No lock is held over a dial, a write, or a call into the accumulator's
// Settle.
type Sender struct {
	cfg     Config
	acc     *accumulator.Accumulator
	ids     identities
	workers workers
	start   time.Time
	traced  bool // the Logger wants LevelTrace

	ctx    context.Context
	cancel context.CancelFunc
	fills  atomic.Uint64  // numbers requests
	wait   sync.WaitGroup // brokers and the identity's request

	mu      lockrank.Mutex[lockrank.Sender]
	brokers map[int32]*broker
	leaving map[*broker]struct{}            // brokers outside the cluster with unanswered requests
	topics  map[string]map[int32]*partition // all partitions in use
	stopped bool
}

// New returns a running Sender. It starts no goroutine before there is something to send.
func New(cfg Config) *Sender {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Sender{
		cfg: cfg, brokers: make(map[int32]*broker), leaving: make(map[*broker]struct{}),
		topics: make(map[string]map[int32]*partition),
		start:  time.Now(),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.traced = cfg.Logger.Enabled(s.ctx, LevelTrace)
	s.ids.s = s
	s.workers.init(cfg.Workers)
	acc := cfg.Accumulator
	acc.NewDrainer = func(p *accumulator.Partition) accumulator.Drainer { return s.newPartition(p) }
	s.acc = accumulator.New(acc)
	cfg.Cluster.OnChange(s.clusterChanged)
	s.ids.followedTo(cfg.Cluster.Snapshot().Generation, time.Now()) // there is no partition yet
	return s
}

// Accumulator returns the accumulator of the Sender.
func (s *Sender) Accumulator() *accumulator.Accumulator { return s.acc }

func (s *Sender) newPartition(acc *accumulator.Partition) *partition {
	p := &partition{s: s, acc: acc}
	cfg := &delivery.Config{
		Topic: acc.Topic(), Partition: acc.Index(), Acks: s.cfg.Acks, Idempotent: s.cfg.Idempotent,
		MaxInFlight: s.cfg.MaxInFlight,
		Retries:     s.cfg.Retries, DeliveryTimeout: s.cfg.DeliveryTimeout, Backoff: s.cfg.retry().Delay,
		Source: (*unsealed)(p),
	}
	p.trace = s.traceDelivery(cfg)
	p.delivery.Init(cfg)
	s.mu.Lock()
	topic := s.topics[acc.Topic()]
	if topic == nil {
		topic = make(map[int32]*partition)
		s.topics[acc.Topic()] = topic
	}
	topic[acc.Index()] = p
	s.mu.Unlock()
	p.follow(s.cfg.Cluster.Snapshot(), time.Now())
	return p
}

// retry is the backoff between the attempts of a batch.
func (c *Config) retry() transport.Backoff {
	return transport.Backoff{Initial: c.RetryBackoff, Max: c.RetryBackoffMax}
}

// reconnect is the backoff between connections.
func (c *Config) reconnect() transport.Backoff {
	return transport.Backoff{Initial: c.ReconnectBackoff, Max: c.ReconnectBackoffMax}
}

// clusterChanged lets the affected partitions follow a change of the metadata.
func (s *Sender) clusterChanged(change *cluster.Change) {
	now := time.Now()
	for _, p := range s.affected(change) {
		p.follow(change.Snapshot, now)
	}
	s.ids.followedTo(change.Snapshot.Generation, now)
	if change.Cluster {
		for _, b := range s.allBrokers() {
			b.leaveFormerCluster()
		}
	}
	if change.Brokers {
		s.brokersChanged(change.Snapshot)
	}
}

// affected returns the partitions in use in a change.
func (s *Sender) affected(change *cluster.Change) (parts []*partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if change.Cluster {
		return s.allPartitionsLocked()
	}
	for i := range change.Topics {
		topic := &change.Topics[i]
		used := s.topics[topic.Name]
		if topic.All || len(topic.Partitions) >= len(used) {
			parts = slices.AppendSeq(parts, maps.Values(used))
			continue
		}
		for _, index := range topic.Partitions {
			if p := used[index]; p != nil {
				parts = append(parts, p)
			}
		}
	}
	return parts
}

func (s *Sender) allPartitionsLocked() (parts []*partition) {
	for _, topic := range s.topics {
		parts = slices.AppendSeq(parts, maps.Values(topic))
	}
	return parts
}

// forgetPartition drops a partition after its end in the accumulator. Without any partition no topic is left to show
// that the cluster was recreated under its former id, so the identity ends too.
func (s *Sender) forgetPartition(p *partition) {
	name := p.acc.Topic()
	s.mu.Lock()
	delete(s.topics[name], p.acc.Index())
	if len(s.topics[name]) == 0 {
		delete(s.topics, name)
	}
	last := len(s.topics) == 0
	s.mu.Unlock()
	s.ids.retire(p, p.delivery.Identity(), last)
}

// begin counts a goroutine for Stop to wait for; it reports false once the sender has stopped.
func (s *Sender) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	s.wait.Add(1)
	return true
}

// Load returns the load of a partition, for an adaptive partitioner: the number of batches without an outcome, and the
// time for which its broker could have taken one and has not.
func Load(acc *accumulator.Partition, now time.Time) (queued int, stalled time.Duration) {
	p, ok := acc.Drainer().(*partition)
	if !ok {
		return 0, 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.queued {
		stalled = now.Sub(p.queuedAt)
	}
	return p.delivery.Len() + acc.Queued(), stalled
}

// Undelivered has the counts of Abort.
type Undelivered struct {
	Records      int
	MaybeWritten int
}

// Abort fails every record without an outcome with err: as maybe written if a request may have left, otherwise as not
// written. It closes the connections. The accumulator must refuse new records before.
func (s *Sender) Abort(err error) Undelivered {
	s.mu.Lock()
	parts := s.allPartitionsLocked()
	s.mu.Unlock()
	var left Undelivered
	for _, p := range parts {
		p.abort(err, &left)
	}
	return left
}

// Stop is Cut and Wait.
func (s *Sender) Stop() {
	s.Cut()
	s.Wait()
}

// Cut closes all connections, ends the dials and handshakes, and lets nothing start any more. It waits for nothing.
// Undelivered records stay so: call Abort first.
func (s *Sender) Cut() {
	s.mu.Lock()
	s.stopped = true
	parts := s.allPartitionsLocked()
	s.mu.Unlock()
	brokers := s.allBrokers()
	s.cancel()
	for _, b := range brokers {
		b.close(record.ErrClosed)
	}
	for _, p := range parts {
		p.stop()
	}
}

// Wait waits for the sender's goroutines after Cut.
func (s *Sender) Wait() {
	s.wait.Wait()
	s.workers.wait.Wait()
}
