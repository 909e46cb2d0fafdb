package producer

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
)

// This file tests hostile answers to Produce.

func TestBrokenAnswersToProduce(t *testing.T) {
	var cases []*hostileCase
	for _, f := range faults {
		cases = append(cases, &hostileCase{name: f.name, servers: broken(protocol.Produce, f.fault),
			check: undelivered(true, f.word)})
	}
	// A body of version 13 is topics, throttle, and tagged fields. A topic is an id, partitions, and tagged fields.
	topic := append([]byte{2}, make([]byte, 16)...)
	part := append(append(topic[:17:17], 2), make([]byte, 30)...) // the fields before the record errors
	with := func(b []byte, more ...byte) []byte { return append(b[:len(b):len(b)], more...) }
	survive(t, append(cases, bodies(protocol.Produce, undelivered(true, "127.0.0.1:", "malformed"), map[string][]byte{
		"no body": {}, "null for the topics": {0, 0, 0, 0, 0, 0},
		"2^32-2 topics":                 {0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0, 0, 0, 0, 0},
		"a count without end":           bytes.Repeat([]byte{0xff}, 5000),
		"null for the partitions":       with(topic, 0, 0, 0, 0, 0, 0, 0),
		"2^32-2 partitions":             with(topic, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0, 0),
		"null for the record errors":    with(part, 0, 0, 0, 0, 0, 0, 0, 0, 0),
		"2^32-2 record errors":          with(part, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0, 0),
		"a message of 2^32-2 bytes":     with(part, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0, 0),
		"a message of a MiB":            append(with(part, 1, 0x81, 0x80, 0x40), make([]byte, 1<<20+10)...),
		"2^32-1 tagged fields":          with(part, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0, 0),
		"a tagged field beyond the end": with(part, 1, 0, 1, 0, 0xff, 0xff, 0x03, 0, 0, 0, 0, 0),
		"half a current leader":         with(part, 1, 0, 1, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0),
		"null for the endpoints":        {1, 0, 0, 0, 0, 1, 0, 1, 0},
		"2^32-2 endpoints":              {1, 0, 0, 0, 0, 1, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x0f},
		"null for an endpoint's host":   {1, 0, 0, 0, 0, 1, 0, 12, 2, 0, 0, 0, 1, 0, 0, 0, 0, 9, 0, 0},
		"bytes left over":               {1, 0, 0, 0, 0, 0, 0},
	})...))
}

// unhealed are servers that keep their fault.
func unhealed(servers func(*testing.T) ([]string, func())) func(*testing.T) ([]string, func()) {
	return func(t *testing.T) ([]string, func()) {
		addresses, _ := servers(t)
		return addresses, nil
	}
}

// produced edits the answers to Produce.
func produced(edit func(r *protocol.ProduceResponse)) func(*testing.T) ([]string, func()) {
	return broken(protocol.Produce, testbroker.Edit(edit))
}

// once edits the first answer to Produce.
func once(edit func(r *protocol.ProduceResponse)) func(*testing.T) ([]string, func()) {
	return func(t *testing.T) ([]string, func()) {
		c := testbroker.New(t, testbroker.Config{Network: testbroker.TCP, Topics: map[string]int32{"t": 2}})
		c.On(protocol.Produce).Nth(1).Do(testbroker.Edit(edit))
		return c.Bootstrap(), nil
	}
}

func TestProduceAnswersThatMakeNoSense(t *testing.T) {
	first := func(r *protocol.ProduceResponse) *protocol.ProducePartitionResponse {
		return &r.Topics[0].Partitions[0]
	}
	blame := func(indexes ...int32) func(r *protocol.ProduceResponse) {
		return func(r *protocol.ProduceResponse) {
			part := first(r)
			part.ErrorCode, part.BaseOffset = protocol.InvalidRecord, -1
			for _, i := range indexes {
				part.RecordErrors = append(part.RecordErrors, protocol.RecordError{BatchIndex: i})
			}
		}
	}
	refusedRecord := func(t require.TestingT, err error) {
		var broker *BrokerError
		require.ErrorAs(t, err, &broker)
		require.Equal(t, protocol.InvalidRecord, broker.Code)
		require.False(t, MaybeWritten(err))
	}
	// The broker has appended a batch but answered with an error, so the client's sequence numbers differ from its log.
	// Therefore the case has no heal.
	lies := func(edit func(r *protocol.ProduceResponse)) func(*testing.T) ([]string, func()) {
		return unhealed(broken(protocol.Produce, testbroker.Fail(protocol.InvalidRecord).And(testbroker.Edit(edit))))
	}
	// A response with topics or partitions that the request did not have is malformed, and ends the connection.
	tooLong := undelivered(true, "127.0.0.1:", "malformed")
	long := strings.Repeat("forged\nline ", 30_000/12)
	survive(t, []*hostileCase{
		{name: "no topics", servers: produced(func(r *protocol.ProduceResponse) { r.Topics = nil }),
			check: undelivered(true, "without a word on this partition")},
		{name: "no partitions", servers: produced(func(r *protocol.ProduceResponse) { r.Topics[0].Partitions = nil }),
			check: undelivered(true, "without a word on this partition")},
		{name: "another partition", servers: produced(func(r *protocol.ProduceResponse) { first(r).Index = 1 }),
			check: undelivered(true, "without a word on this partition")},
		{name: "partition -1", servers: produced(func(r *protocol.ProduceResponse) { first(r).Index = -1 }),
			check: undelivered(true, "without a word on this partition")},
		{name: "partition 2^31-1", servers: produced(func(
			r *protocol.ProduceResponse) {
			first(r).Index = math.MaxInt32
		}),
			check: undelivered(true, "without a word on this partition")},
		{name: "another topic", servers: produced(func(r *protocol.ProduceResponse) { r.Topics[0].ID[3]++ }),
			check: undelivered(true, "without a word on this partition")},
		{name: "the same partition twice", servers: produced(func(r *protocol.ProduceResponse) {
			again := *first(r)
			again.ErrorCode = protocol.TopicAuthorizationFailed
			r.Topics[0].Partitions = append(r.Topics[0].Partitions, again)
			r.Topics = append(r.Topics, r.Topics[0])
		}), check: tooLong},
		{name: "more than was asked for", servers: produced(func(r *protocol.ProduceResponse) {
			for i := range int32(10_000) {
				more := protocol.ProducePartitionResponse{Index: i + 5, ErrorCode: protocol.NotLeaderOrFollower}
				r.Topics[0].Partitions = append(r.Topics[0].Partitions, more)
			}
		}), check: tooLong},
		{name: "a negative offset", servers: produced(func(
			r *protocol.ProduceResponse) {
			first(r).BaseOffset = math.MinInt64
		}), check: acknowledged},
		{name: "the last offset", servers: produced(func(
			r *protocol.ProduceResponse) {
			first(r).BaseOffset = math.MaxInt64
		}), check: acknowledged},
		{name: "a negative append time",
			servers: produced(func(r *protocol.ProduceResponse) { first(r).LogAppendTimeMs = math.MinInt64 }),
			check:   acknowledged},
		{name: "record errors without an error", servers: produced(func(r *protocol.ProduceResponse) {
			first(r).RecordErrors = []protocol.RecordError{{BatchIndex: -1}}
		}), check: acknowledged},
		{name: "record errors at -1", servers: lies(blame(-1)), check: refusedRecord},
		{name: "record errors far outside", servers: lies(blame(math.MaxInt32)), check: refusedRecord},
		{name: "more record errors than records", servers: lies(blame(0, 0, 0, 7, 0)), check: tooLong},
		{name: "record errors 100,000 times", servers: lies(func(r *protocol.ProduceResponse) {
			blame(make([]int32, 100_000)...)(r)
		}), check: tooLong},
		{name: "a record error with a very long message", servers: lies(func(r *protocol.ProduceResponse) {
			blame(0)(r)
			for i := range first(r).RecordErrors {
				first(r).RecordErrors[i].Message = &long
			}
		}), check: refusedRecord},
		{name: "a negative error code",
			servers: produced(func(r *protocol.ProduceResponse) { first(r).ErrorCode = -2 }),
			check: func(t require.TestingT, err error) {
				require.True(t, MaybeWritten(err))
				says(t, err, []string{"UNKNOWN_ERROR_CODE (-2)"})
			}},
		{name: "an unknown error code",
			servers: produced(func(r *protocol.ProduceResponse) { first(r).ErrorCode = 9999 }),
			check: func(t require.TestingT, err error) {
				require.True(t, MaybeWritten(err))
				says(t, err, []string{"UNKNOWN_ERROR_CODE (9999)"})
			}},
		{name: "a message of 30 kB, with line ends", servers: produced(func(r *protocol.ProduceResponse) {
			first(r).ErrorCode, first(r).ErrorMessage = protocol.UnknownServerError, &long
		}), check: func(t require.TestingT, err error) {
			require.Less(t, len(err.Error()), 2000)
			require.NotContains(t, err.Error(), "\n")
		}},
		{name: "a leader that nobody knows", servers: produced(func(r *protocol.ProduceResponse) {
			first(r).ErrorCode, first(r).CurrentLeader = protocol.NotLeaderOrFollower,
				&protocol.LeaderIDAndEpoch{LeaderID: 99, LeaderEpoch: 5}
		}), check: undelivered(true, "NOT_LEADER_OR_FOLLOWER")},
		{name: "a negative leader", servers: produced(func(r *protocol.ProduceResponse) {
			first(r).ErrorCode, first(r).CurrentLeader = protocol.NotLeaderOrFollower,
				&protocol.LeaderIDAndEpoch{LeaderID: math.MinInt32, LeaderEpoch: math.MinInt32}
		}), check: undelivered(true, "NOT_LEADER_OR_FOLLOWER")},
		{name: "the asked one leads, of an older epoch", servers: produced(func(r *protocol.ProduceResponse) {
			first(r).ErrorCode, first(r).CurrentLeader = protocol.NotLeaderOrFollower,
				&protocol.LeaderIDAndEpoch{LeaderID: 1, LeaderEpoch: -1}
		}), check: undelivered(true, "NOT_LEADER_OR_FOLLOWER")},
		{name: "100,000 endpoints", servers: once(func(r *protocol.ProduceResponse) {
			first(r).ErrorCode, first(r).CurrentLeader = protocol.NotLeaderOrFollower,
				&protocol.LeaderIDAndEpoch{LeaderID: 7, LeaderEpoch: 9}
			for i := range int32(100_000) {
				r.NodeEndpoints = append(r.NodeEndpoints, protocol.NodeEndpoint{NodeID: 10 + i, Host: "127.0.0.1",
					Port: 1 + i%1000})
			}
		}), check: acknowledged},
		// No leader epoch can be newer than the largest one. The client nevertheless accepts an older epoch after
		// enough responses have reported it.
		{name: "a leader of the last epoch, where nobody listens", servers: produced(func(r *protocol.ProduceResponse) {
			first(r).ErrorCode, first(r).CurrentLeader = protocol.NotLeaderOrFollower,
				&protocol.LeaderIDAndEpoch{LeaderID: 7, LeaderEpoch: math.MaxInt32}
			r.NodeEndpoints = []protocol.NodeEndpoint{{NodeID: 7, Host: "127.0.0.1", Port: 1}}
		}), check: undelivered(true, "NOT_LEADER_OR_FOLLOWER")},
		{name: "endpoints that are none", servers: produced(func(r *protocol.ProduceResponse) {
			first(r).ErrorCode, first(r).CurrentLeader = protocol.NotLeaderOrFollower,
				&protocol.LeaderIDAndEpoch{LeaderID: 7, LeaderEpoch: 9}
			r.NodeEndpoints = []protocol.NodeEndpoint{{NodeID: 7, Host: "", Port: -1},
				{NodeID: -7, Host: "x", Port: math.MaxInt32}}
		}), check: undelivered(true, "NOT_LEADER_OR_FOLLOWER")},
		{name: "a throttle of 24 days",
			servers: unhealed(produced(func(r *protocol.ProduceResponse) { r.ThrottleMs = math.MaxInt32 })),
			check:   acknowledged},
		{name: "a negative throttle", servers: produced(func(
			r *protocol.ProduceResponse) {
			r.ThrottleMs = math.MinInt32
		}), check: acknowledged},
	})
}
