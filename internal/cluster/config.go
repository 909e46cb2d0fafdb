package cluster

import (
	"log/slog"
	"time"

	"github.com/gosamsa/samsa/internal/transport"
)

// These bounds have no option.
const (
	// shortestBackoff keeps the client from sending requests to a fast broker in a tight loop, with any config.
	shortestBackoff = time.Millisecond
	// headStarts is how many unresponsive servers the client can try in a row within one setup timeout.
	headStarts = 10
	// noProgressBefore is the number of refreshes without progress before the client asks another broker.
	noProgressBefore = 3
)

// Config is the configuration of a client. The names in brackets are Kafka's properties. The caller sets every field
// except Logger: a zero is the property's value 0, and means no default.
type Config struct {
	// Bootstrap (bootstrap.servers) are the addresses, "host:port", for the first contact. The client tries them in
	// random order.
	Bootstrap []string
	// Transport has the options of the connections. It must not be nil.
	Transport *transport.Options
	// MaxAge (metadata.max.age.ms) is the age at which the client refreshes its metadata. With zero the client
	// refreshes it as often as RetryBackoff allows.
	MaxAge time.Duration
	// MaxIdle (metadata.max.idle.ms) is how long an unused topic stays known.
	MaxIdle time.Duration
	// RetryBackoff and RetryBackoffMax (retry.backoff.ms, retry.backoff.max.ms) are the pause after a failure, and the
	// least time between two requests for the same metadata. Below a millisecond they count as one.
	RetryBackoff, RetryBackoffMax time.Duration
	// ReconnectBackoff and ReconnectBackoffMax (reconnect.backoff.ms, reconnect.backoff.max.ms) are the pause before
	// the next connection to a failed server. Below a millisecond they count as one.
	ReconnectBackoff, ReconnectBackoffMax time.Duration
	// SetupTimeoutMax (socket.connection.setup.timeout.max.ms) is the largest setup timeout of a server. The timeout
	// begins as Transport's and doubles with each failure.
	SetupTimeoutMax time.Duration
	// RequestTimeout (request.timeout.ms) bounds each request, instead of Transport's. Zero ends each at once.
	RequestTimeout time.Duration
	// PropagationMax (topic.metadata.propagation.max.ms) bounds the wait for a topic while every response calls it
	// unknown; a negative value is no bound. MaxBlock (max.block.ms) bounds every wait of the caller; the client names
	// it in warnings.
	PropagationMax, MaxBlock time.Duration
	// AllowAutoTopicCreation (allow.auto.create.topics): a request for a missing topic creates it, if the brokers allow
	// it too. Only a caller's wait for a topic creates it, never a refresh.
	AllowAutoTopicCreation bool
	// Rebootstrap (metadata.recovery.strategy=rebootstrap, KIP-899): when no known broker is usable, the client tries
	// the bootstrap servers again.
	Rebootstrap bool
	// RebootstrapTrigger (metadata.recovery.rebootstrap.trigger.ms, KIP-1102): after this time without an answer the
	// client tries the bootstrap servers first. Zero means at once.
	RebootstrapTrigger time.Duration
	// The client calls LetGo before it forgets a topic after MaxIdle without use. LetGo returns false while records of
	// the topic are undelivered; then the client calls it again at the next refresh. LetGo runs on the client's
	// goroutine without a lock, and must not block. Nil always allows it.
	LetGo func(topic string) bool
	// Logger gets failures as warnings and the rest at debug level. Nil is silent.
	Logger *slog.Logger
}

// withDefaults returns a copy with every field ready for use.
func (c Config) withDefaults() Config {
	c.Bootstrap = append([]string(nil), c.Bootstrap...)
	c.RetryBackoff = max(c.RetryBackoff, shortestBackoff)
	c.ReconnectBackoff = max(c.ReconnectBackoff, shortestBackoff)
	opts := *c.Transport
	opts.RequestTimeout = c.RequestTimeout
	if opts.SetupTimeout <= 0 {
		opts.SetupTimeout = transport.DefaultSetupTimeout
	}
	c.Transport = &opts
	if c.LetGo == nil {
		c.LetGo = func(string) bool { return true }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c *Config) retry() transport.Backoff {
	return transport.Backoff{Initial: c.RetryBackoff, Max: c.RetryBackoffMax}
}

func (c *Config) reconnect() transport.Backoff {
	return transport.Backoff{Initial: c.ReconnectBackoff, Max: c.ReconnectBackoffMax}
}

// dial returns the options for a dial of a server after this number of failures.
func (c *Config) dial(failures int) *transport.Options {
	if failures == 0 || c.SetupTimeoutMax <= c.Transport.SetupTimeout {
		return c.Transport
	}
	opts := *c.Transport
	opts.SetupTimeout = transport.Backoff{Initial: opts.SetupTimeout, Max: c.SetupTimeoutMax}.Delay(failures + 1)
	return &opts
}

// headStart is how long the client waits for one server before it also asks another one.
func (c *Config) headStart() time.Duration { return c.Transport.SetupTimeout / headStarts }

// longestThrottle bounds a broker's throttle time: a broker must not stop the client for ever.
func (c *Config) longestThrottle() time.Duration { return max(c.MaxAge, time.Minute) }

// grace is how long the client keeps a known topic after brokers call it unknown: a newly started broker may not know
// the topic yet.
func (c *Config) grace() time.Duration { return 5 * max(c.RetryBackoffMax, c.RetryBackoff) }
