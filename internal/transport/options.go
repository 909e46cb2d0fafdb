package transport

import (
	"context"
	"log/slog"
	"math"
	"net"
	"time"
)

// These values replace zero in fields of Options. No property can set these fields to zero.
const (
	// DefaultSetupTimeout is Kafka's socket.connection.setup.timeout.ms.
	DefaultSetupTimeout = 10 * time.Second
	// DefaultMaxIdle is Kafka's connections.max.idle.ms: below the broker's ten minutes, so that the client closes the
	// connection first.
	DefaultMaxIdle = 9 * time.Minute
	// DefaultMaxThrottle is Kafka's delivery.timeout.ms.
	DefaultMaxThrottle = 2 * time.Minute
	// LargestFrame is the largest request, in bytes: a frame's length is an int32.
	LargestFrame = math.MaxInt32
	// DefaultMaxResponse is the largest accepted answer, in bytes.
	DefaultMaxResponse = 100 << 20
	// maxSetupResponse is the largest accepted answer in the first exchange, from a still unknown server.
	maxSetupResponse = 1 << 20
)

// Options are the settings of connections. The package only reads them, so many connections may share them.
type Options struct {
	// Dialer opens the byte stream; it gets the address unchanged from Dial. Nil means TCP, with every address of a DNS
	// name tried in turn. The connections must support deadlines and concurrent use, as net.Conn promises.
	Dialer func(ctx context.Context, network, address string) (net.Conn, error)
	// ClientID (client.id) travels in every request, for the broker's logs and quotas.
	ClientID string
	// SoftwareName and SoftwareVersion name the client to the broker (KIP-511): letters, digits, dots and dashes.
	SoftwareName, SoftwareVersion string
	// RequestTimeout (request.timeout.ms) is how long a Call without a Timeout waits for its answer. Zero has no
	// default: it ends each request at once.
	RequestTimeout time.Duration
	// MaxThrottle is the longest throttle accepted by the client, usually delivery.timeout.ms: after this time the
	// records waiting for the broker have failed. Zero means DefaultMaxThrottle.
	MaxThrottle time.Duration
	// SetupTimeout (socket.connection.setup.timeout.ms) bounds Dial: name lookup, connection and first exchange
	// together. Zero means DefaultSetupTimeout.
	SetupTimeout time.Duration
	// MaxIdle (connections.max.idle.ms) is how long a connection with nothing in flight stays open. Zero means
	// DefaultMaxIdle; a negative value means for ever.
	MaxIdle time.Duration
	// Versions remembers servers that end a connection after a request in the newest version of ApiVersions; nil
	// remembers nothing.
	Versions *VersionMemory
	// SendBuffer and ReceiveBuffer (send.buffer.bytes, receive.buffer.bytes) are the socket's buffers in bytes.
	// Zero and -1 leave them to the operating system.
	SendBuffer, ReceiveBuffer int
	// MaxRequest is the largest request in bytes; a longer one is an ErrBadCall. Zero means LargestFrame. Tests lower
	// it.
	MaxRequest int
	// MaxResponse is the largest answer in bytes; a longer one closes the connection. Zero means DefaultMaxResponse.
	MaxResponse int
	// The connections share History; their errors may say that a server has answered before. Nil remembers nothing.
	History *History
	// UserCalls counts and limits calls of a dialer that may not return; connections share it. Nil neither counts nor
	// limits.
	UserCalls *UserCalls
	// Logger gets the events of connections, at debug level. Nil is silent.
	Logger *slog.Logger

	// lookup replaces the resolver in tests.
	lookup func(ctx context.Context, host string) ([]string, error)
}

// withDefaults returns a copy with the defaults in place of zero fields.
func (o *Options) withDefaults() *Options {
	d := *o
	if d.MaxThrottle <= 0 {
		d.MaxThrottle = DefaultMaxThrottle
	}
	if d.SetupTimeout <= 0 {
		d.SetupTimeout = DefaultSetupTimeout
	}
	if d.MaxIdle == 0 {
		d.MaxIdle = DefaultMaxIdle
	}
	if d.MaxRequest <= 0 {
		d.MaxRequest = LargestFrame
	}
	if d.MaxResponse <= 0 {
		d.MaxResponse = DefaultMaxResponse
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.lookup == nil {
		d.lookup = net.DefaultResolver.LookupHost
	}
	return &d
}
