package producer

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/logtext"
	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
)

func TestATopicThatDoesNotExistFailsAfterFiveSecondsAndThenAtOnce(t *testing.T) {
	badInput(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		const text = `samsa: topic "nosuch" does not exist (UNKNOWN_TOPIC_OR_PARTITION) after 5s: create it or check the name (not written)`
		fails := func(after time.Duration) {
			took, err := outcomeOf(p, &Record{Topic: "nosuch"})
			require.EqualError(t, err, text)
			require.Equal(t, after, took)
			require.ErrorIs(t, err, ErrUnknownTopic)
			require.Equal(t, FateNotWritten, FateOf(err))
			require.True(t, Retriable(err))
			require.Equal(t, "unknown_topic", Reason(err))
			var broker *BrokerError
			require.ErrorAs(t, err, &broker)
			require.Equal(t, protocol.UnknownTopicOrPartition, broker.Code)
		}
		fails(5 * time.Second)
		requests := len(c.RequestsOf(protocol.Metadata))
		for range 10 {
			fails(0)
		}
		_, err := p.PartitionsFor(context.Background(), "nosuch")
		require.EqualError(t, err, text)
		_, err = p.TrySend(&Record{Topic: "nosuch"}, nil).Get(context.Background())
		require.EqualError(t, err, text)
		require.Len(t, c.RequestsOf(protocol.Metadata), requests, "the last response is enough")
		time.Sleep(time.Second)
		fails(5 * time.Second)
		time.Sleep(time.Second)
		c.CreateTopic("nosuch", 1)
		took, err := outcomeOf(p, &Record{Topic: "nosuch"})
		require.NoError(t, err)
		require.Zero(t, took)
	})
}

func TestSendsThatWaitForATopicThatDoesNotExistEndTogether(t *testing.T) {
	badInput(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		began := time.Now()
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 40 * time.Millisecond)
				_, err := outcomeOf(p, &Record{Topic: "nosuch"})
				require.ErrorIs(t, err, ErrUnknownTopic)
				require.Equal(t, 5*time.Second, time.Since(began))
			})
		}
		all.Wait()
	})
}

func TestATopicThatIsCreatedMeanwhileIsUsed(t *testing.T) {
	badInput(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		time.AfterFunc(3*time.Second, func() { c.CreateTopic("late", 1) })
		began := time.Now()
		require.Equal(t, "late", taken(t, p, &Record{Topic: "late"}).Topic)
		require.Less(t, time.Since(began), 5*time.Second)
	})
}

// The wait ends only if all responses call the topic unknown.
func TestATopicThatIsBeingCreatedIsAwaitedUntilMaxBlock(t *testing.T) {
	badInput(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		c.CreateTopic("slow", 1)
		for range 3 {
			c.On(protocol.Metadata).Times(4).Do(testbroker.Fail(protocol.UnknownTopicOrPartition))
			c.On(protocol.Metadata).Times(1).Do(testbroker.Fail(protocol.LeaderNotAvailable))
		}
		took, err := outcomeOf(p, &Record{Topic: "slow"})
		require.NoError(t, err)
		require.Greater(t, took, 5*time.Second)
	})
}

// sendsLater sends a record on another goroutine, and ignores its outcome.
func sendsLater(p *Producer, r *Record) {
	go func() { _, _ = outcomeOf(p, r) }()
}

// lines is the text of a log; another goroutine writes it.
type lines struct{ logtext.Text }

func (l *lines) String() string {
	synctest.Wait()
	return l.Text.String()
}

// warned returns the number of lines with the text.
func (l *lines) warned(text string) int {
	n := 0
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, text) && strings.Contains(line, "level=WARN") {
			n++
		}
	}
	return n
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// logged is badInput with a log.
func logged(t *testing.T, change func(*Config), f func(t *testing.T, c *testbroker.Cluster, p *Producer, log *lines)) {
	log := new(lines)
	badInput(t, func(c *Config) {
		c.Logger = log.logger()
		if change != nil {
			change(c)
		}
	}, func(t *testing.T, c *testbroker.Cluster, p *Producer) { f(t, c, p, log) })
}

func TestATopicThatDoesNotExistIsLoggedWithinASecondAndOnceIn30s(t *testing.T) {
	logged(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer, log *lines) {
		const text = "topic does not exist: waiting until it exists, at most 5s (topic.metadata.propagation.max.ms)"
		sendsLater(p, &Record{Topic: "nosuch"})
		time.Sleep(time.Second)
		require.Equal(t, 1, log.warned(text), log.String())
		require.Contains(t, log.String(), "topic=nosuch")
		sendsLater(p, &Record{Topic: "nosuch too"[:6] + "-2"})
		time.Sleep(time.Second)
		require.Equal(t, 2, log.warned(text), "another topic: %v", log)
		for range 25 {
			sendsLater(p, &Record{Topic: "nosuch"})
			time.Sleep(time.Second)
		}
		require.Equal(t, 2, log.warned(text))
		for range 10 {
			sendsLater(p, &Record{Topic: "nosuch"})
			time.Sleep(time.Second)
		}
		require.Equal(t, 3, log.warned(text))
		require.Contains(t, log.String(), "suppressed=")
		time.Sleep(10 * time.Second)
	})
}

func TestATopicThatIsCreatedWithinAMomentIsNoWarning(t *testing.T) {
	logged(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer, log *lines) {
		time.AfterFunc(150*time.Millisecond, func() { c.CreateTopic("new", 1) })
		taken(t, p, &Record{Topic: "new"})
		time.Sleep(5 * time.Second)
		require.Zero(t, log.warned(""), log.String())
	})
}

func TestATopicWithoutABoundOfItsOwnIsLoggedWithMaxBlock(t *testing.T) {
	logged(t, func(c *Config) { c.TopicMetadataPropagationMax = -time.Millisecond },
		func(t *testing.T, c *testbroker.Cluster, p *Producer, log *lines) {
			sendsLater(p, &Record{Topic: "nosuch"})
			time.Sleep(time.Second)
			require.Equal(t, 1, log.warned("waiting until it exists, at most 1m0s (max.block.ms)"), log.String())
			time.Sleep(time.Minute)
		})
}

func TestATopicWithoutALeaderIsLoggedWithinASecond(t *testing.T) {
	logged(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer, log *lines) {
		taken(t, p, &Record{Topic: "t", Partition: InPartition(0)})
		c.MoveLeader("t", 0, -1)
		sendsLater(p, &Record{Topic: "t", Partition: InPartition(0)})
		time.Sleep(time.Second)
		require.Equal(t, 1, log.warned("partitions have no leader"), log.String())
		require.Contains(t, log.String(), "topic=t partitions=1")
		c.MoveLeader("t", 0, 1)
		time.Sleep(time.Minute)
	})
}

func TestServersThatDoNotAnswerAreLoggedWithinASecondWithTheirReasons(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"nobody listens": func(c *Config) { c.BootstrapServers = []string{"nowhere:9092", "neither:9092"} },
		"silence":        nil,
	} {
		t.Run(name, func(t *testing.T) {
			logged(t, change, func(t *testing.T, c *testbroker.Cluster, p *Producer, log *lines) {
				if change == nil {
					c.Hang(1)
				}
				sendsLater(p, &Record{Topic: "t"})
				time.Sleep(time.Second)
				require.Equal(t, 1, log.warned("no broker answers"), log.String())
				if change == nil {
					require.Contains(t, log.String(), "no answer yet for 750ms")
					c.Unhang(1)
				} else {
					require.Contains(t, log.String(), "nowhere:9092: ")
					require.Contains(t, log.String(), "neither:9092: ")
				}
				time.Sleep(2 * time.Minute)
			})
		})
	}
}

func TestPingIsOneRoundTripOrEachServersReason(t *testing.T) {
	badInput(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		require.NoError(t, p.Ping(context.Background()))
		before := len(c.RequestsOf(protocol.Metadata))
		require.NoError(t, p.Ping(t.Context()))
		require.Len(t, c.RequestsOf(protocol.Metadata), before+1)
		c.StopBroker(1)
		began := time.Now()
		err := p.Ping(nil) //nolint:staticcheck // nil is Background
		require.ErrorContains(t, err, "samsa: ping: no broker answered: broker-1:9092: ")
		require.Less(t, time.Since(began), time.Second)
		require.ErrorIs(t, err, ErrMetadataTimeout)
		require.Equal(t, "metadata_timeout", Reason(err))
		require.Equal(t, FateNotWritten, FateOf(err))
		c.StartBroker(1)
		require.NoError(t, p.Ping(context.Background()))
		require.Zero(t, len(c.Produces()))
	})
	badInput(t, func(c *Config) { c.MaxBlock = 3 * time.Second },
		func(t *testing.T, c *testbroker.Cluster, p *Producer) {
			c.Hang(1)
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			began := time.Now()
			err := p.Ping(ctx)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, "broker-1:9092: no answer yet for 5s")
			require.Equal(t, 1, strings.Count(err.Error(), "deadline"), err.Error())
			require.Equal(t, 5*time.Second, time.Since(began), "the deadline bounds it alone")
			require.Equal(t, "context_deadline_exceeded", Reason(err))
			began = time.Now()
			err = p.Ping(context.Background())
			require.NotErrorIs(t, err, context.DeadlineExceeded)
			require.NotContains(t, err.Error(), "context")
			require.ErrorContains(t, err, "no broker answered for 3s (MaxBlock)")
			require.Equal(t, 3*time.Second, time.Since(began))
			c.Unhang(1)
		})
	badInput(t, nil, func(t *testing.T, _ *testbroker.Cluster, p *Producer) {
		require.NoError(t, p.Close(context.Background()))
		require.ErrorIs(t, p.Ping(context.Background()), ErrClosed)
	})
}

func TestPartitionsForIsBoundedByADeadlineAlone(t *testing.T) {
	badInput(t, func(c *Config) { c.MaxBlock = time.Second }, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		c.On(protocol.Metadata).Do(testbroker.Fail(protocol.LeaderNotAvailable))
		for bound, want := range map[time.Duration]time.Duration{5 * time.Second: 5 * time.Second, 0: time.Second} {
			ctx := context.Background()
			if bound > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, bound)
				defer cancel()
			}
			began := time.Now()
			_, err := p.PartitionsFor(ctx, "nosuch")
			require.Error(t, err)
			require.Equal(t, want, time.Since(began))
			require.Equal(t, bound > 0, strings.Contains(err.Error(), "context deadline exceeded"), err.Error())
			require.LessOrEqual(t, strings.Count(err.Error(), "deadline"), 1)
		}
	})
}

func TestTrySendSaysUnknownTopicAsSoonAsAResponseHasSaidSo(t *testing.T) {
	badInput(t, nil, func(t *testing.T, c *testbroker.Cluster, p *Producer) {
		try := func() error {
			_, err := p.TrySend(&Record{Topic: "nosuch"}, nil).Get(context.Background())
			return err
		}
		require.ErrorIs(t, try(), ErrMetadataTimeout, "nobody has said anything yet")
		for range 20 {
			time.Sleep(700 * time.Millisecond)
			err := try()
			require.ErrorIs(t, err, ErrUnknownTopic)
			require.Equal(t, FateNotWritten, FateOf(err))
			require.NotContains(t, err.Error(), "being fetched")
		}
		c.CreateTopic("nosuch", 1)
		require.ErrorIs(t, try(), ErrUnknownTopic, "the client asks again")
		time.Sleep(2 * time.Second)
		require.NoError(t, try())
	})
}
