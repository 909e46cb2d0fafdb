package delivery

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// verdict is the result of a first try with a code as its answer.
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

// codeVerdicts lists every code of Kafka under the verdict on a batch of several records at its first try. It follows
// the meaning of the codes to a producer, not the table in package protocol:
//   - This client retries each RetriableException of Java, as Java does.
//   - A code that the leader can send only before the append means "not written". A code that can follow the append
//     proves nothing; nor does a code outside the responses to Produce.
//   - Codes about sequence and identity concern idempotent producers only.
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
	// The batch was not written, and will not be under its old identity.
	{verdictIdentity, verdictFailed, verdictFailed,
		`OUT_OF_ORDER_SEQUENCE_NUMBER UNKNOWN_PRODUCER_ID INVALID_PRODUCER_EPOCH INVALID_PRODUCER_ID_MAPPING PRODUCER_FENCED`},
	// Refused before the append.
	{verdictAgain, verdictAgain, verdictAgain,
		`CORRUPT_MESSAGE NOT_ENOUGH_REPLICAS COORDINATOR_LOAD_IN_PROGRESS COORDINATOR_NOT_AVAILABLE NOT_COORDINATOR
		CONCURRENT_TRANSACTIONS UNKNOWN_TOPIC_ID`},
	// Before the append, or with acks=all while the request waits for the other replicas.
	{verdictAgainMaybe, verdictAgainMaybe, verdictAgain,
		`UNKNOWN_TOPIC_OR_PARTITION NOT_LEADER_OR_FOLLOWER`},
	// Possible after the append too, or never sent to a producer.
	{verdictAgainMaybe, verdictAgainMaybe, verdictAgainMaybe,
		`LEADER_NOT_AVAILABLE REQUEST_TIMED_OUT REPLICA_NOT_AVAILABLE NETWORK_EXCEPTION NOT_ENOUGH_REPLICAS_AFTER_APPEND
		NOT_CONTROLLER KAFKA_STORAGE_ERROR FETCH_SESSION_ID_NOT_FOUND INVALID_FETCH_SESSION_EPOCH LISTENER_NOT_FOUND
		FENCED_LEADER_EPOCH UNKNOWN_LEADER_EPOCH OFFSET_NOT_AVAILABLE PREFERRED_LEADER_NOT_AVAILABLE
		ELIGIBLE_LEADERS_NOT_AVAILABLE ELECTION_NOT_NEEDED UNSTABLE_OFFSET_COMMIT THROTTLING_QUOTA_EXCEEDED
		INCONSISTENT_TOPIC_ID FETCH_SESSION_TOPIC_ID_ERROR SHARE_SESSION_NOT_FOUND INVALID_SHARE_SESSION_EPOCH
		SHARE_SESSION_LIMIT_REACHED`},
	// Refused before the append, and the next attempt would be refused too.
	{verdictFailed, verdictFailed, verdictFailed,
		`INVALID_TOPIC_EXCEPTION RECORD_LIST_TOO_LARGE INVALID_REQUIRED_ACKS TOPIC_AUTHORIZATION_FAILED
		GROUP_AUTHORIZATION_FAILED CLUSTER_AUTHORIZATION_FAILED INVALID_TIMESTAMP UNSUPPORTED_SASL_MECHANISM
		ILLEGAL_SASL_STATE UNSUPPORTED_VERSION INVALID_REQUEST UNSUPPORTED_FOR_MESSAGE_FORMAT POLICY_VIOLATION
		INVALID_TXN_STATE TRANSACTIONAL_ID_AUTHORIZATION_FAILED OPERATION_NOT_ATTEMPTED SASL_AUTHENTICATION_FAILED
		UNSUPPORTED_COMPRESSION_TYPE INVALID_RECORD TRANSACTIONAL_ID_NOT_FOUND TRANSACTION_ABORTABLE`},
	// UNKNOWN_SERVER_ERROR can arise anywhere; brokers never send the others to a producer.
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

// firstTry returns a delivery core with one batch of the given number of records in flight.
func firstTry(cfg Config, count int32) (*Partition, *Batch, time.Time) {
	cfg.Topic, cfg.MaxInFlight, cfg.DeliveryTimeout, cfg.Strict = "t", 5, 2*time.Minute, true
	cfg.Backoff = func(int) time.Duration { return 100 * time.Millisecond }
	now := time.Unix(1000, 0)
	p := New(&cfg)
	p.LeaderMoved(1, 1, now)
	b := NewBatch(count, 100, now, nil)
	p.Sealed(&b)
	sendAll(p, now)
	return p, &b, now
}

// sendAll sends all possible batches, and returns them.
func sendAll(p *Partition, now time.Time) (sent []*Batch) {
	for {
		switch d := p.Next(now, Room{Bytes: 1 << 30, ByName: true}); d.Kind {
		case NeedIdentity:
			p.IdentityReceived(Identity{ID: 7, Epoch: d.Used.Epoch + 1, Valid: true})
		case Send:
			p.WriteFinished(d.Batch)
			sent = append(sent, d.Batch)
		default:
			return sent
		}
	}
}

// answer gives b an answer and returns the outcomes.
func answer(p *Partition, b *Batch, a Answer, now time.Time) []Outcome {
	p.Answered(b, b.attempt, &a, now)
	return p.Drain(nil)
}

// verdictOf returns the verdict of the outcomes and of the state after them.
func verdictOf(t *testing.T, p *Partition, b *Batch, outcomes []Outcome) verdict {
	t.Helper()
	if len(outcomes) == 0 {
		require.Equal(t, Retrying, b.state)
		switch {
		case p.NeedsIdentity():
			require.False(t, b.isDoubtful(), "it could be there twice")
			return verdictIdentity
		case b.isDoubtful():
			return verdictAgainMaybe
		}
		return verdictAgain
	}
	require.Len(t, outcomes, 1)
	o := outcomes[0]
	require.Same(t, b, o.Batch)
	switch {
	case o.Kind == Acknowledged:
		return verdictSuccess
	case o.Kind == TooLarge:
		return verdictSplit
	case o.Kind == Failed && record.FateOf(o.Err) == record.FateMaybeWritten:
		return verdictFailedMaybe
	}
	require.Equal(t, Failed, o.Kind)
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
					cfg  Config
					want verdict
				}{
					{Config{Acks: -1, Idempotent: true, Retries: 3}, row.idempotent},
					{Config{Acks: -1, Retries: 3}, row.plain},
					{Config{Acks: 1, Retries: 3}, row.leaderOnly},
				} {
					p, b, now := firstTry(v.cfg, 10)
					outcomes := answer(p, b, Answer{Code: code, Offset: 5, Message: "so there"}, now)
					require.Equal(t, v.want, verdictOf(t, p, b, outcomes), "acks=%d idempotent=%v", v.cfg.Acks,
						v.cfg.Idempotent)
					if v.want == verdictFailed || v.want == verdictFailedMaybe {
						requireBrokersError(t, outcomes[0].Err, code)
						want := record.FateMaybeWritten
						if v.want == verdictFailed {
							want = record.CertainFate(&protocol.Error{Code: code})
						}
						require.Equal(t, want, record.FateOf(outcomes[0].Err))
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

// TestCodesThatKafkaDoesNotHaveYetProveNothing: a newer broker may use codes unknown to this client.
func TestCodesThatKafkaDoesNotHaveYetProveNothing(t *testing.T) {
	for _, code := range []protocol.ErrorCode{-2, -32768, 1000, 32767} {
		for _, idempotent := range []bool{true, false} {
			p, b, now := firstTry(Config{Acks: -1, Idempotent: idempotent, Retries: 3}, 10)
			outcomes := answer(p, b, Answer{Code: code}, now)
			require.Equal(t, verdictFailedMaybe, verdictOf(t, p, b, outcomes))
		}
	}
}

// TestASingleRecordThatIsTooLargeFails: there is nothing to split.
func TestASingleRecordThatIsTooLargeFails(t *testing.T) {
	for _, idempotent := range []bool{true, false} {
		p, b, now := firstTry(Config{Acks: -1, Idempotent: idempotent, Retries: 3}, 1)
		outcomes := answer(p, b, Answer{Code: protocol.MessageTooLarge}, now)
		require.Equal(t, verdictFailed, verdictOf(t, p, b, outcomes))
	}
}

// TestTheLastTrysCodeFailsTheBatch: without retries a retriable error fails the batch too, is worth another send only
// if nothing can be in the log, and names the code.
func TestTheLastTrysCodeFailsTheBatch(t *testing.T) {
	for _, row := range codeVerdicts {
		if row.plain != verdictAgain && row.plain != verdictAgainMaybe {
			continue
		}
		for name := range strings.FieldsSeq(row.names) {
			t.Run(name, func(t *testing.T) {
				p, b, now := firstTry(Config{Acks: -1}, 10)
				outcomes := answer(p, b, Answer{Code: codeNamed(t, name), Message: "so there"}, now)
				maybe := row.plain == verdictAgainMaybe
				require.Len(t, outcomes, 1)
				require.Equal(t, maybe, record.FateOf(outcomes[0].Err) == record.FateMaybeWritten)
				require.Equal(t, !maybe, record.FateOf(outcomes[0].Err) == record.FateNotWritten)
				requireBrokersError(t, outcomes[0].Err, codeNamed(t, name))
			})
		}
	}
}

// TestNoCodeTakesBackADoubt: after a try with a lost response, no later code makes the batch "not written". The
// exception is OUT_OF_ORDER_SEQUENCE_NUMBER: it denies the very sequence of the batch.
func TestNoCodeTakesBackADoubt(t *testing.T) {
	for _, row := range codeVerdicts {
		for name := range strings.FieldsSeq(row.names) {
			t.Run(name, func(t *testing.T) {
				for _, idempotent := range []bool{true, false} {
					p, b, now := firstTry(Config{Acks: -1, Idempotent: idempotent, Retries: 3}, 10)
					p.Disconnected(b, b.attempt, true, errors.New("reset"), now)
					require.Empty(t, p.Drain(nil))
					now = now.Add(time.Second)
					require.Equal(t, []*Batch{b}, sendAll(p, now))
					outcomes := answer(p, b, Answer{Code: codeNamed(t, name), Offset: 5}, now)
					switch got := verdictOf(t, p, b, outcomes); {
					case idempotent && name == "OUT_OF_ORDER_SEQUENCE_NUMBER":
						// The broker accepted neither try, and cannot accept one any more.
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
