package producer_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
)

// This file tests the texts of errors: each names its cause, and the cure if there is one.

// within returns a context that ends after d, or at the end of the test.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// mentions requires that err has all these words.
func mentions(t *testing.T, err error, words ...string) {
	t.Helper()
	require.Error(t, err)
	for _, w := range words {
		require.Contains(t, err.Error(), w)
	}
}

func TestAControllersPortIsNamedInTheError(t *testing.T) {
	cfg := topics(1, 1)
	cfg.Versions = testbroker.ControllerVersions()
	bubble(t, cfg, func(t *testing.T, c *testbroker.Cluster) {
		p := start(t, c, nil)
		_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
		require.ErrorIs(t, err, producer.ErrMetadataTimeout)
		mentions(t, err, "KRaft controller", "use the address of a broker's listener")
	})
}

func TestABrokerThatIsFullOfConnectionsIsNotCalledForeign(t *testing.T) {
	closes := func(net.Conn) {}
	silent := func(nc net.Conn) { _, _ = io.Copy(io.Discard, nc) }
	for name, serve := range map[string]func(net.Conn){"it closes": closes, "it is silent": silent} {
		scene(t, name, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
			p := warm(t, c, 1, nil)
			c.Serve(c.Address(1), serve) // from now on, for new connections
			c.Disconnect(1)
			_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
			require.ErrorIs(t, err, producer.ErrDeliveryTimeout)
			mentions(t, err, "has answered before", "max.connections")
			require.NotContains(t, err.Error(), "no Kafka broker")
		})
	}
}

func TestAListenerThatWantsSASLIsNamedInTheError(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		c.Hook(func(r *testbroker.Request) testbroker.Action {
			if r.Header.Key == protocol.ApiVersions { // it needs no authentication
				return testbroker.Pass()
			}
			return testbroker.DropRequest()
		})
		p := start(t, c, nil)
		_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
		require.ErrorIs(t, err, producer.ErrMetadataTimeout)
		mentions(t, err, "a listener that wants SASL")
	})
}

// unresolvable makes the cluster advertise an unknown host for broker 1. It returns a producer with another name of
// that broker as bootstrap server.
func unresolvable(t *testing.T, c *testbroker.Cluster, change func(*producer.Config)) *producer.Producer {
	t.Helper()
	const bootstrap = "localhost:9092"
	c.Alias(bootstrap, 1)
	return start(t, c, func(cfg *producer.Config) {
		cfg.BootstrapServers = []string{bootstrap}
		cfg.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != bootstrap {
				host, _, _ := net.SplitHostPort(address)
				return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
			}
			return c.Dial(ctx, network, address)
		}
		if change != nil {
			change(cfg)
		}
	})
}

func TestEveryEndedWaitNamesTheUnresolvableAdvertisedName(t *testing.T) {
	reason := []string{"broker-1", "no such host", "advertised.listeners"}
	tight := func(cfg *producer.Config) {
		cfg.BufferMemory, cfg.BatchSize, cfg.MaxBlock, cfg.Linger = 4096, 1024, 3*time.Second, 0
	}
	fill := func(t *testing.T, p *producer.Producer) {
		for range 100 {
			if f := p.TrySend(sized(500), nil); isOver(f) {
				return
			}
		}
		t.Fatal("the buffer does not fill")
	}
	for name, wait := range map[string]func(t *testing.T, p *producer.Producer) error{
		"Get": func(t *testing.T, p *producer.Producer) error {
			_, err := p.Send(t.Context(), to(0, "x"), nil).Get(within(t, time.Second))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.True(t, producer.MaybeWritten(err))
			require.False(t, producer.Retriable(err))
			return err
		},
		"Get for long": func(t *testing.T, p *producer.Producer) error {
			_, err := p.Send(t.Context(), to(0, "x"), nil).Get(context.Background())
			require.ErrorIs(t, err, producer.ErrDeliveryTimeout)
			require.False(t, producer.MaybeWritten(err))
			return err
		},
		"Flush": func(t *testing.T, p *producer.Producer) error {
			p.Send(t.Context(), to(0, "x"), nil)
			err := p.Flush(within(t, time.Second))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			mentions(t, err, `topic "t" partition 0`, "1s")
			return err
		},
		"Flush with a cause": func(t *testing.T, p *producer.Producer) error {
			p.Send(t.Context(), to(0, "x"), nil)
			ctx, cancel := context.WithCancelCause(t.Context())
			enough := io.ErrShortBuffer
			time.AfterFunc(time.Second, func() { cancel(enough) })
			err := p.Flush(ctx)
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorIs(t, err, enough)
			return err
		},
		"Close": func(t *testing.T, p *producer.Producer) error {
			f := p.Send(t.Context(), to(0, "x"), func(producer.RecordMetadata, error) {})
			err := p.Close(within(t, time.Second))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			var closed *producer.CloseError
			require.ErrorAs(t, err, &closed)
			require.Equal(t, 1, closed.Undelivered)
			_, failed := f.Get(t.Context())
			require.ErrorIs(t, failed, producer.ErrClosed)
			mentions(t, failed, reason...)
			return err
		},
		"Send until max.block.ms": func(t *testing.T, p *producer.Producer) error {
			fill(t, p)
			_, err := p.Send(t.Context(), sized(500), nil).Get(t.Context())
			require.ErrorIs(t, err, producer.ErrBufferFull)
			require.True(t, producer.Retriable(err))
			return err
		},
		"Send until its context ends": func(t *testing.T, p *producer.Producer) error {
			fill(t, p)
			_, err := p.Send(within(t, time.Second), sized(500), nil).Get(t.Context())
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.False(t, producer.MaybeWritten(err))
			return err
		},
		"Send to another partition": func(t *testing.T, p *producer.Producer) error {
			fill(t, p)
			_, err := p.Send(t.Context(), to(1, string(make([]byte, 500))), nil).Get(t.Context())
			require.ErrorIs(t, err, producer.ErrBufferFull)
			return err
		},
		"TrySend": func(t *testing.T, p *producer.Producer) error {
			fill(t, p)
			time.Sleep(time.Second)
			_, err := p.TrySend(sized(500), nil).Get(t.Context())
			require.ErrorIs(t, err, producer.ErrBufferFull)
			return err
		},
		"SendAll": func(t *testing.T, p *producer.Producer) error {
			fill(t, p)
			var last error
			for _, f := range p.SendAll(t.Context(), []producer.Record{*sized(500), *sized(500)}) {
				_, last = f.Get(t.Context())
				require.ErrorIs(t, last, producer.ErrBufferFull)
			}
			return last
		},
	} {
		scene(t, name, topics(1, 2), func(t *testing.T, c *testbroker.Cluster) {
			p := unresolvable(t, c, tight)
			_, err := p.PartitionsFor(t.Context(), "t")
			require.NoError(t, err)
			mentions(t, wait(t, p), reason...)
		})
	}
}

func TestEveryWaitForMetadataNamesTheServersReasons(t *testing.T) {
	for name, wait := range map[string]func(t *testing.T, p *producer.Producer) error{
		"Send": func(t *testing.T, p *producer.Producer) error {
			_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
			require.ErrorIs(t, err, producer.ErrMetadataTimeout)
			return err
		},
		"Send until its context ends": func(t *testing.T, p *producer.Producer) error {
			_, err := p.Send(within(t, time.Second), to(0, "x"), nil).Get(t.Context())
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.False(t, producer.MaybeWritten(err))
			return err
		},
		"SendAll": func(t *testing.T, p *producer.Producer) error {
			_, err := p.SendAll(within(t, time.Second), []producer.Record{*to(0, "x")})[0].Get(t.Context())
			require.ErrorIs(t, err, context.DeadlineExceeded)
			return err
		},
		"PartitionsFor": func(t *testing.T, p *producer.Producer) error {
			_, err := p.PartitionsFor(within(t, time.Second), "t")
			require.ErrorIs(t, err, context.DeadlineExceeded)
			return err
		},
		"TrySend": func(t *testing.T, p *producer.Producer) error {
			_ = p.TrySend(to(0, "x"), nil)
			time.Sleep(time.Second)
			_, err := p.TrySend(to(0, "x"), nil).Get(t.Context())
			require.ErrorIs(t, err, producer.ErrMetadataTimeout)
			return err
		},
	} {
		scene(t, name, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
			c.StopBroker(1)
			p := start(t, c, func(cfg *producer.Config) { cfg.MaxBlock = 3 * time.Second })
			mentions(t, wait(t, p), "broker-1:9092", "connection refused")
		})
	}
	scene(t, "a partition that is to come", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		c.StopBroker(1)
		_, err := p.Send(within(t, time.Minute), to(7, "x"), nil).Get(t.Context())
		mentions(t, err, "waiting for partition 7", "connection refused")
	})
}

func TestARequestOverTheBrokersLimitIsNamedWithItsSize(t *testing.T) {
	for name, size := range map[string]int{"a large one at once": 200_000,
		"a small one when it breaks the connection again": 12_000} {
		cfg := topics(1, 1)
		cfg.RequestMaxBytes = size - 1000
		scene(t, name, cfg, func(t *testing.T, c *testbroker.Cluster) {
			var log logs
			p := warm(t, c, 1, func(cfg *producer.Config) { cfg.Logger = log.logger() })
			f := p.Send(t.Context(), sized(size), nil)
			words := []string{"socket.request.max.bytes", fmt.Sprintf("the request has %d", size/1000)}
			_, err := f.Get(within(t, 10*time.Second))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			mentions(t, err, words...)
			mentions(t, p.Flush(within(t, time.Second)), words...)
			_, err = f.Get(t.Context())
			require.ErrorIs(t, err, producer.ErrDeliveryTimeout)
			mentions(t, err, words...)
			require.Contains(t, log.String(), words[0])
			_, err = p.Send(t.Context(), to(0, "small"), nil).Get(t.Context())
			require.NoError(t, err)
		})
	}
}

func TestABrokerThatRestartsIsNotAccusedOfALimit(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		_, err := p.Send(t.Context(), sized(100_000), nil).Get(t.Context())
		require.NoError(t, err)
		c.Hang(1)
		f := p.Send(t.Context(), sized(90_000), nil)
		synctest.Wait()
		c.Disconnect(1)
		_, err = f.Get(within(t, time.Second))
		mentions(t, err, "disconnected by the broker")
		require.NotContains(t, err.Error(), "socket.request.max.bytes")
		c.Unhang(1)
		_, err = f.Get(t.Context())
		require.NoError(t, err)
	})
}

func TestAMessageFormatThatIsTooOldIsNamedWithItsCure(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		c.On(protocol.Produce).Do(testbroker.Fail(protocol.UnsupportedForMessageFormat))
		_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
		brokerCode(t, err, "UNSUPPORTED_FOR_MESSAGE_FORMAT")
		mentions(t, err, "message.format.version", "0.11.0")
	})
}

// Each case breaks something and sends a record. A second later a Get and a Flush end, with these words in their
// errors.
func TestAnEndedWaitNamesTheRecordsObstacle(t *testing.T) {
	for name, test := range map[string]struct {
		brokers int
		cold    bool // no producer id and no connection to the broker yet
		change  func(*producer.Config)
		broken  func(c *testbroker.Cluster, p *producer.Producer)
		words   []string
	}{
		"no leader": {
			broken: func(c *testbroker.Cluster, p *producer.Producer) {
				c.MoveLeader("t", 0, -1)
				c.On(protocol.Produce).Do(testbroker.Fail(protocol.NotLeaderOrFollower))
			},
			words: []string{"the partition has no leader", "NOT_LEADER_OR_FOLLOWER"},
		},
		"the topic is gone": {
			broken: func(c *testbroker.Cluster, p *producer.Producer) { c.DeleteTopic("t") },
			words:  []string{"UNKNOWN_TOPIC"},
		},
		"the answer is missing": {
			broken: func(c *testbroker.Cluster, p *producer.Producer) { c.Hang(1) },
			words:  []string{"broker 1 (broker-1:9092) has its batch and has answered nothing for 1s"},
		},
		"every try fails": {
			broken: func(c *testbroker.Cluster, p *producer.Producer) {
				c.On(protocol.Produce).Do(testbroker.Fail(protocol.NotEnoughReplicas))
			},
			words: []string{"NOT_ENOUGH_REPLICAS", "start the missing brokers"},
		},
		"an answer is missing after tries that failed": {
			broken: func(c *testbroker.Cluster, p *producer.Producer) {
				c.On(protocol.Produce).InTurn(testbroker.Fail(protocol.NotEnoughReplicas), testbroker.SwallowAnswer())
			},
			words: []string{"has answered nothing for", "the last try failed with: NOT_ENOUGH_REPLICAS"},
		},
		"nobody listens": {
			broken: func(c *testbroker.Cluster, p *producer.Producer) { c.StopBroker(1) },
			words:  []string{"broker 1 (broker-1:9092) cannot be reached", "connection refused"},
		},
		"connections break": {
			broken: func(c *testbroker.Cluster, p *producer.Producer) {
				c.On(protocol.Produce).Do(
					testbroker.DropRequest())
			},
			words: []string{"disconnected by the broker"},
		},
		"the connection is still being made": {
			cold: true, change: func(cfg *producer.Config) { cfg.EnableIdempotence = false },
			broken: func(c *testbroker.Cluster, p *producer.Producer) { c.Isolate(1) },
			words:  []string{"broker 1 (broker-1:9092) is still being connected to"},
		},
		"no producer id": {
			cold: true,
			broken: func(c *testbroker.Cluster, p *producer.Producer) {
				c.On(protocol.InitProducerID).Do(testbroker.Fail(protocol.CoordinatorLoadInProgress))
			},
			words: []string{"no producer id", "COORDINATOR_LOAD_IN_PROGRESS", "controller"},
		},
		"no producer id yet": {
			cold: true,
			broken: func(c *testbroker.Cluster, p *producer.Producer) {
				c.On(protocol.InitProducerID).Do(testbroker.SwallowAnswer())
			},
			words: []string{"no producer id yet"},
		},
		"throttled": {
			broken: func(c *testbroker.Cluster, p *producer.Producer) {
				c.On(protocol.Produce).Nth(1).Do(testbroker.Edit(
					func(r *protocol.ProduceResponse) { r.ThrottleMs = 60_000 }))
				p.Send(context.Background(), to(0, "before"), nil)
				synctest.Wait()
			},
			words: []string{"broker 1 throttles"},
		},
		"behind other requests": {
			change: func(cfg *producer.Config) { cfg.MaxInFlight = 1 },
			broken: func(c *testbroker.Cluster, p *producer.Producer) {
				c.Mute(1)
				p.Send(context.Background(), to(1, "before"), nil)
				synctest.Wait()
			},
			words: []string{"broker 1 has not answered 1 requests"},
		},
	} {
		scene(t, name, topics(1, 2), func(t *testing.T, c *testbroker.Cluster) {
			change := func(cfg *producer.Config) {
				cfg.Linger = 0
				if test.change != nil {
					test.change(cfg)
				}
			}
			var p *producer.Producer
			if test.cold {
				p = start(t, c, change)
				_, err := p.PartitionsFor(t.Context(), "t")
				require.NoError(t, err)
			} else {
				p = warm(t, c, 2, change)
			}
			test.broken(c, p)
			f := p.Send(t.Context(), to(0, "x"), nil)
			ctx := within(t, time.Second)
			_, err := f.Get(ctx)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			mentions(t, err, test.words...)
			if name == "behind other requests" {
				return // Flush reports the older record, of the other partition
			}
			mentions(t, p.Flush(ctx), test.words...)
		})
	}
}

func TestFlushNamesTheOldestRecordsReason(t *testing.T) {
	bubble(t, topics(2, 2), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 2, func(cfg *producer.Config) { cfg.Linger = 0 })
		c.On(protocol.Produce).Partition("t", 1).Do(testbroker.Fail(protocol.NotEnoughReplicas))
		c.Hang(1)
		p.Send(t.Context(), to(1, "older"), nil)
		time.Sleep(time.Second)
		p.Send(t.Context(), to(0, "newer"), nil)
		err := p.Flush(within(t, time.Second))
		mentions(t, err, `topic "t" partition 1`, "has waited for 2s", "NOT_ENOUGH_REPLICAS")
		require.NotContains(t, err.Error(), "partition 0")
	})
	bubble(t, topics(1, 2), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 2, func(cfg *producer.Config) { cfg.Linger = 0 })
		release := make(chan struct{})
		p.Send(t.Context(), to(1, "x"), func(producer.RecordMetadata, error) { <-release })
		synctest.Wait()
		time.AfterFunc(time.Second, func() {
			c.Hang(1)
			p.Send(context.Background(), to(0, "later, of which Flush knows nothing"), nil)
		})
		err := p.Flush(within(t, 2*time.Second))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		mentions(t, err, `callbacks of topic "t" partition 1 have not returned`)
		c.Unhang(1)
		close(release)
		require.NoError(t, p.Flush(t.Context()))
	})
}
