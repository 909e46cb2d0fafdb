package accumulator

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/record"
)

// hookModel is what hooks are to be like: a hook for each record.
type hookModel struct {
	result Result
	want   []Callback
	slice  [2]*SliceCallback
}

func addHook(r *Result, i int32, hook Callback) {
	if !r.hooks.takes(i, hook) {
		r.grow(r.wanted(r.least(i, 0, hook), 0))
	}
	switch {
	case hook.One != nil:
		r.hooks.addOne(i, hook.One)
	case hook.All != nil:
		r.hooks.addToSlice(i, hook)
	}
}

// add appends a record as some sender may have sent it: alone or in a slice, whose records come one after the other or with others between.
func (m *hookModel) add(rng *rand.Rand) {
	i := len(m.want)
	var hook Callback
	switch rng.IntN(8) {
	case 0:
	case 1:
		hook = Callback{One: func(record.RecordMetadata, error) {}}
	case 2:
		hook = Callback{All: m.slice[rng.IntN(2)], I: rng.IntN(10)}
	default:
		hook = Callback{All: m.slice[0], I: 100 + i}
	}
	m.want = append(m.want, hook)
	addHook(&m.result, int32(i), hook)
}

func requireSameHook(t *testing.T, want, got Callback) {
	t.Helper()
	require.Equal(t, want.One == nil, got.One == nil)
	require.Same(t, want.All, got.All)
	require.Equal(t, want.I, got.I)
}

func TestHooksAreThoseThatWereAddedAndNotTaken(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 0))
		m := hookModel{slice: [2]*SliceCallback{sliceCallback(nil), sliceCallback(nil)}}
		for range rng.IntN(40) {
			m.add(rng)
		}
		taken := map[int]bool{}
		for i := range m.want {
			if rng.IntN(4) == 0 {
				require.Equal(t, !m.want[i].empty(), m.result.hooks.drop(int32(i)))
				requireSameHook(t, m.want[i], m.result.hooks.take(int32(i)))
				taken[i] = true
			}
		}
		count := int32(0)
		for i, want := range m.want {
			if taken[i] {
				continue // nothing asks for the hook of a cancelled record again
			}
			requireSameHook(t, want, m.result.hooks.at(int32(i)))
			requireSameHook(t, want, m.result.hooks.next(int32(i)))
			require.Equal(t, !want.empty(), m.result.hooks.has(int32(i)))
			if !want.empty() {
				count++
			}
		}
		require.Equal(t, count, m.result.hooks.n(), "seed %d", seed)
	}
}

// A slice's records need no memory of their own for their hooks.
func TestHooksOfASliceAreOneRun(t *testing.T) {
	var r Result
	fn := sliceCallback(nil)
	for i := range int32(1000) {
		addHook(&r, i, Callback{All: fn, I: 7 + int(i)})
	}
	require.Equal(t, []sliceRun{{fn: fn, n: 1000, i: 7}}, r.hooks.all)
}
