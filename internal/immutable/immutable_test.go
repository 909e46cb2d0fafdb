package immutable

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// A random history of a Map equals that of a Go map, and every version stays as it was.
func TestTheMapAgreesWithAGoMapAndKeepsItsVersions(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var m Map[int]
	want := make(map[string]int)
	type version struct {
		m    Map[int]
		want map[string]int
	}
	var versions []version
	for i := range 20_000 {
		key := fmt.Sprint(random.IntN(700))
		if random.IntN(5) < 2 {
			m = m.Without(key)
			delete(want, key)
		} else {
			m = m.With(key, i)
			want[key] = i
		}
		require.Equal(t, len(want), m.Len())
		if i%500 == 0 {
			versions = append(versions, version{m, maps.Clone(want)})
		}
	}
	for _, v := range versions {
		require.Equal(t, v.want, maps.Collect(v.m.All()))
		for i := range 700 {
			got, ok := v.m.Get(fmt.Sprint(i))
			expected, there := v.want[fmt.Sprint(i)]
			require.Equal(t, there, ok)
			require.Equal(t, expected, got)
		}
	}
}

func TestAMapThatWasEmptiedIsTheZeroMap(t *testing.T) {
	var m Map[int]
	for i := range 1000 {
		m = m.With(fmt.Sprint(i), i)
	}
	for i := range 1000 {
		m = m.Without(fmt.Sprint(i))
	}
	require.Equal(t, Map[int]{}, m)
	require.Equal(t, Map[int]{}, m.Without("x"))
}

// Keys of one hash are found one by one, with any hash function.
func TestKeysOfOneHashShareALeaf(t *testing.T) {
	var n *node[int]
	const hash = 7
	with := func(hash uint64, key string, value int) (added bool) {
		n, added = n.with(0, &node[int]{hash: hash, key: key, value: value})
		return added
	}
	for i := range 5 {
		require.True(t, with(hash, fmt.Sprint(i), i))
	}
	require.False(t, with(hash, "3", 33))
	require.True(t, with(hash|1<<62, "other", 9))
	n, removed := n.without(0, hash, "2")
	require.True(t, removed)
	_, removed = n.without(0, hash, "2")
	require.False(t, removed)
	got := maps.Collect(Map[int]{root: n}.All())
	require.Equal(t, map[string]int{"0": 0, "1": 1, "3": 33, "4": 4, "other": 9}, got)
}

func TestAnIterationCanEndEarly(t *testing.T) {
	var m Map[int]
	for i := range 100 {
		m = m.With(fmt.Sprint(i), i)
	}
	seen := 0
	for range m.All() {
		if seen++; seen == 3 {
			break
		}
	}
	require.Equal(t, 3, seen)
	for i := range VectorOf([]int{1, 2, 3}).All() {
		if seen++; i == 1 {
			break
		}
	}
	require.Equal(t, 5, seen)
}

func TestAVectorKeepsItsVersions(t *testing.T) {
	for _, n := range []int{1, 31, 32, 33, 1024, 1025, 40_000} {
		elements := make([]int, n)
		v := VectorOf(elements)
		next := v
		for _, i := range rand.Perm(n) {
			next = next.With(i, i+1)
		}
		require.Equal(t, n, next.Len())
		for i, e := range next.All() {
			require.Equal(t, i+1, *e)
			require.Equal(t, i+1, *next.At(i))
			require.Zero(t, *v.At(i))
		}
	}
	require.Zero(t, VectorOf[int](nil).Len())
	require.Panics(t, func() { VectorOf([]int{1}).At(1) })
	require.Panics(t, func() { VectorOf([]int{1}).At(-1) })
}

// The cost of a change must not follow the size.
func TestAChangeAllocatesLittleHoweverLargeTheMapIs(t *testing.T) {
	bytes := func(change func()) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 100 {
			change()
		}
		runtime.ReadMemStats(&after)
		return (after.TotalAlloc - before.TotalAlloc) / 100
	}
	cost := func(size int) (ofMap, ofVector uint64) {
		var m Map[int]
		for i := range size {
			m = m.With(fmt.Sprint(i), i)
		}
		v := VectorOf(make([]int, size))
		return bytes(func() { m.With("new", 1) }), bytes(func() { v.With(size/2, 1) })
	}
	smallMap, smallVector := cost(1000)
	largeMap, largeVector := cost(100_000)
	require.Less(t, largeMap, 3*smallMap)
	require.Less(t, largeVector, 3*smallVector)
}
