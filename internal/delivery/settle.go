package delivery

// afterEvent ends every event: it decides whether the core may renumber batches, and whether the identity must change.
func (p *Partition) afterEvent() {
	if !p.cfg.Idempotent {
		return
	}
	p.leaveFormerCluster()
	p.expireFromOldTopic()
	hasUnresolved := false
	for _, b := range p.window {
		if (p.hasGap || p.needBump) && b.state == Retrying && !b.isDoubtful() {
			// All attempts were answered, and none was written: its old sequence is of no use.
			p.revokeSequence(b)
		}
		if b.request.IsOutstanding() || b.state != Unresolved && b.sequence != NoSequence {
			return
		}
		hasUnresolved = hasUnresolved || b.state == Unresolved
	}
	if hasUnresolved {
		// No response will decide whether these were written. Later batches get a new identity.
		p.needBump = true
		p.dropUnresolved()
	}
	if p.hasGap && !p.needBump {
		p.next, p.hasGap = p.gapAt, false
	}
}

func (p *Partition) dropUnresolved() {
	stay := p.window[:0]
	for _, b := range p.window {
		if b.state == Unresolved {
			p.step(b, stepResolved)
			continue
		}
		stay = append(stay, b)
	}
	clear(p.window[len(stay):])
	p.window = stay
}
