package sender

import (
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
)

// The client must not dial a broker for partitions that have nothing to send.
func TestAPartitionWithNothingToSendLeavesTheReadyQueue(t *testing.T) {
	for _, forgets := range []bool{true, false} {
		t.Run(fmt.Sprint("forgotten ", forgets), func(t *testing.T) {
			onRig(t, topicT(2, 2), func(c *Config) { c.DeliveryTimeout = 20 * time.Second }, func(r *rig) {
				r.send(0, "warm").acked()
				r.c.Serve(r.c.Address(1), func(nc net.Conn) { _ = nc.Close() })
				r.c.Disconnect(1)
				_ = r.send(0, "expires").failed(false)
				time.Sleep(time.Minute)
				b := r.s.brokers[1]
				if forgets {
					require.True(t, r.s.acc.Forget("t"))
				}
				time.Sleep(time.Minute)
				b.mu.Lock()
				defer b.mu.Unlock()
				require.Zero(t, b.ready.Len())
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
	onRig(t, topicT(1, 1), func(c *Config) { c.DeliveryTimeout, c.RequestTimeout = 10*time.Second, time.Minute }, func(r *rig) {
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
