package protocol

// codeRow holds all facts about one error code.
type codeRow struct {
	code        ErrorCode
	name        string
	cure        cure
	when        when
	description string
}

// cure is the action to take after an error.
type cure uint8

const (
	// final: the same request will fail again.
	final cure = 0
	// retriable: the same request can succeed later.
	retriable cure = 1
	// refresh: the retry first needs new metadata.
	refresh cure = 2
)

// when says at which point of its work on a batch a broker answers with a code, and so whether the batch may be in the
// log.
//
// The leader first checks the request and the batch, then appends the batch to its log. With acks=all the request then
// waits for the replicas in sync. The brokers' own code shows whether an answer can come after the append: 4.3.1 for
// the whole path, 0.11, 1.0, 2.1, 2.3, 2.8 and 3.9 for the wait, 0.11 and 1.0 for their checks of sequences. A code
// outside their Produce paths is notProduce, unless its meaning is a refusal before any work: authentication,
// authorisation, policy, operation not attempted.
type when uint8

const (
	// appended: the batch is in the log.
	appended when = iota + 1
	// beforeAppend: found before the append, so the batch is not in the log by this request.
	beforeAppend
	// whileWaiting: found before the append, or while an acks=all request waits for the replicas: in the second case
	// the batch is in the log of a former leader, and may be in the new leader's log.
	whileWaiting
	// eitherSide: found at any point.
	eitherSide
	// notProduce: no broker answers a batch so. An impossible answer proves nothing.
	notProduce
)

// codeTable has one row a code, in the order of the codes, from -1 on. Retriable and refresh are as in the Java client
// (there: RetriableException and InvalidMetadataException). A comment names the source of a broker's answer to Produce.
var codeTable = [...]codeRow{
	// Any exception in a broker without a code of its own, also after the append.
	{UnknownServerError, "UNKNOWN_SERVER_ERROR", final, eitherSide,
		"the broker failed in a way that it has no code for"},
	// With acks=1 the leader has it, with acks=all every replica in sync. The broker answers a recognised duplicate so,
	// too.
	{None, "NONE", final, appended,
		"no error"},
	{OffsetOutOfRange, "OFFSET_OUT_OF_RANGE", final, notProduce,
		"the log does not have the offset asked for"},
	// The batch is checked before it gets its offsets.
	{CorruptMessage, "CORRUPT_MESSAGE", retriable, beforeAppend,
		"a record batch is damaged, or has a form that the topic does not take, such as a null key where it is compacted"},
	// Before the append: the partition is not there. While waiting: its topic was deleted; on brokers up to 2.3 also:
	// the replica moved away.
	{UnknownTopicOrPartition, "UNKNOWN_TOPIC_OR_PARTITION", retriable | refresh, whileWaiting,
		"the broker does not know this topic or partition"},
	{InvalidFetchSize, "INVALID_FETCH_SIZE", final, notProduce,
		"the size of the fetch is not allowed"},
	// An answer about metadata.
	{LeaderNotAvailable, "LEADER_NOT_AVAILABLE", retriable | refresh, notProduce,
		"the partition has no leader at present"},
	// Before the append: it is not the leader. While waiting: it has ceased to be; the new leader may have the batch or
	// not.
	{NotLeaderOrFollower, "NOT_LEADER_OR_FOLLOWER", retriable | refresh, whileWaiting,
		"the broker does not lead the partition, or holds no replica of it"},
	// With acks=all: appended by the leader, but the replicas in sync did not follow in time.
	{RequestTimedOut, "REQUEST_TIMED_OUT", retriable, eitherSide,
		"the request was not done in its time"},
	{BrokerNotAvailable, "BROKER_NOT_AVAILABLE", final, notProduce,
		"the broker is not there"},
	// An answer to consumers. Producers get NOT_LEADER_OR_FOLLOWER.
	{ReplicaNotAvailable, "REPLICA_NOT_AVAILABLE", retriable | refresh, notProduce,
		"the broker holds no replica of the partition"},
	// Sizes are checked before the append, again after a recompression.
	{MessageTooLarge, "MESSAGE_TOO_LARGE", final, beforeAppend,
		"the batch is larger than the topic's max.message.bytes or the broker's message.max.bytes"},
	{StaleControllerEpoch, "STALE_CONTROLLER_EPOCH", final, notProduce,
		"the controller has moved to another node"},
	{OffsetMetadataTooLarge, "OFFSET_METADATA_TOO_LARGE", final, notProduce,
		"the text that goes with a committed offset is too long"},
	// A broker reports its own connection to another broker; clients report theirs. The batch's outcome is unknown.
	{NetworkException, "NETWORK_EXCEPTION", retriable | refresh, eitherSide,
		"the connection broke before the answer came"},
	// A transaction is verified before the append.
	{CoordinatorLoadInProgress, "COORDINATOR_LOAD_IN_PROGRESS", retriable, beforeAppend,
		"the coordinator is still loading its state"},
	// As 14.
	{CoordinatorNotAvailable, "COORDINATOR_NOT_AVAILABLE", retriable, beforeAppend,
		"the coordinator cannot be reached or does not exist yet"},
	// As 14.
	{NotCoordinator, "NOT_COORDINATOR", retriable, beforeAppend,
		"the broker is not the coordinator for this"},
	// Internal topics are refused before the append.
	{InvalidTopicException, "INVALID_TOPIC_EXCEPTION", final, beforeAppend,
		"the topic's name is not legal, or clients may not write to it"},
	// Checked before the append.
	{RecordListTooLarge, "RECORD_LIST_TOO_LARGE", final, beforeAppend,
		"the batch is larger than a segment of the topic's log"},
	// The leader counts them under the same lock, before it appends. Verified transactions answer it for their
	// coordinator's errors.
	{NotEnoughReplicas, "NOT_ENOUGH_REPLICAS", retriable, beforeAppend,
		"fewer replicas are in sync than min.insync.replicas asks for"},
	// The log has it; whether it survives the next leader is not promised.
	{NotEnoughReplicasAfterAppend, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", retriable, eitherSide,
		"the batch was appended, but fewer replicas are in sync than min.insync.replicas asks for"},
	// The broker's first check.
	{InvalidRequiredAcks, "INVALID_REQUIRED_ACKS", final, beforeAppend,
		"acks has a value other than -1, 0 and 1"},
	{IllegalGeneration, "ILLEGAL_GENERATION", final, notProduce,
		"the consumer group has another generation"},
	{InconsistentGroupProtocol, "INCONSISTENT_GROUP_PROTOCOL", final, notProduce,
		"the member's protocols do not fit those of its consumer group"},
	{InvalidGroupID, "INVALID_GROUP_ID", final, notProduce,
		"the group id is not legal"},
	{UnknownMemberID, "UNKNOWN_MEMBER_ID", final, notProduce,
		"the coordinator does not know this member of the group"},
	{InvalidSessionTimeout, "INVALID_SESSION_TIMEOUT", final, notProduce,
		"the session timeout is outside the broker's bounds"},
	{RebalanceInProgress, "REBALANCE_IN_PROGRESS", final, notProduce,
		"the group is rebalancing"},
	{InvalidCommitOffsetSize, "INVALID_COMMIT_OFFSET_SIZE", final, notProduce,
		"the offset to commit takes too many bytes"},
	// The broker checks the authorisation before it does anything.
	{TopicAuthorizationFailed, "TOPIC_AUTHORIZATION_FAILED", final, beforeAppend,
		"the client may not do this to the topic"},
	// As 29, for every request.
	{GroupAuthorizationFailed, "GROUP_AUTHORIZATION_FAILED", final, beforeAppend,
		"the client may not do this to the group"},
	// As 29: brokers before 2.8 ask for IdempotentWrite.
	{ClusterAuthorizationFailed, "CLUSTER_AUTHORIZATION_FAILED", final, beforeAppend,
		"the client may not do this in the cluster"},
	// Records are validated before the append.
	{InvalidTimestamp, "INVALID_TIMESTAMP", final, beforeAppend,
		"a record's timestamp is too far from the broker's clock"},
	// No request is looked at on a connection without authentication.
	{UnsupportedSASLMechanism, "UNSUPPORTED_SASL_MECHANISM", final, beforeAppend,
		"the broker does not offer this SASL mechanism"},
	// As 33.
	{IllegalSASLState, "ILLEGAL_SASL_STATE", final, beforeAppend,
		"the request does not fit the state of the authentication"},
	// The request is not read.
	{UnsupportedVersion, "UNSUPPORTED_VERSION", final, beforeAppend,
		"the broker does not speak this version of the request"},
	{TopicAlreadyExists, "TOPIC_ALREADY_EXISTS", final, notProduce,
		"the topic exists already"},
	{InvalidPartitions, "INVALID_PARTITIONS", final, notProduce,
		"the number of partitions is not allowed"},
	{InvalidReplicationFactor, "INVALID_REPLICATION_FACTOR", final, notProduce,
		"the replication factor is not allowed, or larger than the number of brokers"},
	{InvalidReplicaAssignment, "INVALID_REPLICA_ASSIGNMENT", final, notProduce,
		"the replicas cannot be assigned like that"},
	{InvalidConfig, "INVALID_CONFIG", final, notProduce,
		"a configuration is not valid"},
	{NotController, "NOT_CONTROLLER", retriable, notProduce,
		"the node is not the controller"},
	// Found while the request is read.
	{InvalidRequest, "INVALID_REQUEST", final, beforeAppend,
		"the request contradicts itself or the protocol"},
	// Found while the batch is validated or converted.
	{UnsupportedForMessageFormat, "UNSUPPORTED_FOR_MESSAGE_FORMAT", final, beforeAppend,
		"the topic's message format does not allow this"},
	// The broker asks the policy before it does anything.
	{PolicyViolation, "POLICY_VIOLATION", final, beforeAppend,
		"a policy of the broker forbids this"},
	// Sequences are checked right before the append. It says nothing about earlier tries of the batch.
	{OutOfOrderSequenceNumber, "OUT_OF_ORDER_SEQUENCE_NUMBER", final, beforeAppend,
		"the batch's sequence is not the next one of its producer"},
	// Said by brokers from 0.11 to 1.0.1 only; later ones answer NONE, or OUT_OF_ORDER_SEQUENCE_NUMBER if they have
	// forgotten the batch. 1.0.0 and 1.0.1 compare sequences without wrapping: right after 2^31-1 they answer so for a
	// new batch.
	{DuplicateSequenceNumber, "DUPLICATE_SEQUENCE_NUMBER", final, appended,
		"the batch's sequence was written before"},
	// As 45.
	{InvalidProducerEpoch, "INVALID_PRODUCER_EPOCH", final, beforeAppend,
		"the producer's epoch is older than the one that the broker has seen"},
	// As 45 and 14.
	{InvalidTxnState, "INVALID_TXN_STATE", final, beforeAppend,
		"the transaction is not in a state that allows this"},
	// As 14.
	{InvalidProducerIDMapping, "INVALID_PRODUCER_ID_MAPPING", final, beforeAppend,
		"the producer id is not the one of the transactional id"},
	{InvalidTransactionTimeout, "INVALID_TRANSACTION_TIMEOUT", final, notProduce,
		"transaction.timeout.ms is larger than the broker's transaction.max.timeout.ms"},
	// As 14.
	{ConcurrentTransactions, "CONCURRENT_TRANSACTIONS", retriable, beforeAppend,
		"another operation on the same transaction is under way"},
	{TransactionCoordinatorFenced, "TRANSACTION_COORDINATOR_FENCED", final, notProduce,
		"the transaction coordinator has been replaced"},
	// As 29.
	{TransactionalIDAuthorizationFailed, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", final, beforeAppend,
		"the client may not use this transactional id"},
	{SecurityDisabled, "SECURITY_DISABLED", final, notProduce,
		"the broker has no security features switched on"},
	// It says so itself; as 14.
	{OperationNotAttempted, "OPERATION_NOT_ATTEMPTED", final, beforeAppend,
		"the broker did not try this, because another part of the request failed"},
	// The disk may fail before, in the middle of, or after the append, and while waiting.
	{KafkaStorageError, "KAFKA_STORAGE_ERROR", retriable | refresh, eitherSide,
		"the broker cannot read or write the disk that the log is on"},
	{LogDirNotFound, "LOG_DIR_NOT_FOUND", final, notProduce,
		"the broker has no such log directory"},
	// As 33.
	{SASLAuthenticationFailed, "SASL_AUTHENTICATION_FAILED", final, beforeAppend,
		"the authentication failed"},
	// As 45: brokers up to 2.4 want it known if the sequence is not 0.
	{UnknownProducerID, "UNKNOWN_PRODUCER_ID", final, beforeAppend,
		"the broker has no state for this producer id"},
	{ReassignmentInProgress, "REASSIGNMENT_IN_PROGRESS", final, notProduce,
		"the partition is being reassigned"},
	{DelegationTokenAuthDisabled, "DELEGATION_TOKEN_AUTH_DISABLED", final, notProduce,
		"delegation tokens are switched off"},
	{DelegationTokenNotFound, "DELEGATION_TOKEN_NOT_FOUND", final, notProduce,
		"the broker does not know the delegation token"},
	{DelegationTokenOwnerMismatch, "DELEGATION_TOKEN_OWNER_MISMATCH", final, notProduce,
		"the delegation token belongs to somebody else"},
	{DelegationTokenRequestNotAllowed, "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", final, notProduce,
		"delegation tokens cannot be asked for on such a connection"},
	{DelegationTokenAuthorizationFailed, "DELEGATION_TOKEN_AUTHORIZATION_FAILED", final, notProduce,
		"the client may not do this to the delegation token"},
	{DelegationTokenExpired, "DELEGATION_TOKEN_EXPIRED", final, notProduce,
		"the delegation token has expired"},
	{InvalidPrincipalType, "INVALID_PRINCIPAL_TYPE", final, notProduce,
		"the kind of principal is not supported"},
	{NonEmptyGroup, "NON_EMPTY_GROUP", final, notProduce,
		"the group still has members"},
	{GroupIDNotFound, "GROUP_ID_NOT_FOUND", final, notProduce,
		"there is no such group"},
	{FetchSessionIDNotFound, "FETCH_SESSION_ID_NOT_FOUND", retriable, notProduce,
		"the broker does not know the fetch session"},
	{InvalidFetchSessionEpoch, "INVALID_FETCH_SESSION_EPOCH", retriable, notProduce,
		"the fetch session has another epoch"},
	{ListenerNotFound, "LISTENER_NOT_FOUND", retriable | refresh, notProduce,
		"the leader has no listener of the kind that the request came through"},
	{TopicDeletionDisabled, "TOPIC_DELETION_DISABLED", final, notProduce,
		"topics cannot be deleted"},
	// A Produce request carries no leader epoch.
	{FencedLeaderEpoch, "FENCED_LEADER_EPOCH", retriable | refresh, notProduce,
		"the leader epoch in the request is older than the broker's"},
	// As 74.
	{UnknownLeaderEpoch, "UNKNOWN_LEADER_EPOCH", retriable, notProduce,
		"the leader epoch in the request is newer than the broker's"},
	// zstd in a request before version 7, found while the request is read.
	{UnsupportedCompressionType, "UNSUPPORTED_COMPRESSION_TYPE", final, beforeAppend,
		"the compression is not supported here"},
	{StaleBrokerEpoch, "STALE_BROKER_EPOCH", final, notProduce,
		"the broker has registered anew since"},
	{OffsetNotAvailable, "OFFSET_NOT_AVAILABLE", retriable, notProduce,
		"the new leader does not know yet which offsets are safe to tell"},
	{MemberIDRequired, "MEMBER_ID_REQUIRED", final, notProduce,
		"a member needs an id before it joins the group"},
	{PreferredLeaderNotAvailable, "PREFERRED_LEADER_NOT_AVAILABLE", retriable | refresh, notProduce,
		"the preferred leader is not available"},
	{GroupMaxSizeReached, "GROUP_MAX_SIZE_REACHED", final, notProduce,
		"the group has as many members as it may"},
	{FencedInstanceID, "FENCED_INSTANCE_ID", final, notProduce,
		"another member uses the same group.instance.id"},
	{EligibleLeadersNotAvailable, "ELIGIBLE_LEADERS_NOT_AVAILABLE", retriable | refresh, notProduce,
		"no replica that could lead the partition is available"},
	{ElectionNotNeeded, "ELECTION_NOT_NEEDED", retriable | refresh, notProduce,
		"the partition needs no election"},
	{NoReassignmentInProgress, "NO_REASSIGNMENT_IN_PROGRESS", final, notProduce,
		"the partition is not being reassigned"},
	{GroupSubscribedToTopic, "GROUP_SUBSCRIBED_TO_TOPIC", final, notProduce,
		"the group still reads the topic"},
	// As 32. The answer names the records (KIP-467).
	{InvalidRecord, "INVALID_RECORD", final, beforeAppend,
		"a record did not pass the broker's validation"},
	{UnstableOffsetCommit, "UNSTABLE_OFFSET_COMMIT", retriable, notProduce,
		"some offsets wait for their transaction to end"},
	// Produce is throttled by waiting, not by this code.
	{ThrottlingQuotaExceeded, "THROTTLING_QUOTA_EXCEEDED", retriable, notProduce,
		"the client has used up its quota"},
	// As 14.
	{ProducerFenced, "PRODUCER_FENCED", final, beforeAppend,
		"a newer producer uses the same transactional id"},
	{ResourceNotFound, "RESOURCE_NOT_FOUND", final, notProduce,
		"the request names something that does not exist"},
	{DuplicateResource, "DUPLICATE_RESOURCE", final, notProduce,
		"the request names the same thing twice"},
	{UnacceptableCredential, "UNACCEPTABLE_CREDENTIAL", final, notProduce,
		"the credential does not meet the requirements"},
	{InconsistentVoterSet, "INCONSISTENT_VOTER_SET", final, notProduce,
		"sender or receiver is not one of the voters"},
	{InvalidUpdateVersion, "INVALID_UPDATE_VERSION", final, notProduce,
		"the version of the update is not valid"},
	{FeatureUpdateFailed, "FEATURE_UPDATE_FAILED", final, notProduce,
		"the features could not be updated"},
	{PrincipalDeserializationFailure, "PRINCIPAL_DESERIALIZATION_FAILURE", final, notProduce,
		"a forwarded request's principal could not be read: the brokers' security settings do not agree"},
	{SnapshotNotFound, "SNAPSHOT_NOT_FOUND", final, notProduce,
		"there is no such snapshot"},
	{PositionOutOfRange, "POSITION_OUT_OF_RANGE", final, notProduce,
		"the position lies outside the snapshot"},
	// Ids are looked up before the append; the following wait asks by name.
	{UnknownTopicID, "UNKNOWN_TOPIC_ID", retriable | refresh, beforeAppend,
		"the broker does not know a topic with this id"},
	{DuplicateBrokerRegistration, "DUPLICATE_BROKER_REGISTRATION", final, notProduce,
		"another broker uses this id"},
	{BrokerIDNotRegistered, "BROKER_ID_NOT_REGISTERED", final, notProduce,
		"no broker with this id is registered"},
	// To Produce brokers say UNKNOWN_TOPIC_ID.
	{InconsistentTopicID, "INCONSISTENT_TOPIC_ID", retriable | refresh, notProduce,
		"the log belongs to a topic with another id"},
	{InconsistentClusterID, "INCONSISTENT_CLUSTER_ID", final, notProduce,
		"the request is for another cluster"},
	// As 14.
	{TransactionalIDNotFound, "TRANSACTIONAL_ID_NOT_FOUND", final, beforeAppend,
		"the coordinator does not know this transactional id"},
	{FetchSessionTopicIDError, "FETCH_SESSION_TOPIC_ID_ERROR", retriable, notProduce,
		"the fetch session mixes names and ids of topics"},
	{IneligibleReplica, "INELIGIBLE_REPLICA", final, notProduce,
		"a replica may not be in sync at present"},
	{NewLeaderElected, "NEW_LEADER_ELECTED", final, notProduce,
		"the change was made, and the leader has changed with it"},
	{OffsetMovedToTieredStorage, "OFFSET_MOVED_TO_TIERED_STORAGE", final, notProduce,
		"the offset lies in tiered storage by now"},
	{FencedMemberEpoch, "FENCED_MEMBER_EPOCH", final, notProduce,
		"the member's epoch is over: it must join the group anew"},
	{UnreleasedInstanceID, "UNRELEASED_INSTANCE_ID", final, notProduce,
		"another member still holds the instance id"},
	{UnsupportedAssignor, "UNSUPPORTED_ASSIGNOR", final, notProduce,
		"the group does not support the assignor"},
	{StaleMemberEpoch, "STALE_MEMBER_EPOCH", final, notProduce,
		"the member has not taken over its newest epoch yet"},
	{MismatchedEndpointType, "MISMATCHED_ENDPOINT_TYPE", final, notProduce,
		"the request went to the wrong kind of endpoint"},
	{UnsupportedEndpointType, "UNSUPPORTED_ENDPOINT_TYPE", final, notProduce,
		"the kind of endpoint is not supported"},
	{UnknownControllerID, "UNKNOWN_CONTROLLER_ID", final, notProduce,
		"there is no controller with this id"},
	{UnknownSubscriptionID, "UNKNOWN_SUBSCRIPTION_ID", final, notProduce,
		"the subscription of the telemetry is unknown or out of date"},
	{TelemetryTooLarge, "TELEMETRY_TOO_LARGE", final, notProduce,
		"the telemetry is larger than the broker takes"},
	{InvalidRegistration, "INVALID_REGISTRATION", final, notProduce,
		"the controller takes the broker's registration for invalid"},
	// As 14.
	{TransactionAbortable, "TRANSACTION_ABORTABLE", final, beforeAppend,
		"the transaction met an error and must be aborted; the producer can go on after that"},
	{InvalidRecordState, "INVALID_RECORD_STATE", final, notProduce,
		"the record is not in a state in which it can be acknowledged"},
	{ShareSessionNotFound, "SHARE_SESSION_NOT_FOUND", retriable, notProduce,
		"there is no such share session"},
	{InvalidShareSessionEpoch, "INVALID_SHARE_SESSION_EPOCH", retriable, notProduce,
		"the share session has another epoch"},
	{FencedStateEpoch, "FENCED_STATE_EPOCH", final, notProduce,
		"the share group's state has another epoch"},
	{InvalidVoterKey, "INVALID_VOTER_KEY", final, notProduce,
		"the voter's key is not that of the replica"},
	{DuplicateVoter, "DUPLICATE_VOTER", final, notProduce,
		"the voter is one of the voters already"},
	{VoterNotFound, "VOTER_NOT_FOUND", final, notProduce,
		"the voter is not one of the voters"},
	{InvalidRegularExpression, "INVALID_REGULAR_EXPRESSION", final, notProduce,
		"the regular expression is not valid"},
	{RebootstrapRequired, "REBOOTSTRAP_REQUIRED", final, notProduce,
		"the client's metadata is out of date: it must start again from its bootstrap servers"},
	{StreamsInvalidTopology, "STREAMS_INVALID_TOPOLOGY", final, notProduce,
		"the streams topology is not valid"},
	{StreamsInvalidTopologyEpoch, "STREAMS_INVALID_TOPOLOGY_EPOCH", final, notProduce,
		"the epoch of the streams topology is not valid"},
	{StreamsTopologyFenced, "STREAMS_TOPOLOGY_FENCED", final, notProduce,
		"the epoch of the streams topology is out of date"},
	{ShareSessionLimitReached, "SHARE_SESSION_LIMIT_REACHED", retriable, notProduce,
		"the broker has as many share sessions as it may"},
	{GroupDeletionFailed, "GROUP_DELETION_FAILED", final, notProduce,
		"the group could not be deleted"},
	{StreamsTopologyDescriptionUpdateFailed, "STREAMS_TOPOLOGY_DESCRIPTION_UPDATE_FAILED", final, notProduce,
		"the description of the streams topology could not be updated"},
	{ControllerIDNotRegistered, "CONTROLLER_ID_NOT_REGISTERED", final, notProduce,
		"no controller with this id is registered"},
}
