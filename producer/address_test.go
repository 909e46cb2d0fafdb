package producer_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
)

// TestABrokerMayCallItsHostABracketedIPv6Address: some servers advertise the address of their listener exactly as
// configured.
func TestABrokerMayCallItsHostABracketedIPv6Address(t *testing.T) {
	for host, address := range map[string]string{
		"[::1]": "[::1]:9092", "::1": "[::1]:9092", "[fe80::1%eth0]": "[fe80::1%eth0]:9092",
		"10.0.0.1":   "10.0.0.1:9092",
		"[10.0.0.1]": "10.0.0.1:9092",
	} {
		scene(t, host, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
			c.On(protocol.Metadata).Do(testbroker.Edit(func(r *protocol.MetadataResponse) {
				for i := range r.Brokers {
					r.Brokers[i].Host, r.Brokers[i].Port = host, 9092
				}
			}))
			c.Alias(address, 1)
			p := start(t, c, nil)
			_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
			require.NoError(t, err)
			require.Equal(t, []string{"x"}, written(c, 0))
		})
	}
}

func TestBrokersHostsWithUselessBracketsAreNamedAsTheyAre(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		c.On(protocol.Metadata).Do(testbroker.Edit(func(
			r *protocol.MetadataResponse) {
			r.Brokers[0].Host = "[kafka]"
		}))
		p := start(t, c, func(cfg *producer.Config) {
			cfg.DeliveryTimeout, cfg.RequestTimeout = 5*time.Second,
				time.Second
		})
		_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
		require.ErrorIs(t, err, producer.ErrDeliveryTimeout)
		require.ErrorContains(t, err, "[kafka]")
	})
}

// A produce response (KIP-951) may name the new leader's host with brackets, too.
func TestALeaderHintMayHaveABracketedIPv6Address(t *testing.T) {
	bubble(t, topics(2, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		from := c.Leader("t", 0)
		to2 := 3 - from
		c.Alias("[::2]:9092", to2)
		c.MoveLeader("t", 0, to2)
		c.On(protocol.Produce).Broker(from).Do(testbroker.Edit(func(r *protocol.ProduceResponse) {
			for i := range r.NodeEndpoints {
				r.NodeEndpoints[i].Host, r.NodeEndpoints[i].Port = "[::2]", 9092
			}
		}))
		ofTopics := func(r *testbroker.Request) bool { return len(r.Message.(*protocol.MetadataRequest).Topics) > 0 }
		// only the hint has the leader's address
		c.On(protocol.Metadata).When(ofTopics).Do(testbroker.Delay(20 * time.Second))
		began := time.Now()
		_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
		require.NoError(t, err)
		require.Less(t, time.Since(began), 5*time.Second)
	})
}

func TestOneServerMayBeNamedTwice(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := start(t, c, func(cfg *producer.Config) {
			cfg.BootstrapServers = append(cfg.BootstrapServers, cfg.BootstrapServers...)
		})
		_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
		require.NoError(t, err)
	})
}

// withoutDeadlines is a connection without support for deadlines.
type withoutDeadlines struct{ net.Conn }

func (withoutDeadlines) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (withoutDeadlines) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (withoutDeadlines) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }

func TestADialersConnectionWithoutDeadlinesIsRefusedWithTheReason(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := start(t, c, func(cfg *producer.Config) {
			cfg.MaxBlock = 2 * time.Second
			cfg.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := c.Dial(ctx, network, address)
				if err != nil {
					return nil, err
				}
				return withoutDeadlines{conn}, nil
			}
		})
		f := p.Send(t.Context(), to(0, "x"), nil)
		notWritten(t, f, producer.ErrMetadataTimeout)
		_, err := f.Get(t.Context())
		require.ErrorContains(t, err, "the connection has no deadlines")
	})
}
