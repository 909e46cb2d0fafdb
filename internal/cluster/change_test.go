package cluster

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
)

// change merges an answer about topic a, and returns the difference.
func change(s *Snapshot, topic protocol.MetadataTopic) Change { return step(s, topic).Change }

func TestAChangeHasTheTopicsAndPartitionsThatDiffer(t *testing.T) {
	first := step(&Snapshot{}, topicOf("a", 1, 5, 1, 2, 3))
	require.Equal(t, []TopicChange{{Name: "a", All: true}}, first.Topics)
	require.True(t, first.Brokers && first.Cluster)

	s := first.Snapshot
	same := change(s, topicOf("a", 1, 5, 1, 2, 3))
	require.Empty(t, same.Topics)
	require.False(t, same.Brokers || same.Cluster)

	moved := topicOf("a", 1, 5, 1, 2, 3)
	moved.Partitions[1].LeaderID, moved.Partitions[1].LeaderEpoch = 3, 6
	require.Equal(t, []TopicChange{{Name: "a", Partitions: []int32{1}}}, change(s, moved).Topics)
	require.Equal(t, []TopicChange{{Name: "a", Partitions: []int32{3, 4}}},
		change(s, topicOf("a", 1, 5, 1, 2, 3, 1, 2)).Topics, "it has grown")
	require.Equal(t, []TopicChange{{Name: "a", All: true}}, change(s, topicOf("a", 2, 5, 1, 2, 3)).Topics,
		"it was recreated")

	hinted := s.hinted("", []LeaderHint{hintOf("a", 2, 1, 9), hintOf("a", 0, 3, 7), hintOf("a", 0, 2, 8)}, nil)
	require.Equal(t, []TopicChange{{Name: "a", Partitions: []int32{0, 2}}}, hinted.Topics)
	require.Equal(t, []int32{2, 2, 1}, leaders(hinted.Snapshot), "the newest hint counts")

	other := merge(s, ofCluster("another cluster", answerOf(topicOf("b", 9, 0, 1))), 13, []string{"b"}, nil)
	require.True(t, other.Cluster)
	require.ElementsMatch(t, []TopicChange{{Name: "a", All: true}, {Name: "b", All: true}}, other.Topics)
}

func TestABrokerThatLeftIsADifferenceOfThePartitionsThatItLed(t *testing.T) {
	resp := answerOf(topicOf("a", 1, 5, 1, 2, 1), topicOf("b", 2, 5, 1), topicOf("c", 3, 5, 3))
	s := merge(&Snapshot{}, resp, 13, []string{"a", "b", "c"}, nil).Snapshot
	resp = answerOf(topicOf("c", 3, 5, 3))
	resp.Brokers = resp.Brokers[1:]
	m := merge(s, resp, 13, []string{"c"}, nil)
	require.ElementsMatch(t, []TopicChange{{Name: "a", Partitions: []int32{0, 2}}, {Name: "b", Partitions: []int32{0}}},
		m.Topics)
	require.False(t, m.Snapshot.Topic("a").hasLeader(0))
	require.True(t, m.Snapshot.Topic("a").hasLeader(1))
	require.True(t, m.Snapshot.Topic("c").hasLeader(0))
	// One after the other the partitions get their leader again.
	again := m.Snapshot.hinted("", []LeaderHint{hintOf("a", 0, 2, 6), hintOf("a", 2, 3, 6)}, nil).Snapshot
	require.True(t, again.Topic("a").hasLeader(2))
	require.False(t, again.Topic("a").hasLeader(3), "there is no such partition")
}

// replay applies changes to a copy of the old state; the copy must then agree with the snapshot.
func TestTheChangesInOrderMakeTheSnapshot(t *testing.T) {
	w := newWorld()
	run(t, w, nil, func(t *testing.T, c *Client) {
		copied := make(map[string]*Topic)
		last, busy := uint64(0), false
		var mu sync.Mutex
		c.OnChange(func(change *Change) {
			mu.Lock()
			defer mu.Unlock()
			require.False(t, busy, "one at a time")
			busy = true
			mu.Unlock()
			time.Sleep(time.Microsecond) // other goroutines publish meanwhile
			mu.Lock()
			busy = false
			require.Greater(t, change.Snapshot.Generation, last)
			last = change.Snapshot.Generation
			for _, topic := range change.Topics {
				if now := change.Snapshot.Topic(topic.Name); now != nil {
					copied[topic.Name] = now
				} else {
					delete(copied, topic.Name)
				}
			}
		})
		var topics []protocol.MetadataTopic
		for i := range 20 {
			topics = append(topics, topicOf(fmt.Sprint("t", i), byte(i+1), 0, 1, 2, 3))
		}
		w.topics(topics...)
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				name := fmt.Sprint("t", i)
				_, err := c.Topic(t.Context(), name)
				require.NoError(t, err)
				for epoch := range int32(50) {
					c.ApplyLeaderHints("", []LeaderHint{hintOf(name, epoch%3, epoch%2+1, epoch+1)}, nil)
					time.Sleep(time.Duration(i+1) * time.Microsecond)
				}
			})
		}
		wg.Wait()
		w.topics(topics[:10]...)
		for range 10 {
			c.Refresh()
			time.Sleep(time.Second)
		}
		synctest.Wait()
		require.Equal(t, 10, c.Snapshot().Len())
		require.Len(t, copied, 10)
		for name, topic := range c.Snapshot().Topics() {
			require.Same(t, topic, copied[name])
		}
	})
}

func TestOnlyTheTopicInTroubleIsRequested(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("a", 1, 0, 1), topicOf("b", 2, 0, 2))
	run(t, w, nil, func(t *testing.T, c *Client) {
		known(t, c, "a")
		known(t, c, "b")
		time.Sleep(time.Second)
		w.requests()
		c.RefreshTopic("b")
		c.RefreshTopic("nowhere")
		synctest.Wait()
		rs := w.requests()
		require.Len(t, rs, 1)
		require.Equal(t, []string{"b"}, rs[0].topics)
		require.False(t, rs[0].create)
		time.Sleep(time.Minute)
		require.Empty(t, w.requests())
	})
}

func TestARefreshOfATopicThatNobodyAnsweredIsRepeated(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("a", 1, 0, 1), topicOf("b", 2, 0, 2))
	run(t, w, nil, func(t *testing.T, c *Client) {
		known(t, c, "a")
		known(t, c, "b")
		time.Sleep(time.Second)
		w.become(nil, "a:1", "b:2", "c:3")
		for _, address := range []string{"a:1", "b:2", "c:3"} {
			w.cut(address)
		}
		c.RefreshTopic("b")
		time.Sleep(10 * time.Second)
		w.requests()
		w.become(kafka, "a:1", "b:2", "c:3")
		time.Sleep(3 * time.Second)
		rs := w.requests()
		require.NotEmpty(t, rs)
		require.Equal(t, []string{"b"}, rs[0].topics)
	})
}

func TestALeaderIsAwaitedUntilItIsThereOrNobodyAsksAnyMore(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("a", 1, 0, 1, protocol.NoLeader), topicOf("b", 2, 0, 2))
	run(t, w, nil, func(t *testing.T, c *Client) {
		known(t, c, "a")
		known(t, c, "b")
		time.Sleep(time.Second)
		w.requests()
		c.AwaitLeader("a", 1)
		time.Sleep(5 * time.Second)
		rs := w.requests()
		require.Greater(t, len(rs), 4)
		spaced(t, rs)
		for _, r := range rs {
			require.Equal(t, []string{"a"}, r.topics)
		}
		w.topics(topicOf("a", 1, 1, 1, 3), topicOf("b", 2, 0, 2))
		time.Sleep(2 * time.Second)
		require.EqualValues(t, 3, c.Snapshot().Topic("a").Partition(1).Leader)
		w.requests()
		time.Sleep(time.Minute)
		require.Empty(t, w.requests(), "it is there")

		w.topics(topicOf("a", 1, 2, 1, protocol.NoLeader), topicOf("b", 2, 0, 2))
		c.AwaitLeader("a", 1)
		time.Sleep(40 * time.Second) // request.timeout.ms is 30 s
		w.requests()
		time.Sleep(time.Minute)
		require.Empty(t, w.requests(), "nobody waits any more")
	})
}

func TestTheWaitForALeaderEndsThoughAnotherPartitionHasNone(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("a", 1, 0, 1, protocol.NoLeader))
	run(t, w, nil, func(t *testing.T, c *Client) {
		known(t, c, "a")
		w.requests()
		c.AwaitLeader("a", 0)
		time.Sleep(time.Minute)
		require.LessOrEqual(t, len(w.requests()), 1)
	})
}

// A topic can become known while a caller waits for the lock to request it.
func TestAKnownTopicThatIsWantedAllTheSameIsRefreshed(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("a", 1, 0, 1))
	run(t, w, nil, func(t *testing.T, c *Client) {
		known(t, c, "a")
		w.topics(refusedTopic("a", protocol.LeaderNotAvailable))
		c.mu.Lock()
		c.track("a", time.Now())
		c.mu.Unlock()
		c.wakeUp()
		synctest.Wait()
		w.topics(topicOf("a", 1, 1, 2))
		c.Refresh()
		time.Sleep(2 * time.Second)
		require.EqualValues(t, 2, c.Snapshot().Topic("a").Partition(0).Leader)
		c.mu.Lock()
		defer c.mu.Unlock()
		require.Zero(t, c.topics.wanted)
	})
}

func TestATopicIsForgottenOnlyIfItsUserLetsGo(t *testing.T) {
	w := newWorld()
	w.topics(topicOf("a", 1, 0, 1), topicOf("b", 2, 0, 2))
	var mu sync.Mutex
	asked, held := 0, true
	run(t, w, func(cfg *Config) {
		cfg.MaxAge, cfg.MaxIdle = time.Minute, 5*time.Minute
		cfg.LetGo = func(name string) bool {
			mu.Lock()
			defer mu.Unlock()
			if name == "a" {
				asked++
			}
			return name == "b" || !held
		}
	}, func(t *testing.T, c *Client) {
		known(t, c, "a")
		known(t, c, "b")
		time.Sleep(10*time.Minute + time.Second)
		require.NotNil(t, c.Snapshot().Topic("a"))
		require.Nil(t, c.Snapshot().Topic("b"))
		mu.Lock()
		require.Greater(t, asked, 3)
		held = false
		mu.Unlock()
		time.Sleep(time.Minute)
		require.Zero(t, c.Snapshot().Len())
	})
}

// stepped returns a time with another wall clock and the same monotonic clock.
func stepped(at time.Time, step time.Duration) time.Time {
	const secondsShift = 30 // of the wall clock, in a time with a monotonic clock
	wall := (*uint64)(unsafe.Pointer(&at))
	*wall += uint64(int64(step/time.Second)) << secondsShift
	return at
}

// A producer must forget nothing when the wall clock steps forward, and must not keep anything for ever when it steps
// back.
func TestAStepOfTheWallClockDoesNotAgeATopic(t *testing.T) {
	began := time.Now()
	for _, step := range []time.Duration{time.Hour, -time.Hour} {
		used := &usage{began: began}
		used.touch(began.Add(time.Minute))
		after := stepped(began.Add(2*time.Minute), step)
		require.NotEqual(t, began.Add(2*time.Minute).Unix(), after.Unix(), "the clock has stepped")
		require.Equal(t, time.Minute, used.idleFor(after))
		used.touch(after)
		require.Zero(t, used.idleFor(began.Add(2*time.Minute)))
		require.Equal(t, time.Hour, used.idleFor(after.Add(time.Hour)))
	}
}
