package testbroker

import (
	"math/rand/v2"
	"time"

	"github.com/gosamsa/samsa/protocol"
)

// Network is the network of the brokers' listeners.
type Network int

const (
	// Memory is a network inside the process: connections behave as TCP does, Dial is the only way in, and all waiting
	// is seen by testing/synctest.
	Memory Network = iota
	// TCP is loopback TCP on ports given by the kernel. It cannot be used inside a synctest bubble.
	TCP
)

// Config describes a cluster for New. The zero value is one recent broker without topics on the in-memory network.
type Config struct {
	// Seed fixes the choices left to the broker by the protocol; see the package's comment. A failing test logs it.
	// Default: another one for each cluster.
	Seed uint64
	// ClusterID is the cluster's id. Default ClusterID.
	ClusterID string
	// Network is Memory or TCP.
	Network Network
	// Brokers is how many brokers start, with ids from 1 on. Default 1.
	Brokers int
	// Topics are the existing topics, with their partitions. Partition p is led by broker 1 + p modulo Brokers.
	Topics map[string]int32
	// Settings are topics' own settings, also for topics created later.
	Settings map[string]TopicSettings
	// ReplicationFactor is how many replicas a partition has (default.replication.factor). Default: 3, or Brokers if
	// there are fewer.
	ReplicationFactor int
	// MinInSyncReplicas is min.insync.replicas if the topic does not say. Default 1.
	MinInSyncReplicas int
	// ReplicationLag is how long the followers take to copy a batch not vouched for by an answer: one with acks 0 or 1,
	// or one with acks=all and without an answer of success. A leader replaced within this time takes the batch along:
	// the log loses it, with all behind it. Zero is at once.
	ReplicationLag time.Duration
	// MessageMaxBytes is the largest batch in bytes (message.max.bytes) if the topic does not say. Default 1048588.
	MessageMaxBytes int
	// RequestMaxBytes is the largest request (socket.request.max.bytes); a larger one closes the connection.
	// Default 104857600.
	RequestMaxBytes int
	// AutoCreate is auto.create.topics.enable: a Metadata request with permission for it creates its topics. The answer
	// to that very request still says UNKNOWN_TOPIC_OR_PARTITION, as Kafka's does.
	AutoCreate bool
	// DefaultPartitions is how many partitions such a topic has (num.partitions). Default 1.
	DefaultPartitions int32
	// FirstEpoch is the epoch of the first producer id. Kafka begins with 0; a later one brings the end of the epochs,
	// 32767, near.
	FirstEpoch int16
	// Versions are the brokers' ranges of versions, in place of Kafka 4.3's; see KafkaVersions. A range with its Max
	// below its Min means an absent API. Without ApiVersions the broker closes the connection upon it, as brokers
	// before 0.10 did.
	Versions map[protocol.APIKey]protocol.VersionRange
}

// TopicSettings are a topic's settings. Zero fields mean Config's values.
type TopicSettings struct {
	// LogAppendTime is message.timestamp.type=LogAppendTime: records get the broker's time.
	LogAppendTime bool
	// Compacted is cleanup.policy=compact: a batch with records without a key is refused with INVALID_RECORD, and the
	// answer names those records (KIP-467).
	Compacted bool
	// MinInSyncReplicas is the topic's min.insync.replicas.
	MinInSyncReplicas int
	// MessageMaxBytes is the topic's max.message.bytes.
	MessageMaxBytes int
	// TimestampAfterMax is message.timestamp.after.max.ms: a record with a timestamp further in the future is refused
	// with INVALID_TIMESTAMP. Zero is no limit.
	TimestampAfterMax time.Duration
}

func (c Config) withDefaults() Config {
	for c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	if c.ClusterID == "" {
		c.ClusterID = ClusterID
	}
	if c.Brokers <= 0 {
		c.Brokers = 1
	}
	if c.ReplicationFactor <= 0 {
		c.ReplicationFactor = min(3, c.Brokers)
	}
	if c.MinInSyncReplicas <= 0 {
		c.MinInSyncReplicas = 1
	}
	if c.MessageMaxBytes <= 0 {
		c.MessageMaxBytes = 1048588
	}
	if c.RequestMaxBytes <= 0 {
		c.RequestMaxBytes = 104857600
	}
	if c.DefaultPartitions <= 0 {
		c.DefaultPartitions = 1
	}
	return c
}

// settings returns a topic's settings with the cluster's in place of zeros.
func (c *Config) settings(topic string) TopicSettings {
	s := c.Settings[topic]
	if s.MinInSyncReplicas <= 0 {
		s.MinInSyncReplicas = c.MinInSyncReplicas
	}
	if s.MessageMaxBytes <= 0 {
		s.MessageMaxBytes = c.MessageMaxBytes
	}
	return s
}
