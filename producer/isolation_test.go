package producer_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
)

// These tests do not depend on the machine: time is virtual, so they detect a delay of other brokers to the nanosecond.

// latencies sends to partitions 0, 1 and 2 for some seconds, with a goroutine for each partition. It returns the
// latency of each record in partitions 1 and 2.
func latencies(t *testing.T, c *testbroker.Cluster, p *producer.Producer) [2][]time.Duration {
	var took [2][]time.Duration
	c.On(protocol.Produce).Do(testbroker.DelayAnswer(3 * time.Millisecond))
	var senders sync.WaitGroup
	senders.Go(func() {
		for range 2000 {
			_ = p.Send(t.Context(), to(0, strings.Repeat("x", 1000)), nil)
			time.Sleep(time.Millisecond)
		}
	})
	for i := range took {
		senders.Go(func() {
			time.Sleep(time.Second) // by then partition 0 has used up its share of the buffer
			for n := range 300 {
				began := time.Now()
				_, err := p.Send(t.Context(), to(int32(i+1), strings.Repeat("y", n)), nil).Get(t.Context())
				require.NoError(t, err)
				took[i] = append(took[i], time.Since(began))
				time.Sleep(time.Duration(n%7) * time.Millisecond)
			}
		})
	}
	senders.Wait()
	return took
}

func TestAHangingBrokerCostsPartitionsOfOthersNoTime(t *testing.T) {
	small := func(cfg *producer.Config) { cfg.BufferMemory, cfg.MaxBlock = 64<<10, time.Minute }
	var normal, beside [2][]time.Duration
	for _, hangs := range []bool{false, true} {
		bubble(t, topics(3, 3), func(t *testing.T, c *testbroker.Cluster) {
			p := warm(t, c, 3, small)
			if hangs {
				c.Hang(1)
				beside = latencies(t, c, p)
				c.Unhang(1)
			} else {
				normal = latencies(t, c, p)
			}
			require.NoError(t, p.Flush(t.Context()))
		})
	}
	require.Len(t, normal[0], 300)
	require.Equal(t, normal, beside)
}

func TestAHangingBrokerLeavesOthersHalfOfTheBuffer(t *testing.T) {
	bubble(t, topics(2, 2), func(t *testing.T, c *testbroker.Cluster) {
		const memory = 64 << 10
		p := warm(t, c, 2, func(cfg *producer.Config) {
			cfg.BufferMemory, cfg.MaxBlock, cfg.BatchSize = memory,
				time.Minute, 4096
		})
		c.Hang(1)
		go func() {
			for range 200 {
				p.Send(t.Context(), to(0, strings.Repeat("x", 3000)), nil)
			}
		}()
		synctest.Wait()
		_, held := p.Buffered()
		require.LessOrEqual(t, held, int64(memory/2))
		release := make(chan struct{})
		c.On(protocol.Produce).Broker(2).Do(testbroker.HoldAnswer(release))
		began := time.Now()
		var others []producer.Future
		for range memory / 2 / (4096 + 1024) { // a batch and its description
			others = append(others, p.Send(t.Context(), to(1, strings.Repeat("y", 3000)), nil))
		}
		require.Zero(t, time.Since(began), "half of the buffer is free for them")
		close(release)
		for _, f := range others {
			_, err := f.Get(t.Context())
			require.NoError(t, err)
		}
		c.Unhang(1)
	})
}

// Goroutines send without a pause, and each of three brokers hangs in a different way. Batches for two of them fill the
// whole buffer, so Sends to the fourth broker wait for room too; but its accepted records are sent at once.
func TestRecordsOfSeveralHangingBrokersLeaveByTheDeliveryTimeout(t *testing.T) {
	bubble(t, topics(4, 8), func(t *testing.T, c *testbroker.Cluster) {
		const timeout = 10 * time.Second
		p := warm(t, c, 8, func(cfg *producer.Config) {
			cfg.BufferMemory, cfg.MaxBlock, cfg.BatchSize = 64<<10, time.Minute, 2048
			cfg.RequestTimeout, cfg.DeliveryTimeout = 4*time.Second, timeout
		})
		c.Hang(1)
		c.Mute(2)
		c.Isolate(3)
		c.Disconnect(3)
		ends := time.Now().Add(45 * time.Second)
		var mu sync.Mutex
		told := map[int32]int{}
		var senders sync.WaitGroup
		for part := range int32(8) {
			senders.Go(func() {
				for time.Now().Before(ends) {
					sent := make(chan time.Time, 1)
					p.Send(t.Context(), to(part, strings.Repeat("x", 700)), func(_ producer.RecordMetadata, err error) {
						took := time.Duration(0)
						select {
						case at := <-sent:
							took = time.Since(at)
						default: // Send refused the record
						}
						mu.Lock()
						defer mu.Unlock()
						told[part]++
						switch {
						case part%4 == 3 && (err != nil || took > 10*time.Millisecond):
							t.Errorf("the fourth broker is fine, and a record took %v: %v", took, err)
						case took > timeout:
							t.Errorf("a record of partition %d took %v: %v", part, took, err)
						}
					})
					sent <- time.Now()
					time.Sleep(5 * time.Millisecond)
				}
			})
		}
		senders.Wait()
		require.NoError(t, p.Flush(t.Context()))
		for part := range int32(8) {
			require.NotZero(t, told[part])
		}
		for b := range int32(3) {
			c.Unhang(1 + b)
		}
	})
}

// The broker closes idle connections by its own timeout, and a record may be sent in the same moment.
func TestAConnectionThatTheBrokerClosesFailsNoSendWhileThereAreRetries(t *testing.T) {
	once := func(cfg *producer.Config) { cfg.Retries = 1 }
	scene(t, "while idle", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, once)
		for range 20 {
			time.Sleep(10 * time.Minute)
			c.Disconnect(1)
			_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
			require.NoError(t, err)
		}
		require.Equal(t, 21, c.Records("t"))
	})
	for name, fault := range map[string]testbroker.Action{
		"closed upon the request": testbroker.DropRequest(),
		"reset upon the request":  testbroker.DropRequest().And(testbroker.WithReset()),
		"closed upon the answer":  testbroker.DropAnswer(),
	} {
		scene(t, name, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
			p := warm(t, c, 1, once)
			for i := range 20 {
				time.Sleep(time.Minute)
				c.On(protocol.Produce).Nth(1).Do(fault)
				_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
				require.NoError(t, err, i)
			}
			require.Equal(t, 21, c.Records("t"))
		})
	}
}
