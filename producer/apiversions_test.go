package producer_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
)

// Azure Event Hubs once ended connections in this way. The client remembers the working version for each address: of
// the metadata connection, and of each broker.
func TestAServerThatResetsTheConnectionUponANewApiVersionsIsUsable(t *testing.T) {
	for _, test := range []struct {
		newest int16         // the versions that the server answers
		wait   time.Duration // the maximum for each of two addresses
	}{{3, 60 * time.Millisecond}, {0, 180 * time.Millisecond}} {
		scene(t, fmt.Sprintf("answers up to %d", test.newest), topics(2, 2), func(t *testing.T, c *testbroker.Cluster) {
			c.On(protocol.ApiVersions).When(func(r *testbroker.Request) bool { return r.Header.Version > test.newest }).
				Do(testbroker.DropRequest().And(testbroker.WithReset()))
			p := start(t, c, nil)
			began := time.Now()
			for partition := range int32(2) {
				_, err := p.Send(t.Context(), to(partition, "x"), nil).Get(t.Context())
				require.NoError(t, err)
			}
			require.LessOrEqual(t, time.Since(began), 2*test.wait, "more than the reconnect backoffs")

			// The next connections ask at once in the working version.
			asked := len(c.RequestsOf(protocol.ApiVersions))
			c.Disconnect(1)
			c.Disconnect(2)
			for partition := range int32(2) {
				_, err := p.Send(t.Context(), to(partition, "y"), nil).Get(t.Context())
				require.NoError(t, err)
				require.Equal(t, []string{"x", "y"}, written(c, partition))
			}
			again := c.RequestsOf(protocol.ApiVersions)[asked:]
			require.NotEmpty(t, again)
			for _, r := range again {
				require.Equal(t, test.newest, r.Header.Version)
			}
		})
	}
}

// A proxy without a broker behind it ends every connection at once. The client tries every version in turn, the newest
// one again after the lowest, so it connects as soon as the broker is back.
func TestAServerThatEndedEveryConnectionWorksWhenItIsBack(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		down := c.On(protocol.ApiVersions).Do(testbroker.DropRequest())
		p := start(t, c, nil)
		sent := make(chan error, 1)
		go func() {
			_, err := p.Send(t.Context(), to(0, "x"), nil).Get(t.Context())
			sent <- err
		}()
		asked := c.WaitRequests(t.Context(), protocol.ApiVersions, 9)
		for i, r := range asked[:9] {
			require.Equal(t, []int16{4, 3, 0}[i%3], r.Header.Version)
		}
		down.End()
		require.NoError(t, <-sent)
	})
}
