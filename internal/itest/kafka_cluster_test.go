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

// kafkaVersion is a version of real Kafka in the suite.
type kafkaVersion struct {
	name string
	zstd bool
	// levels adds each codec's other levels. The brokers never see a level, so two versions are enough.
	levels bool
}

var kafkaVersions = []kafkaVersion{
	{name: "4.4.0", zstd: true},
	{name: "4.3.1", zstd: true, levels: true},
	{name: "3.9.2", zstd: true, levels: true},
	{name: "3.5.1", zstd: true},
	{name: "2.8.2", zstd: true},
	{name: "1.1.1"},
	{name: "0.11.0.3"},
}

// node returns a node of the version. Tests share the node of the default version; a node of another version stops with
// its test, to keep few running at once. It takes requests up to the default max.request.size; brokers before 2.5 take
// less by default.
func (v kafkaVersion) node(t *testing.T) *realkafka.Cluster {
	t.Helper()
	if v.name == realkafka.DefaultVersion {
		return realCluster(t, v.name)
	}
	begin := time.Now()
	c := realkafka.Start(t, realkafka.Options{Version: v.name,
		Config: map[string]string{"message.max.bytes": "1048588"}})
	t.Logf("Kafka %s is up after %v", v.name, time.Since(begin).Round(time.Millisecond))
	return c
}

// clusters are the tests' shared brokers: a start costs seconds. They end with the test binary.
var clusters struct {
	sync.Mutex
	byVersion map[string]*realkafka.Cluster
}

// realCluster returns the tests' shared node of a version, started at the first call.
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
