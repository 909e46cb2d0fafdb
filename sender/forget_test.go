package sender

import (
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// For a partition without anything to send, for any reason, the client must neither dial a broker nor request metadata.
func TestNobodyDialsABrokerForPartitionsThatHaveNothingToSend(t *testing.T) {
	const partitions = 40 // as many chances for the orders of goroutines
	for _, c := range []struct {
		reason string
		happen func(r *rig, all []sent)
	}{
		{"their records expire", func(_ *rig, all []sent) {
			for _, s := range all {
				_ = s.failed(false)
			}
		}},
		{"their records are canceled", func(r *rig, all []sent) {
			for _, s := range all {
				if !s.result.Cancel(s.index) { // it was on its way once
					_, err := s.get()
					require.Error(r.t, err)
				}
			}
		}},
		{"they are forgotten", func(r *rig, all []sent) {
			for _, s := range all {
				_ = s.failed(false)
			}
			synctest.Wait()
			require.True(r.t, r.s.acc.Forget("t"))
		}},
		{"they move away", func(r *rig, all []sent) {
			for p := range int32(partitions) {
				r.c.MoveLeader("t", p, 2)
			}
			for _, s := range all {
				s.acked()
			}
		}},
		{"they are refused", func(r *rig, all []sent) {
			r.s.mu.Lock()
			parts := r.s.allPartitionsLocked()
			r.s.mu.Unlock()
			for _, p := range parts {
				p.refuse(&record.Error{Err: errors.New("refused")})
			}
			for _, s := range all {
				_, err := s.get()
				require.Error(r.t, err)
			}
		}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			onRig(t, topicT(2, partitions), func(c *Config) { c.DeliveryTimeout = 20 * time.Second }, func(r *rig) {
				r.send(0, "warm").acked()
				var dials atomic.Int64
				r.c.Serve(r.c.Address(1), func(nc net.Conn) {
					dials.Add(1)
					_ = nc.Close()
				})
				r.c.Disconnect(1)
				var all []sent
				for p := range int32(partitions / 2) {
					all = append(all, r.send(2*p, "x"))
				}
				time.Sleep(5 * time.Second)
				require.NotZero(t, dials.Load())
				c.happen(r, all)
				time.Sleep(5 * time.Second) // one more dial may be due
				before, requests := dials.Load(), len(r.c.RequestsOf(protocol.Metadata))
				time.Sleep(2 * time.Minute)
				require.Equal(t, before, dials.Load())
				require.LessOrEqual(t, len(r.c.RequestsOf(protocol.Metadata)), requests+1, "metadata.max.age.ms")
				for id, b := range r.s.brokers {
					b.mu.Lock()
					require.Zero(t, b.ready.Len(), "broker %d", id)
					b.mu.Unlock()
				}
			})
		})
	}
}

func TestForgottenPartitionsDoNotWaitForAnIdentity(t *testing.T) {
	onRig(t, topicT(1, 50), func(c *Config) { c.DeliveryTimeout = 20 * time.Second }, func(r *rig) {
		r.c.On(protocol.InitProducerID).Do(testbroker.Fail(protocol.CoordinatorLoadInProgress))
		for range 5 {
			var all []sent
			for p := range int32(50) {
				all = append(all, r.send(p, "x"))
			}
			for _, s := range all {
				_ = s.failed(false)
			}
			time.Sleep(time.Second)
			require.True(t, r.s.acc.Forget("t"))
		}
		r.s.ids.mu.Lock()
		defer r.s.ids.mu.Unlock()
		require.Empty(t, r.s.ids.waiting)
	})
}

func TestAnIdentityThatComesAfterTheLastPartitionIsNotUsed(t *testing.T) {
	onRig(t, topicT(1, 1), func(c *Config) { c.DeliveryTimeout, c.RequestTimeout = 10*time.Second, time.Minute },
		func(r *rig) {
			release := make(chan struct{})
			r.c.On(protocol.InitProducerID).Nth(1).Do(testbroker.Hold(release))
			_ = r.send(0, "x").failed(false)
			time.Sleep(time.Second)
			require.True(t, r.s.acc.Forget("t"))
			again := r.send(0, "y")
			synctest.Wait()
			close(release)
			again.acked()
			require.Len(t, r.c.RequestsOf(protocol.InitProducerID), 2)
			require.EqualValues(t, 1001, r.c.Batches("t", 0)[0].Header.ProducerID)
		})
}

func TestADeniedTopicThatIsAllowedAgainIsRequestedSoon(t *testing.T) {
	onRig(t, topicT(1, 1), nil, func(r *rig) {
		r.send(0, "warm").acked()
		r.c.Deny("t")
		r.client.Refresh()
		time.Sleep(time.Second)
		synctest.Wait()
		s := r.send(0, "x")
		time.Sleep(300 * time.Millisecond)
		r.c.Allow("t")
		began := time.Now()
		s.acked()
		require.Less(t, time.Since(began), 3*time.Second)
	})
}
