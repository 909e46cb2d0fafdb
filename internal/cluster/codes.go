package cluster

import "github.com/gosamsa/samsa/protocol"

// A Metadata response has error codes in three places: one for the whole response (from version 13 on), one for each
// topic, and one for each partition. codeTable has the client's reaction to each code in each place. otherCodes has the
// reaction to codes outside the table, such as codes of a future Kafka.
//
// Only a code about the topic itself is final. Every other code is transient: the client retries the request with
// retry.backoff.ms, up to retry.backoff.max.ms, and a waiting Send fails with the code as the reason after
// max.block.ms.

// topicReaction is the reaction to the error code of a topic.
type topicReaction uint8

const (
	// retry: the response has no information about the topic. A known topic stays known, an unknown one stays unknown;
	// the client requests metadata again.
	retry topicReaction = iota
	// use: the topic is as the response says.
	use
	// absent: the broker does not know the topic. The client retries. A known topic stays known at first, because a
	// newly started broker may not know it yet. When every response for Config.grace has this code, the topic counts as
	// deleted.
	absent
	// final: every wait for the topic fails at once with the code, and a known topic leaves the snapshot. The client
	// requests the topic again when a goroutine needs it after the backoff, so the topic recovers with its cause.
	final
)

// partitionReaction is the reaction to the error code of a partition.
type partitionReaction uint8

const (
	// keepKnown: the response has no information about the partition, and its other fields may be defaults. The client
	// keeps the known leader, if there is one, and requests metadata again.
	keepKnown partitionReaction = iota
	// takeTold: the partition is as the response says.
	takeTold
	// noLeader: the partition has no leader within the client's reach. Package sender requests metadata while a batch
	// needs the leader.
	noLeader
)

// responseReaction is the reaction to the error code of the whole response.
type responseReaction uint8

const (
	// nextServer: the response has no information. The client closes the connection and tries the next server; after
	// the last server it retries with retry.backoff.ms. It keeps its snapshot.
	nextServer responseReaction = iota
	// useTold: the response is valid.
	useTold
	// startAgain: like nextServer, but with metadata.recovery.strategy=rebootstrap the client tries the bootstrap
	// servers next.
	startAgain
)

// codeRow is the reaction to one error code in each place.
type codeRow struct {
	code      protocol.ErrorCode
	topic     topicReaction
	partition partitionReaction
	response  responseReaction
}

// otherCodes is the reaction to the codes outside codeTable.
var otherCodes = codeRow{topic: retry, partition: keepKnown, response: nextServer}

// reactionTo returns the reaction to a code.
func reactionTo(code protocol.ErrorCode) codeRow {
	if i := int(code) - int(codeTable[0].code); i >= 0 && i < len(codeTable) {
		return codeTable[i]
	}
	return otherCodes
}

// codeTable has one row for each of Kafka's codes, in the order of the codes, from -1 on. A comment gives a broker's
// reason to send the code in a Metadata response. For codes without a comment, no such broker is known.
var codeTable = [...]codeRow{
	// The broker failed with an exception without a code.
	{protocol.UnknownServerError, retry, keepKnown, nextServer},
	{protocol.None, use, takeTold, useTold},
	{protocol.OffsetOutOfRange, retry, keepKnown, nextServer},
	{protocol.CorruptMessage, retry, keepKnown, nextServer},
	// The topic does not exist, or this broker does not know it yet.
	{protocol.UnknownTopicOrPartition, absent, keepKnown, nextServer},
	{protocol.InvalidFetchSize, retry, keepKnown, nextServer},
	// The topic is being created, or no leader of the partition is alive.
	{protocol.LeaderNotAvailable, retry, noLeader, nextServer},
	{protocol.NotLeaderOrFollower, retry, keepKnown, nextServer},
	{protocol.RequestTimedOut, retry, keepKnown, nextServer},
	{protocol.BrokerNotAvailable, retry, keepKnown, nextServer},
	// Other replicas than the leader are down.
	{protocol.ReplicaNotAvailable, retry, takeTold, nextServer},
	{protocol.MessageTooLarge, retry, keepKnown, nextServer},
	{protocol.StaleControllerEpoch, retry, keepKnown, nextServer},
	{protocol.OffsetMetadataTooLarge, retry, keepKnown, nextServer},
	{protocol.NetworkException, retry, keepKnown, nextServer},
	{protocol.CoordinatorLoadInProgress, retry, keepKnown, nextServer},
	{protocol.CoordinatorNotAvailable, retry, keepKnown, nextServer},
	{protocol.NotCoordinator, retry, keepKnown, nextServer},
	// The name is not legal.
	{protocol.InvalidTopicException, final, keepKnown, nextServer},
	{protocol.RecordListTooLarge, retry, keepKnown, nextServer},
	{protocol.NotEnoughReplicas, retry, keepKnown, nextServer},
	{protocol.NotEnoughReplicasAfterAppend, retry, keepKnown, nextServer},
	{protocol.InvalidRequiredAcks, retry, keepKnown, nextServer},
	{protocol.IllegalGeneration, retry, keepKnown, nextServer},
	{protocol.InconsistentGroupProtocol, retry, keepKnown, nextServer},
	{protocol.InvalidGroupID, retry, keepKnown, nextServer},
	{protocol.UnknownMemberID, retry, keepKnown, nextServer},
	{protocol.InvalidSessionTimeout, retry, keepKnown, nextServer},
	{protocol.RebalanceInProgress, retry, keepKnown, nextServer},
	{protocol.InvalidCommitOffsetSize, retry, keepKnown, nextServer},
	// An ACL is missing. Once the ACL is added, the next request finds the topic.
	{protocol.TopicAuthorizationFailed, final, keepKnown, nextServer},
	{protocol.GroupAuthorizationFailed, retry, keepKnown, nextServer},
	{protocol.ClusterAuthorizationFailed, retry, keepKnown, nextServer},
	{protocol.InvalidTimestamp, retry, keepKnown, nextServer},
	{protocol.UnsupportedSASLMechanism, retry, keepKnown, nextServer},
	{protocol.IllegalSASLState, retry, keepKnown, nextServer},
	{protocol.UnsupportedVersion, retry, keepKnown, nextServer},
	{protocol.TopicAlreadyExists, retry, keepKnown, nextServer},
	{protocol.InvalidPartitions, retry, keepKnown, nextServer},
	// Fewer brokers are up than default.replication.factor: the topic cannot be created now.
	{protocol.InvalidReplicationFactor, retry, keepKnown, nextServer},
	{protocol.InvalidReplicaAssignment, retry, keepKnown, nextServer},
	{protocol.InvalidConfig, retry, keepKnown, nextServer},
	{protocol.NotController, retry, keepKnown, nextServer},
	{protocol.InvalidRequest, retry, keepKnown, nextServer},
	{protocol.UnsupportedForMessageFormat, retry, keepKnown, nextServer},
	// The cluster's create.topic.policy.class.name refuses to create the topic.
	{protocol.PolicyViolation, final, keepKnown, nextServer},
	{protocol.OutOfOrderSequenceNumber, retry, keepKnown, nextServer},
	{protocol.DuplicateSequenceNumber, retry, keepKnown, nextServer},
	{protocol.InvalidProducerEpoch, retry, keepKnown, nextServer},
	{protocol.InvalidTxnState, retry, keepKnown, nextServer},
	{protocol.InvalidProducerIDMapping, retry, keepKnown, nextServer},
	{protocol.InvalidTransactionTimeout, retry, keepKnown, nextServer},
	{protocol.ConcurrentTransactions, retry, keepKnown, nextServer},
	{protocol.TransactionCoordinatorFenced, retry, keepKnown, nextServer},
	{protocol.TransactionalIDAuthorizationFailed, retry, keepKnown, nextServer},
	{protocol.SecurityDisabled, retry, keepKnown, nextServer},
	{protocol.OperationNotAttempted, retry, keepKnown, nextServer},
	{protocol.KafkaStorageError, retry, keepKnown, nextServer},
	{protocol.LogDirNotFound, retry, keepKnown, nextServer},
	{protocol.SASLAuthenticationFailed, retry, keepKnown, nextServer},
	{protocol.UnknownProducerID, retry, keepKnown, nextServer},
	{protocol.ReassignmentInProgress, retry, keepKnown, nextServer},
	{protocol.DelegationTokenAuthDisabled, retry, keepKnown, nextServer},
	{protocol.DelegationTokenNotFound, retry, keepKnown, nextServer},
	{protocol.DelegationTokenOwnerMismatch, retry, keepKnown, nextServer},
	{protocol.DelegationTokenRequestNotAllowed, retry, keepKnown, nextServer},
	{protocol.DelegationTokenAuthorizationFailed, retry, keepKnown, nextServer},
	{protocol.DelegationTokenExpired, retry, keepKnown, nextServer},
	{protocol.InvalidPrincipalType, retry, keepKnown, nextServer},
	{protocol.NonEmptyGroup, retry, keepKnown, nextServer},
	{protocol.GroupIDNotFound, retry, keepKnown, nextServer},
	{protocol.FetchSessionIDNotFound, retry, keepKnown, nextServer},
	{protocol.InvalidFetchSessionEpoch, retry, keepKnown, nextServer},
	// The leader has no listener with the name of the client's connection.
	{protocol.ListenerNotFound, retry, noLeader, nextServer},
	{protocol.TopicDeletionDisabled, retry, keepKnown, nextServer},
	{protocol.FencedLeaderEpoch, retry, keepKnown, nextServer},
	{protocol.UnknownLeaderEpoch, retry, keepKnown, nextServer},
	{protocol.UnsupportedCompressionType, retry, keepKnown, nextServer},
	{protocol.StaleBrokerEpoch, retry, keepKnown, nextServer},
	{protocol.OffsetNotAvailable, retry, keepKnown, nextServer},
	{protocol.MemberIDRequired, retry, keepKnown, nextServer},
	{protocol.PreferredLeaderNotAvailable, retry, keepKnown, nextServer},
	{protocol.GroupMaxSizeReached, retry, keepKnown, nextServer},
	{protocol.FencedInstanceID, retry, keepKnown, nextServer},
	{protocol.EligibleLeadersNotAvailable, retry, keepKnown, nextServer},
	{protocol.ElectionNotNeeded, retry, keepKnown, nextServer},
	{protocol.NoReassignmentInProgress, retry, keepKnown, nextServer},
	{protocol.GroupSubscribedToTopic, retry, keepKnown, nextServer},
	{protocol.InvalidRecord, retry, keepKnown, nextServer},
	{protocol.UnstableOffsetCommit, retry, keepKnown, nextServer},
	{protocol.ThrottlingQuotaExceeded, retry, keepKnown, nextServer},
	{protocol.ProducerFenced, retry, keepKnown, nextServer},
	{protocol.ResourceNotFound, retry, keepKnown, nextServer},
	{protocol.DuplicateResource, retry, keepKnown, nextServer},
	{protocol.UnacceptableCredential, retry, keepKnown, nextServer},
	{protocol.InconsistentVoterSet, retry, keepKnown, nextServer},
	{protocol.InvalidUpdateVersion, retry, keepKnown, nextServer},
	{protocol.FeatureUpdateFailed, retry, keepKnown, nextServer},
	{protocol.PrincipalDeserializationFailure, retry, keepKnown, nextServer},
	{protocol.SnapshotNotFound, retry, keepKnown, nextServer},
	{protocol.PositionOutOfRange, retry, keepKnown, nextServer},
	// As 3, for a request with the topic's id.
	{protocol.UnknownTopicID, absent, keepKnown, nextServer},
	{protocol.DuplicateBrokerRegistration, retry, keepKnown, nextServer},
	{protocol.BrokerIDNotRegistered, retry, keepKnown, nextServer},
	{protocol.InconsistentTopicID, retry, keepKnown, nextServer},
	{protocol.InconsistentClusterID, retry, keepKnown, nextServer},
	{protocol.TransactionalIDNotFound, retry, keepKnown, nextServer},
	{protocol.FetchSessionTopicIDError, retry, keepKnown, nextServer},
	{protocol.IneligibleReplica, retry, keepKnown, nextServer},
	{protocol.NewLeaderElected, retry, keepKnown, nextServer},
	{protocol.OffsetMovedToTieredStorage, retry, keepKnown, nextServer},
	{protocol.FencedMemberEpoch, retry, keepKnown, nextServer},
	{protocol.UnreleasedInstanceID, retry, keepKnown, nextServer},
	{protocol.UnsupportedAssignor, retry, keepKnown, nextServer},
	{protocol.StaleMemberEpoch, retry, keepKnown, nextServer},
	{protocol.MismatchedEndpointType, retry, keepKnown, nextServer},
	{protocol.UnsupportedEndpointType, retry, keepKnown, nextServer},
	{protocol.UnknownControllerID, retry, keepKnown, nextServer},
	{protocol.UnknownSubscriptionID, retry, keepKnown, nextServer},
	{protocol.TelemetryTooLarge, retry, keepKnown, nextServer},
	{protocol.InvalidRegistration, retry, keepKnown, nextServer},
	{protocol.TransactionAbortable, retry, keepKnown, nextServer},
	{protocol.InvalidRecordState, retry, keepKnown, nextServer},
	{protocol.ShareSessionNotFound, retry, keepKnown, nextServer},
	{protocol.InvalidShareSessionEpoch, retry, keepKnown, nextServer},
	{protocol.FencedStateEpoch, retry, keepKnown, nextServer},
	{protocol.InvalidVoterKey, retry, keepKnown, nextServer},
	{protocol.DuplicateVoter, retry, keepKnown, nextServer},
	{protocol.VoterNotFound, retry, keepKnown, nextServer},
	{protocol.InvalidRegularExpression, retry, keepKnown, nextServer},
	// KIP-1102: the server no longer belongs to the cluster.
	{protocol.RebootstrapRequired, retry, keepKnown, startAgain},
	{protocol.StreamsInvalidTopology, retry, keepKnown, nextServer},
	{protocol.StreamsInvalidTopologyEpoch, retry, keepKnown, nextServer},
	{protocol.StreamsTopologyFenced, retry, keepKnown, nextServer},
	{protocol.ShareSessionLimitReached, retry, keepKnown, nextServer},
	{protocol.GroupDeletionFailed, retry, keepKnown, nextServer},
	{protocol.StreamsTopologyDescriptionUpdateFailed, retry, keepKnown, nextServer},
	{protocol.ControllerIDNotRegistered, retry, keepKnown, nextServer},
}
