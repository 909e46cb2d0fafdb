package cluster

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gosamsa/samsa/protocol"
)

// NoLeader stands for a leader that does not exist or is not known.
const NoLeader int32 = -1

// Broker is one broker of the cluster.
type Broker struct {
	ID   int32
	Host string
	Port int32
	// Rack is empty where the broker has none.
	Rack string
}

// Address returns "host:port".
func (b Broker) Address() string { return net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))) }

// withoutBrackets returns the broker with a host as net.JoinHostPort needs it: some servers advertise an IPv6 address with
// the brackets that belong to host:port.
func (b Broker) withoutBrackets() Broker {
	bare, found := strings.CutPrefix(b.Host, "[")
	if !found {
		return b
	}
	if bare, found = strings.CutSuffix(bare, "]"); found {
		if _, err := netip.ParseAddr(bare); err == nil {
			b.Host = bare
		}
	}
	return b
}

// longestHost is what a host name has at most in bytes; an address is shorter.
const longestHost = 255

// valid reports whether the broker can be connected to. Its host stands in errors and logs, so it must be such a name.
func (b Broker) valid() bool {
	return b.ID >= 0 && b.Host != "" && len(b.Host) <= longestHost && b.Port > 0 && b.Port <= 65535 &&
		!strings.ContainsFunc(b.Host, func(c rune) bool { return c == ' ' || c == utf8.RuneError || !unicode.IsPrint(c) })
}

// Partition is one partition of a topic, and who leads it.
type Partition struct {
	Index int32
	// Leader is a broker's id, or NoLeader.
	Leader int32
	// LeaderEpoch grows with each leader; -1 where brokers do not tell it.
	LeaderEpoch int32
	// Replicas, ISR and Offline are brokers' ids.
	Replicas, ISR, Offline []int32
	// ErrorCode is what the broker said of this partition alone.
	ErrorCode protocol.ErrorCode
}

func (p *Partition) equal(o *Partition) bool {
	return p.Leader == o.Leader && p.LeaderEpoch == o.LeaderEpoch && p.ErrorCode == o.ErrorCode &&
		slices.Equal(p.Replicas, o.Replicas) && slices.Equal(p.ISR, o.ISR) && slices.Equal(p.Offline, o.Offline)
}

// Topic is a topic as the brokers told of it. It does not change; a snapshot in which nothing about the topic is new has the
// same *Topic.
type Topic struct {
	Name string
	// ID is zero where brokers have no topic ids (before 2.8). A topic that was deleted and made again has another one.
	ID protocol.UUID
	// Internal: the topic is the cluster's own.
	Internal bool
	// Partitions has partition i at index i.
	Partitions []Partition

	// used is when the topic was used last, in nanoseconds since 1970. All Topics of one name share it.
	used *atomic.Int64
}

// touchStep is how exact Touch is. A store only so often keeps the cache line of a busy topic shared.
const touchStep = 100 * time.Millisecond

// Touch says that the topic is in use, which keeps it from being forgotten for another metadata.max.idle.ms. It is cheap.
func (t *Topic) Touch(now time.Time) {
	if t.used == nil {
		return
	}
	if n := now.UnixNano(); n-t.used.Load() >= int64(touchStep) {
		t.used.Store(n)
	}
}

func (t *Topic) equal(o *Topic) bool {
	if t.ID != o.ID || t.Internal != o.Internal || len(t.Partitions) != len(o.Partitions) {
		return false
	}
	for i := range t.Partitions {
		if !t.Partitions[i].equal(&o.Partitions[i]) {
			return false
		}
	}
	return true
}

// Snapshot is what was known at one moment. Nothing in it ever changes.
type Snapshot struct {
	// ClusterID is empty where brokers do not tell it.
	ClusterID string
	Brokers   map[int32]Broker
	Topics    map[string]*Topic
	// Generation grows with every snapshot of one client. Zero is the empty one from before the first answer.
	Generation uint64
}

// Leader returns the broker that leads a partition; ok is false when the partition or its leader is not known.
func (s *Snapshot) Leader(topic string, partition int32) (leader Broker, ok bool) {
	t := s.Topics[topic]
	if t == nil || partition < 0 || int(partition) >= len(t.Partitions) {
		return Broker{}, false
	}
	leader, ok = s.Brokers[t.Partitions[partition].Leader]
	return leader, ok
}

// next returns a copy of the next generation that shares the maps.
func (s *Snapshot) next() *Snapshot {
	n := *s
	n.Generation++
	return &n
}

// without returns the next snapshot, in which the named topics are missing.
func (s *Snapshot) without(names []string) *Snapshot {
	n := s.next()
	n.Topics = maps.Clone(s.Topics)
	for _, name := range names {
		delete(n.Topics, name)
	}
	return n
}
