package delivery

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// TestEveryStepIsLegalOrPanics walks through every pair of a state and a step.
func TestEveryStepIsLegalOrPanics(t *testing.T) {
	legal := 0
	for state := Preparing; state <= Settled; state++ {
		for s := range steps {
			p := New(&Config{Strict: true})
			b := NewBatch(1, 1, time.Unix(0, 0), named("b"))
			b.state = state
			next := transitions[state][s]
			if next == 0 {
				require.PanicsWithValue(t, impossible{&b, s}, func() { p.step(&b, s) }, "%v, %v", state, s)
				require.Equal(t, state, b.state)
				continue
			}
			p.step(&b, s)
			require.Equal(t, next, b.state)
			legal++
		}
	}
	require.Equal(t, 18, legal, "the table has another length: look at the allowedIn and at the stories")
}

// loose returns a core as it is in a user's process, with a, b and c in flight and d unsent.
func loose(t *testing.T) (p *Partition, batches []*Batch, now time.Time) {
	cfg := Config{
		Topic: "t", Acks: -1, Idempotent: true, MaxInFlight: 5, Retries: 9, DeliveryTimeout: time.Minute,
		Backoff: func(int) time.Duration { return time.Millisecond },
	}
	p = New(&cfg)
	p.strict = false
	now = time.Unix(1000, 0)
	p.LeaderMoved(1, 1, now)
	p.IdentityReceived(Identity{ID: 7, Valid: true})
	p.isAcked, p.lastAck = true, now
	for _, name := range []string{"a", "b", "c"} {
		b := NewBatch(10, 100, now, named(name))
		p.Sealed(&b)
		batches = append(batches, &b)
	}
	require.Equal(t, batches, sendAll(p, now))
	d := NewBatch(10, 100, now, named("d"))
	p.Sealed(&d)
	return p, append(batches, &d), now
}

// fates returns the outcomes by the name of the batch, and requires one bug.
func fates(t *testing.T, outcomes []Outcome) map[string]string {
	t.Helper()
	got := map[string]string{}
	bugs := 0
	for _, o := range outcomes {
		switch o.Kind {
		case Bug:
			bugs++
			require.True(t, IsBug(o.Err))
			require.Contains(t, o.Err.Error(), "the partition was:\n")
		case Failed:
			require.NotContains(t, got, o.Batch.name(), "a second outcome")
			got[o.Batch.name()] = record.FateOf(o.Err).String()
		case Acknowledged:
			require.NotContains(t, got, o.Batch.name(), "a second outcome")
			got[o.Batch.name()] = "acknowledged"
		}
	}
	require.Equal(t, 1, bugs)
	return got
}

// goesOn requires that the partition sends d under another identity after the responses to all requests.
func goesOn(t *testing.T, p *Partition, d *Batch, now time.Time) {
	t.Helper()
	for _, b := range append([]*Batch(nil), p.window...) {
		if b.request.IsOutstanding() {
			p.Answered(b, b.attempt, &Answer{Code: protocol.None, Offset: 100}, now)
		}
	}
	p.Tick(now)
	for _, o := range p.Drain(nil) {
		require.NotEqual(t, Bug, o.Kind, o.String())
	}
	require.Empty(t, p.problem())
	require.Equal(t, []*Batch{d}, sendAll(p, now), p.String())
	require.NotEqual(t, Identity{ID: 7, Valid: true}, d.id, "under a new identity")
	p.Answered(d, d.attempt, &Answer{Offset: 200}, now)
	require.True(t, p.IsQuiet())
}

// TestAnImpossibleStepFailsItsBatchAsMaybeWritten: in a user's process the core does not panic, and the partition goes
// on.
func TestAnImpossibleStepFailsItsBatchAsMaybeWritten(t *testing.T) {
	p, batches, now := loose(t)
	batches[0].state = Retrying // a bug has changed it behind the core's back
	p.Answered(batches[0], batches[0].attempt, &Answer{Offset: 5}, now)
	require.Equal(t, map[string]string{"a": record.FateMaybeWritten.String()}, fates(t, p.Drain(nil)))
	p.Answered(batches[1], batches[1].attempt, &Answer{Offset: 15}, now)
	require.Equal(t, []Outcome{{Batch: batches[1], Offset: 15}}, p.Drain(nil), "the others have their own outcomes")
	goesOn(t, p, batches[3], now)
}

// TestAnImpossibleStateFailsTheWindow: beyond repair, all batches of the window end.
func TestAnImpossibleStateFailsTheWindow(t *testing.T) {
	maybe := record.FateMaybeWritten.String()
	alone, all := map[string]string{"a": maybe}, map[string]string{"a": maybe, "b": maybe, "c": maybe}
	for name, c := range map[string]struct {
		spoil func(p *Partition, batches []*Batch)
		want  map[string]string
	}{
		"a batch is nowhere": {func(p *Partition, _ []*Batch) { p.window = p.window[1:] }, alone},
		"the count is wrong": {func(p *Partition, batches []*Batch) { p.inFlight, batches[0].state = 17, Ready }, all},
		"a nil in the window": {func(p *Partition, batches []*Batch) {
			p.window = append(p.window, nil)
			batches[0].state = Ready
		}, all},
	} {
		t.Run(name, func(t *testing.T) {
			p, batches, now := loose(t)
			c.spoil(p, batches)
			p.Answered(batches[0], batches[0].attempt, &Answer{Offset: 5}, now)
			require.Equal(t, c.want, fates(t, p.Drain(nil)))
			goesOn(t, p, batches[3], now)
		})
	}
}

// TestAPanicOfTheBackoffEndsOnlyItsBatch: any panic in an event has the same exit.
func TestAPanicOfTheBackoffEndsOnlyItsBatch(t *testing.T) {
	p, batches, now := loose(t)
	p.cfg.Backoff = func(int) time.Duration { panic("no backoff") }
	p.Disconnected(batches[0], batches[0].attempt, true, errors.New("reset"), now)
	got := fates(t, p.Drain(nil))
	require.Equal(t, map[string]string{"a": record.FateMaybeWritten.String()}, got)
	goesOn(t, p, batches[3], now)
}

// TestAStrictCorePanics: tests and the race build must not overlook an impossible state.
func TestAStrictCorePanics(t *testing.T) {
	p, batches, now := loose(t)
	p.strict = true
	batches[0].request = NoRequest
	require.PanicsWithValue(t, "a batch that is in flight is unwritten, with no request\n"+p.String(),
		func() { p.Tick(now) })
	batches[0].request = Outstanding
	batches[0].state = Retrying
	require.Panics(t, func() { p.Answered(batches[0], batches[0].attempt, &Answer{}, now) })
}

// TestTheRaceBuildIsStrict: every test of the product runs under the race detector too.
func TestTheRaceBuildIsStrict(t *testing.T) {
	require.Equal(t, raceBuild, New(&Config{}).strict)
	require.True(t, New(&Config{Strict: true}).strict)
}
