package delivery

import (
	"iter"
	"time"
)

// State is the stage of a sealed batch. Open batches belong to the accumulator.
type State uint8

// The stages of a batch. The zero value is none of them.
const (
	_ State = iota
	// Preparing: a worker has the batch, to compress it before its first request, or to rebuild it after an answer.
	Preparing
	// Ready: its bytes are final, and no request had it yet.
	Ready
	// InFlight: in a request without a response.
	InFlight
	// Retrying: it waits for its next attempt.
	Retrying
	// Unresolved: its records failed as maybe written, but its sequence still blocks later batches.
	Unresolved
	// Settled: it has its outcome; the core has forgotten it.
	Settled
)

func (s State) String() string {
	return [...]string{"no batch", "preparing", "ready", "in flight", "retrying", "unresolved", "settled"}[s]
}

// step is a cause for a batch to change its state.
type step uint8

const (
	stepPrepared step = iota // its bytes are final
	stepReplaced             // other batches have taken its place
	stepJoined               // it has taken the place of a batch of an earlier request
	stepSent                 // put into a request
	stepUnsent               // no byte of the request was written to the connection
	stepRetry                // the attempt failed, and another one may succeed
	stepRebuild              // the broker refused single records, or the size: a worker gets the batch
	stepAcked                // acknowledged
	stepFail                 // failed, and certainly not written
	stepDoubt                // failed, and maybe written
	stepOverdue              // failed as maybe written while its request is in flight
	stepResolved             // the fate of an unresolved batch is known, or is of no importance any more
	steps                    // the number of steps
)

func (s step) String() string {
	return [...]string{
		"prepared", "replaced", "joined", "sent", "unsent", "retried", "rebuilt", "acknowledged", "failed", "doubted",
		"overdue",
		"resolved",
	}[s]
}

// transitions is the only table of legal steps. A pair without an entry is impossible: see Partition.step.
var transitions = [Settled + 1][steps]State{
	Preparing: {stepPrepared: Ready, stepReplaced: Settled, stepFail: Settled},
	Ready:     {stepSent: InFlight, stepJoined: Retrying, stepReplaced: Settled, stepFail: Settled},
	InFlight: {
		stepUnsent: Retrying, stepRetry: Retrying, stepRebuild: Preparing, stepAcked: Settled, stepFail: Settled,
		stepDoubt: Unresolved, stepOverdue: Unresolved,
	},
	Retrying:   {stepSent: InFlight, stepFail: Settled, stepDoubt: Unresolved},
	Unresolved: {stepResolved: Settled},
}

// Fate is the core's knowledge about the logs: may a batch be in one?
type Fate uint8

// The fates of a batch.
const (
	Unwritten      Fate = iota // no attempt was written or can be written any more
	Doubtful                   // an attempt may have been written
	Proven                     // written: a later batch of the same identity was acknowledged
	InDeletedTopic             // only the log of a deleted topic may have it
)

func (f Fate) String() string {
	return [...]string{"unwritten", "doubtful", "proven", "in a deleted topic"}[f]
}

// Request is the core's knowledge about the network: can a request with the batch still reach a broker?
type Request uint8

// The requests of a batch.
const (
	NoRequest   Request = iota // none
	Outstanding                // a response may come
	Lost                       // the response of an earlier attempt was lost, so that request may still arrive
	Resent                     // a response may come, and an earlier request may still arrive
)

func (r Request) String() string {
	return [...]string{"no request", "outstanding", "lost", "resent"}[r]
}

// IsOutstanding reports whether a response may come.
func (r Request) IsOutstanding() bool { return r == Outstanding || r == Resent }

// mayArrive reports whether a request without a response may still reach a broker.
func (r Request) mayArrive() bool { return r == Lost || r == Resent }

// NoSequence is the sequence of a batch without one: no request had the batch, or the core revoked its sequence because
// the batch is certainly not written.
const NoSequence int32 = -1

// Batch is the core's view of one sealed batch. NewBatch makes one.
type Batch struct {
	owner   any
	count   int32
	size    int
	created time.Time

	state     State
	fate      Fate
	request   Request
	byName    bool // a request named the topic by its name, so a recreated topic can receive it
	isWriting bool // a connection may still read its bytes
	// hasOutcome: its records have their outcome, or are in other batches.
	hasOutcome bool

	formerIncarnations []int // the topic's former lives with the batch perhaps in their logs

	id          Identity
	number      uint64 // counts the sequenced batches of the partition
	incarnation int    // the topic's life in which the batch got its sequence
	sequence    int32
	leader      int32  // the leader of its last request
	epochSeen   int32  // the leader epoch of its last attempt
	attempt     uint32 // the number of its last attempt; the response to an earlier one means nothing

	tries       int       // requests with the batch; a byte of each may have left
	corrupt     int       // its refusals with CORRUPT_MESSAGE
	notBefore   time.Time // the time of its next attempt at the earliest
	fastRetries int       // attempts in a row without a backoff, because of a newer leader
	lastErr     error     // the failure of its last attempt

	nextPart *Batch // the part of the same split batch that enters the window when this part is sent or ends
}

// NewBatch returns a sealed batch of count records. size is the size of its bytes; 0 means that a worker still prepares
// them. owner is the caller's; its String method, if it has one, names the batch in texts.
func NewBatch(count int32, size int, created time.Time, owner any) Batch {
	b := Batch{count: count, size: size, created: created, sequence: NoSequence, state: Preparing, owner: owner}
	if size > 0 {
		b.state = Ready
	}
	return b
}

// Owner returns the caller's part of the batch.
func (b *Batch) Owner() any { return b.owner }

// Count returns the number of records.
func (b *Batch) Count() int32 { return b.count }

// Created returns the time of the batch's first record.
func (b *Batch) Created() time.Time { return b.created }

// State returns the stage of the batch.
func (b *Batch) State() State { return b.state }

// Fate returns the core's knowledge about the logs.
func (b *Batch) Fate() Fate { return b.fate }

// Request returns the core's knowledge about the network.
func (b *Batch) Request() Request { return b.request }

// Identity returns the batch's last identity.
func (b *Batch) Identity() Identity { return b.id }

// Sequence returns the sequence of the batch's first record, or NoSequence.
func (b *Batch) Sequence() int32 { return b.sequence }

// Attempt returns the number of the last attempt. A response to an earlier one has no effect.
func (b *Batch) Attempt() uint32 { return b.attempt }

// Numbering changes with every new identity or sequence; it is 0 before the first one.
func (b *Batch) Numbering() uint64 { return b.number }

// Tries returns the number of requests with the batch, without those of which no byte left.
func (b *Batch) Tries() int { return b.tries }

// EpochSeen returns the leader epoch of the last attempt.
func (b *Batch) EpochSeen() int32 { return b.epochSeen }

// LastErr returns the failure of the last attempt, or nil.
func (b *Batch) LastErr() error { return b.lastErr }

// isDoubtful reports whether the log of the present topic may have the batch.
func (b *Batch) isDoubtful() bool { return b.fate == Doubtful || b.fate == Proven }

// maybeWritten reports whether any log may have the batch, also that of a deleted topic.
func (b *Batch) maybeWritten() bool { return b.fate != Unwritten }

// doubt notes that an attempt may have been written.
func (b *Batch) doubt() {
	if b.fate != Proven {
		b.fate = Doubtful
	}
}

// clearDoubt notes that the log of the present topic does not have the batch and will not get it.
func (b *Batch) clearDoubt() {
	b.fate = Unwritten
	if len(b.formerIncarnations) > 0 {
		b.fate = InDeletedTopic
	}
}

// withWaitingParts yields b and the parts that wait behind it, in order. The loop may end the part at hand.
func (b *Batch) withWaitingParts() iter.Seq[*Batch] {
	return func(yield func(*Batch) bool) {
		for b != nil {
			next := b.nextPart
			if !yield(b) {
				return
			}
			b = next
		}
	}
}
