package delivery

import (
	"errors"
	"fmt"
	"slices"

	"github.com/gosamsa/samsa/record"
)

// A strict Partition checks its whole state after every event, and panics if a step or the state is impossible: in
// tests and in the race build. In a user's process the core does not panic. There, an impossible step fails its batch
// as maybe written, the caller logs the outcome Bug, and the partition goes on under a new identity. Any other panic of
// the core does the same for the event's batch, or for the whole window.

// impossible is the panic of a step outside the table of transitions.
type impossible struct {
	batch *Batch
	step  step
}

func (i impossible) String() string {
	return fmt.Sprintf("a batch that is %v cannot be %v", i.batch.state, i.step)
}

// step changes the state of a batch. It is the only function that does so, apart from the exit in this file.
func (p *Partition) step(b *Batch, s step) {
	next := transitions[b.state][s]
	if next == 0 {
		panic(impossible{b, s})
	}
	b.state = next
}

// endEvent ends every method with an event. It must be deferred. b is the batch of the event, or nil.
func (p *Partition) endEvent(b *Batch) {
	cause := recover()
	switch {
	case cause == nil && p.strict:
		if problem := p.problem(); problem != "" {
			panic(problem + "\n" + p.String())
		}
	case cause == nil:
	case p.strict:
		panic(cause)
	default:
		p.exitFromBug(b, cause)
	}
}

// allowedSets has the permitted fates and requests of a state, as sets of bits.
type allowedSets struct{ fates, requests uint8 }

const (
	anyFate     = 1<<Unwritten | 1<<Doubtful | 1<<Proven | 1<<InDeletedTopic
	answered    = 1<<NoRequest | 1<<Lost
	outstanding = 1<<Outstanding | 1<<Resent
)

var allowedIn = [Settled + 1]allowedSets{
	Preparing:  {1 << Unwritten, answered},
	Ready:      {1 << Unwritten, 1 << NoRequest},
	InFlight:   {anyFate, outstanding},
	Retrying:   {anyFate, answered},
	Unresolved: {anyFate, answered | outstanding},
	Settled:    {anyFate, answered | outstanding},
}

// longCheck is the length up to which problem looks at every unsent batch and waiting part: a batch can be cut into
// thousands of parts.
const longCheck = 64

// problem describes the impossible part of the state, or returns "".
func (p *Partition) problem() string {
	flying := 0
	var last *Batch
	for _, b := range p.window {
		if problem := p.problemOf(b); problem != "" {
			return problem
		}
		if b.request.IsOutstanding() {
			flying++
		}
		if b.sequence == NoSequence || b.id != p.id {
			continue
		}
		if last != nil && !comesBefore(last.sequence, b.sequence) {
			return fmt.Sprintf("sequence %d stands before %d", last.sequence, b.sequence)
		}
		last = b
	}
	// Without idempotence an expired batch is forgotten, and its request keeps its place.
	if flying > p.inFlight || p.cfg.Idempotent && flying < p.inFlight || p.inFlight > p.cfg.MaxInFlight {
		return fmt.Sprintf("%d batches in flight, counted %d, at most %d", flying, p.inFlight, p.cfg.MaxInFlight)
	}
	if problem := p.problemOfWaiting(); problem != "" {
		return problem
	}
	for i, b := range p.Unsent() {
		if b.state != Ready && b.state != Preparing || b.sequence != NoSequence || b.hasOutcome {
			return fmt.Sprintf("an unsent batch is %v, with sequence %d", b.state, b.sequence)
		}
		if i == longCheck {
			break
		}
	}
	return ""
}

// problemOf is problem for one batch of the window.
func (p *Partition) problemOf(b *Batch) string {
	allowed := allowedIn[b.state]
	hasSequence := b.sequence != NoSequence
	switch {
	case b.state == Ready || b.state == Settled || b.state == 0:
		return fmt.Sprintf("a batch that is %v stands in the window", b.state)
	case allowed.fates&(1<<b.fate) == 0 || allowed.requests&(1<<b.request) == 0:
		return fmt.Sprintf("a batch that is %v is %v, with %v", b.state, b.fate, b.request)
	case b.hasOutcome != (b.state == Unresolved):
		return fmt.Sprintf("a batch that is %v has an outcome: %v", b.state, b.hasOutcome)
	case hasSequence && !p.cfg.Idempotent:
		return "a batch has a sequence without idempotence"
	case hasSequence && b.state == Preparing:
		return "a batch at a worker has a sequence"
	case !hasSequence && p.cfg.Idempotent && (b.state == InFlight || b.state == Unresolved || b.fate == Proven):
		return fmt.Sprintf("a batch that is %v and %v has no sequence", b.state, b.fate)
	case (b.fate == InDeletedTopic) != (len(b.formerIncarnations) > 0) && !b.isDoubtful():
		return fmt.Sprintf("a batch is %v, after %d former lives of the topic", b.fate, len(b.formerIncarnations))
	}
	return ""
}

// problemOfWaiting is problem for the parts outside the window.
func (p *Partition) problemOfWaiting() string {
	if p.waiting > longCheck {
		return ""
	}
	waiting := 0
	for _, b := range p.window {
		for part := b.nextPart; part != nil; part = part.nextPart {
			waiting++
			for _, q := range []*Batch{b, part} {
				if q.state != Retrying || q.sequence != NoSequence || q.maybeWritten() ||
					!part.created.Equal(q.created) {
					return "a part waits outside the window behind one from which it differs"
				}
			}
		}
	}
	if waiting != p.waiting {
		return fmt.Sprintf("%d parts wait outside the window, counted %d", waiting, p.waiting)
	}
	return ""
}

// errBug is the error of the records in a batch with an impossible step.
var errBug = errors.New("internal error of the client")

// exitFromBug is the exit from an impossible step in a user's process. b is the batch of the event, or nil.
func (p *Partition) exitFromBug(b *Batch, cause any) {
	state := p.safeString()
	if i, isStep := cause.(impossible); isStep {
		b = i.batch
	}
	if !p.failAloneAfterBug(b, cause) {
		p.failAllAfterBug(cause)
	}
	p.needBump, p.needID = p.cfg.Idempotent, p.cfg.Idempotent
	bug := p.failure(fmt.Errorf("%w: %v", errBug, cause), true)
	bug.Detail = "the partition was:\n" + state
	p.outcomes = append(p.outcomes, Outcome{Batch: b, Kind: Bug, Err: bug})
}

// failAloneAfterBug fails one batch as maybe written, and reports whether the state is possible then.
func (p *Partition) failAloneAfterBug(b *Batch, cause any) (possible bool) {
	defer func() {
		if recover() != nil {
			possible = false
		}
	}()
	if b == nil {
		return false
	}
	p.failAfterBug(b, cause)
	if p.cfg.Idempotent {
		p.needBump = true
	}
	p.afterEvent()
	return p.problem() == ""
}

func (p *Partition) failAfterBug(b *Batch, cause any) {
	if b.hasOutcome {
		return
	}
	b.fate = Doubtful
	p.fail(b, p.failure(fmt.Errorf("%w: %v", errBug, cause), true))
	if i := slices.Index(p.Unsent(), b); i >= 0 {
		p.unsent = slices.Delete(p.unsent, p.head+i, p.head+i+1)
		p.trimUnsent()
		b.state = Settled
		return
	}
	if b.state = Unresolved; b.sequence != NoSequence {
		return // its sequence blocks later batches until its request has ended
	}
	b.state = Settled
	p.leaveFlight(b)
	if slices.Contains(p.window, b) {
		p.drop(b)
	}
}

// failAllAfterBug fails every batch of the window and every waiting part as maybe written, and empties the window. Of
// the unsent batches it keeps those in a possible state.
func (p *Partition) failAllAfterBug(cause any) {
	window := p.window
	p.window, p.waiting, p.inFlight, p.hasGap = nil, 0, 0, false
	for _, b := range window {
		if b == nil {
			continue
		}
		for part := range b.withWaitingParts() {
			part.nextPart = nil
			part.attempt++ // no response means anything any more
			part.request = NoRequest
			if !part.hasOutcome {
				p.fail(part, p.failure(fmt.Errorf("%w: %v", errBug, cause), true))
			}
			part.state = Settled
		}
	}
	p.head = min(p.head, len(p.unsent))
	unsent := slices.Clone(p.Unsent())
	p.unsent, p.head = nil, 0
	for _, b := range unsent {
		if b != nil && (b.state == Ready || b.state == Preparing) {
			p.unsent = append(p.unsent, b)
		} else if b != nil && !b.hasOutcome {
			b.state = Settled
			p.fail(b, p.failure(fmt.Errorf("%w: %v", errBug, cause), true))
		}
	}
}

// safeString is String for a perhaps impossible state.
func (p *Partition) safeString() (text string) {
	defer func() {
		if cause := recover(); cause != nil {
			text = fmt.Sprint("it cannot be printed: ", cause)
		}
	}()
	return p.String()
}

// IsBug reports whether err is the error of an impossible step.
func IsBug(err *record.Error) bool { return errors.Is(err, errBug) }
