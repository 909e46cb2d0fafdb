package accumulator

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

type element struct {
	number int
	place  links[element]
}

func inTest(e *element) *links[element] { return &e.place }

func TestListKeepsItsOrderAfterAnyRemoval(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 0))
		var l list[element]
		var want []*element
		for i := range 100 {
			if len(want) > 0 && rng.IntN(5) < 2 {
				at := rng.IntN(len(want))
				gone := want[at]
				l.remove(gone, inTest)
				require.Zero(t, gone.place, "it keeps no neighbour in memory")
				want = slices.Delete(want, at, at+1)
			} else {
				e := &element{number: i}
				l.push(e, inTest)
				want = append(want, e)
			}
			require.Equal(t, len(want), l.n)
			var forth, back []*element
			for e := l.first; e != nil; e = e.place.next {
				forth = append(forth, e)
			}
			for e := l.last; e != nil; e = e.place.prev {
				back = append(back, e)
			}
			slices.Reverse(back)
			require.True(t, slices.Equal(want, forth), "seed %d", seed)
			require.True(t, slices.Equal(want, back), "seed %d", seed)
			if len(want) == 0 {
				require.Zero(t, l)
				want = nil
			}
		}
	}
}
