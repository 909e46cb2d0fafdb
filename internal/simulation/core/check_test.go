package core

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/record"
)

var (
	simSeed  = flag.Int64("seed", 1, "first seed of the simulation")
	simCount = flag.Int("count", 2000, "number of simulation runs")
)

// TestSimulatedClusterAgreesWithOutcomes runs the core against a model of a cluster and a bad network. Every choice
// comes from the seed, so a failing run replays exactly: go test ./internal/simulation/core -run Simulated -args -seed
// N -count 1.
func TestSimulatedClusterAgreesWithOutcomes(t *testing.T) {
	for seed := *simSeed; seed < *simSeed+int64(*simCount); seed++ {
		if problem := newSim(seed, simLimits{}, false).run(); problem != "" {
			limits := shrink(seed)
			s := newSim(seed, limits, true)
			short := s.run()
			t.Fatalf("seed %d: %s\nwith less trouble: %s\n%s", seed, problem, short, strings.Join(s.trace, "\n"))
		}
	}
}

// TestSimulationIsDeterministic shows that a seed decides everything, and that tracing changes nothing.
func TestSimulationIsDeterministic(t *testing.T) {
	for seed := int64(1); seed <= 20; seed++ {
		a, b, untraced := newSim(seed, simLimits{}, true), newSim(seed, simLimits{}, true),
			newSim(seed, simLimits{}, false)
		require.Equal(t, a.run(), b.run())
		require.Equal(t, a.trace, b.trace)
		require.Empty(t, untraced.run())
		require.Equal(t, a.outcomes, untraced.outcomes)
	}
}

// fate is the reported fate of a record.
type fate uint8

const (
	fateUntold fate = iota
	fateAcked
	fateNotWritten
	fateMaybe
)

func (f fate) String() string {
	return [...]string{"nothing", "acked", "not written", "maybe written"}[f]
}

// simOutcome is the outcome of a record, as its sender knows it.
type simOutcome struct {
	slot   int
	fate   fate
	offset int64    // -1: unknown
	life   *simLife // the log of the acknowledgement; nil with acks=0
}

func (s *sim) tell(r int, f fate) *simOutcome {
	o := &s.outcomes[r]
	if o.fate != fateUntold {
		panic(fmt.Sprintf("record %d was told %v, and now %v", r, o.fate, f))
	}
	o.fate, o.offset = f, -1
	return o
}

func (s *sim) acked(b *simBatch, offset int64) {
	if s.answering == nil || s.answering.batch != b {
		panic(fmt.Sprintf("records %v were acknowledged without an answer", b.records))
	}
	for i, r := range b.records {
		o := s.tell(r, fateAcked)
		o.life = s.answering.appended
		if offset >= 0 {
			o.offset = offset + int64(i)
		}
	}
	s.note("tell %v: acked at %d", b.records, offset)
}

func (s *sim) fails(records []int, err *record.Error) {
	f := fateNotWritten
	if record.FateOf(err) == record.FateMaybeWritten {
		f = fateMaybe
	}
	for _, r := range records {
		s.tell(r, f)
	}
	if len(records) > 0 {
		s.note("tell %v: %v (%v)", records, f, err.Err)
	}
}

// check compares the outcomes with the logs.
func (s *sim) check() string {
	for r, o := range s.outcomes {
		if o.fate == fateUntold {
			return fmt.Sprintf("record %d was told nothing", r)
		}
	}
	for _, slot := range s.cluster.slots {
		for _, life := range slot.past {
			if problem := s.checkLog(life, life.deleted, false); problem != "" {
				return fmt.Sprintf("%s, before it was deleted: %s", slot, problem)
			}
		}
		if problem := s.checkLog(slot.life, s.cluster.truth(slot.life), true); problem != "" {
			return fmt.Sprintf("%s: %s", slot, problem)
		}
	}
	return ""
}

// checkLog checks one partition's log. The promises depend on the configuration:
//   - a record reported as not written is not in the log;
//   - acks=all: an acknowledged record is in the log, at its acknowledged offset; acks=1: it was there once;
//   - idempotence: no record is there twice; the order holds, except for a batch of unknown fate under a former
//     producer id;
//   - without idempotence, but with acks, max.in.flight=1 keeps the order of the batches that the client had not given
//     up when the broker took them.
func (s *sim) checkLog(life *simLife, log []*simEntry, lasting bool) string {
	where, seen := map[int]int64{}, map[int]bool{}
	var order []int
	for _, e := range log {
		if e.strangers {
			continue
		}
		for i, r := range e.records {
			if _, twice := where[r]; twice && s.cfg.Idempotent {
				return fmt.Sprintf("record %d is in the log twice", r)
			} else if !twice {
				where[r] = e.base + int64(i)
			}
			if s.cfg.Idempotent && !e.lapsed || !s.cfg.Idempotent && !e.stray && !seen[r] {
				seen[r] = true
				order = append(order, r)
			}
			if s.outcomes[r].fate == fateNotWritten {
				return fmt.Sprintf("record %d was told not written and is in the log", r)
			}
		}
	}
	// A request with the topic's name can reach a recreated topic while the former one refused others before it.
	again := life != life.slot.first() && !s.cluster.kind.topicIDs
	// With acks=0 the client does not know of requests on their way to a former leader, and that broker may lead again.
	inOrder := s.cfg.Idempotent || s.cfg.MaxInFlight == 1 && s.cfg.Acks != 0
	if inOrder && !again && !slices.IsSorted(order) {
		return fmt.Sprintf("the log is out of order: %v", order)
	}
	for r, o := range s.outcomes {
		if o.fate != fateAcked || o.life != life || o.life == nil {
			continue
		}
		if problem := s.checkAcked(r, o, log, where, lasting); problem != "" {
			return problem
		}
	}
	return ""
}

func (s *sim) checkAcked(r int, o simOutcome, log []*simEntry, where map[int]int64, lasting bool) string {
	if _, once := o.life.appended[r]; !once {
		return fmt.Sprintf("record %d was acknowledged and never written", r)
	}
	at, there := where[r]
	switch {
	case !lasting || s.cfg.Acks != -1:
		return ""
	case !there:
		return fmt.Sprintf("record %d was acknowledged and is not in the log", r)
	case o.offset >= 0 && at != o.offset && !slices.ContainsFunc(log,
		func(e *simEntry) bool { return holds(e, r, o.offset) }):
		return fmt.Sprintf("record %d was acknowledged at %d and is at %d", r, o.offset, at)
	}
	return ""
}

// holds reports whether a batch has the record at that offset. Without idempotence a record can be in the log more than
// once.
func holds(e *simEntry, r int, offset int64) bool {
	i := offset - e.base
	return !e.strangers && i >= 0 && i < int64(len(e.records)) && e.records[i] == r
}
