package producer

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// processors makes the test run on so many.
func processors(t *testing.T, n int) {
	before := runtime.GOMAXPROCS(n)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

func topicOf(view TopicView) *stickyTopic {
	c := DefaultConfig()
	c.BatchSize = 1000
	return newStickyTopic(&c, view, nil, 42)
}

// lanesOf are the lanes that as many processors get which have none yet.
func lanesOf(s *stickyTopic, n int) map[*stickyLane]int {
	lanes := make(map[*stickyLane]int)
	for range n {
		lanes[s.own(false)]++
		s.tokens.Get() // the next one finds no token
	}
	return lanes
}

func TestOnePartitionIsFilledAtATime(t *testing.T) {
	processors(t, 4)
	s := topicOf(allOf(12))
	first := s.pick()
	for range 9 {
		s.appended(first, 100, false, false)
		require.Equal(t, first, s.pick())
	}
	s.appended(first, 100, true, false)
	require.NotEqual(t, first, s.pick())
}

func TestWhereItIsCrowdedEachProcessorFillsAPartition(t *testing.T) {
	processors(t, 4)
	synctest.Test(t, func(t *testing.T) {
		s := topicOf(allOf(1000))
		one := s.pick()
		s.appended(one, 100, false, true)
		require.NotZero(t, s.crowded.Load())
		lanes := lanesOf(s, 8)
		require.Len(t, lanes, 4)
		partitions := make(map[int32]bool)
		for lane := range lanes {
			partitions[lane.pick()] = true
		}
		require.Len(t, partitions, 4)
		require.Contains(t, partitions, one, "the batch that is open is filled on")

		// Each lane counts its own bytes.
		for lane := range lanes {
			p := lane.pick()
			s.appended(p, 1000, true, false)
			require.NotEqual(t, p, lane.pick())
		}

		time.Sleep(crowdedFor)
		s.appended(one, 0, false, false)
		require.NotZero(t, s.crowded.Load())
		time.Sleep(time.Nanosecond)
		s.appended(one, 0, false, false)
		require.Zero(t, s.crowded.Load(), "they are let together again")
		p := s.pick()
		for range 100 {
			require.Equal(t, p, s.pick())
		}
	})
}

func TestAProcessorThatIsInAnothersLaneTakesAnotherOne(t *testing.T) {
	processors(t, 4)
	s := topicOf(allOf(1000))
	s.tokens.New = func() any { return &laneToken{lane: 2} } // whether the pool has kept its own or not
	require.Same(t, s.lanes[3], s.own(true))
	s.tokens = sync.Pool{New: func() any { return &laneToken{lane: 7} }}
	require.Same(t, s.lanes[0], s.own(true))
}

func TestNoMoreLanesThanPartitionsOrProcessors(t *testing.T) {
	processors(t, 4)
	s := topicOf(allOf(3))
	require.Len(t, lanesOf(s, 20), 3)
	s.update(allOf(2))
	require.Len(t, lanesOf(s, 20), 2)
	s.update(allOf(20))
	require.Len(t, lanesOf(s, 20), 4)
	s.update(allOf(1))
	s.appended(s.pick(), 1, false, true)
	require.Zero(t, s.crowded.Load(), "there is nowhere to go")
	s.update(allOf(0))
	require.Equal(t, stickyChoice, s.pick())

	processors(t, 1)
	require.Len(t, lanesOf(topicOf(allOf(3)), 20), 1)
	processors(t, 100)
	require.Len(t, lanesOf(topicOf(allOf(200)), 200), mostLanes)
}

func TestEveryLaneLeavesAPartitionThatLostItsLeader(t *testing.T) {
	processors(t, 4)
	s := topicOf(allOf(6))
	for _, lane := range s.lanes {
		lane.pick()
	}
	s.update(newTopicView("t", 6, []int32{3}))
	for _, lane := range s.lanes {
		require.EqualValues(t, 3, lane.pick())
	}
}
