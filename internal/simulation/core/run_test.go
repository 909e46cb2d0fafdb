package core

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/gosamsa/samsa/internal/delivery"
)

// This file is one run of the simulation: its draws from the seed, and its play.

// fault is a kind of trouble. Each run has some of them, and the shrinker takes them away one by one.
type fault uint8

const (
	faultReset fault = iota
	faultTorn
	faultUnsent
	faultHang
	faultKill
	faultStop
	faultMove
	faultLag
	faultReassign
	faultStaleMetadata
	faultServerError
	faultRefusal
	faultRetriable
	faultIdentityRefused
	faultBadRecords
	faultTooLarge
	faultThrottle
	faultSilent
	faultRemake
	faultForget
	faultNoIdentity
	faultRebuild
	faultTooOld
	faultClose
	faultReplace
	faultForgetTopic
	faultDecommission
	faultUnsendable
	faultSlowWrite
	faultSlowWorker
	faultKinds
)

var faultNames = [...]string{
	"reset", "torn", "unsent", "hang", "kill", "stop", "move", "lag", "reassign", "stale metadata", "server error",
	"refusal", "retriable",
	"identity refused", "bad records", "too large", "throttle", "silent", "remake", "forget", "no identity", "rebuild",
	"too old", "close", "replace",
	"forget topic", "decommission", "unsendable", "slow write", "slow worker",
}

// simLimits are the shrinker's cuts of a run, for a shorter story. The zero value cuts nothing.
type simLimits struct {
	without uint32 // excluded faults
	steps   int    // at most this number of steps before all faults end; 0 is no limit
	records int    // at most this number of records of each partition; 0 is no limit
}

// sim is one run.
type sim struct {
	rng     *rand.Rand
	limits  simLimits
	now     time.Time
	tracing bool
	trace   []string
	calm    bool // no fault strikes any more
	steps   int

	cfg            delivery.Config
	requestTimeout time.Duration
	batchSize      int
	faults         [faultKinds]bool
	bad            map[int]bool // records refused by brokers

	cluster *simCluster
	client  *simClient

	outcomes  []simOutcome // by record
	answering *simPart     // the part of the answer at the core
}

var simStart = time.Unix(1000, 0)

func newSim(seed int64, limits simLimits, tracing bool) *sim {
	s := &sim{rng: rand.New(rand.NewPCG(uint64(seed), 0)), limits: limits, now: simStart, tracing: tracing,
		bad: map[int]bool{}}
	s.configure()
	often := 1 + s.rng.IntN(3) // some runs have few faults, so the effect of each is visible
	for i := range s.faults {
		s.faults[i] = s.rng.IntN(6) < often && limits.without&(1<<i) == 0
	}
	s.cluster = newSimCluster(s, 1+s.rng.IntN(4), 1+s.rng.IntN(2), 1+s.rng.IntN(3))
	s.cluster.kind = simKafka{
		unknownProducers: s.rng.IntN(4) == 0, topicIDs: s.rng.IntN(3) != 0, hints: s.rng.IntN(2) == 0,
		stallsBelowMin: s.rng.IntN(2) == 0, staleMetadata: s.rng.IntN(5) == 0,
	}
	s.cluster.kind.namesDuplicates = s.cluster.kind.unknownProducers && s.rng.IntN(2) == 0
	if s.cluster.kind.remembers = 5; s.cluster.kind.namesDuplicates && s.rng.IntN(2) == 0 {
		s.cluster.kind.remembers = 1
	}
	s.client = newSimClient(s)
	s.client.ids.epoch, s.client.ids.retired = []int16{0, 0, 0, 32766}[s.rng.IntN(4)], -1
	s.steps = 50 + s.rng.IntN(600)
	if limits.steps > 0 {
		s.steps = min(s.steps, limits.steps)
	}
	if s.rng.IntN(4) != 0 {
		s.acquaint()
	}
	for _, l := range s.client.deliveries {
		s.populate(l, 5+s.rng.IntN(40))
	}
	s.note("acks=%d idempotent=%v max.in.flight=%d retries=%d delivery.timeout=%v request.timeout=%v min.insync.replicas=%d brokers=%d kafka=%+v faults: %s",
		s.cfg.Acks, s.cfg.Idempotent, s.cfg.MaxInFlight, s.cfg.Retries, s.cfg.DeliveryTimeout, s.requestTimeout,
		s.cluster.minISR, len(s.cluster.brokers),
		s.cluster.kind, s.faultList())
	return s
}

// acquaint gives the brokers and the client the controller's decisions at the start.
func (s *sim) acquaint() {
	for slot, l := range s.client.deliveries {
		for _, b := range s.cluster.brokers {
			s.cluster.learn(b, slot)
		}
		s.client.refresh(l)
	}
}

// configure draws the producer's configuration. Most runs have idempotence, with its many promises.
func (s *sim) configure() {
	s.cfg = delivery.Config{
		Topic: "t", Acks: -1, Idempotent: s.rng.IntN(4) != 0, MaxInFlight: 1 + s.rng.IntN(5),
		Retries:         []int{1, 3, 1 << 30}[s.rng.IntN(3)],
		DeliveryTimeout: []time.Duration{time.Second, 3 * time.Second, 20 * time.Second}[s.rng.IntN(3)],
		Backoff:         func(int) time.Duration { return 100 * time.Millisecond },
		Strict:          true,
	}
	if !s.cfg.Idempotent {
		s.cfg.Acks = []int16{-1, 1, 0}[s.rng.IntN(3)]
		s.cfg.MaxInFlight = []int{1, 1, 2, 8}[s.rng.IntN(4)]
		s.cfg.Retries = []int{0, 1, 1 << 30}[s.rng.IntN(3)]
	}
	s.requestTimeout = []time.Duration{300 * time.Millisecond, time.Second, time.Hour}[s.rng.IntN(3)]
	s.batchSize = 1 + s.rng.IntN(6)
}

// populate gives a partition its records, some of them bad, and lets it begin near the end of the sequences now and
// then.
func (s *sim) populate(l *simLane, n int) {
	if s.limits.records > 0 {
		n = min(n, s.limits.records)
	}
	for range n {
		l.records = append(l.records, s.newRecord(l))
		if s.hits(faultBadRecords, 15) {
			s.bad[len(s.outcomes)-1] = true
		}
	}
	if s.rng.IntN(3) == 0 && s.cfg.Idempotent && !s.cluster.kind.unknownProducers {
		if !s.client.ids.current.Valid {
			s.cluster.given++
			s.client.ids.current = delivery.Identity{ID: s.cluster.given, Epoch: s.client.ids.epoch, Valid: true,
				Cluster: s.cluster.id}
			s.client.ids.epoch, s.client.ids.retired = 0, -1
		}
		next := 1<<31 - 1 - int32(s.rng.IntN(30))
		l.delivery.ResumeAt(s.client.ids.current, next)
		l.ledger = simLedger{id: s.client.ids.current, adopted: true, end: next}
	}
}

func (s *sim) newRecord(l *simLane) int {
	s.outcomes = append(s.outcomes, simOutcome{slot: l.slot})
	return len(s.outcomes) - 1
}

func (s *sim) faultList() string {
	var names []string
	for i, on := range s.faults {
		if on {
			names = append(names, faultNames[i])
		}
	}
	return strings.Join(names, ", ")
}

// hits reports whether a fault strikes now, once in oneIn times. It draws in any case: without the fault the run stays
// almost the same.
func (s *sim) hits(f fault, oneIn int) bool {
	return s.rng.IntN(oneIn) == 0 && s.faults[f] && !s.calm
}

func (s *sim) note(format string, args ...any) {
	if s.tracing {
		s.trace = append(s.trace, fmt.Sprintf("%8v ", s.now.Sub(simStart))+fmt.Sprintf(format, args...))
	}
}

// run plays and returns the problem, or "".
func (s *sim) run() (problem string) {
	defer func() {
		if v := recover(); v != nil {
			problem = fmt.Sprint(v)
		}
	}()
	for range s.steps {
		s.step()
		s.inspect()
	}
	if !s.client.stopped && s.faults[faultClose] {
		s.client.stop()
	}
	s.settle()
	if problem := s.check(); problem != "" || s.client.stopped {
		return problem
	}
	return s.probe()
}

// step lets one thing happen.
func (s *sim) step() {
	c, rng := s.cluster, s.rng
	b := c.brokers[rng.IntN(len(c.brokers))]
	e := s.client.brokers[rng.IntN(len(c.brokers))]
	slot := rng.IntN(len(c.slots))
	l := s.client.deliveries[slot]
	switch choice := rng.IntN(100); {
	case choice < 10:
		s.client.fillBatch(l)
	case choice < 26:
		s.client.work(e)
	case choice < 42:
		c.read(b)
	case choice < 56:
		s.client.receive(e)
	case choice < 66:
		s.follow(b, slot)
	case choice < 72:
		s.learn(b, slot)
	case choice < 76:
		s.client.refresh(l)
	case choice < 78:
		s.client.ids.answer(s)
	case choice < 81:
		s.client.prepareOne(l)
		s.client.rebuildOne(l)
	case choice < 89:
		s.pass(time.Duration(1+rng.IntN(100)) * time.Millisecond)
	default:
		s.trouble(b, e, slot)
	}
}

// follow lets a replica copy, and its leader look at the replicas in sync.
func (s *sim) follow(b *simBroker, slot int) {
	if b.alive && !b.hung {
		s.cluster.fetch(b, slot)
		if s.rng.IntN(2) == 0 {
			s.cluster.expand(b, slot)
		}
	}
}

func (s *sim) learn(b *simBroker, slot int) {
	switch {
	case !b.alive || b.hung:
	case b.fenced && s.rng.IntN(2) == 0:
		s.cluster.unfence(b)
	default:
		s.cluster.learn(b, slot)
	}
}

// pass lets time go by, and timers fire, most of them at once.
func (s *sim) pass(d time.Duration) {
	s.now = s.now.Add(d)
	for _, e := range s.client.brokers {
		if e.conn != nil && len(e.conn.pending) > 0 && s.now.Sub(e.conn.pending[0].sentAt) >= s.requestTimeout {
			s.client.close(e)
		}
	}
	s.cluster.expireWaiting(s.now)
	for _, l := range s.client.deliveries {
		if s.calm || s.rng.IntN(4) != 0 {
			s.client.timer(l)
		}
	}
}

// trouble strikes with one fault.
func (s *sim) trouble(b *simBroker, e *simEndpoint, slot int) {
	c := s.cluster
	f := fault(s.rng.IntN(int(faultKinds)))
	once := s.rng.IntN(4) == 0
	if !s.faults[f] {
		return
	}
	switch {
	case f == faultReset:
		s.client.close(e)
	case b.gone:
	case f == faultHang && b.alive:
		b.hung = !b.hung
		s.note("broker %d hangs: %v", b.id, b.hung)
	case (f == faultHang || f == faultKill) && !b.alive && once, f == faultStop && !b.alive:
		c.start(b)
	case f == faultKill && b.alive && once:
		c.kill(b)
	case f == faultStop && b.alive && !b.hung && once:
		c.stop(b)
	case f == faultMove:
		s.moveOrFence(b, slot)
	case f == faultLag && b.alive && !b.hung:
		c.shrink(b, slot)
	case f == faultReassign:
		c.reassign(slot)
	case f == faultBadRecords:
		s.bad[s.rng.IntN(len(s.outcomes))] = true // the broker's rules have changed
	case f == faultTooLarge:
		c.limit = []int{1, 2, 3, 1 << 30}[s.rng.IntN(4)]
	case f == faultRemake && s.rng.IntN(2) == 0:
		c.remakeTopic(c.slots[slot].topic)
		for _, l := range s.client.deliveries {
			l.ledger.reasons++
		}
	case f == faultReplace && once:
		c.replace()
	case f == faultReplace:
		c.strangerWrites(slot)
	case f == faultForgetTopic:
		s.client.forget(s.client.deliveries[slot])
	case f == faultDecommission && once:
		c.decommission(b)
	case f == faultForget && s.quiet():
		s.pass(2 * time.Minute) // the core takes a minute without acknowledgements for long enough
		c.forget()
		for _, l := range s.client.deliveries {
			l.ledger.acked = false
			l.ledger.reasons++
		}
	case f == faultClose && once && !s.client.stopped && s.rng.IntN(4) == 0:
		s.client.stop()
	}
}

// moveOrFence is the controller's part: a dead or hanging broker loses its leaderships. Otherwise the leader changes
// without a reason.
func (s *sim) moveOrFence(b *simBroker, slot int) {
	if !b.alive || b.hung {
		if !b.fenced {
			s.cluster.fence(b)
		}
		return
	}
	s.cluster.elect(s.cluster.slots[slot].life)
}

// quiet reports whether nothing at all is under way.
func (s *sim) quiet() bool {
	for _, l := range s.client.deliveries {
		if !l.delivery.IsEmpty() {
			return false
		}
	}
	return !s.cluster.busy()
}

// round gives every broker and the client one step of each kind.
func (s *sim) round() {
	c := s.cluster
	for slot := range c.slots {
		for _, b := range c.brokers {
			c.learn(b, slot)
		}
		for _, b := range c.brokers {
			c.fetch(b, slot)
			c.expand(b, slot)
		}
		s.client.fillBatch(s.client.deliveries[slot])
		s.client.refresh(s.client.deliveries[slot])
		for range 3 {
			s.client.prepareOne(s.client.deliveries[slot])
		}
		s.client.rebuildOne(s.client.deliveries[slot])
	}
	s.client.ids.answer(s)
	for i, b := range c.brokers {
		s.client.work(s.client.brokers[i])
		for range 4 {
			c.read(b)
			s.client.receive(s.client.brokers[i])
		}
	}
	s.pass(20 * time.Millisecond)
	s.inspect()
}

// settle ends all faults and waits until every batch has its outcome and no request is on its way.
func (s *sim) settle() {
	s.note("from here on all is well")
	s.calm = true
	s.cluster.settle()
	most := 200 + int(s.cfg.DeliveryTimeout/(20*time.Millisecond))
	for range most {
		s.round()
		if s.over() {
			for range 10 {
				s.round()
			}
			return
		}
	}
	panic("it never ends")
}

func (s *sim) over() bool {
	for _, l := range s.client.deliveries {
		if len(l.records)+len(l.open)+len(l.preparing)+len(l.rebuild) > 0 || !s.client.stopped &&
			!l.delivery.IsEmpty() {
			return false
		}
	}
	return !s.cluster.busy()
}

// probe sends more records after all faults: the cluster must acknowledge them.
func (s *sim) probe() string {
	// A broker answers a request in two rounds: the last of eight in flight waits longer than the shortest timeout.
	s.requestTimeout = max(s.requestTimeout, time.Second)
	first := len(s.outcomes)
	for _, l := range s.client.deliveries {
		for range 3 {
			l.records = append(l.records, s.newRecord(l))
		}
	}
	s.settle()
	for i, o := range s.outcomes[first:] {
		if o.fate != fateAcked {
			return fmt.Sprintf("record %d was sent when all was well, and was told %v", first+i, o.fate)
		}
	}
	return s.check()
}

// shrink makes the story of a failing run shorter while it still fails: fewer faults, records, steps.
func shrink(seed int64) (limits simLimits) {
	fails := func(l simLimits) bool { return newSim(seed, l, false).run() != "" }
	for f := range faultKinds {
		if l := limits; true {
			if l.without |= 1 << f; fails(l) {
				limits = l
			}
		}
	}
	steps := newSim(seed, limits, false).steps
	for _, n := range []int{steps / 8, steps / 4, steps / 2, steps * 3 / 4} {
		if l := limits; n > 0 {
			if l.steps = n; fails(l) {
				limits = l
				break
			}
		}
	}
	for _, n := range []int{1, 2, 3, 5, 8, 13, 20} {
		l := limits
		if l.records = n; fails(l) {
			limits = l
			break
		}
	}
	return limits
}
