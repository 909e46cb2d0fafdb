package accumulator

import "fmt"

// Remains describes everything still counted or listed by the accumulator. It is empty when the last record was
// delivered and the last callback has returned. Tests check it at their end.
func (a *Accumulator) Remains() (all []string) {
	note := func(what string, n int64) {
		if n != 0 {
			all = append(all, fmt.Sprintf("%s: %d", what, n))
		}
	}
	a.memory.mu.Lock()
	note("bytes", a.memory.used)
	note("bytes for callbacks", a.memory.kept)
	note("bytes for callbacks of refused records", a.memory.refused)
	note("brokers with waiting Sends", int64(a.memory.turn.n))
	note("waiting Sends", a.memory.waiting.Load())
	a.memory.mu.Unlock()
	a.activeMu.Lock()
	note("active partitions", int64(len(a.active)))
	note("lingering partitions", int64(len(a.lingering)))
	a.activeMu.Unlock()
	note("callbacks of refused records", int64(a.refusals.pending()))
	a.pendingReports.mu.Lock()
	note("failures that nobody has asked for", int64(len(a.pendingReports.results)))
	a.pendingReports.mu.Unlock()
	note("bytes ahead of the network", a.unsent.ahead.Load())
	a.topicsMu.Lock()
	topics := make([]*Topic, 0, len(a.topics))
	for _, t := range a.topics {
		topics = append(topics, t)
	}
	a.topicsMu.Unlock()
	for _, t := range topics {
		for _, p := range t.Partitions() {
			if p != nil {
				p.remains(note)
			}
		}
	}
	return all
}

func (p *Partition) remains(note func(what string, n int64)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := fmt.Sprintf(" of %s/%d", p.topic.name, p.index)
	note("records"+of, int64(p.records))
	note("complete batches"+of, int64(p.complete.n))
	note("batches in the order"+of, int64(p.delivery.order.n))
	note("flushes"+of, int64(p.delivery.flushes.Len()))
	if p.open != nil {
		note("open records"+of, int64(p.open.appended))
	}
	if p.delivery.next != nil { // the goroutine may not have ended quite
		note("callbacks"+of, 1)
	}
	if p.cancels.queue.Len() > 0 || p.cancels.current > 0 {
		note("callbacks of canceled records"+of, 1)
	}
	if p.lingering && p.closed != nil {
		note("linger timers"+of, 1)
	}
}
