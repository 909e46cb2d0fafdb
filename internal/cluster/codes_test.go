package cluster

import (
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
)

// These lists are the expected reactions, written independently of the table under test. The client retries every code
// outside the lists.
var (
	mustBeFinal = []protocol.ErrorCode{protocol.InvalidTopicException, protocol.TopicAuthorizationFailed,
		protocol.PolicyViolation}
	mustBeAbsent   = []protocol.ErrorCode{protocol.UnknownTopicOrPartition, protocol.UnknownTopicID}
	mustBeNoLeader = []protocol.ErrorCode{protocol.LeaderNotAvailable, protocol.ListenerNotFound}
)

// eachCode runs a subtest for each row of the table, and for codes unknown to Kafka.
func eachCode(t *testing.T, test func(t *testing.T, code protocol.ErrorCode)) {
	t.Helper()
	codes := []protocol.ErrorCode{math.MinInt16, -2, 9999, math.MaxInt16}
	for _, row := range codeTable {
		if row.code != protocol.None {
			codes = append(codes, row.code)
		}
	}
	for _, code := range codes {
		t.Run(code.String(), func(t *testing.T) { test(t, code) })
	}
}

func TestTheTableOfCodesHasEveryCodeOfKafka(t *testing.T) {
	for c := math.MinInt16; c <= math.MaxInt16; c++ {
		code := protocol.ErrorCode(c)
		known := code.Name() != "UNKNOWN_ERROR_CODE"
		inTable := slices.ContainsFunc(codeTable[:], func(r codeRow) bool { return r.code == code })
		require.Equal(t, known, inTable, code)
		if known {
			require.Equal(t, code, reactionTo(code).code)
		} else {
			require.Equal(t, codeRow{topic: retry, partition: keepKnown, response: nextServer}, reactionTo(code))
		}
	}
	for _, row := range codeTable {
		require.Equal(t, row.code == protocol.None, row.topic == use, row.code)
		require.Equal(t, row.code == protocol.None, row.response == useTold, row.code)
	}
}

// spaced requires the requests to keep retry.backoff.ms: 100 less 20 % of jitter.
func spaced(t *testing.T, requests []asked) {
	t.Helper()
	for i := 1; i < len(requests); i++ {
		require.GreaterOrEqual(t, requests[i].at.Sub(requests[i-1].at), 80*time.Millisecond)
	}
}

// TestEachCodeOfAKnownTopic: the brokers send the code for ten seconds, longer than the grace of five.
func TestEachCodeOfAKnownTopic(t *testing.T) {
	eachCode(t, func(t *testing.T, code protocol.ErrorCode) {
		w := newWorld()
		w.topics(topicOf("a", 1, 5, 1))
		run(t, w, nil, func(t *testing.T, c *Client) {
			before := known(t, c, "a")
			w.requests()
			w.topics(refusedTopic("a", code))
			c.Refresh()
			synctest.Wait()
			final, absent := slices.Contains(mustBeFinal, code), slices.Contains(mustBeAbsent, code)
			if final {
				require.Nil(t, c.Snapshot().Topic("a"))
				_, err := c.TryTopic("a")
				require.ErrorIs(t, err, &protocol.Error{Code: code})
				require.NotErrorIs(t, err, ErrPending)
			}
			time.Sleep(4 * time.Second)
			if final {
				require.Len(t, w.requests(), 1, "nobody needs the topic")
			} else {
				require.Same(t, before, c.Snapshot().Topic("a"))
				rs := w.requests()
				require.InDelta(t, 6, len(rs), 3)
				spaced(t, rs)
			}
			time.Sleep(6 * time.Second)
			require.Equal(t, !final && !absent, c.Snapshot().Topic("a") == before)

			w.topics(topicOf("a", 1, 5, 1))
			time.Sleep(1200 * time.Millisecond)
			took(t, 0, func() { known(t, c, "a") })
		})
	})
}

func TestEachCodeOfANewTopic(t *testing.T) {
	eachCode(t, func(t *testing.T, code protocol.ErrorCode) {
		w := newWorld()
		w.topics(refusedTopic("a", code))
		run(t, w, nil, func(t *testing.T, c *Client) {
			began := time.Now()
			_, err := c.Topic(within(t, 3*time.Second), "a")
			require.ErrorIs(t, err, &protocol.Error{Code: code})
			rs := w.requests()
			if slices.Contains(mustBeFinal, code) {
				require.Zero(t, time.Since(began))
				require.Len(t, rs, 1)
			} else {
				require.Equal(t, 3*time.Second, time.Since(began))
				require.ErrorContains(t, err, code.Name())
				require.InDelta(t, 5, len(rs), 2)
				spaced(t, rs)
			}
			time.AfterFunc(1500*time.Millisecond, func() { w.topics(topicOf("a", 1, 0, 1)) })
			time.Sleep(time.Second)
			if slices.Contains(mustBeFinal, code) {
				time.Sleep(time.Second)
			}
			took(t, 2200*time.Millisecond, func() { known(t, c, "a") })
		})
	})
}

func TestEachCodeOfAPartition(t *testing.T) {
	eachCode(t, func(t *testing.T, code protocol.ErrorCode) {
		first := step(&Snapshot{}, topicOf("a", 1, 5, 1, 2)).Snapshot
		// The fields beside an error may be defaults: 0, or another broker than the leader.
		told := topicOf("a", 1, 5, 1, 2)
		told.Partitions[1] = protocol.MetadataPartition{ErrorCode: code, Index: 1, LeaderID: 3, LeaderEpoch: 9}
		m := step(first, told)
		p := *m.Snapshot.Topic("a").Partition(1)
		require.Equal(t, code, p.ErrorCode)
		switch {
		case code == protocol.ReplicaNotAvailable:
			require.Equal(t, Partition{Index: 1, Leader: 3, LeaderEpoch: 9, ErrorCode: code}, p)
		case slices.Contains(mustBeNoLeader, code):
			require.Equal(t, Partition{Index: 1, Leader: protocol.NoLeader, LeaderEpoch: 9, ErrorCode: code}, p)
		default:
			require.Equal(t, Partition{Index: 1, Leader: 2, LeaderEpoch: 5, ErrorCode: code}, p)
			require.True(t, m.unsure["a"])
			// If there is no known leader, or it has left the cluster, the client cannot keep it.
			fresh := *step(&Snapshot{}, told).Snapshot.Topic("a").Partition(1)
			require.Equal(t, Partition{Index: 1, Leader: protocol.NoLeader, LeaderEpoch: -1, ErrorCode: code}, fresh)
			resp := answerOf(told)
			resp.Brokers = slices.Delete(resp.Brokers, 1, 2)
			left := merge(first, resp, 13, []string{"a"}, nil).Snapshot.Topic("a").Partition(1)
			require.Equal(t, protocol.NoLeader, left.Leader)
		}
		require.EqualValues(t, 1, m.Snapshot.Topic("a").Partition(0).Leader)

		w := newWorld()
		w.topics(topicOf("a", 1, 5, 1, 2))
		run(t, w, nil, func(t *testing.T, c *Client) {
			known(t, c, "a")
			w.requests()
			w.topics(told)
			c.Refresh()
			time.Sleep(4 * time.Second)
			w.topics(topicOf("a", 1, 10, 1, 1))
			rs := w.requests()
			spaced(t, rs)
			if len(m.unsure) > 0 {
				require.InDelta(t, 6, len(rs), 3, "the request is retried")
				time.Sleep(1200 * time.Millisecond)
				require.EqualValues(t, 1, c.Snapshot().Topic("a").Partition(1).Leader)
			} else {
				require.Len(t, rs, 1, "whoever needs a leader calls Refresh")
			}
		})
	})
}

func TestEachCodeOfAWholeResponse(t *testing.T) {
	eachCode(t, func(t *testing.T, code protocol.ErrorCode) {
		w := newWorld()
		w.topics(topicOf("a", 1, 5, 1), topicOf("b", 2, 5, 1))
		w.become(kafka, "boot:9")
		run(t, w, func(cfg *Config) { cfg.Bootstrap = []string{"boot:9"} }, func(t *testing.T, c *Client) {
			before := known(t, c, "a")
			w.cut("boot:9")
			synctest.Wait()
			known(t, c, "b") // over a broker's connection now
			w.requests()
			good := w.answer
			bad := func(string, *protocol.MetadataRequest) *protocol.MetadataResponse {
				return &protocol.MetadataResponse{ErrorCode: code, Brokers: brokers()}
			}
			w.set(func() { w.answer = bad })
			_, err := c.Topic(within(t, 5*time.Second), "new")
			var unreachable *UnreachableError
			require.ErrorAs(t, err, &unreachable)
			rs := w.requests()
			if code == protocol.RebootstrapRequired {
				require.ErrorIs(t, err, errRebootstrap)
				require.Equal(t, "boot:9", rs[1].address)
			} else {
				require.ErrorIs(t, err, &protocol.Error{Code: code})
				require.NotEqual(t, "boot:9", rs[1].address, "the known brokers come first")
			}
			require.LessOrEqual(t, len(rs), 60, "each of four servers is asked about once a second")
			require.Same(t, before, c.Snapshot().Topic("a"))
			w.set(func() { w.answer = good })
			w.topics(topicOf("new", 3, 0, 1))
			took(t, 2400*time.Millisecond, func() { known(t, c, "new") })
		})
	})
}

// TestAnotherCodeEndsTheSuspicionThatATopicIsDeleted: only an unbroken row of such answers counts.
func TestAnotherCodeEndsTheSuspicionThatATopicIsDeleted(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("a", 1, 0, 1))
	run(t, w, nil, func(t *testing.T, c *Client) {
		known(t, c, "a")
		for range 3 {
			w.topics(refusedTopic("a", protocol.UnknownTopicOrPartition))
			c.Refresh()
			time.Sleep(3500 * time.Millisecond)
			w.topics(refusedTopic("a", protocol.UnknownServerError))
			time.Sleep(1500 * time.Millisecond)
			require.NotNil(t, c.Snapshot().Topic("a"))
		}
		w.topics()
		time.Sleep(7500 * time.Millisecond)
		require.Nil(t, c.Snapshot().Topic("a"))
	})
}
