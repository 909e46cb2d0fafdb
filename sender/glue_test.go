package sender

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/accumulator"
	"github.com/gosamsa/samsa/compress"
	"github.com/gosamsa/samsa/internal/cluster"
	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/internal/transport"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// rig is a sender on a cluster in virtual time, with the modern defaults and no linger.
type rig struct {
	t      *testing.T
	c      *testbroker.Cluster
	client *cluster.Client
	s      *Sender
	ctx    context.Context
}

// onRig runs f with a sender that knows the topic t.
func onRig(t *testing.T, brokers testbroker.Config, change func(*Config), f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, c: testbroker.New(t, brokers), ctx: t.Context()}
		options := &transport.Options{
			Dialer: r.c.Dial, ClientID: "test", SoftwareName: "samsa", SoftwareVersion: "0",
			RequestTimeout: 30 * time.Second, SetupTimeout: 10 * time.Second, MaxIdle: 9 * time.Minute,
		}
		cfg := Config{
			Transport: options, Accumulator: accumulator.Config{BatchSize: 16384, MaxRequestSize: 1 << 20,
				Memory: 32 << 20},
			Acks: -1, Idempotent: true, MaxInFlight: 5, MaxRequestSize: 1 << 20, Retries: 1<<31 - 1,
			RetryBackoff: 100 * time.Millisecond, RetryBackoffMax: time.Second, ReconnectBackoff: 50 * time.Millisecond,
			ReconnectBackoffMax: time.Second,
			SetupTimeoutMax:     30 * time.Second, RequestTimeout: 30 * time.Second, DeliveryTimeout: 2 * time.Minute,
			Workers: 2,
		}
		if change != nil {
			change(&cfg)
		}
		r.client = cluster.New(cluster.Config{
			Bootstrap: r.c.Bootstrap(), Transport: options, RetryBackoff: cfg.RetryBackoff,
			RetryBackoffMax:  cfg.RetryBackoffMax,
			ReconnectBackoff: cfg.ReconnectBackoff, ReconnectBackoffMax: cfg.ReconnectBackoffMax,
			RequestTimeout: cfg.RequestTimeout, Rebootstrap: true,
			RebootstrapTrigger: 5 * time.Minute, MaxAge: 5 * time.Minute, MaxIdle: 5 * time.Minute,
			SetupTimeoutMax: cfg.SetupTimeoutMax,
		})
		cfg.Cluster = r.client
		r.s = New(cfg)
		defer func() {
			r.s.Abort(record.ErrClosed)
			r.s.Stop()
			r.client.Close()
		}()
		_, err := r.client.Topic(r.ctx, "t")
		require.NoError(t, err)
		f(r)
	})
}

// topicT is a cluster with this number of partitions in topic t.
func topicT(brokers int, partitions int32) testbroker.Config {
	return testbroker.Config{Brokers: brokers, Topics: map[string]int32{"t": partitions}}
}

// sent is a record on its way.
type sent struct {
	r      *rig
	result *accumulator.Result
	index  int32
}

func (r *rig) part(n int32) *accumulator.Partition { return r.s.Accumulator().Topic("t").Partition(n) }

// send appends a record; its key is its value.
func (r *rig) send(partition int32, value string) sent {
	r.t.Helper()
	return r.append(partition, &record.Record{Topic: "t", Key: []byte(value), Value: []byte(value)})
}

func (r *rig) append(partition int32, rec *record.Record) sent {
	r.t.Helper()
	var a accumulator.AppendResult
	r.part(partition).Append(rec, accumulator.Callback{}, nil, &a)
	require.Nil(r.t, a.Err)
	require.Zero(r.t, a.Shortfall)
	return sent{r, a.Result, a.Index}
}

func (s sent) get() (record.RecordMetadata, error) { return s.result.Wait(s.r.ctx, s.index) }

// acked requires the record's acknowledgement and returns its offset.
func (s sent) acked() int64 {
	s.r.t.Helper()
	m, err := s.get()
	require.NoError(s.r.t, err)
	return m.Offset
}

// failed requires that the record failed, with this fate.
func (s sent) failed(maybe bool) *record.Error {
	s.r.t.Helper()
	_, err := s.get()
	var failure *record.Error
	require.ErrorAs(s.r.t, err, &failure)
	require.Equal(s.r.t, maybe, record.FateOf(failure) == record.FateMaybeWritten, err.Error())
	return failure
}

// values are the values in a partition's log.
func (r *rig) values(partition int32) (values []string) {
	for _, rec := range r.c.Log("t", partition) {
		values = append(values, string(rec.Value))
	}
	return values
}

// numbered are n values with their numbers, as long as the filler makes them.
func numbered(n int, filler string) (values []string) {
	for i := range n {
		values = append(values, fmt.Sprintf("%04d%s", i, filler))
	}
	return values
}

func TestARetrySendsTheVerySameBytes(t *testing.T) {
	gzip := func(c *Config) {
		var err error
		c.Accumulator.Compressor, err = compress.NewCompressor(compress.Gzip, -1)
		require.NoError(t, err)
	}
	plain := func(c *Config) { c.Idempotent, c.MaxInFlight = false, 1 }
	for name, change := range map[string]func(*Config){"idempotent": nil, "plain": plain, "compressed": gzip} {
		for what, fault := range map[string]testbroker.Action{
			"refused":            testbroker.Fail(protocol.NotEnoughReplicas),
			"written or not":     testbroker.Fail(protocol.NotEnoughReplicasAfterAppend),
			"not the leader":     testbroker.Fail(protocol.NotLeaderOrFollower),
			"connection closed":  testbroker.DropRequest(),
			"connection reset":   testbroker.DropRequest().And(testbroker.WithReset()),
			"request timeout":    testbroker.SwallowAnswer(),
			"answer is nonsense": testbroker.WrongCorrelationID(),
		} {
			t.Run(name+", "+what, func(t *testing.T) {
				onRig(t, topicT(1, 1), change, func(r *rig) {
					r.c.On(protocol.Produce).Nth(1).Do(fault)
					var all []sent
					for _, v := range numbered(20, "") {
						all = append(all, r.send(0, v))
					}
					for _, s := range all {
						s.acked()
					}
					requests := r.c.Produces()
					require.GreaterOrEqual(t, len(requests), 2)
					require.True(t, bytes.Equal(requests[0].Parts[0].Raw, requests[1].Parts[0].Raw))
				})
			})
		}
	}
}

// TestUnderANewIdentityOnlyItsFieldsChange: the broker has forgotten the producer, so the batch was not written.
func TestUnderANewIdentityOnlyItsFieldsChange(t *testing.T) {
	onRig(t, topicT(1, 1), nil, func(r *rig) {
		require.Equal(t, int64(0), r.send(0, "first").acked())
		r.c.On(protocol.Produce).Nth(1).Do(testbroker.Fail(protocol.UnknownProducerID))
		require.Equal(t, int64(1), r.send(0, "second").acked())
		requests := r.c.Produces()
		require.Len(t, requests, 3)
		before, after := bytes.Clone(requests[1].Parts[0].Raw), requests[2].Parts[0].Raw
		require.Equal(t, int32(1), requests[1].Parts[0].Batch.Header.BaseSequence)
		h := requests[2].Parts[0].Batch.Header
		require.Equal(t, int16(1), h.ProducerEpoch)
		require.Equal(t, int32(0), h.BaseSequence)
		record.SetProducer(before, h.ProducerID, h.ProducerEpoch, h.BaseSequence)
		record.SetChecksum(before)
		require.Equal(t, before, after)
	})
}

func TestAHintLeadsToTheNewLeaderAtOnce(t *testing.T) {
	onRig(t, topicT(2, 1), nil, func(r *rig) {
		r.send(0, "warm").acked()
		r.c.FreezeMetadata()
		r.c.MoveLeader("t", 0, 2)
		began := time.Now()
		require.Equal(t, int64(1), r.send(0, "moved").acked())
		require.Zero(t, time.Since(began))
		requests := r.c.Produces()
		require.Equal(t, int32(2), requests[len(requests)-1].Broker)
	})
}

func TestWithoutAHintTheMetadataTells(t *testing.T) {
	brokers := topicT(2, 1)
	brokers.Versions = testbroker.KafkaVersions("3.3")
	onRig(t, brokers, nil, func(r *rig) {
		r.send(0, "warm").acked()
		r.c.MoveLeader("t", 0, 2)
		began := time.Now()
		r.send(0, "moved").acked()
		require.Less(t, time.Since(began), 500*time.Millisecond)
	})
}

// TestAPartitionLeavesTheQueueOfADeadBroker: its former leader is unreachable, and a place in its queue waits long.
func TestAPartitionLeavesTheQueueOfADeadBroker(t *testing.T) {
	onRig(t, topicT(2, 2), nil, func(r *rig) {
		r.send(1, "warm").acked() // partition 1 is led by broker 2
		r.c.Isolate(1)
		began := time.Now()
		s := r.send(0, "stuck")
		synctest.Wait()
		r.c.MoveLeader("t", 0, 2)
		r.client.Refresh()
		s.acked()
		require.Less(t, time.Since(began), 5*time.Second, "the dial to the dead broker takes twice as long")
		r.c.Unhang(1)
	})
}

// TestADeadBrokerHoldsUpNoOther: one broker hangs with a request, and records for the other are delivered. After the
// leader of a partition has moved away and back, its former place in the queue is void: with two places it would come
// twice into one request, and the second time ends the request.
func TestAPartitionHasOnePlaceInAQueueThoughItsLeaderMovesAwayAndBack(t *testing.T) {
	onRig(t, topicT(2, 6), func(c *Config) { c.MaxInFlight = 2 }, func(r *rig) {
		for _, n := range []int32{0, 2, 4} { // led by broker 1
			r.send(n, "first").acked()
		}
		release := make(chan struct{})
		r.c.On(protocol.Produce).Broker(1).Times(2).Do(testbroker.Hold(release))
		r.c.On(protocol.Produce).Broker(2).Do(testbroker.Fail(protocol.NotLeaderOrFollower))
		var all []sent
		for range 2 {
			all = append(all, r.send(0, "busy")) // broker 1 gets no further request now
			synctest.Wait()
		}
		begun := len(r.c.Produces())
		for range 2 {
			all = append(all, r.send(2, strings.Repeat("a batch of its own ", 800)))
		}
		r.c.Isolate(2)
		for _, leader := range []int32{2, 1} {
			synctest.Wait()
			r.c.MoveLeader("t", 2, leader)
			r.client.Refresh()
			time.Sleep(2 * time.Second)
		}
		all = append(all, r.send(4, "neighbour"))
		synctest.Wait()
		close(release)
		for _, s := range all {
			s.acked()
		}
		parts := len(r.c.Produces()[begun].Parts)
		require.Equal(t, 2, parts, "the wanderer and its neighbour go in one request")
		r.c.Unhang(2)
	})
}

func TestADeadBrokerHoldsUpNoOther(t *testing.T) {
	onRig(t, topicT(2, 2), nil, func(r *rig) {
		r.send(0, "warm").acked()
		r.send(1, "warm").acked()
		r.c.Hang(1)
		stuck := r.send(0, "stuck")
		began := time.Now()
		for _, v := range numbered(100, "") {
			r.send(1, v).acked()
		}
		require.Zero(t, time.Since(began))
		r.c.Unhang(1)
		stuck.acked()
	})
}

// If a leader hangs and is replaced, its unanswered batches are sent to the new one at once: not when its requests time
// out. The late answers of the old one are about attempts without meaning.
func TestAReplacedHangingLeaderHoldsUpNothing(t *testing.T) {
	onRig(t, topicT(2, 2), nil, func(r *rig) {
		r.send(0, "warm").acked()
		r.send(1, "warm").acked()
		r.c.Hang(1)
		began := time.Now()
		var all []sent
		for _, v := range numbered(5, strings.Repeat(" and more", 2000)) { // a batch each
			all = append(all, r.send(0, v))
		}
		time.Sleep(3 * time.Second)
		r.c.MoveLeader("t", 0, 2)
		for i, s := range all {
			require.Equal(t, int64(i+1), s.acked())
		}
		require.Less(t, time.Since(began), 8*time.Second, "request.timeout.ms is 30 s")
		r.c.Unhang(1)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, int64(6), r.send(0, "last").acked())
		require.Len(t, r.values(0), 7)
	})
}

// A batch of unknown fate at the new leader is settled by the new leader's answer, though the old one took it.
func TestAHangingLeaderWithABatchHoldsUpNothing(t *testing.T) {
	onRig(t, topicT(2, 1), nil, func(r *rig) {
		r.send(0, "warm").acked()
		r.c.On(protocol.Produce).Broker(1).Nth(1).Do(testbroker.SwallowAnswer())
		began := time.Now()
		s := r.send(0, "taken")
		synctest.Wait()
		r.c.MoveLeader("t", 0, 2)
		require.Equal(t, int64(1), s.acked(), "a duplicate, of which the new leader knows the offset")
		require.Less(t, time.Since(began), 3*time.Second)
		require.Equal(t, []string{"warm", "taken"}, r.values(0))
		require.Equal(t, int64(2), r.send(0, "next").acked())
	})
}

// The bytes of an unfinished write do not change: a batch with another sequence waits for its end.
func TestABatchIsNotNumberedAnewWhileAFormerLeadersConnectionWritesIt(t *testing.T) {
	const requestTimeout = 10 * time.Second
	onRig(t, topicT(2, 1), func(c *Config) { c.RequestTimeout = requestTimeout }, func(r *rig) {
		for _, v := range []string{"kept", "truncated"} {
			r.send(0, v).acked()
		}
		r.c.Hang(1)
		began := time.Now()
		large := r.append(0, &record.Record{Topic: "t", Value: []byte(strings.Repeat("large ", 100_000))})
		time.Sleep(2 * time.Second)
		p := r.part(0).Drainer().(*partition)
		p.mu.Lock()
		require.True(t, p.delivery.Window()[0].Owner().(*outBatch).batch.Retained(), "the socket is full")
		p.mu.Unlock()
		// The new leader lacks the batch before it. The sequence out of order proves that the batch was not written, so
		// it is sent under the next epoch.
		r.c.TruncateLog("t", 0, 1)
		r.c.MoveLeader("t", 0, 2)
		large.acked()
		require.GreaterOrEqual(t, time.Since(began), requestTimeout)
		require.Less(t, time.Since(began), requestTimeout+time.Second)
		require.Len(t, r.values(0), 2)
		r.c.Unhang(1)
	})
}

func TestAHangingLeaderThatIsReplacedLosesNothing(t *testing.T) {
	onRig(t, topicT(2, 1), nil, func(r *rig) {
		r.send(0, "warm").acked()
		r.c.Hang(1)
		var all []sent
		for _, v := range numbered(10, "") {
			all = append(all, r.send(0, v))
		}
		synctest.Wait()
		r.c.MoveLeader("t", 0, 2)
		for i, s := range all {
			require.Equal(t, int64(i+1), s.acked())
		}
		require.Equal(t, append([]string{"warm"}, numbered(10, "")...), r.values(0))
		r.c.Unhang(1)
	})
}

func TestARequestHasOneBatchOfAPartition(t *testing.T) {
	for _, idempotent := range []bool{true, false} {
		onRig(t, topicT(1, 3), func(c *Config) { c.Accumulator.BatchSize, c.Idempotent = 200, idempotent },
			func(r *rig) {
				release := make(chan struct{})
				r.c.On(protocol.Produce).Nth(1).Do(testbroker.Hold(release))
				var all []sent
				for _, v := range numbered(60, strings.Repeat("x", 50)) {
					for p := range int32(3) {
						all = append(all, r.send(p, v))
					}
				}
				synctest.Wait()
				close(release)
				for _, s := range all {
					s.acked()
				}
				several := 0
				for _, q := range r.c.Produces() {
					seen := map[int32]bool{}
					for _, part := range q.Parts {
						require.False(t, seen[part.Partition], "two batches of a partition in one request")
						seen[part.Partition] = true
					}
					if len(q.Parts) > 1 {
						several++
					}
				}
				require.NotZero(t, several, "partitions share requests")
				for p := range int32(3) {
					require.Equal(t, numbered(60, strings.Repeat("x", 50)), r.values(p))
				}
			})
	}
}

func TestCompressionBySeveralWorkersKeepsTheOrder(t *testing.T) {
	for _, codec := range []compress.Codec{compress.Gzip, compress.Zstd} {
		onRig(t, topicT(1, 2), func(c *Config) {
			var err error
			c.Accumulator.Compressor, err = compress.NewCompressor(codec, codec.DefaultLevel())
			require.NoError(t, err)
			c.Workers = 4
		}, func(r *rig) {
			var all []sent
			// Batches with a slow compression stand before some without.
			values := append(numbered(40, strings.Repeat("slow to compress ", 800)), numbered(400, "")...)
			for _, v := range values {
				all = append(all, r.send(0, v), r.send(1, v))
			}
			for _, s := range all {
				s.acked()
			}
			require.Equal(t, values, r.values(0))
			require.Equal(t, values, r.values(1))
			require.Greater(t, len(r.c.Batches("t", 0)), 2)
		})
	}
}

func TestABatchThatIsTooLargeIsSplit(t *testing.T) {
	for _, idempotent := range []bool{true, false} {
		t.Run(fmt.Sprintf("idempotent=%v", idempotent), func(t *testing.T) {
			brokers := topicT(1, 1)
			brokers.Settings = map[string]testbroker.TopicSettings{"t": {MessageMaxBytes: 1000}}
			onRig(t, brokers, func(c *Config) {
				c.Accumulator.Linger, c.Idempotent, c.Retries = 10*time.Millisecond, idempotent, 1
				if !idempotent {
					c.MaxInFlight = 1
				}
			}, func(r *rig) {
				var all []sent
				values := numbered(100, strings.Repeat("y", 60))
				for i, v := range values {
					if i == 50 {
						all = append(all, r.send(0, strings.Repeat("z", 1500)))
						continue
					}
					all = append(all, r.send(0, v))
				}
				var offset int64
				for i, s := range all {
					if i == 50 {
						require.ErrorIs(t, s.failed(false), &protocol.Error{Code: protocol.MessageTooLarge})
						continue
					}
					require.Equal(t, offset, s.acked(), i)
					offset++
				}
				require.Equal(t, append(values[:50:50], values[51:]...), r.values(0))
			})
		})
	}
}

// TestBlamedRecordsFailAndTheOthersGoAgain: the topic is compacted, and takes no records without a key.
func TestBlamedRecordsFailAndTheOthersGoAgain(t *testing.T) {
	for _, idempotent := range []bool{true, false} {
		t.Run(fmt.Sprintf("idempotent=%v", idempotent), func(t *testing.T) {
			brokers := topicT(1, 1)
			brokers.Settings = map[string]testbroker.TopicSettings{"t": {Compacted: true}}
			onRig(t, brokers, func(c *Config) {
				c.Accumulator.Linger, c.Accumulator.BatchSize, c.Idempotent = 10*time.Millisecond, 500, idempotent
				if !idempotent {
					c.MaxInFlight = 1
				}
			}, func(r *rig) {
				var all []sent
				var right []string
				for i, v := range numbered(50, strings.Repeat("k", 20)) {
					rec := &record.Record{Topic: "t", Key: []byte("key"), Value: []byte(v)}
					if i%7 == 3 {
						rec.Key = nil
					} else {
						right = append(right, v)
					}
					all = append(all, r.append(0, rec))
				}
				var offset int64
				for i, s := range all {
					if i%7 == 3 {
						require.ErrorIs(t, s.failed(false), &protocol.Error{Code: protocol.InvalidRecord})
						continue
					}
					require.Equal(t, offset, s.acked())
					offset++
				}
				require.Equal(t, right, r.values(0))
			})
		})
	}
}

func withoutAcks(c *Config) { c.Acks, c.Idempotent = 0, false }

func TestWithoutAcksARecordIsSettledByTheWrite(t *testing.T) {
	onRig(t, topicT(1, 1), withoutAcks, func(r *rig) {
		for _, v := range numbered(20, "") {
			require.Equal(t, int64(-1), r.send(0, v).acked())
		}
		r.c.WaitRecords(r.ctx, "t", 20)
		require.Equal(t, numbered(20, ""), r.values(0))
	})
}

func TestWithoutAcksAWriteThatFailsPartWayIsMaybeWritten(t *testing.T) {
	onRig(t, topicT(1, 1), withoutAcks, func(r *rig) {
		r.send(0, "warm").acked()
		r.c.Hang(1)
		began := time.Now()
		s := r.send(0, strings.Repeat("x", 600_000)) // more than a socket's buffers hold
		synctest.Wait()
		r.c.Disconnect(1)
		require.ErrorIs(t, s.failed(true), record.ErrDisconnected)
		require.Zero(t, time.Since(began))
		r.c.Unhang(1)
	})
}

func TestWithoutAcksABrokerThatDoesNotReadIsBoundedByTheRequestTimeout(t *testing.T) {
	onRig(t, topicT(1, 1), withoutAcks, func(r *rig) {
		r.send(0, "warm").acked()
		r.c.Hang(1)
		began := time.Now()
		s := r.send(0, strings.Repeat("x", 600_000))
		_ = s.failed(true)
		require.Equal(t, 30*time.Second, time.Since(began))
		r.c.Unhang(1)
	})
}

// TestWithoutAcksAClosedConnectionRefreshesTheMetadata: closing is a broker's only answer to a refused request.
func TestWithoutAcksAClosedConnectionRefreshesTheMetadata(t *testing.T) {
	onRig(t, topicT(2, 1), withoutAcks, func(r *rig) {
		r.send(0, "warm").acked()
		r.c.WaitRecords(r.ctx, "t", 1)
		r.c.MoveLeader("t", 0, 2)
		before := len(r.c.RequestsOf(protocol.Metadata))
		r.send(0, "lost").acked() // the broker closes the connection upon it
		r.c.WaitRequests(r.ctx, protocol.Metadata, before+1)
		synctest.Wait()
		r.send(0, "found").acked()
		r.c.WaitRecords(r.ctx, "t", 2)
		require.Equal(t, []string{"warm", "found"}, r.values(0))
	})
}
