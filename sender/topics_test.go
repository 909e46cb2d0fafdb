package sender

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// Topics are deleted, recreated, or unknown for a while.

// remake deletes the topic and makes it again; its log is empty then, and the former leaders' epochs mean nothing.
func remake(r *rig, partitions int32) {
	r.c.DeleteTopic("t")
	r.c.CreateTopic("t", partitions)
}

// TestARecreatedTopicGetsTheNextRecords: waiting and later records are sent to the new topic, in order and once, for
// every obstacle in the old one and every version of the brokers.
func TestARecreatedTopicGetsTheNextRecords(t *testing.T) {
	for _, release := range []string{"4.3", "3.3", "2.8", "2.4", "1.0"} {
		for _, moves := range []int{0, 3} { // the number of leader changes of the old topic
			for _, idempotent := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, %d moves, idempotent=%v", release, moves, idempotent), func(t *testing.T) {
					brokers := topicT(2, 2)
					brokers.Versions = testbroker.KafkaVersions(release)
					onRig(t, brokers, func(c *Config) {
						c.Idempotent, c.Accumulator.BatchSize = idempotent, 0
						if !idempotent {
							c.MaxInFlight = 1
						}
					}, func(r *rig) {
						for range moves {
							r.c.MoveLeader("t", 0, 2)
						}
						r.send(0, "old").acked()
						r.send(0, "old").acked()
						r.c.Hang(1)
						r.c.Hang(2)
						var all []sent
						for _, v := range numbered(10, "") {
							all = append(all, r.send(0, v))
						}
						synctest.Wait()
						remake(r, 2)
						r.c.Unhang(1)
						r.c.Unhang(2)
						began := time.Now()
						for _, s := range all {
							s.acked()
						}
						r.send(0, "new").acked()
						require.Less(t, time.Since(began), 30*time.Second)
						log := r.values(0)
						require.Equal(t, "new", log[len(log)-1])
						require.IsIncreasing(t, log)
					})
				})
			}
		}
	}
}

// TestATopicThatIsGoneFailsItsRecordsInTime: the topic is not recreated.
func TestATopicThatIsGoneFailsItsRecordsInTime(t *testing.T) {
	for _, release := range []string{"4.3", "2.8", "1.0"} {
		t.Run(release, func(t *testing.T) {
			brokers := testbroker.Config{Brokers: 2, Topics: map[string]int32{"t": 2, "other": 1}}
			brokers.Versions = testbroker.KafkaVersions(release)
			onRig(t, brokers, nil, func(r *rig) {
				r.send(0, "old").acked()
				r.c.DeleteTopic("t")
				began := time.Now()
				for _, s := range []sent{r.send(0, "met the broker"), r.send(1, "first of its partition")} {
					_, err := s.get()
					var failure *record.Error
					require.ErrorAs(t, err, &failure)
					require.ErrorIs(t, err, record.ErrDeliveryTimeout)
				}
				require.Equal(t, 2*time.Minute, time.Since(began))
				failure := r.send(0, "later").failed(false)
				require.ErrorIs(t, failure, record.ErrDeliveryTimeout)
				require.Contains(t, failure.Error(), "no leader")
				r.c.CreateTopic("t", 2)
				require.Equal(t, int64(0), r.send(0, "found again").acked())
			})
		})
	}
}

// TestATopicRecreatedWithFewerPartitionsFailsTheRest: records for a missing partition of the new topic fail in
// time; the others go on.
func TestATopicRecreatedWithFewerPartitionsFailsTheRest(t *testing.T) {
	onRig(t, topicT(2, 3), nil, func(r *rig) {
		r.send(0, "old").acked()
		r.send(2, "old").acked()
		remake(r, 1)
		began := time.Now()
		lost := r.send(2, "nowhere")
		require.Equal(t, int64(0), r.send(0, "new").acked())
		require.Less(t, time.Since(began), 5*time.Second)
		failure := lost.failed(false)
		require.ErrorIs(t, failure, record.ErrDeliveryTimeout)
		require.True(t, record.FateOf(failure) == record.FateNotWritten)
		require.Equal(t, 2*time.Minute, time.Since(began))
	})
}

// TestSequencesOutliveATopicThatDisappearsForAWhile: a restarting broker may call a topic unknown. If sequences began
// from 0 then, the broker would drop records as duplicates, while their sends succeed.
func TestSequencesOutliveATopicThatDisappearsForAWhile(t *testing.T) {
	for _, away := range []time.Duration{time.Second, time.Minute} {
		onRig(t, topicT(1, 1), nil, func(r *rig) {
			for _, v := range numbered(5, "") {
				r.send(0, v).acked()
			}
			unknown := r.c.On(protocol.Metadata).Do(testbroker.Fail(protocol.UnknownTopicOrPartition))
			refused := r.c.On(protocol.Produce).Do(testbroker.Fail(protocol.UnknownTopicOrPartition))
			r.client.Refresh()
			s := r.send(0, "meanwhile")
			time.Sleep(away)
			unknown.End()
			refused.End()
			require.Equal(t, int64(5), s.acked())
			require.Equal(t, int64(6), r.send(0, "afterwards").acked())
			require.Equal(t, append(numbered(5, ""), "meanwhile", "afterwards"), r.values(0))
			for i, b := range r.c.Batches("t", 0) {
				require.Equal(t, int32(i), b.Header.BaseSequence)
			}
		})
	}
}

// TestTheLogOfARecreatedTopicStartsWithOneInFlight: the new log knows no producer and takes any first sequence; a
// lost first batch with others behind it would leave a hole without an error.
func TestTheLogOfARecreatedTopicStartsWithOneInFlight(t *testing.T) {
	onRig(t, topicT(1, 1), func(c *Config) { c.Accumulator.BatchSize = 0 }, func(r *rig) {
		r.send(0, "old").acked()
		remake(r, 1)
		r.send(0, "finds the new topic").acked()
		remake(r, 1)
		r.client.Refresh()
		time.Sleep(time.Second)
		before := len(r.c.Produces())
		release := make(chan struct{})
		r.c.On(protocol.Produce).Nth(1).Do(testbroker.Hold(release).And(testbroker.DropRequest()))
		var all []sent
		for _, v := range numbered(6, "") {
			all = append(all, r.send(0, v))
			synctest.Wait()
		}
		require.Len(t, r.c.Produces(), before+1)
		close(release)
		for i, s := range all {
			require.Equal(t, int64(i), s.acked())
		}
		require.Equal(t, numbered(6, ""), r.values(0))
	})
}

// TestAHintForTheOldTopicDoesNotMislead: an answer for the topic as it was comes when the new one is known already. Its
// leader epoch is far beyond those of the new topic.
func TestAHintForTheOldTopicDoesNotMislead(t *testing.T) {
	onRig(t, topicT(2, 1), nil, func(r *rig) {
		r.send(0, "old").acked()
		release := make(chan struct{})
		r.c.On(protocol.Produce).Nth(1).Do(testbroker.Hold(release).And(testbroker.NotLeader(2, 9)))
		s := r.send(0, "new")
		synctest.Wait()
		remake(r, 1)
		r.client.Refresh()
		time.Sleep(2 * time.Second)
		close(release)
		began := time.Now()
		require.Equal(t, int64(0), s.acked())
		require.Less(t, time.Since(began), 500*time.Millisecond)
		require.EqualValues(t, 0, r.client.Snapshot().Topic("t").Partition(0).LeaderEpoch)
	})
}
