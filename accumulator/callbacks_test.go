package accumulator

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/record"
)

// callbackModel is the model of callbacks: a callback for each record.
type callbackModel struct {
	result Result
	want   []Callback
	slice  [2]*SliceCallback
}

func addCallback(r *Result, i int32, callback Callback) {
	if !r.callbacks.takes(i, callback) {
		r.grow(r.wanted(r.least(i, 0, callback), 0))
	}
	switch {
	case callback.One != nil:
		r.callbacks.addOne(i, callback.One)
	case callback.All != nil:
		r.callbacks.addToSlice(i, callback)
	}
}

// add appends a record as some sender may have sent it: alone or in a slice, with the slice's records one after the
// other or with others between.
func (m *callbackModel) add(rng *rand.Rand) {
	i := len(m.want)
	var callback Callback
	switch rng.IntN(8) {
	case 0:
	case 1:
		callback = Callback{One: func(record.RecordMetadata, error) {}}
	case 2:
		callback = Callback{All: m.slice[rng.IntN(2)], I: rng.IntN(10)}
	default:
		callback = Callback{All: m.slice[0], I: 100 + i}
	}
	m.want = append(m.want, callback)
	addCallback(&m.result, int32(i), callback)
}

func requireSameCallback(t *testing.T, want, got Callback) {
	t.Helper()
	require.Equal(t, want.One == nil, got.One == nil)
	require.Same(t, want.All, got.All)
	require.Equal(t, want.I, got.I)
}

func TestCallbacksAreThoseThatWereAddedAndNotTaken(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 0))
		m := callbackModel{slice: [2]*SliceCallback{sliceCallback(nil), sliceCallback(nil)}}
		for range rng.IntN(40) {
			m.add(rng)
		}
		taken := map[int]bool{}
		for i := range m.want {
			if rng.IntN(4) == 0 {
				require.Equal(t, !m.want[i].empty(), m.result.callbacks.drop(int32(i)))
				requireSameCallback(t, m.want[i], m.result.callbacks.take(int32(i)))
				taken[i] = true
			}
		}
		count := int32(0)
		for i, want := range m.want {
			if taken[i] {
				continue // nothing asks for the callback of a canceled record again
			}
			requireSameCallback(t, want, m.result.callbacks.at(int32(i)))
			requireSameCallback(t, want, m.result.callbacks.next(int32(i)))
			require.Equal(t, !want.empty(), m.result.callbacks.has(int32(i)))
			if !want.empty() {
				count++
			}
		}
		require.Equal(t, count, m.result.callbacks.n(), "seed %d", seed)
	}
}

// A slice's records need no memory of their own for their callbacks.
func TestCallbacksOfASliceAreOneRun(t *testing.T) {
	var r Result
	fn := sliceCallback(nil)
	for i := range int32(1000) {
		addCallback(&r, i, Callback{All: fn, I: 7 + int(i)})
	}
	require.Equal(t, []sliceRun{{fn: fn, n: 1000, i: 7}}, r.callbacks.all)
}
