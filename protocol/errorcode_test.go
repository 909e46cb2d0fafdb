package protocol

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// errorCodeRows are the expected facts about each code, written out apart from the table under test. Names, "R" for
// retriable and "M" for new metadata are as kafka-clients 4.4.0 has them; the last two columns are the outcome of a
// batch with acks=all and with acks=1.
var errorCodeRows = []struct {
	code    ErrorCode
	name    string
	flags   string
	withAll WriteOutcome
	withOne WriteOutcome
}{
	{-1, "UNKNOWN_SERVER_ERROR", "", MaybeWritten, MaybeWritten},
	{0, "NONE", "", IsWritten, IsWritten},
	{1, "OFFSET_OUT_OF_RANGE", "", MaybeWritten, MaybeWritten},
	{2, "CORRUPT_MESSAGE", "R", NotWritten, NotWritten},
	{3, "UNKNOWN_TOPIC_OR_PARTITION", "RM", MaybeWritten, NotWritten},
	{4, "INVALID_FETCH_SIZE", "", MaybeWritten, MaybeWritten},
	{5, "LEADER_NOT_AVAILABLE", "RM", MaybeWritten, MaybeWritten},
	{6, "NOT_LEADER_OR_FOLLOWER", "RM", MaybeWritten, NotWritten},
	{7, "REQUEST_TIMED_OUT", "R", MaybeWritten, MaybeWritten},
	{8, "BROKER_NOT_AVAILABLE", "", MaybeWritten, MaybeWritten},
	{9, "REPLICA_NOT_AVAILABLE", "RM", MaybeWritten, MaybeWritten},
	{10, "MESSAGE_TOO_LARGE", "", NotWritten, NotWritten},
	{11, "STALE_CONTROLLER_EPOCH", "", MaybeWritten, MaybeWritten},
	{12, "OFFSET_METADATA_TOO_LARGE", "", MaybeWritten, MaybeWritten},
	{13, "NETWORK_EXCEPTION", "RM", MaybeWritten, MaybeWritten},
	{14, "COORDINATOR_LOAD_IN_PROGRESS", "R", NotWritten, NotWritten},
	{15, "COORDINATOR_NOT_AVAILABLE", "R", NotWritten, NotWritten},
	{16, "NOT_COORDINATOR", "R", NotWritten, NotWritten},
	{17, "INVALID_TOPIC_EXCEPTION", "", NotWritten, NotWritten},
	{18, "RECORD_LIST_TOO_LARGE", "", NotWritten, NotWritten},
	{19, "NOT_ENOUGH_REPLICAS", "R", NotWritten, NotWritten},
	{20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", "R", MaybeWritten, MaybeWritten},
	{21, "INVALID_REQUIRED_ACKS", "", NotWritten, NotWritten},
	{22, "ILLEGAL_GENERATION", "", MaybeWritten, MaybeWritten},
	{23, "INCONSISTENT_GROUP_PROTOCOL", "", MaybeWritten, MaybeWritten},
	{24, "INVALID_GROUP_ID", "", MaybeWritten, MaybeWritten},
	{25, "UNKNOWN_MEMBER_ID", "", MaybeWritten, MaybeWritten},
	{26, "INVALID_SESSION_TIMEOUT", "", MaybeWritten, MaybeWritten},
	{27, "REBALANCE_IN_PROGRESS", "", MaybeWritten, MaybeWritten},
	{28, "INVALID_COMMIT_OFFSET_SIZE", "", MaybeWritten, MaybeWritten},
	{29, "TOPIC_AUTHORIZATION_FAILED", "", NotWritten, NotWritten},
	{30, "GROUP_AUTHORIZATION_FAILED", "", NotWritten, NotWritten},
	{31, "CLUSTER_AUTHORIZATION_FAILED", "", NotWritten, NotWritten},
	{32, "INVALID_TIMESTAMP", "", NotWritten, NotWritten},
	{33, "UNSUPPORTED_SASL_MECHANISM", "", NotWritten, NotWritten},
	{34, "ILLEGAL_SASL_STATE", "", NotWritten, NotWritten},
	{35, "UNSUPPORTED_VERSION", "", NotWritten, NotWritten},
	{36, "TOPIC_ALREADY_EXISTS", "", MaybeWritten, MaybeWritten},
	{37, "INVALID_PARTITIONS", "", MaybeWritten, MaybeWritten},
	{38, "INVALID_REPLICATION_FACTOR", "", MaybeWritten, MaybeWritten},
	{39, "INVALID_REPLICA_ASSIGNMENT", "", MaybeWritten, MaybeWritten},
	{40, "INVALID_CONFIG", "", MaybeWritten, MaybeWritten},
	{41, "NOT_CONTROLLER", "R", MaybeWritten, MaybeWritten},
	{42, "INVALID_REQUEST", "", NotWritten, NotWritten},
	{43, "UNSUPPORTED_FOR_MESSAGE_FORMAT", "", NotWritten, NotWritten},
	{44, "POLICY_VIOLATION", "", NotWritten, NotWritten},
	{45, "OUT_OF_ORDER_SEQUENCE_NUMBER", "", NotWritten, NotWritten},
	{46, "DUPLICATE_SEQUENCE_NUMBER", "", IsWritten, IsWritten},
	{47, "INVALID_PRODUCER_EPOCH", "", NotWritten, NotWritten},
	{48, "INVALID_TXN_STATE", "", NotWritten, NotWritten},
	{49, "INVALID_PRODUCER_ID_MAPPING", "", NotWritten, NotWritten},
	{50, "INVALID_TRANSACTION_TIMEOUT", "", MaybeWritten, MaybeWritten},
	{51, "CONCURRENT_TRANSACTIONS", "R", NotWritten, NotWritten},
	{52, "TRANSACTION_COORDINATOR_FENCED", "", MaybeWritten, MaybeWritten},
	{53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "", NotWritten, NotWritten},
	{54, "SECURITY_DISABLED", "", MaybeWritten, MaybeWritten},
	{55, "OPERATION_NOT_ATTEMPTED", "", NotWritten, NotWritten},
	{56, "KAFKA_STORAGE_ERROR", "RM", MaybeWritten, MaybeWritten},
	{57, "LOG_DIR_NOT_FOUND", "", MaybeWritten, MaybeWritten},
	{58, "SASL_AUTHENTICATION_FAILED", "", NotWritten, NotWritten},
	{59, "UNKNOWN_PRODUCER_ID", "", NotWritten, NotWritten},
	{60, "REASSIGNMENT_IN_PROGRESS", "", MaybeWritten, MaybeWritten},
	{61, "DELEGATION_TOKEN_AUTH_DISABLED", "", MaybeWritten, MaybeWritten},
	{62, "DELEGATION_TOKEN_NOT_FOUND", "", MaybeWritten, MaybeWritten},
	{63, "DELEGATION_TOKEN_OWNER_MISMATCH", "", MaybeWritten, MaybeWritten},
	{64, "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", "", MaybeWritten, MaybeWritten},
	{65, "DELEGATION_TOKEN_AUTHORIZATION_FAILED", "", MaybeWritten, MaybeWritten},
	{66, "DELEGATION_TOKEN_EXPIRED", "", MaybeWritten, MaybeWritten},
	{67, "INVALID_PRINCIPAL_TYPE", "", MaybeWritten, MaybeWritten},
	{68, "NON_EMPTY_GROUP", "", MaybeWritten, MaybeWritten},
	{69, "GROUP_ID_NOT_FOUND", "", MaybeWritten, MaybeWritten},
	{70, "FETCH_SESSION_ID_NOT_FOUND", "R", MaybeWritten, MaybeWritten},
	{71, "INVALID_FETCH_SESSION_EPOCH", "R", MaybeWritten, MaybeWritten},
	{72, "LISTENER_NOT_FOUND", "RM", MaybeWritten, MaybeWritten},
	{73, "TOPIC_DELETION_DISABLED", "", MaybeWritten, MaybeWritten},
	{74, "FENCED_LEADER_EPOCH", "RM", MaybeWritten, MaybeWritten},
	{75, "UNKNOWN_LEADER_EPOCH", "R", MaybeWritten, MaybeWritten},
	{76, "UNSUPPORTED_COMPRESSION_TYPE", "", NotWritten, NotWritten},
	{77, "STALE_BROKER_EPOCH", "", MaybeWritten, MaybeWritten},
	{78, "OFFSET_NOT_AVAILABLE", "R", MaybeWritten, MaybeWritten},
	{79, "MEMBER_ID_REQUIRED", "", MaybeWritten, MaybeWritten},
	{80, "PREFERRED_LEADER_NOT_AVAILABLE", "RM", MaybeWritten, MaybeWritten},
	{81, "GROUP_MAX_SIZE_REACHED", "", MaybeWritten, MaybeWritten},
	{82, "FENCED_INSTANCE_ID", "", MaybeWritten, MaybeWritten},
	{83, "ELIGIBLE_LEADERS_NOT_AVAILABLE", "RM", MaybeWritten, MaybeWritten},
	{84, "ELECTION_NOT_NEEDED", "RM", MaybeWritten, MaybeWritten},
	{85, "NO_REASSIGNMENT_IN_PROGRESS", "", MaybeWritten, MaybeWritten},
	{86, "GROUP_SUBSCRIBED_TO_TOPIC", "", MaybeWritten, MaybeWritten},
	{87, "INVALID_RECORD", "", NotWritten, NotWritten},
	{88, "UNSTABLE_OFFSET_COMMIT", "R", MaybeWritten, MaybeWritten},
	{89, "THROTTLING_QUOTA_EXCEEDED", "R", MaybeWritten, MaybeWritten},
	{90, "PRODUCER_FENCED", "", NotWritten, NotWritten},
	{91, "RESOURCE_NOT_FOUND", "", MaybeWritten, MaybeWritten},
	{92, "DUPLICATE_RESOURCE", "", MaybeWritten, MaybeWritten},
	{93, "UNACCEPTABLE_CREDENTIAL", "", MaybeWritten, MaybeWritten},
	{94, "INCONSISTENT_VOTER_SET", "", MaybeWritten, MaybeWritten},
	{95, "INVALID_UPDATE_VERSION", "", MaybeWritten, MaybeWritten},
	{96, "FEATURE_UPDATE_FAILED", "", MaybeWritten, MaybeWritten},
	{97, "PRINCIPAL_DESERIALIZATION_FAILURE", "", MaybeWritten, MaybeWritten},
	{98, "SNAPSHOT_NOT_FOUND", "", MaybeWritten, MaybeWritten},
	{99, "POSITION_OUT_OF_RANGE", "", MaybeWritten, MaybeWritten},
	{100, "UNKNOWN_TOPIC_ID", "RM", NotWritten, NotWritten},
	{101, "DUPLICATE_BROKER_REGISTRATION", "", MaybeWritten, MaybeWritten},
	{102, "BROKER_ID_NOT_REGISTERED", "", MaybeWritten, MaybeWritten},
	{103, "INCONSISTENT_TOPIC_ID", "RM", MaybeWritten, MaybeWritten},
	{104, "INCONSISTENT_CLUSTER_ID", "", MaybeWritten, MaybeWritten},
	{105, "TRANSACTIONAL_ID_NOT_FOUND", "", NotWritten, NotWritten},
	{106, "FETCH_SESSION_TOPIC_ID_ERROR", "R", MaybeWritten, MaybeWritten},
	{107, "INELIGIBLE_REPLICA", "", MaybeWritten, MaybeWritten},
	{108, "NEW_LEADER_ELECTED", "", MaybeWritten, MaybeWritten},
	{109, "OFFSET_MOVED_TO_TIERED_STORAGE", "", MaybeWritten, MaybeWritten},
	{110, "FENCED_MEMBER_EPOCH", "", MaybeWritten, MaybeWritten},
	{111, "UNRELEASED_INSTANCE_ID", "", MaybeWritten, MaybeWritten},
	{112, "UNSUPPORTED_ASSIGNOR", "", MaybeWritten, MaybeWritten},
	{113, "STALE_MEMBER_EPOCH", "", MaybeWritten, MaybeWritten},
	{114, "MISMATCHED_ENDPOINT_TYPE", "", MaybeWritten, MaybeWritten},
	{115, "UNSUPPORTED_ENDPOINT_TYPE", "", MaybeWritten, MaybeWritten},
	{116, "UNKNOWN_CONTROLLER_ID", "", MaybeWritten, MaybeWritten},
	{117, "UNKNOWN_SUBSCRIPTION_ID", "", MaybeWritten, MaybeWritten},
	{118, "TELEMETRY_TOO_LARGE", "", MaybeWritten, MaybeWritten},
	{119, "INVALID_REGISTRATION", "", MaybeWritten, MaybeWritten},
	{120, "TRANSACTION_ABORTABLE", "", NotWritten, NotWritten},
	{121, "INVALID_RECORD_STATE", "", MaybeWritten, MaybeWritten},
	{122, "SHARE_SESSION_NOT_FOUND", "R", MaybeWritten, MaybeWritten},
	{123, "INVALID_SHARE_SESSION_EPOCH", "R", MaybeWritten, MaybeWritten},
	{124, "FENCED_STATE_EPOCH", "", MaybeWritten, MaybeWritten},
	{125, "INVALID_VOTER_KEY", "", MaybeWritten, MaybeWritten},
	{126, "DUPLICATE_VOTER", "", MaybeWritten, MaybeWritten},
	{127, "VOTER_NOT_FOUND", "", MaybeWritten, MaybeWritten},
	{128, "INVALID_REGULAR_EXPRESSION", "", MaybeWritten, MaybeWritten},
	{129, "REBOOTSTRAP_REQUIRED", "", MaybeWritten, MaybeWritten},
	{130, "STREAMS_INVALID_TOPOLOGY", "", MaybeWritten, MaybeWritten},
	{131, "STREAMS_INVALID_TOPOLOGY_EPOCH", "", MaybeWritten, MaybeWritten},
	{132, "STREAMS_TOPOLOGY_FENCED", "", MaybeWritten, MaybeWritten},
	{133, "SHARE_SESSION_LIMIT_REACHED", "R", MaybeWritten, MaybeWritten},
	{134, "GROUP_DELETION_FAILED", "", MaybeWritten, MaybeWritten},
	{135, "STREAMS_TOPOLOGY_DESCRIPTION_UPDATE_FAILED", "", MaybeWritten, MaybeWritten},
	{136, "CONTROLLER_ID_NOT_REGISTERED", "", MaybeWritten, MaybeWritten},
}

func TestErrorCodes(t *testing.T) {
	require.Len(t, errorCodeRows, len(codeTable))
	for i, want := range errorCodeRows {
		t.Run(want.name, func(t *testing.T) {
			require.Equal(t, want.code, codeTable[i].code)
			require.Equal(t, want.name, want.code.Name())
			require.Equal(t, fmt.Sprintf("%s (%d)", want.name, want.code), want.code.String())
			require.Equal(t, strings.Contains(want.flags, "R"), want.code.Retriable(), "retriable")
			require.Equal(t, strings.Contains(want.flags, "M"), want.code.RefreshMetadata(), "refresh metadata")
			require.Equal(t, want.withAll, want.code.WriteOutcome(), "acks=all")
			require.Equal(t, want.withAll, want.code.WriteOutcomeWith(-1), "acks=all")
			require.Equal(t, want.withOne, want.code.WriteOutcomeWith(1), "acks=1")
		})
	}
}

func TestDescriptionsOfErrorCodes(t *testing.T) {
	seen := map[string]bool{}
	for _, row := range codeTable {
		text := row.code.Description()
		require.NotEmpty(t, text, row.name)
		require.False(t, seen[text], "%s: %q stands for two codes", row.name, text)
		require.Less(t, len(text), 130, row.name)
		require.False(t, strings.HasSuffix(text, "."), row.name)
		seen[text] = true
	}
}

func TestErrorCodesThatAreNotKnownPromiseNothing(t *testing.T) {
	for _, code := range []ErrorCode{-32768, -2, 137, 32767} {
		require.Equal(t, "UNKNOWN_ERROR_CODE", code.Name())
		require.Equal(t, fmt.Sprintf("UNKNOWN_ERROR_CODE (%d)", code), code.String())
		require.NotEmpty(t, code.Description())
		require.False(t, code.Retriable())
		require.False(t, code.RefreshMetadata())
		require.Equal(t, MaybeWritten, code.WriteOutcome())
		require.Equal(t, MaybeWritten, code.WriteOutcomeWith(1))
	}
}

func TestWrittenIsNamed(t *testing.T) {
	require.Equal(t, "not written", NotWritten.String())
	require.Equal(t, "maybe written", MaybeWritten.String())
	require.Equal(t, "written", IsWritten.String())
}
