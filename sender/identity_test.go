package sender

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

func TestARefusedProducerIDFailsTheRecordsWithTheCure(t *testing.T) {
	onRig(t, topicT(1, 2), nil, func(r *rig) {
		rule := r.c.On(protocol.InitProducerID).Do(testbroker.Fail(protocol.ClusterAuthorizationFailed))
		began := time.Now()
		for _, s := range []sent{r.send(0, "a"), r.send(1, "b"), r.send(0, "c")} {
			failure := s.failed(false)
			require.ErrorIs(t, failure, &protocol.Error{Code: protocol.ClusterAuthorizationFailed})
			require.False(t, record.FateOf(failure) == record.FateNotWritten)
			require.Contains(t, failure.Error(), "IdempotentWrite")
			require.Contains(t, failure.Error(), "enable.idempotence=false")
			require.Contains(t, failure.Error(), `topic "t" partition`)
		}
		require.Less(t, time.Since(began), time.Second)
		require.Empty(t, r.c.Produces())

		// The next one asks again, after a backoff; once the right is there it works.
		_ = r.send(0, "d").failed(false)
		rule.End()
		require.Equal(t, int64(0), r.send(0, "e").acked())
		require.Equal(t, int64(0), r.send(1, "f").acked())
		require.Equal(t, []string{"e"}, r.values(0))
	})
}

// TestRefusalsAreBackedOff: many sends do not make many requests.
func TestRefusalsAreBackedOff(t *testing.T) {
	onRig(t, topicT(1, 1), nil, func(r *rig) {
		r.c.On(protocol.InitProducerID).Do(testbroker.Fail(protocol.ClusterAuthorizationFailed))
		began := time.Now()
		for range 20 {
			_ = r.send(0, "x").failed(false)
		}
		require.Greater(t, time.Since(began), 10*time.Second)
		require.LessOrEqual(t, len(r.c.RequestsOf(protocol.InitProducerID)), 20)
	})
}

func TestAProducerIDIsAskedForUntilItComes(t *testing.T) {
	for what, fault := range map[string]testbroker.Action{
		"coordinator loads":  testbroker.Fail(protocol.CoordinatorLoadInProgress),
		"coordinator absent": testbroker.Fail(protocol.CoordinatorNotAvailable),
		"connection closed":  testbroker.DropRequest(),
		"answer lost":        testbroker.DropAnswer(),
	} {
		t.Run(what, func(t *testing.T) {
			onRig(t, topicT(1, 1), nil, func(r *rig) {
				r.c.On(protocol.InitProducerID).Times(4).Do(fault)
				began := time.Now()
				require.Equal(t, int64(0), r.send(0, "x").acked())
				require.Less(t, time.Since(began), 5*time.Second)
				require.Greater(t, time.Since(began), 500*time.Millisecond, "with a backoff")
			})
		})
	}
}

func TestAProducerIDThatNeverComesIsBoundedByTheDeliveryTimeout(t *testing.T) {
	for what, fault := range map[string]testbroker.Action{
		"silence":             testbroker.SwallowAnswer(),
		"a coordinator loads": testbroker.Fail(protocol.CoordinatorLoadInProgress),
	} {
		t.Run(what, func(t *testing.T) {
			onRig(t, topicT(2, 1), nil, func(r *rig) {
				rule := r.c.On(protocol.InitProducerID).Do(fault)
				began := time.Now()
				failure := r.send(0, "x").failed(false)
				require.ErrorIs(t, failure, record.ErrDeliveryTimeout)
				require.True(t, record.FateOf(failure) == record.FateNotWritten)
				require.Contains(t, failure.Error(), "no producer id")
				require.Equal(t, 2*time.Minute, time.Since(began))
				rule.End()
				r.send(0, "y").acked()
			})
		})
	}
}

// TestOneProducerIDServesAllPartitions: the client requests it once.
func TestOneProducerIDServesAllPartitions(t *testing.T) {
	onRig(t, topicT(2, 10), nil, func(r *rig) {
		var all []sent
		for p := range int32(10) {
			all = append(all, r.send(p, "x"))
		}
		for _, s := range all {
			s.acked()
		}
		require.Len(t, r.c.RequestsOf(protocol.InitProducerID), 1)
	})
}

func TestWithoutIdempotenceNoProducerIDIsAskedFor(t *testing.T) {
	onRig(t, topicT(1, 1), func(c *Config) { c.Idempotent = false }, func(r *rig) {
		r.send(0, "x").acked()
		require.Empty(t, r.c.RequestsOf(protocol.InitProducerID))
		require.Equal(t, int64(-1), r.c.Produces()[0].Parts[0].Batch.Header.ProducerID)
	})
}

// TestAfterTheLastEpochThereIsANewID: a partition without a usable epoch after 32767 gets another producer id; the
// other partitions stay on theirs, and lose nothing.
func TestAfterTheLastEpochThereIsANewID(t *testing.T) {
	onRig(t, topicT(1, 2), nil, func(r *rig) {
		last := testbroker.Edit(func(a *protocol.InitProducerIDResponse) { a.ProducerEpoch = math.MaxInt16 })
		r.c.On(protocol.InitProducerID).Nth(1).Do(last)
		r.send(0, "a").acked()
		r.send(1, "a").acked()
		r.c.On(protocol.Produce).Partition("t", 0).Nth(1).Do(testbroker.Fail(protocol.UnknownProducerID))
		require.Equal(t, int64(1), r.send(0, "b").acked())
		require.Equal(t, int64(1), r.send(1, "b").acked())
		require.Len(t, r.c.RequestsOf(protocol.InitProducerID), 2)
		first, second := r.c.Batches("t", 0)[0].Header, r.c.Batches("t", 0)[1].Header
		require.Equal(t, int16(math.MaxInt16), first.ProducerEpoch)
		require.NotEqual(t, first.ProducerID, second.ProducerID)
		require.Zero(t, second.ProducerEpoch)
		require.Zero(t, second.BaseSequence)
		other := r.c.Batches("t", 1)[1].Header
		require.Equal(t, first.ProducerID, other.ProducerID)
		require.Equal(t, int32(1), other.BaseSequence)
	})
}

// TestAnEpochIsAPartitionsOwn: one partition needs the next epoch, the others stay on theirs.
func TestAnEpochIsAPartitionsOwn(t *testing.T) {
	onRig(t, topicT(1, 2), nil, func(r *rig) {
		r.send(0, "a").acked()
		r.send(1, "a").acked()
		r.c.On(protocol.Produce).Partition("t", 0).Nth(1).Do(testbroker.Fail(protocol.OutOfOrderSequenceNumber))
		r.send(0, "b").acked()
		r.send(1, "b").acked()
		require.Equal(t, int16(1), r.c.Batches("t", 0)[1].Header.ProducerEpoch)
		require.Equal(t, int16(0), r.c.Batches("t", 1)[1].Header.ProducerEpoch)
		require.Len(t, r.c.RequestsOf(protocol.InitProducerID), 1)
	})
}

// TestStopEndsTheWaitForAProducerID: nothing hangs when the sender stops meanwhile.
func TestStopEndsTheWaitForAProducerID(t *testing.T) {
	onRig(t, topicT(1, 1), nil, func(r *rig) {
		r.c.On(protocol.InitProducerID).Do(testbroker.SwallowAnswer())
		s := r.send(0, "x")
		synctest.Wait()
		began := time.Now()
		left := r.s.Abort(record.ErrClosed)
		r.s.Stop()
		require.Equal(t, Undelivered{Records: 1}, left)
		require.ErrorIs(t, s.failed(false), record.ErrClosed)
		require.Zero(t, time.Since(began))
	})
}

// The client never uses a producer id a second time, even if a broker assigns it again: its old sequences would pass
// for the new ones. The next request waits for its backoff.
func TestAProducerIDThatIsUsedUpIsNotTakenAgain(t *testing.T) {
	onRig(t, topicT(1, 1), func(c *Config) { c.DeliveryTimeout = 40 * time.Second }, func(r *rig) {
		same := testbroker.Edit(func(a *protocol.InitProducerIDResponse) {
			a.ProducerID, a.ProducerEpoch = 7,
				math.MaxInt16
		})
		rule := r.c.On(protocol.InitProducerID).Times(1000).Do(same)
		require.Equal(t, int64(0), r.send(0, "under 7").acked())
		r.c.On(protocol.Produce).Nth(1).Do(testbroker.Fail(protocol.UnknownProducerID))
		began := time.Now()
		_ = r.send(0, "needs another").failed(false)
		require.Equal(t, 40*time.Second, time.Since(began))
		failure := r.send(0, "has none yet").failed(false)
		require.ErrorIs(t, failure, record.ErrDeliveryTimeout)
		require.Contains(t, failure.Error(),
			"no producer id: the broker gave an invalid producer id: 7, which this producer has given up")
		require.Less(t, rule.Hits(), 150, "in 80 seconds with up to a second between them")

		rule.End()
		require.Equal(t, int64(1), r.send(0, "under a new one").acked())
		produced := r.c.Produces()
		require.NotEqual(t, int64(7), produced[len(produced)-1].Parts[0].Batch.Header.ProducerID)
	})
}

// TestADoubtfulRetryKeepsItsEpochWhileAnotherPartitionMovesOn: a batch of one partition may be written; meanwhile a
// sequence out of order gives another partition the next epoch. Under that epoch the first could be written twice.
func TestADoubtfulRetryKeepsItsEpochWhileAnotherPartitionMovesOn(t *testing.T) {
	onRig(t, topicT(1, 2), nil, func(r *rig) {
		r.send(0, "a").acked()
		r.send(1, "a").acked()
		r.c.On(protocol.Produce).Partition("t", 1).Nth(1).Do(testbroker.AppendAndFail(protocol.RequestTimedOut))
		r.c.On(protocol.Produce).Partition("t", 1).Times(3).Do(testbroker.Fail(protocol.NotEnoughReplicas))
		doubtful := r.send(1, "b")
		r.c.WaitRecords(r.ctx, "t", 3)
		r.c.On(protocol.Produce).Partition("t", 0).Nth(1).Do(testbroker.Fail(protocol.OutOfOrderSequenceNumber))
		r.send(0, "b").acked()
		require.Equal(t, int16(1), r.c.Batches("t", 0)[1].Header.ProducerEpoch)
		require.Equal(t, int64(1), doubtful.acked())
		require.Equal(t, []string{"a", "b"}, r.values(1))
		r.send(1, "c").acked()
		require.Equal(t, int16(0), r.c.Batches("t", 1)[2].Header.ProducerEpoch)
	})
}

// TestABrokerWithoutProducerIDsSaysSo: the request is unknown to it. Records fail at once, certainly not written, with
// the cure; after an upgrade of the broker the client asks again.
func TestABrokerWithoutProducerIDsSaysSo(t *testing.T) {
	brokers := topicT(1, 1)
	brokers.Versions = testbroker.KafkaVersions("4.3")
	brokers.Versions[protocol.InitProducerID] = protocol.VersionRange{Min: 0, Max: -1}
	onRig(t, brokers, nil, func(r *rig) {
		began := time.Now()
		for range 3 {
			failure := r.send(0, "x").failed(false)
			require.Equal(t, record.FateNotWritten, record.FateOf(failure))
			require.Equal(t, "unsupported_version", record.Word(failure))
			require.Contains(t, failure.Error(), "InitProducerId")
			require.Contains(t, failure.Error(), "enable.idempotence=false")
		}
		require.Less(t, time.Since(began), 2*time.Second)
		require.Empty(t, r.c.Produces())
		r.c.StopBroker(1)
		r.c.SetVersions(1, testbroker.KafkaVersions("4.3"))
		r.c.StartBroker(1)
		time.Sleep(5 * time.Second)
		require.Equal(t, int64(0), r.send(0, "y").acked())
	})
}

// TestABrokerThatHangsWithTheProducerIDIsLeftForAnother: after request.timeout.ms another one is asked.
func TestABrokerThatHangsWithTheProducerIDIsLeftForAnother(t *testing.T) {
	onRig(t, topicT(3, 3), func(c *Config) { c.RequestTimeout = 3 * time.Second }, func(r *rig) {
		hangs := r.c.RequestsOf(protocol.Metadata)[0].Broker
		r.c.On(protocol.InitProducerID).Broker(hangs).Do(testbroker.SwallowAnswer())
		began := time.Now()
		r.send(1, "x").acked()
		require.Less(t, time.Since(began), 5*time.Second)
	})
}

// A server accepts no epoch of the client's choice. The first batch under a bumped epoch was certainly not written, and
// the producer gets a new id, at once and after any code of refusal.
func TestABrokerThatRefusesBumpedEpochsGetsANewProducerID(t *testing.T) {
	for _, code := range []protocol.ErrorCode{
		protocol.InvalidProducerEpoch, protocol.OutOfOrderSequenceNumber, protocol.UnknownProducerID,
		protocol.InvalidProducerIDMapping,
		protocol.ProducerFenced,
	} {
		t.Run(code.Name(), func(t *testing.T) {
			onRig(t, topicT(1, 2), nil, func(r *rig) {
				r.send(0, "a").acked()
				r.send(1, "a").acked()
				bumped := func(q *testbroker.Request) bool { return q.Parts[0].Batch.Header.ProducerEpoch > 0 }
				r.c.On(protocol.Produce).When(bumped).Do(testbroker.Fail(code))
				for range 3 {
					r.c.On(protocol.Produce).Partition("t", 0).Nth(1).Do(testbroker.Fail(protocol.UnknownProducerID))
					began := time.Now()
					r.send(0, "b").acked()
					require.Less(t, time.Since(began), time.Second)
				}
				require.Len(t, r.c.RequestsOf(protocol.InitProducerID), 4)
				r.send(1, "b").acked()
				require.Equal(t, int64(1000), r.c.Batches("t", 1)[1].Header.ProducerID,
					"another partition keeps its identity")
			})
		})
	}
}

// A record without a key in a compacted topic: brokers before 2.4 refuse its batch as CORRUPT_MESSAGE, at each retry.
func TestACorruptMessageIsFinalAtTheSecondAttempt(t *testing.T) {
	onRig(t, topicT(1, 1), nil, func(r *rig) {
		rule := r.c.On(protocol.Produce).Do(testbroker.Fail(protocol.CorruptMessage))
		failure := r.send(0, "x").failed(false)
		require.ErrorIs(t, failure, &protocol.Error{Code: protocol.CorruptMessage})
		require.False(t, record.FateOf(failure) == record.FateNotWritten)
		require.Contains(t, failure.Error(), "compacted")
		require.Equal(t, 2, rule.Hits())
		rule.End()
		r.send(0, "y").acked()

		// Damaged bytes arrive with the next attempt.
		r.c.On(protocol.Produce).Nth(1).Do(testbroker.Fail(protocol.CorruptMessage))
		r.send(0, "z").acked()
		require.Equal(t, []string{"y", "z"}, r.values(0))
	})
}

// A server that is almost Kafka gives every producer the same id. If the producer needs another one, it takes this id
// under a later epoch.
func TestAServerWithOneProducerIDGetsALaterEpoch(t *testing.T) {
	onRig(t, topicT(1, 1), nil, func(r *rig) {
		r.c.On(protocol.InitProducerID).Do(testbroker.Edit(func(a *protocol.InitProducerIDResponse) {
			a.ProducerID,
				a.ProducerEpoch = 7, 0
		}))
		r.send(0, "before").acked()
		for epoch := range int16(3) {
			remake(r, 1)
			r.client.Refresh()
			time.Sleep(time.Second)
			began := time.Now()
			require.Equal(t, int64(0), r.send(0, "after").acked())
			require.Less(t, time.Since(began), time.Second)
			h := r.c.Batches("t", 0)[0].Header
			require.Equal(t, [2]int64{7, int64(epoch) + 1}, [2]int64{h.ProducerID, int64(h.ProducerEpoch)})
		}
	})
}
