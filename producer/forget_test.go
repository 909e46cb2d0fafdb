package producer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
)

// forgetful makes a producer forget a topic after a minute without use.
func forgetful(cfg *producer.Config) {
	cfg.MetadataMaxIdle, cfg.MetadataMaxAge = time.Minute, 30*time.Second
}

// forgotten is a time after which a forgetful producer has forgotten an unused topic.
const forgotten = 3 * time.Minute

// liveHeap is how many bytes the heap holds after a garbage collection.
func liveHeap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the first one only moves the contents of pools to the second one, which frees them
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

func TestForgottenTopicsLeaveNoMemoryBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := producer.DefaultConfig("b1:9092")
		cfg.Dialer = newCrowd(1, 3).dial
		forgetful(&cfg)
		p, err := producer.New(cfg)
		require.NoError(t, err)
		defer func() { require.NoError(t, p.Close(t.Context())) }()
		use := func(name string) {
			for i := range 3000 {
				p.Send(t.Context(), &producer.Record{Topic: fmt.Sprint(name, i)}, nil)
			}
			require.NoError(t, p.Flush(t.Context()))
		}
		use("warm")
		time.Sleep(forgotten)
		before := liveHeap()
		use("t")
		held := liveHeap() - before
		time.Sleep(forgotten)
		// A reused list may keep a larger capacity.
		require.Less(t, liveHeap()-before, held/4)
	})
}

// identitiesOf returns the producer id, epoch and first sequence of each batch in a partition's logs.
func identitiesOf(c *testbroker.Cluster, topic string, partition int32) (all []string) {
	for _, b := range c.Batches(topic, partition) {
		all = append(all, fmt.Sprintf("%d/%d from %d", b.Header.ProducerID, b.Header.ProducerEpoch,
			b.Header.BaseSequence))
	}
	return all
}

func TestATopicThatComesBackNeverReusesASequence(t *testing.T) {
	two := testbroker.Config{Topics: map[string]int32{"t": 2, "busy": 1}}
	bubble(t, two, func(t *testing.T, c *testbroker.Cluster) {
		p := start(t, c, forgetful)
		busy := func() { sendTo(t, p, "busy") }
		pause := func() {
			for range 6 {
				time.Sleep(forgotten / 6)
				busy()
			}
		}
		for range 3 {
			for i := range int32(2) {
				_, err := p.Send(t.Context(), to(i, "x"), nil).Get(t.Context())
				require.NoError(t, err)
			}
			pause()
		}
		require.Equal(t, []string{"1000/0 from 0", "1000/1 from 0", "1000/2 from 0"}, identitiesOf(c, "t", 0))
		require.Equal(t, []string{"1000/0 from 0", "1000/1 from 0", "1000/2 from 0"}, identitiesOf(c, "t", 1))
		require.Equal(t, "1000/0 from 17", identitiesOf(c, "busy", 0)[17], "a partition in use keeps its identity")
	})
}

// Without a known topic no response would show that the cluster was recreated under its former id.
func TestAfterTheLastTopicIsForgottenTheProducerIDIsNew(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := start(t, c, forgetful)
		for range 2 {
			_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
			require.NoError(t, err)
			time.Sleep(forgotten)
		}
		require.Equal(t, []string{"1000/0 from 0", "1001/0 from 0"}, identitiesOf(c, "t", 0))
	})
}

func TestAfterTheLastEpochATopicThatComesBackGetsANewProducerID(t *testing.T) {
	last := testbroker.Config{Topics: map[string]int32{"t": 1, "busy": 1}, FirstEpoch: 32767}
	bubble(t, last, func(t *testing.T, c *testbroker.Cluster) {
		p := start(t, c, forgetful)
		for range 2 {
			_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
			require.NoError(t, err)
			for range 6 {
				time.Sleep(forgotten / 6)
				sendTo(t, p, "busy")
			}
		}
		require.Equal(t, []string{"1000/32767 from 0", "1001/0 from 0"}, identitiesOf(c, "t", 0))
	})
}

func TestATopicWithUndeliveredRecordsIsNotForgotten(t *testing.T) {
	release := make(chan struct{})
	for name, hold := range map[string]func(t *testing.T, c *testbroker.Cluster, p *producer.Producer){
		"in flight": func(t *testing.T, c *testbroker.Cluster, p *producer.Producer) {
			c.Hang(1)
			p.Send(t.Context(), to(0, "x"), nil)
			time.AfterFunc(10*forgotten, func() { c.Unhang(1) })
		},
		"lingering": func(t *testing.T, c *testbroker.Cluster, p *producer.Producer) {
			p.Send(t.Context(), to(0, "x"), nil)
		},
		"its callback runs": func(t *testing.T, c *testbroker.Cluster, p *producer.Producer) {
			release = make(chan struct{})
			p.Send(t.Context(), to(0, "x"), func(producer.RecordMetadata, error) { <-release })
			time.AfterFunc(10*forgotten, func() { close(release) })
		},
	} {
		scene(t, name, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
			p := warm(t, c, 1, func(cfg *producer.Config) {
				forgetful(cfg)
				cfg.Linger, cfg.RequestTimeout, cfg.DeliveryTimeout = 10*forgotten, 20*forgotten, 40*forgotten
			})
			hold(t, c, p)
			time.Sleep(5 * forgotten)
			p.Send(t.Context(), to(0, "y"), nil)
			require.NoError(t, p.Flush(t.Context()))
			require.Equal(t, []string{"x", "y"}, written(c, 0))
			for _, b := range identitiesOf(c, "t", 0) {
				require.Contains(t, b, "1000/0", "the partition was kept")
			}
		})
	}
}

// The pauses are about as long as the lifetime of an unused topic, so some Sends coincide with the moment of
// forgetting.
func TestSendsWhileTheirTopicIsForgottenLoseNothing(t *testing.T) {
	const senders, records = 4, 100
	for name, send := range map[string]func(*producer.Producer, context.Context, *producer.Record) producer.Future{
		"Send": func(p *producer.Producer, ctx context.Context, r *producer.Record) producer.Future {
			return p.Send(ctx, r, nil)
		},
		"SendAll": func(p *producer.Producer, ctx context.Context, r *producer.Record) producer.Future {
			return p.SendAll(ctx, []producer.Record{*r})[0]
		},
	} {
		scene(t, name, topics(2, senders), func(t *testing.T, c *testbroker.Cluster) {
			p := start(t, c, func(cfg *producer.Config) {
				cfg.MetadataMaxIdle, cfg.MetadataMaxAge, cfg.Linger = 5*time.Second, 50*time.Millisecond, 0
			})
			var wg sync.WaitGroup
			for n := range int32(senders) {
				wg.Go(func() {
					for i := range records {
						_, err := send(p, t.Context(), to(n, fmt.Sprint(i))).Get(t.Context())
						require.NoError(t, err)
						time.Sleep(rand.N(20 * time.Second))
					}
				})
			}
			wg.Wait()
			require.NoError(t, p.Flush(t.Context()))
			var want []string
			for i := range records {
				want = append(want, fmt.Sprint(i))
			}
			for n := range int32(senders) {
				require.Equal(t, want, written(c, n))
			}
			require.Greater(t, len(c.RequestsOf(protocol.InitProducerID)), 3, "the topic was forgotten")
		})
	}
}

func TestATopicThatWasDeletedAndCreatedWhileItWasForgottenIsWritten(t *testing.T) {
	bubble(t, testbroker.Config{Topics: map[string]int32{"t": 1, "busy": 1}},
		func(t *testing.T, c *testbroker.Cluster) {
			p := start(t, c, forgetful)
			_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
			require.NoError(t, err)
			for range 6 {
				time.Sleep(forgotten / 6)
				sendTo(t, p, "busy")
			}
			c.DeleteTopic("t")
			c.CreateTopic("t", 1)
			began := time.Now()
			md, err := p.Send(t.Context(), to(0, "y"), nil).Get(t.Context())
			require.NoError(t, err)
			require.Zero(t, md.Offset)
			require.Less(t, time.Since(began), time.Second)
			require.Len(t, c.RequestsOf(protocol.InitProducerID), 1)
		})
}
