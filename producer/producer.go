package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/gosamsa/samsa/accumulator"
	"github.com/gosamsa/samsa/compress"
	"github.com/gosamsa/samsa/internal/cluster"
	"github.com/gosamsa/samsa/internal/immutable"
	"github.com/gosamsa/samsa/internal/lockrank"
	"github.com/gosamsa/samsa/internal/loggate"
	"github.com/gosamsa/samsa/internal/transport"
	"github.com/gosamsa/samsa/record"
	"github.com/gosamsa/samsa/sender"
)

// Producer sends records to Kafka. All its methods may be called from many goroutines; one Producer serves a whole
// program. It must be closed.
type Producer struct {
	cfg      Config
	chooser  partitionChooser
	listener *listener
	log      *loggate.Gate
	logMark  stackMark // marks the stack of the log handler's goroutine
	cluster  *cluster.Client
	sender   *sender.Sender
	acc      *accumulator.Accumulator

	asksUser    bool // the user has set a partitioner or an interceptor
	smallRecord uint // a record with fewer bytes of key and value is below every limit

	topicsMu lockrank.Mutex[lockrank.ProducerTopics]
	topics   atomic.Pointer[immutable.Map[*topic]] // replaced under topicsMu
	// the newest of topics: most producers have one topic, and skip the map
	newest          atomic.Pointer[topic]
	metadataChanged atomic.Pointer[chan struct{}] // closed when there is newer metadata
	idle            idleTopics                    // guarded by topicsMu

	waiting waitingCalls
	closing context.Context // ends when Close begins
	closed  atomic.Bool     // the same, for calls that only check
	room    roomWatch
	close   context.CancelCauseFunc
	closer  closer
}

// New returns a running producer, or an error with every problem of cfg (see [Config.Validate]). It copies cfg, and
// returns without a connection to a broker: the first Send reports unreachable brokers.
func New(cfg Config) (*Producer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.clone().bounded()
	logMark := newStackMark()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(defaultLogger{slog.DiscardHandler})
	}
	log := loggate.New(cfg.Logger, logMark.run)
	cfg.Logger = log.Logger()
	compressor, err := newCompressor(&cfg)
	if err != nil {
		return nil, err
	}
	cfg.logNotices(cfg.Logger)
	p := &Producer{cfg: cfg, chooser: newPartitionChooser(&cfg), listener: newListener(&cfg), log: log,
		logMark: logMark}
	p.closer.init(p.listener)
	p.asksUser = cfg.Partitioner != nil || !p.listener.chain.empty()
	p.smallRecord = smallRecordOf(&cfg)
	p.topics.Store(new(immutable.Map[*topic]))
	changed := make(chan struct{})
	p.metadataChanged.Store(&changed)
	p.closing, p.close = context.WithCancelCause(context.Background())

	options := transportOptions(&cfg)
	settings := clusterConfig(&cfg, options)
	settings.LetGo = p.letGo
	p.cluster = cluster.New(settings)
	p.cluster.OnChange(p.clusterChanged)
	p.sender = sender.New(sender.Config{
		Cluster: p.cluster, Transport: options,
		Accumulator: accumulator.Config{
			BatchSize: min(cfg.BatchSize, largestBatch), MaxRequestSize: min(cfg.MaxRequestSize, largestBatch),
			Memory: cfg.BufferMemory, Linger: cfg.Linger,
			MaxSpan: max(cfg.Linger, time.Second), Compressor: compressor, Listener: p.listener,
		},
		Acks: int16(cfg.Acks), Idempotent: cfg.EnableIdempotence, MaxInFlight: cfg.MaxInFlight,
		MaxRequestSize: cfg.MaxRequestSize,
		Retries:        cfg.Retries, RetryBackoff: cfg.RetryBackoff, RetryBackoffMax: cfg.RetryBackoffMax,
		ReconnectBackoff: cfg.ReconnectBackoff, ReconnectBackoffMax: cfg.ReconnectBackoffMax,
		SetupTimeoutMax: cfg.SocketConnectionSetupTimeoutMax,
		RequestTimeout:  cfg.RequestTimeout, DeliveryTimeout: cfg.DeliveryTimeout, Workers: cfg.CompressionWorkers,
		Logger: cfg.Logger,
	})
	p.acc = p.sender.Accumulator()
	return p, nil
}

func newCompressor(cfg *Config) (*compress.Compressor, error) {
	level := 0
	switch cfg.Compression {
	case CompressionNone:
		return nil, nil
	case CompressionGzip:
		level = cfg.CompressionGzipLevel
	case CompressionLZ4:
		level = cfg.CompressionLZ4Level
	case CompressionZstd:
		level = cfg.CompressionZstdLevel
	}
	return compress.NewCompressor(cfg.Compression, level)
}

func transportOptions(cfg *Config) *transport.Options {
	return &transport.Options{
		Dialer: cfg.Dialer, ClientID: cfg.ClientID, SoftwareName: softwareName, SoftwareVersion: Version,
		Versions:       new(transport.VersionMemory),
		RequestTimeout: cfg.RequestTimeout, SetupTimeout: cfg.SocketConnectionSetupTimeout,
		MaxIdle:     cfg.ConnectionsMaxIdle,
		MaxThrottle: max(cfg.DeliveryTimeout, time.Nanosecond),
		SendBuffer:  cfg.SendBuffer, ReceiveBuffer: cfg.ReceiveBuffer, Logger: cfg.Logger,
		History: new(transport.History), UserCalls: new(transport.UserCalls),
	}
}

func clusterConfig(cfg *Config, options *transport.Options) cluster.Config {
	propagation := cfg.TopicMetadataPropagationMax
	if propagation < 0 {
		propagation = cfg.MaxBlock
	}
	return cluster.Config{
		Bootstrap: cfg.BootstrapServers, Transport: options, MaxAge: cfg.MetadataMaxAge, MaxIdle: cfg.MetadataMaxIdle,
		RetryBackoff: cfg.RetryBackoff, RetryBackoffMax: cfg.RetryBackoffMax,
		ReconnectBackoff: cfg.ReconnectBackoff, ReconnectBackoffMax: cfg.ReconnectBackoffMax,
		RequestTimeout: cfg.RequestTimeout,
		PropagationMax: propagation, MaxBlock: cfg.MaxBlock,
		AllowAutoTopicCreation: cfg.AllowAutoCreateTopics,
		Rebootstrap:            cfg.MetadataRecoveryStrategy == MetadataRecoveryRebootstrap,
		RebootstrapTrigger:     cfg.MetadataRecoveryRebootstrapTrigger,
		SetupTimeoutMax:        cfg.SocketConnectionSetupTimeoutMax, Logger: cfg.Logger,
	}
}

// clusterChanged updates the changed topics, and wakes the Sends that wait for newer metadata.
func (p *Producer) clusterChanged(change *cluster.Change) {
	p.topicsMu.Lock()
	if change.Cluster {
		p.idle = idleTopics{}
	}
	for i := range change.Topics {
		difference := &change.Topics[i]
		if t, known := p.topics.Load().Get(difference.Name); known {
			t.update(change.Snapshot, difference)
		}
	}
	p.topicsMu.Unlock()
	changed := make(chan struct{})
	close(*p.metadataChanged.Swap(&changed))
}

// Flush sends every record accepted before it without waiting for linger.ms. It waits until each record has its outcome
// and its callback has returned, or until ctx ends. It also waits for the callbacks of canceled records, and of records
// that failed before they were buffered. Its error concerns the wait only; futures and callbacks report failed records.
// The error's text names the obstacle of the oldest undelivered record. Inside a callback Flush fails at once with
// [ErrInCallback].
func (p *Producer) Flush(ctx context.Context) error {
	if p.listener.InCallback() {
		return fmt.Errorf("samsa: flush: %w", ErrInCallback)
	}
	if ctx == nil {
		ctx = context.Background()
	}
	if err := p.acc.Flush(ctx); err != nil {
		return fmt.Errorf("samsa: flush: %w", err)
	}
	return nil
}

// Buffered returns how many accepted records have no outcome yet, and how many bytes of buffer.memory are in use. The
// bytes include whole buffers, and also outcomes and refused records until their callbacks and interceptors have
// returned. So bytes can be above zero when records is zero.
func (p *Producer) Buffered() (records int, bytes int64) { return p.acc.Buffered() }

// PartitionInfo describes one partition of a topic.
type PartitionInfo struct {
	Topic     string
	Partition int32
	// Leader is the broker that leads the partition, or -1 while there is none.
	Leader int32
	// LeaderEpoch counts the partition's leaders; -1 if the brokers do not report it.
	LeaderEpoch int32
	// Replicas and InSyncReplicas are brokers.
	Replicas       []int32
	InSyncReplicas []int32
}

// Ping asks one broker for metadata and returns nil with its response, so a program can check at its start that
// BootstrapServers are right. Ping tries each server once. If every server refuses the connection, Ping fails at once,
// and the error has the reason of each server. For an unresponsive server Ping waits SocketConnectionSetupTimeout. The
// deadline of ctx bounds Ping if ctx has one; otherwise MaxBlock does. Ping needs no topic and no authorization.
func (p *Producer) Ping(ctx context.Context) error {
	wait := p.newCall(ctx)
	defer wait.end()
	if p.closed.Load() {
		return fmt.Errorf("samsa: ping: %w", ErrClosed)
	}
	err := p.cluster.Ping(wait.context())
	var silent *cluster.UnreachableError
	switch {
	case err == nil:
		return nil
	case p.closed.Load():
		return fmt.Errorf("samsa: ping: %w", ErrClosed)
	case errors.As(err, &silent) && wait.user.Err() != nil:
		return fmt.Errorf("samsa: ping: %w: %w", accumulator.ContextError(wait.user), silent)
	case errors.As(err, &silent) && wait.context().Err() != nil:
		return &pingError{fmt.Errorf("no broker answered for %v (MaxBlock): %w", p.cfg.MaxBlock, silent)}
	}
	return &pingError{err}
}

// pingError is ErrMetadataTimeout of a Ping, with the reason of each server.
type pingError struct{ err error }

func (e *pingError) Error() string { return "samsa: ping: " + e.err.Error() }

func (e *pingError) Unwrap() []error { return []error{record.ErrMetadataTimeout, e.err} }

// PartitionsFor returns the topic's partitions. The deadline of ctx bounds the wait if ctx has one; otherwise MaxBlock
// does, or the cancellation of ctx. After PartitionsFor the first Send need not wait for metadata. The error is an
// [*Error], as from Send.
func (p *Producer) PartitionsFor(ctx context.Context, topic string) ([]PartitionInfo, error) {
	wait := p.newCall(ctx)
	defer wait.end()
	if p.closed.Load() {
		return nil, &record.Error{Topic: shorten(topic), Partition: -1, Err: record.ErrClosed}
	}
	t, failed := p.topicFor(wait, topic)
	if failed != nil {
		return nil, failed
	}
	meta := t.meta.Load()
	if meta == nil {
		// The producer forgot the topic after topicFor returned.
		return nil, &record.Error{Topic: topic, Partition: -1, Err: record.ErrMetadataTimeout}
	}
	infos := make([]PartitionInfo, 0, meta.topic.Len())
	for _, part := range meta.topic.Partitions() {
		infos = append(infos, PartitionInfo{
			Topic: topic, Partition: part.Index, Leader: part.Leader, LeaderEpoch: part.LeaderEpoch,
			Replicas: append([]int32(nil), part.Replicas...), InSyncReplicas: append([]int32(nil), part.ISR...),
		})
	}
	return infos, nil
}
