package delivery

import (
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// OutcomeKind is the kind of an outcome.
type OutcomeKind uint8

// The outcomes.
const (
	// Acknowledged: the records are written, from Offset on.
	Acknowledged OutcomeKind = iota
	// Failed: the records fail with Err.
	Failed
	// Rejected: the records in Blamed fail; the caller puts the others in the batch's place, see Replaced.
	Rejected
	// TooLarge: the caller puts smaller batches in the batch's place, see Replaced. If it cannot, the records fail with
	// Err.
	TooLarge
	// Bug: an impossible step happened; Err describes it. The caller logs it. Other outcomes end the batches.
	Bug
)

// Outcome is the core's instruction to the caller for one batch.
type Outcome struct {
	Batch  *Batch
	Kind   OutcomeKind
	Offset int64
	Time   int64 // the log-append time in milliseconds, or -1
	Err    *record.Error
	Blamed map[int32]*record.Error // by the index of the record in the batch
}

// Outcomes returns the outcomes since the last Drain. The slice is good until the next call of a method.
func (p *Partition) Outcomes() []Outcome { return p.outcomes }

// Drain appends the outcomes since the last Drain to list and forgets them.
func (p *Partition) Drain(list []Outcome) []Outcome {
	if len(p.outcomes) == 0 {
		return list
	}
	list = append(list, p.outcomes...)
	clear(p.outcomes)
	if p.outcomes = p.outcomes[:0]; cap(p.outcomes) > mostOutcomesKept {
		p.outcomes = nil
	}
	return list
}

// mostOutcomesKept is the number of outcomes for which a partition keeps memory: a batch in flight has one.
const mostOutcomesKept = 8

// end gives a batch its only outcome: Acknowledged or Failed.
func (p *Partition) end(o Outcome) {
	if o.Batch.hasOutcome {
		panic("a batch gets a second outcome: " + o.String())
	}
	o.Batch.hasOutcome = true
	p.outcomes = append(p.outcomes, o)
}

// fail gives b the outcome Failed.
func (p *Partition) fail(b *Batch, err *record.Error) {
	p.end(Outcome{Batch: b, Kind: Failed, Err: err})
}

// failure returns the error of a batch with this cause.
func (p *Partition) failure(cause error, maybe bool) *record.Error {
	fate := record.FateMaybeWritten
	if !maybe {
		fate = record.CertainFate(cause)
	}
	return &record.Error{Topic: p.cfg.Topic, Partition: p.cfg.Partition, Fate: fate, Err: cause}
}

// giveUp fails b in the window; certain is its fate if no log has it. A doubtful batch leaves its sequence unresolved.
func (p *Partition) giveUp(b *Batch, cause error, certain record.Fate, detail string) {
	err := p.failure(cause, b.maybeWritten())
	err.Detail = detail
	if !b.maybeWritten() {
		err.Fate = certain
	}
	if !b.isDoubtful() {
		p.step(b, stepFail)
		p.revokeSequence(b)
		p.drop(b)
	} else if p.step(b, stepDoubt); !p.cfg.Idempotent {
		p.step(b, stepResolved)
		p.drop(b)
	}
	p.fail(b, err)
}

func brokerError(a *Answer) error { return &protocol.Error{Code: a.Code, Message: a.Message} }
