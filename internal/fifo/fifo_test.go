package fifo

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheQueueIsFirstInFirstOut(t *testing.T) {
	var q Queue[int]
	in, out := 0, 0
	for round := range 500 {
		for range round % 7 {
			q.Push(in)
			in++
		}
		for range round % 6 {
			if q.Len() > 0 {
				require.Equal(t, out, q.At(0))
				require.Equal(t, in-1, q.At(q.Len()-1))
				require.Equal(t, out, q.Pop())
				if round%3 == 0 {
					q.Unpop(out)
					require.Equal(t, out, q.Pop())
				}
				out++
			}
		}
		require.Equal(t, in-out, q.Len())
	}
	for q.Len() > 0 {
		require.Equal(t, out, q.Pop())
		out++
	}
	require.Equal(t, in, out)
	require.LessOrEqual(t, cap(q.items), keeps, "an empty queue gives back what a burst took")
}

func TestUnpopPutsAnElementFirst(t *testing.T) {
	var q Queue[int]
	q.Unpop(2)
	q.Unpop(1)
	q.Push(3)
	for want := 1; q.Len() > 0; want++ {
		require.Equal(t, want, q.Pop())
	}
}

func TestSeveralItemsTakeThePlaceOfOne(t *testing.T) {
	for popped := range 3 {
		for i, want := range [][]int{{7, 8, 9, 1, 2}, {0, 7, 8, 9, 2}, {0, 1, 7, 8, 9}} {
			var q Queue[int]
			for v := range 3 + popped {
				q.Push(v - popped)
			}
			for range popped {
				q.Pop()
			}
			q.Replace(i, 7, 8, 9)
			var got []int
			for at, v := range q.All() {
				require.Equal(t, len(got), at)
				require.Equal(t, v, q.At(at))
				got = append(got, v)
			}
			require.Equal(t, want, got)
			for _, v := range want {
				require.Equal(t, v, q.Pop())
			}
			require.Zero(t, q.Len())
		}
	}
}

func TestASteadyFlowAllocatesNothing(t *testing.T) {
	var q Queue[int]
	for i := range 10 {
		q.Push(i)
	}
	require.Zero(t, testing.AllocsPerRun(10, func() {
		for range 1000 {
			q.Push(q.Pop())
			q.Unpop(q.Pop())
		}
	}))
}
