package protocol

// remedies are instructions for the user about the codes in answers to Produce, Metadata and InitProducerId. Codes that
// pass without the user, and codes with a sufficient description, have none.
var remedies = map[ErrorCode]string{
	UnknownServerError:      "the broker's log names the cause",
	UnknownTopicOrPartition: "create the topic, or let the brokers create it (auto.create.topics.enable)",
	LeaderNotAvailable:      "start the brokers that hold its replicas",
	RequestTimedOut:         "see why the replicas are slow; request.timeout.ms bounds the broker's wait for them",
	MessageTooLarge:         "raise that limit, or send smaller records",
	// A broker without transactions' coordinator answers so if the controller gives it no block of producer ids.
	CoordinatorLoadInProgress:    "for a producer id the broker must reach its controller",
	CoordinatorNotAvailable:      "for a producer id the broker must reach its controller",
	InvalidTopicException:        "choose another topic",
	RecordListTooLarge:           "raise the topic's segment.bytes, or lower batch.size",
	NotEnoughReplicas:            "start the missing brokers, or lower min.insync.replicas",
	NotEnoughReplicasAfterAppend: "start the missing brokers, or lower min.insync.replicas",
	TopicAuthorizationFailed:     "give the client's principal Write on the topic",
	ClusterAuthorizationFailed: "give the client's principal IdempotentWrite on the cluster or, from Kafka 2.8 on, Write on a topic; " +
		"enable.idempotence=false needs neither",
	InvalidTimestamp: "correct the timestamp, or raise the topic's message.timestamp.before.max.ms or message.timestamp.after.max.ms " +
		"(before Kafka 3.6 message.timestamp.difference.max.ms)",
	UnsupportedSASLMechanism:    "use a listener without SASL",
	IllegalSASLState:            "use a listener without SASL",
	SASLAuthenticationFailed:    "use a listener without SASL",
	UnsupportedVersion:          "Kafka 0.11 or newer is needed",
	InvalidPartitions:           "correct num.partitions of the brokers",
	InvalidReplicationFactor:    "start the missing brokers, or lower default.replication.factor",
	InvalidRequest:              "the broker's log names the cause",
	UnsupportedForMessageFormat: "the topic's message.format.version, or the brokers' log.message.format.version, must be 0.11.0 or newer",
	PolicyViolation:             "see create.topic.policy.class.name of the brokers, or create the topic by hand",
	KafkaStorageError:           "see the broker's log and its log.dirs: a disk has failed or is full",
	UnknownTopicID:              "create the topic, if it was deleted",
	UnknownProducerID:           "a longer retention of the topic keeps that state",
	ListenerNotFound:            "give every broker a listener of that name",
	UnsupportedCompressionType:  "choose another compression.type; zstd needs Kafka 2.1",
	InvalidRecord:               "a compacted topic, for one, takes no record without a key",
	ThrottlingQuotaExceeded:     "raise the quota, or create the topic by hand",
	MismatchedEndpointType:      "use the address of a broker's listener, not of a controller's",
	UnsupportedEndpointType:     "use the address of a broker's listener, not of a controller's",
}

// Remedy returns an instruction for the user about the error, or "".
func (c ErrorCode) Remedy() string { return remedies[c] }
