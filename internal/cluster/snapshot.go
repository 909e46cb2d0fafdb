package cluster

import (
	"iter"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gosamsa/samsa/internal/immutable"
	"github.com/gosamsa/samsa/protocol"
)

// Broker is one broker of the cluster.
type Broker struct {
	ID   int32
	Host string
	Port int32
	// Rack is empty if the broker has none.
	Rack string
}

// Address returns "host:port".
func (b Broker) Address() string { return net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))) }

// withoutBrackets returns the broker with the host as net.JoinHostPort needs it: some servers advertise an IPv6 address
// in brackets.
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

// longestHost is the largest number of bytes in a host name; an address is shorter.
const longestHost = 255

// valid reports whether host and port are well-formed. Errors and logs contain the host, so it must not be arbitrary
// text.
func (b Broker) valid() bool {
	return b.ID >= 0 && b.Host != "" && len(b.Host) <= longestHost && b.Port > 0 && b.Port <= 65535 &&
		!strings.ContainsFunc(b.Host, func(c rune) bool {
			return c == ' ' || c == utf8.RuneError ||
				!unicode.IsPrint(c)
		})
}

// Partition is one partition of a topic, with its leader.
type Partition struct {
	Index int32
	// Leader is a broker's id, or protocol.NoLeader.
	Leader int32
	// LeaderEpoch grows with each leader; -1 if brokers do not report it.
	LeaderEpoch int32
	// Replicas, ISR and Offline are brokers' ids.
	Replicas, ISR, Offline []int32
	// ErrorCode is the broker's error code for this partition.
	ErrorCode protocol.ErrorCode
}

func (p *Partition) equal(o *Partition) bool {
	return p.Leader == o.Leader && p.LeaderEpoch == o.LeaderEpoch && p.ErrorCode == o.ErrorCode &&
		slices.Equal(p.Replicas, o.Replicas) && slices.Equal(p.ISR, o.ISR) && slices.Equal(p.Offline, o.Offline)
}

// Topic is a topic as the brokers reported it. It is immutable; a snapshot without news about the topic has the same
// *Topic.
type Topic struct {
	Name string
	// ID is zero if brokers have no topic ids (before 2.8). A recreated topic has another one.
	ID protocol.UUID
	// Internal: the topic is an internal topic of the cluster, such as __consumer_offsets.
	Internal bool

	partitions immutable.Vector[Partition]
	// leaders has the leaders of all partitions, ascending. It may also have former leaders.
	leaders []int32
	// leaderless counts the partitions without a leader.
	leaderless int
	// used is shared by all Topics of one name.
	used *usage
}

// newTopic returns a topic with a table of partitions. The topic keeps the table.
func newTopic(name string, id protocol.UUID, table []Partition) *Topic {
	t := &Topic{Name: name, ID: id, partitions: immutable.VectorOf(table)}
	t.count(table)
	return t
}

// count adds the leaders of new partitions to leaders and leaderless.
func (t *Topic) count(partitions []Partition) {
	leaders := slices.Clone(t.leaders)
	for i := range partitions {
		leader := partitions[i].Leader
		if leader == protocol.NoLeader {
			t.leaderless++
		} else if _, known := slices.BinarySearch(t.leaders, leader); !known {
			leaders = append(leaders, leader)
		}
	}
	if len(leaders) > len(t.leaders) {
		slices.Sort(leaders)
		t.leaders = slices.Compact(leaders)
	}
}

// Len returns the number of partitions.
func (t *Topic) Len() int { return t.partitions.Len() }

// Partition returns partition i. The caller must not change it.
func (t *Topic) Partition(i int) *Partition { return t.partitions.At(i) }

// Partitions iterates over the partitions, in order.
func (t *Topic) Partitions() iter.Seq2[int, *Partition] { return t.partitions.All() }

// SameAvailability reports whether o and t have equally many partitions, and agree on which of the partitions with
// these indexes have a leader.
func (t *Topic) SameAvailability(o *Topic, indexes []int32) bool {
	if t.Len() != o.Len() {
		return false
	}
	return !slices.ContainsFunc(indexes, func(i int32) bool { return t.hasLeader(i) != o.hasLeader(i) })
}

// cheapChange limits single changes of a topic's partitions: if more than one partition in cheapChange changes, a new
// table costs less.
const cheapChange = 32

// with returns the topic with some partitions replaced, each at its index. The cost grows with the number of replaced
// partitions.
func (t *Topic) with(changed ...Partition) *Topic {
	next := *t
	if len(changed) > t.Len()/cheapChange {
		table := make([]Partition, t.Len())
		for i, p := range t.Partitions() {
			table[i] = *p
		}
		for _, p := range changed {
			table[p.Index] = p
		}
		next.leaders, next.leaderless = nil, 0
		next.partitions = immutable.VectorOf(table)
		next.count(table)
		return &next
	}
	for i := range changed {
		p := &changed[i]
		if next.partitions.At(int(p.Index)).Leader == protocol.NoLeader {
			next.leaderless--
		}
		next.partitions = next.partitions.With(int(p.Index), *p)
	}
	next.count(changed)
	return &next
}

// usage has the time of a topic's last use. It measures monotonic time from the client's start, so a step of the wall
// clock does not age a topic.
type usage struct {
	began time.Time
	at    atomic.Int64
}

// touchStep is the precision of Touch. With at most one store per touchStep, processors can share the cache line of a
// busy topic.
const touchStep = 100 * time.Millisecond

func (u *usage) touch(now time.Time) {
	if n := int64(now.Sub(u.began)); n-u.at.Load() >= int64(touchStep) {
		u.at.Store(n)
	}
}

// idleFor returns the time since the last use of the topic.
func (u *usage) idleFor(now time.Time) time.Duration {
	return now.Sub(u.began) - time.Duration(u.at.Load())
}

// Touch marks the topic as used: the client keeps it for another metadata.max.idle.ms. It is cheap.
func (t *Topic) Touch(now time.Time) {
	if t.used != nil {
		t.used.touch(now)
	}
}

// differences compares the partitions of two versions of a topic by index and returns the indexes of the differing
// ones. It includes the surplus partitions of the larger version.
func (t *Topic) differences(o *Topic) (indexes []int32) {
	for i := range max(t.Len(), o.Len()) {
		if i >= t.Len() || i >= o.Len() || !t.Partition(i).equal(o.Partition(i)) {
			indexes = append(indexes, int32(i))
		}
	}
	return indexes
}

// Snapshot is the metadata at one moment. It is immutable.
type Snapshot struct {
	// ClusterID is empty if brokers do not report it.
	ClusterID string
	Brokers   map[int32]Broker
	// Server is the address of the server behind the snapshot's response.
	Server string
	// Generation increases with every snapshot of one client. Zero is the empty snapshot before the first answer.
	Generation uint64
	// Recreated is the newest generation that may stem from another cluster under the former id; zero if there is none.
	// A producer id from before this generation may now belong to another producer.
	Recreated uint64

	topics immutable.Map[*Topic]
}

// Topic returns a topic, or nil when the snapshot does not have it.
func (s *Snapshot) Topic(name string) *Topic {
	t, _ := s.topics.Get(name)
	return t
}

// Len returns the number of topics.
func (s *Snapshot) Len() int { return s.topics.Len() }

// Topics iterates over the topics, in no particular order.
func (s *Snapshot) Topics() iter.Seq2[string, *Topic] { return s.topics.All() }

// Leader returns the leader of a partition; ok is false when the partition or its leader is unknown.
func (s *Snapshot) Leader(topic string, partition int32) (leader Broker, ok bool) {
	t := s.Topic(topic)
	if t == nil || partition < 0 || int(partition) >= t.Len() {
		return Broker{}, false
	}
	leader, ok = s.Brokers[t.Partition(int(partition)).Leader]
	return leader, ok
}

// next returns a copy of the next generation with the same brokers and topics.
func (s *Snapshot) next() *Snapshot {
	n := *s
	n.Generation++
	return &n
}
