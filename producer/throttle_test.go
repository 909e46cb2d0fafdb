package producer_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
)

// dialLog notes when each connection to the cluster was made and closed by the producer.
type dialLog struct {
	mu     sync.Mutex
	opened []time.Time
	closed []time.Time
}

type loggedConn struct {
	net.Conn
	log  *dialLog
	once sync.Once
}

// WriteBuffer lets the producer send on the caller's goroutine.
func (c *loggedConn) WriteBuffer() int { return c.Conn.(interface{ WriteBuffer() int }).WriteBuffer() }

func (c *loggedConn) Close() error {
	c.once.Do(func() {
		c.log.mu.Lock()
		c.log.closed = append(c.log.closed, time.Now())
		c.log.mu.Unlock()
	})
	return c.Conn.Close()
}

// dial is a dialer of the cluster that notes its calls.
func (l *dialLog) dial(c *testbroker.Cluster) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := c.Dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.opened = append(l.opened, time.Now())
		return &loggedConn{Conn: nc, log: l}, nil
	}
}

func (l *dialLog) counts() (opened, closed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.opened), len(l.closed)
}

// closedAfter tells how long after began the connections were closed.
func (l *dialLog) closedAfter(began time.Time) (after []time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, at := range l.closed {
		after = append(after, at.Sub(began))
	}
	return after
}

// ackedByTheLeader sets acks=1 without idempotence: so every needless retry becomes a duplicate.
func ackedByTheLeader(cfg *producer.Config) {
	cfg.Acks, cfg.EnableIdempotence = producer.AcksLeader, false
}

// alone makes every record a request of its own.
func alone(cfg *producer.Config) { cfg.BatchSize, cfg.Linger, cfg.MaxInFlight = 0, 0, 5 }

func TestAThrottleLongerThanTheRequestTimeout(t *testing.T) {
	for name, change := range map[string]func(*producer.Config){"acks=1": ackedByTheLeader,
		"idempotent": func(*producer.Config) {}} {
		scene(t, name, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
			var dials dialLog
			p := warm(t, c, 1, func(cfg *producer.Config) {
				alone(cfg)
				change(cfg)
				cfg.Dialer = dials.dial(c)
			})
			before, _ := dials.counts()
			metadata := len(c.RequestsOf(protocol.Metadata))
			c.On(protocol.Produce).Times(3).Do(testbroker.Throttle(35 * time.Second))
			began := time.Now()
			var want []string
			var futures []producer.Future
			for i := range 7 {
				want = append(want, fmt.Sprint(i))
				futures = append(futures, p.Send(t.Context(), to(0, want[i]), nil))
			}
			for i, f := range futures {
				md, err := f.Get(t.Context())
				require.NoError(t, err)
				require.Equal(t, int64(1+i), md.Offset)
			}
			require.Equal(t, 105*time.Second, time.Since(began), "the throttle is bypassed, or waited for twice")
			require.Equal(t, want, written(c, 0), "a record is in the log twice, or out of order")
			require.Len(t, c.Produces(), 1+7, "a request was repeated")
			after, closed := dials.counts()
			require.Equal(t, before, after)
			require.Zero(t, closed, "a throttled connection was cut")
			require.Len(t, c.RequestsOf(protocol.Metadata), metadata, "a throttled broker was taken for a silent one")
		})
	}
}

// The goroutine in Get reads the throttling response while other requests are in flight.
func TestAThrottleLongerThanTheRequestTimeoutOfAwaitedRecords(t *testing.T) {
	bubble(t, topics(1, 4), func(t *testing.T, c *testbroker.Cluster) {
		var dials dialLog
		p := warm(t, c, 4, func(cfg *producer.Config) {
			ackedByTheLeader(cfg)
			cfg.Dialer = dials.dial(c)
		})
		before, _ := dials.counts()
		// A slow broker gets each request as soon as it is ready.
		slow := testbroker.DelayAnswer(10 * time.Millisecond)
		mute := testbroker.Throttle(35 * time.Second).And(slow)
		c.On(protocol.Produce).InTurn(slow, mute, mute, mute)
		_, err := p.Send(t.Context(), to(0, "warm"), nil).Get(t.Context())
		require.NoError(t, err)
		var running sync.WaitGroup
		for partition := range int32(4) {
			running.Go(func() {
				for i := range 3 {
					_, err := p.Send(t.Context(), to(partition, fmt.Sprint(i)), nil).Get(t.Context())
					assert.NoError(t, err)
				}
			})
		}
		running.Wait()
		for partition := range int32(4) {
			require.Equal(t, []string{"0", "1", "2"}, written(c, partition))
		}
		after, closed := dials.counts()
		require.Equal(t, before, after)
		require.Zero(t, closed)
	})
}

// A goroutine waits for one record after the other, and the broker throttles each response. The client waits in
// between, and keeps its connections.
func TestEachAwaitedRecordIsThrottled(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, ackedByTheLeader)
		c.On(protocol.Produce).Do(testbroker.Throttle(35 * time.Second))
		began := time.Now()
		for i := range 4 {
			_, err := p.Send(t.Context(), to(0, fmt.Sprint(i)), nil).Get(t.Context())
			require.NoError(t, err)
			require.Equal(t, time.Duration(i)*35*time.Second, time.Since(began))
		}
		require.Len(t, c.Produces(), 5)
	})
}

// A broker that throttles for ever holds a connection no longer than delivery.timeout.ms and request.timeout.ms.
func TestAThrottleIsBoundedByTheDeliveryTimeout(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		var dials dialLog
		p := warm(t, c, 1, func(cfg *producer.Config) {
			alone(cfg)
			ackedByTheLeader(cfg)
			cfg.RequestTimeout, cfg.DeliveryTimeout = 10*time.Second, 40*time.Second
			cfg.Dialer = dials.dial(c)
		})
		both := make(chan struct{})
		c.On(protocol.Produce).Nth(1).Do(testbroker.Hold(both).And(testbroker.Throttle(time.Hour)))
		began := time.Now()
		first, second := p.Send(t.Context(), to(0, "first"), nil), p.Send(t.Context(), to(0, "second"), nil)
		synctest.Wait()
		close(both) // both are in flight
		_, err := first.Get(t.Context())
		require.NoError(t, err)
		_, err = second.Get(t.Context())
		require.ErrorIs(t, err, producer.ErrDeliveryTimeout)
		require.True(t, producer.MaybeWritten(err))
		require.Equal(t, 40*time.Second, time.Since(began))
		_, closed := dials.counts()
		require.Zero(t, closed)
		time.Sleep(11 * time.Second)
		require.Equal(t, []time.Duration{50 * time.Second}, dials.closedAfter(began))
		_, err = p.Send(t.Context(), to(0, "third"), nil).Get(t.Context())
		require.NoError(t, err)
	})
}

// Before version 6 of Produce the broker waits before it responds.
func TestAnOldBrokersThrottleCostsOneWait(t *testing.T) {
	cfg := topics(1, 1)
	cfg.Versions = testbroker.KafkaVersions("1.0")
	bubble(t, cfg, func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		c.On(protocol.Produce).Do(testbroker.Throttle(time.Second))
		began := time.Now()
		for i := range 5 {
			_, err := p.Send(t.Context(), to(0, fmt.Sprint(i)), nil).Get(t.Context())
			require.NoError(t, err)
		}
		require.Equal(t, 5*time.Second, time.Since(began))
	})
}

// The request for a producer id follows a throttled Metadata response over the same connection. The broker mutes this
// connection for more than twice request.timeout.ms.
func TestAThrottledMetadataConnectionIsKept(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		var dials dialLog
		c.On(protocol.Metadata).Nth(1).Do(testbroker.Throttle(75 * time.Second))
		p := start(t, c, func(cfg *producer.Config) { cfg.Dialer = dials.dial(c) })
		began := time.Now()
		_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
		require.NoError(t, err)
		require.Equal(t, 75*time.Second, time.Since(began))
		require.Len(t, c.RequestsOf(protocol.InitProducerID), 1)
		synctest.Wait()
		opened, closed := dials.counts()
		require.Equal(t, 2, opened, "one for metadata, one for the broker")
		require.Zero(t, closed)
	})
}

// While the broker throttles the metadata connection, the client requests a new topic over the same connection, and
// does not open another one.
func TestANewTopicWaitsForTheThrottle(t *testing.T) {
	for key, change := range map[protocol.APIKey]func(*producer.Config){
		protocol.InitProducerID: func(*producer.Config) {}, protocol.Metadata: ackedByTheLeader,
	} {
		cfg := topics(1, 1)
		cfg.Topics["u"] = 1
		scene(t, key.String(), cfg, func(t *testing.T, c *testbroker.Cluster) {
			var dials dialLog
			c.On(key).Nth(1).Do(testbroker.Throttle(45 * time.Second))
			p := start(t, c, func(cfg *producer.Config) {
				change(cfg)
				cfg.Dialer = dials.dial(c)
			})
			began := time.Now()
			_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
			require.NoError(t, err)
			_, err = p.Send(t.Context(), &producer.Record{Topic: "u", Value: []byte("x")}, nil).Get(t.Context())
			require.NoError(t, err)
			require.Equal(t, 45*time.Second, time.Since(began))
			opened, closed := dials.counts()
			require.Equal(t, 2, opened)
			require.Zero(t, closed)
		})
	}
}

// A throttled ApiVersions response mutes the new connection; its first request waits for longer than
// request.timeout.ms.
func TestAThrottledApiVersionsResponseKeepsTheConnection(t *testing.T) {
	for name, change := range map[string]func(*producer.Config){"acks=1": ackedByTheLeader,
		"idempotent": func(*producer.Config) {}} {
		scene(t, name, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
			var dials dialLog
			c.On(protocol.ApiVersions).Times(2).Do(testbroker.Throttle(35 * time.Second))
			p := start(t, c, func(cfg *producer.Config) {
				cfg.Dialer = dials.dial(c)
				change(cfg)
			})
			_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
			require.NoError(t, err)
			opened, closed := dials.counts()
			require.Equal(t, 2, opened)
			require.Zero(t, closed)
			require.Equal(t, []string{"x"}, written(c, 0))
		})
	}
}
