package chaos

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/gosamsa/samsa/internal/itest/realkafka"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// shared is the cluster of all tests: its start takes long. It ends with the test binary.
var shared struct {
	sync.Mutex
	cluster *realkafka.Cluster
}

// wholeCluster returns the shared cluster. A test may break it, and leaves it whole, also when it fails.
func wholeCluster(t *testing.T) *realkafka.Cluster {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster == nil {
		begin := time.Now()
		c, err := LaunchCluster(context.Background())
		require.NoError(t, err)
		t.Logf("three nodes are up after %v", time.Since(begin).Round(time.Millisecond))
		shared.cluster = c
	}
	c := shared.cluster
	t.Cleanup(func() {
		if t.Failed() {
			for id := range int32(nodes) {
				_ = c.Resume(id + 1)
				_ = c.Restart(context.Background(), id+1)
			}
		}
	})
	return c
}

// suite ends the cluster before goroutines are counted.
type suite struct{ *testing.M }

// Run runs the tests. When one fails, the nodes' logs are printed, and their folder is kept.
func (s suite) Run() int {
	code := s.M.Run()
	c := shared.cluster
	if c == nil {
		return code
	}
	if code != 0 {
		c.Keep()
		c.PrintLogs(os.Stdout, 40)
		fmt.Println("what is left of the cluster lies in", c.Dir())
	}
	if err := c.Close(); err != nil {
		fmt.Println("Kafka did not end:", err)
		return 1
	}
	return code
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }
