package sender

import (
	"errors"
	"flag"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

var (
	simSeed  = flag.Int64("seed", 1, "first seed of the simulation")
	simCount = flag.Int("count", 2000, "number of simulation runs")
)

// TestSimulatedBrokerAgreesWithOutcomes runs the core against a model of a broker and a bad network. Every choice comes
// from the seed, so a failing run replays exactly: go test ./sender -run Simulated -args -seed N -count 1.
func TestSimulatedBrokerAgreesWithOutcomes(t *testing.T) {
	for seed := *simSeed; seed < *simSeed+int64(*simCount); seed++ {
		s := newSim(seed)
		if problem := s.run(); problem != "" {
			t.Fatalf("seed %d: %s\n%s", seed, problem, strings.Join(s.trace, "\n"))
		}
	}
}

// TestSimulationIsDeterministic shows that a seed says it all.
func TestSimulationIsDeterministic(t *testing.T) {
	a, b := newSim(42), newSim(42)
	require.Equal(t, a.run(), b.run())
	require.Equal(t, a.trace, b.trace)
}

// sim is one partition's lane, one broker that is as strict as Kafka, and what lies between.
type sim struct {
	rng    *rand.Rand
	lane   lane
	cfg    laneConfig
	now    time.Time
	trace  []string
	newest identity

	sealed   []*simBatch
	batches  map[*parcel]*simBatch
	rebuild  []action
	nextID   int
	total    int
	log      []int // records, in the order of the log
	producer map[int64]*simProducer

	conn    []*simRequest   // the open connection: requests in order
	strayed [][]*simRequest // closed connections whose requests the broker may still find in its buffers

	told map[int]string // outcome of every record
}

type simBatch struct {
	parcel  *parcel
	records []int
}

type simRequest struct {
	batch    *simBatch
	id       identity
	sequence int32
	records  []int
	answer   *answer // once processed
}

// simProducer is a broker's state for one producer id.
type simProducer struct {
	epoch  int16
	next   int32
	recent []simAppend
}

type simAppend struct {
	sequence, last int32
	offset         int64
}

func newSim(seed int64) *sim {
	s := &sim{
		rng: rand.New(rand.NewSource(seed)), now: time.Unix(1000, 0), newest: identity{id: 1, valid: true},
		batches: map[*parcel]*simBatch{}, producer: map[int64]*simProducer{}, told: map[int]string{},
	}
	s.cfg = laneConfig{
		topic: "t", acks: -1, maxInFlight: 1 + s.rng.Intn(5), idempotent: true,
		retries:         []int{0, 1, 3, 1 << 30}[s.rng.Intn(4)],
		deliveryTimeout: []time.Duration{time.Second, 10 * time.Second}[s.rng.Intn(2)],
		backoff:         func(int) time.Duration { return 100 * time.Millisecond },
	}
	s.lane.cfg = &s.cfg
	if s.rng.Intn(3) == 0 {
		// Near the end of the sequences.
		s.lane.id, s.lane.next = s.newest, 1<<31-1-int32(s.rng.Intn(40))
	}
	s.total = 20 + s.rng.Intn(60)
	return s
}

func (s *sim) note(format string, args ...any) {
	s.trace = append(s.trace, fmt.Sprintf("%7v ", s.now.Sub(time.Unix(1000, 0)))+fmt.Sprintf(format, args...))
}

// run plays until everything has its outcome, and returns what went wrong.
func (s *sim) run() (problem string) {
	defer func() {
		if v := recover(); v != nil {
			problem = fmt.Sprintf("panic: %v", v)
		}
	}()
	for steps := 0; ; steps++ {
		calm := steps > 400
		if s.nextID >= s.total && len(s.sealed) == 0 && len(s.lane.window) == 0 {
			break
		}
		if steps > 5000 {
			return "it never ends"
		}
		s.step(calm)
	}
	for len(s.strayed) > 0 {
		s.processStray()
	}
	return s.check()
}

func (s *sim) step(calm bool) {
	choice := s.rng.Intn(100)
	switch {
	case choice < 15 && s.nextID < s.total:
		s.seal()
	case choice < 40:
		s.send()
	case choice < 60:
		s.process(calm)
	case choice < 78:
		s.deliver()
	case choice < 82 && !calm:
		s.disconnect()
	case choice < 84:
		s.processStray()
	case choice < 85 && !calm && len(s.lane.window) == 0 && len(s.strayed) == 0:
		// A broker forgets a producer that was idle for a day, or whose records are all gone.
		clear(s.producer)
		s.now = s.now.Add(2 * brokerForgets)
		s.note("broker forgets producers")
	case choice < 86 && !calm:
		s.restart()
	case choice < 90 && len(s.rebuild) > 0:
		s.rebuildOne()
	case choice < 92:
		s.lane.leaderMoved(s.lane.leader+1, s.now)
	default:
		s.now = s.now.Add(time.Duration(s.rng.Intn(200)) * time.Millisecond)
		s.carryOut(s.lane.tick(s.now))
	}
}

func (s *sim) seal() {
	n := min(1+s.rng.Intn(8), s.total-s.nextID)
	b := &simBatch{parcel: &parcel{count: int32(n), created: s.now, sequence: noSequence}}
	for range n {
		b.records = append(b.records, s.nextID)
		s.nextID++
	}
	s.batches[b.parcel] = b
	s.sealed = append(s.sealed, b)
	s.note("seal %v", b.records)
}

// send does what the glue does.
func (s *sim) send() {
	for len(s.sealed) > 0 && s.now.Sub(s.sealed[0].parcel.created) >= s.cfg.deliveryTimeout {
		s.tell(s.sealed[0].records, "not written")
		s.sealed = s.sealed[1:]
	}
	if used, wants := s.lane.wantsIdentity(); wants {
		if s.newest == used {
			s.newest.epoch++
		}
		s.lane.adopt(s.newest)
		s.note("identity %v", s.newest)
	}
	p, _ := s.lane.retryDue(s.now)
	if p == nil {
		if len(s.sealed) == 0 || !s.lane.admitsNew(s.now) {
			return
		}
		p, s.sealed = s.sealed[0].parcel, s.sealed[1:]
	}
	s.lane.sent(p)
	b := s.batches[p]
	s.conn = append(s.conn, &simRequest{batch: b, id: p.id, sequence: p.sequence, records: b.records})
	s.note("send %v epoch=%d sequence=%d", b.records, p.id.epoch, p.sequence)
}

// process lets the broker take the next request of the open connection.
func (s *sim) process(calm bool) {
	for _, r := range s.conn {
		if r.answer == nil {
			r.answer = s.handle(r, calm)
			s.note("broker answers %v: %s", r.records, r.answer.code.Name())
			return
		}
	}
}

// processStray lets the broker find a request of a closed connection in its buffers, or lose it.
func (s *sim) processStray() {
	if len(s.strayed) == 0 {
		return
	}
	i := s.rng.Intn(len(s.strayed))
	r := s.strayed[i][0]
	if s.strayed[i] = s.strayed[i][1:]; len(s.strayed[i]) == 0 {
		s.strayed = slices.Delete(s.strayed, i, i+1)
	}
	if s.rng.Intn(2) == 0 {
		return
	}
	a := s.handle(r, true)
	s.note("broker finds %v epoch=%d sequence=%d: %s", r.records, r.id.epoch, r.sequence, a.code.Name())
}

// handle is a broker: faults by chance, then the rules of Kafka's producer state.
func (s *sim) handle(r *simRequest, calm bool) *answer {
	fail := func(code protocol.ErrorCode) *answer { return &answer{code: code, offset: -1, logAppendTime: -1} }
	if !calm {
		switch s.rng.Intn(30) {
		case 0:
			return fail(protocol.NotLeaderOrFollower)
		case 1:
			return fail(protocol.NotEnoughReplicas)
		case 2:
			return fail(protocol.InvalidRecord)
		case 3:
			if len(r.records) > 1 {
				a := fail(protocol.InvalidRecord)
				a.blamed = map[int32]string{int32(s.rng.Intn(len(r.records))): "bad"}
				return a
			}
		case 4:
			return fail(protocol.MessageTooLarge)
		case 5:
			s.appendIfRight(r)
			return fail(protocol.NotEnoughReplicasAfterAppend)
		case 6:
			s.appendIfRight(r)
			return fail(protocol.RequestTimedOut)
		case 7:
			return fail(protocol.TopicAuthorizationFailed)
		}
	}
	return s.appendIfRight(r)
}

func (s *sim) appendIfRight(r *simRequest) *answer {
	fail := func(code protocol.ErrorCode) *answer { return &answer{code: code, offset: -1, logAppendTime: -1} }
	last := addSequence(r.sequence, int32(len(r.records))-1)
	p := s.producer[r.id.id]
	switch {
	case p == nil:
		p = &simProducer{epoch: r.id.epoch, next: r.sequence}
		s.producer[r.id.id] = p
	case r.id.epoch < p.epoch:
		return fail(protocol.InvalidProducerEpoch)
	case r.id.epoch > p.epoch:
		if r.sequence != 0 {
			return fail(protocol.OutOfOrderSequenceNumber)
		}
		*p = simProducer{epoch: r.id.epoch}
	}
	for _, a := range p.recent {
		if a.sequence == r.sequence && a.last == last {
			return &answer{offset: a.offset, logAppendTime: -1}
		}
	}
	if r.sequence != p.next {
		return fail(protocol.OutOfOrderSequenceNumber)
	}
	offset := int64(len(s.log))
	s.log = append(s.log, r.records...)
	p.next = addSequence(last, 1)
	p.recent = append(p.recent, simAppend{r.sequence, last, offset})
	if len(p.recent) > 5 {
		p.recent = p.recent[1:]
	}
	return &answer{offset: offset, logAppendTime: -1}
}

// deliver brings the oldest answer to the core.
func (s *sim) deliver() {
	if len(s.conn) == 0 || s.conn[0].answer == nil {
		return
	}
	r := s.conn[0]
	s.conn = s.conn[1:]
	s.note("answer of %v arrives: %s", r.records, r.answer.code.Name())
	s.carryOut(s.lane.answered(r.batch.parcel, *r.answer, s.now))
}

func (s *sim) disconnect() {
	if len(s.conn) == 0 {
		return
	}
	lost := s.conn
	s.conn = nil
	var unread []*simRequest
	for _, r := range lost {
		if r.answer == nil {
			unread = append(unread, r)
		}
	}
	if len(unread) > 0 {
		s.strayed = append(s.strayed, unread)
	}
	s.note("disconnect, %d requests unanswered", len(lost))
	for _, r := range lost {
		s.carryOut(s.lane.disconnected(r.batch.parcel, true, errors.New("reset"), s.now))
	}
}

// restart stops the broker cleanly and starts it. What its producers wrote last comes from a snapshot, which has one batch of
// each: Kafka does not recognise the ones before it any more.
func (s *sim) restart() {
	s.disconnect()
	s.strayed = nil
	for _, p := range s.producer {
		if n := len(p.recent); n > 1 {
			p.recent = p.recent[n-1:]
		}
	}
	s.note("broker restarts")
}

func (s *sim) carryOut(actions []action) {
	for _, a := range actions {
		b := s.batches[a.parcel]
		switch a.kind {
		case actComplete:
			s.tell(b.records, "acked")
		case actFail:
			s.tell(b.records, fate(a.err))
		case actReject, actSplit:
			s.rebuild = append(s.rebuild, a)
		}
	}
}

func fate(err *record.Error) string {
	if err.MaybeWritten {
		return "maybe"
	}
	return "not written"
}

// rebuildOne does what a worker does.
func (s *sim) rebuildOne() {
	a := s.rebuild[0]
	s.rebuild = s.rebuild[1:]
	b := s.batches[a.parcel]
	var groups [][]int
	if a.kind == actSplit {
		half := len(b.records) / 2
		groups = [][]int{b.records[:half], b.records[half:]}
	} else {
		var rest []int
		for i, r := range b.records {
			if err := a.blamed[int32(i)]; err != nil {
				s.tell([]int{r}, fate(err))
			} else {
				rest = append(rest, r)
			}
		}
		if len(rest) > 0 {
			groups = [][]int{rest}
		}
	}
	var parts []*parcel
	for _, g := range groups {
		part := &simBatch{parcel: &parcel{count: int32(len(g)), created: a.parcel.created, sequence: noSequence}, records: g}
		s.batches[part.parcel] = part
		parts = append(parts, part.parcel)
	}
	s.note("rebuild %v as %v", b.records, groups)
	s.carryOut(s.lane.replace(a.parcel, parts))
}

func (s *sim) tell(records []int, outcome string) {
	for _, r := range records {
		if before, told := s.told[r]; told {
			panic(fmt.Sprintf("record %d was told %q, and now %q", r, before, outcome))
		}
		s.told[r] = outcome
	}
	s.note("tell %v: %s", records, outcome)
}

// check compares what was told with what the log holds.
func (s *sim) check() string {
	where := map[int]int{}
	for at, r := range s.log {
		if _, twice := where[r]; twice {
			return fmt.Sprintf("record %d is in the log twice", r)
		}
		where[r] = at
	}
	for r := range s.total {
		_, there := where[r]
		switch outcome := s.told[r]; {
		case outcome == "":
			return fmt.Sprintf("record %d was never told", r)
		case outcome == "acked" && !there:
			return fmt.Sprintf("record %d was acknowledged and is not in the log", r)
		case outcome == "not written" && there:
			return fmt.Sprintf("record %d was told not written and is in the log", r)
		}
	}
	if !slices.IsSorted(s.log) {
		return fmt.Sprintf("the log is out of order: %v", s.log)
	}
	return ""
}
