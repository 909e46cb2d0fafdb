package producer_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
)

// This file tests the reactions to error codes in Metadata responses, listed in internal/cluster/codes.go.

// metadataCodes are all of Kafka's error codes, and some unknown ones.
func metadataCodes() []protocol.ErrorCode {
	codes := []protocol.ErrorCode{-32768, -2, 9999, 32767}
	for c := protocol.ErrorCode(-1); c.Name() != "UNKNOWN_ERROR_CODE"; c++ {
		if c != protocol.None {
			codes = append(codes, c)
		}
	}
	return codes
}

// finalCodes are the codes about the topic itself.
var finalCodes = []protocol.ErrorCode{protocol.InvalidTopicException, protocol.TopicAuthorizationFailed,
	protocol.PolicyViolation}

// saying edits Metadata responses until the caller calls the returned function.
func saying(c *testbroker.Cluster, edit func(r *protocol.MetadataResponse)) (end func()) {
	return c.On(protocol.Metadata).Do(testbroker.Edit(edit)).End
}

// ofTopic returns an edit that gives topic t an error code.
func ofTopic(name string, code protocol.ErrorCode) func(r *protocol.MetadataResponse) {
	return func(r *protocol.MetadataResponse) {
		for i := range r.Topics {
			if t := &r.Topics[i]; *t.Name == name {
				t.ErrorCode, t.ID, t.Partitions = code, protocol.UUID{}, nil
			}
		}
	}
}

// fresh makes the client refresh its metadata after 200 ms.
func fresh(cfg *producer.Config) { cfg.MetadataMaxAge = 200 * time.Millisecond }

// sends sends n records to partition 0 of topic t, with a pause after each, and returns their errors and the longest
// wait for an outcome.
func sends(t *testing.T, p *producer.Producer, n int, pause time.Duration) (errs []error, longest time.Duration) {
	t.Helper()
	for i := range n {
		began := time.Now()
		_, err := p.Send(t.Context(), to(0, fmt.Sprint(i)), nil).Get(t.Context())
		longest = max(longest, time.Since(began))
		if err != nil {
			errs = append(errs, err)
		}
		time.Sleep(pause)
	}
	return errs, longest
}

// unhurried requires a backoff between failing Metadata requests. Requests without topics do not count: they check the
// cluster of a new connection.
func unhurried(t *testing.T, requests []testbroker.Request) {
	t.Helper()
	requests = slices.DeleteFunc(requests,
		func(r testbroker.Request) bool { return len(r.Message.(*protocol.MetadataRequest).Topics) == 0 })
	for i := 1; i < len(requests); i++ {
		gap := requests[i].Time.Sub(requests[i-1].Time)
		require.GreaterOrEqual(t, gap, 80*time.Millisecond, "retry.backoff.ms is 100, less 20 %% of jitter")
	}
}

func TestATopicInUseSurvivesASecondOfErrorsInMetadata(t *testing.T) {
	for _, code := range []protocol.ErrorCode{protocol.UnknownServerError, protocol.InvalidReplicationFactor} {
		scene(t, code.Name(), topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
			p := warm(t, c, 1, fresh)
			end := saying(c, ofTopic("t", code))
			time.AfterFunc(time.Second, end)
			errs, longest := sends(t, p, 200, 10*time.Millisecond)
			require.Empty(t, errs)
			require.Zero(t, longest)
			require.Len(t, written(c, 0), 200)
		})
	}
}

func TestANewTopicWaitsForItsReplicationFactor(t *testing.T) {
	scene(t, "the topic is created in time", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := start(t, c, nil)
		end := saying(c, ofTopic("new", protocol.InvalidReplicationFactor))
		time.AfterFunc(3*time.Second, func() {
			c.CreateTopic("new", 1)
			end()
		})
		began := time.Now()
		_, err := p.Send(t.Context(), &producer.Record{Topic: "new"}, nil).Get(t.Context())
		require.NoError(t, err)
		require.LessOrEqual(t, time.Since(began), 3*time.Second+1200*time.Millisecond)
		unhurried(t, c.RequestsOf(protocol.Metadata))
	})
	scene(t, "the topic is not created", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := start(t, c, func(cfg *producer.Config) { cfg.MaxBlock = 5 * time.Second })
		saying(c, ofTopic("new", protocol.InvalidReplicationFactor))
		began := time.Now()
		f := p.Send(t.Context(), &producer.Record{Topic: "new"}, nil)
		require.Equal(t, 5*time.Second, time.Since(began))
		notWritten(t, f, producer.ErrMetadataTimeout)
		_, err := f.Get(t.Context())
		require.True(t, producer.Retriable(err))
		require.ErrorContains(t, err,
			"INVALID_REPLICATION_FACTOR (38): "+protocol.InvalidReplicationFactor.Description())
		brokerCode(t, err, "INVALID_REPLICATION_FACTOR")
		unhurried(t, c.RequestsOf(protocol.Metadata))
		require.Greater(t, len(c.RequestsOf(protocol.Metadata)), 5)

		_, err = p.TrySend(&producer.Record{Topic: "new"}, nil).Get(t.Context())
		require.ErrorIs(t, err, producer.ErrMetadataTimeout)
		require.True(t, producer.Retriable(err))
		brokerCode(t, err, "INVALID_REPLICATION_FACTOR")
	})
}

// TestEveryErrorCodeInMetadata has one subtest for each row of the table of codes.
func TestEveryErrorCodeInMetadata(t *testing.T) {
	for _, code := range metadataCodes() {
		scene(t, code.String(), topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
			p := warm(t, c, 1, fresh)
			if slices.Contains(finalCodes, code) {
				finalForTheTopic(t, c, p, code)
			} else {
				transientForTheTopic(t, c, p, code)
			}
			ofAPartition(t, c, p, code)
			ofTheResponse(t, c, p, code)
		})
	}
}

// transientForTheTopic requires that a known topic stays known, and that a Send to a new topic waits.
func transientForTheTopic(t *testing.T, c *testbroker.Cluster, p *producer.Producer, code protocol.ErrorCode) {
	t.Helper()
	end := saying(c, ofTopic("t", code))
	before := len(c.RequestsOf(protocol.Metadata))
	errs, longest := sends(t, p, 12, 100*time.Millisecond)
	end()
	require.Empty(t, errs)
	require.Zero(t, longest)
	requests := c.RequestsOf(protocol.Metadata)[before:]
	require.Greater(t, len(requests), 2)
	unhurried(t, requests)

	end = saying(c, ofTopic("new", code))
	_, err := p.TrySend(&producer.Record{Topic: "new"}, nil).Get(t.Context())
	require.True(t, producer.Retriable(err), "%v", err)
	time.AfterFunc(2*time.Second, func() {
		c.CreateTopic("new", 1)
		end()
	})
	_, err = p.Send(t.Context(), &producer.Record{Topic: "new"}, nil).Get(t.Context())
	require.NoError(t, err)
}

// finalForTheTopic requires that records of a known and of a new topic fail at once, and that the topic recovers with
// its cause.
func finalForTheTopic(t *testing.T, c *testbroker.Cluster, p *producer.Producer, code protocol.ErrorCode) {
	t.Helper()
	refused := func(topic string) {
		began := time.Now()
		_, err := p.Send(t.Context(), &producer.Record{Topic: topic}, nil).Get(t.Context())
		require.Zero(t, time.Since(began))
		brokerCode(t, err, code.Name())
		require.False(t, producer.Retriable(err))
		require.False(t, producer.MaybeWritten(err))
		require.NotErrorIs(t, err, producer.ErrMetadataTimeout)
	}
	end := saying(c, func(r *protocol.MetadataResponse) {
		ofTopic("t", code)(r)
		ofTopic("new", code)(r)
	})
	time.Sleep(time.Second)
	synctest.Wait()
	refused("t")
	refused("new")
	c.CreateTopic("new", 1)
	end()
	time.Sleep(1300 * time.Millisecond) // retry.backoff.max.ms, with jitter
	for _, topic := range []string{"t", "new"} {
		began := time.Now()
		_, err := p.Send(t.Context(), &producer.Record{Topic: topic}, nil).Get(t.Context())
		require.NoError(t, err)
		require.LessOrEqual(t, time.Since(began), 250*time.Millisecond)
	}
}

// ofAPartition requires that the partition keeps its leader, unless the code reports that it has none.
func ofAPartition(t *testing.T, c *testbroker.Cluster, p *producer.Producer, code protocol.ErrorCode) {
	t.Helper()
	end := saying(c, func(r *protocol.MetadataResponse) {
		for i := range r.Topics {
			for k := range r.Topics[i].Partitions {
				part := &r.Topics[i].Partitions[k]
				part.ErrorCode = code
				if code != protocol.ReplicaNotAvailable { // it concerns other replicas than the leader
					part.LeaderID, part.LeaderEpoch = -1, -1
				}
			}
		}
	})
	time.AfterFunc(time.Second, end)
	errs, longest := sends(t, p, 12, 100*time.Millisecond)
	require.Empty(t, errs)
	leaderless := code == protocol.LeaderNotAvailable || code == protocol.ListenerNotFound
	require.Equal(t, leaderless, longest > 0, longest)
	require.LessOrEqual(t, longest, 2500*time.Millisecond)
	end()
}

// ofTheResponse requires that the client keeps its metadata and requests it again.
func ofTheResponse(t *testing.T, c *testbroker.Cluster, p *producer.Producer, code protocol.ErrorCode) {
	t.Helper()
	end := saying(c, func(r *protocol.MetadataResponse) { r.ErrorCode, r.Topics = code, nil })
	errs, longest := sends(t, p, 12, 100*time.Millisecond)
	require.Empty(t, errs)
	require.Zero(t, longest)
	c.CreateTopic("late", 1)
	f := p.TrySend(&producer.Record{Topic: "late"}, nil)
	_, err := f.Get(t.Context())
	require.True(t, producer.Retriable(err))
	time.AfterFunc(time.Second, end)
	_, err = p.Send(t.Context(), &producer.Record{Topic: "late"}, nil).Get(t.Context())
	require.NoError(t, err)
}

func TestABufferedRecordOutlastsAMissingACL(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) {
			fresh(cfg)
			cfg.Linger = 2 * time.Second
		})
		f := p.Send(t.Context(), to(0, "x"), nil)
		c.Deny("t")
		time.Sleep(3 * time.Second)
		require.False(t, isOver(f))
		_, err := p.Send(t.Context(), to(0, "y"), nil).Get(t.Context())
		brokerCode(t, err, "TOPIC_AUTHORIZATION_FAILED")
		c.Allow("t")
		_, err = f.Get(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"x"}, written(c, 0))
	})
}
