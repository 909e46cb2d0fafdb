package itest

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

// kafkaVersions are the real brokers that the suite runs against.
var kafkaVersions = []string{"4.3.1", "3.9.2"}

// clusters are the brokers that the tests share: a start costs seconds. They end with the test binary.
var clusters struct {
	sync.Mutex
	byVersion map[string]*realkafka.Cluster
}

// realCluster returns the one node of a version that all tests share, started at the first call.
func realCluster(t *testing.T, version string) *realkafka.Cluster {
	t.Helper()
	clusters.Lock()
	defer clusters.Unlock()
	if c := clusters.byVersion[version]; c != nil {
		return c
	}
	begin := time.Now()
	c, err := realkafka.Launch(context.Background(), realkafka.Options{Version: version})
	require.NoError(t, err)
	t.Logf("Kafka %s is up after %v", version, time.Since(begin).Round(time.Millisecond))
	if clusters.byVersion == nil {
		clusters.byVersion = map[string]*realkafka.Cluster{}
	}
	clusters.byVersion[version] = c
	return c
}

// suite ends the shared clusters before goroutines are counted.
type suite struct{ *testing.M }

// Run runs the tests. When one fails, the brokers' logs are printed and kept.
func (s suite) Run() int {
	code := s.M.Run()
	for _, c := range clusters.byVersion {
		if code != 0 {
			c.Keep()
			c.PrintLogs(os.Stdout, 60)
		}
		if err := c.Close(); err != nil {
			fmt.Println("Kafka did not end:", err)
			code = 1
		}
	}
	return code
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }
