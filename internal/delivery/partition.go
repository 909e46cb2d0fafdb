package delivery

import (
	"slices"
	"time"

	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// Identity is a producer id with its epoch, and the cluster that assigned it; the zero value is none. Clusters assign
// ids from the same start value, so the same numbers from two clusters are two identities.
type Identity struct {
	ID      int64
	Epoch   int16
	Valid   bool
	Cluster string // the cluster id; empty if the servers do not report one
	Grant   uint32 // counts the ids that servers gave to this producer; the client's own epochs keep it
}

// Config has the options of the decisions.
type Config struct {
	Topic           string
	Partition       int32
	Acks            int16         // acks: 0, 1, or -1 for all
	Idempotent      bool          // enable.idempotence
	MaxInFlight     int           // max.in.flight.requests.per.connection
	Retries         int           // retries
	DeliveryTimeout time.Duration // delivery.timeout.ms
	// Backoff returns the pause after attempt number try, with its jitter.
	Backoff func(try int) time.Duration
	// Source has the unsealed records. Nil is an empty one.
	Source Source
	// Strict panics on an impossible state. Tests set it; the race build always does. See check.go.
	Strict bool
}

// Source has the records of the partition that are not sealed yet. Next takes a batch from it only if the batch may be
// sent now, so that records can join their batch for as long as possible.
type Source interface {
	// Ready reports whether a batch could be sealed now.
	Ready() bool
	// Seal returns the next batch, or nil if there is none after all. A batch of size 0 is still being prepared.
	Seal() *Batch
}

// noSource is a Source without records.
type noSource struct{}

func (noSource) Ready() bool  { return false }
func (noSource) Seal() *Batch { return nil }

// Partition is the delivery state of one partition.
type Partition struct {
	cfg    *Config
	source Source

	// unsent has the sealed batches that no request had, in order, from head on.
	unsent []*Batch
	head   int
	// window has, in order, every batch that was in a request and is not settled, the unresolved ones too. Of a split
	// batch it also has the first part that was in no request. Further parts wait outside, linked by nextPart: a batch
	// can be cut into thousands of parts, and most events visit the whole window. A waiting part equals the part in
	// front of it in everything that events look at: it is retrying, without sequence and doubt, and of the same age.
	// So only an event that sends or ends the part in front concerns it.
	window   []*Batch
	waiting  int // parts outside the window
	inFlight int // batches with an outstanding request
	outcomes []Outcome

	id       Identity
	next     int32 // the sequence of the next batch
	numbered uint64
	isAcked  bool      // the leader acknowledged a batch under id, so it has a state for id
	lastAck  time.Time // the time of the last acknowledgement under id
	proven   bool      // some batch was acknowledged under id
	shared   bool      // another producer writes under id: its acknowledgements prove nothing
	hasGap   bool      // a batch with sequence gapAt failed for certain: later batches must be renumbered
	gapAt    int32
	needBump bool // the partition cannot go on under id
	needID   bool // and another epoch of the same producer id cannot replace it

	leader      int32 // the broker's id, or protocol.NoLeader
	leaderEpoch int32
	leftAt      time.Time // the time at which the leader changed while requests were outstanding; zero if none is owed

	topicID      protocol.UUID
	incarnation  int // the present one of the topic's lives
	incarnations int // the newest number of a life
	formerTopics []formerTopic
	cluster      string // the id of the cluster that leads the partition; empty while it is unknown

	hasOffset  bool  // the next three fields have values of this log
	isGrowing  bool  // acknowledged offsets have grown; a server without a log may answer with a constant
	lastOffset int64 // the offset of the last acknowledged record
	lastEpoch  int32 // the leader epoch under which its batch was sent

	closed *record.Error // the error of every batch since the producer closed; nil before
	strict bool
}

// formerTopic is a deleted topic of the same name, with its life.
type formerTopic struct {
	id          protocol.UUID
	incarnation int
}

// New returns the delivery state of a partition without batches, leader and identity.
func New(cfg *Config) *Partition {
	p := new(Partition)
	p.Init(cfg)
	return p
}

// Init is New for a Partition inside another struct.
func (p *Partition) Init(cfg *Config) {
	*p = Partition{cfg: cfg, source: cfg.Source, leader: protocol.NoLeader, leaderEpoch: -1}
	p.strict = cfg.Strict || raceBuild
	if p.source == nil {
		p.source = noSource{}
	}
}

// Identity returns the identity of new batches.
func (p *Partition) Identity() Identity { return p.id }

// InFlight returns the number of batches with an outstanding request.
func (p *Partition) InFlight() int { return p.inFlight }

// Leader returns the leader and its epoch.
func (p *Partition) Leader() (leader, epoch int32) { return p.leader, p.leaderEpoch }

// TopicID returns the topic's id; zero if it is unknown.
func (p *Partition) TopicID() protocol.UUID { return p.topicID }

// Incarnation returns the number of the topic's present life.
func (p *Partition) Incarnation() int { return p.incarnation }

// Incarnations returns the newest number of a life.
func (p *Partition) Incarnations() int { return p.incarnations }

// Cluster returns the id of the cluster that leads the partition; empty while it is unknown.
func (p *Partition) Cluster() string { return p.cluster }

// IsShared reports whether another producer writes under the partition's identity.
func (p *Partition) IsShared() bool { return p.shared }

// Window returns the batches that were in a request and are not settled. The caller must not change the slice.
func (p *Partition) Window() []*Batch { return p.window }

// Unsent returns the sealed batches that no request had. The caller must not change the slice.
func (p *Partition) Unsent() []*Batch { return p.unsent[p.head:] }

// Len returns the number of batches without an outcome, the unresolved ones included.
func (p *Partition) Len() int { return len(p.window) + p.waiting + len(p.unsent) - p.head }

// IsEmpty reports whether the partition has no batch, sent or unsent.
func (p *Partition) IsEmpty() bool { return p.Len() == 0 }

// IsQuiet reports whether the partition has no batch and no request of it is outstanding, also none of an expired
// batch.
func (p *Partition) IsQuiet() bool { return p.Len() == 0 && p.inFlight == 0 }

// OldestSent returns the first batch in the window without an outcome, or nil.
func (p *Partition) OldestSent() *Batch {
	for _, b := range p.window {
		if b.state != Unresolved {
			return b
		}
	}
	return nil
}

// RecordsAtWorkers returns the number of records in batches at workers.
func (p *Partition) RecordsAtWorkers() (records int) {
	for _, list := range [][]*Batch{p.window, p.Unsent()} {
		for _, b := range list {
			if b.state == Preparing {
				records += int(b.count)
			}
		}
	}
	return records
}

// setIdentity starts the sequences at 0, with one batch in flight until the first acknowledgement.
func (p *Partition) setIdentity(id Identity) {
	p.id, p.next, p.isAcked, p.needBump, p.hasGap = id, 0, false, false, false
	if p.shared {
		p.forgetOffset() // the partition may have another log
	}
	p.needID, p.proven, p.shared = false, false, false
}

// leaveFlight ends the batch's outstanding request. late reports whether its records have their outcome already: then
// only its sequence matters.
func (p *Partition) leaveFlight(b *Batch) (late bool) {
	switch b.request {
	case Outstanding:
		b.request = NoRequest
		p.inFlight--
	case Resent:
		b.request = Lost
		p.inFlight--
	}
	return b.state == Unresolved || b.state == Settled
}

// admitNextPart unlinks the part that waits behind b, and returns it for the window; nil if there is none.
func (p *Partition) admitNextPart(b *Batch) *Batch {
	next := b.nextPart
	if next != nil {
		b.nextPart = nil
		p.waiting--
	}
	return next
}

// drop removes a settled batch from the window. The part that waits behind it takes its place.
func (p *Partition) drop(b *Batch) {
	i := slices.Index(p.window, b)
	if next := p.admitNextPart(b); next != nil {
		p.window[i] = next
		return
	}
	p.window = slices.Delete(p.window, i, i+1)
}

// popUnsent removes the first unsent batch.
func (p *Partition) popUnsent() {
	p.unsent[p.head] = nil
	p.head++
	if p.head == len(p.unsent) {
		p.unsent, p.head = p.unsent[:0], 0
	}
}
