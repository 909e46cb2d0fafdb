package delivery

import (
	"slices"

	"github.com/gosamsa/samsa/record"
)

// Sealed puts a batch at the end of the unsent ones.
func (p *Partition) Sealed(b *Batch) {
	defer p.endEvent(b)
	p.unsent = append(p.unsent, b)
}

// Prepared notes that the bytes of an unsent batch are final and have this size. After Closed the batch fails.
func (p *Partition) Prepared(b *Batch, size int) {
	defer p.endEvent(b)
	b.size = size
	p.step(b, stepPrepared)
	if p.closed != nil {
		p.failUnsent(p.closed)
	}
}

// Replaced puts parts in b's place, in their order: the rest of a rejected batch, or the parts of a split one. Parts of
// a batch that was in a request start without a sequence and with b's age: the first enters the window, and each other
// one waits behind the part before it. Without parts, the caller has given all records of b their outcome.
func (p *Partition) Replaced(b *Batch, parts []*Batch) {
	defer p.endEvent(b)
	b.hasOutcome = true
	if i := slices.Index(p.Unsent(), b); i >= 0 {
		p.step(b, stepReplaced)
		p.unsent = slices.Replace(p.unsent, p.head+i, p.head+i+1, parts...)
		p.trimUnsent()
	} else {
		p.join(b, parts)
		p.afterEvent()
	}
	if p.closed != nil {
		p.endAll(p.closed)
	}
}

// join puts parts in the place of a batch in the window.
func (p *Partition) join(b *Batch, parts []*Batch) {
	last := b
	for _, part := range parts {
		p.step(part, stepJoined)
		part.created, part.notBefore, part.epochSeen, part.tries = b.created, b.notBefore, b.epochSeen, b.tries
		last.nextPart, last = part, part
	}
	p.waiting += len(parts)
	p.step(b, stepReplaced)
	p.drop(b)
}

// trimUnsent frees the list of unsent batches if it has none.
func (p *Partition) trimUnsent() {
	if p.head == len(p.unsent) {
		p.unsent, p.head = p.unsent[:0], 0
	}
}

// failFirstUnsent fails the batch at the head of the unsent ones.
func (p *Partition) failFirstUnsent(err *record.Error) {
	b := p.unsent[p.head]
	p.step(b, stepFail)
	p.popUnsent()
	p.fail(b, err)
}

// failUnsent fails all unsent batches but those at workers.
func (p *Partition) failUnsent(err *record.Error) {
	stay := p.unsent[:0]
	for _, b := range p.Unsent() {
		if b.state != Ready {
			stay = append(stay, b)
			continue
		}
		p.step(b, stepFail)
		p.fail(b, err)
	}
	clear(p.unsent[len(stay):])
	p.unsent, p.head = stay, 0
}
