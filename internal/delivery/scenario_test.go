package delivery

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// TestScenarios runs the core through the stories in testdata/stories. A story is text for people: the events of one
// partition, and the core's decisions. `go test ./internal/delivery -run Scenarios -rewrite` rewrites the decisions;
// read the difference before you commit it. The comments in run show each command.
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		s := newStory()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return s.run(t, d)
		})
	})
}

// story is one partition, its batches, and a clock; only ticks move the clock.
type story struct {
	delivery *Partition
	cfg      Config
	now      time.Time
	batches  map[string]*Batch
	current  Identity // the producer's newest
	open     []string // names of the unsealed batches in the accumulator
}

// named is the owner of a story's batch.
type named string

func (n named) String() string { return string(n) }

func newStory() *story {
	s := &story{
		now: time.Unix(1000, 0), batches: map[string]*Batch{}, current: Identity{ID: 7, Valid: true},
		cfg: Config{
			Topic: "t", Acks: -1, MaxInFlight: 5, Retries: 1 << 30, DeliveryTimeout: 120 * time.Second,
			Idempotent: true, Strict: true,
			Backoff: func(try int) time.Duration { return time.Duration(try) * 100 * time.Millisecond },
		},
	}
	s.cfg.Source = s
	s.delivery = New(&s.cfg)
	s.delivery.LeaderMoved(1, 1, s.now)
	s.delivery.TopicIs(topicOf(0))
	return s
}

// topicOf is the id of the topic in its life n.
func topicOf(n int) protocol.UUID { return protocol.UUID{1, byte(n)} }

// Ready and Seal make the story the source of the core: it has the opened batches.
func (s *story) Ready() bool { return len(s.open) > 0 }

func (s *story) Seal() *Batch {
	b := s.batch(s.open[0], 10, 100)
	s.open = s.open[1:]
	return b
}

func (s *story) run(t *testing.T, d *datadriven.TestData) (decided string) {
	defer func() {
		if v := recover(); v != nil {
			t.Fatalf("%s: %v", d.Pos, v)
		}
	}()
	switch d.Cmd {
	// config retries=3 max-in-flight=2 delivery-timeout-ms=5000 plain: before the first batch. plain is without
	// idempotence.
	case "config":
		return s.config(t, d)
	// open a b: the accumulator has these batches ready. They are sealed when they can be sent.
	case "open":
		for _, a := range d.CmdArgs {
			s.open = append(s.open, a.Key)
		}
		return ""
	// seal a b count=5 preparing: two batches of five records, by default ten, are sealed. With preparing a worker has
	// them.
	case "seal":
		return s.seal(t, d)
	// prepared a: the worker is done with the batch.
	case "prepared":
		s.delivery.Prepared(s.batches[d.CmdArgs[0].Key], 100)
	// send by-id room=50 unwritten: requests take all batches that may be sent. With by-id the requests name the topic
	// by its id. room is their room in bytes; a batch has 100. With unwritten the connection still writes the batches
	// afterwards.
	case "send":
		return s.send(t, d)
	// written a: the connection has written the batch.
	case "written":
		s.delivery.WriteFinished(s.batches[d.CmdArgs[0].Key])
	// answer a NOT_ENOUGH_REPLICAS, answer a NONE offset=7 by-id, answer a INVALID_RECORD blamed=(1,3), answer a NONE
	// attempt=1: the broker's response for the last attempt of a batch, or for the given one.
	case "answer":
		s.answer(t, d)
	// disconnect a unsent: the connection broke before the response. With unsent, no byte of the request was written.
	case "disconnect":
		b := s.batches[d.CmdArgs[0].Key]
		s.delivery.Disconnected(b, b.attempt, !d.HasArg("unsent"), fmt.Errorf("connection reset"), s.now)
	// unsendable a: no request can carry the batch.
	case "unsendable":
		b := s.batches[d.CmdArgs[0].Key]
		s.delivery.Unsendable(b, b.attempt, fmt.Errorf("record is too large"))
	// replace a left=5 right=5: these batches, of five records each, take the place of a split or rejected one.
	case "replace":
		return s.replace(d)
	default:
		return s.runPartition(t, d)
	}
	return s.done()
}

// runPartition is run for the events of the partition.
func (s *story) runPartition(t *testing.T, d *datadriven.TestData) string {
	switch d.Cmd {
	// tick 250ms: time passes.
	case "tick":
		after, err := time.ParseDuration(d.CmdArgs[0].Key)
		require.NoError(t, err)
		s.now = s.now.Add(after)
		s.delivery.Tick(s.now)
	// leader epoch=2, leader broker=2 epoch=2: the metadata reports a leader with this epoch, on the same or another
	// broker. Without an epoch the metadata has none.
	case "leader":
		broker, _ := s.delivery.Leader()
		s.delivery.LeaderMoved(int32(integer(t, d, "broker", int(broker))), int32(integer(t, d, "epoch", -1)), s.now)
	// recreated incarnation=1: the topic was deleted and recreated. With an earlier incarnation, that topic is back.
	case "recreated":
		s.delivery.TopicIs(topicOf(integer(t, d, "incarnation", s.delivery.incarnations+1)))
	// cluster x: the metadata reports the id of the cluster.
	case "cluster":
		s.delivery.ClusterIs(d.CmdArgs[0].Key)
	// sequence next=2147483640: the next batch gets this sequence.
	case "sequence":
		s.delivery.ResumeAt(s.delivery.id, int32(integer(t, d, "next", 0)))
	// epoch now=3: another partition moved the producer to this epoch.
	case "epoch":
		s.current.Epoch = int16(integer(t, d, "now", 0))
	// id now=9: another partition got this producer id.
	case "id":
		s.current = Identity{ID: int64(integer(t, d, "now", 0)), Valid: true, Cluster: s.delivery.cluster}
	// refuse: the cluster refuses a producer id.
	case "refuse":
		s.delivery.Refused(&record.Error{Topic: "t", Err: &protocol.Error{Code: protocol.ClusterAuthorizationFailed}})
	// abort: the producer closes.
	case "abort":
		s.delivery.Closed(fmt.Errorf("producer is closed"), "")
	default:
		t.Fatalf("unknown command %q", d.Cmd)
	}
	return s.done()
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
	s.cfg.MaxInFlight = integer(t, d, "max-in-flight", s.cfg.MaxInFlight)
	s.cfg.Retries = integer(t, d, "retries", s.cfg.Retries)
	s.cfg.DeliveryTimeout = time.Duration(integer(t, d, "delivery-timeout-ms",
		int(s.cfg.DeliveryTimeout.Milliseconds()))) * time.Millisecond
	if d.HasArg("plain") {
		s.cfg.Idempotent = false
	}
	return ""
}

func (s *story) seal(t *testing.T, d *datadriven.TestData) string {
	size := 100
	if d.HasArg("preparing") {
		size = 0
	}
	for _, a := range d.CmdArgs {
		if a.Key != "count" && a.Key != "preparing" {
			s.delivery.Sealed(s.batch(a.Key, int32(integer(t, d, "count", 10)), size))
		}
	}
	return ""
}

func (s *story) batch(name string, count int32, size int) *Batch {
	b := NewBatch(count, size, s.now, named(name))
	s.batches[name] = &b
	return &b
}

// send calls Next until the core has nothing more to send.
func (s *story) send(t *testing.T, d *datadriven.TestData) string {
	var texts []string
	var sent []*Batch
	for {
		decision := s.delivery.Next(s.now, Room{Bytes: integer(t, d, "room", 1000), ByName: !d.HasArg("by-id")})
		switch decision.Kind {
		case NeedIdentity:
			s.delivery.IdentityReceived(s.identityAfter(decision))
			continue
		case Send:
			text := "send " + decision.Batch.name()
			if s.cfg.Idempotent {
				text += fmt.Sprintf(" id=%d epoch=%d sequence=%d", decision.Batch.id.ID, decision.Batch.id.Epoch,
					decision.Batch.sequence)
			}
			texts = append(texts, text)
			sent = append(sent, decision.Batch)
			continue
		case Wait:
			if decision.Batch != nil {
				texts = append(texts, "wait for the write of "+decision.Batch.name())
			} else {
				texts = append(texts, fmt.Sprintf("wait %v", decision.Until.Sub(s.now)))
			}
		case NoRoom:
			texts = append(texts, "no room")
		}
		break
	}
	for _, b := range sent {
		if !d.HasArg("unwritten") {
			s.delivery.WriteFinished(b)
		}
	}
	if len(texts) == 0 {
		texts = []string{"nothing to send"}
	}
	return strings.Join(texts, "\n") + "\n" + s.done()
}

// identityAfter plays the producer's identities: the next epoch, or a new producer id.
func (s *story) identityAfter(d Decision) Identity {
	switch {
	case !protocol.SameCluster(s.current.Cluster, s.delivery.cluster):
		s.current = Identity{ID: 0, Valid: true, Cluster: s.delivery.cluster} // each cluster assigns from 0 on
	case d.NeedID && s.current.ID == d.Used.ID:
		s.current = Identity{ID: d.Used.ID + 1, Valid: true, Cluster: s.delivery.cluster}
	case s.current == d.Used:
		s.current.Epoch++
	}
	return s.current
}

func (s *story) answer(t *testing.T, d *datadriven.TestData) {
	b := s.batches[d.CmdArgs[0].Key]
	require.NotNil(t, b, "no batch %q", d.CmdArgs[0].Key)
	a := Answer{Code: codeNamed(t, d.CmdArgs[1].Key), Offset: int64(integer(t, d, "offset", -1)), Time: -1,
		ByID: d.HasArg("by-id")}
	for _, arg := range d.CmdArgs[2:] {
		if arg.Key == "blamed" {
			a.Blamed = map[int32]string{}
			for _, v := range arg.Vals {
				n, err := strconv.Atoi(v)
				require.NoError(t, err)
				a.Blamed[int32(n)] = "bad record"
			}
		}
	}
	s.delivery.Answered(b, uint32(integer(t, d, "attempt", int(b.attempt))), &a, s.now)
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
	var parts []*Batch
	for _, a := range d.CmdArgs[1:] {
		n, err := strconv.Atoi(a.Vals[0])
		if err != nil {
			return err.Error()
		}
		parts = append(parts, s.batch(a.Key, int32(n), 50))
	}
	s.delivery.Replaced(s.batches[d.CmdArgs[0].Key], parts)
	return s.done()
}

// done prints the outcomes, and the state.
func (s *story) done() string {
	var b strings.Builder
	for _, o := range s.delivery.Drain(nil) {
		name := o.Batch.name()
		switch o.Kind {
		case Acknowledged:
			fmt.Fprintf(&b, "complete %s at %d\n", name, o.Offset)
		case Failed:
			fmt.Fprintf(&b, "fail %s, %v: %v\n", name, record.FateOf(o.Err), o.Err)
		case TooLarge:
			fmt.Fprintf(&b, "split %s\n", name)
		case Rejected:
			var blamed []int
			for i := range o.Blamed {
				blamed = append(blamed, int(i))
			}
			slices.Sort(blamed)
			fmt.Fprintf(&b, "reject %v of %s\n", blamed, name)
		}
	}
	return b.String() + s.delivery.String() + "\n"
}
