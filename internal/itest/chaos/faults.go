package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/gosamsa/samsa/internal/itest/realkafka"
)

// Kind is a kind of fault.
type Kind string

// The kinds of faults.
const (
	// Kill ends a node as kill -9 does and starts it again.
	Kill Kind = "kill"
	// Hang stops a node's process, with its sockets open, and lets it go on.
	Hang Kind = "hang"
	// Restart restarts all nodes cleanly, one after the other.
	Restart Kind = "restart"
	// Move gives each partition another leader.
	Move Kind = "move"
	// Reassign takes one partition's leader from its replicas, and adds it again.
	Reassign Kind = "reassign"
	// Reset breaks connections with a TCP reset.
	Reset Kind = "reset"
	// AnswerLost lets requests through to the broker, drops the answers, and closes the connection.
	AnswerLost Kind = "answer-lost"
	// Cut breaks connections in the middle of a request.
	Cut Kind = "cut"
	// Silence lets no byte through in either direction.
	Silence Kind = "silence"
	// Slow lets bytes through one small piece at a time.
	Slow Kind = "slow"
)

// nodeKinds need the cluster to be whole; proxyKinds touch only connections.
var (
	nodeKinds  = []Kind{Kill, Hang, Restart, Move, Reassign}
	proxyKinds = []Kind{Reset, AnswerLost, Cut, Silence, Slow}
)

// Kinds returns all kinds.
func Kinds() []Kind { return slices.Concat(nodeKinds, proxyKinds) }

// ParseKinds reads kinds with commas between; "all", "nodes" and "proxy" stand for several.
func ParseKinds(text string) ([]Kind, error) {
	groups := map[string][]Kind{"all": Kinds(), "nodes": nodeKinds, "proxy": proxyKinds}
	var kinds []Kind
	for word := range strings.SplitSeq(text, ",") {
		switch k := Kind(strings.TrimSpace(word)); {
		case groups[string(k)] != nil:
			kinds = append(kinds, groups[string(k)]...)
		case slices.Contains(Kinds(), k):
			kinds = append(kinds, k)
		default:
			return nil, fmt.Errorf("there is no fault %q: all, nodes, proxy, or some of %v", k, Kinds())
		}
	}
	return kinds, nil
}

// Fault is one fault as it was drawn. Its random parts are drawn before it begins, so a seed gives the same faults to
// every client.
type Fault struct {
	Kind  Kind          `json:"kind"`
	Node  int32         `json:"node"`     // 0 is every node, for the proxy's faults
	Pause time.Duration `json:"pause_ns"` // before it
	Hold  time.Duration `json:"hold_ns"`  // how long it lasts, if the length is ours to choose
	Seed  uint64        `json:"seed"`     // of its details
}

func (f Fault) String() string {
	node := "every node"
	if f.Node > 0 {
		node = fmt.Sprintf("node %d", f.Node)
	}
	return fmt.Sprintf("%s of %s for %v", f.Kind, node, f.Hold)
}

// plan draws faults without end. Each kind comes once before one comes again.
type plan struct {
	random *rand.Rand
	kinds  []Kind
	left   []Kind
	nodes  int
}

func newPlan(seed uint64, kinds []Kind, nodes int) *plan {
	return &plan{random: rand.New(rand.NewPCG(seed, 0xfa017)), kinds: kinds, nodes: nodes}
}

func (p *plan) next() Fault {
	if len(p.left) == 0 {
		p.left = slices.Clone(p.kinds)
		p.random.Shuffle(len(p.left), func(i, j int) { p.left[i], p.left[j] = p.left[j], p.left[i] })
	}
	f := Fault{Kind: p.left[0], Node: int32(1 + p.random.IntN(p.nodes)), Seed: p.random.Uint64()}
	p.left = p.left[1:]
	f.Pause = p.between(500*time.Millisecond, 1500*time.Millisecond)
	f.Hold = p.between(time.Second, 5*time.Second)
	switch f.Kind {
	case Hang:
		f.Hold = p.between(time.Second, 8*time.Second) // less and more than it takes to be fenced
	case Silence:
		f.Hold = p.between(time.Second, 4*time.Second)
	case Restart, Move, Reassign:
		f.Hold = 0
	}
	if slices.Contains(proxyKinds, f.Kind) && p.random.IntN(3) == 0 {
		f.Node = 0
	}
	return f
}

func (p *plan) between(low, high time.Duration) time.Duration {
	return (low + time.Duration(p.random.Int64N(int64(high-low)))).Round(time.Millisecond)
}

// injector breaks a cluster and the network in front of it, for the topic of one run.
type injector struct {
	cluster *realkafka.Cluster
	network *Net
	nodes   int
	topic   string
}

// inject carries out a fault and returns when all is whole again: every replica in sync, and each leader the preferred
// one. An error is the cluster's fault, not the producer's.
func (in injector) inject(ctx context.Context, f Fault) error {
	random := rand.New(rand.NewPCG(f.Seed, 1))
	var err error
	switch f.Kind {
	case Kill:
		err = in.kill(ctx, f)
	case Hang:
		err = in.hang(ctx, f)
	case Restart:
		err = in.restart(ctx, random)
	case Move:
		err = in.move(ctx, random)
	case Reassign:
		err = in.reassign(ctx, random)
	default:
		in.strike(ctx, f, random)
		return nil
	}
	if err == nil {
		err = in.cluster.WaitInSync(ctx, in.topic)
	}
	if err == nil {
		err = in.cluster.ElectPreferred(ctx, in.topic)
	}
	if err != nil {
		return fmt.Errorf("%v: %w", f, err)
	}
	return nil
}

func (in injector) kill(ctx context.Context, f Fault) error {
	if err := in.cluster.Kill(ctx, f.Node); err != nil {
		return err
	}
	pause(ctx, f.Hold)
	return in.cluster.Restart(ctx, f.Node)
}

func (in injector) hang(ctx context.Context, f Fault) error {
	if err := in.cluster.Pause(f.Node); err != nil {
		return err
	}
	pause(ctx, f.Hold)
	return in.cluster.Resume(f.Node)
}

func (in injector) restart(ctx context.Context, random *rand.Rand) error {
	for _, i := range random.Perm(in.nodes) {
		id := int32(i + 1)
		if err := in.cluster.Stop(ctx, id); err != nil {
			return err
		}
		if err := in.cluster.Restart(ctx, id); err != nil {
			return err
		}
		if err := in.cluster.WaitInSync(ctx, in.topic); err != nil {
			return err
		}
	}
	return nil
}

// move makes the second or third replica of each partition its first one, and so its leader.
func (in injector) move(ctx context.Context, random *rand.Rand) error {
	partitions, err := in.cluster.Partitions(ctx, in.topic)
	if err != nil {
		return err
	}
	for _, p := range partitions {
		i := 1 + random.IntN(len(p.Replicas)-1)
		p.Replicas[0], p.Replicas[i] = p.Replicas[i], p.Replicas[0]
		if err := in.cluster.Reassign(ctx, p.Topic, p.Partition, p.Replicas); err != nil {
			return err
		}
	}
	return in.cluster.ElectPreferred(ctx, in.topic)
}

func (in injector) reassign(ctx context.Context, random *rand.Rand) error {
	partitions, err := in.cluster.Partitions(ctx, in.topic)
	if err != nil {
		return err
	}
	p := partitions[random.IntN(len(partitions))]
	without := slices.DeleteFunc(slices.Clone(p.Replicas), func(id int32) bool { return id == p.Leader })
	if err := in.cluster.Reassign(ctx, p.Topic, p.Partition, without); err != nil {
		return err
	}
	return in.cluster.Reassign(ctx, p.Topic, p.Partition, append(without, p.Leader))
}

// strike breaks connections to one node or to all. A strike on open connections only is repeated until the time is
// over.
func (in injector) strike(ctx context.Context, f Fault, random *rand.Rand) {
	var proxies []*Proxy
	for id := int32(1); int(id) <= in.nodes; id++ {
		if f.Node == 0 || f.Node == id {
			proxies = append(proxies, in.network.Node(id))
		}
	}
	chunk, delay := 1+random.IntN(400), time.Duration(1+random.IntN(20))*time.Millisecond
	for end := time.Now().Add(f.Hold); ; {
		for _, p := range proxies {
			switch f.Kind {
			case Reset:
				p.Reset()
			case AnswerLost:
				p.LoseAnswers(time.Duration(random.IntN(300)) * time.Millisecond)
			case Cut:
				p.Cut(1 + random.IntN(3000))
			case Silence:
				p.Silence()
			case Slow:
				p.Slow(chunk, delay)
			}
		}
		left := time.Until(end)
		if left <= 0 || ctx.Err() != nil {
			break
		}
		pause(ctx, min(left, time.Duration(100+random.IntN(700))*time.Millisecond))
	}
	for _, p := range proxies {
		p.Heal()
		if f.Kind == Silence && random.IntN(2) == 0 {
			p.Reset() // the other half of the silent connections goes on with the held bytes
		}
	}
}

// pause waits for a time, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
