package sender

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// verdict is what a first try that was answered with a code leads to.
type verdict string

const (
	verdictSuccess     verdict = "success"
	verdictSplit       verdict = "split"
	verdictIdentity    verdict = "again under a new identity"
	verdictAgain       verdict = "again, not written so far"
	verdictAgainMaybe  verdict = "again, maybe written"
	verdictFailed      verdict = "failed, not written"
	verdictFailedMaybe verdict = "failed, maybe written"
)

// codeVerdicts is every code of Kafka by what has to become of a batch of several records at its first try. It is written from
// what the codes mean to a producer, not from the table in package protocol:
//   - Java retries what is a RetriableException there, and so do we.
//   - A code that the leader can say only before it appends is "not written"; one that can come from after the append, or that no
//     Produce request is answered with, proves nothing.
//   - What concerns sequence and identity concerns idempotent producers only.
var codeVerdicts = []struct {
	idempotent verdict // acks=all
	plain      verdict // acks=all
	leaderOnly verdict // plain with acks=1
	names      string  // separated by blanks
}{
	{verdictSuccess, verdictSuccess, verdictSuccess,
		`NONE DUPLICATE_SEQUENCE_NUMBER`},
	{verdictSplit, verdictSplit, verdictSplit,
		`MESSAGE_TOO_LARGE`},
	// Nothing of the batch was written, and under its old identity nothing will be.
	{verdictIdentity, verdictFailed, verdictFailed,
		`OUT_OF_ORDER_SEQUENCE_NUMBER UNKNOWN_PRODUCER_ID INVALID_PRODUCER_EPOCH INVALID_PRODUCER_ID_MAPPING PRODUCER_FENCED`},
	// Refused before the append.
	{verdictAgain, verdictAgain, verdictAgain,
		`CORRUPT_MESSAGE NOT_ENOUGH_REPLICAS COORDINATOR_LOAD_IN_PROGRESS COORDINATOR_NOT_AVAILABLE NOT_COORDINATOR
		CONCURRENT_TRANSACTIONS UNKNOWN_TOPIC_ID`},
	// Before the append, or while the request waits for the other replicas, which it does with acks=all only.
	{verdictAgainMaybe, verdictAgainMaybe, verdictAgain,
		`UNKNOWN_TOPIC_OR_PARTITION NOT_LEADER_OR_FOLLOWER`},
	// After the append too, or never said to a producer.
	{verdictAgainMaybe, verdictAgainMaybe, verdictAgainMaybe,
		`LEADER_NOT_AVAILABLE REQUEST_TIMED_OUT REPLICA_NOT_AVAILABLE NETWORK_EXCEPTION NOT_ENOUGH_REPLICAS_AFTER_APPEND
		NOT_CONTROLLER KAFKA_STORAGE_ERROR FETCH_SESSION_ID_NOT_FOUND INVALID_FETCH_SESSION_EPOCH LISTENER_NOT_FOUND
		FENCED_LEADER_EPOCH UNKNOWN_LEADER_EPOCH OFFSET_NOT_AVAILABLE PREFERRED_LEADER_NOT_AVAILABLE
		ELIGIBLE_LEADERS_NOT_AVAILABLE ELECTION_NOT_NEEDED UNSTABLE_OFFSET_COMMIT THROTTLING_QUOTA_EXCEEDED
		INCONSISTENT_TOPIC_ID FETCH_SESSION_TOPIC_ID_ERROR SHARE_SESSION_NOT_FOUND INVALID_SHARE_SESSION_EPOCH
		SHARE_SESSION_LIMIT_REACHED`},
	// Refused before the append, and would be again.
	{verdictFailed, verdictFailed, verdictFailed,
		`INVALID_TOPIC_EXCEPTION RECORD_LIST_TOO_LARGE INVALID_REQUIRED_ACKS TOPIC_AUTHORIZATION_FAILED
		GROUP_AUTHORIZATION_FAILED CLUSTER_AUTHORIZATION_FAILED INVALID_TIMESTAMP UNSUPPORTED_SASL_MECHANISM
		ILLEGAL_SASL_STATE UNSUPPORTED_VERSION INVALID_REQUEST UNSUPPORTED_FOR_MESSAGE_FORMAT POLICY_VIOLATION
		INVALID_TXN_STATE TRANSACTIONAL_ID_AUTHORIZATION_FAILED OPERATION_NOT_ATTEMPTED SASL_AUTHENTICATION_FAILED
		UNSUPPORTED_COMPRESSION_TYPE INVALID_RECORD TRANSACTIONAL_ID_NOT_FOUND TRANSACTION_ABORTABLE`},
	// UNKNOWN_SERVER_ERROR can come from anywhere; the others are never said to a producer.
	{verdictFailedMaybe, verdictFailedMaybe, verdictFailedMaybe,
		`UNKNOWN_SERVER_ERROR OFFSET_OUT_OF_RANGE INVALID_FETCH_SIZE BROKER_NOT_AVAILABLE STALE_CONTROLLER_EPOCH
		OFFSET_METADATA_TOO_LARGE ILLEGAL_GENERATION INCONSISTENT_GROUP_PROTOCOL INVALID_GROUP_ID UNKNOWN_MEMBER_ID
		INVALID_SESSION_TIMEOUT REBALANCE_IN_PROGRESS INVALID_COMMIT_OFFSET_SIZE TOPIC_ALREADY_EXISTS INVALID_PARTITIONS
		INVALID_REPLICATION_FACTOR INVALID_REPLICA_ASSIGNMENT INVALID_CONFIG INVALID_TRANSACTION_TIMEOUT
		TRANSACTION_COORDINATOR_FENCED SECURITY_DISABLED LOG_DIR_NOT_FOUND REASSIGNMENT_IN_PROGRESS
		DELEGATION_TOKEN_AUTH_DISABLED DELEGATION_TOKEN_NOT_FOUND DELEGATION_TOKEN_OWNER_MISMATCH
		DELEGATION_TOKEN_REQUEST_NOT_ALLOWED DELEGATION_TOKEN_AUTHORIZATION_FAILED DELEGATION_TOKEN_EXPIRED
		INVALID_PRINCIPAL_TYPE NON_EMPTY_GROUP GROUP_ID_NOT_FOUND TOPIC_DELETION_DISABLED STALE_BROKER_EPOCH
		MEMBER_ID_REQUIRED GROUP_MAX_SIZE_REACHED FENCED_INSTANCE_ID NO_REASSIGNMENT_IN_PROGRESS GROUP_SUBSCRIBED_TO_TOPIC
		RESOURCE_NOT_FOUND DUPLICATE_RESOURCE UNACCEPTABLE_CREDENTIAL INCONSISTENT_VOTER_SET INVALID_UPDATE_VERSION
		FEATURE_UPDATE_FAILED PRINCIPAL_DESERIALIZATION_FAILURE SNAPSHOT_NOT_FOUND POSITION_OUT_OF_RANGE
		DUPLICATE_BROKER_REGISTRATION BROKER_ID_NOT_REGISTERED INCONSISTENT_CLUSTER_ID INELIGIBLE_REPLICA NEW_LEADER_ELECTED
		OFFSET_MOVED_TO_TIERED_STORAGE FENCED_MEMBER_EPOCH UNRELEASED_INSTANCE_ID UNSUPPORTED_ASSIGNOR STALE_MEMBER_EPOCH
		MISMATCHED_ENDPOINT_TYPE UNSUPPORTED_ENDPOINT_TYPE UNKNOWN_CONTROLLER_ID UNKNOWN_SUBSCRIPTION_ID TELEMETRY_TOO_LARGE
		INVALID_REGISTRATION INVALID_RECORD_STATE FENCED_STATE_EPOCH INVALID_VOTER_KEY DUPLICATE_VOTER VOTER_NOT_FOUND
		INVALID_REGULAR_EXPRESSION REBOOTSTRAP_REQUIRED STREAMS_INVALID_TOPOLOGY STREAMS_INVALID_TOPOLOGY_EPOCH
		STREAMS_TOPOLOGY_FENCED GROUP_DELETION_FAILED STREAMS_TOPOLOGY_DESCRIPTION_UPDATE_FAILED CONTROLLER_ID_NOT_REGISTERED`},
}

// firstTry returns a delivery state with one batch of the given number of records in flight.
func firstTry(cfg deliveryConfig, count int32) (*deliveryState, *batchState, time.Time) {
	cfg.topic, cfg.maxInFlight, cfg.deliveryTimeout = "t", 5, 2*time.Minute
	cfg.backoff = func(int) time.Duration { return 100 * time.Millisecond }
	now := time.Unix(1000, 0)
	l := &deliveryState{cfg: &cfg, leader: 1}
	if cfg.idempotent {
		l.setIdentity(identity{id: 7, valid: true})
	}
	p := &batchState{count: count, created: now, sequence: noSequence}
	l.sent(p)
	return l, p, now
}

// verdictOf says what actions, and the state after them, mean.
func verdictOf(t *testing.T, l *deliveryState, p *batchState, actions []action) verdict {
	t.Helper()
	if len(actions) == 0 {
		require.Equal(t, retrying, p.state)
		switch _, wants := l.wantsIdentity(); {
		case wants:
			require.False(t, p.doubtful, "it could be there twice")
			return verdictIdentity
		case p.doubtful:
			return verdictAgainMaybe
		}
		return verdictAgain
	}
	require.Len(t, actions, 1)
	a := actions[0]
	require.Same(t, p, a.batch)
	switch {
	case a.kind == actComplete:
		return verdictSuccess
	case a.kind == actSplit:
		return verdictSplit
	case a.kind == actFail && record.FateOf(a.err) == record.FateMaybeWritten:
		require.False(t, record.FateOf(a.err) == record.FateNotWritten)
		return verdictFailedMaybe
	}
	require.Equal(t, actFail, a.kind)
	return verdictFailed
}

func TestEachErrorCodeHasItsOutcome(t *testing.T) {
	seen := map[string]bool{}
	for _, row := range codeVerdicts {
		for name := range strings.FieldsSeq(row.names) {
			require.False(t, seen[name], "%s stands twice", name)
			seen[name] = true
			t.Run(name, func(t *testing.T) {
				code := codeNamed(t, name)
				for _, v := range []struct {
					cfg  deliveryConfig
					want verdict
				}{
					{deliveryConfig{acks: -1, idempotent: true, retries: 3}, row.idempotent},
					{deliveryConfig{acks: -1, retries: 3}, row.plain},
					{deliveryConfig{acks: 1, retries: 3}, row.leaderOnly},
				} {
					l, p, now := firstTry(v.cfg, 10)
					actions := l.answered(p, answer{code: code, offset: 5, message: "so there"}, now)
					require.Equal(t, v.want, verdictOf(t, l, p, actions), "acks=%d idempotent=%v", v.cfg.acks, v.cfg.idempotent)
					if v.want == verdictFailed || v.want == verdictFailedMaybe {
						requireBrokersError(t, actions[0].err, code)
						want := record.FateMaybeWritten
						if v.want == verdictFailed {
							want = record.CertainFate(&protocol.Error{Code: code})
						}
						require.Equal(t, want, record.FateOf(actions[0].err))
					}
				}
			})
		}
	}
	for code := protocol.ErrorCode(-1); code.Name() != protocol.ErrorCode(-2).Name(); code++ {
		require.True(t, seen[code.Name()], "%v has no row", code)
	}
}

func requireBrokersError(t *testing.T, err *record.Error, code protocol.ErrorCode) {
	t.Helper()
	var broker *protocol.Error
	require.ErrorAs(t, err, &broker)
	require.Equal(t, code, broker.Code)
	require.Equal(t, "so there", broker.Message)
	require.Equal(t, "t", err.Topic)
	require.Contains(t, err.Error(), code.Name())
}

// TestCodesThatKafkaDoesNotHaveYetProveNothing: a newer broker may say what this client cannot know.
func TestCodesThatKafkaDoesNotHaveYetProveNothing(t *testing.T) {
	for _, code := range []protocol.ErrorCode{-2, -32768, 1000, 32767} {
		for _, idempotent := range []bool{true, false} {
			l, p, now := firstTry(deliveryConfig{acks: -1, idempotent: idempotent, retries: 3}, 10)
			actions := l.answered(p, answer{code: code}, now)
			require.Equal(t, verdictFailedMaybe, verdictOf(t, l, p, actions))
		}
	}
}

// TestASingleRecordThatIsTooLargeFails: there is nothing to split.
func TestASingleRecordThatIsTooLargeFails(t *testing.T) {
	for _, idempotent := range []bool{true, false} {
		l, p, now := firstTry(deliveryConfig{acks: -1, idempotent: idempotent, retries: 3}, 1)
		actions := l.answered(p, answer{code: protocol.MessageTooLarge}, now)
		require.Equal(t, verdictFailed, verdictOf(t, l, p, actions))
	}
}

// TestTheLastTrysCodeFailsTheBatch: without retries what could be mended fails too, is worth another send only when nothing can be
// there, and names the code.
func TestTheLastTrysCodeFailsTheBatch(t *testing.T) {
	for _, row := range codeVerdicts {
		if row.plain != verdictAgain && row.plain != verdictAgainMaybe {
			continue
		}
		for name := range strings.FieldsSeq(row.names) {
			t.Run(name, func(t *testing.T) {
				l, p, now := firstTry(deliveryConfig{acks: -1}, 10)
				actions := l.answered(p, answer{code: codeNamed(t, name), message: "so there"}, now)
				maybe := row.plain == verdictAgainMaybe
				require.Len(t, actions, 1)
				require.Equal(t, maybe, record.FateOf(actions[0].err) == record.FateMaybeWritten)
				require.Equal(t, !maybe, record.FateOf(actions[0].err) == record.FateNotWritten)
				requireBrokersError(t, actions[0].err, codeNamed(t, name))
			})
		}
	}
}

// TestNoCodeTakesBackADoubt: after a try whose answer was lost, whatever the broker says next, the batch is not called "not
// written", unless the answer is about that very sequence.
func TestNoCodeTakesBackADoubt(t *testing.T) {
	for _, row := range codeVerdicts {
		for name := range strings.FieldsSeq(row.names) {
			t.Run(name, func(t *testing.T) {
				for _, idempotent := range []bool{true, false} {
					l, p, now := firstTry(deliveryConfig{acks: -1, idempotent: idempotent, retries: 3}, 10)
					require.Empty(t, l.disconnected(p, true, errors.New("reset"), now))
					l.sent(p)
					actions := l.answered(p, answer{code: codeNamed(t, name), offset: 5}, now)
					switch got := verdictOf(t, l, p, actions); {
					case idempotent && name == "OUT_OF_ORDER_SEQUENCE_NUMBER":
						// Neither try was taken, nor can one be any more.
						require.Equal(t, verdictIdentity, got)
					case row.plain == verdictSuccess:
						require.Equal(t, verdictSuccess, got)
					case row.plain == verdictAgain || row.plain == verdictAgainMaybe:
						require.Equal(t, verdictAgainMaybe, got)
					default:
						require.Equal(t, verdictFailedMaybe, got)
					}
				}
			})
		}
	}
}

// TestWhichCodesRefreshTheMetadata: those that say that the client's picture of topics and leaders is out of date. The list is Kafka's own,
// its InvalidMetadataExceptions.
func TestWhichCodesRefreshTheMetadata(t *testing.T) {
	outdated := map[string]bool{}
	for name := range strings.FieldsSeq(`UNKNOWN_TOPIC_OR_PARTITION LEADER_NOT_AVAILABLE NOT_LEADER_OR_FOLLOWER REPLICA_NOT_AVAILABLE
		NETWORK_EXCEPTION KAFKA_STORAGE_ERROR LISTENER_NOT_FOUND FENCED_LEADER_EPOCH PREFERRED_LEADER_NOT_AVAILABLE
		ELIGIBLE_LEADERS_NOT_AVAILABLE ELECTION_NOT_NEEDED UNKNOWN_TOPIC_ID INCONSISTENT_TOPIC_ID`) {
		outdated[name] = true
	}
	for _, row := range codeVerdicts {
		for name := range strings.FieldsSeq(row.names) {
			t.Run(name, func(t *testing.T) {
				onRig(t, topicT(1, 1), nil, func(r *rig) {
					r.send(0, "warm").acked()
					before := len(r.c.RequestsOf(protocol.Metadata))
					r.c.On(protocol.Produce).Nth(1).Do(testbroker.Fail(codeNamed(t, name)))
					_, _ = r.send(0, "x").get()
					time.Sleep(2 * time.Second)
					require.Equal(t, outdated[name], len(r.c.RequestsOf(protocol.Metadata)) > before)
				})
			})
		}
	}
}
