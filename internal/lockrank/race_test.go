//go:build race

package lockrank

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// recorded starts a row of acquisitions that are recorded.
func recorded(t *testing.T) {
	t.Helper()
	acquisitions.Store(0)
	t.Cleanup(func() { acquisitions.Store(0) })
}

func TestAWrongOrderPanics(t *testing.T) {
	recorded(t)
	var partition Mutex[SenderPartition]
	var broker Mutex[SenderBroker]
	partition.Lock()
	broker.Lock()
	partition.Unlock() // the order of the ends is free
	require.PanicsWithValue(t, "samsa: sender.partition.mu is acquired under sender.broker.mu", partition.Lock)
	require.PanicsWithValue(t, "samsa: a callback is called under sender.broker.mu",
		func() { AssertNone("a callback") })
	broker.Unlock()
	AssertNone("a callback")
	partition.Lock()
	partition.Unlock() //nolint:staticcheck // only the order counts
}

func TestTwoLocksOfOneRankPanic(t *testing.T) {
	recorded(t)
	var a, b Mutex[SenderPartition]
	a.Lock()
	require.PanicsWithValue(t, "samsa: sender.partition.mu is acquired under sender.partition.mu", b.Lock)
	require.True(t, b.TryLock(), "a TryLock cannot deadlock")
	b.Unlock()
	a.Unlock()
}

func TestTheLocksOfOtherGoroutinesDoNotCount(t *testing.T) {
	recorded(t)
	var partition Mutex[SenderPartition]
	var broker Mutex[SenderBroker]
	broker.Lock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		partition.Lock()
		defer partition.Unlock()
	}()
	<-done
	broker.Unlock()
}

func TestALongRowIsRecordedInPart(t *testing.T) {
	recorded(t)
	recordings := 0
	for range 4 * period {
		if isRecorded() {
			recordings++
		}
	}
	require.Equal(t, 4*recordedRun, recordings)
	acquisitions.Store(recordedRun)
	var partition Mutex[SenderPartition]
	var broker Mutex[SenderBroker]
	broker.Lock()
	partition.Lock() // nobody looks
	partition.Unlock()
	broker.Unlock()
}
