package producer

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/record"
)

// allOf is a topic with a leader for each partition.
func allOf(partitions int32) TopicView {
	available := make([]int32, partitions)
	for i := range available {
		available[i] = int32(i)
	}
	return newTopicView("t", partitions, available)
}

func pointer(v TopicView) *TopicView { return &v }

type partitionerFunc func(*Record, TopicView) int32

func (f partitionerFunc) Partition(r *Record, v TopicView) int32 { return f(r, v) }

func TestTopicViewHasTheAvailablePartitions(t *testing.T) {
	v := newTopicView("t", 5, []int32{1, 4})
	require.Equal(t, "t", v.Name())
	require.EqualValues(t, 5, v.Partitions())
	require.Equal(t, 2, v.AvailableCount())
	require.EqualValues(t, 4, v.AvailableAt(1))
	for p, available := range map[int32]bool{-1: false, 0: false, 1: true, 3: false, 4: true, 5: false} {
		require.Equal(t, available, v.IsAvailable(p), p)
	}
	all := allOf(3)
	for p, available := range map[int32]bool{-1: false, 0: true, 2: true, 3: false} {
		require.Equal(t, available, all.IsAvailable(p), p)
	}
}

// stickyTopicOf is a sticky choice among the partitions of view.
func stickyTopicOf(c *Config, view TopicView) *stickyTopic { return newStickyTopic(c, view, nil, 1) }

func TestANamedPartitionIsUsedAsItIs(t *testing.T) {
	c := DefaultConfig()
	c.Partitioner = partitionerFunc(func(*Record, TopicView) int32 { panic("not asked") })
	chooser := newPartitionChooser(&c)
	for _, n := range []int32{0, 2, 99} {
		p, err := chooser.choose(&Record{Partition: InPartition(n), Key: []byte("k")}, pointer(allOf(3)), nil)
		require.Nil(t, err)
		require.Equal(t, n, p)
	}
}

func TestKeysAreHashedOverAllPartitionsLeaderOrNot(t *testing.T) {
	c := DefaultConfig()
	chooser := newPartitionChooser(&c)
	view := newTopicView("t", 12, []int32{3})
	for _, v := range murmur2Vectors(t) {
		key := v.key
		if key == nil {
			key = []byte{} // an empty key is a key
		}
		p, err := chooser.choose(&Record{Key: key}, &view, nil)
		require.Nil(t, err)
		require.Equal(t, v.partitions[12], p)
	}
}

func TestNoKeyOrIgnoredKeysAreLeftToTheStickyChoice(t *testing.T) {
	c := DefaultConfig()
	view := newTopicView("t", 8, []int32{5}) // the choice by key ignores leaders, the sticky choice does not
	for key, ignored := range map[string]bool{"": false, "k": true, "another": true} {
		c.PartitionerIgnoreKeys = ignored
		chooser := newPartitionChooser(&c)
		r := &Record{}
		if key != "" {
			r.Key = []byte(key)
		}
		p, err := chooser.choose(r, &view, stickyTopicOf(&c, view))
		require.Nil(t, err)
		require.EqualValues(t, 5, p)
	}
}

// TestThereIsOnePartitionChoice: only builtIn calls the functions that choose, so both paths of Send choose equally.
func TestThereIsOnePartitionChoice(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		for _, decl := range file.Decls {
			f, is := decl.(*ast.FuncDecl)
			if !is || f.Name.Name == "builtIn" {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				call, is := n.(*ast.CallExpr)
				if !is {
					return true
				}
				switch f := call.Fun.(type) {
				case *ast.Ident:
					require.NotEqual(t, "PartitionForKey", f.Name, "%s chooses a partition beside builtIn", name)
				case *ast.SelectorExpr:
					sticky := strings.HasPrefix(name, "sticky_")
					require.False(t, f.Sel.Name == "pick" && !sticky, "%s chooses a partition beside builtIn", name)
				}
				return true
			})
		}
	}
}

func TestTheUsersPartitionerDecides(t *testing.T) {
	c := DefaultConfig()
	c.Partitioner = partitionerFunc(func(r *Record, v TopicView) int32 {
		r.Topic = "changed"
		return v.Partitions() - 1 - int32(len(r.Key))
	})
	chooser := newPartitionChooser(&c)
	r := &Record{Topic: "t", Key: []byte("k")}
	p, err := chooser.choose(r, pointer(allOf(8)), nil)
	require.Nil(t, err)
	require.EqualValues(t, 6, p)
	require.Equal(t, "t", r.Topic, "the partitioner got a copy")
}

func TestAPartitionerThatPanicsOrErrsFailsTheRecordAsNotWritten(t *testing.T) {
	var log strings.Builder
	c := DefaultConfig()
	c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	for detail, partition := range map[string]func(*Record, TopicView) int32{
		"panic: boom":             func(*Record, TopicView) int32 { panic("boom") },
		"chose partition 3 of 3":  func(*Record, TopicView) int32 { return 3 },
		"chose partition -1 of 3": func(*Record, TopicView) int32 { return -1 },
		"panic: runtime error: inv": func(r *Record, _ TopicView) int32 {
			var none *Record
			return int32(
				len(none.Key))
		},
	} {
		c.Partitioner = partitionerFunc(partition)
		chooser := newPartitionChooser(&c)
		_, err := chooser.choose(&Record{Topic: "t"}, pointer(allOf(3)), nil)
		require.NotNil(t, err, detail)
		require.ErrorIs(t, err, record.ErrPartitioner)
		require.Contains(t, err.Detail, detail)
		require.Equal(t, "t", err.Topic)
		require.EqualValues(t, -1, err.Partition)
		require.False(t, record.FateOf(err) == record.FateMaybeWritten)
		require.False(t, record.FateOf(err) == record.FateNotWritten)
	}
	require.Contains(t, log.String(), "partitioner panicked")
	require.Contains(t, log.String(), "partitioner_test.go", "the stack shows where")
}

func TestTheBuiltInChoiceAllocatesNothing(t *testing.T) {
	c := DefaultConfig()
	chooser := newPartitionChooser(&c)
	view := allOf(12)
	sticky := stickyTopicOf(&c, view)
	s := sticky.slots[0]
	key := []byte("k")
	require.Zero(t, testing.AllocsPerRun(100, func() {
		r := Record{Topic: "t", Key: key}
		if _, err := chooser.choose(&r, &view, sticky); err != nil {
			panic(err)
		}
		r.Key = nil
		p, err := chooser.choose(&r, &view, sticky)
		if err != nil || p != s.pick() {
			panic("not sticky")
		}
		s.appended(p, 1000, true)
		if s.current(p) && p != s.pick() {
			panic("two partitions at once")
		}
	}))
}

func stickyOf(batchSize int, view TopicView, load func(int32, time.Time) stickyLoad) *stickySlot {
	c := DefaultConfig()
	c.BatchSize = batchSize
	c.PartitionerAvailabilityTimeout = 100 * time.Millisecond
	return newStickySlot(&c, view, load, 42)
}

// switches returns how often the slot chooses each partition, in n choices with a full batch after each.
func switches(s *stickySlot, n int) map[int32]int {
	counts := map[int32]int{}
	for range n {
		p := s.pick()
		counts[p]++
		s.appended(p, int(s.batchSize), true)
	}
	return counts
}

func TestStickyStaysUntilABatchIsFull(t *testing.T) {
	s := stickyOf(1000, allOf(1000), nil)
	p := s.pick()
	s.appended(p, 400, false)
	s.appended(p, 400, true) // sealed by linger, below batch.size
	require.Equal(t, p, s.pick())
	s.appended(p, 199, true)
	require.Equal(t, p, s.pick())
	s.appended(p, 1, true)
	require.NotEqual(t, p, s.pick(), "batch.size bytes, and the batch is complete")
	require.False(t, s.current(p))
	require.True(t, s.current(s.pick()))
}

func TestStickyWaitsForAnOpenBatchUpToTwiceItsSize(t *testing.T) {
	s := stickyOf(1000, allOf(1000), nil)
	p := s.pick()
	s.appended(p, 1999, false)
	require.Equal(t, p, s.pick(), "the open batch takes more")
	s.appended(p, 0, true)
	require.NotEqual(t, p, s.pick(), "it is complete now")

	p = s.pick()
	s.appended(p, 2000, false)
	require.NotEqual(t, p, s.pick(), "twice batch.size in any case")
}

func TestStickyForgetsBytesOfThePartitionBefore(t *testing.T) {
	s := stickyOf(1000, allOf(1000), nil)
	p := s.pick()
	s.appended(p, 1000, true)
	next := s.pick()
	s.appended(p, 5000, true) // late
	require.Equal(t, next, s.pick())
	s.appended(next, 999, true)
	require.Equal(t, next, s.pick())
	s.appended(noChoice, 5000, true)
	require.Equal(t, next, s.pick())
}

func TestStickyCountsHugeRecordsWithoutOverflow(t *testing.T) {
	s := stickyOf(math.MaxInt32, allOf(1000), nil)
	p := s.pick()
	s.appended(p, math.MaxInt32, false)
	require.Equal(t, p, s.pick())
	s.appended(p, math.MaxInt32, false)
	require.NotEqual(t, p, s.pick())
	p = s.pick()
	s.appended(p, -5, false)
	require.Equal(t, p, s.pick())
}

func TestABatchSizeOfZeroChoosesForEveryRecord(t *testing.T) {
	s := stickyOf(0, allOf(1000), nil)
	p := s.pick()
	s.appended(p, 70, true)
	require.NotEqual(t, p, s.pick())
}

func TestStickyGivesEveryPartitionAsMuch(t *testing.T) {
	const n, partitions = 60000, 12
	for p, count := range switches(stickyOf(1000, allOf(partitions), nil), n) {
		require.InDelta(t, n/partitions, count, n/partitions/10, "partition %d", p)
	}
}

func TestStickyChoosesAmongPartitionsWithALeader(t *testing.T) {
	counts := switches(stickyOf(1000, newTopicView("t", 6, []int32{1, 4}), nil), 10000)
	require.Len(t, counts, 2)
	require.InDelta(t, 5000, counts[1], 500)
	require.InDelta(t, 5000, counts[4], 500)
	require.Len(t, switches(stickyOf(1000, newTopicView("t", 6, nil), nil), 1000), 6, "without any leader among all")
}

func TestStickyWithoutPartitionsHasNoChoice(t *testing.T) {
	s := stickyOf(1000, newTopicView("t", 0, nil), nil)
	require.Equal(t, noChoice, s.pick())
	s.update(allOf(3))
	require.NotEqual(t, noChoice, s.pick())
	s.update(newTopicView("t", 0, nil))
	require.Equal(t, noChoice, s.pick())
}

func TestStickyLeavesAPartitionThatLostItsLeader(t *testing.T) {
	s := stickyOf(1000, allOf(3), nil)
	p := s.pick()
	s.update(newTopicView("t", 3, []int32{(p + 1) % 3}))
	require.Equal(t, (p+1)%3, s.pick())
	s.update(newTopicView("t", 3, nil))
	require.Equal(t, (p+1)%3, s.pick(), "nobody has a leader: no reason to go")
	s.update(newTopicView("t", 1, nil))
	require.Zero(t, s.pick(), "a smaller topic made anew")
}

func TestStickyUsesPartitionsThatWereAdded(t *testing.T) {
	s := stickyOf(1000, allOf(2), nil)
	require.Len(t, switches(s, 1000), 2)
	s.update(allOf(4))
	require.Len(t, switches(s, 1000), 4)
}

func TestAdaptiveWeighsPartitionsByTheirQueues(t *testing.T) {
	queues := []int32{0, 3, 1}
	s := stickyOf(1000, allOf(3), func(p int32, _ time.Time) stickyLoad { return stickyLoad{queued: queues[p]} })
	const n = 80000
	counts := switches(s, n)
	for p, weight := range []int{4, 1, 3} {
		require.InDelta(t, n*weight/8, counts[int32(p)], n/100, "partition %d", p)
	}
}

func TestAdaptiveLeavesOutStalledPartitions(t *testing.T) {
	stalled := map[int32]time.Duration{0: 101 * time.Millisecond, 1: 100 * time.Millisecond}
	s := stickyOf(1000, allOf(4), func(p int32, _ time.Time) stickyLoad { return stickyLoad{stalled: stalled[p]} })
	counts := switches(s, 9000)
	require.Zero(t, counts[0])
	for _, p := range []int32{1, 2, 3} {
		require.InDelta(t, 3000, counts[p], 300, "partition %d", p)
	}
}

func TestAllPartitionsStalledIsNoReasonToChooseNone(t *testing.T) {
	s := stickyOf(1000, allOf(3), func(p int32, _ time.Time) stickyLoad {
		return stickyLoad{queued: p,
			stalled: time.Hour}
	})
	require.Len(t, switches(s, 1000), 3)
}

func TestStallsCountOnlyWithATimeoutAndQueuesOnlyWhenAdaptive(t *testing.T) {
	load := func(p int32, _ time.Time) stickyLoad {
		return stickyLoad{queued: 100 * p, stalled: time.Duration(p) * time.Hour}
	}
	c := DefaultConfig()
	s := newStickySlot(&c, allOf(2), load, 42)
	require.NotZero(t, switches(s, 10000)[1], "a weight of 1 in 102, but not left out")
	c.PartitionerAdaptive = false
	c.PartitionerAvailabilityTimeout = time.Millisecond
	s = newStickySlot(&c, allOf(2), load, 42)
	require.InDelta(t, 5000, switches(s, 10000)[1], 500)
}

func TestAdaptiveFollowsQueuesAsTheyChange(t *testing.T) {
	long := int32(0)
	s := stickyOf(1000, allOf(2), func(p int32, _ time.Time) stickyLoad {
		if p == long {
			return stickyLoad{queued: 1000}
		}
		return stickyLoad{}
	})
	require.Greater(t, switches(s, 10000)[1], 9900)
	long = 1
	require.Greater(t, switches(s, 10000)[0], 9900)
}

func TestAdaptiveAsksOfManyPartitionsOnlyNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		s := stickyOf(1000, allOf(1600), func(int32, time.Time) stickyLoad { asked++; return stickyLoad{} })
		switches(s, 1009) // and a first choice
		require.Equal(t, 3*1600, asked, "a table serves for 401 choices")
		<-time.After(time.Second)
		switches(s, 1)
		require.Equal(t, 4*1600, asked, "a table is used for a second at most")
	})
}

func TestEqualSeedsChooseEquallyAndOthersDoNot(t *testing.T) {
	run := func(seed uint64) string {
		c := DefaultConfig()
		s := newStickySlot(&c, allOf(100), nil, seed)
		var b strings.Builder
		for range 20 {
			p := s.pick()
			fmt.Fprint(&b, p, " ")
			s.appended(p, c.BatchSize, true)
		}
		return b.String()
	}
	require.Equal(t, run(7), run(7))
	require.NotEqual(t, run(7), run(8))
}

func TestStickyServesManyGoroutines(t *testing.T) {
	s := stickyOf(1000, allOf(8), func(p int32, _ time.Time) stickyLoad { return stickyLoad{queued: p} })
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 5000 {
				p := s.pick()
				if p < 0 || p >= 8 {
					panic("no such partition")
				}
				s.appended(p, 100, i%7 == 0)
				if g == 0 && i%50 == 0 {
					s.update(allOf(int32(6 + i/50%3)))
				}
			}
		})
	}
	wg.Wait()
	s.update(newTopicView("t", 8, []int32{5}))
	require.EqualValues(t, 5, s.pick())
}
