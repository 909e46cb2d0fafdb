package chaos

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// chaos does one run with Samsa and checks Samsa's promises. The faults are others each time; the log names their seed.
func chaos(t *testing.T, o Options) {
	t.Helper()
	c := wholeCluster(t)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	o.Client, o.Topic, o.Say = Samsa, t.Name(), t.Logf
	if o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	r, err := Run(ctx, c, o)
	require.NoError(t, err)
	if !r.OK() {
		require.NoError(t, r.WriteJournal(filepath.Join(c.Dir(), o.Topic+".journal")))
	}
	require.True(t, r.OK(), "%v", r)
	require.Equal(t, r.Sent, r.Acked+r.NotWritten+r.Maybe)
	require.NotZero(t, r.Acked)
	seen := map[Kind]bool{}
	for _, e := range r.Events {
		seen[e.Kind] = true
	}
	require.Len(t, seen, len(o.Faults), "every kind of fault happened")
}

func TestNothingIsLostDoubledOrReorderedWhileNodesAreKilledLeadersMoveAndConnectionsBreak(t *testing.T) {
	chaos(t, Options{
		Faults: []Kind{Kill, Move, Reassign, Reset, AnswerLost, Cut}, Overlap: true, Count: 3,
		ClientOptions: ClientOptions{Compression: "zstd"},
	})
}

func TestNothingIsLostDoubledOrReorderedWithAShortDeliveryTimeoutWhileNodesHangAndRestart(t *testing.T) {
	chaos(t, Options{
		Faults: []Kind{Hang, Restart, Silence, Slow}, Overlap: true, Count: 2,
		ClientOptions: ClientOptions{DeliveryTimeout: 2 * time.Second, RequestTimeout: 800 * time.Millisecond},
	})
}

func TestPlanDrawsTheSameFaultsForTheSameSeedAndEachKindBeforeOneComesAgain(t *testing.T) {
	draw := func(seed uint64) []Fault {
		p := newPlan(seed, Kinds(), nodes)
		faults := make([]Fault, 3*len(Kinds()))
		for i := range faults {
			faults[i] = p.next()
		}
		return faults
	}
	faults := draw(7)
	require.Equal(t, faults, draw(7))
	require.NotEqual(t, faults, draw(8))
	for begin := 0; begin < len(faults); begin += len(Kinds()) {
		seen := map[Kind]bool{}
		for _, f := range faults[begin : begin+len(Kinds())] {
			seen[f.Kind] = true
			require.LessOrEqual(t, f.Node, int32(nodes))
		}
		require.Len(t, seen, len(Kinds()))
	}
}

func TestParseKindsTakesNamesAndGroupsAndRefusesOthers(t *testing.T) {
	kinds, err := ParseKinds("kill, proxy")
	require.NoError(t, err)
	require.Equal(t, []Kind{Kill, Reset, AnswerLost, Cut, Silence, Slow}, kinds)
	kinds, err = ParseKinds("all")
	require.NoError(t, err)
	require.Equal(t, Kinds(), kinds)
	_, err = ParseKinds("kill,fire")
	require.ErrorContains(t, err, `"fire"`)
}
