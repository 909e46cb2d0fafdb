package producer

import "github.com/gosamsa/samsa/protocol"

// ErrorCode is an error code of Kafka's protocol, as in [BrokerError]. The constants Code… are Kafka's codes.
//
//	func (c ErrorCode) Known() bool                           // whether Kafka has the code
//	func (c ErrorCode) Name() string                          // Kafka's name, such as NOT_ENOUGH_REPLICAS
//	func (c ErrorCode) String() string                        // the name and the number
//	func (c ErrorCode) Description() string                   // its meaning in words
//	func (c ErrorCode) Remedy() string                        // the cure in words, or ""
//	func (c ErrorCode) Retriable() bool                       // whether a retry can succeed
//	func (c ErrorCode) AboutProducerID() bool                 // whether it concerns a producer id or sequence
//	func (c ErrorCode) RefreshMetadata() bool                 // whether the metadata is out of date
//	func (c ErrorCode) WriteOutcome() WriteOutcome            // whether the batch may be written, with acks=all
//	func (c ErrorCode) WriteOutcomeWith(acks int16) WriteOutcome // the same with other acks
type ErrorCode = protocol.ErrorCode

// These are Kafka's error codes, to compare with the Code of a [BrokerError]. Only a few of them can be the reason of a
// failed Send.
const (
	CodeUnknownServerError                     = protocol.UnknownServerError
	CodeNone                                   = protocol.None
	CodeOffsetOutOfRange                       = protocol.OffsetOutOfRange
	CodeCorruptMessage                         = protocol.CorruptMessage
	CodeUnknownTopicOrPartition                = protocol.UnknownTopicOrPartition
	CodeInvalidFetchSize                       = protocol.InvalidFetchSize
	CodeLeaderNotAvailable                     = protocol.LeaderNotAvailable
	CodeNotLeaderOrFollower                    = protocol.NotLeaderOrFollower
	CodeRequestTimedOut                        = protocol.RequestTimedOut
	CodeBrokerNotAvailable                     = protocol.BrokerNotAvailable
	CodeReplicaNotAvailable                    = protocol.ReplicaNotAvailable
	CodeMessageTooLarge                        = protocol.MessageTooLarge
	CodeStaleControllerEpoch                   = protocol.StaleControllerEpoch
	CodeOffsetMetadataTooLarge                 = protocol.OffsetMetadataTooLarge
	CodeNetworkException                       = protocol.NetworkException
	CodeCoordinatorLoadInProgress              = protocol.CoordinatorLoadInProgress
	CodeCoordinatorNotAvailable                = protocol.CoordinatorNotAvailable
	CodeNotCoordinator                         = protocol.NotCoordinator
	CodeInvalidTopicException                  = protocol.InvalidTopicException
	CodeRecordListTooLarge                     = protocol.RecordListTooLarge
	CodeNotEnoughReplicas                      = protocol.NotEnoughReplicas
	CodeNotEnoughReplicasAfterAppend           = protocol.NotEnoughReplicasAfterAppend
	CodeInvalidRequiredAcks                    = protocol.InvalidRequiredAcks
	CodeIllegalGeneration                      = protocol.IllegalGeneration
	CodeInconsistentGroupProtocol              = protocol.InconsistentGroupProtocol
	CodeInvalidGroupID                         = protocol.InvalidGroupID
	CodeUnknownMemberID                        = protocol.UnknownMemberID
	CodeInvalidSessionTimeout                  = protocol.InvalidSessionTimeout
	CodeRebalanceInProgress                    = protocol.RebalanceInProgress
	CodeInvalidCommitOffsetSize                = protocol.InvalidCommitOffsetSize
	CodeTopicAuthorizationFailed               = protocol.TopicAuthorizationFailed
	CodeGroupAuthorizationFailed               = protocol.GroupAuthorizationFailed
	CodeClusterAuthorizationFailed             = protocol.ClusterAuthorizationFailed
	CodeInvalidTimestamp                       = protocol.InvalidTimestamp
	CodeUnsupportedSASLMechanism               = protocol.UnsupportedSASLMechanism
	CodeIllegalSASLState                       = protocol.IllegalSASLState
	CodeUnsupportedVersion                     = protocol.UnsupportedVersion
	CodeTopicAlreadyExists                     = protocol.TopicAlreadyExists
	CodeInvalidPartitions                      = protocol.InvalidPartitions
	CodeInvalidReplicationFactor               = protocol.InvalidReplicationFactor
	CodeInvalidReplicaAssignment               = protocol.InvalidReplicaAssignment
	CodeInvalidConfig                          = protocol.InvalidConfig
	CodeNotController                          = protocol.NotController
	CodeInvalidRequest                         = protocol.InvalidRequest
	CodeUnsupportedForMessageFormat            = protocol.UnsupportedForMessageFormat
	CodePolicyViolation                        = protocol.PolicyViolation
	CodeOutOfOrderSequenceNumber               = protocol.OutOfOrderSequenceNumber
	CodeDuplicateSequenceNumber                = protocol.DuplicateSequenceNumber
	CodeInvalidProducerEpoch                   = protocol.InvalidProducerEpoch
	CodeInvalidTxnState                        = protocol.InvalidTxnState
	CodeInvalidProducerIDMapping               = protocol.InvalidProducerIDMapping
	CodeInvalidTransactionTimeout              = protocol.InvalidTransactionTimeout
	CodeConcurrentTransactions                 = protocol.ConcurrentTransactions
	CodeTransactionCoordinatorFenced           = protocol.TransactionCoordinatorFenced
	CodeTransactionalIDAuthorizationFailed     = protocol.TransactionalIDAuthorizationFailed
	CodeSecurityDisabled                       = protocol.SecurityDisabled
	CodeOperationNotAttempted                  = protocol.OperationNotAttempted
	CodeKafkaStorageError                      = protocol.KafkaStorageError
	CodeLogDirNotFound                         = protocol.LogDirNotFound
	CodeSASLAuthenticationFailed               = protocol.SASLAuthenticationFailed
	CodeUnknownProducerID                      = protocol.UnknownProducerID
	CodeReassignmentInProgress                 = protocol.ReassignmentInProgress
	CodeDelegationTokenAuthDisabled            = protocol.DelegationTokenAuthDisabled
	CodeDelegationTokenNotFound                = protocol.DelegationTokenNotFound
	CodeDelegationTokenOwnerMismatch           = protocol.DelegationTokenOwnerMismatch
	CodeDelegationTokenRequestNotAllowed       = protocol.DelegationTokenRequestNotAllowed
	CodeDelegationTokenAuthorizationFailed     = protocol.DelegationTokenAuthorizationFailed
	CodeDelegationTokenExpired                 = protocol.DelegationTokenExpired
	CodeInvalidPrincipalType                   = protocol.InvalidPrincipalType
	CodeNonEmptyGroup                          = protocol.NonEmptyGroup
	CodeGroupIDNotFound                        = protocol.GroupIDNotFound
	CodeFetchSessionIDNotFound                 = protocol.FetchSessionIDNotFound
	CodeInvalidFetchSessionEpoch               = protocol.InvalidFetchSessionEpoch
	CodeListenerNotFound                       = protocol.ListenerNotFound
	CodeTopicDeletionDisabled                  = protocol.TopicDeletionDisabled
	CodeFencedLeaderEpoch                      = protocol.FencedLeaderEpoch
	CodeUnknownLeaderEpoch                     = protocol.UnknownLeaderEpoch
	CodeUnsupportedCompressionType             = protocol.UnsupportedCompressionType
	CodeStaleBrokerEpoch                       = protocol.StaleBrokerEpoch
	CodeOffsetNotAvailable                     = protocol.OffsetNotAvailable
	CodeMemberIDRequired                       = protocol.MemberIDRequired
	CodePreferredLeaderNotAvailable            = protocol.PreferredLeaderNotAvailable
	CodeGroupMaxSizeReached                    = protocol.GroupMaxSizeReached
	CodeFencedInstanceID                       = protocol.FencedInstanceID
	CodeEligibleLeadersNotAvailable            = protocol.EligibleLeadersNotAvailable
	CodeElectionNotNeeded                      = protocol.ElectionNotNeeded
	CodeNoReassignmentInProgress               = protocol.NoReassignmentInProgress
	CodeGroupSubscribedToTopic                 = protocol.GroupSubscribedToTopic
	CodeInvalidRecord                          = protocol.InvalidRecord
	CodeUnstableOffsetCommit                   = protocol.UnstableOffsetCommit
	CodeThrottlingQuotaExceeded                = protocol.ThrottlingQuotaExceeded
	CodeProducerFenced                         = protocol.ProducerFenced
	CodeResourceNotFound                       = protocol.ResourceNotFound
	CodeDuplicateResource                      = protocol.DuplicateResource
	CodeUnacceptableCredential                 = protocol.UnacceptableCredential
	CodeInconsistentVoterSet                   = protocol.InconsistentVoterSet
	CodeInvalidUpdateVersion                   = protocol.InvalidUpdateVersion
	CodeFeatureUpdateFailed                    = protocol.FeatureUpdateFailed
	CodePrincipalDeserializationFailure        = protocol.PrincipalDeserializationFailure
	CodeSnapshotNotFound                       = protocol.SnapshotNotFound
	CodePositionOutOfRange                     = protocol.PositionOutOfRange
	CodeUnknownTopicID                         = protocol.UnknownTopicID
	CodeDuplicateBrokerRegistration            = protocol.DuplicateBrokerRegistration
	CodeBrokerIDNotRegistered                  = protocol.BrokerIDNotRegistered
	CodeInconsistentTopicID                    = protocol.InconsistentTopicID
	CodeInconsistentClusterID                  = protocol.InconsistentClusterID
	CodeTransactionalIDNotFound                = protocol.TransactionalIDNotFound
	CodeFetchSessionTopicIDError               = protocol.FetchSessionTopicIDError
	CodeIneligibleReplica                      = protocol.IneligibleReplica
	CodeNewLeaderElected                       = protocol.NewLeaderElected
	CodeOffsetMovedToTieredStorage             = protocol.OffsetMovedToTieredStorage
	CodeFencedMemberEpoch                      = protocol.FencedMemberEpoch
	CodeUnreleasedInstanceID                   = protocol.UnreleasedInstanceID
	CodeUnsupportedAssignor                    = protocol.UnsupportedAssignor
	CodeStaleMemberEpoch                       = protocol.StaleMemberEpoch
	CodeMismatchedEndpointType                 = protocol.MismatchedEndpointType
	CodeUnsupportedEndpointType                = protocol.UnsupportedEndpointType
	CodeUnknownControllerID                    = protocol.UnknownControllerID
	CodeUnknownSubscriptionID                  = protocol.UnknownSubscriptionID
	CodeTelemetryTooLarge                      = protocol.TelemetryTooLarge
	CodeInvalidRegistration                    = protocol.InvalidRegistration
	CodeTransactionAbortable                   = protocol.TransactionAbortable
	CodeInvalidRecordState                     = protocol.InvalidRecordState
	CodeShareSessionNotFound                   = protocol.ShareSessionNotFound
	CodeInvalidShareSessionEpoch               = protocol.InvalidShareSessionEpoch
	CodeFencedStateEpoch                       = protocol.FencedStateEpoch
	CodeInvalidVoterKey                        = protocol.InvalidVoterKey
	CodeDuplicateVoter                         = protocol.DuplicateVoter
	CodeVoterNotFound                          = protocol.VoterNotFound
	CodeInvalidRegularExpression               = protocol.InvalidRegularExpression
	CodeRebootstrapRequired                    = protocol.RebootstrapRequired
	CodeStreamsInvalidTopology                 = protocol.StreamsInvalidTopology
	CodeStreamsInvalidTopologyEpoch            = protocol.StreamsInvalidTopologyEpoch
	CodeStreamsTopologyFenced                  = protocol.StreamsTopologyFenced
	CodeShareSessionLimitReached               = protocol.ShareSessionLimitReached
	CodeGroupDeletionFailed                    = protocol.GroupDeletionFailed
	CodeStreamsTopologyDescriptionUpdateFailed = protocol.StreamsTopologyDescriptionUpdateFailed
	CodeControllerIDNotRegistered              = protocol.ControllerIDNotRegistered
)
