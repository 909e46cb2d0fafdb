package accumulator

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAQuarterOfWaitingAppendsIsContention(t *testing.T) {
	var c contention
	round := func(waits int) bool {
		for i := range crowdOf {
			c.count(i < waits)
		}
		return c.much
	}
	require.False(t, round(0))
	require.False(t, round(crowdWaits-1))
	require.True(t, round(crowdWaits))
	require.True(t, round(crowdOf))
	require.False(t, round(crowdWaits-1), "each round counts for itself")
}

func TestContentionIsReportedWithBytes(t *testing.T) {
	a := newTest(Config{Linger: time.Hour})
	p := a.Topic("t").Partition(0)
	p.contention.much = true
	require.True(t, put(t, p, "first").Contended)
	second := put(t, p, "second")
	require.Zero(t, second.Bytes)
	require.False(t, second.Contended)
	big := add(p, sizedRecord(t, 5000), Callback{}, nil)
	require.NotZero(t, big.Bytes)
	require.False(t, big.Contended, "it is told once")
}
