package sender

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/cluster"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// TestScenarios runs the delivery core through the stories in testdata/core. A story is text that a person can read: what
// happens to one partition, and what the core decides. `go test ./sender -run Scenarios -rewrite` writes the decisions anew;
// read the difference before you commit it. The comments in run show each command.
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata/core", func(t *testing.T, path string) {
		s := newStory()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return s.run(t, d)
		})
	})
}

// story is one partition, its sealed batches, and a clock that only ticks move.
type story struct {
	delivery deliveryState
	cfg      deliveryConfig
	now      time.Time
	queue    []*batchState          // sealed, not sent
	names    map[string]*batchState // every batch by its name
	nameOf   map[*batchState]string
	current  identity // the producer's newest
	cluster  string   // the cluster id of the metadata
}

func newStory() *story {
	s := &story{
		now: time.Unix(1000, 0), names: map[string]*batchState{}, nameOf: map[*batchState]string{},
		current: identity{id: 7, valid: true},
		cfg: deliveryConfig{
			topic: "t", acks: -1, maxInFlight: 5, retries: 1 << 30, deliveryTimeout: 120 * time.Second, idempotent: true,
			backoff: func(try int) time.Duration { return time.Duration(try) * 100 * time.Millisecond },
		},
	}
	s.delivery.cfg = &s.cfg
	s.delivery.leader = 1
	return s
}

func (s *story) run(t *testing.T, d *datadriven.TestData) (decided string) {
	defer func() {
		if v := recover(); v != nil {
			t.Fatalf("%s: %v", d.Pos, v)
		}
	}()
	switch d.Cmd {
	// config retries=3 max-in-flight=2 delivery-timeout-ms=5000 plain: before the first batch. plain is without idempotence.
	case "config":
		return s.config(t, d)
	// seal a b count=5: two batches of five records are ready to be sent. Without count they have ten.
	case "seal":
		return s.seal(t, d)
	// send by-id: everything that may be sent goes into requests. With by-id the requests name the topic by its id.
	case "send":
		return s.send(d.HasArg("by-id"))
	// answer a NOT_ENOUGH_REPLICAS, answer a NONE offset=7 by-id, answer a INVALID_RECORD blamed=(1,3): the broker's response for a batch.
	case "answer":
		return s.answer(t, d)
	// disconnect a unsent: the connection broke before the response. With unsent, no byte of the request was written.
	case "disconnect":
		p := s.names[d.CmdArgs[0].Key]
		return s.done(s.delivery.disconnected(p, !d.HasArg("unsent"), fmt.Errorf("connection reset"), s.now))
	// unsendable a: no request can carry the batch.
	case "unsendable":
		return s.done(s.delivery.unsendable(s.names[d.CmdArgs[0].Key], fmt.Errorf("record is too large")))
	// tick 250ms: time passes.
	case "tick":
		after, err := time.ParseDuration(d.CmdArgs[0].Key)
		require.NoError(t, err)
		s.now = s.now.Add(after)
		return s.done(s.delivery.tick(s.now))
	// leader epoch=2: the metadata reports a leader with this epoch.
	case "leader":
		return s.done(s.delivery.leaderMoved(int32(integer(t, d, "epoch", 0)), s.now))
	// recreated incarnation=1: the topic was deleted and recreated. With an earlier incarnation, that topic is back.
	case "recreated":
		return s.done(s.delivery.recreated(integer(t, d, "incarnation", s.delivery.incarnations+1)))
	// cluster x: the metadata reports the id of the cluster.
	case "cluster":
		s.cluster = d.CmdArgs[0].Key
		return s.done(s.delivery.clusterIs(s.cluster))
	// sequence next=2147483640: the next batch gets this sequence.
	case "sequence":
		s.delivery.next = int32(integer(t, d, "next", 0))
		return s.done(nil)
	// epoch now=3: another partition moved the producer to this epoch.
	case "epoch":
		s.current.epoch = int16(integer(t, d, "now", 0))
		return s.done(nil)
	// id now=9: another partition got this producer id.
	case "id":
		s.current = identity{id: int64(integer(t, d, "now", 0)), valid: true, cluster: s.cluster}
		return s.done(nil)
	// abort: the producer closes.
	case "abort":
		return s.done(s.delivery.abort(fmt.Errorf("producer is closed")))
	// replace a left=5 right=5: these batches, of so many records each, take the place of a split or rejected one.
	case "replace":
		return s.replace(d)
	}
	t.Fatalf("unknown command %q", d.Cmd)
	return ""
}

func integer(t *testing.T, d *datadriven.TestData, key string, otherwise int) int {
	for _, a := range d.CmdArgs {
		if a.Key == key {
			n, err := strconv.Atoi(a.Vals[0])
			require.NoError(t, err)
			return n
		}
	}
	return otherwise
}

func (s *story) config(t *testing.T, d *datadriven.TestData) string {
	s.cfg.maxInFlight = integer(t, d, "max-in-flight", s.cfg.maxInFlight)
	s.cfg.retries = integer(t, d, "retries", s.cfg.retries)
	s.cfg.deliveryTimeout = time.Duration(integer(t, d, "delivery-timeout-ms", int(s.cfg.deliveryTimeout.Milliseconds()))) * time.Millisecond
	if d.HasArg("plain") {
		s.cfg.idempotent = false
	}
	return ""
}

func (s *story) seal(t *testing.T, d *datadriven.TestData) string {
	for _, a := range d.CmdArgs {
		if a.Key == "count" {
			continue
		}
		s.queue = append(s.queue, s.batch(a.Key, int32(integer(t, d, "count", 10))))
	}
	return ""
}

func (s *story) batch(name string, count int32) *batchState {
	p := &batchState{count: count, created: s.now, sequence: noSequence}
	s.names[name], s.nameOf[p] = p, name
	return p
}

// send does what the glue does when a broker has room for requests: it sends all that the core lets go.
func (s *story) send(byID bool) string {
	var sent []string
	for {
		if used, wants := s.delivery.wantsIdentity(); wants && (len(s.queue) > 0 || s.delivery.hasRetrying()) {
			s.delivery.setIdentity(s.identityAfter(used))
		}
		p, wait := s.delivery.retryDue(s.now)
		if p == nil && !wait.IsZero() {
			sent = append(sent, fmt.Sprintf("wait %v", wait.Sub(s.now)))
			break
		}
		if p == nil {
			if len(s.queue) == 0 || !s.delivery.canSendNew(s.now) {
				break
			}
			p, s.queue = s.queue[0], s.queue[1:]
		}
		p.byName = p.byName || !byID
		s.delivery.sent(p)
		text := "send " + s.nameOf[p]
		if s.cfg.idempotent {
			text += fmt.Sprintf(" id=%d epoch=%d sequence=%d", p.id.id, p.id.epoch, p.sequence)
		}
		sent = append(sent, text)
	}
	if len(sent) == 0 {
		sent = []string{"nothing to send"}
	}
	return strings.Join(sent, "\n") + "\n" + s.state()
}

// identityAfter does what the producer's identities do: the next epoch, or a new producer id.
func (s *story) identityAfter(used identity) identity {
	switch {
	case !cluster.SameCluster(s.current.cluster, s.cluster):
		s.current = identity{id: 0, valid: true, cluster: s.cluster} // each cluster assigns from 0 on
	case s.delivery.newID && s.current.id == used.id:
		s.current = identity{id: used.id + 1, valid: true, cluster: s.cluster}
	case s.current == used:
		s.current.epoch++
	}
	return s.current
}

func (s *story) answer(t *testing.T, d *datadriven.TestData) string {
	p := s.names[d.CmdArgs[0].Key]
	require.NotNil(t, p, "no batch %q", d.CmdArgs[0].Key)
	a := answer{code: codeNamed(t, d.CmdArgs[1].Key), offset: int64(integer(t, d, "offset", -1)), logAppendTime: -1}
	a.byID = d.HasArg("by-id")
	for _, arg := range d.CmdArgs[2:] {
		if arg.Key == "blamed" {
			a.blamed = map[int32]string{}
			for _, v := range arg.Vals {
				n, err := strconv.Atoi(v)
				require.NoError(t, err)
				a.blamed[int32(n)] = "bad record"
			}
		}
	}
	return s.done(s.delivery.answered(p, a, s.now))
}

func codeNamed(t *testing.T, name string) protocol.ErrorCode {
	for code := protocol.ErrorCode(-1); code < 200; code++ {
		if code.Name() == name {
			return code
		}
	}
	t.Fatalf("no error code %q", name)
	return 0
}

// replace puts the named batches, of count records each, in the place of the first.
func (s *story) replace(d *datadriven.TestData) string {
	var parts []*batchState
	for _, a := range d.CmdArgs[1:] {
		n, err := strconv.Atoi(a.Vals[0])
		if err != nil {
			return err.Error()
		}
		parts = append(parts, s.batch(a.Key, int32(n)))
	}
	return s.done(s.delivery.replace(s.names[d.CmdArgs[0].Key], parts))
}

// done prints what is to be done, and the state after it.
func (s *story) done(actions []action) string {
	var b strings.Builder
	for _, a := range actions {
		name := s.nameOf[a.batch]
		switch a.kind {
		case actComplete:
			fmt.Fprintf(&b, "complete %s at %d\n", name, a.offset)
		case actFail:
			fmt.Fprintf(&b, "fail %s, %v: %v\n", name, record.FateOf(a.err), a.err)
		case actSplit:
			fmt.Fprintf(&b, "split %s\n", name)
		case actReject:
			var blamed []int
			for i := range a.blamed {
				blamed = append(blamed, int(i))
			}
			sort.Ints(blamed)
			fmt.Fprintf(&b, "reject %v of %s\n", blamed, name)
		}
	}
	return b.String() + s.state()
}

func (s *story) state() string {
	if len(s.delivery.window) == 0 {
		return "idle\n"
	}
	var b strings.Builder
	for _, p := range s.delivery.window {
		fmt.Fprintf(&b, "  %s %v", s.nameOf[p], p.state)
		if s.cfg.idempotent && p.sequence != noSequence {
			fmt.Fprintf(&b, " sequence=%d", p.sequence)
		}
		if p.doubtful {
			b.WriteString(" doubtful")
		}
		for part := p.nextPart; part != nil; part = part.nextPart {
			fmt.Fprintf(&b, ", then %s waits", s.nameOf[part])
		}
		b.WriteString("\n")
	}
	return b.String()
}
