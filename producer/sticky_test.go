package producer

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// processors sets GOMAXPROCS for the test.
func processors(t *testing.T, n int) {
	before := runtime.GOMAXPROCS(n)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

func topicOf(view TopicView) *stickyTopic {
	c := DefaultConfig()
	c.BatchSize = 1000
	return newStickyTopic(&c, view, nil, 42)
}

// slotsOf returns the slots that new processors get.
func slotsOf(s *stickyTopic, n int) map[*stickySlot]int {
	slots := make(map[*stickySlot]int)
	for range n {
		slots[s.slotForP(false)]++
		s.tokens.Get() // the next one finds no token
	}
	return slots
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

func TestEachProcessorFillsAPartitionUnderContention(t *testing.T) {
	processors(t, 4)
	synctest.Test(t, func(t *testing.T) {
		s := topicOf(allOf(1000))
		one := s.pick()
		s.appended(one, 100, false, true)
		require.NotZero(t, s.crowded.Load())
		slots := slotsOf(s, 8)
		require.Len(t, slots, 4)
		partitions := make(map[int32]bool)
		for slot := range slots {
			partitions[slot.pick()] = true
		}
		require.Len(t, partitions, 4)
		require.Contains(t, partitions, one, "the batch that is open is filled on")

		// Each slot counts its own bytes.
		for slot := range slots {
			p := slot.pick()
			s.appended(p, 1000, true, false)
			require.NotEqual(t, p, slot.pick())
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
	s.tokens.New = func() any { return &slotToken{slot: 2} } // holds with and without a token in the pool
	require.Same(t, s.slots[3], s.slotForP(true))
	s.tokens = sync.Pool{New: func() any { return &slotToken{slot: 7} }}
	require.Same(t, s.slots[0], s.slotForP(true))
}

func TestNoMoreLanesThanPartitionsOrProcessors(t *testing.T) {
	processors(t, 4)
	s := topicOf(allOf(3))
	require.Len(t, slotsOf(s, 20), 3)
	s.update(allOf(2))
	require.Len(t, slotsOf(s, 20), 2)
	s.update(allOf(20))
	require.Len(t, slotsOf(s, 20), 4)
	s.update(allOf(1))
	s.appended(s.pick(), 1, false, true)
	require.Zero(t, s.crowded.Load(), "there is nowhere to go")
	s.update(allOf(0))
	require.Equal(t, noChoice, s.pick())

	processors(t, 1)
	require.Len(t, slotsOf(topicOf(allOf(3)), 20), 1)
	processors(t, 100)
	require.Len(t, slotsOf(topicOf(allOf(200)), 200), mostSlots)
}

func TestEveryLaneLeavesAPartitionThatLostItsLeader(t *testing.T) {
	processors(t, 4)
	s := topicOf(allOf(6))
	for _, slot := range s.slots {
		slot.pick()
	}
	s.update(newTopicView("t", 6, []int32{3}))
	for _, slot := range s.slots {
		require.EqualValues(t, 3, slot.pick())
	}
}
