package producer

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryStackMarkIsFound(t *testing.T) {
	for _, m := range []stackMark{1, 2, 3, 4, 5, 15, 16, 63, 64, 255, 256, 1<<40 + 7, 1<<64 - 1} {
		require.False(t, m.isOnStack())
		m.run(func() {
			require.True(t, m.isOnStack(), m)
			require.False(t, (m + 1).isOnStack(), m)
			require.False(t, (4 * m).isOnStack(), m)
			require.False(t, (m / 4).isOnStack(), m)
		})
		require.False(t, m.isOnStack())
	}
}

func TestStackMarksInsideEachOther(t *testing.T) {
	outer, inner := stackMark(6), stackMark(27)
	outer.run(func() {
		inner.run(func() {
			require.True(t, inner.isOnStack())
			require.True(t, outer.isOnStack())
			require.False(t, stackMark(6*64+27).isOnStack(), "two marks are not one")
		})
		require.False(t, inner.isOnStack())
		require.True(t, outer.isOnStack())
	})
}

func TestAStackMarkIsFoundFromFarAway(t *testing.T) {
	m := stackMark(9)
	var deep func(n int) bool
	deep = func(n int) bool {
		if n == 0 {
			return m.isOnStack()
		}
		return deep(n - 1)
	}
	require.False(t, deep(1000))
	m.run(func() { require.True(t, deep(1000)) })
}

func TestAStackMarkIsOfOneGoroutine(t *testing.T) {
	m := stackMark(3)
	m.run(func() {
		var wait sync.WaitGroup
		wait.Go(func() {
			if m.isOnStack() {
				t.Error("another goroutine runs beneath nothing")
			}
		})
		wait.Wait()
	})
}

func TestEveryProducerHasAnotherStackMark(t *testing.T) {
	require.NotEqual(t, newStackMark(), newStackMark())
	require.NotZero(t, newStackMark())
}

func BenchmarkStackMark(b *testing.B) {
	m := stackMark(200)
	b.ReportAllocs()
	for b.Loop() {
		m.run(func() {})
	}
}
