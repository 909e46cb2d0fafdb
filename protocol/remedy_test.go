package protocol

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// remedyRows are the words required in the error of each code, and "" if it passes without the user or its meaning says
// enough.
var remedyRows = map[ErrorCode]string{
	UnknownServerError:           "the broker's log",
	CorruptMessage:               "null key where it is compacted",
	UnknownTopicOrPartition:      "auto.create.topics.enable",
	LeaderNotAvailable:           "start the brokers",
	NotLeaderOrFollower:          "",
	RequestTimedOut:              "request.timeout.ms",
	ReplicaNotAvailable:          "",
	MessageTooLarge:              "max.message.bytes",
	NetworkException:             "",
	CoordinatorLoadInProgress:    "controller",
	CoordinatorNotAvailable:      "controller",
	NotCoordinator:               "",
	InvalidTopicException:        "another topic",
	RecordListTooLarge:           "segment.bytes",
	NotEnoughReplicas:            "min.insync.replicas",
	NotEnoughReplicasAfterAppend: "min.insync.replicas",
	TopicAuthorizationFailed:     "Write on the topic",
	ClusterAuthorizationFailed:   "IdempotentWrite",
	InvalidTimestamp:             "message.timestamp.difference.max.ms",
	UnsupportedSASLMechanism:     "without SASL",
	IllegalSASLState:             "without SASL",
	SASLAuthenticationFailed:     "without SASL",
	UnsupportedVersion:           "0.11",
	InvalidPartitions:            "num.partitions",
	InvalidReplicationFactor:     "default.replication.factor",
	InvalidRequest:               "the broker's log",
	UnsupportedForMessageFormat:  "message.format.version",
	PolicyViolation:              "create.topic.policy.class.name",
	OutOfOrderSequenceNumber:     "",
	InvalidProducerEpoch:         "",
	KafkaStorageError:            "log.dirs",
	UnknownProducerID:            "retention",
	ListenerNotFound:             "listener",
	UnsupportedCompressionType:   "compression.type",
	InvalidRecord:                "without a key",
	ThrottlingQuotaExceeded:      "quota",
	UnknownTopicID:               "create the topic",
	MismatchedEndpointType:       "controller",
	UnsupportedEndpointType:      "controller",
	RebootstrapRequired:          "",
}

func TestErrorsThatAProducerMeetsNameTheCure(t *testing.T) {
	for code, words := range remedyRows {
		t.Run(code.Name(), func(t *testing.T) {
			text := (&Error{Code: code, Message: "words"}).Error()
			require.Contains(t, text, words)
			require.Contains(t, text, "the broker says: words")
			if words == "" {
				require.Empty(t, code.Remedy())
			}
			require.Less(t, len(text), 350)
		})
	}
	for code := range remedies {
		require.Contains(t, remedyRows, code)
	}
}

// Every code of a broker for a batch before or after its append is one of those, except the codes of transactions and
// groups.
func TestEveryCodeOfAnAnswerToProduceHasARow(t *testing.T) {
	others := []ErrorCode{
		None, DuplicateSequenceNumber, InvalidRequiredAcks, GroupAuthorizationFailed, InvalidTxnState,
		InvalidProducerIDMapping,
		ConcurrentTransactions, TransactionalIDAuthorizationFailed, OperationNotAttempted, ProducerFenced,
		TransactionalIDNotFound,
		TransactionAbortable,
	}
	for _, row := range codeTable {
		if row.when == notProduce {
			continue
		}
		_, met := remedyRows[row.code]
		require.NotEqual(t, met, slices.Contains(others, row.code), row.name)
	}
}
