package producer_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
)

// MaxBlock bounds a Send that waits for room, even if other Sends keep taking the free room.
func TestManySendsThatWaitForRoomAllEndByMaxBlock(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := crammed(t, c)
		const n = 20
		took := make(chan time.Duration, n)
		for range n {
			go func() {
				began := time.Now()
				_, err := p.Send(t.Context(), sized(8000), nil).Get(t.Context())
				if err == nil || producer.MaybeWritten(err) {
					t.Errorf("%v", err)
				}
				took <- time.Since(began)
			}()
		}
		for range n {
			require.Equal(t, time.Minute, <-took)
		}
	})
}

// A record may wait longer than metadata.max.idle.ms, so the producer forgets its topic during the wait.
func TestATopicThatIsForgottenWhileItsRecordsWaitIsFoundAgain(t *testing.T) {
	idle := func(cfg *producer.Config) { cfg.MetadataMaxIdle = 5 * time.Second }
	scene(t, "while they linger", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) {
			lingering(time.Minute)(cfg)
			idle(cfg)
			cfg.MetadataMaxAge = time.Second
		})
		began := time.Now()
		f := p.Send(t.Context(), to(0, "x"), nil)
		<-f.Done()
		require.Equal(t, time.Minute, time.Since(began))
		_, err := f.Get(t.Context())
		require.NoError(t, err)
	})
	scene(t, "while their broker is away", topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, idle)
		c.StopBroker(1)
		time.AfterFunc(80*time.Second, func() { c.StartBroker(1) })
		_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
		require.NoError(t, err)
	})
}

func TestNewCopiesItsConfig(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		cfg := producer.DefaultConfig(c.Bootstrap()...)
		cfg.Dialer = c.Dial
		p, err := producer.New(cfg)
		require.NoError(t, err)
		cfg.BootstrapServers[0] = "elsewhere:9092"
		cfg.Dialer = nil
		_, err = p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
		require.NoError(t, err)
		require.NoError(t, p.Close(t.Context()))
	})
}
